"""Products of the phase `sky grid`: how much of every field is masked, and of the sky kept."""

from __future__ import annotations

from tilegc.detection.results import Detected
from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results
from tilegc.skygrid.results import Gridded

__all__ = ["summarise"]


def summarise(out: Output, results: Results) -> Part:
    """Return the shares of pixels that are masked and without data, and the area of the cells that count."""
    cells, noises = results[Gridded].cells, results[Detected].noises
    fields = {}
    for index, name in enumerate(out.context.names):
        height, width = out.context.source(name).shape
        with_data = int(cells.n_pixels[index].sum())
        fields[name] = {
            # Of the pixels with data; null where there are none.
            "masked_fraction": 1 - noises[name].n_good / with_data if with_data else None,
            "no_data_fraction": 1 - with_data / (height * width),
        }
    kept = float(cells.good_area.sum(axis=0)[cells.kept].sum())
    return Part(run={"sky_grid": {"kept_area_arcsec2": null(kept)}}, fields=fields)
