"""Figures and page of a run, drawn from its folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tilegc.io.atomic import write_bytes
from tilegc.places import Place
from tilegc.report import comparison, law, maps, masked, profiles, psf, purity, radial, relation, style
from tilegc.report.drawing import Drawing
from tilegc.report.page import page
from tilegc.report.reading import Material
from tilegc.schema import FILES

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["write_report"]


def write_report(run: Run) -> Place:
    """Draw the figures of a run, and write its page.

    Parameters
    ----------
    run : Run
        Of `tilegc.open_run`; one in which nothing was found gives a page that says so.

    Returns
    -------
    Place
        Of report.html, which holds the figures too; they are also in figures/, as PNG.
    """
    material = Material(run, run.sky().load())
    drawings = _drawings(material)
    images = {}
    for drawing in (drawing for part in drawings.values() for drawing in part):
        images[drawing.name] = style.png(drawing.figure)
        drawing.figure.clear()
        write_bytes(run.path / FILES.figures / f"{drawing.name}.png", images[drawing.name])
    path = run.path / FILES.report
    write_bytes(path, page(material, drawings, images).encode())
    return path


def _drawings(material: Material) -> dict[str, Sequence[Drawing]]:
    """Return all figures by section of the page."""
    central = material.central
    others = [name for name in material.fields if name != central]
    return {
        "central": [
            maps.mosaic(material, central), maps.core(material),
            maps.sources(material, central), *_there(maps.density(material, central)),
            *_there(maps.errors(material, central)),
        ],
        "others": [draw(material, name) for name in others for draw in (maps.mosaic, maps.sources)],
        "masked": [part for name in (central, *others) for part in _there(masked.against_radius(material, name))],
        "psf": _there(psf.images(material)),
        "noise": [*_there(purity.purity(material)), *_there(purity.regularity(material))],
        "relation": [
            *_there(relation.diagram(material)), *_there(law.laws(material)), *_there(law.sensitivity(material)),
            *_there(law.ranking(material)),
        ],
        "comparison": [
            *_there(comparison.kernel_sum(material)), *_there(comparison.convergence(material)),
            *_there(comparison.histogram(material)), *_there(comparison.residual(material)),
        ],
        "profiles": [
            *_there(profiles.counts(material)), *_there(profiles.shapes(material)),
            *_there(radial.laws(material)), *_there(radial.shapes(material)),
        ],
    }  # fmt: skip


def _there(drawing: Drawing | None) -> list[Drawing]:
    return [] if drawing is None else [drawing]
