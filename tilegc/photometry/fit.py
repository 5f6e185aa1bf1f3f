"""The fit of one or more fields: equations, solution, positions, in turn; then what is left, and the errors.

Fluxes and sky are solved in the driver, band by band; everything that needs pixels is a pass over tiles.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.engine import Engine, FieldTiles, Pass, run_pass
from tilegc.kernels.lattice import bilinear_at
from tilegc.photometry.flux_errors import photon_gain, sky_variance
from tilegc.photometry.local_inverse import Variance, closest_pairs, variances
from tilegc.photometry.noise_cells import CELL
from tilegc.photometry.noise_map import noise_map
from tilegc.photometry.normal_matrix import Rows
from tilegc.photometry.passes import BESIDE, EQUATIONS, FIRST, POSITIONS, REST, FitParams, SkyRows
from tilegc.photometry.positions import FARTHEST
from tilegc.photometry.projected_mask import FieldMask
from tilegc.photometry.sky_spline import grid_shape
from tilegc.photometry.solve import Solution, System, solve
from tilegc.photometry.sources import FieldSources
from tilegc.photometry.spline_psf import SplinePsf

__all__ = ["ROUNDS", "BandFit", "FieldFit", "fit_fields"]

log = logging.getLogger("tilegc")

Floats = NDArray[np.float64]
Int64 = NDArray[np.int64]

ROUNDS: Final = 2
"""How often positions are refined, each time on the residuals of a new solution."""

CLOSE: Final = 0.7
"""Pixels between two sources below which their fluxes cannot be told apart."""


@dataclass(frozen=True)
class BandFit:
    """Of all sources of a field, in one band."""

    flux: Floats
    """Total flux, nJy; NaN where the source has no pixel of weight."""
    flux_err: Floats
    chi: Floats
    sky: Floats
    good: Floats
    neighbours: Floats
    """Light of neighbours in the source's stamp, as a flux, nJy."""
    apertures: Floats
    """(n, radii), nJy."""
    gain: float
    """Variance of the sources' own photons, nJy^2 per nJy; 0 where it is not known."""
    noise: Floats
    """Scatter of fluxes over that of white noise of the weights, (cell_y, cell_x)."""


@dataclass(frozen=True)
class FieldFit:
    """Of all sources of a field."""

    y: Floats
    x: Floats
    error: Floats
    """Standard deviations of y and x, pixels, (n, 2); NaN where positions were not fitted."""
    moved: NDArray[np.bool_]
    """Whether a source went as far as it may from its peak."""
    close: NDArray[np.bool_]
    """Whether another source lies within `CLOSE` pixels."""
    bands: tuple[BandFit, ...]
    sources: FieldSources
    """Positions, fluxes and planes of the last solution."""
    params: FitParams
    """PSFs, and the sky of the last solution."""


def fit_fields(
    engine: Engine,
    fields: Sequence[FieldTiles],
    sources: Mapping[str, FieldSources],
    psfs: Mapping[str, tuple[SplinePsf, ...]],
    radii: Mapping[str, Floats],
    *,
    rounds: int = ROUNDS,
    masks: tuple[FieldMask, ...] = (),
    moving: bool = True,
) -> dict[str, FieldFit]:
    """Fit the sources of some fields.

    Parameters
    ----------
    engine : Engine
    fields : sequence of FieldTiles
    sources : mapping
        By field; positions are refined in place.
    psfs : mapping
        Of every band, by field.
    radii : mapping
        Of the apertures, pixels, by field.
    rounds : int
        How often positions are refined and planes of the sky are fitted.
    masks : tuple of FieldMask
        Of the fields of the run, where `fields` are bands on grids of their own.
    moving : bool
        Whether positions are refined at all.
    """
    known = {name: np.full((one.y_peak.size, 2), np.nan) for name, one in sources.items()}
    growth = {name: np.ones(one.flux.shape) for name, one in sources.items()}
    params = {
        one.source.name: FitParams(
            one.source.shape,
            psfs[one.source.name],
            tuple("wht" in band.given for band in one.source.bands),
            tuple("err" in band.given for band in one.source.bands),
            radii=radii[one.source.name],
            masks=masks,
            wcs=one.source.wcs,
            moving=moving,
        )
        for one in fields
    }
    sky: dict[str, list[tuple[Floats, Floats]]] = {}
    systems: dict[str, list[System]] = {}
    solutions: dict[str, list[Solution]] = {}
    # Fluxes, positions, fluxes, positions, fluxes: with positions held, fluxes are a linear problem that is
    # solved exactly for all sources at once; with fluxes held, every source moves on its own. One more solution
    # than rounds, so that the fluxes are those of the final positions.
    for number in range(rounds + 1):
        first = number == 0
        # The sky's own block of the matrix does not depend on positions and is made once.
        params = {name: replace(one, with_sky=first) for name, one in params.items()}
        systems = _equations(engine, fields, sources, params, sky)
        for name, bands in systems.items():
            before = solutions.get(name)
            solutions[name] = [
                # Started from the last solution: positions move by hundredths of a pixel, and a few iterations
                # suffice.
                solve(system, params[name].shape, None if before is None else (before[n].flux, before[n].sky))
                for n, system in enumerate(bands)
            ]
            for n, one in enumerate(solutions[name]):
                if not one.converged:
                    log.warning("field %s: photometry of band %d has not converged", name, n)
            sources[name].flux = np.stack([one.flux for one in solutions[name]])
            params[name] = replace(params[name], sky=tuple(one.sky for one in solutions[name]))
        if number < rounds:
            _positions(engine, fields, sources, params, known, growth)
    rest = _rest(engine, fields, sources, params)
    return {
        name: _assembled(
            sources[name],
            systems[name],
            solutions[name],
            known[name],
            growth[name],
            *rest[name],
            params[name],
        )
        for name in systems
    }


