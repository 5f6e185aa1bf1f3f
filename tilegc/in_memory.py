"""Detection in plain arrays, for cutouts and mosaics without a WCS: bands in, tables out.

The arrays are put into a store of their own in a temporary folder, under a made-up tangent plane, and go through the
phases `tilegc.pipeline.DETECTION`, as those of a run do; what depends on the sky is left out of the result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tilegc.config import DetectionConfig, detection_settings
from tilegc.detection.results import Detected
from tilegc.engine import FieldTiles
from tilegc.errors import InputError
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource
from tilegc.jobs import DetectionJob
from tilegc.mask.mask_map import Regions
from tilegc.phases.context import Context, arrays
from tilegc.phases.phase import Results, carry_out
from tilegc.pipeline import DETECTION
from tilegc.sky import tangent_cards

__all__ = ["Detections", "detect_in"]

FIELD = "image"
"""Name of the one field; no product bears it."""

RA, DEC = 180.0, 0.0
"""Place of the made-up tangent plane, degrees."""

SKY = ("field", "ra", "dec", "radius_arcsec", "radius_kpc")
"""Columns that mean nothing without a WCS."""

TILE = 2048
"""Side of the tiles, pixels: of no influence on any result."""

Bands = Mapping[str, npt.ArrayLike]


@dataclass(frozen=True, eq=False)
class Detections:
    """What a run would find in these arrays.

    Examples
    --------
    >>> bands = {"F200W": np.zeros((64, 64), np.float32)}
    >>> found = tilegc.detect_in(bands, scale=0.03, detect={"threshold": {"value": 1}})
    >>> found.detection.shape, found.catalogue["y_peak"].size
    ((64, 64), 0)
    """

    catalogue: dict[str, np.ndarray]
    """Columns of `schema.CANDIDATES` but those on the sky; peaks from keep x T on."""
    candidates: dict[str, np.ndarray]
    """The same from T on."""
    detection: np.ndarray
    """Detection map, nJy per pixel, float32 (y, x); NaN where nothing was filtered."""
    mask: np.ndarray
    """Bits of `schema.Bit`, uint8 (y, x)."""
    light: np.ndarray
    """Sum of the bands, nJy per pixel, float32 (y, x); NaN where any has no data."""
    sigma: float
    """Noise of the detection map over its good pixels, nJy per pixel; NaN where none is good."""
    threshold: float
    """T, nJy per pixel; with `recipe: calibrated` in signal-to-noise, unless it was given as a value."""


def detect_in(
    bands: Bands,
    wht: Bands | None = None,
    *,
    err: Bands | None = None,
    scale: float,
    recipe: str = "diego2026",
    **sections: object,
) -> Detections:
    """Mask, filter and find peaks in arrays that have no WCS, by the rules of a run.

    Parameters
    ----------
    bands : mapping of str to array (y, x)
        nJy per pixel by the band's name, in the order in which they are summed; NaN means no data.
    wht : mapping of str to array (y, x), optional
        Weights of any of these bands; what is not above 0 means no data.
    err : mapping of str to array (y, x), optional
        Errors of any of these bands, nJy per pixel; `calibrated` lets the noise follow them, or the weights.
    scale : float
        Side of a pixel, arcsec.
    recipe : str
        diego2026 or calibrated; the PSFs of `calibrated` are measured in the arrays, or modelled.
    **sections
        `mask`, `filter` and `detect` as in a run file. In a cutout `mask={"edge": "off"}` keeps the pixels near
        its border.

    Returns
    -------
    Detections
        As a run with one field leaves them, to the byte, for any tiling.

    Raises
    ------
    InputError
        For arrays of another shape or none, a scale that is no positive number, or settings that no run takes.

    Examples
    --------
    >>> image = np.zeros((64, 64), np.float32)
    >>> image[32, 20] = 5.0
    >>> found = detect_in({"F200W": image}, scale=0.03, detect={"threshold": {"value": 0.1}}, mask={"edge": "off"})
    >>> found.catalogue["y_peak"], found.catalogue["x_peak"]
    (array([32], dtype=int32), array([20], dtype=int32))
    """
    sci, planes = _checked(bands, {"err": err or {}, "wht": wht or {}}, scale)
    config = _config(recipe, sections)
    with tempfile.TemporaryDirectory(prefix="tilegc-") as folder:
        tiles = _stored(config, sci, planes, float(scale), Path(folder))
        return _detected(Context(fields=(tiles,)), config)


def _checked(
    bands: Bands, planes: Mapping[str, Bands], scale: float
) -> tuple[dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Return the bands, and their errors and weights by kind, as float32; raise InputError if they do not agree."""
    if not (np.isreal(scale) and np.isfinite(scale) and scale > 0):
        raise InputError(f"scale: {scale!r} must be a positive number of arcsec")
    if not bands:
        raise InputError("bands: empty; give at least one array by name")
    sci = {name: _image(f"band {name!r}", values) for name, values in bands.items()}
    images_of = {
        kind: {name: _image(f"{kind} of band {name!r}", values) for name, values in images.items()}
        for kind, images in planes.items()
    }
    for kind, images in images_of.items():
        if unknown := [name for name in images if name not in sci]:
            raise InputError(
                f"{kind}: {unknown[0]!r} is not one of the bands ({', '.join(sci)}); name one of them"
            )
    shape = next(iter(sci.values())).shape
    for what, images in (("band", sci), *((f"{kind} of band", images) for kind, images in images_of.items())):
        for name, image in images.items():
            if image.shape != shape:
                raise InputError(
                    f"{what} {name!r}: shape {image.shape}, the first band's is {shape}; resample to one grid"
                )
    return sci, {kind: images for kind, images in images_of.items() if images}


