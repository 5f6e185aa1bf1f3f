"""Reading, validating and writing a run file: from YAML or a mapping to a `RunConfig`, or to one line of errors."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import ValidationError

from tilegc.config.inputs import Band, Convergence, Deflection, LensMap, Mosaic
from tilegc.config.mistakes import mistakes
from tilegc.config.photometry import Photometry
from tilegc.config.run import DetectionConfig, RunConfig, section_order
from tilegc.config.yaml_files import DEEPEST, read_yaml
from tilegc.errors import ConfigError, one_line, shortened
from tilegc.places import Place, is_url, parent
from tilegc.redaction import redacted

__all__ = ["detection_settings", "digest", "dump", "load", "read_yaml", "resolve", "settings"]


MOST_VALUES = 200_000
"""Maximum number of values in a run file, counting each use of an alias."""


def resolve(mapping: object, *, base: str | Path | None = None, source: str = "run file") -> RunConfig:
    """Validate the content of a run file and fill in the defaults.

    Parameters
    ----------
    mapping : mapping
        Content of a run file, as read from YAML.
    base : str or Path, optional
        Directory or URL to which relative paths refer; paths are made absolute against it.
    source : str
        Name of the run file in error messages.

    Returns
    -------
    RunConfig
        The settings, with every default filled in.

    Raises
    ------
    ConfigError
        With one line that lists all mistakes, up to ten.

    Examples
    --------
    >>> settings = {"recipe": "calibrated", "fields": [{"name": "a", "bands": {"F150W": "a.fits"}}]}
    >>> tilegc.resolve(settings).detect.exclusion_radius
    2.0
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{source}: expected a mapping of keys, found {type(mapping).__name__}")
    try:
        _require_plain(mapping)
        config = RunConfig.model_validate(mapping)
    except ValidationError as error:
        raise ConfigError(f"{source}: {mistakes(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: {shortened(error)}") from None
    return config if base is None else _absolute(config, base)


def detection_settings(mapping: Mapping[str, object], *, source: str) -> DetectionConfig:
    """Validate the recipe and the sections `mask`, `filter` and `detect`, and fill in the defaults.

    Raises
    ------
    ConfigError
        With one line that lists all mistakes, up to ten.
    """
    try:
        return DetectionConfig.model_validate(mapping)
    except ValidationError as error:
        raise ConfigError(f"{source}: {mistakes(error)}") from None


def load(path: str | Place) -> RunConfig:
    """Read and check a run file.

    Parameters
    ----------
    path : str or Place
        Path or URL of the YAML file. Relative paths in it refer to its own directory.

    Returns
    -------
    RunConfig
        Its settings, with every default filled in.

    Raises
    ------
    ConfigError
        If the file does not exist, is not YAML, or contains mistakes.

    Examples
    --------
    >>> tilegc.load("run.yaml").cluster.redshift
    0.348
    """
    mapping = read_yaml(path)
    if mapping is None:
        raise ConfigError(f"{path}: the run file is empty; recipe and fields are required")
    return resolve(mapping, base=parent(str(path)), source=str(path))


def dump(config: RunConfig) -> str:
    """Return the run file with all defaults as YAML text, without credentials in URLs."""
    content = redacted(config.model_dump(mode="json", exclude_none=True))
    content["profile"].setdefault("edges", None)
    if not content["cluster"]:  # a field without a cluster, whose place on the sky is not known yet
        del content["cluster"]
    content = {name: content[name] for name in section_order() if name in content}
    text: str = yaml.safe_dump(
        content, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True
    )
    return text


def settings(config: RunConfig) -> dict[str, Any]:
    """Return the settings on which products and stores depend: all but `compute`, which may change on resume.

    Credentials in URLs are removed: they do not belong in a manifest, and may have been renewed on resume.
    """
    content = redacted(config.model_dump(mode="json"))
    del content["compute"]
    return content


