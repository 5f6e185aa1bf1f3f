"""The ratios of a suite as a figure: how many times as long as tilegc each peer takes."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from benchmarks.measure import Case, on_processor

__all__ = ["draw"]

COLOURS = {
    "scipy.ndimage": "#0072B2",
    "OpenCV": "#56B4E9",
    "photutils": "#D55E00",
    "sep": "#E69F00",
    "SExtractor, four bands": "#009E73",
    "dask-image": "#CC79A7",
    "dask-image, band by band": "#8c4f73",
}
OTHER = "#8b929a"
INK = "#1f2328"
BASE = "read and add"
"""No peer: the part of the work that nobody can do without."""


def draw(cases: list[Case], path: Path) -> None:
    """Draw the ratios of all cases that have a peer: a group of bars each."""
    groups: list[tuple[str, list[tuple[str, float]]]] = []
    for case in cases:
        (_, ours), *peers = case.seconds.items()
        bars = [(name, median(taken) / median(ours)) for name, taken in peers if name != BASE]
        if bars:
            groups.append((case.name, bars))
    lines = sum(len(bars) + 0.6 for _, bars in groups)
    from matplotlib.figure import Figure  # noqa: PLC0415  (half a second, for tables that need no figure)

    figure = Figure(figsize=(8.4, 0.9 + 0.235 * lines), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    place, ticks = 0.0, []
    for name, bars in groups:
        ticks.append((place + (len(bars) - 1) / 2, name))
        for peer, ratio in bars:
            axes.barh(place, ratio - 1, 0.8, left=1, color=COLOURS.get(peer, OTHER))
            axes.text(max(ratio, 1) * 1.05, place, f"{ratio:.3g}  {peer}", va="center", fontsize=8, color=INK)
            place += 1
        place += 0.6
    axes.axvline(1.0, color=INK, lw=1)
    axes.set_xscale("log")
    ratios = [ratio for _, bars in groups for _, ratio in bars]
    axes.set_xlim(min(0.9, *ratios) * 0.9, max(ratios) * 6)
    axes.set_ylim(place, -0.9)
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    clock = "of the processor" if on_processor() else "of the clock"
    axes.set_xlabel(f"times as long as tilegc takes; seconds {clock}, one thread each", fontsize=9)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
