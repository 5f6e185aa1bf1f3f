"""The optical PSF of a band on a mosaic's pixels, as tables from which sources are drawn.

Diffraction (`optics`), a scattered halo and the drizzled pixels (`drizzle`) give the PSF at four samples a pixel out to
some 120 pixels; beyond, halo and spikes go on as power laws that join it. Across the field the PSF changes linearly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tilegc.simulation.drizzle import HALO_SHARE, PIXFRAC, drizzled, halo
from tilegc.simulation.optics import BANDPASS, EDGES, diffraction, wavefront

__all__ = ["SAMPLES", "FarLight", "OpticalTables", "optical_tables"]

SAMPLES = 4
"""Samples a pixel of the mosaic."""

_SIZE = 1024  # samples a side
_TAPER = (96.0, 120.0)  # px, where the tables fade out and the far light sets in
_CORE = 3.0  # px round the peak: the light that is centred
_WAVEFRONT_SEED = 20260101  # the telescope is the same one in all mocks

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FarLight:
    """Halo and spikes far from a star, for a flux of 1.

    Attributes
    ----------
    start, full : float
        Radii, px, between which the far light replaces the tables.
    halo : float
        Brightness per pixel at `full`, between the spikes; it falls as the cube of the radius.
    spike : float
        Brightness of a spike's ridge at `full`; it falls as the square of the radius.
    width : float
        Sigma across a spike, px.
    direction : ndarray of float64, shape (6,)
        Directions of the spikes, radian from x towards y.
    bead : float
        Period of the beads along a spike, px.
    """

    start: float
    full: float
    halo: float
    spike: float
    width: float
    direction: Floats
    bead: float

    def reach(self, flux: Floats, floor: float) -> Floats:
        """Return how far, px, stars of these fluxes are above `floor`."""
        spike = np.sqrt(np.maximum(flux * self.spike / floor, 0.0))
        halo = np.cbrt(np.maximum(flux * self.halo / floor, 0.0))
        return np.asarray(self.full * np.maximum(spike, halo))


@dataclass(frozen=True, eq=False)
class OpticalTables:
    """The PSF of one band in one field.

    Attributes
    ----------
    phases : ndarray of float64, shape (3, SAMPLES, SAMPLES, n, n)
        Light per pixel for a flux of 1, in the middle of the field, and its changes along x and y. The first two axes
        after that are the phase (y, x) of a sample within its pixel; the source is at sample (0, 0) of pixel
        (n / 2, n / 2).
    radii, highest : ndarray of float64
        Twice the mean brightness at or beyond each radius, px.
    far : FarLight
    """

    phases: Floats
    radii: Floats
    highest: Floats
    far: FarLight

    @property
    def middle(self) -> int:
        """The pixel of the tables on which the source is."""
        return int(self.phases.shape[-1]) // 2

    @property
    def image(self) -> Floats:
        """The PSF in the middle of the field at `SAMPLES` samples a pixel, shape (n SAMPLES, n SAMPLES)."""
        n = self.phases.shape[-1] * SAMPLES
        return np.asarray(self.phases[0].transpose(2, 0, 3, 1).reshape(n, n))

    def reach(self, flux: Floats, floor: float) -> Floats:
        """Return how far, px, sources of these fluxes are above `floor`, at most to the border of the tables."""
        n = np.searchsorted(-self.highest, -floor / np.maximum(flux, 1e-30))
        return np.asarray(self.radii[np.minimum(n, len(self.radii) - 1)])


@lru_cache(maxsize=16)
def optical_tables(band: str, scale: float, turn: float, pixfrac: float = PIXFRAC) -> OpticalTables:
    """Return the PSF of a band.

    Parameters
    ----------
    band : str
    scale : float
        Pixel of the mosaic, arcsec.
    turn : float
        Angle of the telescope against the mosaic's axes, degrees from x towards y.
    pixfrac : float
        Side of the drizzle's drops, in detector pixels.
    """
    step = scale / SAMPLES
    patterns = diffraction(band, wavefront(_WAVEFRONT_SEED), step=step, size=_SIZE, turn=turn)
    axis = (np.arange(_SIZE) - _SIZE // 2) / SAMPLES  # px
    radius = np.hypot(axis[:, None], axis)
    scattered = HALO_SHARE * halo(radius * scale) * step**2
    patterns = ((1.0 - HALO_SHARE) * patterns[0] + scattered, *patterns[1:])
    edges = (patterns[0], patterns[0] + patterns[1], patterns[0] + patterns[2])
    middle, *edges_seen = (_centred(edge, radius < _CORE, step, scale, pixfrac) for edge in edges)
    seen = [middle, *(edge - middle for edge in edges_seen)]
    far = _far_light(seen[0], axis, radius, band, turn)
    fade = 1.0 - _rise(radius, far.start, far.full)
    # even the least PSF of the field, at a corner, is no darkness below zero
    least = seen[0] - np.abs(seen[1]) - np.abs(seen[2])
    excess = np.where(least < 0.0, np.maximum(seen[0], 0.0) / np.maximum(seen[0] - least, 1e-30), 1.0)
    images = np.array([np.maximum(seen[0], 0.0), seen[1] * excess, seen[2] * excess]) * fade
    n = _SIZE // SAMPLES
    phases = images.reshape(3, n, SAMPLES, n, SAMPLES).transpose(0, 2, 4, 1, 3)
    radii = np.arange(0.0, math.ceil(far.full) + 1.0)
    ring = np.searchsorted(radii, radius.ravel(), side="right") - 1
    total = np.bincount(ring, images[0].ravel(), minlength=len(radii))[: len(radii)]
    mean = total / np.bincount(ring, minlength=len(radii))[: len(radii)]
    highest = 2.0 * np.maximum.accumulate(mean[::-1])[::-1]
    return OpticalTables(np.ascontiguousarray(phases), radii + 1.0, highest, far)


def _centred(pattern: Floats, core: NDArray[np.bool_], step: float, scale: float, pixfrac: float) -> Floats:
    """Return a drizzled pattern with its core on the middle: stars are where the mosaic's astrometry says."""
    shift = np.zeros(2)
    for _ in range(3):
        seen = drizzled(pattern, step, scale, pixfrac, (shift[0], shift[1]))
        shift -= _centroid(seen, core)
    return drizzled(pattern, step, scale, pixfrac, (shift[0], shift[1]))


