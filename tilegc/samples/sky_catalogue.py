"""All sources of a sample for other programs: a HATS catalogue with its margin, and a MOC of the searched sky.

Both need the extra `hats` (LSDB, hats and mocpy).
"""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from tilegc.errors import InputError, RunFolderError
from tilegc.places import Place, is_remote, place
from tilegc.run_folder import Run, open_run
from tilegc.samples.status import sample_status
from tilegc.skygrid.cells import read_sky_cells

__all__ = ["MARGIN_ARCSEC", "moc_order", "searched", "write_sky_catalogue"]

MARGIN_ARCSEC: Final = 5.0
"""Sources of neighbouring partitions within this distance are in the margin: cross-matches may reach as far."""

PIXEL_ARCSEC: Final = math.degrees(math.sqrt(math.pi / 3)) * 3600
"""Side of a HEALPix pixel of order 0."""

HATS: Final = "hats"
MOC: Final = "good-area.fits"


def write_sky_catalogue(folder: str | Place) -> tuple[Place, Place]:
    """Write `hats/`, a HATS catalogue of all sources, and `good-area.fits`, a MOC of the sky that was searched.

    Parameters
    ----------
    folder : path
        Directory of a sample with `sources.parquet`, on this machine.

    Returns
    -------
    tuple of Place
        The two. In `hats/`, the catalogue `sources` and its margin `sources_5arcs`.

    Raises
    ------
    InputError
        If LSDB or mocpy is not installed, or the directory is in an object store.
    RunFolderError
        If there is no table of sources, or if `hats/` exists already.
    """
    home = place(folder)
    runs = {one.name: open_run(home / one.name) for one in sample_status(home) if one.state == "done"}
    try:
        import lsdb  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  (an extra)
        import mocpy  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed; install it with: pip install 'tilegc[hats]'"
        ) from None
    if is_remote(home):
        raise InputError(
            f"{home}: HATS catalogues are written to a local disk only; copy the directory to one"
        )
    table, catalogue = home / "sources.parquet", home / HATS
    if not table.exists():
        raise RunFolderError(f"{table}: missing; write it with `tilegc survey report {home}`")
    if catalogue.exists():
        raise RunFolderError(f"{catalogue}: exists already; remove it first")
    # LSDB draws progress bars, and announces changes of its own interface.
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        lsdb.from_dataframe(
            pq.read_table(table).to_pandas(),
            ra_column="ra",
            dec_column="dec",
            catalog_name="sources",
            margin_threshold=MARGIN_ARCSEC,
        ).write_catalog(str(catalogue), catalog_name="sources")
        ra, dec = searched(runs)
        moc: Any = mocpy.MOC.from_lonlat(*_degrees(ra, dec), max_norder=moc_order(runs))
        moc.save(str(home / MOC), format="fits", overwrite=True)
    return catalogue, home / MOC


def moc_order(runs: Mapping[str, Run]) -> int:
    """Return the HEALPix order of the MOC: pixels so large that the centres of the cells leave none of them out."""
    largest = max((run.config.comparison.pixel for run in runs.values()), default=1.0)
    return int(math.log2(PIXEL_ARCSEC / (math.sqrt(2) * largest)))


def searched(runs: Mapping[str, Run]) -> tuple[np.ndarray, np.ndarray]:
    """Return the centres of all cells of the sky grids with at least half good area, degrees."""
    places = []
    for run in runs.values():
        cells = read_sky_cells(run.sky().load())
        xi, eta = np.meshgrid(cells.xi, cells.eta)
        places.append(cells.grid.radec(xi[cells.kept], eta[cells.kept]))
    if not places:
        return np.zeros(0), np.zeros(0)
    return np.concatenate([ra for ra, _ in places]), np.concatenate([dec for _, dec in places])


def _degrees(ra: np.ndarray, dec: np.ndarray) -> tuple[Any, Any]:
    from astropy.units import deg  # noqa: PLC0415

    return ra * deg, dec * deg
