"""A simulated cluster taken to its catalogue by the run's own stages: what `tilegc run` finds, without the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tilegc import config as run_file
from tilegc.config import RunConfig
from tilegc.detection import shapes, threshold
from tilegc.detection.noise import global_noise as noise
from tilegc.detection.noise import local_noise
from tilegc.engine import FieldTiles
from tilegc.filter import detection_map
from tilegc.filter.detection_map import FilterParams
from tilegc.filter.point_response import point_response
from tilegc.geometry import TileGrid
from tilegc.images import psfs as psf
from tilegc.io import store
from tilegc.io.probe import probe_field
from tilegc.mask import mask_map as mask
from tilegc.mask.mask_map import region_masks
from tilegc.phases.context import Context, arrays
from tilegc.sky import ClusterFrame

__all__ = ["MASKS", "RECIPES", "Found", "configured", "find", "masked_setup", "setup_of"]

MASKS = {"bright": "auto", "extended": "auto", "spikes": "auto", "arcs": "auto"}

RECIPES: dict[str, dict[str, Any]] = {
    "diego2026, masks auto": {"recipe": "diego2026"},
    "calibrated, threshold auto": {"recipe": "calibrated", "detect": {"threshold": "auto"}},
    "calibrated, 5 sigma": {"recipe": "calibrated"},
}
"""As changes to the run file that the simulator writes."""


@dataclass(frozen=True)
class Found:
    """What a recipe leaves of one field."""

    places: np.ndarray
    """Sources of the catalogue: y, x, float64 (n, 2)."""
    snr: np.ndarray
    """Their signal-to-noise, float64 (n,)."""
    mask: np.ndarray
    """Bits of `tilegc.schema.Bit`, uint8 (y, x)."""
    light: np.ndarray
    """Summed bands, nJy per pixel, 0 without data."""
    detection: np.ndarray
    """Detection map, 0 where there is none."""
    limit: float
    """Signal-to-noise, or number of sigma, from which on sources are in the catalogue."""


def configured(source: Path, changes: dict[str, Any]) -> RunConfig:
    """Return a run file with some sections replaced, and all masks automatic."""
    content = run_file.load(source).model_dump(mode="json", exclude_none=True)
    content["mask"] = {**content["mask"], **MASKS}
    if changes.get("recipe", content["recipe"]) != content["recipe"]:
        # what the recipe decides by default is not the simulator's to say
        content = {key: value for key, value in content.items() if key not in {"filter", "detect", "inpaint"}}
    return run_file.resolve({**content, **changes, "truth": None, "convergence": None})


def setup_of(config: RunConfig, folder: Path) -> tuple[Context, RunConfig]:
    """Give every field a store; return the context of a serial run without a ledger, and its settings."""
    fields = []
    for given in config.fields:
        source = probe_field(given)
        path = str(folder / f"{source.name}.zarr")
        wanted = arrays(
            (*detection_map.maps_of(config.recipe), *mask.MASKS, *local_noise.maps_of(config.recipe))
        )
        store.create(
            path, wanted, shape=source.shape, bands=source.band_names, shard=config.tiles.size, attrs={}
        )
        fields.append(FieldTiles(source, path, TileGrid(source.shape, config.tiles.size)))
    return Context(fields=tuple(fields)), config


def masked_setup(
    context: Context, config: RunConfig
) -> tuple[dict[str, tuple[psf.BandPsf, ...]], dict[str, FilterParams]]:
    """Take a run to detection map and mask; return PSFs and filters by field."""
    psfs = psf.field_psfs(context, config.recipe, {field.source.name: {} for field in context.fields})
    filtering = detection_map.detection_map(context, config, psfs if config.recipe == "calibrated" else None)
    given = zip(context.fields, config.fields, strict=True)
    mask.mask(
        context,
        config,
        {field.source.name: region_masks(field.source, one.masks) for field, one in given},
        psfs,
    )
    return psfs, filtering


def find(config: RunConfig, folder: Path) -> dict[str, Found]:
    """Take the images of a run file to the catalogue, and return it field by field."""
    context, config = setup_of(config, folder)
    psfs, filtering = masked_setup(context, config)
    responses = None
    if config.recipe == "calibrated":
        responses = {name: point_response(one.matched, psfs[name]) for name, one in filtering.items()}
    noises = noise.noise(context)
    tables = shapes.field_tables(psfs)
    deciding = tables if config.detect.shape == "auto" else None
    local = local_noise.local_noise(context, config.detect.exclusion_radius, noises, filtering, deciding)
    frame = ClusterFrame.of(config.cluster, config.cosmology)
    selection = threshold.select(context, config, noises, local, tables, frame, responses)
    selection = shapes.judged(context, config.detect, selection, tables)
    table = selection.catalogue
    found = {}
    for field in context.fields:
        name, box = field.source.name, field.source.box
        rows = table["field"] == name
        maps = {key: store.read(field.store, key, box) for key in ("mask", "light", "detection")}
        limit = selection.thresholds[name]
        found[name] = Found(
            np.column_stack([table["y"][rows], table["x"][rows]]).astype(float),
            table["snr"][rows].astype(float),
            maps["mask"],
            np.nan_to_num(maps["light"], nan=0.0),
            np.nan_to_num(maps["detection"], nan=0.0),
            config.detect.keep * limit.value / (1.0 if limit.local else noises[name].sigma),
        )
    return found
