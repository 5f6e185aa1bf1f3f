"""A run for Aladin and other programs of the virtual observatory: images as HiPS, the searched sky as a MOC.

HiPS need the extra `hips` (reproject), a MOC needs mocpy, of the same extra and of `hats`.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.units import deg
from numpy.typing import NDArray

from tilegc.errors import ConfigError, InputError, RunFolderError
from tilegc.geometry import Box, TileGrid
from tilegc.skygrid.cells import read_sky_cells
from tilegc.viewer.layers import Layer, layers_of, read_layers

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["moc_order", "searched", "write_hips", "write_moc"]

PIXEL_ARCSEC: Final = math.degrees(math.sqrt(math.pi / 3)) * 3600
"""Side of a HEALPix pixel of order 0."""

ROWS: Final = 2048
"""Side in pixels of the windows in which an image is read."""


def write_hips(run: Run, folder: Path, layers: Sequence[str] = ("detection",)) -> list[Path]:
    """Write images of a run as HiPS with FITS tiles, one for each field and layer.

    Parameters
    ----------
    run : Run
    folder : Path
        New directory; the HiPS are `<field>_<layer>/` in it.
    layers : sequence of str
        Bands, "detection", "density" or "rho".

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        If reproject is not installed.
    ConfigError
        If a field has no such layer.
    RunFolderError
        If the directory exists.
    """
    try:
        from reproject import reproject_interp  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415  (extra)
        from reproject.hips import reproject_to_hips  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415
    except ImportError:
        raise InputError("reproject is not installed; install it with: pip install 'tilegc[hips]'") from None
    wanted = [(field, _layer(run, field, name)) for field in run.fields for name in layers]
    if folder.exists():
        raise RunFolderError(f"{folder}: already exists; choose another directory with -o")
    folder.mkdir(parents=True)
    written = []
    for field, layer in wanted:
        path = folder / f"{field}_{layer.name}"
        title = f"{run.config.cluster.name or 'field'} {field} {layer.label}"
        with warnings.catch_warnings(), contextlib.suppress(FileExistsError):
            # Tiles beyond the image are empty, and reproject says so for each.
            warnings.simplefilter("ignore")
            reproject_to_hips(
                (_image(layer), run.wcs(field)),
                coord_system_out="equatorial",
                reproject_function=reproject_interp,
                output_directory=str(path),
                properties={"obs_title": title, "obs_collection": "tilegc", "hips_creator": "tilegc"},
            )
        written.append(path)
    return written


def _layer(run: Run, field: str, name: str) -> Layer:
    known = {layer.name: layer for layer in layers_of(run, field) if layer.kind != "mask"}
    if name not in known:
        raise ConfigError(f"export: field {field} has no image {name!r}; choose one of {', '.join(known)}")
    return known[name]


def _image(layer: Layer) -> NDArray[np.float32]:
    image = np.empty(layer.shape, np.float32)
    for tile in TileGrid(layer.shape, ROWS).tiles():
        image[tile.core.within(Box(0, 0, *layer.shape))] = read_layers([layer], tile.core)[0]
    return image


def write_moc(runs: Iterable[Run], path: Path) -> None:
    """Write the searched sky of runs as a MOC (FITS).

    Parameters
    ----------
    runs : iterable of Run
    path : Path
        FITS file; replaced if it exists.

    Raises
    ------
    InputError
        If mocpy is not installed.
    """
    try:
        import mocpy  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: PLC0415  (an extra)
    except ImportError:
        raise InputError("mocpy is not installed; install it with: pip install 'tilegc[hips]'") from None
    named = {str(number): run for number, run in enumerate(runs)}
    ra, dec = searched(named)
    moc: Any = mocpy.MOC.from_lonlat(ra * deg, dec * deg, max_norder=moc_order(named))
    moc.save(str(path), format="fits", overwrite=True)


def moc_order(runs: Mapping[str, Run]) -> int:
    """Return the HEALPix order of the MOC: pixels so large that the centres of the cells leave none of them out."""
    largest = max((run.config.comparison.pixel for run in runs.values()), default=1.0)
    return int(math.log2(PIXEL_ARCSEC / (math.sqrt(2) * largest)))


def searched(runs: Mapping[str, Run]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the centres of all cells of the sky grids with at least half good area, degrees."""
    places = []
    for run in runs.values():
        cells = read_sky_cells(run.sky().load())
        xi, eta = np.meshgrid(cells.xi, cells.eta)
        places.append(cells.grid.radec(xi[cells.kept], eta[cells.kept]))
    if not places:
        return np.zeros(0), np.zeros(0)
    return np.concatenate([ra for ra, _ in places]), np.concatenate([dec for _, dec in places])
