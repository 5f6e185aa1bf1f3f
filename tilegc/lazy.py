"""Detection rules for dask-backed xarray objects, for notebooks and custom pipelines.

The rules that a run applies to windows from its store are applied here to blocks with `dask.array.map_overlap`; the
results are the same bytes.

Examples
--------
>>> sci = xr.DataArray(np.zeros((1, 64, 64), np.float32), dims=("band", "y", "x")).chunk(y=32, x=32)
>>> tilegc.lazy.detection_map(sci).shape
(64, 64)
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr

from tilegc.config import Filter, Mask
from tilegc.detection.peaks import PEAK_HALO, at_least
from tilegc.errors import ConfigError
from tilegc.filter.detection_map import add_bands, filter_halo, filter_maps, filter_params
from tilegc.kernels.peaks import classify, settle

__all__ = ["detection_map", "peak_states", "peaks"]

SELECTED, UNDECIDED = np.uint8(1), np.uint8(2)


def detection_map(
    sci: xr.DataArray,
    wht: xr.DataArray | None = None,
    *,
    filtering: Filter | None = None,
    mask: Mask | None = None,
    recipe: str = "diego2026",
) -> xr.DataArray:
    """Return the detection map of a stack of bands, lazily: that of `recipe: diego2026`.

    Parameters
    ----------
    sci : DataArray (band, y, x), float32
        nJy per pixel; NaN means no data.
    wht : DataArray (band, y, x), optional
        Weights; 0 means no data.
    filtering, mask : optional
        Sections of a run file; of the mask only `bright` matters here.
    recipe : str
        That of the run file.

    Returns
    -------
    DataArray (y, x), float32
        nJy per pixel; NaN where nothing was filtered.

    Raises
    ------
    ConfigError
        For `recipe: calibrated`: the PSFs and weights of its filter are measured in the whole field, which no block
        has.
    """
    given = filtering or Filter()
    if recipe != "diego2026" or given.weights != "equal":
        raise ConfigError(
            "recipe: the PSFs and weights of calibrated are measured in the whole field, not in blocks;"
            " take the map of a run (open_run(DIR).field(NAME).detection) or of tilegc.detect_in"
        )
    # The mid-scale map finds galaxies for the mask; the detection map does not depend on it.
    params = filter_params(given, (mask or Mask()).model_copy(update={"extended": "off"}))
    halo = filter_halo(params)

    def add(sci: np.ndarray, wht: np.ndarray | None = None) -> np.ndarray:
        return add_bands(sci, wht)[0]

    def block(light: np.ndarray) -> np.ndarray:
        return filter_maps(light, np.isfinite(light), params)[1]

    bands = _whole_bands(sci)
    stack = [bands] if wht is None else [bands, _whole_bands(wht).rechunk(bands.chunks)]
    nothing = np.zeros((0, 0), np.float32)
    light = da.map_blocks(add, *stack, drop_axis=0, dtype=np.float32, meta=nothing)
    values = da.map_overlap(block, light, depth=halo, boundary="none", dtype=np.float32, meta=nothing)
    return xr.DataArray(values, dims=("y", "x"), name="detection", attrs={"units": "nJy"})


def peak_states(
    detection: xr.DataArray,
    allowed: xr.DataArray,
    threshold: float,
    *,
    radius: float = 3.0,
    halo: int = PEAK_HALO,
) -> xr.DataArray:
    """Return which pixels are peaks, as far as their block can tell: 0 no, 1 yes, 2 undecided; lazily.

    Parameters
    ----------
    detection : DataArray (y, x), float32
        Detection map.
    allowed : DataArray (y, x), bool
        Where a peak may be recorded.
    threshold : float
        T, in the map's unit.
    radius : float
        Pixels within which a peak blanks fainter ones, inclusive.
    halo : int
        Pixels that a block sees beyond its own; the result of `peaks` does not depend on it.
    """
    values = _backed(detection)
    limit = at_least(threshold)

    def block(
        values: np.ndarray, allowed: np.ndarray, block_info: Mapping[Any, Any] | None = None
    ) -> np.ndarray:
        place = block_info[0] if block_info else {"chunk-location": (0, 0), "num-chunks": (1, 1)}
        (row, column), (rows, columns) = place["chunk-location"], place["num-chunks"]
        sides = (row > 0, column > 0, row < rows - 1, column < columns - 1)
        height, width = values.shape
        core = (
            slice(halo * sides[0], height - halo * sides[2]),
            slice(halo * sides[1], width - halo * sides[3]),
        )
        found = classify(values, allowed & np.isfinite(values), float(limit), radius, sides, core)
        states = np.zeros(values.shape, np.uint8)
        states[found.y, found.x] = np.where(found.decided, SELECTED, UNDECIDED)
        return states

    states = da.map_overlap(
        block,
        values,
        _backed(allowed).rechunk(values.chunks),
        depth=halo,
        boundary="none",
        dtype=np.uint8,
        meta=np.zeros((0, 0), np.uint8),
    )
    return xr.DataArray(states, dims=("y", "x"), name="peak_states")


def peaks(
    detection: xr.DataArray,
    allowed: xr.DataArray,
    threshold: float,
    *,
    radius: float = 3.0,
    halo: int = PEAK_HALO,
) -> dict[str, np.ndarray]:
    """Compute the peaks of a detection map: y, x (int32) and peak (float32), brightest first.

    Parameters are those of `peak_states`. Equal to blanking round the brightest pixel, again and again, over
    the whole map.
    """
    states = peak_states(detection, allowed, threshold, radius=radius, halo=halo).data
    values = _backed(detection).rechunk(states.chunks)
    parts = [
        dask.delayed(_listed)(state, value, y0, x0)
        for state, value, (y0, x0) in zip(
            states.to_delayed().ravel(), values.to_delayed().ravel(), _origins(states.chunks), strict=True
        )
    ]
    rows = dask.compute(*parts)
    y, x, peak, decided = (np.concatenate([part[column] for part in rows]) for column in range(4))
    keep = settle(y, x, peak, decided, radius)
    y, x, peak = y[keep], x[keep], peak[keep]
    order = np.lexsort((x, y, -peak))
    return {"y": y[order], "x": x[order], "peak": peak[order]}


def _listed(states: np.ndarray, values: np.ndarray, y0: int, x0: int) -> tuple[np.ndarray, ...]:
    """Return y, x, value and whether it is decided of every candidate in a block."""
    y, x = np.nonzero(states)
    return (y + y0).astype(np.int32), (x + x0).astype(np.int32), values[y, x], states[y, x] == SELECTED


def _origins(chunks: tuple[tuple[int, ...], ...]) -> list[tuple[int, int]]:
    starts = [np.cumsum((0, *sizes[:-1])).tolist() for sizes in chunks]
    return list(itertools.product(*starts))


def _backed(array: xr.DataArray) -> da.Array:
    """Return the dask array behind a DataArray; one block where it holds NumPy's."""
    return array.data if isinstance(array.data, da.Array) else da.from_array(array.values, chunks=-1)


def _whole_bands(array: xr.DataArray) -> da.Array:
    """Return (band, y, x) with all bands in one block."""
    return _backed(array.transpose("band", "y", "x")).rechunk({0: -1})
