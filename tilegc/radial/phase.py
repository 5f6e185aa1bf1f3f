"""The phase `radial`: profiles, laws, contamination and masses (algorithm.md, sections 12 and 13)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tilegc.config import RunConfig
from tilegc.engine import Call, Shared, Stored, bounded, together
from tilegc.luminosity.results import Luminosities
from tilegc.phases.context import Context
from tilegc.phases.partials import Table
from tilegc.phases.phase import Phase
from tilegc.phases.planned import Planned, Step
from tilegc.radial import contamination, mass_table, masses, products, profile
from tilegc.radial import radial_laws as laws
from tilegc.radial.results import Profiled
from tilegc.skygrid import crowding
from tilegc.skygrid.cells import SkyCells, stored_cells
from tilegc.skygrid.lens_models import LensModels, kappa_peaks
from tilegc.skygrid.results import Gridded

__all__ = ["RADIAL", "edges_of", "passes", "profiled"]


def edges_of(config: RunConfig) -> tuple[float, ...]:
    """Return the edges of the profile's annuli, arcsec."""
    return config.profile.edges or profile.EDGES


def passes(planned: Planned) -> Iterator[Step]:
    """State the one pass: independent fits, in parallel on this machine's workers."""
    yield planned.over_sky("radial", len(laws.LAWS) + len(laws.MAPS), "laws of radius, and shapes of maps")


def profiled(
    context: Context,
    config: RunConfig,
    sky: Gridded,
    catalogue: Table,
    lens: LensModels | None,
    sky_store: str,
    clusters: Luminosities | None = None,
) -> Profiled:
    """Measure everything that depends on the distance from the cluster's centre.

    Parameters
    ----------
    context : Context
    config : RunConfig
    sky : Gridded
    catalogue : table
        Columns of `schema.CANDIDATES`.
    lens : LensModels or None
    sky_store : str
        Path of the store that holds `sky.cells`, where workers read them.
    clusters : Luminosities, optional
        How many clusters of all magnitudes there are.
    """
    edges = edges_of(config)
    # Without a cluster there is no radius: nothing lies in any annulus, and no law is fitted.
    cells = sky.cells if config.cluster.known else _without_sources(sky.cells)
    kappa = None if lens is None else lens.kappa
    annuli, level = profile.profile(cells, edges)
    annuli = {**annuli, "crowding": crowding.of_profile(context.names, sky.zones, annuli)}
    whole = sky.compared
    compared = whole if config.cluster.known else {name: column[:0] for name, column in whole.items()}
    radial = _laws(context, replace(sky, cells=cells, compared=compared), edges, level, sky_store)
    thinned = None
    if kappa is not None:
        thinned = contamination.behind(kappa, config.cluster.ra, config.cluster.dec)
    once = cells.owned(catalogue["ra"], catalogue["dec"], catalogue["field"])
    counted = catalogue["radius_arcsec"][once]
    within = cells.kept & (cells.radius < masses.APERTURE)
    good_area = float(cells.good_area.sum(axis=0)[within].sum())
    budget = contamination.budget(
        sky.cells,
        level,
        radial.cored,
        sky.centre if config.cluster.known else -1,
        thinned,
        sky.compared.get("purity"),
    )
    return Profiled(
        profile=annuli,
        contamination=level,
        radial=radial,
        budget=tuple(budget),
        masses=masses.masses(config, kappa, counted, good_area),
        mass_lines=tuple(
            mass_table.mass_table(config, lens, mass_table.Counts(counted, good_area), level, clusters)
        ),
        lens=lens,
        peaks=() if kappa is None else tuple(kappa_peaks(kappa, cells.grid)),
    )


def _without_sources(cells: SkyCells) -> SkyCells:
    """Return the cells with no area and no source."""
    return replace(cells, n_good=0 * cells.n_good, n_inside=0 * cells.n_inside, n_gc=0 * cells.n_gc)


def _laws(
    context: Context,
    sky: Gridded,
    edges: tuple[float, ...],
    level: contamination.Contamination,
    sky_store: str,
) -> laws.Radial:
    """Fit the laws of radius and the shapes of the maps."""
    cells = Stored(sky.cells, stored_cells, sky_store) if sky.cells.n_good.any() else sky.cells
    shared = {"cells": cells, "compared": sky.compared}
    calls = {name: Call(laws.fitted, name, Shared("cells"), Shared("compared")) for name in laws.LAWS}
    shapes = {name: f"{name}'s shape" for name in laws.MAPS}
    calls |= {key: Call(laws.shapes_of_map, name, Shared("cells")) for name, key in shapes.items()}
    answers = together(bounded(context.near, sky.cells.nbytes), "radial", calls, shared)
    return laws.radial(
        sky.cells,
        sky.compared,
        edges,
        level,
        {name: answers[name] for name in laws.LAWS},
        {name: answers[key] for name, key in shapes.items()},
        sky.range_maps,
    )


RADIAL: Phase[object, RunConfig] = Phase(
    name="radial", timing="compare_s", passes=passes, write=products.write, summarise=products.summarise
)
