"""A run file read, checked and written: YAML or a mapping to a `RunConfig`, or one line on what is wrong."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from tilegc.config.inputs import Band, Convergence, Deflection, FieldInput, LensMap
from tilegc.config.run import DetectionConfig, RunConfig
from tilegc.config.values import Section
from tilegc.errors import ConfigError, InputError
from tilegc.places import Place, is_url, opened, parent
from tilegc.redaction import redacted

__all__ = ["detection_settings", "digest", "dump", "load", "read_yaml", "resolve", "settings"]


def resolve(mapping: object, *, base: str | Path | None = None, source: str = "run file") -> RunConfig:
    """Check a run file's content and fill in the defaults.

    Parameters
    ----------
    mapping : mapping
        Content of a run file, as YAML gives it.
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
        With one line for the first thing that is wrong.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{source}: a mapping of keys is meant, found {type(mapping).__name__}")
    try:
        config = RunConfig.model_validate(mapping)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_line(error)}") from None
    return config if base is None else _absolute(config, base)


def detection_settings(mapping: Mapping[str, object], *, source: str) -> DetectionConfig:
    """Check the recipe and the sections `mask`, `filter` and `detect`, and fill in the defaults.

    Raises
    ------
    ConfigError
        With one line for the first thing that is wrong.
    """
    try:
        return DetectionConfig.model_validate(mapping)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_line(error)}") from None


class _TwiceError(yaml.YAMLError):
    """A key stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which lets the last of two equal keys win, unseen; this one refuses them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise _TwiceError(
                    f"the key {key.value!r} stands twice (line {key.start_mark.line + 1}): remove one"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


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
        If it does not exist, is not YAML, or any key is wrong.
    """
    mapping = read_yaml(path)
    if mapping is None:
        raise ConfigError(f"{path}: the run file is empty; `recipe`, `cluster` and `fields` are required")
    return resolve(mapping, base=parent(str(path)), source=str(path))


def read_yaml(path: str | Place) -> Any:
    """Return what a YAML file holds, by path or URL; two equal keys in one mapping are an error.

    Raises
    ------
    ConfigError
        If it is absent or no YAML.
    """
    try:
        text = _text(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such run file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a run file ({_first_line(error)})") from None
    try:
        return yaml.load(text, _Loader)  # noqa: S506  (a safe one)
    except _TwiceError as error:
        raise ConfigError(f"{path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML ({_first_line(error)})") from None


def dump(config: RunConfig) -> str:
    """Return the resolved run file as YAML text, without the credentials that its URLs may hold."""
    content = redacted(config.model_dump(mode="json", exclude_none=True))
    content["profile"].setdefault("edges", None)
    content = {name: content[name] for name in _order() if name in content}
    text: str = yaml.safe_dump(
        content, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True
    )
    return text


def _order() -> list[str]:
    """Return the sections of a run file in the order of the chain; pydantic lists inherited ones first."""
    shared = list(DetectionConfig.model_fields)
    own = [name for name in RunConfig.model_fields if name not in shared]
    at = own.index("tiles") + 1
    return [*shared[:1], *own[:at], *shared[1:], *own[at:]]


def settings(config: RunConfig) -> dict[str, Any]:
    """Return what a run's products or store depend on: all but `compute`, which may differ on resume.

    Credentials in URLs are left out: they are no secret of a manifest's, and may have been renewed on resume.
    """
    content = redacted(config.model_dump(mode="json"))
    del content["compute"]
    return content


def digest(config: RunConfig) -> str:
    """Return the SHA-256 of everything in the run file that a run's products or store depend on."""
    content = settings(config)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _text(path: str | Place) -> str:
    if not is_url(path):
        return Path(str(path)).read_text(encoding="utf-8")
    try:
        with opened(path) as stream:
            return stream.read().decode()
    except InputError as error:
        raise ConfigError(str(error)) from None


def _absolute(config: RunConfig, base: str | Path) -> RunConfig:
    def place(path: str | None) -> str | None:
        if path is None or is_url(path):
            return path
        if is_url(base):
            return path if path.startswith("/") else f"{base}/{path}"
        return str((base / Path(path).expanduser()).resolve())

    fields = []
    for field in config.fields:
        bands = None
        if field.bands is not None:
            bands = {
                name: band.model_copy(
                    update={key: place(getattr(band, key)) for key in ("sci", "err", "wht", "psf")}
                )
                for name, band in field.bands.items()
            }
        masks = tuple(str(place(mask)) for mask in field.masks)
        fields.append(field.model_copy(update={"bands": bands, "masks": masks, "store": place(field.store)}))
    convergence = config.convergence
    if convergence is not None:
        convergence = _placed(convergence, place)
    compute = config.compute
    pods = compute.kubernetes.model_copy(update={"manifest": place(compute.kubernetes.manifest)})
    return config.model_copy(
        update={
            "fields": tuple(fields),
            "convergence": convergence,
            "truth": place(config.truth),
            "compute": compute.model_copy(update={"kubernetes": pods}),
        }
    )


Map = TypeVar("Map", bound=LensMap)


def _placed(given: Map, place: Callable[[str | None], str | None]) -> Map:
    """Return a lens map, its range maps and its rivals with absolute paths."""

    def pair(value: Deflection) -> Deflection:
        return value.model_copy(update={"x": place(value.x), "y": place(value.y)})

    update: dict[str, object] = {"path": place(given.path)}
    if given.deflection is not None:
        update["deflection"] = pair(given.deflection)
    if isinstance(given, Convergence):
        wide = given.ensemble
        update["ensemble"] = pair(wide) if isinstance(wide, Deflection) else place(wide)
        update["compare"] = tuple(_placed(rival, place) for rival in given.compare)
    return given.model_copy(update=update)


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _line(error: ValidationError) -> str:
    """Return one line for the first of pydantic's errors: the key, what is wrong, what to do."""
    details: Any = error.errors()
    first = details[0]
    place = [part for part in first["loc"] if not _is_branch(part)]
    key = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        valid = _valid_keys(place[:-1])
        close = difflib.get_close_matches(str(place[-1]), valid, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{key}: unknown key{hint} (valid: {', '.join(valid)})"
    if first["type"] == "missing":
        return f"{key}: required, and not there"
    message = str(first["msg"]).removeprefix("Value error, ")
    shown = "" if first["type"] in {"value_error", "missing"} else f" (found {first['input']!r})"
    return f"{key}: {message}{shown}" if key else message


def _is_branch(part: object) -> bool:
    """Whether a part of pydantic's location names a branch of a union rather than a key."""
    return isinstance(part, str) and (
        "[" in part or part in {"float", "int", "str", "SigmaThreshold", "ValueThreshold", "Deflection"}
    )


def _valid_keys(place: list[object]) -> list[str]:
    model: Any = RunConfig
    for part in place:
        if isinstance(part, int) or model is None:
            continue
        if model is FieldInput and part == "bands":
            model = Band
            continue
        if model is Band:
            continue
        annotation = model.model_fields[str(part)].annotation
        model = next((kind for kind in _kinds(annotation) if issubclass(kind, Section)), None)
    if model is RunConfig:
        return _order()
    return list(model.model_fields) if model is not None else []


def _kinds(annotation: Any) -> list[type]:
    if isinstance(annotation, type):
        return [annotation]
    return [kind for argument in getattr(annotation, "__args__", ()) for kind in _kinds(argument)]
