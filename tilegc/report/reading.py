"""What the report reads from a run's folder: tables, the sky grid, and maps small enough to be drawn.

The maps of a field may be larger than memory; they are read once, window by window, and kept as means of square
blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr
from astropy.table import QTable
from numpy.typing import NDArray

from tilegc.config import RunConfig
from tilegc.geometry import Box
from tilegc.report.pictures import add_blocks
from tilegc.report.places import Place, place
from tilegc.schema import Bit
from tilegc.sky import SkyGrid, header_text

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["DRAWN", "Census", "Material", "Mosaic", "Picture", "block_means", "census", "column", "rows_of"]

DRAWN: Final = 900
"""Blocks along a picture's longer side, at most: about the pixels it gets on the page."""

WINDOW: Final = 2048
"""Rows and columns read at once: no more memory for a larger field."""

Floats = NDArray[np.float64]
Table = dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class Mosaic:
    """A map of a field, to be read window by window."""

    shape: tuple[int, int]
    read: Callable[[Box], np.ndarray]


@dataclass(frozen=True, eq=False)
class Picture:
    """A map of a field, decimated."""

    values: np.ndarray
    """(rows, columns) of blocks."""
    factor: int
    """Pixels along a block's side; the last ones may reach beyond the field."""


@dataclass(frozen=True, eq=False)
class Census:
    """How often each bit of a mask is set, and a picture of it."""

    pixels: int
    good: int
    """Pixels with no bit set."""
    bits: dict[Bit, int]
    picture: Picture
    """Mask of the pixel in the middle of every block, uint8."""


def column(table: QTable, name: str) -> np.ndarray:
    """Return a column without its unit."""
    values = table[name]
    return np.asarray(getattr(values, "value", values))


def rows_of(table: QTable, *names: str) -> Table:
    """Return several columns without their units."""
    return {name: column(table, name) for name in names}


def _windows(image: Mosaic) -> Iterator[tuple[Box, np.ndarray]]:
    """Yield windows that cover a map, each with its values."""
    height, width = image.shape
    for y0, x0 in itertools.product(range(0, height, WINDOW), range(0, width, WINDOW)):
        box = Box(y0, x0, min(y0 + WINDOW, height), min(x0 + WINDOW, width))
        yield box, image.read(box)


def _factor(image: Mosaic, drawn: int) -> int:
    return max(1, -(-max(image.shape) // drawn))


def block_means(image: Mosaic, drawn: int = DRAWN) -> Picture:
    """Return the means of the finite pixels of square blocks; NaN where a block has none.

    Parameters
    ----------
    image : Mosaic
        Of floats.
    drawn : int
        Blocks along the longer side, at most.

    Returns
    -------
    Picture
        float64.
    """
    factor = _factor(image, drawn)
    shape = (-(-image.shape[0] // factor), -(-image.shape[1] // factor))
    sums, counts = np.zeros(shape), np.zeros(shape, np.int64)
    for box, values in _windows(image):
        add_blocks(values, (box.y0, box.x0), factor, sums, counts)
    return Picture(np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0), factor)


def census(mask: Mosaic, drawn: int = DRAWN) -> Census:
    """Count the bits of a mask and sample it, in one reading.

    Parameters
    ----------
    mask : Mosaic
        Of uint8, bits of `schema.Bit`.
    drawn : int
        Blocks along the longer side of the picture, at most.
    """
    factor = _factor(mask, drawn)
    # The last block may reach beyond the field: its sample is the field's last pixel at the latest.
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
    """All that figures and page are made of."""

    run: Run

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker is sent: it reads the sky grid itself, which is faster."""
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

    @cached_property
    def catalogue(self) -> QTable:
        """The detected sources."""
        return self.run.catalogue

    @cached_property
    def inpainted(self) -> QTable:
        """The drawn sources of all realisations."""
        return self.run.inpainted

    @cached_property
    def relation(self) -> QTable:
        """Counts against kappa in bins; only of a run with a convergence map."""
        return self.run.relation

    @cached_property
    def profile(self) -> QTable:
        """The radial profiles."""
        return self.run.profile

    @property
    def truth(self) -> dict[str, Any] | None:
        """What was planted; None unless the run file names a truth table."""
        return self.summary.get("truth")

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in run-file order."""
        return tuple(self.run.fields)

    @cached_property
    def grid(self) -> SkyGrid:
        """The tangent plane on the cluster's centre."""
        cluster = self.config.cluster
        return SkyGrid(cluster.ra, cluster.dec, self.config.comparison.pixel)

    @cached_property
    def places(self) -> dict[str, Place]:
        """Where the fields lie on that plane."""
        shapes = {name: tuple(self.summary["fields"][name]["shape"]) for name in self.fields}
        return {name: place(header_text(self.run.wcs(name)), shapes[name], self.grid) for name in self.fields}

    @cached_property
    def central(self) -> str:
        """The field that holds the cluster's centre, the first where none does: the one compared with kappa."""
        holds = (name for name in self.fields if self.places[name].distance(0.0, 0.0) == 0)
        return next(holds, self.fields[0])

    @cached_property
    def censuses(self) -> dict[str, Census]:
        """Masks of the fields."""
        return {name: census(self.mosaic(name, "mask")) for name in self.fields}

    def mosaic(self, field: str, name: str) -> Mosaic:
        """Return a map of a field, as it stands in the run's store."""
        return Mosaic(tuple(self.summary["fields"][field]["shape"]), partial(self.run.window, field, name))

    def of_sky(self, name: str, field: str) -> Floats:
        """Return one field's part of a sky-grid array, float64 (eta, xi)."""
        values: Floats = self.sky[name].isel(field=self.fields.index(field)).to_numpy().astype(np.float64)
        return values

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Edges of the sky grid, arcsec: lowest and highest xi, lowest and highest eta."""
        cell = self.grid.pixel
        i0, j0 = int(self.sky.attrs["i0"]), int(self.sky.attrs["j0"])
        return i0 * cell, (i0 + self.sky.sizes["xi"]) * cell, j0 * cell, (j0 + self.sky.sizes["eta"]) * cell

    @property
    def radius(self) -> Floats:
        """Distance of the sky grid's cells from the centre, arcsec (eta, xi)."""
        distance: Floats = np.hypot(self.sky["eta"].to_numpy()[:, None], self.sky["xi"].to_numpy()[None, :])
        return distance

    def points(self, table: QTable, field: str | None = None) -> tuple[Floats, Floats]:
        """Return xi and eta, arcsec, of a table's sources, of one field or of all."""
        ra, dec = column(table, "ra"), column(table, "dec")
        if field is not None:
            on = column(table, "field").astype(str) == field
            ra, dec = ra[on], dec[on]
        return self.grid.offsets(ra, dec)
