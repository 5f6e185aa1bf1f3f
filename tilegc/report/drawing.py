"""A figure with the words that go under it."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

__all__ = ["Drawing", "Drawn"]


@dataclass(frozen=True, eq=False)
class Drawing:
    """One figure of the report."""

    name: str
    """Of its file, without the suffix."""
    figure: Figure
    caption: str
    """One or two plain sentences: what is shown, and what each mark is."""
    wide: bool = False
    """Whether it takes the page's whole width."""


@dataclass(frozen=True)
class Drawn:
    """The same as an image."""

    name: str
    png: bytes
    caption: str
    wide: bool
