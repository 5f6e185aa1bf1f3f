"""Counts against convergence (Diego et al. 2026, fig. 6; algorithm.md, section 10)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from astropy.table import QTable
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.numbers import error_text
from tilegc.report.reading import Material, column, rows_of

__all__ = ["BIN_FILLED", "diagram"]

BIN_FILLED: Final = 5
"""Minimum number of boxes for a bin to enter the fit (algorithm.md, section 10)."""

Floats = NDArray[np.float64]


def diagram(material: Material) -> Drawing | None:
    """Draw kappa against n: boxes, bins, the fit, and for a simulation the planted values.

    Return None if there is no convergence map, or no box contains a source.
    """
    relation = material.summary["relation"]
    n, kappa = _boxes(material)
    if relation is None or material.config.convergence is None or not n.size:
        return None
    figure, axes = style.log_panel("Sources and convergence")
    axes.plot(
        n,
        kappa,
        ls="",
        marker=".",
        ms=float(np.clip(150 / np.sqrt(n.size), 3, 6)),
        mew=0,
        color=style.FAINT,
        alpha=0.5,
        label=f"boxes of {relation['box_arcsec']:g} × {relation['box_arcsec']:g} arcsec",
    )
    _bins(axes, material.relation)
    span = np.geomspace(n.min() / 1.1, n.max() * 1.1, 50)
    binned, likely = relation["boxes"], relation.get("likelihood")
    headline = bool(likely and likely["c"] is not None)
    if headline:
        _likeliest(axes, likely, np.geomspace(kappa.min(), kappa.max(), 80))
    if binned["index"] is not None:
        label, line = f"binned: {_coefficients(binned)}", (0, (5, 2)) if headline else "-"
        _law(axes, span, binned["amplitude"], binned["index"], label, style.BLUE, line)
    truth = material.truth
    if truth is not None:
        if truth["index"] is not None:
            label = f"planted, same bins: {_coefficients(truth)}"
            _law(axes, span, truth["amplitude"], truth["index"], label, style.GREEN, "-.")
        if law := truth.get("law"):
            label = f"planted law: A = {law['amplitude']:.3g}, b = {law['index']:.3g}"
            _law(axes, span, law["amplitude"], law["index"], label, style.INK, (0, (1, 1.5)))
    axes.set_xlim(span[0], span[-1])
    axes.set_ylim(kappa.min() / 1.25, kappa.max() * 1.25)
    axes.set_xlabel("n: sources per arcsec²")
    axes.set_ylabel(f"κ for sources at z = {material.config.convergence.reference_redshift:g}")
    style.plain_ticks(axes.xaxis)
    style.plain_ticks(axes.yaxis)
    handles = axes.get_legend_handles_labels()[0]
    handles[0] = Line2D(
        [], [], ls="", marker=".", ms=7, mew=0, color=style.FAINT, label=handles[0].get_label()
    )
    style.legend(figure, handles, columns=2)
    return Drawing("relation", figure, _caption(material), wide=True)


def _boxes(material: Material) -> tuple[Floats, Floats]:
    """Return n and kappa of the boxes that a logarithmic scale can show."""
    count, area = material.sky["box_count"].to_numpy(), material.sky["box_area"].to_numpy()
    kappa = material.sky["box_kappa"].to_numpy()
    shown = (count > 0) & (kappa > 0)
    return count[shown] / area[shown], kappa[shown]


def _bins(axes: Axes, table: QTable) -> None:
    bins = rows_of(table, "bin", "n_boxes", "n_mean", "kappa_mean", "kappa_std")
    there = (bins["bin"] >= 0) & (bins["n_boxes"] > 0) & (bins["kappa_mean"] > 0)
    fitted = bins["n_boxes"] >= BIN_FILLED
    few = f"bin with fewer than {BIN_FILLED} boxes, not fitted"
    for rows, face, label in (
        (there & fitted, style.BLUE, "bin: mean ± standard deviation"),
        (there & ~fitted, "white", few),
    ):
        if not rows.any():
            continue
        mean, spread = bins["kappa_mean"][rows], bins["kappa_std"][rows]
        # Error bars that reach zero have no lower end on a logarithmic scale: let them leave the frame.
        axes.errorbar(
            bins["n_mean"][rows],
            mean,
            yerr=(np.minimum(spread, 0.999 * mean), spread),
            ls="",
            marker="o",
            ms=6.5,
            mfc=face,
            mec=style.BLUE,
            mew=1.3,
            ecolor=style.BLUE,
            elinewidth=1.1,
            capsize=2.5,
            label=label,
            zorder=4,
        )


def _law(
    axes: Axes,
    n: Floats,
    amplitude: float,
    index: float,
    label: str,
    colour: str,
    line: str | tuple[int, tuple[float, ...]],
) -> None:
    axes.plot(n, amplitude * n**index, color=colour, lw=1.6, ls=line, label=label, zorder=5)


def _likeliest(axes: Axes, law: dict[str, Any], kappa: Floats) -> None:
    """Draw n = a kappa^c + floor, the maximum-likelihood law."""
    n = law["a"] * kappa ** law["c"] + law["floor"]
    shown = n > 0
    label = f"headline, n = a κᶜ + f: b = 1/c = {error_text(law['index'], law['index_err'])}"
    axes.plot(n[shown], kappa[shown], color=style.VERMILLION, lw=3.2, label=label, zorder=5)


def _coefficients(values: dict[str, float | None]) -> str:
    amplitude, index = values["amplitude"], values["index"]
    assert amplitude is not None
    assert index is not None
    return (
        f"A = {error_text(amplitude, values['amplitude_err'])}, b = {error_text(index, values['index_err'])}"
    )


def _caption(material: Material) -> str:
    words = [
        "Mean convergence in a box against the number of sources per arcsec² of good area, all fields together. "
        "The binned fit, κ = A nᵇ, is to the filled points, with equal weights."
    ]
    likely = (material.summary["relation"] or {}).get("likelihood")
    if likely and likely["c"] is not None:
        words.append(
            "The thick line, the law of the likelihood, gives n at a given κ, corrected for crowding and without the "
            "sources of galaxies; its errors are in the figure of both laws."
        )
    table = material.relation
    empty = column(table, "bin") < 0
    boxes = int(column(table, "n_boxes")[empty].sum())
    if boxes:
        level = float(column(table, "kappa_mean")[empty][0])
        mean = f" (mean κ {level:.2g})" if np.isfinite(level) else ""
        words.append(
            f"The {boxes:,} boxes without a source{mean} cannot be shown on a logarithmic scale and are not fitted."
        )
    if material.truth is not None:
        words.append(
            "Planted objects are those brighter than the limit of this run, in the same boxes. The planted law holds "
            "for globular clusters alone, down to a magnitude of its own (F150W = 30.9 at redshift 0.348): compare "
            "its slope, not its height."
        )
    return " ".join(words)
