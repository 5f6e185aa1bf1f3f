"""One field ready to be drawn: objects on its pixels, and the light of any window of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tilegc.simulation import render
from tilegc.simulation.depth import relative_weight
from tilegc.simulation.deviates import stream_key
from tilegc.simulation.faults import Faults, stripes, wisps
from tilegc.simulation.frame import Frame, exposure
from tilegc.simulation.noise import PATTERN_RMS, add_noise, detector_pattern, pixel_rms
from tilegc.simulation.objects import KINDS, Objects
from tilegc.simulation.psf import BandPSF

__all__ = ["SATURATED", "NoisyTile", "Scene", "TilePixels"]

SATURATED = 18.5
"""AB magnitude in F150W above which a star's core has no data."""

_FLOOR = 1e-4  # nJy per pixel at which points and blobs end; the noise is some 0.03
_SMOOTH_FLOOR = 4e-4  # the same for galaxies, whose profile is made to reach zero there
_SPIKE_FLOOR = 2e-3
_SOFT = 1.3  # px, the PSF's share in a galaxy's centre
_SPIKE_SHARE = 0.06  # of a star's flux
_SHORT_SHARE = 0.12  # of that, in the two short spikes together
_BEAD = 14.0  # px at 1.5 micron and 30 mas
_BEAD_DEPTH = 0.7

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TilePixels = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
NoisyTile = tuple[TilePixels, NDArray[np.float32]]

_UNFLAGGED_CORE = -20.0  # value of saturated cores with `cores: negative`, in units of the noise


@dataclass(frozen=True, eq=False)
class _Layer:
    """Objects of one way of drawing: their columns on this field, and how far each reaches."""

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


