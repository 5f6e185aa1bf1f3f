"""Bits of the mask, and of the flags of sources and artificial stars."""

from __future__ import annotations

from enum import IntFlag
from typing import Final

__all__ = ["MASK_MEANINGS", "Bit", "Flag", "StarFlag"]


class Bit(IntFlag):
    """Bits of the mask (uint8): why a pixel's peak may not be recorded."""

    NO_DATA = 1
    EDGE = 2
    BRIGHT = 4
    EXTENDED = 8
    SPIKE = 16
    REGION = 32
    ARC = 64


MASK_MEANINGS: Final = {
    Bit.NO_DATA: "No data",
    Bit.EDGE: "Edge of the field",
    Bit.BRIGHT: "Bright object",
    Bit.EXTENDED: "Extended object",
    Bit.SPIKE: "Diffraction spike",
    Bit.REGION: "Region given by the user",
    Bit.ARC: "Lensed arc",
}
"""Names of the mask bits in figures and in the viewer."""


class Flag(IntFlag):
    """Bits of `flags` of a source: possible problems of its photometry."""

    CLOSE = 1
    """Another source lies within 0.7 px, so that their fluxes cannot be separated."""
    MOVED = 2
    """Its position reached the maximum distance from its peak, 1 px."""
    PARTIAL = 4
    """In some band more than a fifth of the information is in pixels without weight."""
    UNFITTED = 8
    """In some band all of its pixels have zero weight."""
    NEGATIVE = 16
    """Its flux is not positive in some band."""
    CROWDED = 32
    """Its neighbours contribute more light to its stamp than the source itself."""
    POOR = 64
    """In some band chi is above 3: not a single point source."""
    IMPOSSIBLE = 128
    """Its flux, summed over the bands, is not positive although it was detected: do not use its fluxes."""


class StarFlag(IntFlag):
    """Bits of `flags` of an artificial star: whether it was recovered, and where it was placed."""

    FAINT = 1
    """There is no source above the limit at the position of the star."""
    NO_POINT = 2
    """Its peak is above the limit, but its shape is not that of a point source."""
    BLENDED = 4
    """The source at its position is a brighter neighbour."""
    LIFTED = 8
    """The source at its position is a brighter one that was below the limit without the star."""
    BRIGHT = 16
    """It is masked, because it is very bright or merged with a large object."""
    ON_MASK = 32
    """It was placed on a masked pixel next to good ones."""
    NEAR_GAP = 64
    """It is near pixels that the filter excludes."""
