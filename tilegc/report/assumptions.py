"""The law with one assumption changed at a time, and what the paper's law and its contamination imply together."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from markupsafe import Markup

from tilegc.report.law import likelihood_of
from tilegc.report.numbers import error_text
from tilegc.report.reading import Material, rows_of

__all__ = ["NO_EVIDENCE", "PAPER", "assumption_rows", "map_changes"]

LABELS: Final = {
    "own": "as in this run",
    "linear_floor": "floor linear in position",
    "lensed_floor": "floor depleted by the lens",
    "no_centre": "without the inner 5 arcsec",
    "central_light": "κ without the stars of the central galaxy",
    "registered": "κ map displaced",
}

PAPER: Final = Markup(
    "The two laws answer different questions, and the published numbers for AS1063 do not fit one set of sources. "
    "With κ scaled to a mass of 4.23 × 10<sup>14</sup> M<sub>☉</sub> and no floor, n = (κ/0.4)<sup>1/0.7</sup> gives "
    "26,600 detected and 3,400 hidden sources, and its bins give A = 0.44, b = 0.675, close to the published values. "
    "With the contamination of 0.015 per kpc² that the paper subtracts elsewhere, the same bins give b = 0.93, and "
    "b = 0.72 needs c = 2.1, a law with 1/c = 0.48 above the floor. The bins describe all sources; the likelihood "
    "describes those above the floor."
)
"""Arithmetic that stands where both laws do."""

NO_EVIDENCE: Final = (
    "The exponent α = 1.6 of the kernel was chosen so that ρ resembles κ, and β is fitted: a high Pearson coefficient "
    "is no independent evidence that sources follow mass. The ranking of maps and the correlation at fixed radius are."
)
"""What stands where the correlation of rho and kappa does."""


def assumption_rows(material: Material) -> list[list[str]]:
    """Return the law under each assumption: its b, what it gains in likelihood, and the parameters that were fitted."""
    if likelihood_of(material) is None:
        return []
    names = ("assumption", "index", "index_err", "gain", "first", "first_err", "second", "second_err")
    table = rows_of(material.run.assumptions, *names)
    rows = []
    for name, index, error, gain, *values in zip(*table.values(), strict=True):
        rows.append(
            [
                LABELS.get(str(name), str(name)),
                error_text(float(index), float(error)),
                f"{gain:+.1f}".replace("-", "−") if np.isfinite(gain) and name != "own" else "–",
                _values(str(name), [float(value) for value in values]),
            ]
        )
    return rows


def _values(name: str, values: list[float]) -> str:
    """Return the fitted parameters of an assumption in words."""
    first, first_err, second, second_err = values
    if name == "linear_floor":
        east, north = error_text(first, first_err), error_text(second, second_err)
        return f"{east} to the east and {north} to the north, per arcsec² and arcmin"
    if name == "lensed_floor":
        return f"all of the floor behind the lens, with s = {first:g}"
    if name == "central_light":
        return f"stars have κ = {error_text(first, first_err)} at 1 arcsec"
    if name == "registered":
        return f"{error_text(first, first_err)} arcsec to the east, {error_text(second, second_err)} to the north"
    return ""


def map_changes(material: Material) -> list[str]:
    """Return in sentences how the map of the law differs from that of the run file."""
    changes: dict[str, Any] = (material.summary["relation"] or {}).get("map") or {}
    words = []
    if "resolution_arcsec" in changes:
        words.append(
            f"The map was sharpened, as its resolution is {changes['resolution_arcsec']:g} arcsec (FWHM)."
        )
    moved = changes.get("registration")
    if moved:
        place = (
            f"{error_text(moved['xi_arcsec'], moved['xi_err'])} arcsec to the east and "
            f"{error_text(moved['eta_arcsec'], moved['eta_err'])} arcsec to the north"
        )
        words.append(
            {
                "applied": f"The map was displaced by {place}, where the sources prefer it.",
                "refused": f"The sources prefer the map displaced by {place}: too far to be applied.",
            }.get(moved["verdict"], f"The sources do not prefer the map displaced ({place}).")
        )
    stars = changes.get("central_galaxy")
    if stars:
        height = error_text(stars["kappa_at_1_arcsec"], stars["err"])
        words.append(
            f"Stars of the central galaxy were removed from κ: {height} at 1 arcsec, following its light."
        )
    return words
