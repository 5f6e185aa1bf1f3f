"""The ratios of a suite as a figure: how many times as long as tilegc each peer takes."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
from matplotlib.figure import Figure

from benchmarks.measure import Case

__all__ = ["draw"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


def draw(cases: list[Case], path: Path) -> None:
    """Draw the ratios of all cases that have a peer."""
    bars: list[tuple[str, str, float]] = []
    for case in cases:
        (_, ours), *peers = case.seconds.items()
        bars += [
            (case.name, name, median(seconds) / median(ours))
            for name, seconds in peers
            if name != "read and add"
        ]
    figure = Figure(figsize=(7.0, 0.8 + 0.3 * len(bars)), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(name for name, _, _ in bars))
    places = np.arange(len(bars))[::-1]
    for place, (name, peer, ratio) in zip(places, bars, strict=True):
        axes.barh(place, ratio, 0.72, color=COLOURS[names.index(name) % len(COLOURS)])
        axes.text(ratio * 1.04, place, f"{ratio:.3g}", va="center", fontsize=8)
        axes.text(
            1.06,
            place,
            f"{name}: {peer}",
            va="center",
            fontsize=7.5,
            color="white" if ratio > 8 else "#1f2328",
        )
    axes.axvline(1.0, color="#1f2328", lw=1)
    axes.set_xscale("log")
    axes.set_xlim(0.5, max(ratio for _, _, ratio in bars) * 1.8)
    axes.set_yticks([])
    axes.set_xlabel("seconds of the peer over those of tilegc, one thread")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})
