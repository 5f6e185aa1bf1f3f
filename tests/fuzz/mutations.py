"""Seeded damage to everything that a run file is and names: one draw of a generator, one case."""

from __future__ import annotations

import copy
import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy.io import fits

from tests.support import mock

__all__ = ["KINDS", "ROLES", "case", "remove", "write_originals"]

ROLES = {"mosaic": "a_f150w_i2d.fits", "kappa": "kappa.fits", "psf": "psf.fits", "mask": "patch.fits"}
"""FITS files of the original run file, by what they are for."""

_COMMANDS = (("plan",), ("plan",), ("plan",), ("audit",), ("run", "--show-config"))

_TEXTS = (
    "",
    " ",
    "null",
    "x" * 100_000,
    "\x00",
    "\x1b[31mred\x1b[0m",
    "\u202e\U0001f52d",
    "../../../../etc/passwd",
    "/dev/zero",
    "/dev/null",
    "/proc/self/mem",
    ".",
    "kappa.fits",
    "arc.reg",
    "run.yaml",
    "file:///nowhere",
    "quux://nowhere/x.fits",
    "1e400",
    "-1e400",
    "nan",
    "0x",
    "1_000",
    "12:34:56.7 -00:00:00",
    "2020-13-45",
    "%s%n{0}$HOME",
    "a" * 300,
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    10**30,
    -(10**30),
    2**63,
    1e-300,
    1e300,
    -0.0,
    float("inf"),
    float("-inf"),
    float("nan"),
    90.0,
    360.0,
    [],
    {},
    [[]],
    [None],
    {"": ""},
    {"a": {"b": {"c": 1}}},
    [1, "x", None],
    [0.5, 5.0],
    [[0.5, 5.0]],
    list(range(3000)),
    {str(number): number for number in range(300)},
)
_TOKENS = (
    "[" * 900,
    "{" * 900,
    "- " * 500,
    "!!python/object:os.system ",
    "!!bool maybe",
    "!!int ''",
    "!!float x",
    "!!timestamp 2020-13-45",
    "!!binary '!'",
    "!!set {a}",
    "!!omap [a]",
    "&a [*a, *a]",
    "*nowhere",
    "<<: *x",
    "<<: 1",
    "? [a, b]",
    "---\n",
    "...\n",
    "%YAML 9.9\n",
    "%TAG ! x\n",
    "\t",
    "\x00",
    "\x7f",
    "\x85",
    "\ufeff",
    "0x",
    "0o9",
    "1e400",
    "2020-13-45",
    "2020-02-30T25:61:61Z",
    "1:99:99",
    "=",
    "'",
    '"',
    '"\\x"',
    '"\\U99999999"',
    "|\n",
    ">9\n",
    "#",
    ": ",
    ",",
    "]",
    "}",
    "~",
    "x" * 2000,
)
_CARDS = (
    "'",
    "''",
    "'unterminated",
    "T",
    "F",
    "?",
    "-1",
    "0",
    "1",
    "2",
    "1E400",
    "-1E999",
    "1.5",
    "NaN",
    "1 8",
    "@@",
    "(1.0, 2.0)",
    "999999999999999999999",
    "'\x05'",
    "'\xff\xfe'",
    "'deg'",
    "'RA---TAN'",
    "'DEC--SIN'",
    "'GLON-CAR'",
    "'BINTABLE'",
    "'SCI'",
    "1e-300",
    "1e300",
    "-32",
    "8",
    "65",
)


def write_originals(folder: Path) -> Path:
    """Write the good inputs that are damaged: two fields, a convergence map, masks and a PSF; return the run file."""
    run_file = mock.write_inputs(folder, ingest="never")
    y, x = np.mgrid[-12:13, -12:13]
    stamp = np.exp(-(y**2 + x**2) / 4.0).astype(np.float32)
    fits.writeto(folder / ROLES["psf"], stamp, fits.Header({"PIXSCL": 0.5}))
    bands = {"F090W": "a_f090w_i2d.fits", "F150W": {"sci": ROLES["mosaic"], "psf": ROLES["psf"]}}
    return mock.edited(run_file, "run.yaml", {"fields.0.bands": bands})


