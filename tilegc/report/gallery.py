"""All figures of a report: which figures exist, in which section, and how they are drawn in parallel on an engine.

A figure is one unit of work: it reads only the run directory, and returns a PNG of a few hundred kilobytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tilegc.engine import Engine, Unit, bounded
from tilegc.report import (
    comparison,
    depth,
    families,
    goodness,
    law,
    luminosity,
    maps,
    masked,
    profiles,
    psf,
    purity,
    radial,
    relation,
    response,
    style,
)
from tilegc.report.drawing import Drawing, Drawn
from tilegc.report.reading import Material

__all__ = ["draw_all"]

SECTIONS: Final = (
    "central",
    "others",
    "masked",
    "psf",
    "noise",
    "relation",
    "goodness",
    "comparison",
    "profiles",
)


@dataclass(frozen=True)
class _Order:
    """One figure that may be drawn."""

    section: str
    draw: Callable[..., Drawing | None]
    field: tuple[str, ...] = ()
    """The field that is drawn, if the figure shows a single field."""


def draw_all(material: Material, engine: Engine, *, pdf: bool = False) -> dict[str, list[Drawn]]:
    """Draw all figures, also as PDF if asked to, and return the non-empty ones by section, in the order of the page."""
    orders = _orders(material)
    # Count the masks here: the page needs the result, too, and every process that draws would otherwise read them
    # again.
    _ = material.censuses
    units = [
        Unit(f"{number}/{order.draw.__name__}", 0, (number, order, pdf))
        for number, order in enumerate(orders)
    ]
    engine = bounded(engine, material.sky.nbytes)
    found = engine.run("figures", _draw, units, common=material, combine=_both, units_per_task=1) or {}
    sections: dict[str, list[Drawn]] = {name: [] for name in SECTIONS}
    for number in sorted(found):
        sections[orders[number].section].append(found[number])
    return sections


def _orders(material: Material) -> list[_Order]:
    central = (material.central,)
    others = [(name,) for name in material.fields if name != material.central]
    return [
        _Order("central", maps.mosaic, central),
        _Order("central", maps.core),
        _Order("central", maps.sources, central),
        _Order("central", maps.density, central),
        _Order("central", maps.errors, central),
        *(_Order("others", draw, name) for name in others for draw in (maps.mosaic, maps.sources)),
        *(_Order("masked", masked.against_radius, name) for name in (central, *others)),
        _Order("psf", psf.images),
        _Order("noise", depth.completeness),
        *(_Order("noise", depth.completeness_map, name) for name in (central, *others)),
        _Order("noise", response.responses),
        _Order("noise", luminosity.functions),
        _Order("noise", purity.purity),
        _Order("noise", purity.regularity),
        _Order("relation", relation.diagram),
        _Order("relation", law.laws),
        _Order("relation", families.families),
        _Order("goodness", goodness.residual_maps),
        _Order("goodness", goodness.cumulative),
        _Order("relation", law.sensitivity),
        _Order("relation", law.ranking),
        _Order("comparison", comparison.kernel_sum),
        _Order("comparison", comparison.convergence),
        _Order("comparison", comparison.histogram),
        _Order("comparison", comparison.residual),
        _Order("profiles", profiles.counts),
        _Order("profiles", profiles.shapes),
        _Order("profiles", radial.laws),
        _Order("profiles", radial.shapes),
    ]


def _draw(material: Material, payload: tuple[int, _Order, bool]) -> dict[int, Drawn] | None:
    """Draw one figure (on a worker)."""
    number, order, pdf = payload
    drawing = order.draw(material, *order.field)
    if drawing is None:
        return None
    drawn = Drawn(
        drawing.name,
        style.png(drawing.figure),
        drawing.caption,
        drawing.wide,
        style.pdf(drawing.figure) if pdf else None,
    )
    drawing.figure.clear()
    return {number: drawn}


def _both(a: dict[int, Drawn], b: dict[int, Drawn]) -> dict[int, Drawn]:
    return {**a, **b}
