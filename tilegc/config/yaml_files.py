"""YAML files read safely: size, nesting and aliases are limited, and duplicate keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tilegc.errors import ConfigError, InputError, shortened
from tilegc.places import Place, is_url, opened

__all__ = ["DEEPEST", "read_yaml"]

LARGEST = 4 << 20
"""Maximum size of a run file in bytes."""

DEEPEST = 20
"""Maximum number of nested levels; a valid run file has at most six."""

MOST_ALIASES = 200
"""Maximum number of references to YAML anchors."""


class _RefusedError(yaml.YAMLError):
    """A YAML document that is refused although the syntax allows it."""


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses duplicate keys, many aliases and deep nesting.

    Of two equal keys YAML silently keeps the last. Aliases that contain aliases multiply: 450 bytes can become a
    billion values. A document nested a few hundred levels deep exhausts the stack of the parser.
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
                raise _RefusedError(f"more than {MOST_ALIASES} aliases (line {line}); write out the values")
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
        """Keep 22:48:43, which YAML 1.1 reads as a number in base 60, as text: a duration or a coordinate."""
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


def read_yaml(path: str | Place) -> Any:
    """Return the content of a YAML file, given by path or URL; duplicate keys are an error.

    Raises
    ------
    ConfigError
        If the file does not exist or is not YAML.
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
        # Constructors raise other errors, too: `2024-13-45` a ValueError, `!!bool maybe` a KeyError.
        raise ConfigError(f"{path}: not YAML ({shortened(error, 200)})") from None
    except RecursionError:
        raise ConfigError(
            f"{path}: not YAML (nested too deeply); a run file has six levels at most"
        ) from None


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
    """Return the error for a directory, with what to type instead: its run file, if there is one."""
    folder = Path(path)
    if (folder / "manifest.json").exists():
        hint = (
            "it is a run directory: to continue this run, give its run file, with -o DIRECTORY and --resume"
        )
    elif (folder / "run.yaml").is_file():
        hint = f"give the run file: {folder / 'run.yaml'}"
    else:
        hint = "a run file lists the mosaics of a cluster; `tilegc simulate` writes an example"
    return f"{path}: is a directory; expected a run file (YAML); {hint}"
