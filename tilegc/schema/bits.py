"""Bits of the mask, and of the photometric flags of a source."""

from __future__ import annotations

from enum import IntFlag
from typing import Final

__all__ = ["MASK_MEANINGS", "Bit", "Flag"]


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
