"""From FITS to candidates, four bands, against a pipeline of dask-image in one thread and on two workers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
from astropy.io import fits

from benchmarks.kernels import STAGES, sky
from benchmarks.measure import Case, in_turns
from tilegc.cluster import connect
from tilegc.config import Mask, RunConfig, ValueThreshold, resolve
from tilegc.detection import peaks, threshold
from tilegc.detection.noise import global_noise as noise
from tilegc.engine import Engine, FieldTiles, SerialEngine, for_client, passes
from tilegc.filter import detection_map
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.probe import probe_field
from tilegc.kernels.smoothing import FWHM_PER_SIGMA
from tilegc.mask import mask_map as mask
from tilegc.mask.mask_map import Regions
from tilegc.phases.context import Context, arrays

BANDS = ("F090W", "F115W", "F150W", "F200W")


def header(size: int) -> fits.Header:
    """Return the header of an image in nJy with pixels of 30 mas."""
    return fits.Header(
        [
            ("BUNIT", "nJy"),
            ("CTYPE1", "RA---TAN"),
            ("CTYPE2", "DEC--TAN"),
            ("CRVAL1", 10.0),
            ("CRVAL2", -30.0),
            ("CRPIX1", size / 2),
            ("CRPIX2", size / 2),
            ("CDELT1", -0.03 / 3600),
            ("CDELT2", 0.03 / 3600),
        ]
    )


def write_bands(folder: Path, size: int) -> list[str]:
    """Write one plain FITS image a band."""
    paths = [str(folder / f"{band}.fits") for band in BANDS]
    for path, values in zip(paths, sky(size, len(BANDS)), strict=True):
        fits.writeto(path, values, header(size))
    return paths


def ours(config: RunConfig, engine: Engine, folder: Path) -> int:
    """Do the first half of a run; return the number of candidates."""
    source = probe_field(config.fields[0])
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = f"{place}/f.zarr"
        wanted = arrays((*detection_map.MAPS, *mask.MASKS))
        store.create(path, wanted, shape=source.shape, bands=BANDS, shard=config.tiles.size, attrs={})
        fields = (FieldTiles(source, path, TileGrid(source.shape, config.tiles.size)),)
        context = Context(engine=engine, fields=fields)
        detection_map.detection_map(context, config)
        mask.mask(context, config, {"f": Regions((), ())})
        asked = config.detect.threshold
        limit = (
            asked.value
            if isinstance(asked, ValueThreshold)
            else threshold.threshold(config, noise.noise(context)["f"])
        )
        return peaks.find_peaks(context, config, {"f": limit})["y"].size


def graph(paths: list[str], size: int, tile: int, *, each_band: bool = False) -> tuple[da.Array, da.Array]:
    """Return the recipe's detection map and its local maxima, as dask arrays.

    With normalised smoothing and bit 4, but without a store, and with plain local maxima. Like tilegc it adds the
    bands before it filters their sum; or, as most would write it down, it filters each band and adds the results.
    """
    from dask_image.ndfilters import gaussian_filter, maximum_filter  # noqa: PLC0415  (an extra)
    from dask_image.ndmorph import binary_dilation  # noqa: PLC0415

    def read(path: str, block_info: Any = None) -> np.ndarray:
        (y0, y1), (x0, x1) = block_info[None]["array-location"]
        with fits.open(path) as hdus:
            return np.asarray(hdus[0].section[y0:y1, x0:x1], np.float32)

    def smooth(values: da.Array, there: da.Array, fwhm: float) -> da.Array:
        counted = gaussian_filter(there.astype(np.float32), fwhm / FWHM_PER_SIGMA, mode="constant")
        return gaussian_filter(
            da.where(there, values, 0), fwhm / FWHM_PER_SIGMA, mode="constant"
        ) / da.maximum(counted, 1e-30)

    chunks = da.core.normalize_chunks(tile, (size, size))
    bands = [
        da.map_blocks(read, path, chunks=chunks, dtype=np.float32, meta=np.zeros((0, 0), np.float32))
        for path in paths
    ]
    valid = da.isfinite(sum(bands[1:], bands[0]))

    def stage(images: list[da.Array], there: da.Array, widths: tuple[float, float]) -> list[da.Array]:
        narrow, wide = widths
        return [smooth(one, there, narrow) - smooth(one, there, wide) for one in images]

    firsts = stage(bands if each_band else [sum(bands[1:], bands[0])], valid, STAGES[0])
    first = sum(firsts[1:], firsts[0])
    rest = valid & ~binary_dilation(valid & (first >= Mask().bright_nJy), disc(detection_map.BRIGHT_GROWTH))
    seconds = stage(firsts, rest, STAGES[1])
    second = sum(seconds[1:], seconds[0])
    second = da.where(rest, second, -np.inf)
    return second, rest & (
        second == maximum_filter(second, footprint=disc(3.0), mode="constant", cval=-np.inf)
    )


def disc(radius: float) -> np.ndarray:
    """Return the pixels within a radius of the middle one."""
    reach = int(radius)
    return np.hypot(*(np.indices((2 * reach + 1,) * 2) - reach)) <= radius


def theirs(values: da.Array, maxima: da.Array) -> int:
    """Return the number of local maxima above 2.5 sigma; dask's percentile is no exact median."""
    values, maxima = dask.persist(values, maxima)
    # Block by block: the order of the pixels does not matter here, and keeping it would move them all.
    flat = da.concatenate([block.ravel() for block in values.blocks.ravel()])
    flat = da.where(da.isfinite(flat), flat, 0)
    middle = da.percentile(flat, [50])[0]
    sigma = 1.4826 * da.percentile(abs(flat - middle), [50])[0]
    return int((maxima & (values >= 2.5 * sigma)).sum().compute())


