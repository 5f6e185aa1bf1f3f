"""What the phase `photometry` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tilegc.detection.threshold import Selection
from tilegc.phases.partials import Table
from tilegc.photometry.fit import FieldFit

__all__ = ["Measured"]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Candidates and catalogue with positions and fluxes; as they were detected where photometry is off."""

    selection: Selection
    fits: Mapping[str, FieldFit] = field(default_factory=dict)
    """By field with candidates: what artificial stars are measured on; empty where photometry is off."""

    @property
    def candidates(self) -> Table:
        """The peaks >= T: columns of `schema.CANDIDATES`, and those of photometry."""
        return self.selection.candidates

    @property
    def catalogue(self) -> Table:
        """The sources: the peaks >= keep x T."""
        return self.selection.catalogue
