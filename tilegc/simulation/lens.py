"""The lens of a mock cluster: the analytic one, or a given convergence map, and the preset about its centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tilegc import config, sky
from tilegc.errors import ConfigError, ConvergenceError
from tilegc.io.convergence import read_convergence
from tilegc.simulation.frame import Frame
from tilegc.simulation.mass import REFERENCE_REDSHIFT, AnalyticMass, Convergence, MapMass
from tilegc.simulation.presets import Preset

__all__ = ["covers", "lens"]


def lens(
    preset: Preset, path: str | Path | None, source_redshift: float | None, scaling: float | None
) -> tuple[Convergence, Preset]:
    """Return the lens and the preset round its centre: a given map's peak, where it is not on the preset's."""
    if path is None:
        if source_redshift is not None or scaling is not None:
            raise ConfigError(
                "kappa_source_redshift, kappa_lens_scaling: they describe a map; give kappa too"
            )
        return preset.mass or AnalyticMass(()), preset
    if (source_redshift is None) == (scaling is None):
        raise ConvergenceError(
            f"kappa: the scaling of {path} is scaled; give exactly one of kappa_source_redshift and"
            " kappa_lens_scaling (D_LS / D_S)"
        )
    declared = config.Convergence(
        path=str(path),
        source_redshift=None
        if source_redshift is None
        else _positive("kappa_source_redshift", source_redshift),
        lens_scaling=None if scaling is None else _positive("kappa_lens_scaling", scaling),
        reference_redshift=REFERENCE_REDSHIFT,
    )
    given = read_convergence(declared, sky.cosmology(config.Cosmology()), preset.redshift)
    if not float(given.at(preset.ra, preset.dec)) > 0.0:
        y, x = np.unravel_index(int(np.nanargmax(given.values)), given.values.shape)
        ra, dec = (float(value) for value in sky.pixel_to_world(given.wcs, y, x))
        preset = replace(preset, cluster_name="MOCK", ra=ra, dec=dec)
    return MapMass(given, preset.ra, preset.dec), preset


def covers(mass: Convergence, frames: Sequence[Frame]) -> bool:
    """Return whether a kappa map has mass on some field (looked at on a 33 x 33 mesh)."""
    for frame in frames:
        x, y = np.meshgrid(np.linspace(0, frame.nx, 33), np.linspace(0, frame.ny, 33))
        if (mass.kappa(*frame.plane(x, y)) > 0.0).any():
            return True
    return False


def _positive(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not number > 0.0 or not np.isfinite(number):
        raise ConfigError(f"{name}: {value!r} is not a positive number; give one")
    return number