def _centroid(image: Floats, core: NDArray[np.bool_]) -> Floats:
    """Return the centroid (y, x) of the light in the core, samples from the middle of the image."""
    row, column = np.nonzero(core)
    light = image[row, column]
    middle = len(image) // 2
    return np.array([(light * (along - middle)).sum() / light.sum() for along in (row, column)])


def _rise(radius: Floats, start: float, full: float) -> Floats:
    """Return a smooth step from 0 at `start` to 1 at `full`."""
    t = np.clip((radius - start) / (full - start), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def _far_light(image: Floats, axis: Floats, radius: Floats, band: str, turn: float) -> FarLight:
    """Return halo and spikes beyond the tables, measured where they end."""
    start, full = _TAPER
    row, column = np.nonzero((radius > 0.75 * full) & (radius < full))
    x, y, r, light = axis[column], axis[row], radius[row, column], image[row, column]
    direction = np.radians(np.array([t + turn + side for t in EDGES for side in (0.0, 180.0)]))
    along = x[:, None] * np.cos(direction) + y[:, None] * np.sin(direction)
    away = np.sqrt(np.maximum(r[:, None] ** 2 - along**2, 0.0))
    away = np.where(along > 0.0, away, np.inf).min(axis=1)  # px from the nearest ridge
    between = away > 0.2 * r
    level = float((light * (r / full) ** 3)[between].mean())
    wide = 6.0
    on = away < wide
    excess = (light - level * (full / r) ** 3)[on] * (r[on] / full) ** 2
    # light per pixel of a spike's length, on both sides of its ridge
    line = float(excess.mean()) * 2.0 * wide
    width = 0.9 * sum(BANDPASS[band]) / 3.0
    spike = max(line, 0.0) / (width * math.sqrt(2.0 * math.pi))
    bead = 14.0 * sum(BANDPASS[band]) / 3.0
    return FarLight(start, full, level, spike, width, direction, bead)
