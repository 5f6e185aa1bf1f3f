"""Tables of the laws: results of the likelihood, the ranking of maps, and other samples of sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from tilegc.report.families import PARTS
from tilegc.report.law import MAPS, likelihood_of, sample_label
from tilegc.report.numbers import DASH, error_text, plain, with_error
from tilegc.report.reading import Material, rows_of

__all__ = ["likelihood_rows", "ranking_rows", "sensitivity_rows"]

Cell = str | Markup


def likelihood_rows(material: Material) -> list[list[Cell]]:
    """Return the results of the likelihood, one row per quantity."""
    found = likelihood_of(material)
    if found is None:
        return []
    low, high = found["c_interval"]
    ends = _ends(low, high)
    top = found["floor_interval_95"][1]
    outer, binned, flattened = found["outer"], found["binned"], found["attenuation"]
    floor = with_error(found["floor"], found["floor_err"]) if found["floor"] else Markup("0")
    if top is not None and found["floor_err"] is None:
        floor = Markup("{}, below {} (95 %)").format(floor, plain(top))
    rows: list[list[Cell]] = [
        [
            "Power c",
            with_error(found["c"], found["c_err"]),
            "n = a κᶜ + f, summed over the cells of each box",
        ],
        *_systematic(found),
        ["68 % of its profile", ends, "profile likelihood, for a floor at its bound"],
        ["Error from resampled blocks", _or_dash(found["c_err_resampled"]), "resampled blocks of 15 arcsec"],
        *_of_members(found.get("members")),
        ["Index b = 1/c", with_error(found["index"], found["index_err"]), "of κ = A nᵇ"],
        [
            "Amplitude A",
            with_error(found["amplitude"], found["amplitude_err"]),
            "κ at one source per arcsec²",
        ],
        ["Floor f", floor, "sources per arcsec² that do not follow κ"],
        ["Counts", str(found["distribution"]), f"variance μ + φ μ², φ = {plain(found['dispersion'])}"],
    ]
    if found["recovery"] is not None:
        hidden = "mean fraction of sources not hidden by brighter neighbours; the law describes all sources"
        rows.append(["Recovery", plain(found["recovery"]), hidden])
    if outer:
        density = with_error(outer["n_per_arcsec2"], outer["err"])
        rows.append(
            ["Outer field", density, "sources per arcsec² far from the centre, used as prior on the floor"]
        )
    if binned:
        b, put_in = with_error(binned["index_mean"], binned["index_std"]), plain(binned["index_true"])
        rows.append(
            [
                "Binned fit of simulated counts",
                b,
                f"b recovered by the binned fit in these boxes, for a true b = {put_in}",
            ]
        )
    if flattened:
        number, ratio = flattened["realisations"], flattened["ratio"]
        words = f"{number} range maps of the lens model recover a fraction {ratio and plain(ratio)} of c"
        if ratio is None:
            words = f"only {number} range maps of the lens model give a law: too few for a correction"
        elif flattened["c_corrected"] is None:
            words += ", too uncertain for a correction"
        rows.append(["c corrected for errors of the lens map", _or_dash(flattened["c_corrected"]), words])
    return rows


def ranking_rows(material: Material) -> list[list[Cell]]:
    """Return the rows of the ranking."""
    table = rows_of(material.run.ranking, "rank", "map", "delta", "delta_err", "c", "uniform", "c_at_bound")
    rows: list[list[Cell]] = []
    for rank, name, delta, error, c, uniform, bound in zip(*table.values(), strict=True):
        label = MAPS.get(str(name), str(name))
        if rank < 1:
            rows.append([label, "–", "does not cover the sky", "", ""])
            continue
        own = str(name) == "kappa"
        rows.append(
            [
                label,
                str(rank),
                "0" if own else error_text(float(delta), float(error)),
                ("≥ " if bound else "") + plain(float(c), 2) if np.isfinite(c) else "–",
                f"{uniform:.2f}",
            ]
        )
    return rows


def sensitivity_rows(material: Material) -> list[list[Cell]]:
    """Return relation and comparison for every sample, one row each."""
    names = (
        "sample",
        "n_sources",
        "binned_index",
        "binned_index_err",
        "index",
        "index_err",
        "floor",
        "floor_err",
        "pearson",
    )
    table = rows_of(material.run.sensitivity, *names)
    rows: list[list[Cell]] = []
    for sample, n, binned, binned_err, index, index_err, floor, floor_err, pearson in zip(
        *table.values(), strict=True
    ):
        held = bool(np.isfinite(index) and not np.isfinite(floor_err))
        rows.append(
            [
                sample_label(sample, held),
                f"{n:,}",
                _with(binned, binned_err),
                _with(index, index_err),
                _with(floor, floor_err),
                plain(float(pearson), 2) if np.isfinite(pearson) else "–",
            ]
        )
    return rows


def _ends(low: float | None, high: float | None) -> str:
    """Return an interval in words; an undetermined end leaves it open."""
    if low is None:
        return "–" if high is None else f"below {plain(high)}"
    return f"above {plain(low)}" if high is None else f"{plain(low)} to {plain(high)}"


def _or_dash(value: float | None) -> Cell:
    return DASH if value is None else plain(value)


def _with(value: float, error: float) -> str:
    return error_text(float(value), float(error)) if np.isfinite(value) else "–"


def _of_members(members: Mapping[str, Any] | None) -> list[list[Cell]]:
    """Return the row of the term that follows the light of galaxies."""
    if not members or members["g"] is None:
        return []
    top = members["interval_95"][1]
    value = with_error(members["g"], members["g_err"]) if members["g"] else Markup("0")
    if top is not None and members["interval_95"][0] == 0:
        value = Markup("{}, below {} (95 %)").format(value, plain(top))
    share = f"{100 * members['share']:.1f} % of the sources, from their light; per arcsec², mean within the radius"
    return [["Sources of galaxies", value, share]]


def _systematic(found: Mapping[str, Any]) -> list[list[Cell]]:
    """Return the row of the systematic error of c."""
    if found.get("c_err_systematic") is None:
        return []
    known = [
        f"{PARTS[name]} {value:.3f}"
        for name, value in found["c_err_systematic_parts"].items()
        if value is not None
    ]
    return [
        [
            "Systematic error of c",
            plain(found["c_err_systematic"]),
            ", ".join(known) + "; not in the error above",
        ],
        *_families(found.get("lens_families")),
    ]


def _families(found: Mapping[str, Any] | None) -> list[list[Cell]]:
    """Return a line for every family of lens models, or one that says that their scatter is assumed."""
    if not found:
        return []
    if found["guess"]:
        words = (
            "assumed, as there is one lens model: published models of one cluster differ by "
            f"{found['ln_kappa_rms']:.2f} in ln κ; give others as convergence.alternatives"
        )
        return [["Scatter of b between families", _or_dash(found["index_err"]), words]]
    return [
        [
            f"Index b with {one['name']}",
            _or_dash(one["index"]),
            f"same sources and cells; ln κ differs by {plain(one['ln_kappa_rms'], 2)}",
        ]
        for one in found["families"][1:]
    ]
