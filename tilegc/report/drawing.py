"""A figure and its caption."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

__all__ = ["Drawing", "Drawn"]


@dataclass(frozen=True, eq=False)
class Drawing:
    """One figure of the report."""

    name: str
    """Name of the file, without suffix."""
    figure: Figure
    caption: str
    """One or two plain sentences: what the figure shows, and the meaning of each symbol."""
    wide: bool = False
    """Whether the figure takes the full width of the page."""


@dataclass(frozen=True)
class Drawn:
    """A drawn figure, as an image."""

    name: str
    png: bytes
    caption: str
    wide: bool
    pdf: bytes | None = None
    """The same at the width of a journal, if asked for."""
