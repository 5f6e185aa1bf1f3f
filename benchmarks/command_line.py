"""Command lines of the benchmarks: what cannot be is one line and exit code 2, before minutes are spent."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from tilegc.errors import TileGCError

__all__ = ["Parser", "at_least", "existing_file", "existing_folder", "require", "said"]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: {message} (--help lists what there is)\n")


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of whole numbers that are not smaller."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r}: give a whole number, {least} or more")
        return value

    return number


def existing_file(text: str) -> Path:
    """Return the path of a file that is there."""
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text}: no such file")
    return Path(text)


def existing_folder(text: str) -> Path:
    """Return the path of a folder that is there."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text}: no such folder")
    return Path(text)


def require(parser: Parser, *modules: str) -> None:
    """End with exit code 2 where a peer's package is not installed."""
    absent = [name for name in modules if find_spec(name) is None]
    if absent:
        parser.error(f"{', '.join(absent)}: not installed: pip install 'tilegc[bench]', or make bench")


def said(main: Callable[[], None]) -> Callable[[], None]:
    """Make of an error that tilegc raises on purpose its one line, and its exit code."""

    @wraps(main)
    def run() -> None:
        try:
            main()
        except TileGCError as error:
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)

    return run