def _own(sources: Mapping[str, FieldSources]) -> Any:
    return lambda field, tile: sources[field.source.name].of(tile.core)


def _suited(step: Pass, params: Mapping[str, FitParams]) -> Pass:
    """Return a pass that reads no mask on a grid without one, and no errors where all bands have weights."""
    if any(one.masks for one in params.values()):
        step = BESIDE[step.name]
    if all(all(one.with_wht) for one in params.values()):
        return replace(step, reads=tuple(name for name in step.reads if name != "err"))
    return step


def _equations(
    engine: Engine,
    fields: Sequence[FieldTiles],
    sources: Mapping[str, FieldSources],
    params: Mapping[str, FitParams],
    sky: dict[str, list[tuple[Floats, Floats]]],
) -> dict[str, list[System]]:
    """Return the normal equations of every band of every field; fill `sky` the first time."""
    found: dict[str, list[list[Rows]]] = {}
    for one in fields:
        name, bands = one.source.name, len(one.source.bands)
        found[name] = [[] for _ in range(bands)]
        if params[name].with_sky:
            shape = grid_shape(one.source.shape)
            sky[name] = [(np.zeros((*shape, 25)), np.zeros(shape)) for _ in range(bands)]
    for one in fields:
        name = one.source.name

        def enter(parts: list[tuple[Rows, SkyRows | None]], name: str = name) -> None:
            for n, (part, splines) in enumerate(parts):
                found[name][n].append(part)
                if splines is not None:
                    (y, x), (down, along) = splines.first, splines.right.shape
                    sky[name][n][0][y : y + down, x : x + along] = splines.band
                    sky[name][n][1][y : y + down, x : x + along] = splines.right

        run_pass(
            engine,
            _suited(FIRST if params[name].with_sky else EQUATIONS, params),
            [one],
            params,
            gather=enter,
            own=_own(sources),
        )
    return {
        name: [_system(parts, sources[name].y_peak.size, *sky[name][n]) for n, parts in enumerate(bands)]
        for name, bands in found.items()
    }


def _system(parts: Sequence[Rows], n: int, band: Floats, sky_right: Floats) -> System:
    """Put the rows of all tiles in the order of the sources' numbers."""
    number = np.concatenate([part.number for part in parts])
    # Tiles arrive in any order. Sorted by the numbers of the sources, the sums of the solver run in one order.
    place = np.empty(n, np.int64)
    place[number] = np.arange(n)
    rows = {
        name: np.concatenate([getattr(part, name) for part in parts])[place]
        for name in ("diagonal", "right", "knot", "sky")
    }
    first, second, overlap = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("first", "second", "overlap")
    )
    # Pairs as well: the product of the matrix with a vector adds them in this order.
    order = np.lexsort((second, first))
    return System(
        rows["diagonal"],
        rows["right"],
        first[order],
        second[order],
        overlap[order],
        rows["knot"],
        rows["sky"],
        band,
        sky_right,
    )


def _positions(
    engine: Engine,
    fields: Sequence[FieldTiles],
    sources: Mapping[str, FieldSources],
    params: Mapping[str, FitParams],
    known: Mapping[str, Floats],
    growth: Mapping[str, Floats],
) -> None:
    """Refine the positions of all sources in place, their errors, and the planes of the sky under them."""
    for one in fields:
        name = one.source.name
        # Collected beside the old positions: a tile must see its neighbours where they were, whichever tile was
        # done before.
        new, skies = sources[name].offset.copy(), sources[name].plane.copy()

        def enter(
            part: tuple[Int64, Floats, Floats, Floats, Floats],
            name: str = name,
            new: Floats = new,
            skies: Floats = skies,
        ) -> None:
            number, offset, error, plane, more = part
            new[number], known[name][number] = offset, error
            skies[:, number], growth[name][:, number] = plane, more

        run_pass(engine, _suited(POSITIONS, params), [one], params, gather=enter, own=_own(sources))
        sources[name].offset, sources[name].plane = new, skies


