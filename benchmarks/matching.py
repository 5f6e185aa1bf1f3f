"""How many detections are real and how much of the truth is found, one to one: one measure for every detector.

*Match*: detections are taken brightest first; each takes the nearest compact object of the truth that is left, within
1.5 px and 0.75 mag. The magnitude of a detection is that of the double-filtered map at its place, the same for all
detectors, with the zero point of unambiguous matches; that of an object is that of its light in all bands.
*Chance*: the catalogue is shifted by some 20 px in eight directions, and matched again. Of the detections on nothing
that share has found a partner by chance: *purity* is 1 - (1 - matched) / (1 - chance). Detections within 2 px of the
middle of a resolved galaxy that match nothing are counted apart.
*Completeness*: isolated compact objects outside of the masks, in bins of magnitude, that are matched; isolated are
those with nothing brighter than one magnitude below them within 5 px.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.purity import BINS, COMPACT, RESOLVED, Counts

__all__ = ["RADIUS", "TOLERANCE", "OneToOne", "count", "magnitudes", "matched", "of_field"]

RADIUS, TOLERANCE = 1.5, 0.75
"""Pixels and magnitudes within which a detection is its object."""
ISOLATED, FAINTER = 5.0, 1.0
"""Pixels within which an isolated object has no other brighter than this many magnitudes below it."""
GALAXY = 2.0
"""Pixels from the middle of a resolved galaxy within which a detection is counted apart."""
SHIFT = 20.0
FAINTEST = 33.0
"""Objects of the truth fainter than this are no partner for any detection."""

Truth = Mapping[str, np.ndarray]


class OneToOne(Counts):
    """Counts of matches one to one; `drawn` and `chance` are of the shifted catalogues."""

    @property
    def purity(self) -> float:
        """Share of real detections, less those that match by chance; NaN of none."""
        raw = super().purity
        lone = 1.0 - (self.by_chance if self.drawn else 0.0)
        return 1.0 - (1.0 - raw) / lone if lone > 0.0 else float("nan")


def of_field(truth: Mapping[str, Any], name: str) -> dict[str, np.ndarray]:
    """Return the rows of a truth table that are of a field.

    Columns: kind, y, x, mag (F150W) and all (magnitude of the light in all bands, from nJy without a zero point).
    """
    plain = {key: np.asarray(getattr(column, "value", column)) for key, column in truth.items()}
    rows = plain["field"].astype(str) == name
    light = np.sum([column for key, column in plain.items() if key.startswith("flux_")], axis=0)
    return {
        "kind": plain["kind"][rows].astype(str),
        "y": plain["y"][rows],
        "x": plain["x"][rows],
        "mag": plain["mag_f150w"][rows],
        "all": -2.5 * np.log10(np.maximum(light[rows], 1e-9)),
    }


def magnitudes(places: np.ndarray, image: np.ndarray, truth: Truth) -> np.ndarray:
    """Return the magnitudes of detections on the scale of ``truth["all"]``.

    The brightness is the highest value of the double-filtered map within a pixel. The zero point is the median over
    isolated objects with one detection within a pixel.
    """
    if not len(places):
        return np.zeros(0)
    row, column = np.rint(places).astype(int).T
    value = np.full(len(places), -np.inf)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            y, x = (
                np.clip(a + d, 0, n - 1) for a, d, n in zip((row, column), (dy, dx), image.shape, strict=True)
            )
            value = np.maximum(value, image[y, x])
    raw = -2.5 * np.log10(np.maximum(value, 1e-30))
    alone = isolated(truth) & (truth["mag"] > 26.0) & (truth["mag"] < 30.0)
    if not alone.any():
        return raw
    objects = np.column_stack([truth["y"][alone], truth["x"][alone]])
    distance, nearest = cKDTree(objects).query(places, distance_upper_bound=1.0)
    sure = np.isfinite(distance)
    if not sure.any():
        return raw
    return raw + float(np.median(truth["all"][alone][nearest[sure]] - raw[sure]))


def isolated(truth: Truth) -> np.ndarray:
    """Return which compact objects have nothing of about their brightness beside them."""
    places = np.column_stack([truth["y"], truth["x"]])
    real = np.isfinite(places).all(axis=1)
    rows = np.flatnonzero(real)
    alone = np.isin(truth["kind"], COMPACT) & real
    if not len(rows):
        return alone
    tree = cKDTree(places[rows])
    first, second = rows[tree.query_pairs(ISOLATED, output_type="ndarray")].T
    mag = truth["all"]
    alone[first[mag[second] < mag[first] + FAINTER]] = False
    alone[second[mag[first] < mag[second] + FAINTER]] = False
    return alone


def matched(places: np.ndarray, mags: np.ndarray, objects: np.ndarray, object_mags: np.ndarray) -> np.ndarray:
    """Return the object of each detection, -1 where it has none.

    Parameters
    ----------
    places, mags : ndarray, shapes (n, 2), (n,)
        Detections: y, x in pixels, and magnitudes.
    objects, object_mags : ndarray, shapes (m, 2), (m,)
        The truth.
    """
    partner = np.full(len(places), -1)
    if not len(places) or not len(objects):
        return partner
    taken = np.zeros(len(objects), bool)
    near = cKDTree(objects).query_ball_point(places, RADIUS)
    for n in np.argsort(mags, kind="stable"):
        # a hair wider, so that rounding of the magnitudes does not decide
        allowed = TOLERANCE + 1e-9
        choices = [k for k in near[n] if not taken[k] and abs(object_mags[k] - mags[n]) <= allowed]
        if choices:
            best = min(choices, key=lambda k, n=n: float(np.hypot(*(objects[k] - places[n]))))
            partner[n] = best
            taken[best] = True
    return partner


def count(
    places: np.ndarray, truth: Truth, mask: np.ndarray, image: np.ndarray, *, chance: bool = True
) -> OneToOne:
    """Compare detections with the truth of one field.

    Parameters
    ----------
    places : ndarray, shape (n, 2)
        Detections: y, x, pixels, 0-based.
    truth : mapping
        Of `of_field`.
    mask : ndarray of uint8, shape (ny, nx)
        Bits of `tilegc.schema.Bit`; 1 and 2 are outside of the field.
    image : ndarray of float, shape (ny, nx)
        Double-filtered map, for the magnitudes of detections.
    chance : bool
        Whether matches by chance are counted, too.
    """
    position = np.column_stack([truth["y"], truth["x"]])
    compact = np.isin(truth["kind"], COMPACT) & (truth["mag"] < FAINTEST) & np.isfinite(position).all(axis=1)
    mags = magnitudes(places, image, truth)
    objects, object_mags = position[compact], truth["all"][compact]
    partner = matched(places, mags, objects, object_mags)
    free = partner < 0
    galaxies = position[np.isin(truth["kind"], RESOLVED) & np.isfinite(position).all(axis=1)]
    apart = free & _near(places, galaxies, GALAXY)
    found = np.zeros(len(position), bool)
    found[np.flatnonzero(compact)[partner[~free]]] = True
    row, column = (np.rint(np.nan_to_num(position[:, axis], nan=-1.0)).astype(int) for axis in (0, 1))
    seen = (row >= 0) & (column >= 0) & (row < mask.shape[0]) & (column < mask.shape[1])
    seen[seen] = mask[row[seen], column[seen]] == 0
    alone = isolated(truth) & seen
    bins = [alone & (truth["mag"] >= low) & (truth["mag"] < high) for low, high in BINS]
    inside = (mask & 3) == 0
    drawn = lucky = 0
    if chance and len(places):
        for turn in range(8):
            angle = np.pi * turn / 4 + 0.2
            moved = places + SHIFT * np.array([np.sin(angle), np.cos(angle)])
            drawn += len(places)
            lucky += int((matched(moved, mags, objects, object_mags) >= 0).sum())
    return OneToOne(
        found=len(places),
        real=int((~free).sum()),
        resolved=int(apart.sum()),
        planted=tuple(int(one.sum()) for one in bins),
        recovered=tuple(int((one & found).sum()) for one in bins),
        inside=int(inside.sum()),
        masked=int((inside & (mask != 0)).sum()),
        drawn=drawn,
        chance=lucky,
    )


def _near(these: np.ndarray, those: np.ndarray, radius: float) -> np.ndarray:
    if not len(these) or not len(those):
        return np.zeros(len(these), bool)
    distance, _ = cKDTree(those).query(these, distance_upper_bound=np.nextafter(radius, np.inf))
    return np.isfinite(distance)
