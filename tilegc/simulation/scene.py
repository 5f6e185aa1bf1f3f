"""One field ready to be drawn: objects on its pixels, and the light of any window of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tilegc.simulation import render, render_optical
from tilegc.simulation.depth import relative_weight
from tilegc.simulation.deviates import stream_key
from tilegc.simulation.faults import Faults, stripes, wisps
from tilegc.simulation.frame import Frame, exposure
from tilegc.simulation.layers import FLOOR, SOFT, SPIKE_FLOOR, SPIKE_SHARE, Layer, Layers
from tilegc.simulation.noise import DEPTH, PATTERN_RMS, add_noise, detector_pattern, pixel_rms
from tilegc.simulation.objects import Objects
from tilegc.simulation.optical import FarLight, OpticalTables
from tilegc.simulation.psf import BandPSF
from tilegc.simulation.render_optical import DiskStamps

__all__ = ["NoisyTile", "Scene", "TilePixels"]

_SHORT_SHARE = 0.12  # of the light in the spikes of round PSFs, in the two short ones together
_BEAD = 14.0  # px at 1.5 micron and 30 mas
_BEAD_DEPTH = 0.7

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
TilePixels = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
NoisyTile = tuple[TilePixels, NDArray[np.float32]]

_UNFLAGGED_CORE = -20.0  # value of saturated cores with `cores: negative`, in units of the noise


class Scene:
    """One field's objects on its pixels.

    Parameters
    ----------
    frame : Frame
    objects : Objects
    psfs : sequence of BandPSF
        One per band, in the order of `Objects.flux`. Stars get model spikes, out of 6 % of their flux, where the
        PSF is not an optical one.
    seed : int
    faults : Faults, optional
        None by default.
    depth : float
        AB magnitude of a point source at 5 sigma in every band.
    """

    def __init__(
        self,
        frame: Frame,
        objects: Objects,
        psfs: Sequence[BandPSF],
        seed: int,
        faults: Faults | None = None,
        depth: float = DEPTH,
    ) -> None:
        self.frame = frame
        self.faults = faults or Faults()
        self.psfs = tuple(psfs)
        self.seed = seed
        self.rms = tuple(pixel_rms(psf, frame.scale, depth) for psf in psfs)
        self._layers = Layers(frame, objects, psfs)
        self._disks = [None if psf.tables is None else DiskStamps(psf.tables.image) for psf in psfs]

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
        diffuse = self._layers.galaxies.columns["diffuse"] > 0.0
        rows = self._layers.galaxies.within(x_start, y_start, shape)
        self._draw_galaxies(sky, y_start, x_start, rows[diffuse[rows]])
        return sky * (1.0 + self.faults.oversubtraction)

    def _unflagged_cores(
        self, y_start: int, x_start: int, shape: tuple[int, int]
    ) -> NDArray[np.bool_] | None:
        """Return where saturated cores pass for data; None if they are flagged."""
        if self.faults.cores == "nan":
            return None
        open_sky = np.ones(shape)
        self._blank_cores(open_sky, y_start, x_start, self._layers.stars.within(x_start, y_start, shape))
        return open_sky <= 0.0

    def light(self, y_start: int, x_start: int, shape: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return the noiseless light (bands, ny, nx) in nJy per pixel, and the exposure, of a window."""
        light = np.zeros((len(self.psfs), *shape))
        seen = exposure(self.frame, y_start, x_start, shape)
        self._draw_smooth(light, y_start, x_start)
        layers = self._layers
        disks, points, stars, cusps = (
            layer.within(x_start, y_start, shape)
            for layer in (layers.disks, layers.points, layers.stars, layers.cusps)
        )
        if any(stamps is not None for stamps in self._disks):
            self._draw_sharp_disks(light, y_start, x_start, disks)
        for n, psf in enumerate(self.psfs):
            if psf.tables is None:
                self._draw_round_disks(light[n], y_start, x_start, disks, n)
                self._draw_points(light[n], y_start, x_start, points, n)
                self._draw_spikes(light[n], y_start, x_start, stars, psf, n)
            else:
                self._draw_optical(light[n], y_start, x_start, layers.points, points, psf.tables, n)
                self._draw_optical(light[n], y_start, x_start, layers.cusps, cusps, psf.tables, n)
                self._draw_far_light(light[n], y_start, x_start, stars, psf.tables.far, n)
        if self.faults.cores == "nan":
            self._blank_cores(seen, y_start, x_start, stars)
        return light, seen

    def _blank_cores(self, seen: Floats, y_start: int, x_start: int, stars: Ints) -> None:
        """Set the exposure to zero in the saturated cores of stars."""
        dead = self._layers.stars.columns["dead"]
        render.blank_cores(
            seen, x_start, y_start, stars[dead[stars] > 0.0], self._layers.stars.x, self._layers.stars.y, dead
        )

    def _draw_smooth(self, light: Floats, y_start: int, x_start: int) -> None:
        shape = (light.shape[1], light.shape[2])
        arcs, c = self._layers.arcs, self._layers.arcs.columns
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
        self._draw_galaxies(light, y_start, x_start, self._layers.galaxies.within(x_start, y_start, shape))

    def _draw_galaxies(self, light: Floats, y_start: int, x_start: int, index: Ints) -> None:
        layer, c = self._layers.galaxies, self._layers.galaxies.columns
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
            SOFT,
            layer.reach,
        )

    def _draw_round_disks(self, light: Floats, y_start: int, x_start: int, index: Ints, band: int) -> None:
        layer, c, psf = self._layers.disks, self._layers.disks.columns, self.psfs[band]
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
            FLOOR,
        )

    def _draw_points(self, light: Floats, y_start: int, x_start: int, index: Ints, band: int) -> None:
        layer, psf = self._layers.points, self.psfs[band]
        flux = np.ascontiguousarray(layer.flux[:, band])
        if psf.image is None:
            render.add_points(
                light, x_start, y_start, index, layer.x, layer.y, flux, psf.sigma, psf.weight, FLOOR
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

    def _draw_optical(
        self,
        light: Floats,
        y_start: int,
        x_start: int,
        layer: Layer,
        index: Ints,
        tables: OpticalTables,
        band: int,
    ) -> None:
        """Draw points of a layer with an optical PSF."""
        c = layer.columns
        render_optical.add_tables(
            light,
            x_start,
            y_start,
            index,
            layer.x,
            layer.y,
            np.ascontiguousarray(layer.flux[:, band]),
            c[f"reach_{band}"],
            c["core"],
            c["field_x"],
            c["field_y"],
            tables.phases,
        )

    def _draw_far_light(
        self, light: Floats, y_start: int, x_start: int, index: Ints, far: FarLight, band: int
    ) -> None:
        layer = self._layers.stars
        flux = np.ascontiguousarray(layer.flux[:, band])
        where = light, x_start, y_start, index, layer.x, layer.y, flux, far.start, far.full
        render_optical.add_halos(*where, far.halo, SPIKE_FLOOR)
        render_optical.add_far_spikes(*where, far.spike, far.width, far.direction, far.bead, SPIKE_FLOOR)

    def _draw_sharp_disks(self, light: Floats, y_start: int, x_start: int, index: Ints) -> None:
        """Draw small disks with the optical PSFs of all bands that have one."""
        layer, c = self._layers.disks, self._layers.disks.columns
        for row in index:
            side = int(c["side"][row])
            x, y = float(layer.x[row]), float(layer.y[row])
            shape = float(c["radius"][row]), float(c["axis_ratio"][row]), float(c["angle"][row])
            spectrum = DiskStamps.spectrum(side, *shape)
            for n, stamps in enumerate(self._disks):
                if stamps is not None:
                    x0, y0, stamp = stamps.stamp(side, spectrum, x, y)
                    render_optical.add_stamp(light[n], x_start, y_start, x0, y0, stamp * layer.flux[row, n])

    def _draw_spikes(
        self, light: Floats, y_start: int, x_start: int, index: Ints, psf: BandPSF, band: int
    ) -> None:
        stretch = psf.wavelength / 1.5 * 0.03 / self.frame.scale
        long = np.radians(np.array([90.0, 30.0, 150.0, 210.0, 270.0, 330.0]))
        short = np.radians(np.array([0.0, 180.0]))  # perpendicular to the pair along y
        share = np.r_[
            np.full(6, SPIKE_SHARE * (1.0 - _SHORT_SHARE) / 6.0),
            np.full(2, SPIKE_SHARE * _SHORT_SHARE / 2.0),
        ]
        fade = np.r_[np.full(6, 1500.0), np.full(2, 60.0)] * stretch
        layer = self._layers.stars
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
            SPIKE_FLOOR,
        )
