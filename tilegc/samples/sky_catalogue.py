"""All sources of a sample for other programs: a HATS catalogue with its margin, and a MOC of the searched sky.

Both need the extra `hats` (LSDB, hats and mocpy).
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from tilegc.errors import InputError, RunFolderError
from tilegc.places import Place, is_remote, place
from tilegc.run_folder import open_run
from tilegc.samples.status import sample_status
from tilegc.viewer.aladin import write_moc

__all__ = ["MARGIN_ARCSEC", "write_sky_catalogue"]

MARGIN_ARCSEC: Final = 5.0
"""Sources of neighbouring partitions within this distance are in the margin: cross-matches may reach as far."""

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
        import lsdb  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415  (an extra)
        import mocpy  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401, PLC0415  (an extra)
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
        write_moc(runs.values(), Path(str(home / MOC)))
    return catalogue, home / MOC
