"""summary.json: the parts of all phases, in one fixed order of keys."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from tilegc.detection.results import Detected
from tilegc.filter.results import Filtered
from tilegc.images.results import Audited
from tilegc.io.atomic import write_bytes
from tilegc.mask import masked_area
from tilegc.mask.results import Masked
from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results
from tilegc.places import Place
from tilegc.products import warnings
from tilegc.relation.limit_trend import limit_trend
from tilegc.relation.results import Related
from tilegc.schema import SCHEMA_VERSION, VERSION

__all__ = ["FIELD_KEYS", "RUN_KEYS", "summary_of", "write_summary"]

RUN_KEYS: Final = (
    "schema",
    "version",
    "recipe",
    "cluster",
    "fields",
    "n_detected",
    "n_inpainted",
    "extinction",
    "relation",
    "comparison",
    "luminosity",
    "contamination",
    "contamination_budget",
    "radial",
    "mass",
    "lens",
    "truth",
    "audit",
    "warnings",
    "sky_grid",
)
"""Keys of summary.json, in their order; `timing` follows."""

FIELD_KEYS: Final = (
    "shape",
    "good_area_arcsec2",
    "masked_fraction",
    "no_data_fraction",
    "masked",
    "sigma",
    "threshold",
    "psf",
    "n_not_points",
    "n_candidates",
    "n_detected",
    "n_inpainted",
    "inpainting",
    "depth",
    "artificial_stars",
    "photometry",
    "local_noise",
    "local_noise_lo",
    "local_noise_hi",
    "noise_over_err",
    "common_noise",
    "null_maps",
    "null_balance",
    "threshold_snr",
    "threshold_chosen",
    "limit_by_zone",
    "threshold_reason",
    "purity",
    "pattern_onset_snr",
)
"""Keys of each field, in their order."""


def summary_of(out: Output, results: Results, parts: Iterable[Part]) -> dict[str, Any]:
    """Return the content of summary.json, but for `timing`; null stands for what could not be measured.

    Parameters
    ----------
    out : Output
    results : Results
        Of all phases.
    parts : iterable of Part
        What each phase contributes.
    """
    cluster = out.config.cluster
    run: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "version": VERSION,
        "recipe": out.config.recipe,
        "cluster": {
            "name": cluster.name or None,
            "redshift": null(cluster.redshift),
            "kpc_per_arcsec": null(out.kpc_per_arcsec),
        },
        "warnings": _warnings(out, results),
    }
    fields: dict[str, dict[str, Any]] = {name: {} for name in out.context.names}
    for part in parts:
        run |= part.run
        for name, values in part.fields.items():
            fields[name] |= values
    run["fields"] = {name: _ordered(values, FIELD_KEYS) for name, values in fields.items()}
    return _ordered(run, RUN_KEYS)


def _ordered(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return a section with its keys in order; one that has no place yet is an error of the program."""
    return {key: values[key] for key in sorted(values, key=keys.index)}


def _warnings(out: Output, results: Results) -> list[dict[str, str]]:
    """Return what makes inputs or results doubtful."""
    related = results.get(Related)
    lines, found, counts = results[Audited].lines, results[Detected], results[Masked].counts
    edges = {
        name: masked_area.shares(counts[name], out.context.source(name).pixel_area)["edge"]["fraction"]
        for name in out.context.names
    }
    bands = {field.source.name: field.source.band_names for field in out.context.fields}
    return warnings.rows(
        (
            *warnings.on_audit(lines),
            *(warnings.on_ranking(related.ranking) if related else ()),
            *(warnings.on_registration(related.assumptions, related.changes) if related else ()),
            *(warnings.on_limits(limit_trend(related.sensitivity)) if related else ()),
            *warnings.on_edges(out.config, edges),
            *(warnings.on_psfs(results[Filtered].psfs) if out.config.recipe == "calibrated" else ()),
            *warnings.on_detection(out.config, found.noises, found.selection, bands),
        )
    )


def write_summary(path: Place, summary: Mapping[str, Any]) -> None:
    """Write summary.json; a NaN in it is an error."""
    write_bytes(path, (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
