"""The phase `filter`: from the bands to the detection map (algorithm.md, sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tilegc.config import DetectionConfig, RunConfig
from tilegc.filter import band_noise, mid_noise, products, unobserved
from tilegc.filter.detection_map import FilterParams, detection_map, filter_pass, maps_of, planned_params
from tilegc.filter.measured_noise import MEASURED_NOISE
from tilegc.filter.results import Filtered
from tilegc.images.psfs import STARS, field_psfs
from tilegc.io.fits import FieldSource
from tilegc.kernels.psf import Psf
from tilegc.kernels.smoothing import difference_radius
from tilegc.phases.context import Context
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step

__all__ = ["FILTER", "filtered", "passes", "planned_filters"]


def arrays(config: DetectionConfig) -> tuple[str, ...]:
    """State the arrays that the filter writes."""
    return maps_of(config.recipe)


def planned_filters(planned: Planned) -> dict[str, FilterParams]:
    """Return what every field will be filtered with, as far as that is known before anything is measured."""
    return {source.name: planned_params(planned.config, source) for source in planned.sources}


UNWEIGHTED = "neither errors nor weights follow the noise of a band"
"""When the noise of pixels is measured in the image itself; that of the bands is then measured twice."""


def passes(planned: Planned) -> Iterator[Step]:
    """State the passes: PSFs, what was not observed, noise of the maps, and the filter itself."""
    config, params = planned.config, planned_filters(planned)
    matched = config.recipe == "calibrated"
    if matched and (fields := _with_stars(config, planned.sources)):
        yield planned.over_tiles(STARS, "the brightest isolated stars, with stamps", fields=fields)
    # Regions of a repeated value are found in a neighbourhood, which widens the window of every pass that looks
    # for them.
    margin = unobserved.REACH if any(any(one.unobserved) for one in params.values()) else 0
    if margin:
        yield planned.over_cells(
            "repeated values",
            unobserved.CELLS,
            fields=[name for name, one in params.items() if any(one.unobserved)],
            halo=0,
            bytes_per_pixel=60.0 + 4.0 * planned.bands,
            reads=("sci",),
            gives="in which bands repeated values mean no data",
        )
    if config.mask.extended == "auto":
        scales = next(iter(params.values())).mid_scales
        yield planned.over_cells(
            "mid-scale noise",
            mid_noise.CELLS,
            halo=max(difference_radius(*taps) for taps in scales) + margin,
            bytes_per_pixel=80.0 + 26.0 * planned.bands,
            reads=("sci", "wht"),
            gives="noise of the two mid-scale maps",
        )
    if matched:
        radii = [band.kernels.radius for one in params.values() for band in one.matched]
        yield planned.over_cells(
            "band noise",
            band_noise.CELLS,
            halo=max(radii) + margin,
            bytes_per_pixel=200.0 + 40.0 * planned.bands,
            reads=("sci", "err", "wht"),
            gives="noise of every band's response",
        )
        bare = any(
            not {"err", "wht"} & set(band.given) for source in planned.sources for band in source.bands
        )
        yield planned.over_blocks(
            MEASURED_NOISE, "noise of pixels, from the image itself", rarely="" if bare else UNWEIGHTED
        )
    yield planned.over_tiles(filter_pass(params))


def _with_stars(config: RunConfig, sources: tuple[FieldSource, ...]) -> list[str]:
    """Return the fields in which stars are measured: those with a band whose PSF the run file does not give."""
    given = {
        field.name: {name for name, band in (field.bands or {}).items() if band.psf is not None}
        for field in config.fields
    }
    return [source.name for source in sources if not given[source.name].issuperset(source.band_names)]


def filtered(context: Context, config: DetectionConfig, given: Mapping[str, Mapping[str, Psf]]) -> Filtered:
    """Measure the PSFs, and write flags, light and detection map of every field.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
    given : mapping
        The user's PSFs, by field and band.
    """
    # PSFs first, in either recipe: the mask and photometry need them even where the filter does not.
    psfs = field_psfs(context, config.recipe, given)
    params = detection_map(context, config, psfs if config.recipe == "calibrated" else None)
    return Filtered(psfs=psfs, params=params)


FILTER: Phase[object, DetectionConfig] = Phase(
    name="filter",
    timing="mask_s",
    arrays=arrays,
    passes=passes,
    write=products.write,
    summarise=products.summarise,
)
