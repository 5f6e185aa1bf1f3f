"""What lies in the sky of a mock cluster: every object, drawn once, before any pixel is made.

Numbers for Abell S1063's redshift, 0.348:

- Globular clusters brighter than F150W = 30.9 follow n = (kappa / 0.4)^(1 / 0.7) per arcsec^2 with
  kappa at source redshift 3, the relation of Diego et al. 2026 (arXiv:2602.12332). Their luminosity
  function is a Gaussian in magnitudes, turnover 32.05 in F150W, sigma 1.4, drawn down to 34.85:
  4.75 n in all. The faint ones are confusion noise. Nothing brighter than 27.0 is drawn (an estimate;
  no known globular cluster would be brighter than 26.4 there).
- SED of an old globular cluster: f_nu in F090W:F115W:F150W:F200W = 0.60:0.80:0.95:1.00, scatter
  0.1 mag a band.
- Background 0.363 per arcsec^2, half of it point-like, half with half-light radii of 1 to 3.5 px.
- All else (galaxies' luminosity functions and sizes, their own globular clusters, colours, stars,
  arcs) are estimates that make a field look like the real one; no source is claimed for them.

Each kind is drawn from its surface density in the sky cells of `cells`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.simulation.cells import Draw, SkyCells
from tilegc.simulation.deviates import cell_counts, stream_key
from tilegc.simulation.frame import Frame
from tilegc.simulation.mass import Convergence
from tilegc.simulation.objects import Objects, fluxes, objects_of
from tilegc.simulation.presets import USUAL, Globulars, Preset

__all__ = ["LIMIT", "luminosity_share", "populate", "surface_density"]

LIMIT = 30.9
"""AB magnitude in F150W down to which n counts globular clusters."""
TURNOVER, SPREAD, FAINTEST, BRIGHTEST = 32.05, 1.4, 34.85, 27.0
BACKGROUND = 0.363  # per arcsec^2, half of it point-like
_BACKGROUND_MAGS = (24.0, 30.9)

_RIM = 12.0  # arcsec round the fields where objects are drawn too: their light reaches in

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def luminosity_share(brighter_than: float = LIMIT) -> float:
    """Return the share of the drawn luminosity function that is brighter than a magnitude."""
    low, high = (
        scipy.special.ndtr((BRIGHTEST - TURNOVER) / SPREAD),
        scipy.special.ndtr((FAINTEST - TURNOVER) / SPREAD),
    )
    return float((scipy.special.ndtr((brighter_than - TURNOVER) / SPREAD) - low) / (high - low))


def surface_density(kappa: Floats, globulars: Globulars = USUAL) -> Floats:
    """Return n(> 30.9) per arcsec^2 at a convergence for source redshift 3; the limit moves with the dimming."""
    ratio = np.maximum(np.nan_to_num(kappa), 0.0) / 0.4
    return np.asarray(globulars.density * ratio**globulars.power)


def _colour_scatter(draw: Draw, bands: Sequence[str], mags: float) -> list[Floats]:
    """Return one normal deviate of `mags` per band and object; a band's does not depend on the others."""
    return [mags * draw.normal(20 + sum(map(ord, band))) for band in bands]


def _power_law(u: Floats, bright: float, faint: float, slope: float) -> Floats:
    """Return magnitudes with counts as 10^(slope m) between two limits."""
    span = 10.0 ** (slope * (faint - bright)) - 1.0
    return np.asarray(bright + np.log10(1.0 + span * u) / slope, np.float64)


def _gc_mags(u: Floats) -> Floats:
    low, high = (
        scipy.special.ndtr((BRIGHTEST - TURNOVER) / SPREAD),
        scipy.special.ndtr((FAINTEST - TURNOVER) / SPREAD),
    )
    return np.asarray(TURNOVER + SPREAD * scipy.special.ndtri(low + u * (high - low)))


def _globulars(sky: SkyCells, mass: Convergence, bands: Sequence[str], globulars: Globulars) -> Objects:
    share = luminosity_share()
    draw = sky.draw("gc", 2.0, lambda xi, eta: surface_density(mass.kappa(xi, eta), globulars) / share)
    xi, eta = draw.place()
    mag = _gc_mags(draw.uniform(2)) + globulars.dimming
    return objects_of("gc", xi, eta, mag, fluxes(mag, bands, "gc", _colour_scatter(draw, bands, 0.1)))


def _members(sky: SkyCells, bands: Sequence[str], number: float) -> Objects:
    # about 120 within an arcminute, core 30 arcsec; none on the brightest galaxy itself
    def density(xi: Floats, eta: Floats) -> Floats:
        r2 = xi**2 + eta**2
        return np.where(r2 > 3.0**2, number * 0.024 / (1.0 + r2 / 30.0**2), 0.0)

    draw = sky.draw("member", _RIM, density)
    xi, eta = draw.place()
    mag = 18.6 + 6.6 * draw.uniform(2) ** 0.6
    return objects_of(
        "member",
        xi,
        eta,
        mag,
        fluxes(mag, bands, "galaxy", _colour_scatter(draw, bands, 0.05)),
        radius=0.24 * 10.0 ** (-0.15 * (mag - 21.5) + 0.1 * draw.normal(3)),
        axis_ratio=0.45 + 0.55 * draw.uniform(4),
        position_angle=180.0 * draw.uniform(5),
        index=np.clip(3.2 - 0.35 * (mag - 20.0), 1.3, 4.0),
    )


