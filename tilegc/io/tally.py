"""What was read in this process, counted exactly: windows, chunks, bytes and pixels of every array.

Counting costs nothing beside reading, so it is always on; benchmarks and tests look at it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

__all__ = ["Tally", "tallies", "tally"]


@dataclass
class Tally:
    """What was read of one array since the process began."""

    windows: int = 0
    chunks: int = 0
    """Pieces that were decoded; of plain FITS files none are."""
    bytes: int = 0
    """As they lie on the disk."""
    pixels: int = 0
    """Of the windows."""

    def __sub__(self, other: Tally) -> Tally:
        """Return what was read since `other`."""
        return Tally(
            self.windows - other.windows,
            self.chunks - other.chunks,
            self.bytes - other.bytes,
            self.pixels - other.pixels,
        )


# One table a process: workers report theirs when they are asked.
_TALLIES: defaultdict[str, Tally] = defaultdict(Tally)


def tally(name: str) -> Tally:
    """Return the tally of an array, to be added to."""
    return _TALLIES[name]


def tallies() -> dict[str, Tally]:
    """Return a copy of all tallies, by the array's name."""
    return {name: one - Tally() for name, one in _TALLIES.items()}
