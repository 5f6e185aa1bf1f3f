"""What a mock planted: its map as a file, and its law in the cells in which a run looked for it, as if all was seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable

import tilegc.run_folder
from tilegc.relation.likelihood import CountsRelation, fit_counts
from tilegc.simulation.presets import Preset
from tilegc.skygrid.cells import SkyCells
from tilegc.skygrid.galaxies import galaxy_discs

__all__ = ["fluxes", "kinds", "law_of", "on_good", "write_map"]


def kinds(truth: QTable) -> np.ndarray:
    """Return the kind of every object."""
    return np.asarray(truth["kind"]).astype(str)


def fluxes(truth: QTable) -> np.ndarray:
    """Return the summed flux of every object, nJy."""
    return np.sum(
        [np.asarray(truth[name], float) for name in truth.colnames if name.startswith("flux_")], axis=0
    )


def on_good(run: tilegc.run_folder.Run, truth: QTable) -> np.ndarray:
    """Return which objects lie on good pixels of their field, bool."""
    field, on = np.asarray(truth["field"]).astype(str), np.zeros(len(truth), bool)
    for name in run.fields:
        good = run.field(name)["mask"].to_numpy() == 0
        rows = np.flatnonzero(field == name)
        y, x = (np.floor(np.asarray(truth[axis], float)[rows] + 0.5).astype(int) for axis in ("y", "x"))
        inside = (y >= 0) & (x >= 0) & (y < good.shape[0]) & (x < good.shape[1])
        on[rows[inside]] = good[y[inside], x[inside]]
    return on


def law_of(
    run: tilegc.run_folder.Run,
    cells: SkyCells,
    truth: QTable,
    chosen: np.ndarray,
    *,
    discs: bool = False,
    term: bool = False,
) -> CountsRelation:
    """Fit the law to some of the planted objects on good pixels.

    Parameters
    ----------
    run, cells
        A run and its sky grid.
    truth : QTable
        Of its mock.
    chosen : ndarray of bool
        Which objects count; `on_good` is applied.
    discs : bool
        Whether galaxies' surroundings are left out.
    term : bool
        Whether the law has the run's term for galaxies' light.
    """
    settings = run.config.relation
    use = chosen & on_good(run, truth)
    ra, dec = (np.asarray(truth[name], float)[use] for name in ("ra", "dec"))
    own = cells.owned(ra, dec, np.asarray(truth["field"])[use])
    kept = cells.kept & ~galaxy_discs(cells, settings.max_radius) if discs else cells.kept
    count = cells.count(ra[own], dec[own])
    light = run.sky()["galaxy_light"].to_numpy() if term else None
    return fit_counts(
        cells, settings.box, settings.max_radius, count=count, kept=kept, light=light, thorough=False
    )


def write_map(values: np.ndarray, preset: Preset, step: float, path: Path) -> None:
    """Write a square map of pixels of this side, arcsec, about a preset's centre as FITS."""
    side = len(values)
    header = fits.Header(
        {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRVAL1": preset.ra,
            "CRVAL2": preset.dec,
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CRPIX1": side / 2 + 0.5,
            "CRPIX2": side / 2 + 0.5,
            "CDELT1": -step / 3600,
            "CDELT2": step / 3600,
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(values.astype(np.float32), header).writeto(path, overwrite=True)
