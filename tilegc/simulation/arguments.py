"""Check the arguments of `simulate`, and bring them into the form in which the sky is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tilegc import config, sky
from tilegc.errors import ConfigError, ConvergenceError, RunFolderError
from tilegc.io.convergence import read_convergence
from tilegc.simulation.depth import usual_pattern
from tilegc.simulation.faults import CORES
from tilegc.simulation.frame import Frame
from tilegc.simulation.mass import REFERENCE_REDSHIFT, AnalyticMass, Convergence, MapMass
from tilegc.simulation.presets import BANDS, Preset
from tilegc.simulation.psf import MODELS, BandPSF, read_psf

__all__ = [
    "checked_bands",
    "checked_folder",
    "checked_psfs",
    "checked_sizes",
    "covers",
    "lens_and_preset",
    "with_faults",
]

_LEAST_SIDE = 32


def checked_bands(bands: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the bands, each of which must be known and named once."""
    names = (bands,) if isinstance(bands, str) else tuple(bands)
    for name in names:
        if name not in BANDS:
            raise ConfigError(f"bands: unknown {name!r}; use any of {', '.join(BANDS)}")
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"bands: {', '.join(names) or 'none given'}; name each band once")
    return names


def checked_sizes(size: int | Sequence[int] | None, fields: int) -> tuple[tuple[int, int], ...] | None:
    """Return (y, x) sides of each field in pixels; None keeps those of the preset."""
    if size is None:
        return None
    sides = [size] * fields if isinstance(size, int | np.integer) else list(size)
    good = all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in sides)
    if not good or len(sides) != fields or min(sides) < _LEAST_SIDE:
        raise ConfigError(
            f"size: {size!r} does not fit; give one side or {fields}, in whole pixels from {_LEAST_SIDE} up"
        )
    return tuple((int(s), int(s)) for s in sides)


def checked_psfs(
    psf: str | Mapping[str, str | Path] | None, model: str, bands: Sequence[str], scale: float
) -> tuple[str, dict[str, BandPSF]]:
    """Return the PSF model, and the PSFs that come from files."""
    if isinstance(psf, str):
        model, psf = psf, None
    if model not in MODELS:
        raise ConfigError(f"psf: unknown {model!r}; use {' or '.join(MODELS)}, or a FITS file per band")
    given = dict(psf or {})
    for name in given:
        if name not in bands:
            raise ConfigError(
                f"psf: {name!r} is not one of the simulated bands; use any of {', '.join(bands)}"
            )
    return model, {band: read_psf(band, path, scale) for band, path in given.items()}


def with_faults(
    preset: Preset,
    *,
    steps: float | None,
    stripes: float | None,
    wisps: float | None,
    oversubtraction: float | None,
    cores: str | None,
) -> Preset:
    """Return a preset with other depths and faults than its own; None keeps the preset's."""
    numbers = {"stripes": stripes, "wisps": wisps, "oversubtraction": oversubtraction}
    changes: dict[str, Any] = {
        name: _number(name, value, least=0.0) for name, value in numbers.items() if value is not None
    }
    if cores is not None:
        if cores not in CORES:
            raise ConfigError(f"cores: unknown {cores!r}; use one of {', '.join(CORES)}")
        changes["cores"] = cores
    plans = preset.fields
    if steps is not None:
        noise = _number("steps", steps, least=1.0)
        plans = tuple(
            replace(plan, depth=usual_pattern(noise, beside=plan.cluster is None)) for plan in plans
        )
    return replace(preset, faults=replace(preset.faults, **changes), fields=plans)


def checked_folder(folder: Path, *, overwrite: bool) -> Path:
    """Return a directory in which files may be written, or raise RunFolderError."""
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder}: is a file; give a directory")
    if folder.is_dir() and not overwrite and any(folder.iterdir()):
        raise RunFolderError(f"{folder}: is not empty; choose an empty directory, or use --overwrite")
    return folder


def lens_and_preset(
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
            f"kappa: {path}: say how the map is scaled, by exactly one of kappa_source_redshift and "
            "kappa_lens_scaling (D_LS / D_S)"
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


def _number(name: str, value: Any, *, least: float) -> float:
    number = _float(value)
    if not least <= number < math.inf:
        raise ConfigError(f"{name}: {value!r} is not a number from {least:g} up; give one")
    return number


def _positive(name: str, value: Any) -> float:
    number = _float(value)
    if not 0.0 < number < math.inf:
        raise ConfigError(f"{name}: {value!r} is not a positive number; give one")
    return number


def _float(value: Any) -> float:
    """Return a value as a number; NaN, which no bound admits, where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
