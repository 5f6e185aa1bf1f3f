"""Layers of the viewer: the images of a field, and how their values are encoded as bytes."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.errors import TileGCError
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.io.fits import FieldSource
from tilegc.io.probe import probe_field
from tilegc.schema import ARRAYS, FILES

if TYPE_CHECKING:
    from tilegc.run_folder import Run
    from tilegc.viewer.residuals import Model

__all__ = ["Encoding", "Layer", "encode", "encodings_of", "layers_of", "read_layers"]

log = logging.getLogger("tilegc")

MAPS: Final = (("detection", "grey"), ("density", "heat"), ("rho", "heat"))
"""Arrays of a run that are shown, with their colour maps."""

SAMPLE: Final = 64
"""Side in pixels of the windows from which the level and noise of an image are estimated."""

WINDOWS: Final = 8
"""Number of these windows along each axis."""

DEEPEST, BRIGHTEST = -8.0, 2000.0
"""Range of a byte in units of the noise around the level."""

BLACK, WHITE = -1.5, 25.0
"""Initial stretch of a band in the same units."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One image of a field."""

    field: str
    name: str
    """Component of the path of its tiles."""
    label: str
    kind: str
    """One of "band", "residual", "detection", "map" or "mask"."""
    ramp: str
    """Name of the colour map."""
    unit: str
    shape: tuple[int, int]
    store: str
    """Path of the store of the field."""
    source: FieldSource | None = None
    """Source of the pixels of a band."""
    band: int = 0


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """Encoding of an image: code 0 for no data, 1 to 255 for equal steps in asinh((value - zero) / scale)."""

    zero: float
    scale: float
    low: float
    """asinh of the lowest value with its own code."""
    high: float
    black: float
    """Fraction of the range from `low` to `high` that is initially shown black."""
    white: float


def layers_of(run: Run, field: str, modelled: Sequence[str] = ()) -> list[Layer]:
    """Return the layers of a field: its bands, if their files can still be read, and the maps of the run.

    Parameters
    ----------
    run : Run
    field : str
        Name of the field.
    modelled : sequence of str
        Bands of which the light of all sources is known: they have a layer without it, too.
    """
    path = str(run.path / FILES.store / f"{field}.zarr")
    units = {array.name: array.unit for array in ARRAYS}
    present = set(run.field(field).data_vars)
    height, width = run.field(field)["mask"].shape
    shape = (height, width)
    layers = []
    source = _source(run, field, path, ingested="sci" in present)
    names = source.band_names if source else ()
    for kind, bands in (("band", names), ("residual", [band for band in names if band in modelled])):
        layers += [
            Layer(
                field=field,
                name=band if kind == "band" else f"residual-{band}",
                label=band if kind == "band" else f"{band} without sources",
                kind=kind,
                ramp="grey",
                unit="nJy",
                shape=shape,
                store=path,
                source=source,
                band=names.index(band),
            )
            for band in bands
        ]
    for name, ramp in MAPS:
        if name in present:
            kind = "detection" if name == "detection" else "map"
            layers.append(
                Layer(
                    field=field,
                    name=name,
                    label="Detection map" if name == "detection" else name.capitalize(),
                    kind=kind,
                    ramp=ramp,
                    unit=units[name],
                    shape=shape,
                    store=path,
                )
            )
    layers.append(
        Layer(
            field=field, name="mask", label="Mask", kind="mask", ramp="grey", unit="", shape=shape, store=path
        )
    )
    return layers


def _source(run: Run, field: str, path: str, *, ingested: bool) -> FieldSource | None:
    described = next(one for one in run.config.fields if one.name == field)
    try:
        return store.open_field(field, path) if ingested else probe_field(described)
    except TileGCError as error:
        log.warning("field %s: the viewer shows no bands, because they cannot be read: %s", field, error)
        return None


def read_layers(layers: Sequence[Layer], box: Box, model: Model | None = None) -> list[NDArray[Any]]:
    """Return a window of several layers of one field; its bands are read together.

    Parameters
    ----------
    layers : sequence of Layer
    box : Box
        The window.
    model : Model, optional
        Sources that are subtracted from layers of kind "residual".

    Returns
    -------
    list of ndarray
        float32 with NaN for no data, or the bits of the mask as uint8.
    """
    bands: NDArray[np.float32] | None = None
    images: list[NDArray[Any]] = []
    for layer in layers:
        if layer.source is None:
            images.append(np.asarray(store.read(layer.store, layer.name, box)))
            continue
        if bands is None:
            bands = store.read_window(layer.source, layer.store, ["sci"], box)["sci"].values
        image = bands[layer.band]
        if layer.kind == "residual":
            assert model is not None
            light = model.light(layer.source.band_names[layer.band], box)
            image = image - light.astype(np.float32)
        images.append(image)
    return images


def encodings_of(layers: Sequence[Layer]) -> list[Encoding | None]:
    """Choose the encoding of each layer of a field from windows spread over it; None for the mask."""
    sampled = [layer for layer in layers if layer.kind != "residual"]
    windows = [read_layers(sampled, box) for box in _sample(layers[0].shape)]
    found = {
        layer.name: None
        if layer.kind == "mask"
        else _encoding(layer.kind, np.concatenate([window[number].ravel() for window in windows]))
        for number, layer in enumerate(sampled)
    }
    # What is left of a band is shown with the band's own stretch, so that the two can be compared.
    return [found[layer.name.removeprefix("residual-")] for layer in layers]


def _encoding(kind: str, sample: NDArray[np.float32]) -> Encoding:
    values = sample[np.isfinite(sample)].astype(np.float64)
    if kind == "map":
        # Densities are positive and smooth: encode from zero to the maximum, with the median as scale.
        positive = values[values > 0]
        scale = float(np.median(positive)) if positive.size else 1.0
        high = float(np.arcsinh(4.0 * positive.max() / scale)) if positive.size else 1.0
        return Encoding(zero=0.0, scale=scale, low=0.0, high=high, black=0.0, white=0.8)
    level = float(np.median(values)) if values.size else 0.0
    noise = 1.4826 * float(np.median(np.abs(values - level))) if values.size else 0.0
    low, high = float(np.arcsinh(DEEPEST)), float(np.arcsinh(BRIGHTEST))
    black, white = ((float(np.arcsinh(end)) - low) / (high - low) for end in (BLACK, WHITE))
    return Encoding(zero=level, scale=noise or 1.0, low=low, high=high, black=black, white=white)


def _sample(shape: Sequence[int]) -> Iterator[Box]:
    starts = [np.unique(np.linspace(0, max(side - SAMPLE, 0), WINDOWS).astype(int)) for side in shape]
    for y, x in itertools.product(*starts):
        yield Box(int(y), int(x), min(int(y) + SAMPLE, shape[0]), min(int(x) + SAMPLE, shape[1]))


def encode(values: NDArray[np.float32], encoding: Encoding) -> NDArray[np.uint8]:
    """Return the codes of the values of an image."""
    # Work in place (a block takes 16 MB) and in float32, which is enough for the eye.
    codes = values - np.float32(encoding.zero)
    codes /= np.float32(encoding.scale)
    np.arcsinh(codes, out=codes)
    width = np.float32(254.0 / (encoding.high - encoding.low))
    codes *= width
    codes += np.float32(1.5) - width * np.float32(encoding.low)
    np.clip(codes, 1.0, 255.0, out=codes)
    codes[np.isnan(codes)] = 0.0
    return codes.astype(np.uint8)
