"""Products of the phase `detect`: noise, threshold, purity and pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tilegc.detection.automatic import ZONE_NAMES
from tilegc.detection.results import Detected
from tilegc.detection.threshold import Selection
from tilegc.geometry import Box
from tilegc.io import store
from tilegc.phases.output import Output, Part, null
from tilegc.phases.partials import Table
from tilegc.phases.phase import Results
from tilegc.schema import FILES, PATTERN, PURITY

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write purity.ecsv and pattern.ecsv, and the local noise into the store of every field."""
    selection = results[Detected].selection
    out.ecsv(FILES.purity, PURITY, _joined([selection.purities[name].table for name in out.context.names]))
    out.ecsv(FILES.pattern, PATTERN, _joined([selection.patterns[name].table for name in out.context.names]))
    for field in out.context.fields:
        local = selection.local[field.source.name]
        # Small arrays on the lattice, written by the driver in one piece each.
        store.write(field.store, "noise", Box(0, 0, *local.values.shape), local.values)
        if local.map.expected:
            store.write(field.store, "noise_factor", Box(0, 0, *local.map.lattice.shape), local.map.lattice)
        if (around := selection.surroundings.get(field.source.name)) is not None:
            patches = around.confusion
            store.write(field.store, "confusion", Box(0, 0, *patches.shape), patches)


def _joined(tables: Sequence[Table]) -> Table:
    """Return the rows of several tables, one after the other."""
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def summarise(out: Output, results: Results) -> Part:
    """Return good area, noise and threshold of every field."""
    found = results[Detected]
    fields = {}
    for name in out.context.names:
        noise = found.noises[name]
        fields[name] = {
            "good_area_arcsec2": noise.n_good * out.context.source(name).pixel_area,
            "sigma": null(noise.sigma),
            "threshold": null(found.selection.typical[name]),
            **_limits(found.selection, name),
        }
    return Part(fields=fields)


def _limits(selection: Selection, name: str) -> dict[str, Any]:
    """Return what is known of one field's noise and threshold."""
    noise, limit = selection.local[name], selection.thresholds[name]
    pure = selection.catalogue["purity"][selection.catalogue["field"] == name]
    known = pure[np.isfinite(pure)]
    return {
        "local_noise": null(noise.median),
        "local_noise_lo": null(noise.values[noise.good > 0].min(initial=np.inf)),
        "local_noise_hi": null(noise.values[noise.good > 0].max(initial=-np.inf)),
        "noise_over_err": null(noise.over_error),
        "common_noise": null(noise.common),
        "null_maps": noise.counts.draws // 2 if noise.balance.patterns else 0,
        "null_balance": list(noise.balance.scales),
        "threshold_snr": null(limit.value if limit.local else limit.value / noise.median),
        "threshold_chosen": limit.chosen,
        "limit_by_zone": {ZONE_NAMES[zone]: one for zone, one in sorted(limit.by_zone.items())},
        "threshold_reason": limit.reason,
        "purity": null(float(known.mean()) if known.size else np.nan),
        "pattern_onset_snr": selection.patterns[name].onset or None,
    }
