"""The objects of a field by the way they are drawn: their columns on its pixels, and how far each reaches.

An object's reach is where its light falls below a floor far under the noise. It is a property of the object, not of the
window that is drawn, so that a mosaic is the same in any tiling.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.simulation import render
from tilegc.simulation.frame import Frame
from tilegc.simulation.objects import KINDS, Objects
from tilegc.simulation.psf import BandPSF
from tilegc.simulation.render_optical import DiskStamps

__all__ = ["FLOOR", "SATURATED", "SOFT", "SPIKE_FLOOR", "SPIKE_SHARE", "Layer", "Layers"]

SATURATED = 18.5
"""AB magnitude in F150W above which a star's core has no data."""
FLOOR = 1e-4
"""nJy per pixel at which points and disks end; the noise is some 0.03."""
SPIKE_FLOOR = 2e-3
"""nJy per pixel at which spikes end."""
SPIKE_SHARE = 0.06
"""Share of a star's flux in its spikes, where the PSF has none."""
SOFT = 1.3
"""Softening of a galaxy's centre for the PSF, px."""

_EXACT_WINGS = 25.0  # AB magnitude of points from which on only the core is shifted exactly
_CORE = 8.0  # px on either side of a point: its core
_SMALL_STAMP = 26.5  # AB magnitude of disks from which on a small image holds them
_SMOOTH_FLOOR = 4e-4  # as FLOOR, for galaxies, whose profile is made to reach zero there

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """Objects of one way of drawing.

    Attributes
    ----------
    x, y : ndarray of float64, shape (n,)
        Places on the field, px.
    flux : ndarray of float64, shape (n, bands)
        nJy.
    reach : ndarray of float64, shape (n,)
        Distance at which their light ends, px.
    columns : mapping of str to ndarray
        What else drawing them needs.
    """

    x: Floats
    y: Floats
    flux: Floats
    reach: Floats
    columns: Mapping[str, Floats]

    def within(self, x_start: int, y_start: int, shape: tuple[int, int]) -> Ints:
        """Return the rows whose extent meets a window, in order."""
        near = (
            (self.x + self.reach >= x_start - 0.5)
            & (self.x - self.reach <= x_start + shape[1] - 0.5)
            & (self.y + self.reach >= y_start - 0.5)
            & (self.y - self.reach <= y_start + shape[0] - 0.5)
        )
        return np.flatnonzero(near)


