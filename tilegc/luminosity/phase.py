"""The phase `luminosity`: how bright the clusters are, how many there are, and which sources are clusters."""

from __future__ import annotations

from typing import Final

import numpy as np

from tilegc.completeness.artificial import TURNOVER, WIDTH
from tilegc.completeness.results import Completed
from tilegc.completeness.tables import DETECTION, depth
from tilegc.config import Luminosity, RunConfig
from tilegc.luminosity import products
from tilegc.luminosity.annuli import Annuli, annuli_of, place_of
from tilegc.luminosity.fit import FIXED, Function, Priors, fit
from tilegc.luminosity.membership import membership
from tilegc.luminosity.numbers import UNKNOWN, Number, assumed, number
from tilegc.luminosity.results import Luminosities
from tilegc.phases.context import Context
from tilegc.phases.phase import Phase
from tilegc.photometry.catalogue import band_names
from tilegc.photometry.results import Measured
from tilegc.sky import ClusterFrame, cosmology

__all__ = ["LUMINOSITY", "described"]

WIDE: Final = (1.0, 0.3)
"""Widths of the priors of turnover and width, mag: the counts decide wherever they can."""

SLOPED: Final = 0.5
"""Width of the prior of the turnover's gradient, mag per dex in radius."""

OUTSIDE: Final = 2.0
"""The outer field begins at this multiple of `relation.max_radius`."""

APERTURE: Final = 60.0
"""Radius, arcsec, within which clusters are counted for comparison with masses."""

SEARCHED: Final = 0.8
"""Share of that aperture that must have been searched."""


def described(
    context: Context, config: RunConfig, frame: ClusterFrame, found: Measured, stars: Completed | None
) -> Luminosities | None:
    """Fit the luminosity function; None where there are no artificial stars, or the run file switches it off.

    Parameters
    ----------
    context : Context
    config : RunConfig
    frame : ClusterFrame
    found : Measured
    stars : Completed, optional
    """
    settings = config.luminosity_settings
    if settings is None or stars is None:
        return None
    unknown = np.full(found.candidates["id"].size, np.nan)
    band = settings.band if settings.band in band_names(context) else DETECTION
    nothing = Luminosities(band=band, why="", p_gc=unknown, p_gc_colour=unknown)
    if not config.cluster.known:
        return _without(nothing, "there is no cluster")
    annuli = annuli_of(
        context,
        found.catalogue,
        stars.stars,
        stars.prepared,
        frame,
        band,
        OUTSIDE * config.relation.max_radius,
    )
    literature = _literature(config)
    priors = _priors(settings, literature)
    function = None if annuli is None else fit(annuli, priors)
    if annuli is None or function is None:
        return _without(nothing, "there are too few sources or artificial stars")
    magnitude = _depth(stars, context.names, annuli, band)
    numbers = np.array([context.names.index(str(name)) for name in found.candidates["field"]], np.int64)
    listed = np.full(unknown.size, np.nan)
    for name, one in stars.prepared.items():
        own = found.candidates["field"] == name
        listed[own] = place_of(found.candidates, one)[own]
    position, colour = membership(found.candidates, listed, numbers, band_names(context), annuli, function)
    return Luminosities(
        band=band,
        why="",
        annuli=annuli,
        function=function,
        fixed=settings.turnover is not None and settings.width is not None,
        magnitude=magnitude,
        brighter=number(function, annuli, magnitude) if np.isfinite(magnitude) else UNKNOWN,
        total=number(function, annuli),
        within=_within(function, annuli),
        assumed=assumed(annuli, priors, *literature),
        p_gc=position,
        p_gc_colour=colour,
    )


def _without(nothing: Luminosities, why: str) -> Luminosities:
    return Luminosities(band=nothing.band, why=why, p_gc=nothing.p_gc, p_gc_colour=nothing.p_gc_colour)


def _literature(config: RunConfig) -> tuple[float, float]:
    """Return turnover and width of the literature at the cluster's redshift."""
    modulus = cosmology(config.cosmology).distmod([config.cluster.redshift, TURNOVER[1]]).value
    return TURNOVER[0] + float(modulus[0] - modulus[1]), WIDTH


def _priors(settings: Luminosity, literature: tuple[float, float]) -> Priors:
    turnover, width = (
        (usual, wide) if given is None else (given, FIXED)
        for given, usual, wide in zip((settings.turnover, settings.width), literature, WIDE, strict=True)
    )
    return Priors(
        turnover=turnover, width=width, gradient=(0.0, SLOPED if settings.gclf == "radial" else FIXED)
    )


def _depth(stars: Completed, names: tuple[str, ...], annuli: Annuli, band: str) -> float:
    """Return the brightest 50 per cent depth of the fields with annuli outside of the outer field; NaN: none."""
    own = {names[number] for number in annuli.field[~annuli.outer]}
    levels = [depth(stars.depths, name).get(band, {}).get("m50", np.nan) for name in sorted(own)]
    return float(min((level for level in levels if np.isfinite(level)), default=np.nan))


def _within(function: Function, annuli: Annuli) -> Number:
    """Return the number of clusters within the aperture, masked parts filled with the density of their annulus."""
    inside = np.minimum(annuli.r_hi, APERTURE) ** 2 - np.minimum(annuli.r_lo, APERTURE) ** 2
    whole = np.pi * inside * ~annuli.outer
    searched = np.minimum(annuli.area, whole)
    central = np.argmax(np.bincount(annuli.field, searched)) if searched.size else 0
    own = annuli.field == central
    if searched[own].sum() < SEARCHED * np.pi * APERTURE**2:
        return UNKNOWN
    return number(function, annuli, area=np.where(own, whole, 0.0))


LUMINOSITY: Phase[object, RunConfig] = Phase(
    name="luminosity",
    timing="luminosity_s",
    write=products.write,
    summarise=products.summarise,
)
"""The luminosity function, from counts and artificial stars together."""
