"""Products of the phase `completeness`: the artificial stars, and the depths that they give."""

from __future__ import annotations

import numpy as np

from tilegc.completeness.recovery_map import CELL, RecoveryMap
from tilegc.completeness.results import Completed
from tilegc.completeness.tables import DETECTION, depth
from tilegc.io.maps import write_planes
from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results
from tilegc.photometry.catalogue import band_names
from tilegc.schema import COMPLETENESS, COMPLETENESS_MAP, FILES, RESPONSE, artificial_columns
from tilegc.sky import binned

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write artificial.parquet, completeness.ecsv, response.ecsv and the maps; nothing where no stars were put in."""
    found = results.get(Completed)
    if found is not None:
        out.parquet(FILES.artificial, artificial_columns(band_names(out.context)), found.artificial)
        out.ecsv(FILES.completeness, COMPLETENESS, found.depths)
        out.ecsv(FILES.response, RESPONSE, found.response)
        for name, one in found.maps.items():
            _write_map(out, name, one)


def _write_map(out: Output, name: str, found: RecoveryMap) -> None:
    """Write maps/<field>_completeness.fits: the map, and its error as an extension."""
    meta: dict[str, tuple[str | int | float, str]] = {
        "FIELD": (name, "name of the field"),
        "RECIPE": (out.config.recipe, "recipe of the run"),
        "CELL": (CELL, "pixels of the field along a cell"),
        "NSTARS": (found.stars, "artificial stars within 0.5 mag"),
    }
    if np.isfinite(found.magnitude):
        meta["MAG"] = (found.magnitude, "AB mag of the flat spectrum")
    if np.isfinite(found.smoothing):
        meta["SMOOTH"] = (found.smoothing, "sigma of the Gaussian, arcsec")
    planes = [
        ("COMPLETENESS", found.value.astype(np.float32), "", "share of point sources found"),
        ("ERROR", found.error.astype(np.float32), "", "its standard deviation"),
    ]
    path = out.folder.map(name, COMPLETENESS_MAP)
    write_planes(path, binned(out.context.source(name).wcs, CELL), planes, meta)


def summarise(out: Output, results: Results) -> Part:
    """Return the magnitudes at which every field is 50, 80 and 90 per cent complete, by band."""
    return Part(
        fields={
            name: {"depth": _depth(results, name), "artificial_stars": _number(results, name)}
            for name in out.context.names
        }
    )


def _number(results: Results, name: str) -> int | None:
    """Return how many stars a field was to get; None without stars."""
    found = results.get(Completed)
    return None if found is None or name not in found.stars else found.stars[name].wanted


def _depth(results: Results, name: str) -> dict[str, dict[str, float | None]] | None:
    """Return the depths of one field; None without stars."""
    found = results.get(Completed)
    if found is None or name not in found.stars:
        return None
    return {
        band: {key: null(value) for key, value in levels.items()}
        for band, levels in depth(found.depths, name).items()
        if band != DETECTION
    }
