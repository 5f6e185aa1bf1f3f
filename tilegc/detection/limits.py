"""The limit T of one field, and the one above which fields are compared (algorithm.md, section 6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from tilegc.detection.noise.noise_map import NoiseMap, Steps
from tilegc.detection.peaks import Candidates, at_least

__all__ = ["Common", "Threshold"]


@dataclass(frozen=True)
class Threshold:
    """T of one field."""

    value: float
    """nJy per pixel; signal-to-noise where `local`, in the usual zone of noise; NaN where the field has no noise."""
    local: bool
    typical: float
    """nJy per pixel; where `local`, at the field's median noise."""
    chosen: bool = False
    """Whether `auto` found it; False also where it had to fall back."""
    by_zone: Mapping[int, float] = field(default_factory=dict)
    """Limit of the catalogue in signal-to-noise in each zone of noise, where `auto` looked for them."""
    steps: Steps | None = None
    """T of each zone over `value`, where zones differ."""
    missed: bool = False
    """Whether `auto` found no limit that is pure enough, in some zone or in all."""
    reason: str = "as asked for in the run file"
    """Why T is what it is, for the terminal and the report."""

    @property
    def least(self) -> float:
        """T of the zone where it is lowest."""
        return self.value * min(self.steps.factors) if self.steps is not None else self.value

    def lowest(self, noise: np.ndarray, factor: float = 1.0) -> np.ndarray:
        """Return the least peak, or signal-to-noise where `local`, of `factor` x T, float32 (n,).

        Parameters
        ----------
        noise : (n,) float
            Local noise, nJy per pixel.
        factor : float
        """
        if self.steps is None:
            return np.full(np.shape(noise), at_least(factor * self.value))
        ratios = self.steps.of(noise)
        limits = {ratio: at_least(factor * self.value * ratio) for ratio in set(self.steps.factors)}
        return np.array([limits[ratio] for ratio in ratios.tolist()], np.float32)


@dataclass(frozen=True)
class Common:
    """The limit above which fields are compared with one another, and where they are complete to it."""

    limit: float
    """nJy per pixel; infinite where no field has a threshold."""
    complete: Mapping[str, tuple[NoiseMap, float]]
    """By field, local noise and the highest at which keep x T is not above the limit; empty: everywhere.

    Where limits differ by zone, the noise is the one that carries their ratios (`NoiseMap.steps`).
    """

    def sources(self, catalogue: Candidates) -> Candidates:
        """Return the rows of a catalogue that count."""
        rows = catalogue["peak"] >= at_least(self.limit)
        for name, (noise, ceiling) in self.complete.items():
            on = catalogue["field"] == name
            # Peaks were ranked by their ratio to the local noise, so this is that noise: the catalogue has no column
            # for it.
            here = (catalogue["peak"][on] / catalogue["snr"][on]).astype(np.float32)
            if noise.steps is not None:
                here *= noise.steps.of(here).astype(np.float32)
            rows[on] &= here <= np.float64(ceiling)
        return {name: column[rows] for name, column in catalogue.items()}