class Scene:
    """One field's objects on its pixels.

    Parameters
    ----------
    frame : Frame
    objects : Objects
    psfs : sequence of BandPSF
        One per band, in the order of `Objects.flux`. Stars get model spikes on top of any PSF, out of
        6 % of their flux.
    seed : int
    faults : Faults, optional
        None by default.
    """

    def __init__(
        self,
        frame: Frame,
        objects: Objects,
        psfs: Sequence[BandPSF],
        seed: int,
        faults: Faults | None = None,
    ) -> None:
        self.frame = frame
        self.faults = faults or Faults()
        self.psfs = tuple(psfs)
        self.seed = seed
        self.rms = tuple(pixel_rms(psf, frame.scale) for psf in psfs)
        self._x, self._y = frame.pixel(objects.xi, objects.eta)
        self._points = self._point_layer(objects, ("background_point", "gc", "member_gc", "star"))
        self._stars = self._star_layer(objects)
        self._blobs = self._blob_layer(objects)
        self._galaxies = self._galaxy_layer(objects)
        self._arcs = self._arc_layer(objects)

    def render(
        self, y_start: int, x_start: int, shape: tuple[int, int], units: float, *, blank: float
    ) -> list[NoisyTile]:
        """Return science, error and weight of every band on a window, and the noise that was planted there.

        Parameters
        ----------
        y_start, x_start : int
            First pixel.
        shape : tuple of int
            (ny, nx) of the window.
        units : float
            File units per nJy.
        blank : float
            What science and error hold where there is no data.

        Returns
        -------
        list of ((sci, err, wht), noise)
            Each of float32 and of this shape; the noise is the standard deviation of a pixel, nJy, NaN without data.
        """
        light, seen = self.light(y_start, x_start, shape)
        fixed = detector_pattern(stream_key(self.seed, "pattern", self.frame.name), y_start, x_start, shape)
        sky = self._subtracted_sky(y_start, x_start, shape)
        core = self._unflagged_cores(y_start, x_start, shape)
        tiles = []
        for n, psf in enumerate(self.psfs):
            key = stream_key(self.seed, "noise", self.frame.name, psf.band)
            depth = seen
            if self.frame.plan.depth:
                size = self.frame.nx, self.frame.ny
                depth = seen * relative_weight(self.frame.plan.depth, size, psf.band, y_start, x_start, shape)
            sci, err, wht = add_noise(light[n], depth, fixed, key, y_start, x_start, self.rms[n], units)
            noise = np.hypot(err / units, self.rms[n] * math.hypot(PATTERN_RMS, self.faults.stripes))
            if self.faults.additive:
                extra = self._additive_faults(n, y_start, x_start, shape)
                sci += (units * (extra if sky is None else extra - sky[n])).astype(np.float32)
            if core is not None:
                sci[core] = 0.0 if self.faults.cores == "zero" else units * _UNFLAGGED_CORE * self.rms[n]
            if not math.isnan(blank):
                sci[depth <= 0.0] = blank
                err[depth <= 0.0] = blank
            tiles.append(((sci, err, wht), noise.astype(np.float32)))
        return tiles

    def _additive_faults(self, n: int, y_start: int, x_start: int, shape: tuple[int, int]) -> Floats:
        """Return stripes and wisps of a band, nJy per pixel."""
        band, faults = self.psfs[n].band, self.faults
        extra = np.zeros(shape)
        if faults.stripes > 0.0:
            key = stream_key(self.seed, "stripes", self.frame.name, band)
            extra += faults.stripes * self.rms[n] * stripes(key, y_start, x_start, shape)
        if faults.wisps > 0.0:
            size = self.frame.nx, self.frame.ny
            extra += faults.wisps * self.rms[n] * wisps(band, size, y_start, x_start, shape)
        return extra

    def _subtracted_sky(self, y_start: int, x_start: int, shape: tuple[int, int]) -> Floats | None:
        """Return the light (bands, ny, nx) that a sky subtraction has taken for sky; None where there was none."""
        if self.faults.oversubtraction <= 0.0:
            return None
        sky = np.zeros((len(self.psfs), *shape))
        diffuse = self._galaxies.columns["diffuse"] > 0.0
        rows = self._galaxies.within(x_start, y_start, shape)
        self._draw_galaxies(sky, y_start, x_start, rows[diffuse[rows]])
        return sky * (1.0 + self.faults.oversubtraction)

    def _unflagged_cores(
        self, y_start: int, x_start: int, shape: tuple[int, int]
    ) -> NDArray[np.bool_] | None:
        """Return where saturated cores pass for data; None if they are flagged."""
        if self.faults.cores == "nan":
            return None
        open_sky = np.ones(shape)
        self._blank_cores(open_sky, y_start, x_start, self._stars.within(x_start, y_start, shape))
        return open_sky <= 0.0

    def light(self, y_start: int, x_start: int, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return the noiseless light (bands, ny, nx) in nJy per pixel, and the exposure, of a window."""
        light = np.zeros((len(self.psfs), *shape))
        seen = exposure(self.frame, y_start, x_start, shape)
        self._draw_smooth(light, y_start, x_start)
        blobs, points = (layer.within(x_start, y_start, shape) for layer in (self._blobs, self._points))
        stars = self._stars.within(x_start, y_start, shape)
        for n, psf in enumerate(self.psfs):
            self._draw_blobs(light[n], y_start, x_start, blobs, n)
            self._draw_points(light[n], y_start, x_start, points, n)
            self._draw_spikes(light[n], y_start, x_start, stars, psf, n)
        if self.faults.cores == "nan":
            self._blank_cores(seen, y_start, x_start, stars)
        return light, seen

    def _blank_cores(self, seen: Floats, y_start: int, x_start: int, stars: Ints) -> None:
        """Set the exposure to zero in the saturated cores of stars."""
        dead = self._stars.columns["dead"]
        render.blank_cores(
            seen, x_start, y_start, stars[dead[stars] > 0.0], self._stars.x, self._stars.y, dead
        )

    def _rows(self, objects: Objects, kinds: Sequence[str]) -> NDArray[np.bool_]:
        return np.isin(objects.kind, [KINDS.index(k) for k in kinds])

    def _point_layer(self, objects: Objects, kinds: Sequence[str]) -> _Layer:
        rows = self._rows(objects, kinds)
        # a star's spikes hold a part of its flux
        flux = (
            objects.flux[rows]
            * np.where(objects.kind[rows] == KINDS.index("star"), 1.0 - _SPIKE_SHARE, 1.0)[:, None]
        )
        columns = {}
        reach = np.zeros(len(flux))
        for n, psf in enumerate(self.psfs):
            if psf.image is None:
                here = _gaussian_reach(flux[:, n], psf.sigma, psf.weight)
            else:
                here = _image_reach(flux[:, n], psf)
                columns[f"reach_{n}"] = here
            reach = np.maximum(reach, here)
        return _Layer(self._x[rows], self._y[rows], np.ascontiguousarray(flux), reach, columns)

    def _star_layer(self, objects: Objects) -> _Layer:
        rows = self._rows(objects, ("star",))
        flux, mag = objects.flux[rows], objects.mag[rows]
        dead = np.where(mag < SATURATED, 1.6 + 1.3 * (SATURATED - mag), 0.0)
        reach = np.sqrt(flux.max(axis=1, initial=0.0) * _SPIKE_SHARE / _SPIKE_FLOOR) + 20.0
        return _Layer(self._x[rows], self._y[rows], flux, reach, {"dead": dead})

    def _blob_layer(self, objects: Objects) -> _Layer:
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
                    reach = np.maximum(reach, wide * np.sqrt(2.0 * np.log(np.maximum(peak / _FLOOR, 1.0))))
        columns = {
            "radius": radius,
            "axis_ratio": objects.axis_ratio[rows],
            "angle": self.frame.angle(objects.position_angle[rows]),
        }
        return _Layer(self._x[rows], self._y[rows], np.ascontiguousarray(flux), reach, columns)

    def _galaxy_layer(self, objects: Objects) -> _Layer:
        rows = self._rows(objects, ("bcg", "icl", "member", "field_galaxy"))
        flux = objects.flux[rows]
        radius = objects.radius[rows] / self.frame.scale
        ratio, index = objects.axis_ratio[rows], objects.index[rows]
        # `radius` is the circularised half-light radius: the ellipse's area counts
        major = radius / np.sqrt(ratio)
        peak, reach = np.empty_like(flux), np.empty(len(flux))
        # by the magnitude, not by the bands made: a band's pixels must not depend on the others
        bright = 10.0 ** (-0.4 * (objects.mag[rows] - 31.4))
        for n in range(len(flux)):
            shape = float(major[n]), float(ratio[n]), float(index[n])
            reach[n], unit = _sersic_extent(float(bright[n]), *shape)
            peak[n] = flux[n] * unit
        columns = {
            "radius": major,
            "axis_ratio": ratio,
            "angle": self.frame.angle(objects.position_angle[rows]),
            "index": index,
            "peak": peak,
            "diffuse": (objects.kind[rows] == KINDS.index("icl")).astype(np.float64),
        }
        return _Layer(self._x[rows], self._y[rows], flux, reach, columns)

    def _arc_layer(self, objects: Objects) -> _Layer:
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
        return _Layer(x0, y0, flux, radius + 5.0 * width, columns)

    def _draw_smooth(self, light: Floats, y_start: int, x_start: int) -> None:
        shape = (light.shape[1], light.shape[2])
        arcs, c = self._arcs, self._arcs.columns
        render.add_arcs(
            light,
            x_start,
            y_start,
            arcs.within(x_start, y_start, shape),
            self.frame.x0,
            self.frame.y0,
            c["peak"],
            c["radius"],
            c["angle"],
            c["half"],
            c["width"],
        )
        self._draw_galaxies(light, y_start, x_start, self._galaxies.within(x_start, y_start, shape))

    def _draw_galaxies(self, light: Floats, y_start: int, x_start: int, index: Ints) -> None:
        layer, c = self._galaxies, self._galaxies.columns
        render.add_sersics(
            light,
            x_start,
            y_start,
            index,
            layer.x,
            layer.y,
            c["peak"],
            c["radius"],
            c["axis_ratio"],
            c["angle"],
            c["index"],
            _SOFT,
            layer.reach,
        )

    def _draw_blobs(self, light: Floats, y_start: int, x_start: int, index: Ints, band: int) -> None:
        layer, c, psf = self._blobs, self._blobs.columns, self.psfs[band]
        render.add_blobs(
            light,
            x_start,
            y_start,
            index,
            layer.x,
            layer.y,
            np.ascontiguousarray(layer.flux[:, band]),
            c["radius"],
            c["axis_ratio"],
            c["angle"],
            psf.sigma,
            psf.weight,
            _FLOOR,
        )

    def _draw_points(self, light: Floats, y_start: int, x_start: int, index: Ints, band: int) -> None:
        layer, psf = self._points, self.psfs[band]
        flux = np.ascontiguousarray(layer.flux[:, band])
        if psf.image is None:
            render.add_points(
                light, x_start, y_start, index, layer.x, layer.y, flux, psf.sigma, psf.weight, _FLOOR
            )
            return
        render.add_images(
            light,
            x_start,
            y_start,
            index,
            layer.x,
            layer.y,
            flux,
            layer.columns[f"reach_{band}"],
            psf.image,
            psf.centre[0],
            psf.centre[1],
            psf.step,
        )

    def _draw_spikes(
        self, light: Floats, y_start: int, x_start: int, index: Ints, psf: BandPSF, band: int
    ) -> None:
        stretch = psf.wavelength / 1.5 * 0.03 / self.frame.scale
        long = np.radians(np.array([90.0, 30.0, 150.0, 210.0, 270.0, 330.0]))
        short = np.radians(np.array([0.0, 180.0]))  # perpendicular to the pair along y
        share = np.r_[
            np.full(6, _SPIKE_SHARE * (1.0 - _SHORT_SHARE) / 6.0),
            np.full(2, _SPIKE_SHARE * _SHORT_SHARE / 2.0),
        ]
        fade = np.r_[np.full(6, 1500.0), np.full(2, 60.0)] * stretch
        layer = self._stars
        render.add_spikes(
            light,
            x_start,
            y_start,
            index,
            layer.x,
            layer.y,
            np.ascontiguousarray(layer.flux[:, band]),
            np.r_[long, short],
            share,
            fade,
            0.9 * stretch,
            6.0 * stretch,
            _BEAD * stretch,
            _BEAD_DEPTH,
            _SPIKE_FLOOR,
        )


def _gaussian_reach(flux: Floats, sigma: Floats, weight: Floats) -> Floats:
    reach = np.zeros(len(flux))
    for s, w in zip(sigma, weight, strict=True):
        peak = flux * w / (2.0 * math.pi * s * s)
        reach = np.maximum(reach, s * np.sqrt(2.0 * np.log(np.maximum(peak / _FLOOR, 1.0))))
    return reach


def _image_reach(flux: Floats, psf: BandPSF) -> Floats:
    """Return how far, in mosaic pixels, an image PSF is above the floor, at most to its border."""
    assert psf.image is not None
    yy, xx = np.indices(psf.image.shape)
    r = np.hypot(yy - psf.centre[0], xx - psf.centre[1]) / psf.step
    radius = np.arange(0.0, r.max() + 1.0)
    # the brightest value at or beyond each radius
    highest = np.array([np.abs(psf.image[r >= q]).max(initial=0.0) for q in radius]) * psf.step**2
    above = np.searchsorted(-highest, -_FLOOR / np.maximum(flux, 1e-30))
    return np.asarray(radius[np.minimum(above, len(radius) - 1)] + 2.0)


def _sersic_extent(flux: float, major: float, ratio: float, index: float) -> tuple[float, float]:
    """Return where a softened Sersic profile falls to the floor, px, and its factor per unit flux."""
    b = 2.0 * index - 1.0 / 3.0 + 0.009876 / index
    r = np.geomspace(0.02, 60.0 * max(major, 1.0), 3000)
    profile = np.exp(-b * ((r**2 + _SOFT**2) / major**2) ** (0.5 / index))
    step = np.diff(r, prepend=0.0)
    total = 2.0 * math.pi * ratio * float((r * profile * step).sum())
    faint = np.flatnonzero(profile * flux / total < _SMOOTH_FLOOR)
    last = max(int(faint[0]) if len(faint) else len(r) - 1, 20)
    inner = slice(0, last + 1)
    kept = 2.0 * math.pi * ratio * float((r * (profile - profile[last]) * step)[inner].sum())
    return float(r[last]), 1.0 / kept
