"""The law with lens models of other families, beside that of the run's own map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from tilegc.report import style
from tilegc.report.drawing import Drawing
from tilegc.report.reading import Material

__all__ = ["PARTS", "families", "largest"]

PARTS: Final = {
    "lens_map": "range maps of the lens model",
    "members": "galaxies' own sources",
    "crowding": "the correction for crowding",
    "sources": "the choice of sources",
    "outer_field": "the outer field",
    "lens_family": "the family of the lens model",
    "stars": "the number of artificial stars",
    "floor_gradient": "a gradient of the floor",
    "background": "the counts behind the lens",
    "centre": "the middle of the cluster",
    "registration": "the position of the κ map",
}
"""What the parts of the systematic error are called in a sentence."""

OWN: Final = "this κ map"
COLOURS: Final = (style.BLUE, style.GREEN, style.ORANGE, style.INK)
LINES: Final = ("--", "-.", ":", (0, (5, 2, 1, 2)))


def largest(likelihood: Mapping[str, Any]) -> str | None:
    """Return in words what the largest part of the systematic error comes from; None where none is known."""
    name = likelihood.get("c_err_systematic_largest")
    if name is None:
        return None
    found = likelihood.get("lens_families") or {}
    assumed = (
        ", an assumed one as there is only one model" if name == "lens_family" and found.get("guess") else ""
    )
    return f"{PARTS[name]}{assumed}"


def families(material: Material) -> Drawing | None:
    """Draw n against kappa by the law of every family; None where the run has one family only."""
    found = ((material.summary["relation"] or {}).get("likelihood") or {}).get("lens_families")
    if not found or found["guess"]:
        return None
    known = [one for one in found["families"] if one["c"] is not None]
    kappa = material.sky["kappa"].to_numpy()
    here = kappa[(material.radius < material.config.relation.max_radius) & (kappa > 0)]
    if len(known) < 2 or not here.size:
        return None
    figure, axes = style.log_panel("The law by family of the lens model")
    low, high = (float(np.percentile(here, share)) for share in (0.5, 99.9))
    span = np.geomspace(low, high, 80)
    drawn = []
    for number, one in enumerate(known):
        n = one["a"] * span ** one["c"] + one["floor"]
        own = number == 0
        drawn.append(n[n > 0])
        axes.plot(
            span[n > 0],
            n[n > 0],
            color=style.VERMILLION if own else COLOURS[(number - 1) % len(COLOURS)],
            ls="-" if own else LINES[(number - 1) % len(LINES)],
            lw=2.2 if own else 1.5,
            label=f"{OWN if own else one['name']}: b = 1/c = {one['index']:.2f}",
        )
    values = np.concatenate(drawn)
    axes.set_xlim(span[0], span[-1])
    axes.set_ylim(0.7 * values.min(), 1.4 * values.max())
    axes.set_xlabel("κ, each by its own map")
    axes.set_ylabel("n: sources per arcsec²")
    style.finish(figure, axes)
    words = (
        "The law n = a κᶜ + f fitted with each lens model to the same sources in the same cells. "
        f"ln κ scatters by {found['ln_kappa_rms']:.2f} between the maps. The scatter of the index between families is "
        "part of its systematic error; range maps of one family do not show it."
    )
    return Drawing("lens-families", figure, words, wide=True)
