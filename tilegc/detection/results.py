"""What the phase `detect` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tilegc.detection.noise.global_noise import Noise
from tilegc.detection.threshold import Selection

__all__ = ["Detected"]


@dataclass(frozen=True, kw_only=True)
class Detected:
    """Candidates and sources, with the noise that they were compared with."""

    noises: Mapping[str, Noise]
    """Global noise of every field."""
    selection: Selection
