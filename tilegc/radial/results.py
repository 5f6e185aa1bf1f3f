"""What the phase `radial` finds."""

from __future__ import annotations

from dataclasses import dataclass

from tilegc.phases.partials import Table
from tilegc.radial.contamination import Component, Contamination
from tilegc.radial.mass_table import Line
from tilegc.radial.masses import Masses
from tilegc.radial.radial_laws import Radial
from tilegc.skygrid.lens_models import LensModels, Peak

__all__ = ["Profiled"]


@dataclass(frozen=True, kw_only=True)
class Profiled:
    """Everything that depends on the distance from the cluster's centre."""

    profile: Table
    """Columns of `schema.PROFILE`, field by field."""
    contamination: Contamination
    """Sources of the outermost annulus."""
    radial: Radial
    """Laws, annuli and shapes, all fields together."""
    budget: tuple[Component, ...]
    """Estimates of the contamination."""
    masses: Masses
    mass_lines: tuple[Line, ...]
    """Masses with their arithmetic."""
    lens: LensModels | None
    """The lens models that entered; None without a convergence map."""
    peaks: tuple[Peak, ...]
    """Maxima of kappa, highest first."""
