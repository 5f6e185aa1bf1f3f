"""The store of the sky grid, with the boxes of the relation."""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr

from tilegc.io import store
from tilegc.relation.boxes import Boxes
from tilegc.schema import SCHEMA_VERSION, SKY_GRID
from tilegc.skygrid.results import Gridded

__all__ = ["write_sky_grid"]

BOX: Final = ("xi", "eta", "area", "count", "kappa")
"""What is stored of the boxes."""


def write_sky_grid(recipe: str, path: str, sky: Gridded, in_boxes: Boxes | None) -> None:
    """Write the sky grid, and the boxes of the relation, as store/sky-grid.zarr; coordinates are arcsec.

    Parameters
    ----------
    recipe, path : str
        Recipe of the run; path of the store.
    sky : Gridded
    in_boxes : Boxes or None
        None without a convergence map.
    """
    cells = sky.cells
    values = {array.name: getattr(cells, array.name, np.zeros(0, array.dtype)) for array in SKY_GRID}
    if in_boxes is not None:
        values |= {f"box_{name}": getattr(in_boxes, name) for name in BOX}
    light = np.zeros(cells.kappa.shape) if sky.light is None else sky.light
    values |= {"recovery": sky.recovery, "in_law": sky.counting, "galaxy_light": light}
    dataset = xr.Dataset(
        {
            array.name: (array.dims, values[array.name], {"units": array.unit, "long_name": array.meaning})
            for array in SKY_GRID
        },
        coords={
            "eta": ("eta", cells.eta, {"units": "arcsec"}),
            "xi": ("xi", cells.xi, {"units": "arcsec"}),
        },
        attrs={
            "schema": SCHEMA_VERSION,
            "recipe": recipe,
            "fields": list(cells.fields),
            "pixel_area_arcsec2": cells.pixel_area.tolist(),
            "cell_arcsec": cells.grid.pixel,
            "j0": cells.j0,
            "i0": cells.i0,
            "ra": cells.grid.ra,
            "dec": cells.grid.dec,
        },
    )
    store.write_dataset(path, dataset)
