"""Figures of a sample: its law, the prediction of each cluster from the others, number against mass, mean profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.patches import Ellipse

from tilegc.population.richness import GC_MASS_RATIO, MEAN_CLUSTER_MASS, VIRIAL_MASS_PER_GC, MassRelation
from tilegc.population.stacking import Stack
from tilegc.report.drawing import Drawn
from tilegc.report.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    ORANGE,
    SMALL,
    VERMILLION,
    finish,
    legend,
    log_panel,
    panel,
    plain_ticks,
    png,
)
from tilegc.samples.measured import Measured
from tilegc.samples.statistics import SampleStatistics

__all__ = ["sample_figures"]

UNIT: Final = 1e14
"""Msun: unit of masses in the figures."""

LABELLED: Final = 40
"""Clusters up to which each point bears its name."""


def sample_figures(found: SampleStatistics, measured: Sequence[Measured]) -> list[Drawn]:
    """Draw all figures for which there is something to show.

    Parameters
    ----------
    found : SampleStatistics
    measured : sequence of Measured
        The clusters, for their own profiles.
    """
    drawn = []
    if found.law is not None:
        drawn.append(_law(found))
    if found.predicted:
        drawn.append(_predicted(found))
    if found.relation is not None:
        drawn.append(_number_and_mass(found, found.relation))
    depth = _depth_of_stacks(found)
    if (found.by_kpc.n_clusters > 1).any():
        everyone = dict.fromkeys((one.name for one in measured), 1.0)
        drawn.append(_stack(found.by_kpc, measured, "profiles-kpc", "radius (kpc)", everyone, depth))
    if (found.by_r_200.n_clusters > 1).any():
        drawn.append(_stack(found.by_r_200, measured, "profiles-r200", "radius / r₂₀₀", found.r_200, depth))
    return drawn


def _law(found: SampleStatistics) -> Drawn:
    law = found.law
    assert law is not None
    figure, axes = panel("The law of the sample and of its clusters")
    mean, predictive = law.population.mean, law.population.predictive
    for number, style in ((1.0, "-"), (2.0, ":")):
        values, vectors = np.linalg.eigh(predictive.covariance[:2, :2])
        width, height = 2.0 * number * np.sqrt(np.maximum(values, 0.0))
        angle = float(np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])))
        axes.add_patch(
            Ellipse(
                (float(mean.mean[0]), float(mean.mean[1])),
                width,
                height,
                angle=angle,
                fill=False,
                ls=style,
                color=GREEN,
            )
        )
    own = np.array([one.mean for one in law.shrunken])
    err = np.array([one.err for one in law.shrunken])
    for alone, shrunken in zip(law.alone, own, strict=True):
        if np.isfinite(alone[:2]).all():
            axes.plot([alone[0], shrunken[0]], [alone[1], shrunken[1]], color=FAINT, lw=0.7, zorder=1)
    axes.plot(
        law.alone[:, 0], law.alone[:, 1], "o", mfc="white", mec=FAINT, ms=4.5, label="each cluster alone"
    )
    axes.errorbar(
        own[:, 0],
        own[:, 1],
        xerr=err[:, 0],
        yerr=err[:, 1],
        fmt="o",
        color=BLUE,
        ms=5,
        lw=1.1,
        label="given the sample",
    )
    axes.errorbar(
        mean.mean[0],
        mean.mean[1],
        xerr=mean.err[0],
        yerr=mean.err[1],
        fmt="D",
        color=VERMILLION,
        ms=7,
        lw=1.6,
        label="mean of the sample",
        zorder=5,
    )
    if len(law.names) <= LABELLED:
        for name, place in zip(law.names, own, strict=True):
            axes.annotate(
                name, place[:2], xytext=(5, 4), textcoords="offset points", fontsize=SMALL - 1, color=INK
            )
    centre, reach = predictive.mean[:2], 3.2 * predictive.err[:2]
    low = np.minimum((own[:, :2] - err[:, :2]).min(axis=0), centre - reach)
    high = np.maximum((own[:, :2] + err[:, :2]).max(axis=0), centre + reach)
    axes.set(
        xlim=(low[0], high[0]),
        ylim=(low[1], high[1]),
        xlabel="ln α, α in sources per kpc² at 10⁹ M☉ kpc⁻²",
        ylabel="c",
    )
    legend(figure, axes.get_legend_handles_labels()[0], 3)
    return Drawn(
        "law",
        png(figure),
        "Power and amplitude of the law N = α (Σ / 10⁹ M☉ kpc⁻²)ᶜ. Open circles: best fits of the clusters "
        "alone, joined to the "
        "values that take the sample into account. Ellipses: where 39 % and 86 % of other clusters are "
        "expected to lie.",
        wide=False,
    )


def _predicted(found: SampleStatistics) -> Drawn:
    kept = found.predicted
    figure, axes = panel("κ of each cluster predicted from the others")
    order = np.argsort([one.ln_ratio for one in kept])
    ratio = np.exp([kept[k].ln_ratio for k in order])
    err = np.array([kept[k].err for k in order])
    place = np.arange(len(kept))
    axes.errorbar(
        ratio,
        place,
        xerr=(ratio * (1 - np.exp(-err)), ratio * (np.exp(err) - 1)),
        fmt="o",
        color=BLUE,
        ms=5,
        lw=1.1,
    )
    axes.axvline(1.0, color=INK, lw=0.9)
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    axes.set(xlabel="κ predicted / κ of the map", yticks=[])
    if len(kept) <= LABELLED:
        axes.set_yticks(place, [kept[k].name for k in order])
    spread = float(np.sqrt(np.mean([one.pull**2 for one in kept])))
    return Drawn(
        "left-out",
        png(figure),
        "Factor by which the convergence map would have to be multiplied for the law of the other clusters "
        "to give the observed "
        "counts. Errors include counts, that law and the intrinsic scatter. Rms of deviation over error: "
        f"{spread:.2f}.",
        wide=False,
    )


def _number_and_mass(found: SampleStatistics, relation: MassRelation) -> Drawn:
    figure, axes = log_panel("Globular clusters and lens mass")
    names = found.relation_names
    mass = np.array([found.apertures[name].mass for name in names]) / UNIT
    number = np.array([found.apertures[name].number for name in names])
    err = np.array([found.apertures[name].number_err for name in names])
    along = np.geomspace(0.7 * mass.min(), 1.4 * mass.max(), 50)
    line = np.exp(relation.ln_n_at_pivot) * (along * UNIT / relation.pivot) ** relation.slope
    axes.fill_between(
        along,
        line * np.exp(-relation.scatter),
        line * np.exp(relation.scatter),
        color=GREEN,
        alpha=0.18,
        lw=0,
    )
    axes.plot(
        along, line, color=GREEN, label=f"this sample: slope {relation.slope:.2f} ± {relation.slope_err:.2f}"
    )
    axes.plot(
        along,
        along * UNIT / VIRIAL_MASS_PER_GC,
        color=ORANGE,
        ls="--",
        label="5 × 10⁹ M☉ per globular cluster",
    )
    axes.plot(
        along,
        GC_MASS_RATIO * along * UNIT / MEAN_CLUSTER_MASS,
        color=VERMILLION,
        ls=":",
        label="2.9 × 10⁻⁵ of the mass, 2.4 × 10⁵ M☉ each",
    )
    axes.errorbar(
        mass, number, yerr=np.minimum(err, 0.99 * number), fmt="o", color=BLUE, ms=5.5, lw=1.1, zorder=4
    )
    if len(names) <= LABELLED:
        for name, x, y in zip(names, mass, number, strict=True):
            axes.annotate(
                name, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=SMALL - 1, color=INK
            )
    radius = next(iter(found.apertures.values())).radius
    axes.set(
        xlim=(along[0], along[-1]),
        xlabel=f"lens mass within {radius:.0f} kpc (10¹⁴ M☉)",
        ylabel="globular clusters within it",
    )
    finish(figure, axes, 2)
    outliers = ", ".join(names[k] for k in relation.outliers)
    return Drawn(
        "number-mass",
        png(figure),
        f"Numbers detected and lens masses within {radius:.0f} kpc, both scaled to the whole circle. Band: "
        "intrinsic scatter, "
        f"{relation.scatter:.2f} in ln N. The dashed and the dotted line are for all globular clusters "
        "within the virial radius "
        "and are drawn for comparison. "
        + (
            f"More than 3 standard deviations off: {outliers}."
            if outliers
            else "No cluster is more than 3 standard deviations off."
        ),
        wide=True,
    )


def _depth_of_stacks(found: SampleStatistics) -> str:
    """Say to which depth the stacked profiles were brought."""
    if len(found.depths) < 2:
        return "Depths differ between clusters, and no correction to a common luminosity is made."
    common = next(iter(found.depths.values())).common
    shallow = [name for name, one in found.depths.items() if one.extrapolated]
    said = f"The mean is brought to the absolute magnitude {common:.1f}; grey: as observed."
    return f"{said} Extrapolated, because they are shallower: {', '.join(shallow)}." if shallow else said


def _stack(
    stack: Stack, measured: Sequence[Measured], name: str, label: str, units: Mapping[str, float], depth: str
) -> Drawn:
    figure, axes = log_panel(f"Mean profile: {label}")
    for one in measured:
        if (unit := units.get(one.name)) is None:
            continue
        radius = np.sqrt(np.maximum(one.profile.lo, 0.5 * one.profile.hi) * one.profile.hi) / unit
        good = one.profile.value > 0
        axes.plot(radius[good], one.profile.value[good], color=FAINT, lw=0.8, zorder=1)
    good = np.isfinite(stack.mean) & (stack.mean > 0)
    radius = np.sqrt(stack.edges[1:] * stack.edges[:-1])[good]
    mean, err, scatter = stack.mean[good], stack.err[good], stack.scatter[good]
    low = np.maximum(mean - scatter, 1e-3 * mean)
    axes.fill_between(
        radius, low, mean + scatter, color=BLUE, alpha=0.15, lw=0, label="scatter between clusters"
    )
    axes.errorbar(
        radius,
        mean,
        yerr=(np.minimum(err, 0.99 * mean), err),
        fmt="o-",
        color=BLUE,
        ms=5,
        lw=1.1,
        label="mean",
    )
    axes.set(xlabel=label, ylabel="sources per kpc²", ylim=(0.3 * mean.min(), 3.0 * mean.max()))
    finish(figure, axes, 2)
    return Drawn(
        name,
        png(figure),
        "Density of sources minus contamination; grey: single clusters. Up to "
        f"{int(stack.n_clusters.max())} clusters in an annulus. {depth}",
        wide=False,
    )