def _rest(
    engine: Engine,
    fields: Sequence[FieldTiles],
    sources: Mapping[str, FieldSources],
    params: Mapping[str, FitParams],
) -> dict[str, tuple[list[dict[str, Floats]], list[dict[str, NDArray[Any]]]]]:
    """Return, by field, the quality of all sources and the noise of all cells, band by band."""
    result = {}
    for one in fields:
        name, n, bands = one.source.name, sources[one.source.name].y_peak.size, len(one.source.bands)
        radii = params[name].radii
        count = 0 if radii is None else radii.size
        columns = ("chi", "good", "photons", "excess", "sky")
        table: list[dict[str, Floats]] = [
            {**{key: np.full(n, np.nan) for key in columns}, "apertures": np.full((n, count), np.nan)}
            for _ in range(bands)
        ]
        cells: list[list[dict[str, NDArray[Any]]]] = [[] for _ in range(bands)]

        def enter(part: tuple[Int64, list[Any]], table: Any = table, cells: Any = cells) -> None:
            number, found = part
            for band, (measured, noise) in enumerate(found):
                for key, column in table[band].items():
                    column[number] = getattr(measured, key)
                cells[band].append(noise)

        run_pass(
            engine,
            BESIDE[REST.name] if params[name].masks else REST,
            [one],
            params,
            gather=enter,
            own=_own(sources),
        )
        joined = []
        for parts in cells:
            whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            order = np.lexsort((whole["column"], whole["row"]))
            joined.append({key: column[order] for key, column in whole.items()})
        result[name] = (table, joined)
    return result


def _assembled(
    sources: FieldSources,
    systems: Sequence[System],
    solutions: Sequence[Solution],
    error: Floats,
    growth: Floats,
    table: Sequence[dict[str, Floats]],
    cells: Sequence[dict[str, NDArray[Any]]],
    params: FitParams,
) -> FieldFit:
    """Put the numbers of one field together."""
    bands = []
    square, information = np.zeros(error.shape[0]), np.zeros(error.shape[0])
    for n, (system, solution) in enumerate(zip(systems, solutions, strict=True)):
        noise, pixel = noise_map(cells[n], params.shape)
        variance = variances(system, solution)
        scale, pixel_scale = (
            bilinear_at(one, sources.y_peak, sources.x_peak, CELL).astype(np.float64)
            for one in (noise, pixel)
        )
        band = _band(system, solution, variance, growth[n], table[n], scale, pixel_scale, noise)
        bands.append(band)
        # Positions have the noise of the bands that tell them, each as far as it does.
        with np.errstate(invalid="ignore"):
            # The information on a position grows with the square of the flux over its noise.
            weight = np.nan_to_num(band.flux.clip(0.0) ** 2 / variance.white)
        square += weight * np.nan_to_num(band.flux_err**2 / variance.white)
        information += weight
    with np.errstate(divide="ignore", invalid="ignore"):
        over_white = np.sqrt(square / information)
    moved = np.asarray((np.abs(sources.offset) >= FARTHEST).any(axis=1))
    close = closest_pairs(systems[0].first, systems[0].second, sources.y, sources.x, CLOSE)
    position = sources.y, sources.x, error * over_white[:, None]
    return FieldFit(*position, moved, close, tuple(bands), sources, params)


def _band(
    system: System,
    solution: Solution,
    variance: Variance,
    growth: Floats,
    table: Mapping[str, Floats],
    scale: Floats,
    pixel_scale: Floats,
    noise: Floats,
) -> BandFit:
    flux = np.where(system.diagonal > 0, solution.flux, np.nan)
    formal = scale * scale * sky_variance(system.diagonal, variance.white, variance.weight, growth)
    # The detector's gain is known of no mosaic: it is measured on bright sources, whose residuals scatter more
    # than the sky explains.
    gain = photon_gain(table["excess"], flux, np.sqrt(formal))
    photons = gain * flux.clip(0.0) * table["photons"] * variance.white * variance.white
    return BandFit(
        flux,
        np.sqrt(formal + photons),
        table["chi"] / pixel_scale,
        table["sky"],
        table["good"],
        variance.neighbours,
        table["apertures"],
        gain,
        noise,
    )
