"""The list of objects: kinds, columns, colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "SED", "Objects", "fluxes", "objects_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

KINDS: tuple[str, ...] = (
    "bcg",
    "icl",
    "member",
    "field_galaxy",
    "arc",
    "arc_clump",
    "background_extended",
    "background_point",
    "gc",
    "member_gc",
    "star",
)
"""Kinds of objects, in the order in which they are drawn and numbered."""

SED: Mapping[str, Mapping[str, float]] = {
    "gc": {"F090W": 0.60, "F115W": 0.80, "F150W": 0.95, "F200W": 1.00},
    "galaxy": {"F090W": 0.52, "F115W": 0.73, "F150W": 0.92, "F200W": 1.00},
    "blue": {"F090W": 0.95, "F115W": 0.95, "F150W": 1.00, "F200W": 1.02},
    "star": {"F090W": 0.95, "F115W": 1.02, "F150W": 1.00, "F200W": 0.80},
}
"""Relative f_nu per band."""


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects in the tangent plane; row by row.

    Attributes
    ----------
    kind : ndarray of int64
        Index into `KINDS`.
    xi, eta : ndarray of float64
        East and north of the cluster centre, arcsec.
    mag : ndarray of float64
        AB magnitude in F150W, total.
    flux : ndarray of float64, shape (n, bands)
        nJy.
    radius : ndarray of float64
        Half-light radius, arcsec; 0 for points. Of an arc, its radius round the centre.
    axis_ratio, position_angle, index : ndarray of float64
        Shape: minor over major axis, degrees east of north, Sersic index.
    length : ndarray of float64
        Degrees along an arc, else 0.
    width : ndarray of float64
        Sigma across an arc, arcsec, else 0.
    """

    kind: Ints
    xi: Floats
    eta: Floats
    mag: Floats
    flux: Floats
    radius: Floats
    axis_ratio: Floats
    position_angle: Floats
    index: Floats
    length: Floats
    width: Floats

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.kind)


def fluxes(mag: Floats, bands: Sequence[str], sed: str, scatter: Sequence[Floats] | None = None) -> Floats:
    """Return nJy per band from magnitudes in F150W; `scatter` adds magnitudes per band."""
    base = 10.0 ** (-0.4 * (mag - 31.4))
    columns = []
    for n, band in enumerate(bands):
        ratio = SED[sed][band] / SED[sed]["F150W"]
        column = base * ratio
        if scatter is not None and band != "F150W":
            column = column * 10.0 ** (-0.4 * scatter[n])
        columns.append(column)
    return np.stack(columns, axis=1)


def objects_of(
    kind: str,
    xi: Floats,
    eta: Floats,
    mag: Floats,
    flux: Floats,
    **shape: Floats | float,
) -> Objects:
    """Return objects of one kind; columns of `shape` that are not given say "a round point"."""
    n = len(xi)
    columns = {
        "radius": 0.0,
        "axis_ratio": 1.0,
        "position_angle": 0.0,
        "index": 0.0,
        "length": 0.0,
        "width": 0.0,
    }
    filled = {
        name: np.array(np.broadcast_to(np.asarray(shape.get(name, default), np.float64), (n,)))
        for name, default in columns.items()
    }
    return Objects(np.full(n, KINDS.index(kind), np.int64), xi, eta, mag, flux, **filled)
