"""A run file read, checked and written: YAML or a mapping to a `RunConfig`, or one line on what is wrong."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from tilegc.config.inputs import Band, Convergence, Deflection, FieldInput, LensMap
from tilegc.config.run import DetectionConfig, RunConfig
from tilegc.config.values import Section
from tilegc.errors import ConfigError, InputError, shortened
from tilegc.places import Place, is_url, opened, parent
from tilegc.redaction import redacted

__all__ = ["detection_settings", "digest", "dump", "load", "read_yaml", "resolve", "settings"]

LARGEST = 4 << 20
"""Bytes of the largest run file."""

DEEPEST = 20
"""Levels of nesting of the deepest run file: the format itself has six."""

MOST_ALIASES = 200
"""References to YAML anchors in one run file."""

MOST_VALUES = 200_000
"""Values of one run file."""

MOST_MISTAKES = 10
"""Mistakes of a run file that are listed at once."""

LONGEST = 420
"""Characters that several mistakes may take together: one line that can still be read on a terminal."""


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
        With one line that lists everything that is wrong, up to ten mistakes.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{source}: expected a mapping of keys, found {type(mapping).__name__}")
    try:
        _require_plain(mapping)
        config = RunConfig.model_validate(mapping)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_mistakes(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: {shortened(error)}") from None
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
        raise ConfigError(f"{source}: {_mistakes(error)}") from None


class _RefusedError(yaml.YAMLError):
    """A YAML document that is refused although the syntax allows it."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, with duplicate keys and aliases of aliases refused.

    Of two equal keys YAML silently keeps the last. Aliases that hold aliases can multiply: 450 bytes become a billion
    values. And a document nested a few hundred deep exhausts the stack of the parser.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        line = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]  # PyYAML's stubs
        if self.check_event(yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > MOST_ALIASES:
                raise _RefusedError(f"more than {MOST_ALIASES} aliases (line {line}); write the values out")
        if self._depth >= DEEPEST:
            raise _RefusedError(
                f"nested deeper than {DEEPEST} levels (line {line}); a run file has six at most"
            )
        self._depth += 1
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        """Keep 22:48:43, which YAML 1.1 takes for a number of base 60, as text: a time, or a position on the sky."""
        return node.value if ":" in node.value else super().construct_yaml_int(node)

    def construct_yaml_float(self, node: yaml.ScalarNode) -> Any:
        """Keep 22:48:43.97 as text."""
        return node.value if ":" in node.value else super().construct_yaml_float(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise _RefusedError(
                    f"duplicate key {shortened(repr(key.value))} (line {key.start_mark.line + 1}); remove one"
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)


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
        raise ConfigError(f"{path}: the run file is empty; recipe, cluster and fields are required")
    return resolve(mapping, base=parent(str(path)), source=str(path))


def read_yaml(path: str | Place) -> Any:
    """Return what a YAML file holds, by path or URL; two equal keys in one mapping are an error.

    Raises
    ------
    ConfigError
        If it is absent or no YAML.
    """
    if not is_url(path) and Path(str(path)).is_dir():
        raise ConfigError(_directory(str(path)))
    try:
        text = _text(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such run file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a run file ({shortened(error)})") from None
    try:
        return yaml.load(text, _Loader)  # noqa: S506  (a subclass of the safe loader)
    except _RefusedError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, ArithmeticError, AttributeError) as error:
        # Not only YAMLError: `2024-13-45` is no date (ValueError), `!!bool maybe` no key of a table (KeyError).
        raise ConfigError(f"{path}: not YAML ({shortened(error, 200)})") from None
    except RecursionError:
        raise ConfigError(
            f"{path}: not YAML (nested too deeply); a run file has six levels at most"
        ) from None


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
    if not is_url(path) and not Path(str(path)).exists():
        raise FileNotFoundError
    try:
        with opened(path) as stream:
            content = stream.read(LARGEST + 1)
    except InputError as error:
        raise ConfigError(str(error)) from None
    if len(content) > LARGEST:
        raise ConfigError(f"{path}: larger than {LARGEST >> 20} MB; not a run file")
    return content.decode("utf-8")


def _directory(path: str) -> str:
    """Return what to type instead of a directory: its run file, if there is one."""
    folder = Path(path)
    if (folder / "manifest.json").exists():
        hint = "it is a run folder: to continue that run, give its original run file, -o this folder and --resume"
    elif (folder / "run.yaml").is_file():
        hint = f"give the run file: {folder / 'run.yaml'}"
    else:
        hint = "a run file lists the mosaics of a cluster; `tilegc simulate` writes an example"
    return f"{path}: is a directory; expected a run file (YAML); {hint}"


def _require_plain(mapping: Mapping[Any, Any]) -> None:
    """Refuse what no key of a run file can hold: sets, dates, bytes, keys that are no words, too many values.

    Values are counted as often as they are referred to: nine lists of nine references each are a billion values.

    Raises
    ------
    ValueError
        With the key.
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
                f"{place}: {shortened(repr(value), 60)} is of a type that no key takes; put text in quotes"
            )


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

    update: dict[str, object] = {"path": place(given.path), "par": place(given.par)}
    if given.deflection is not None:
        update["deflection"] = pair(given.deflection)
    if isinstance(given, Convergence):
        wide = given.ensemble
        update["ensemble"] = pair(wide) if isinstance(wide, Deflection) else place(wide)
        update["compare"] = tuple(_placed(rival, place) for rival in given.compare)
        update["alternatives"] = tuple(_placed(one, place) for one in given.alternatives)
    return given.model_copy(update=update)


def _mistakes(error: ValidationError) -> str:
    """Return everything that is wrong, as one line: up to ten mistakes, each with its key and remedy."""
    details = _distinct(error.errors(include_url=False))
    if len(details) == 1:
        return _mistake(details[0])
    length = max(LONGEST // min(len(details), MOST_MISTAKES), 40)
    lines = [shortened(_mistake(one, brief=True), length) for one in details[:MOST_MISTAKES]]
    more = f"; and {len(details) - len(lines)} more" if len(details) > len(lines) else ""
    return f"{len(details)} mistakes: " + "; ".join(f"({n}) {line}" for n, line in enumerate(lines, 1)) + more


def _distinct(details: Any) -> list[Any]:
    """Return pydantic's errors without those that say a mistake again.

    Every branch of a union reports its own errors: those of the first say what the key takes. And a list of which
    every item is wrong is "too short" as well.
    """
    distinct: list[Any] = []
    seen: set[tuple[object, ...]] = set()
    places = [one["loc"] for one in details]
    for one in details:
        place = one["loc"]
        if one["type"] == "too_short" and any(
            len(p) > len(place) and p[: len(place)] == place for p in places
        ):
            continue
        branch = next((k for k, part in enumerate(place) if _is_branch(part)), None)
        key = place[:branch]
        if key in seen:
            continue
        seen.add(key)
        distinct.append(one)
    return distinct


def _mistake(detail: Any, *, brief: bool = False) -> str:
    """Return one of pydantic's errors as text: the key, what is wrong, what to do."""
    whole = detail["loc"]
    is_key = detail["type"] in {
        "extra_forbidden",
        "missing",
    }  # then the last part is one, whatever it looks like
    place = [
        part
        for number, part in enumerate(whole, 1)
        if (is_key and number == len(whole)) or not _is_branch(part)
    ]
    key = shortened(".".join(str(part) for part in place), 100)
    if detail["type"] == "extra_forbidden":
        valid = _valid_keys(place[:-1])
        close = difflib.get_close_matches(str(place[-1])[:100], valid, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{key}: unknown key{hint}" + ("" if brief else f" (valid: {', '.join(valid)})")
    if detail["type"] == "missing":
        return f"{key}: required, and missing"
    message = shortened(str(detail["msg"]).removeprefix("Value error, "), 240)
    shown = "" if detail["type"] == "value_error" else f" (found {shortened(repr(detail['input']), 60)})"
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
