"""Catalogues of a run in the formats of other programs: those that every run writes, and `tilegc export`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from tilegc.errors import ConfigError
from tilegc.io import exports
from tilegc.io.tables import write_ecsv, write_parquet, write_regions
from tilegc.places import Place
from tilegc.run_folder import Run
from tilegc.schema import (
    CANDIDATES,
    COMPLETENESS_COLUMNS,
    MEMBERSHIP_COLUMNS,
    SURROUNDINGS,
    Column,
    photometry_columns,
)

__all__ = ["FORMATS", "REGION_RADIUS", "export", "listed_columns"]

REGION_RADIUS: Final = 0.15
"""Radius of the catalogue's circles, arcsec."""

Writer = Callable[[Path, tuple[Column, ...], dict[str, np.ndarray], dict[str, str]], None]


def _regions(
    path: Path, columns: tuple[Column, ...], data: dict[str, np.ndarray], meta: dict[str, str]
) -> None:
    del columns
    write_regions(path, data["ra"], data["dec"], REGION_RADIUS, meta=meta)


FORMATS: Final[Mapping[str, tuple[str, Writer]]] = {
    "vot": ("vot", exports.write_votable),
    "fits": ("fits", exports.write_fits_table),
    "ecsv": ("ecsv", write_ecsv),
    "parquet": ("parquet", write_parquet),
    "reg": ("reg", _regions),
    "gc": ("ecsv", exports.write_short),
}
"""Formats of `tilegc export`, each with its file's ending and who writes it."""


def listed_columns(
    bands: tuple[str, ...],
    apertures: tuple[float, ...] | None,
    *,
    surroundings: bool = False,
    stars: bool = False,
    members: bool = False,
    corrected: bool = False,
) -> tuple[Column, ...]:
    """Return the columns of candidates and catalogue.

    Parameters
    ----------
    bands : tuple of str
        Of all fields, in run-file order.
    apertures : tuple of float, optional
        Radii, arcsec; None where photometry is off.
    surroundings : bool
        Whether reliability, confusion and diffuse light are known.
    corrected : bool
        Whether magnitudes are also corrected for foreground extinction.
    stars : bool
        Whether artificial stars tell how likely each source was to be found.
    members : bool
        Whether the luminosity function tells how likely each is to be a cluster.
    """
    measured = () if apertures is None else photometry_columns(bands, apertures, corrected=corrected)
    around = SURROUNDINGS if surroundings else ()
    found = COMPLETENESS_COLUMNS if stars else ()
    return *CANDIDATES, *around, *measured, *found, *(MEMBERSHIP_COLUMNS if members else ())


def export(run: Run, form: str, path: Path | Place) -> None:
    """Write the catalogue of a finished run in another format.

    Parameters
    ----------
    run : Run
    form : str
        One of `FORMATS`.
    path : Path

    Raises
    ------
    ConfigError
        For a format that does not exist.
    """
    if form not in FORMATS:
        raise ConfigError(f"export: format {form!r} does not exist; choose {', '.join(FORMATS)}")
    table = run.catalogue
    settings = run.config.photometry_settings
    bands = tuple(name.removeprefix("flux_err_") for name in table.colnames if name.startswith("flux_err_"))
    columns = listed_columns(
        bands,
        None if settings is None else settings.apertures,
        surroundings="reliability" in table.colnames,
        stars="p_recovery" in table.colnames,
        corrected=settings is not None and settings.extinction is not None,
        members="p_gc" in table.colnames,
    )
    data = {
        column.name: np.asarray(getattr(table[column.name], "value", table[column.name]))
        for column in columns
    }
    FORMATS[form][1](Path(str(path)), columns, data, {"recipe": run.summary["recipe"]})
