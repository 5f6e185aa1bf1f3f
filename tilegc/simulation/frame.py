"""The pixel grid of one field, its headers, and where in it the telescope looked.

All fields of a cluster share one tangent point, the cluster centre, so that pixels and tangent-plane
offsets are related by a rotation and a shift alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from tilegc.kernels.compiled import compiled
from tilegc.simulation.presets import FieldPlan, Preset

__all__ = ["Frame", "exposure", "layout_frames"]

_TILT = math.radians(0.9)  # of the detectors against the mosaic's axes: ragged edges
_DITHERS = ((-1.0, -0.6), (-0.55, 0.9), (-0.1, -1.0), (0.3, 0.35), (0.65, -0.25), (1.0, 0.8))
_MODULE_GAP = 20.0  # least room between the modules, arcsec


@dataclass(frozen=True)
class Frame:
    """One field's pixel grid.

    Attributes
    ----------
    name : str
    nx, ny : int
        Shape in pixels.
    scale : float
        Pixel, arcsec.
    ra, dec : float
        Tangent point (the cluster centre), degrees.
    x0, y0 : float
        The tangent point's pixel, 0-based; it may lie far outside.
    rotation : float
        Position angle of the y axis, degrees east of north.
    plan : FieldPlan
    dither, gap : float
        Half width of the dither pattern and width of the detectors' gap, px.
    """

    name: str
    nx: int
    ny: int
    scale: float
    ra: float
    dec: float
    x0: float
    y0: float
    rotation: float
    plan: FieldPlan
    dither: float
    gap: float

    @property
    def pixel_sr(self) -> float:
        """The pixel's solid angle in steradian."""
        return math.radians(self.scale / 3600.0) ** 2

    def pixel(
        self, xi: NDArray[np.float64], eta: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return pixels (x, y), 0-based, of tangent-plane offsets (east, north) in arcsec."""
        sin, cos = math.sin(math.radians(self.rotation)), math.cos(math.radians(self.rotation))
        return (
            self.x0 + (-xi * cos + eta * sin) / self.scale,
            self.y0 + (xi * sin + eta * cos) / self.scale,
        )

    def plane(
        self, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return tangent-plane offsets (east, north) in arcsec of pixels: the inverse of `pixel`."""
        sin, cos = math.sin(math.radians(self.rotation)), math.cos(math.radians(self.rotation))
        dx, dy = (x - self.x0) * self.scale, (y - self.y0) * self.scale
        return -dx * cos + dy * sin, dx * sin + dy * cos

    def angle(self, position_angle: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the angle from the x axis towards y, radian, of a position angle in degrees."""
        return np.radians(90.0 + np.asarray(position_angle, np.float64) - self.rotation)

    def holds(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether pixel positions are on the frame."""
        return (x >= -0.5) & (x < self.nx - 0.5) & (y >= -0.5) & (y < self.ny - 0.5)

    def wcs_cards(self) -> list[tuple[str, object, str]]:
        """Return the cards of the celestial WCS (PC matrix and CDELT, as the JWST pipeline writes)."""
        sin, cos = math.sin(math.radians(self.rotation)), math.cos(math.radians(self.rotation))
        step = self.scale / 3600.0
        return [
            ("WCSAXES", 2, "number of World Coordinate System axes"),
            ("CRPIX1", self.x0 + 1.0, "axis 1 coordinate of the reference pixel"),
            ("CRPIX2", self.y0 + 1.0, "axis 2 coordinate of the reference pixel"),
            ("CRVAL1", self.ra, "first axis value at the reference pixel"),
            ("CRVAL2", self.dec, "second axis value at the reference pixel"),
            ("CTYPE1", "RA---TAN", "first axis coordinate type"),
            ("CTYPE2", "DEC--TAN", "second axis coordinate type"),
            ("CUNIT1", "deg", "first axis units"),
            ("CUNIT2", "deg", "second axis units"),
            ("CDELT1", step, "first axis increment per pixel"),
            ("CDELT2", step, "second axis increment per pixel"),
            ("PC1_1", -cos, "linear transformation matrix element"),
            ("PC1_2", sin, "linear transformation matrix element"),
            ("PC2_1", sin, "linear transformation matrix element"),
            ("PC2_2", cos, "linear transformation matrix element"),
            ("RADESYS", "ICRS", "Equatorial coordinate system"),
        ]

    def wcs(self) -> WCS:
        """Return the frame's WCS."""
        return WCS(fits.Header(fits.Card(*card) for card in self.wcs_cards()))


def layout_frames(preset: Preset, sizes: tuple[tuple[int, int], ...] | None = None) -> tuple[Frame, ...]:
    """Return the frames of a preset's fields.

    Parameters
    ----------
    preset : Preset
    sizes : tuple of (nx, ny), optional
        Instead of the preset's. Modules too large for the preset's separation move apart.
    """
    if sizes is None:
        sizes = tuple((plan.size, plan.size) for plan in preset.fields)
    reach = 0.5 * sum(nx for nx, _ in sizes) * preset.scale + _MODULE_GAP
    separation = preset.separation if len(sizes) < 2 else max(preset.separation, reach)
    frames = []
    for plan, (nx, ny) in zip(preset.fields, sizes, strict=True):
        if plan.cluster is not None:
            x0, y0 = round(plan.cluster[0] * nx) - 0.5, round(plan.cluster[1] * ny) - 0.5
        else:
            x0, y0 = round(0.5 * nx - separation / preset.scale) - 0.5, round(0.5 * ny) - 0.5
        frames.append(
            Frame(
                name=plan.name,
                nx=nx,
                ny=ny,
                scale=preset.scale,
                ra=preset.ra,
                dec=preset.dec,
                x0=x0,
                y0=y0,
                rotation=preset.rotation,
                plan=plan,
                dither=preset.dither,
                gap=preset.gap,
            )
        )
    return tuple(frames)


@compiled
def exposure_kernel(
    out: NDArray[np.float64],
    x_start: int,
    y_start: int,
    centre: tuple[float, float],
    half: tuple[float, float],
    tilt: tuple[float, float],
    shifts: NDArray[np.float64],
    gap: tuple[float, float, float],
    holes: NDArray[np.float64],
) -> None:
    """Fill the share of the dithers that saw each pixel; see `exposure`."""
    ny, nx = out.shape
    for j in range(ny):
        for i in range(nx):
            dx, dy = float(x_start + i) - centre[0], float(y_start + j) - centre[1]
            u, v = dx * tilt[0] + dy * tilt[1], dy * tilt[0] - dx * tilt[1]
            seen = 0
            for k in range(len(shifts)):
                a, b = u - shifts[k, 0], v - shifts[k, 1]
                if abs(a) > half[0] or abs(b) > half[1]:
                    continue
                if abs(a - gap[0]) < gap[2] or abs(b - gap[1]) < gap[2]:
                    continue
                seen += 1
            for k in range(len(holes)):
                if holes[k, 0] <= u < holes[k, 2] and holes[k, 1] <= v < holes[k, 3]:
                    seen = 0
            out[j, i] = seen / len(shifts)


def exposure(frame: Frame, y_start: int, x_start: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the share of the exposures that saw each pixel of a window, 0 where there is no data.

    A detector block slightly larger than the frame, a little tilted and dithered six times: ragged
    edges, shallower along the gaps between detectors, a notch and a strip that no dither filled.
    """
    out = np.empty(shape)
    nx, ny, plan = frame.nx, frame.ny, frame.plan
    inset = 0.8 * frame.dither
    holes = np.array(
        [((a - 0.5) * nx, (b - 0.5) * ny, (c - 0.5) * nx, (d - 0.5) * ny) for a, b, c, d in plan.holes]
    )
    exposure_kernel(
        out,
        x_start,
        y_start,
        (0.5 * nx - 0.5, 0.5 * ny - 0.5),
        (0.5 * nx - inset, 0.5 * ny - inset),
        (math.cos(_TILT), math.sin(_TILT)),
        np.array(_DITHERS) * frame.dither,
        ((plan.gap_at[0] - 0.5) * nx, (plan.gap_at[1] - 0.5) * ny, 0.5 * frame.gap),
        holes.reshape(-1, 4),
    )
    return out
