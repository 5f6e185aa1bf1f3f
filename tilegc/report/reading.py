"""Data that the report reads from a run directory: tables, the sky grid, and maps small enough to be drawn.

The maps of a field may be larger than memory. They are read once, window by window, and kept as means of square
blocks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from tilegc.config import RunConfig
from tilegc.geometry import Box
from tilegc.report.pictures import add_blocks
from tilegc.report.places import Place, place
from tilegc.schema import Bit
from tilegc.sky import SkyGrid, header_text

if TYPE_CHECKING:
    import xarray as xr

    from tilegc.run_folder import Run

__all__ = ["DRAWN", "Census", "Material", "Mosaic", "Picture", "block_means", "census", "column", "rows_of"]

DRAWN: Final = 900
"""Maximum number of blocks along the longer side of a picture: about its number of pixels on the page."""

WINDOW: Final = 2048
"""Rows and columns read at a time: the memory does not grow with the field."""

Floats = NDArray[np.float64]
Table = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Mosaic:
    """A map of a field that is read window by window."""

    shape: tuple[int, int]
    read: Callable[[Box], np.ndarray]


@dataclass(frozen=True, eq=False)
class Picture:
    """A map of a field at reduced resolution."""

    values: np.ndarray
    """(rows, columns) of blocks."""
    factor: int
    """Side of a block in pixels; the last blocks may extend beyond the field."""


@dataclass(frozen=True, eq=False)
class Census:
    """Number of pixels with each bit of a mask, and a picture of the mask."""

    pixels: int
    good: int
    """Number of pixels with no bit set."""
    bits: dict[Bit, int]
    picture: Picture
    """Mask of the central pixel of every block, uint8."""


def column(table: QTable, name: str) -> np.ndarray:
    """Return a column without its unit."""
    values = table[name]
    return np.asarray(getattr(values, "value", values))


def rows_of(table: QTable, *names: str) -> Table:
    """Return several columns without their units."""
    return {name: column(table, name) for name in names}


def _windows(image: Mosaic) -> Iterator[tuple[Box, np.ndarray]]:
    """Yield windows that cover a map, with their values."""
    height, width = image.shape
    for y0, x0 in itertools.product(range(0, height, WINDOW), range(0, width, WINDOW)):
        box = Box(y0, x0, min(y0 + WINDOW, height), min(x0 + WINDOW, width))
        yield box, image.read(box)


def _factor(image: Mosaic, drawn: int) -> int:
    return max(1, -(-max(image.shape) // drawn))


def block_means(image: Mosaic, drawn: int = DRAWN) -> Picture:
    """Return the means of the finite pixels in square blocks; NaN where a block has none.

    Parameters
    ----------
    image : Mosaic
        A map of floats.
    drawn : int
        Maximum number of blocks along the longer side.

    Returns
    -------
    Picture
        The map at reduced resolution, float64.
    """
    factor = _factor(image, drawn)
    shape = (-(-image.shape[0] // factor), -(-image.shape[1] // factor))
    sums, counts = np.zeros(shape), np.zeros(shape, np.int64)
    for box, values in _windows(image):
        add_blocks(values, (box.y0, box.x0), factor, sums, counts)
    return Picture(np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0), factor)


def census(mask: Mosaic, drawn: int = DRAWN) -> Census:
    """Count the bits of a mask and sample it in one pass.

    Parameters
    ----------
    mask : Mosaic
        A map of uint8, bits of `schema.Bit`.
    drawn : int
        Maximum number of blocks along the longer side of the picture.
    """
    factor = _factor(mask, drawn)
    # The last block may extend beyond the field: sample at most the last pixel of the field.
    rows, columns = (
        np.minimum(np.arange(0, length, factor) + factor // 2, length - 1) for length in mask.shape
    )
    counts = np.zeros(256, np.int64)
    picture = np.zeros((rows.size, columns.size), np.uint8)
    for box, values in _windows(mask):
        counts += np.bincount(values.ravel(), minlength=256)
        down = (rows >= box.y0) & (rows < box.y1)
        across = (columns >= box.x0) & (columns < box.x1)
        picture[np.ix_(down, across)] = values[np.ix_(rows[down] - box.y0, columns[across] - box.x0)]
    value = np.arange(256)
    bits = {bit: int(counts[value & bit.value != 0].sum()) for bit in Bit}
    return Census(int(counts.sum()), int(counts[0]), bits, Picture(picture, factor))


@dataclass(frozen=True, eq=False)
class Material:
    """Everything from which figures and page are made."""

    run: Run

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent to a worker: it reads the sky grid itself, which is faster."""
        return {name: value for name, value in self.__dict__.items() if name != "sky"}

    @cached_property
    def sky(self) -> xr.Dataset:
        """The sky grid, in memory."""
        return self.run.sky().load()

    @property
    def config(self) -> RunConfig:
        """The resolved run file."""
        return self.run.config

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        return self.run.summary

    @property
    def kpc_per_arcsec(self) -> float:
        """Scale at the cluster; NaN without one."""
        scale = self.summary["cluster"]["kpc_per_arcsec"]
        return math.nan if scale is None else float(scale)

    @cached_property
    def catalogue(self) -> QTable:
        """The detected sources."""
        return self.run.catalogue

    @cached_property
    def inpainted(self) -> QTable:
        """The inpainted sources of all realisations."""
        return self.run.inpainted

    @cached_property
    def relation(self) -> QTable:
        """Counts against kappa in bins; only for a run with a convergence map."""
        return self.run.relation

    @cached_property
    def profile(self) -> QTable:
        """The radial profiles."""
        return self.run.profile

    @property
    def truth(self) -> dict[str, Any] | None:
        """Planted values; None unless the run file names a truth table."""
        return self.summary.get("truth")

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in run-file order."""
        return tuple(self.run.fields)

    @cached_property
    def grid(self) -> SkyGrid:
        """The tangent plane around the cluster centre."""
        cluster = self.config.cluster
        return SkyGrid(cluster.ra, cluster.dec, self.config.comparison.pixel)

    @cached_property
    def places(self) -> dict[str, Place]:
        """Positions of the fields on this plane."""
        shapes = {name: tuple(self.summary["fields"][name]["shape"]) for name in self.fields}
        return {name: place(header_text(self.run.wcs(name)), shapes[name], self.grid) for name in self.fields}

    @cached_property
    def central(self) -> str:
        """The field that contains the cluster centre, or else the first: the one compared with kappa."""
        holds = (name for name in self.fields if self.places[name].distance(0.0, 0.0) == 0)
        return next(holds, self.fields[0])

    @cached_property
    def censuses(self) -> dict[str, Census]:
        """Masks of the fields."""
        return {name: census(self.mosaic(name, "mask")) for name in self.fields}

    def mosaic(self, field: str, name: str) -> Mosaic:
        """Return a map of a field from the run's store."""
        return Mosaic(tuple(self.summary["fields"][field]["shape"]), partial(self.run.window, field, name))

    def of_sky(self, name: str, field: str) -> Floats:
        """Return one field's part of an array of the sky grid, float64 (eta, xi)."""
        values: Floats = self.sky[name].isel(field=self.fields.index(field)).to_numpy().astype(np.float64)
        return values

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Edges of the sky grid in arcsec: lowest and highest xi, lowest and highest eta."""
        cell = self.grid.pixel
        i0, j0 = int(self.sky.attrs["i0"]), int(self.sky.attrs["j0"])
        return i0 * cell, (i0 + self.sky.sizes["xi"]) * cell, j0 * cell, (j0 + self.sky.sizes["eta"]) * cell

    @property
    def radius(self) -> Floats:
        """Distance of the cells of the sky grid from the centre in arcsec, (eta, xi)."""
        distance: Floats = np.hypot(self.sky["eta"].to_numpy()[:, None], self.sky["xi"].to_numpy()[None, :])
        return distance

    def points(self, table: QTable, field: str | None = None) -> tuple[Floats, Floats]:
        """Return xi and eta in arcsec of the sources in a table, of one field or of all."""
        ra, dec = column(table, "ra"), column(table, "dec")
        if field is not None:
            on = column(table, "field").astype(str) == field
            ra, dec = ra[on], dec[on]
        return self.grid.offsets(ra, dec)
