"""Where the law of one run stops applying to another: depth, data, redshift and density (`tilegc.predict`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from astropy import units

from tilegc.run_folder import Run
from tilegc.sky import cosmology

__all__ = ["beyond_bins", "limit_of", "other_data", "own_limit", "redshifts_apart", "shallower"]

Z_APART = 0.05
"""Difference in redshift above which a warning says that the evolution of the law is unknown."""

DEPTH_APART = 0.02
"""Relative difference between limits that is ignored."""

SHALLOWER = 0.1
"""Relative excess of the limit of a run over that of its calibration above which the prediction is refused."""


def own_limit(run: Run) -> float:
    """Return the common limit of the fields of a run, nJy per pixel."""
    found = [one["threshold"] for one in run.summary["fields"].values() if one["threshold"] is not None]
    return max(found, default=np.inf) * run.config.detect.keep


def limit_of(target: Run, known: Run) -> tuple[float, list[str]]:
    """Return the limit, nJy per pixel, above which sources of the target are counted, and warnings about it."""
    equal, own = own_limit(known) * _dimmer(target, known), own_limit(target)
    if not np.isfinite(own):
        return own, [f"{target.path}: no field has a limit, so no sources are counted and there is no kappa"]
    if own > equal * (1 + DEPTH_APART):
        return own, [_too_shallow(own / equal)]
    return max(equal, own), []


def shallower(target: Run, known: Run) -> list[str]:
    """Return a reason for refusal if the target is much shallower than the calibration."""
    own = own_limit(target)
    ratio = own / (own_limit(known) * _dimmer(target, known))
    return [_too_shallow(ratio)] if np.isfinite(ratio) and ratio > 1 + SHALLOWER else []


def other_data(target: Run, known: Run) -> list[str]:
    """Return the reasons why the law does not apply: another recipe, filter or bands."""
    found = []
    if target.config.recipe != known.config.recipe:
        found.append(f"recipes differ ({target.config.recipe}, calibration {known.config.recipe})")
    if target.config.filter != known.config.filter:
        found.append("filters differ, so their limits cannot be compared")
    bands, known_bands = _bands(target), _bands(known)
    if bands != known_bands:
        found.append(
            f"bands differ ({_listed(bands)}, calibration {_listed(known_bands)}), so their limits cannot be compared"
        )
    return found


def redshifts_apart(target: Run, known: Run) -> list[str]:
    """Return a warning if the two clusters lie at different redshifts."""
    z, z_known = target.config.cluster.redshift, known.config.cluster.redshift
    if abs(z - z_known) <= Z_APART:
        return []
    return [
        f"the calibration is at z = {z_known:g}, this cluster at {z:g}: numbers and masses are scaled, but the "
        "evolution of the law is not known"
    ]


def beyond_bins(n: np.ndarray, there: np.ndarray, n_range: tuple[float, float]) -> Iterator[str]:
    """Say how much of a map lies outside the densities at which the calibration was measured."""
    low, high = n_range
    # Most of any map is emptier than the bins of a relation; only where that is the rule is it worth a line.
    for word, edge, beyond, least, digits in (
        ("more", high, n > high, 0.0, 1),
        ("fewer", low, n < low, 0.5, 0),
    ):
        count, total = (there & beyond).sum(), there.sum()
        if count > least * total:
            yield (
                f"{100 * count / total:.{digits}f} % of the map has {word} sources per arcsec^2 than any bin of the "
                f"calibration ({edge:.3g}): kappa is extrapolated there"
            )


def _dimmer(target: Run, known: Run) -> float:
    """Return the ratio of fluxes in target and calibration for equal luminosity."""
    here, there = cosmology(target.config.cosmology), cosmology(known.config.cosmology)
    far = there.luminosity_distance(known.config.cluster.redshift).to_value(units.Mpc)
    near = here.luminosity_distance(target.config.cluster.redshift).to_value(units.Mpc)
    return float(far / near) ** 2


def _too_shallow(ratio: float) -> str:
    return (
        f"its limit is {ratio:.2f} times that of the calibration at equal luminosity: fewer clusters are detected, and "
        "kappa is too low"
    )


def _bands(run: Run) -> set[tuple[str, ...]]:
    """Return the bands of a run's fields."""
    return {tuple(str(band) for band in run.field(name)["band"].to_numpy()) for name in run.fields}


def _listed(bands: set[tuple[str, ...]]) -> str:
    return " or ".join("+".join(one) for one in sorted(bands))