def _member_globulars(seed: int, members: Objects, bands: Sequence[str], dimming: float) -> Objects:
    """Globular clusters of the members: some 1100 (all magnitudes) round the brightest."""
    key = stream_key(seed, "objects", "member_gc")
    # a member's place on the sky, to 1e-4 arcsec, is what its clusters' stream hangs on
    j, i = np.floor(members.eta * 1e4).astype(np.int64), np.floor(members.xi * 1e4).astype(np.int64)
    mean = 60.0 * 10.0 ** (-0.4 * (members.mag - 21.5))
    number = np.array(
        [
            cell_counts(key, int(a), int(b), np.full((1, 1), m))[0, 0]
            for a, b, m in zip(i, j, mean, strict=True)
        ],
        np.int64,
    )
    k = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    draw = Draw(key, np.repeat(j, number), np.repeat(i, number), k.astype(np.int64))
    spread = np.repeat(2.0 * members.radius + 0.3, number)
    r = -spread * np.log(draw.uniform(0) * draw.uniform(1))  # n proportional to exp(-r / spread)
    angle = 2.0 * math.pi * draw.uniform(2)
    mag = _gc_mags(draw.uniform(3)) + dimming
    return objects_of(
        "member_gc",
        np.repeat(members.xi, number) + r * np.cos(angle),
        np.repeat(members.eta, number) + r * np.sin(angle),
        mag,
        fluxes(mag, bands, "gc", _colour_scatter(draw, bands, 0.1)),
    )


def _background(sky: SkyCells, bands: Sequence[str], scale: float) -> list[Objects]:
    parts = []
    for kind in ("background_extended", "background_point"):
        draw = sky.draw(kind, 4.0, lambda xi, _eta: np.full(xi.shape, 0.5 * BACKGROUND))
        xi, eta = draw.place()
        mag = _power_law(draw.uniform(2), *_BACKGROUND_MAGS, 0.25)
        tilt = 0.6 * draw.normal(6)  # magnitudes from F090W to F200W
        scatter = [tilt * ({"F090W": 0.8, "F115W": 0.4, "F150W": 0.0, "F200W": -0.4}[b]) for b in bands]
        extended = kind == "background_extended"
        parts.append(
            objects_of(
                kind,
                xi,
                eta,
                mag,
                fluxes(mag, bands, "blue", scatter),
                radius=(1.0 + 2.5 * draw.uniform(3)) * scale if extended else 0.0,
                axis_ratio=0.35 + 0.65 * draw.uniform(4) if extended else 1.0,
                position_angle=180.0 * draw.uniform(5) if extended else 0.0,
                index=1.0 if extended else 0.0,
            )
        )
    return parts


def _field_galaxies(sky: SkyCells, bands: Sequence[str], number: float) -> Objects:
    # 25 per arcmin^2 of disks behind and before the cluster
    draw = sky.draw("field_galaxy", _RIM, lambda xi, _eta: np.full(xi.shape, number * 25.0 / 3600.0))
    xi, eta = draw.place()
    mag = _power_law(draw.uniform(2), 21.0, 26.5, 0.25)
    tilt = 0.5 + 0.5 * draw.normal(6)
    scatter = [tilt * ({"F090W": 0.8, "F115W": 0.4, "F150W": 0.0, "F200W": -0.4}[b]) for b in bands]
    return objects_of(
        "field_galaxy",
        xi,
        eta,
        mag,
        fluxes(mag, bands, "blue", scatter),
        radius=0.33 * 10.0 ** (-0.1 * (mag - 23.0) + 0.12 * draw.normal(3)),
        axis_ratio=0.25 + 0.75 * draw.uniform(4),
        position_angle=180.0 * draw.uniform(5),
        index=1.0,
    )


def _centre(bands: Sequence[str]) -> list[Objects]:
    """Return the brightest cluster galaxy and the intracluster light, along the main clump."""
    parts = []
    for kind, mag, radius, ratio, index in (("bcg", 17.4, 4.2, 0.75, 3.5), ("icl", 17.5, 24.0, 0.62, 1.4)):
        m = np.array([mag])
        zero = np.zeros(1)
        parts.append(
            objects_of(
                kind,
                zero,
                zero,
                m,
                fluxes(m, bands, "galaxy"),
                radius=radius,
                axis_ratio=ratio,
                position_angle=40.0,
                index=index,
            )
        )
    return parts


