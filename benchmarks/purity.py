"""How many detections are real and how much of the truth is found: one measure for every detector.

*Purity*: detections within 2 px of a compact object of the truth, masked or not, over all detections but those within
2 px of a resolved galaxy's middle, which are counted apart. *Completeness*: compact objects of the truth outside of the
masks with any detection within 2 px, in bins of magnitude. *By chance*: places outside of the masks drawn at random
that lie within 2 px of a compact object; a purity is worth what it has above that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

__all__ = ["BINS", "COMPACT", "RESOLVED", "Counts", "count", "of_field"]

COMPACT = ("gc", "member_gc", "background_point", "star")
RESOLVED = ("bcg", "member", "field_galaxy", "background_extended", "arc_clump")
"""Kinds of `tilegc simulate`. The smooth light of arcs and between galaxies has no place to be found at."""

RADIUS = 2.0
BINS = ((29.0, 30.0), (30.0, 30.5))
"""AB magnitude in F150W."""

DRAWN = 20_000


@dataclass(frozen=True)
class Counts:
    """Integers that add up over fields and seeds."""

    found: int
    """Detections."""
    real: int
    """On a compact object."""
    resolved: int
    """On a resolved galaxy and on no compact object."""
    planted: tuple[int, ...]
    """Compact objects outside of the masks, in `BINS`."""
    recovered: tuple[int, ...]
    """Those of them that were found."""
    inside: int
    """Pixels with data, and away from the edges."""
    masked: int
    """Those of them under any mask."""
    drawn: int = 0
    chance: int = 0

    def __add__(self, other: Counts) -> Counts:
        def both(name: str) -> Any:
            a, b = getattr(self, name), getattr(other, name)
            return tuple(x + y for x, y in zip(a, b, strict=True)) if isinstance(a, tuple) else a + b

        return type(self)(**{name: both(name) for name in self.__dataclass_fields__})

    @property
    def false(self) -> int:
        """Detections on nothing."""
        return self.found - self.resolved - self.real

    @property
    def purity(self) -> float:
        """Share of real ones; NaN of none."""
        return _share(self.real, self.found - self.resolved)

    @property
    def completeness(self) -> tuple[float, ...]:
        """Share of planted ones that were found, in `BINS`."""
        return tuple(_share(a, b) for a, b in zip(self.recovered, self.planted, strict=True))

    @property
    def masked_share(self) -> float:
        """Share of the area inside the edges."""
        return _share(self.masked, self.inside)

    @property
    def by_chance(self) -> float:
        """Purity that places drawn at random have."""
        return _share(self.chance, self.drawn)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def of_field(truth: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
    """Return the rows of a truth table that are of a field, as plain columns: kind, y, x, mag."""
    plain = {
        key: np.asarray(getattr(truth[key], "value", truth[key]))
        for key in ("kind", "field", "y", "x", "mag_f150w")
    }
    here = plain["field"].astype(str) == name
    return {
        "kind": plain["kind"][here].astype(str),
        "y": plain["y"][here],
        "x": plain["x"][here],
        "mag": plain["mag_f150w"][here],
    }


def count(
    found: np.ndarray, truth: Mapping[str, np.ndarray], mask: np.ndarray, *, seed: int | None = None
) -> Counts:
    """Compare detections with the truth of one field.

    Parameters
    ----------
    found : ndarray, shape (n, 2)
        Places y, x, pixels, 0-based.
    truth : mapping
        kind, y, x, mag: of `of_field`.
    mask : ndarray of uint8, shape (ny, nx)
        Bits of `tilegc.schema.Bit`; 1 and 2 are outside of the field.
    seed : int, optional
        Of the places drawn at random; none are drawn without.
    """
    compact, resolved = (np.isin(truth["kind"], kinds) for kinds in (COMPACT, RESOLVED))
    place = np.column_stack([truth["y"], truth["x"]])
    on = _near(found, place[compact])
    galaxy = _near(found, place[resolved]) & ~on
    row, column = (np.rint(place[:, axis]).astype(int) for axis in (0, 1))
    there = (row >= 0) & (column >= 0) & (row < mask.shape[0]) & (column < mask.shape[1])
    free = np.zeros(len(place), bool)
    free[there] = mask[row[there], column[there]] == 0
    recovered = _near(place, found)
    bins = [compact & free & (truth["mag"] >= low) & (truth["mag"] < high) for low, high in BINS]
    inside = (mask & 3) == 0
    drawn = chance = 0
    if seed is not None and (mask == 0).any():
        good = np.argwhere(mask == 0)
        places = good[np.random.default_rng(seed).integers(0, len(good), DRAWN)]
        drawn, chance = DRAWN, int(_near(places, place[compact]).sum())
    return Counts(
        len(found),
        int(on.sum()),
        int(galaxy.sum()),
        tuple(int(one.sum()) for one in bins),
        tuple(int((one & recovered).sum()) for one in bins),
        int(inside.sum()),
        int((inside & (mask != 0)).sum()),
        drawn,
        chance,
    )


def _near(these: np.ndarray, those: np.ndarray) -> np.ndarray:
    """Return which of these places have one of those within `RADIUS`, inclusive."""
    if not len(these) or not len(those):
        return np.zeros(len(these), bool)
    distance, _ = cKDTree(those).query(these, distance_upper_bound=np.nextafter(RADIUS, np.inf))
    return np.isfinite(distance)