@contextmanager
def counting(owner: Any, name: str) -> Iterator[list[tuple[Any, ...]]]:
    """Keep the arguments of all calls of a function."""
    calls: list[tuple[Any, ...]] = []
    original = getattr(owner, name)

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return original(*args, **options)

    setattr(owner, name, counted)
    try:
        yield calls
    finally:
        setattr(owner, name, original)


def detection(size: int, tile: int, runs: int) -> list[Case]:
    """Measure both in one process and on two workers; count tasks and windows."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = write_bands(folder, size)
        config = resolve(
            {
                "recipe": "diego2026",
                "cluster": {"name": "bench", "redshift": 0.3, "ra": 10.0, "dec": -30.0},
                "fields": [{"name": "f", "bands": dict(zip(BANDS, paths, strict=True))}],
                "tiles": {"size": tile},
                "mask": {"edge": "off", "extended": "off"},
                "filter": {"discretisation": "sampled"},  # as the peer's Gaussians are
            }
        )
        with counting(passes.stores, "read_window") as windows:
            candidates = ours(config, SerialEngine(), folder)
        reads = [(names, box) for _, _, names, box in windows]
        pixels = sum(box.size for names, box in reads if "sci" in names)
        values, maxima = graph(paths, size, tile)
        with dask.config.set(scheduler="synchronous"):
            alone = in_turns(
                {
                    "tilegc": lambda: ours(config, SerialEngine(), folder),
                    "dask-image": lambda: theirs(values, maxima),
                },
                runs,
            )
        with connect(workers=2) as client, client.as_current():
            engine = for_client(client)
            with counting(client, "submit") as tasks:
                if ours(config, engine, folder) != candidates:
                    raise AssertionError("serial and Dask do not agree")
            counted = {
                "tiles": len(TileGrid((size, size), tile)),
                "windows read, all passes (tilegc)": len(reads),
                "tasks (tilegc)": len(tasks),
                "tasks, filter and maxima (dask-image)": len(
                    dict(dask.optimize(values, maxima)[1].__dask_graph__())
                ),
                "band pixels read over those there are (tilegc)": pixels / size**2,
                "candidates (tilegc)": candidates,
                "local maxima (dask-image)": theirs(values, maxima),
            }
            together = in_turns(
                {
                    "tilegc": lambda: ours(config, engine, folder),
                    "dask-image": lambda: theirs(values, maxima),
                },
                runs,
            )
    total = len(BANDS) * size * size
    remark = f"tiles of {tile} px; the peer keeps no store, its sigma is not exact"
    return [
        Case("FITS to candidates, one thread", total, alone, remark),
        Case("FITS to candidates, two workers", total, together, remark, counted),
    ]