def _arcs(seed: int, preset: Preset, bands: Sequence[str]) -> list[Objects]:
    parts = []
    for number, arc in enumerate(preset.arcs):
        middle = math.radians(arc.position_angle)
        place = (np.array([arc.radius * math.sin(middle)]), np.array([arc.radius * math.cos(middle)]))
        mag = np.array([arc.mag])
        parts.append(
            objects_of(
                "arc",
                *place,
                mag,
                fluxes(mag, bands, "blue"),
                radius=arc.radius,
                position_angle=arc.position_angle,
                length=arc.length,
                width=arc.width,
            )
        )
        k = np.arange(arc.clumps, dtype=np.int64)
        draw = Draw(stream_key(seed, "objects", "arc_clump"), np.full_like(k, number), np.zeros_like(k), k)
        angle = middle + math.radians(arc.length) * 0.94 * (draw.uniform(0) - 0.5)
        r = arc.radius + 0.7 * arc.width * draw.normal(1)
        mag = _power_law(draw.uniform(2), arc.mag + 2.7, arc.mag + 6.5, 0.12)
        parts.append(
            objects_of(
                "arc_clump",
                r * np.sin(angle),
                r * np.cos(angle),
                mag,
                fluxes(mag, bands, "blue"),
                radius=preset.scale * (0.8 + 2.2 * draw.uniform(3)),
                axis_ratio=0.3 + 0.4 * draw.uniform(4),
                position_angle=np.degrees(angle) + 90.0,
                index=1.0,
            )
        )
    return parts


def _star_places(draw: Draw, frame: Frame, preset: Preset) -> tuple[Floats, Floats]:
    """Return places that spare the cluster's core and the arcs, which stars would hide."""
    side = min(frame.nx, frame.ny) * frame.scale
    core, berth = min(10.0, 0.2 * side), min(4.0, 0.1 * side)
    xi, eta = np.zeros(len(draw)), np.zeros(len(draw))
    waiting = np.ones(len(draw), np.bool_)
    for attempt in range(40):
        u, v = draw.uniform(100 + 2 * attempt), draw.uniform(101 + 2 * attempt)
        tried = frame.plane(frame.nx * (0.08 + 0.84 * u), frame.ny * (0.08 + 0.84 * v))
        xi, eta = np.where(waiting, tried[0], xi), np.where(waiting, tried[1], eta)
        r, angle = np.hypot(xi, eta), np.degrees(np.arctan2(xi, eta))
        bad = r < core
        for arc in preset.arcs:
            off = np.abs((angle - arc.position_angle + 180.0) % 360.0 - 180.0)
            beyond = np.radians(np.maximum(off - 0.5 * arc.length, 0.0)) * r
            bad |= np.hypot(r - arc.radius, beyond) < berth
        waiting &= bad
    return xi, eta


def _stars(seed: int, preset: Preset, frames: Sequence[Frame], bands: Sequence[str]) -> list[Objects]:
    parts = []
    for frame in frames:
        plan = frame.plan
        # as many per area as the preset has, at least as many as it names
        number = max(plan.stars, round(plan.stars * frame.nx * frame.ny / plan.size**2))
        k = np.arange(number, dtype=np.int64)
        draw = Draw(stream_key(seed, "objects", "star", frame.name), np.zeros_like(k), np.zeros_like(k), k)
        xi, eta = _star_places(draw, frame, preset)
        bright, faint = plan.star_mags
        step = (k + draw.uniform(2)) / max(number, 1)
        mag = bright + (faint - bright) * step**0.8
        # spectral types: a tilt in colour per star
        tilt = 0.15 * draw.normal(3)
        scatter = [tilt * ({"F090W": 1.0, "F115W": 0.5, "F150W": 0.0, "F200W": -0.3}[b]) for b in bands]
        parts.append(objects_of("star", xi, eta, mag, fluxes(mag, bands, "star", scatter)))
    return parts


def populate(
    preset: Preset,
    frames: Sequence[Frame],
    mass: Convergence,
    seed: int,
    bands: Sequence[str],
) -> Objects:
    """Return every object in and just round the fields, in the order of their ids.

    Parameters
    ----------
    preset : Preset
    frames : sequence of Frame
    mass : Convergence
    seed : int
    bands : sequence of str
        For the columns of `Objects.flux`.
    """
    sky = SkyCells(seed, frames)
    parts = [
        _field_galaxies(sky, bands, preset.galaxies),
        *_background(sky, bands, preset.scale),
        *_stars(seed, preset, frames, bands),
    ]
    if preset.mass is not None:
        members = _members(sky, bands, preset.members)
        parts += [
            *_centre(bands),
            members,
            *_arcs(seed, preset, bands),
            _globulars(sky, mass, bands, preset.globulars),
            _member_globulars(seed, members, bands, preset.globulars.dimming),
        ]
    whole = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Objects)}
    order = np.argsort(whole["kind"], kind="stable")
    return Objects(**{name: np.ascontiguousarray(column[order]) for name, column in whole.items()})