def digest(config: RunConfig) -> str:
    """Return the SHA-256 of the settings on which products and stores depend."""
    content = settings(config)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters but for tabs and line breaks: no path or name holds them, and some end a path for the system."""


def _require_plain(mapping: Mapping[Any, Any]) -> None:
    """Refuse what no run file needs: sets, dates, bytes, keys that are not words, control characters, too many values.

    Values are counted each time they are referred to: nine lists of nine references each are a billion values.

    Raises
    ------
    ValueError
        With the key concerned.
    """
    waiting: list[tuple[object, str, int]] = [(mapping, "", 0)]
    seen = 0
    while waiting:
        value, place, depth = waiting.pop()
        seen += 1
        if depth > DEEPEST:
            raise ValueError(f"{place}: nested deeper than {DEEPEST} levels; a run file has six at most")
        if seen > MOST_VALUES:
            raise ValueError(
                f"{place}: more than {MOST_VALUES:,} values in one run file; remove repeated aliases"
            )
        if isinstance(value, Mapping):
            for key, inner in value.items():
                if not isinstance(key, str | int | float | bool):
                    raise ValueError(  # noqa: TRY004  (one kind of error for all mistakes of a run file)
                        f"{place or 'run file'}: {shortened(repr(key), 60)} cannot be a key; keys are words"
                    )
                waiting.append((inner, f"{place}.{shortened(key, 60)}".lstrip("."), depth + 1))
        elif isinstance(value, list | tuple):
            waiting.extend((inner, f"{place}.{number}", depth + 1) for number, inner in enumerate(value))
        elif isinstance(value, bytes | set | frozenset | date):
            raise ValueError(  # noqa: TRY004  (as above)
                f"{place}: {shortened(repr(value), 60)} has a type that no key accepts; put text in quotes"
            )
        elif isinstance(value, str) and _CONTROL.search(value):
            raise ValueError(f"{place}: {shortened(repr(value), 60)} holds control characters; remove them")


def _absolute(config: RunConfig, base: str | Path) -> RunConfig:
    def place(path: str | None) -> str | None:
        if path is None or is_url(path):
            return path
        if is_url(base):
            return path if path.startswith("/") else f"{base}/{path}"
        try:
            return str((base / Path(path).expanduser()).resolve())
        except (OSError, RuntimeError) as error:  # "~nobody", links in a circle
            raise ConfigError(f"{shortened(path)}: {one_line(str(error))}; check the path") from None

    def files(one: Mosaic, *more: str) -> dict[str, object]:
        return {key: place(getattr(one, key)) for key in ("sci", "err", "wht", *more)}

    def placed(bands: Mapping[str, Band]) -> dict[str, Band]:
        return {
            name: band.model_copy(
                update={
                    **files(band, "psf"),
                    "mosaics": tuple(one.model_copy(update=files(one)) for one in band.mosaics),
                }
            )
            for name, band in bands.items()
        }

    fields = []
    for field in config.fields:
        bands = None if field.bands is None else placed(field.bands)
        masks = tuple(str(place(mask)) for mask in field.masks)
        fields.append(field.model_copy(update={"bands": bands, "masks": masks, "store": place(field.store)}))
    convergence = config.convergence
    if convergence is not None:
        convergence = _placed(convergence, place)
    photometry = config.photometry
    if isinstance(photometry, Photometry) and photometry.bands is not None:
        photometry = photometry.model_copy(update={"bands": placed(photometry.bands)})
    compute = config.compute
    pods = compute.kubernetes.model_copy(update={"manifest": place(compute.kubernetes.manifest)})
    return config.model_copy(
        update={
            "fields": tuple(fields),
            "convergence": convergence,
            "photometry": photometry,
            "truth": place(config.truth),
            "compute": compute.model_copy(update={"kubernetes": pods}),
        }
    )


Map = TypeVar("Map", bound=LensMap)


def _placed(given: Map, place: Callable[[str | None], str | None]) -> Map:
    """Return a lens map, its range maps and the maps to compare with absolute paths."""

    def pair(value: Deflection) -> Deflection:
        return value.model_copy(update={"x": place(value.x), "y": place(value.y)})

    update: dict[str, object] = {"path": place(given.path), "par": place(given.par)}
    if given.deflection is not None:
        update["deflection"] = pair(given.deflection)
    if isinstance(given, Convergence):
        wide = given.ensemble
        update["ensemble"] = pair(wide) if isinstance(wide, Deflection) else place(wide)
        update["compare"] = tuple(_placed(rival, place) for rival in given.compare)
        update["alternatives"] = tuple(_placed(one, place) for one in given.alternatives)
    return given.model_copy(update=update)