class Layers:
    """All layers of one field.

    Parameters
    ----------
    frame : Frame
    objects : Objects
    psfs : sequence of BandPSF
        One per band, in the order of `Objects.flux`.
    """

    def __init__(self, frame: Frame, objects: Objects, psfs: Sequence[BandPSF]) -> None:
        self.frame = frame
        self.psfs = tuple(psfs)
        self._x, self._y = frame.pixel(objects.xi, objects.eta)
        self.stars = self._star_layer(objects)
        self.points = self._point_layer(objects, ("background_point", "gc", "member_gc", "star"))
        self.disks = self._disk_layer(objects)
        self.galaxies = self._galaxy_layer(objects)
        self.cusps = self._cusp_layer()
        self.arcs = self._arc_layer(objects)

    def _rows(self, objects: Objects, kinds: Sequence[str]) -> NDArray[np.bool_]:
        return np.isin(objects.kind, [KINDS.index(k) for k in kinds])

    def _point_layer(self, objects: Objects, kinds: Sequence[str]) -> Layer:
        rows = self._rows(objects, kinds)
        x, y = self._x[rows], self._y[rows]
        # a star's spikes hold a part of its flux where they are not in the PSF
        kept = np.where(objects.kind[rows] == KINDS.index("star"), 1.0 - SPIKE_SHARE, 1.0)
        flux = objects.flux[rows].copy()
        for n, psf in enumerate(self.psfs):
            if psf.tables is None:
                flux[:, n] *= kept
        return self._points_of(x, y, objects.mag[rows], flux)

    def _points_of(self, x: Floats, y: Floats, mag: Floats, flux: Floats) -> Layer:
        """Return a layer of point sources, with their reach in each band and their place in the field."""
        columns = {
            # within the frame from -1 to 1; the rim round it belongs to the edge
            "field_x": np.clip(2.0 * (x + 0.5) / self.frame.nx - 1.0, -1.0, 1.0),
            "field_y": np.clip(2.0 * (y + 0.5) / self.frame.ny - 1.0, -1.0, 1.0),
            # by the magnitude, not by the bands made: a band's pixels must not depend on the others
            "core": np.where(mag < _EXACT_WINGS, 1e4, _CORE),
        }
        reach = np.zeros(len(flux))
        for n, psf in enumerate(self.psfs):
            if psf.tables is not None:
                columns[f"reach_{n}"] = psf.tables.reach(flux[:, n], FLOOR)
            elif psf.image is not None:
                columns[f"reach_{n}"] = _image_reach(flux[:, n], psf)
            else:
                columns[f"reach_{n}"] = _gaussian_reach(flux[:, n], psf.sigma, psf.weight)
            reach = np.maximum(reach, columns[f"reach_{n}"])
        return Layer(x, y, np.ascontiguousarray(flux), reach, columns)

    def _cusp_layer(self) -> Layer:
        """Return the centres of galaxies as points: what softening takes off them, with an optical PSF.

        A steep profile is sharper than the PSF, and its centre has the PSF's rings and spikes.
        """
        galaxies = self.galaxies
        share = galaxies.columns["cusp"][:, None]
        sharp = np.array([psf.tables is not None for psf in self.psfs], np.float64)
        rows = galaxies.columns["cusp"] > 0.0
        flux = galaxies.flux * share * sharp
        return self._points_of(galaxies.x[rows], galaxies.y[rows], galaxies.columns["mag"][rows], flux[rows])

    def _star_layer(self, objects: Objects) -> Layer:
        rows = self._rows(objects, ("star",))
        flux, mag = objects.flux[rows], objects.mag[rows]
        dead = np.where(mag < SATURATED, 1.6 + 1.3 * (SATURATED - mag), 0.0)
        brightest = flux.max(axis=1, initial=0.0)
        reach = np.sqrt(brightest * SPIKE_SHARE / SPIKE_FLOOR) + 20.0
        for far in (psf.tables.far for psf in self.psfs if psf.tables is not None):
            reach = np.maximum(reach, far.reach(brightest, SPIKE_FLOOR))
        return Layer(self._x[rows], self._y[rows], flux, reach, {"dead": dead})

    def _disk_layer(self, objects: Objects) -> Layer:
        rows = self._rows(objects, ("background_extended", "arc_clump"))
        flux = objects.flux[rows]
        radius = objects.radius[rows] / self.frame.scale
        reach = np.zeros(len(flux))
        for n, psf in enumerate(self.psfs):
            for g, part in zip(render.BLOB_WIDTH, render.BLOB_WEIGHT, strict=True):
                for s, w in zip(psf.sigma, psf.weight, strict=True):
                    # a bound: the peak as if round and unbroadened by the PSF, the width as along the axis
                    wide = np.hypot(g * radius, s)
                    peak = flux[:, n] * w * part / (2.0 * math.pi * s * s)
                    reach = np.maximum(reach, wide * np.sqrt(2.0 * np.log(np.maximum(peak / FLOOR, 1.0))))
        columns = {
            "radius": radius,
            "axis_ratio": objects.axis_ratio[rows],
            "angle": self.frame.angle(objects.position_angle[rows]),
            "side": self._stamp_sides(objects.mag[rows], radius),
        }
        if any(psf.tables is not None for psf in self.psfs):
            reach = np.maximum(reach, 0.5 * columns["side"] + 1.0)
        return Layer(self._x[rows], self._y[rows], np.ascontiguousarray(flux), reach, columns)

    @staticmethod
    def _stamp_sides(mag: Floats, radius: Floats) -> Floats:
        """Return the side of the image that holds a disk with an optical PSF, px.

        By the magnitude, not by the bands made: a band's pixels must not depend on the others.
        """
        small, large = DiskStamps.SIDES
        return np.where((mag > _SMALL_STAMP) & (4.0 * radius < 0.5 * small), float(small), float(large))

    def _galaxy_layer(self, objects: Objects) -> Layer:
        rows = self._rows(objects, ("bcg", "icl", "member", "field_galaxy"))
        flux = objects.flux[rows]
        radius = objects.radius[rows] / self.frame.scale
        ratio, index = objects.axis_ratio[rows], objects.index[rows]
        diffuse = objects.kind[rows] == KINDS.index("icl")
        # `radius` is the circularised half-light radius: the ellipse's area counts
        major = radius / np.sqrt(ratio)
        peak, reach, cusp = np.empty_like(flux), np.empty(len(flux)), np.empty(len(flux))
        sharp = np.array([psf.tables is not None for psf in self.psfs], np.float64)
        # by the magnitude, not by the bands made: a band's pixels must not depend on the others
        bright = 10.0 ** (-0.4 * (objects.mag[rows] - 31.4))
        for n in range(len(flux)):
            shape = float(major[n]), float(ratio[n]), float(index[n])
            reach[n], unit, cusp[n] = _sersic_extent(float(bright[n]), *shape)
            if diffuse[n]:
                cusp[n] = 0.0
            peak[n] = flux[n] * unit * (1.0 - cusp[n] * sharp)
        columns = {
            "radius": major,
            "axis_ratio": ratio,
            "angle": self.frame.angle(objects.position_angle[rows]),
            "index": index,
            "peak": peak,
            "cusp": cusp,
            "mag": objects.mag[rows],
            "diffuse": diffuse.astype(np.float64),
        }
        return Layer(self._x[rows], self._y[rows], flux, reach, columns)

    def _arc_layer(self, objects: Objects) -> Layer:
        rows = self._rows(objects, ("arc",))
        flux = objects.flux[rows]
        radius = objects.radius[rows] / self.frame.scale
        width = objects.width[rows] / self.frame.scale
        half = np.radians(objects.length[rows]) / 2.0
        t = np.linspace(-1.0, 1.0, 2001)
        shape = np.array([render.arc_shape(v) * (1.0 - 0.5 * v * v) for v in t])
        area = shape.mean() * 2.0 * half * radius * width * math.sqrt(2.0 * math.pi)
        columns = {
            "radius": radius,
            "angle": self.frame.angle(objects.position_angle[rows]),
            "half": half,
            "width": width,
            "peak": flux / area[:, None],
        }
        # measured from the cluster centre, not from the arc's middle
        n = len(flux)
        x0, y0 = np.full(n, self.frame.x0), np.full(n, self.frame.y0)
        return Layer(x0, y0, flux, radius + 5.0 * width, columns)