def case(seed: int, originals: Path, folder: Path) -> tuple[str, tuple[str, ...]]:
    """Write the inputs of one case into a folder; return the kind of damage and the command's words.

    Files that are not damaged are links to the originals.
    """
    draw = np.random.default_rng(seed)
    kind = str(draw.choice(list(KINDS), p=[WEIGHTS.get(kind, 0.1) for kind in KINDS]))
    folder.mkdir(parents=True)
    for path in originals.iterdir():
        (folder / path.name).symlink_to(path)
    KINDS[kind](draw, folder)
    command = _COMMANDS[int(draw.integers(len(_COMMANDS)))]
    if command[0] == "run" and kind not in _OF_THE_RUN_FILE:  # it would not look at what is damaged
        command = ("plan",)
    return kind, (*command, str(folder / "run.yaml"))


def _replaced(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def _paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value of a tree."""
    found = [above] if above else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*found, *(path for key, inner in items for path in _paths(inner, (*above, key)))]


def _settings(draw: np.random.Generator, folder: Path) -> None:
    """Change, remove, rename or add values of the run file's tree."""
    path = folder / "run.yaml"
    content = yaml.safe_load(path.read_text())
    extra = {
        "filter": {"stages": [[0.5, 5.0], [1.0, 3.0]], "discretisation": "integrated", "weights": "equal"},
        "density": {"alpha": 1.6, "softening": 0.9},
        "relation": {"box": 3.0, "max_radius": 60.0},
        "profile": {"edges": [1, 5, 20]},
        "cosmology": {"H0": 70.0, "Om0": 0.3},
        "compute": {"workers": 1, "memory": "2 GiB"},
        "photometry": {"apertures": [0.1, 0.2]},
    }
    for name in draw.choice(list(extra), 2, replace=False):
        content[str(name)] = extra[str(name)]
    for _ in range(int(draw.integers(1, 4))):
        ways = _paths(content)
        if not ways:
            break
        *above, key = ways[int(draw.integers(len(ways)))]
        section = content
        for part in above:
            section = section[part]
        how = draw.integers(4)
        value = _value(draw)
        if how == 0 and isinstance(section, dict):
            del section[key]
        elif how == 1 and isinstance(section, dict):
            section[str(_text(draw)) if draw.random() < 0.3 else f"{key}_"] = section.pop(key)
        elif how == 2 and isinstance(section, dict):
            section[f"new{draw.integers(9)}"] = value
        else:
            section[key] = value
    _replaced(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def _value(draw: np.random.Generator) -> Any:
    # A copy: what is put into a tree may itself be changed later.
    return _text(draw) if draw.random() < 0.4 else copy.deepcopy(_VALUES[int(draw.integers(len(_VALUES)))])


def _text(draw: np.random.Generator) -> str:
    return _TEXTS[int(draw.integers(len(_TEXTS)))]


def _yaml_text(draw: np.random.Generator, folder: Path) -> None:
    """Damage the run file as text: tokens put in, bytes cut out, doubled or changed."""
    path = folder / "run.yaml"
    content = bytearray(path.read_bytes())
    for _ in range(int(draw.integers(1, 4))):
        at = int(draw.integers(len(content) + 1))
        how = draw.integers(5)
        if how <= 1:
            token = _TOKENS[int(draw.integers(len(_TOKENS)))].encode()
            if draw.random() < 0.5:  # as a value: where a line's value would stand
                at = content.find(b": ", at) + 2
            content[at:at] = token
        elif how == 2:
            del content[at : at + int(draw.integers(1, 60))]
        elif how == 3:
            content[at:at] = content[at : at + int(draw.integers(1, 200))]
        elif content:
            content[min(at, len(content) - 1)] = int(draw.integers(256))
    _replaced(path, bytes(content))


def _alias_bomb(draw: np.random.Generator, folder: Path) -> None:
    """Write lists of aliases of lists of aliases: a few hundred bytes that stand for up to 10^12 values."""
    depth, width = int(draw.integers(3, 12)), int(draw.integers(2, 12))
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
    where = ("recipe", "cluster", "fields", "masks")[int(draw.integers(4))]
    _replaced(folder / "run.yaml", "\n".join([*lines, f"{where}: *a{depth - 1}"]).encode())


def _fits(role: str) -> Callable[[np.random.Generator, Path], None]:
    def damage(draw: np.random.Generator, folder: Path) -> None:
        path = folder / ROLES[role]
        content = bytearray(path.read_bytes())
        for _ in range(int(draw.integers(1, 4))):
            content = _damaged_fits(draw, content)
        _replaced(path, bytes(content))

    return damage


def _damaged_fits(draw: np.random.Generator, content: bytearray) -> bytearray:
    cards = [at for at in range(0, len(content) - 79, 80) if content[at + 8 : at + 10] == b"= "]
    how = draw.integers(9)
    if how <= 4 and cards:  # the value of a card; most of the structure is in the first ones
        at = cards[int(len(cards) * draw.random() ** 2)]
        keyword, value = bytes(content[at : at + 10]), _CARDS[int(draw.integers(len(_CARDS)))]
        if draw.random() < 0.1:
            keyword = keyword[:8] + b"  "
        elif draw.random() < 0.1:
            keyword = bytes(draw.integers(32, 127, 8, dtype=np.uint8)) + b"= "
        content[at : at + 80] = (keyword + value.rjust(20).encode("latin-1")).ljust(80)[:80]
    elif how == 5 and cards:  # a card cut out, or twice
        at = cards[int(draw.integers(len(cards)))]
        if draw.random() < 0.5:
            content[at : at + 80] = b" " * 80
        else:
            content[at + 80 : at + 160] = content[at : at + 80]
    elif how == 6:
        del content[int(len(content) * draw.random()) :]
    elif how == 7:
        at = int(draw.integers(max(len(content), 1)))
        content[at : at + 400] = bytes(draw.integers(0, 256, int(draw.integers(1, 400)), dtype=np.uint8))
    else:  # single bytes of headers
        for _ in range(int(draw.integers(1, 20))):
            if cards:
                at = cards[int(draw.integers(len(cards)))] + int(draw.integers(80))
                content[at] = int(draw.integers(256))
    return content


def _other_file(draw: np.random.Generator, folder: Path) -> None:
    """Put something else in a file's place: another file, a gzip file, a bomb, a pipe, a folder, nothing."""
    names = [*ROLES.values(), "arc.reg", "run.yaml"]
    path = folder / names[int(draw.integers(len(names)))]
    how = int(draw.integers(9))
    if how == 0:
        other = (folder / names[int(draw.integers(len(names)))]).read_bytes()
        _replaced(path, other)
    elif how == 1:
        _replaced(path, gzip.compress(path.read_bytes(), 1))
    elif how == 2:
        head = path.read_bytes()[:5760]
        _replaced(path, gzip.compress(head + bytes(int(draw.integers(1, 200)) << 20), 1))
    elif how == 3:
        path.unlink()
        os.mkfifo(path)
    elif how == 4:
        path.unlink()
        path.mkdir()
    elif how == 5:
        path.unlink()
    elif how == 6:
        _replaced(path, b"")
    elif how == 7:
        path.unlink()
        path.symlink_to(str(draw.choice(["/dev/zero", "/dev/null", "/dev/tty", path.name, "/nowhere"])))
    else:
        _replaced(path, bytes(draw.integers(0, 256, int(draw.integers(1, 20_000)), dtype=np.uint8)))


def _regions(draw: np.random.Generator, folder: Path) -> None:
    """Damage the DS9 file."""
    words = (
        "circle",
        "ellipse",
        "polygon",
        "box",
        "annulus",
        "fk5",
        "image",
        "physical",
        "galactic",
        "(",
        ")",
        ",",
        '"',
        "'",
        "-",
        "1e400",
        "nan",
        "0",
        "-5",
        "1d2m3s",
        "99:99:99",
        "&&",
        "||",
        "#",
        "text={",
        ";",
        "\n",
        "global",
        "\x00",
        "\xff",
        "i",
        "p",
        "panda(1,2,0,360,4,1,5,1)",
        "line(1,2,3,4)",
        "-circle(1,1,1)",
        "polygon(1,1)",
        "circle(1,1,1e12)",
        "x" * 3000,
    )
    path = folder / "arc.reg"
    text = path.read_text()
    for _ in range(int(draw.integers(1, 6))):
        at = int(draw.integers(len(text) + 1))
        cut = int(draw.integers(0, 12)) if draw.random() < 0.5 else 0
        text = text[:at] + words[int(draw.integers(len(words)))] + text[at + cut :]
    _replaced(path, text.encode("utf-8"))


KINDS: dict[str, Callable[[np.random.Generator, Path], None]] = {
    "settings": _settings,
    "YAML text": _yaml_text,
    "alias bomb": _alias_bomb,
    **{role: _fits(role) for role in ROLES},
    "regions": _regions,
    "other file": _other_file,
}
"""What is damaged, and how."""

WEIGHTS = {"settings": 0.25, "YAML text": 0.2, "alias bomb": 0.02, "other file": 0.05, "regions": 0.08}
"""How often; 0.1 for the others."""

_OF_THE_RUN_FILE = {"settings", "YAML text", "alias bomb"}


def remove(folder: Path) -> None:
    """Remove the folder of a case."""
    shutil.rmtree(folder, ignore_errors=True)