def _image(what: str, values: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "iuf":
        raise InputError(
            f"{what}: an array of {array.dtype}, shape {array.shape}; give a two-dimensional image of numbers"
        )
    return np.ascontiguousarray(array, np.float32)


def _config(recipe: str, sections: Mapping[str, object]) -> DetectionConfig:
    """Return the settings of the phases that make a catalogue."""
    if unknown := [name for name in sections if name not in {"mask", "filter", "detect"}]:
        raise InputError(f"{unknown[0]}: not a section of the detection settings; use mask, filter or detect")
    return detection_settings({"recipe": recipe, **sections}, source="detect_in")


def _stored(
    config: DetectionConfig,
    sci: dict[str, np.ndarray],
    planes: Mapping[str, dict[str, np.ndarray]],
    scale: float,
    folder: Path,
    tile: int = TILE,
) -> FieldTiles:
    """Write the arrays into a store and return the field that they make."""
    shape = next(iter(sci.values())).shape
    rows, columns = shape
    path = str(folder / "image.zarr")
    tables = {"sci": sci, **planes}
    stored = {name: tuple(kind for kind, images in tables.items() if name in images) for name in sci}
    wcs = _tangent_plane(rows, columns, scale)
    source = FieldSource(
        FIELD,
        (rows, columns),
        tuple(BandSource(name, None, stored=stored[name]) for name in sci),
        wcs,
        wcs,
        scale,
        scale * scale,
        has_err="err" in planes,
        has_wht="wht" in planes,
        store=path,
    )
    grid = TileGrid((rows, columns), tile)
    wanted = arrays((*tables, *(name for phase in DETECTION for name in phase.arrays(config))))
    store.create(path, wanted, shape=(rows, columns), bands=source.band_names, shard=tile, attrs={})
    for kind, images in tables.items():
        for number, name in enumerate(sci):
            if name in images:
                store.write(path, kind, source.box, images[name], band=number)
    return FieldTiles(source, path, grid)


def _tangent_plane(rows: int, columns: int, scale: float) -> str:
    """Return the cards of a tangent plane of this scale about the middle of the arrays."""
    middle = 0.5 * (columns + 1), 0.5 * (rows + 1)
    cards = tangent_cards(RA, DEC, reference=middle, step=(-scale, scale))
    # Longer than a card of FITS may be, so that the step has all its digits; astropy reads it all the same.
    return "\n".join(f"{key:8}= {value!r}" for key, value in cards.items())


def _detected(context: Context, config: DetectionConfig) -> Detections:
    """Take the arrays through the phases of a run that need no sky."""
    job = DetectionJob(config=config, regions={FIELD: Regions((), ())}, psfs={})
    results = carry_out(DETECTION, job, Results(context))
    found, tiles = results[Detected], context.fields[0]
    detection, bits, light = (
        store.read(tiles.store, name, tiles.source.box) for name in ("detection", "mask", "light")
    )
    return Detections(
        _without_sky(found.selection.catalogue),
        _without_sky(found.selection.candidates),
        detection,
        bits,
        light,
        found.noises[FIELD].sigma,
        found.selection.thresholds[FIELD].value,
    )


def _without_sky(table: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: column for name, column in table.items() if name not in SKY}
