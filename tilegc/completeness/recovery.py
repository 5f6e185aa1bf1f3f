"""Whether a run would have found a star that it did not see: the rules of detection, applied to one star at a time.

The detection filter is linear, so the star's response is added to the detection map in a small window, and the rules
that made the catalogue are applied there again: local maxima, blanking, threshold, masks, shapes. Stars are added one
at a time to the sky as it is, so they never crowd one another.

The catalogues with and without the star are then compared. A source of the new catalogue has exactly one parent, the
brightest of what contributes to it; otherwise a star would count as recovered whenever it falls on a source that is
there anyway, and the completeness of a crowded field would come out too high:

- a new source within `MATCH` pixels of the star: recovered, unless a fainter candidate stood there that is brighter
  than the star, and that the star merely lifted above the limit;
- an old source there, which stays or moves: recovered only if the star is the brighter of the two; the old source then
  counts as displaced;
- every other source that vanishes is displaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tilegc.completeness.responses import Responses
from tilegc.completeness.star_by_star import (
    BLENDED,
    BRIGHT,
    FAINT,
    FOUND,
    LIFTED,
    MATCH,
    NO_POINT,
    judge_all,
)
from tilegc.completeness.window import Fates, Limits, Placed, Points, Sky, Tables
from tilegc.detection.shape_ratios import ShapeTables
from tilegc.kernels.compiled import PLAIN

__all__ = [
    "BLENDED",
    "BRIGHT",
    "FAINT",
    "FOUND",
    "LIFTED",
    "MATCH",
    "NO_POINT",
    "Fates",
    "Limits",
    "Shapes",
    "Sky",
    "recover",
]

Floats = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Shapes:
    """How shapes decide."""

    tables: ShapeTables
    decide: bool
    """Whether only points are catalogued."""


def recover(
    sky: Sky,
    limits: Limits,
    shapes: Shapes,
    stars: Placed,
    reference: Floats,
    responses: Responses,
    patches: tuple[Int64, Floats],
    masked: Bool,
) -> Fates:
    """Return what becomes of every star.

    Parameters
    ----------
    sky : Sky
        Right, as a run made it, within the responses' radius and a few pixels more of every star.
    limits : Limits
        Which peaks are sources of the catalogue.
    shapes : Shapes
        How shapes decide.
    stars : Placed
        The stars, n of them.
    reference : (n,) float64
        Flux in the unit of the detection map, nJy.
    responses : Responses
        Of the field.
    patches : (n,) int64, (k, p, p) float64
        Which of the patches is a star's response, where it was computed pixel by pixel; -1: it is the table's.
    masked : (n,) bool
        Stars that will be masked (`tilegc.completeness.own_mask`).

    Returns
    -------
    Fates
        One row a star.
    """
    n = reference.size
    fates = Fates(
        verdict=np.full(n, FAINT, np.int32),
        displaced=np.zeros(n, np.int32),
        y=np.full(n, -1, np.int64),
        x=np.full(n, -1, np.int64),
        value=np.full(n, np.nan),
    )
    shape = shapes.tables
    maps: list[Any] = [np.require(one, requirements=PLAIN) for one in sky]
    judge_all(
        Sky(*maps),
        limits,
        Points(
            (shape.flux, shape.wide, shape.ratio, shape.height, shape.strips, shape.line),
            shape.line_noise,
            shapes.decide,
        ),
        stars,
        reference,
        Tables(responses.detection, responses.light, *patches),
        masked,
        fates,
    )
    return fates
