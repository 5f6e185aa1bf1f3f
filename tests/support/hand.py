"""Cells of the sky grid filled by hand, and the frame of a run round them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from astropy.io import fits

from tilegc.config import RunConfig
from tilegc.io.convergence import Kappa
from tilegc.sky import SkyGrid
from tilegc.skygrid.cells import SkyCells

RA, DEC = 342.18, -44.53
AREA = 0.25
"""arcsec^2 a pixel, four to a cell of 1 arcsec: sums of areas are exact."""


def sky(shape=(48, 48), *, seed=0, j0=-24, i0=-24, fields=("a", "b"), full=False) -> SkyCells:
    """Cells of 1 arcsec, field by field, each cell in one field at most."""
    draw = np.random.default_rng(seed)
    whole = (len(fields), *shape)
    owner = draw.integers(0, len(fields), shape) == np.arange(len(fields))[:, None, None]
    n_pixels = np.where(owner, 4, 0)
    n_good = n_pixels if full else np.where(owner, draw.choice([0, 1, 2, 3, 4, 4, 4, 4, 4, 4], whole), 0)
    n_inside = n_pixels if full else np.clip(n_good + draw.integers(0, 3, whole), 0, n_pixels)
    kappa = draw.uniform(0.1, 1.0, shape)
    kappa[draw.random(shape) < 0.1] = np.nan
    n_gc = np.where(owner, draw.poisson(0.5, whole), 0)
    light, rho = draw.normal(5, 1, whole), np.round(draw.exponential(1, whole), 1)
    light[n_good == 0], rho[n_inside == 0] = np.nan, np.nan
    grid = SkyGrid(RA, DEC, 1.0)
    return SkyCells(
        grid, j0, i0, fields, np.full(len(fields), AREA), n_pixels, n_good, n_inside, n_gc, light, rho, kappa
    )


def each_cell(cells: SkyCells) -> Iterator[tuple[int, int, float, float]]:
    """Yield indices and centre (eta, xi) of every cell."""
    for j, i in np.ndindex(cells.kappa.shape):
        yield j, i, cells.j0 + j + 0.5, cells.i0 + i + 0.5


def mean(values: Iterable[float]) -> float:
    """Return the mean of the finite ones; NaN of none."""
    values = [value for value in values if np.isfinite(value)]
    return math.fsum(values) / len(values) if values else math.nan


def settings(**more: object) -> RunConfig:
    """Return a run file of two fields."""
    content = {
        "recipe": "diego2026",
        "cluster": {"name": "hand", "redshift": 0.348, "ra": RA, "dec": DEC},
        "fields": [{"name": name, "bands": {"F": f"{name}.fits"}} for name in ("a", "b")],
        "convergence": {"path": "kappa.fits", "source_redshift": 3.0},
        **more,
    }
    return RunConfig.model_validate(content)


def tan(shape, scale, y, x) -> str:
    """WCS cards of a field without rotation whose pixel (y, x) lies on the cluster's centre."""
    cards = {
        "NAXIS": 2,
        "NAXIS1": shape[1],
        "NAXIS2": shape[0],
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": RA,
        "CRVAL2": DEC,
        "CRPIX1": x + 1,
        "CRPIX2": y + 1,
        "CDELT1": -scale / 3600,
        "CDELT2": scale / 3600,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "RADESYS": "ICRS",
    }
    return fits.Header(cards).tostring("\n")


def flat_kappa(values, scale=1.0) -> Kappa:
    """Return a map of these values round the cluster, arcsec a pixel."""
    middle = (np.array(values.shape) - 1) / 2
    return Kappa(values, tan(values.shape, scale, *middle), 0.785, 0.785, 1.0, "kappa.fits")
