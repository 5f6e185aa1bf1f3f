"""What the phase `filter` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tilegc.filter.detection_map import FilterParams
from tilegc.images.psfs import BandPsf

__all__ = ["Filtered"]


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """How the detection map of every field was made; the map itself is in the field's store."""

    psfs: Mapping[str, tuple[BandPsf, ...]]
    """PSF of every band, by field."""
    params: Mapping[str, FilterParams]
    """What the bands were filtered with, by field."""
