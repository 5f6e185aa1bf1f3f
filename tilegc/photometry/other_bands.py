"""Fluxes in bands in which sources are not searched for: on any grid, at the positions of the detection bands.

The mosaic of such a band (long-wavelength NIRCam, HST) is a field of one band with tiles of its own. The sources of one
field at a time are put at their places on the sky in it and fitted as in their own bands, with the band's own PSF, but
do not move. A source that two fields share would otherwise be two points at one place, whose fluxes nothing tells
apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tilegc.config import Photometry
from tilegc.engine import FieldTiles
from tilegc.images.psfs import BandPsf
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.photometry.columns import band_columns
from tilegc.photometry.fit import fit_fields
from tilegc.photometry.projected_mask import FieldMask
from tilegc.photometry.sources import FieldSources
from tilegc.photometry.stamps import splines
from tilegc.sky import world_to_pixel

__all__ = ["measure_others"]

NEAREST: Final = 2.0
"""Pixels beyond the mosaic's edge, up to which a source is still fitted: its light reaches into the mosaic."""


def measure_others(
    context: Context, table: Table, settings: Photometry, psfs: Mapping[str, tuple[BandPsf, ...]]
) -> Table:
    """Return candidates with the columns of all bands that are only measured.

    Parameters
    ----------
    context : Context
    table : Table
        Candidates with positions on the sky.
    settings : Photometry
    psfs : mapping
        Of these bands, by the name of their mosaic.
    """
    out = dict(table)
    masks = tuple(FieldMask(one.store, one.source.wcs, one.source.shape) for one in context.fields)
    for tiles in context.others:
        band = tiles.source.band_names[0]
        for name in context.names:
            rows = np.flatnonzero(table["field"] == name)
            found = _measured(context, tiles, table, rows, settings, psfs[tiles.source.name], masks)
            for key, values in found.items():
                column = f"{key}_{band}"
                out[column] = out[column].copy()
                out[column][rows] = values
    return out


def _measured(
    context: Context,
    tiles: FieldTiles,
    table: Table,
    rows: NDArray[np.int64],
    settings: Photometry,
    psfs: tuple[BandPsf, ...],
    masks: tuple[FieldMask, ...],
) -> dict[str, NDArray[np.float64]]:
    """Return the columns of the sources of one field in one band; NaN outside of its mosaic."""
    source = tiles.source
    y, x = world_to_pixel(source.wcs, table["ra"][rows], table["dec"][rows])
    with np.errstate(invalid="ignore"):
        inside = (y > -NEAREST) & (y < source.shape[0] - 1 + NEAREST)
        inside &= (x > -NEAREST) & (x < source.shape[1] - 1 + NEAREST)
    if not inside.any():
        return {}
    y, x = y[inside], x[inside]
    # A source just outside is assigned to the nearest pixel of the mosaic; its offset keeps its true place.
    row = np.clip(np.floor(y + 0.5), 0, source.shape[0] - 1).astype(np.int64)
    column = np.clip(np.floor(x + 0.5), 0, source.shape[1] - 1).astype(np.int64)
    offset = np.stack([y - row, x - column], axis=1)
    points = FieldSources(row, column, source.shape, offset, np.zeros((1, row.size)))
    radii = np.asarray(settings.apertures) / source.scale
    name = source.name
    fit = fit_fields(
        context.engine,
        [tiles],
        {name: points},
        {name: splines(psfs, source.scale)},
        {name: radii},
        masks=masks,
        # The detection bands know the positions better than one band alone, and colours need the same ones.
        moving=False,
    )[name]
    found = {}
    for key, values in band_columns(fit.bands[0]).items():
        found[key] = np.full(rows.size, np.nan)
        found[key][inside] = values
    return found
