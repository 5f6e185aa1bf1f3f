"""What `run.field(name)` can do besides what xarray does: `ds.tilegc.wcs`, `ds.tilegc.plot` and `ds.tilegc.cutout`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from tilegc.config import FieldInput
from tilegc.errors import ConfigError
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.io.probe import probe_field
from tilegc.sky import wcs_from_text

if TYPE_CHECKING:
    from astropy.table import QTable
    from astropy.wcs import WCS
    from matplotlib.axes import Axes

__all__ = ["FieldAccessor", "with_bands"]

LARGEST: Final = 2000
"""Pixels along the longer side of an image beyond which only every n-th pixel is drawn."""

RING: Final = 8.0
"""Diameter of the circle about a source, pixels."""

LIMITS: Final = (30.0, 99.5)
"""Percentiles of the values that are drawn black and white."""


def with_bands(data: xr.Dataset, described: FieldInput, box: Box, bands: Sequence[str] = ()) -> xr.Dataset:
    """Return a window of a field together with its bands, which are read from their files if they were not ingested.

    Parameters
    ----------
    data : xarray.Dataset
        The field, from `run.field(name)`.
    described : FieldInput
        The field in the run file.
    box : Box
        The window.
    bands : sequence of str, optional
        The bands that are wanted; all by default.

    Raises
    ------
    InputError
        If a file cannot be read any more.
    """
    part = data.sel(y=slice(box.y0, box.y1 - 1), x=slice(box.x0, box.x1 - 1))
    # With `ingest: never` the store has no pixels of the images; they are then still in the files of the run
    # file.
    if "sci" in part:
        return part
    source = probe_field(described, pixels=False)
    wanted = [band for band in source.bands if not bands or band.name in bands]
    read = store.read_window(replace(source, bands=tuple(wanted)), "", ["sci"], box)["sci"].values
    sci = xr.DataArray(read, dims=("band", "y", "x"), attrs={"units": "nJy"})
    # Other arrays with bands, such as the PSFs' widths, need not have the same ones.
    flat = part.drop_dims("band", errors="ignore")
    return flat.assign(sci=sci).assign_coords(band=[band.name for band in wanted])


@xr.register_dataset_accessor("tilegc")  # type: ignore[no-untyped-call]  # xarray does not annotate it
class FieldAccessor:
    """Celestial coordinates and pictures of a field.

    Parameters
    ----------
    data : xarray.Dataset
        A field, from `run.field(name)`.

    Examples
    --------
    >>> field = run.field("a")
    >>> field.tilegc.wcs.pixel_shape
    (88, 96)
    """

    def __init__(self, data: xr.Dataset) -> None:
        self._data = data

    @property
    def wcs(self) -> WCS:
        """The celestial WCS of the field, or of the part of it that is in the dataset, axes (x, y)."""
        wcs = wcs_from_text(self._data.attrs["wcs"])
        y0, x0 = self._origin
        # Slicing shifts the reference pixel and keeps SIP distortions right, which editing CRPIX alone would
        # not.
        wcs = wcs[y0:, x0:]
        wcs.pixel_shape = self._data.sizes["x"], self._data.sizes["y"]
        return wcs

    @property
    def _origin(self) -> tuple[int, int]:
        y, x = (int(self._data[axis][0]) if axis in self._data.coords else 0 for axis in ("y", "x"))
        return y, x

    def image(self, band: str | None = None) -> xr.DataArray:
        """Return the image of a band, or a map.

        Parameters
        ----------
        band : str, optional
            Name of a band that was ingested, or of an array such as `detection`, `mask`, `rho` or `density`; the
            detection map by default.

        Returns
        -------
        xarray.DataArray
            Dims (y, x).

        Raises
        ------
        ConfigError
            If the field has no such image.
        """
        name = "detection" if band is None else band
        bands = [str(one) for one in self._data["band"].values] if "sci" in self._data else []
        if name in bands:
            return self._data["sci"].sel(band=name)
        flat = [str(key) for key, array in self._data.data_vars.items() if array.dims == ("y", "x")]
        if name not in flat:
            raise ConfigError(f"no image {name!r} in this field; choose from {', '.join([*bands, *flat])}")
        return self._data[name]

    def plot(self, band: str | None = None, sources: QTable | None = None, ax: Axes | None = None) -> Axes:
        """Draw an image with right ascension and declination along its sides.

        Parameters
        ----------
        band : str, optional
            As in `image`.
        sources : astropy.table.QTable, optional
            Sources with the columns `x` and `y`, such as rows of `run.catalogue`, which are marked.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure with WCS axes by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        image = self.image(band)
        # A screen has about 2,000 pixels: reading the rest of a large mosaic would take long and show nothing
        # more.
        step = max(1, -(-max(image.shape) // LARGEST))
        values = np.asarray(image[::step, ::step].values, np.float64)
        height, width = image.shape
        if ax is None:
            ax = _wcs_axes(self.wcs, (width, height))
        good = values[np.isfinite(values)]
        low, high = np.percentile(good, LIMITS) if good.size else (0.0, 1.0)
        extent = (-0.5, width - 0.5, -0.5, height - 0.5)
        ax.imshow(values, origin="lower", cmap="gray_r", vmin=low, vmax=high, extent=extent)
        if sources is not None:
            y0, x0 = self._origin
            y, x = (np.asarray(getattr(sources[axis], "value", sources[axis])) for axis in ("y", "x"))
            ax.add_collection(_rings(x - x0, y - y0, ax.transData))
            ax.set(xlim=extent[:2], ylim=extent[2:])
        unit = f" ({image.attrs['units']})" if image.attrs.get("units") else ""
        ax.set_title(f"{'detection' if band is None else band}{unit}", loc="left")
        return ax

    def cutout(self, y: float, x: float, size: int = 41) -> xr.Dataset:
        """Return a square about a position, cut off at the borders of the field.

        Parameters
        ----------
        y, x : float
            Pixel of the field, 0-based.
        size : int
            Side, pixels.

        Returns
        -------
        xarray.Dataset
            The arrays with dims y and x; its coordinates are pixels of the field.
        """
        keep = [key for key, array in self._data.data_vars.items() if {"y", "x"} <= set(array.dims)]
        y0, x0 = (round(float(centre)) - size // 2 for centre in (y, x))
        return self._data[keep].sel(y=slice(y0, y0 + size - 1), x=slice(x0, x0 + size - 1))


def _wcs_axes(wcs: WCS, shape: tuple[int, int]) -> Any:
    import matplotlib.pyplot as plt  # noqa: PLC0415  (only who draws pays)

    width = 5.4
    figure = plt.figure(figsize=(width, 0.6 + (width - 0.9) * min(max(shape[1] / shape[0], 0.4), 1.8)))
    figure.subplots_adjust(left=0.24, right=0.96, bottom=0.14, top=0.93)
    axes: Any = figure.add_subplot(projection=wcs)
    axes.coords[0].set_axislabel("right ascension (ICRS)")
    axes.coords[1].set_axislabel("declination (ICRS)")
    return axes


def _rings(x: NDArray[Any], y: NDArray[Any], transform: Any) -> Any:
    """Return circles of a fixed size on the sky, so that a cut-out and a field look alike."""
    from matplotlib.collections import EllipseCollection  # noqa: PLC0415  (only who draws pays)

    size = np.full(x.size, RING)
    return EllipseCollection(
        size,
        size,
        np.zeros(x.size),
        units="xy",
        offsets=np.column_stack([x, y]),
        offset_transform=transform,
        facecolors="none",
        edgecolors="#D55E00",
        linewidths=0.8,
    )
