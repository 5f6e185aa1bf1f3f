"""What the phase `sky grid` finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.phases.partials import Table
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.lens_models import Realisations
from tilegc.skygrid.seen_share import SeenStars

__all__ = ["Gridded"]


@dataclass(frozen=True, kw_only=True)
class Gridded:
    """All fields on one grid on the sky, and the sources that are compared there."""

    cells: SkyCells
    limit: float
    """Peak above which the sources of all fields are compared with one another, nJy per pixel."""
    compared: Table
    """Those sources: columns of `schema.CANDIDATES`."""
    centre: int
    """Position of the field that holds the cluster's centre."""
    zones: tuple[float, ...]
    """Area round a source in which no fainter one is seen, arcsec^2, by field."""
    recovery: NDArray[np.float64]
    """Share of sources that are seen, (eta, xi): from artificial stars, otherwise by their crowding alone."""
    seen: SeenStars | None
    """Artificial stars with the luminosity function; None where there are none."""
    discs: NDArray[np.bool_]
    """Cells in discs round galaxies, (eta, xi)."""
    counting: NDArray[np.bool_]
    """Cells that the likelihoods of positions count, (eta, xi); the profile, boxes and maps count all sky."""
    in_law: NDArray[np.bool_]
    """Cells that the law of counts counts, (eta, xi)."""
    light: NDArray[np.float64] | None
    """Light of galaxies for the law's own term, (eta, xi); None where the law has none."""
    central_light: NDArray[np.float64] | None
    """Light of the central galaxy in units of its value at 1 arcsec, (eta, xi); None where it is not measured."""
    range_maps: Realisations | None
    """Realisations of the lens model on these cells; None without any."""