def _gaussian_reach(flux: Floats, sigma: Floats, weight: Floats) -> Floats:
    reach = np.zeros(len(flux))
    for s, w in zip(sigma, weight, strict=True):
        peak = flux * w / (2.0 * math.pi * s * s)
        reach = np.maximum(reach, s * np.sqrt(2.0 * np.log(np.maximum(peak / FLOOR, 1.0))))
    return reach


def _image_reach(flux: Floats, psf: BandPSF) -> Floats:
    """Return how far, in mosaic pixels, an image PSF is above the floor, at most to its border."""
    assert psf.image is not None
    yy, xx = np.indices(psf.image.shape)
    r = np.hypot(yy - psf.centre[0], xx - psf.centre[1]) / psf.step
    radius = np.arange(0.0, r.max() + 1.0)
    # the brightest value at or beyond each radius
    highest = np.array([np.abs(psf.image[r >= q]).max(initial=0.0) for q in radius]) * psf.step**2
    above = np.searchsorted(-highest, -FLOOR / np.maximum(flux, 1e-30))
    return np.asarray(radius[np.minimum(above, len(radius) - 1)] + 2.0)


def _sersic_extent(flux: float, major: float, ratio: float, index: float) -> tuple[float, float, float]:
    """Return where a softened Sersic profile falls to the floor, px, its factor per unit flux, and its cusp.

    The cusp is the share of the flux of the profile itself that the softened one lacks.
    """
    b = 2.0 * index - 1.0 / 3.0 + 0.009876 / index
    r = np.geomspace(0.02, 60.0 * max(major, 1.0), 3000)
    profile = np.exp(-b * ((r**2 + SOFT**2) / major**2) ** (0.5 / index))
    step = np.diff(r, prepend=0.0)
    total = 2.0 * math.pi * ratio * float((r * profile * step).sum())
    faint = np.flatnonzero(profile * flux / total < _SMOOTH_FLOOR)
    last = max(int(faint[0]) if len(faint) else len(r) - 1, 20)
    inner = slice(0, last + 1)
    kept = 2.0 * math.pi * ratio * float((r * (profile - profile[last]) * step)[inner].sum())
    sharp = np.exp(-b * (r / major) ** (1.0 / index))
    whole = 2.0 * math.pi * ratio * float((r * (sharp - profile[last]) * step)[inner].sum())
    return float(r[last]), 1.0 / kept, max(1.0 - kept / whole, 0.0)
