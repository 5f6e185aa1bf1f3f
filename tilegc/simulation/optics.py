"""Diffraction by the segmented mirror of JWST: the pattern of a point source in one band.

The pupil is 18 hexagons with gaps between them, crossed by the three struts of the secondary mirror. Its wavefront
error is a random piston, tip, tilt, focus and astigmatism of every segment and a random figure across each, plus
aberrations of the whole aperture that grow linearly with the angle from the middle of the field. The intensity is the
squared modulus of the pupil's Fourier transform, averaged over wavelengths of the band. The pupil is drawn anew at
each wavelength, on the grid on which the transform comes out at the same angles for all of them.

Dimensions are those of the observatory (segments of 1.32 m from flat to flat, 7 mm apart); the wavefront error is an
assumption: size and seed were chosen so that encircled energies are within 0.02 of those that STScI publishes, from
0.1 arcsec outwards, in the four bands.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["BANDPASS", "diffraction", "wavefront"]

BANDPASS: Final[Mapping[str, tuple[float, float]]] = {
    "F090W": (0.795, 1.005),
    "F115W": (1.013, 1.282),
    "F150W": (1.331, 1.668),
    "F200W": (1.755, 2.227),
}
"""First and last wavelength, micron, at half of the peak transmission."""

FLAT = 1.32  # m, a segment from flat to flat
GAP = 0.007  # m, between neighbouring segments
STRUT = 0.11  # m, width of the struts' shadow
STRUTS = (90.0, 240.0, 300.0)  # degrees from the x axis of the pupil; two diffract along the long spikes
EDGES = (30.0, 90.0, 150.0)  # degrees, normals of a segment's edges: directions of the long spikes

WAVEFRONT = 60.0
"""Rms of the wavefront error of the segments, nm."""
FIGURE = 32.0
"""Rms of ripples on the mirrors, nm: they scatter light into a halo of some tenths of an arcsec."""
FIGURE_FREQUENCIES = (1.0, 3.0)
"""Lowest and highest frequency of the ripples, cycles per m."""
FIELD_WAVEFRONT = 25.0
"""Rms of what is added at the edge of the field, nm."""

_RIPPLES = 48
_SEGMENT_RADIUS = 0.5 * FLAT * 1.0501  # m, of the circle of a segment's area
_MODES = 6  # a segment's: piston, tip, tilt, focus, two of astigmatism
_WAVES = 5
_MICRO = 1e-6
_ARCSEC = math.pi / 180.0 / 3600.0

Floats = NDArray[np.float64]


def segment_centres() -> Floats:
    """Return the centres (x, y) of the 18 segments, m; the middle of the aperture is open."""
    pitch = FLAT + GAP
    a, b = (pitch * np.array([math.cos(math.radians(t)), math.sin(math.radians(t))]) for t in (30.0, 90.0))
    places = [
        i * a + j * b for i in range(-2, 3) for j in range(-2, 3) if abs(i + j) <= 2 and (i, j) != (0, 0)
    ]
    return np.array(places)


@dataclass(frozen=True, eq=False)
class Wavefront:
    """A wavefront error.

    Attributes
    ----------
    segments : ndarray of float64, shape (18, modes)
        Coefficients of the segments' errors, nm.
    waves : ndarray of float64, shape (n, 4)
        Ripples of the mirrors' figure: frequency along x and y (cycles per m), phase, amplitude (nm).
    """

    segments: Floats
    waves: Floats


def wavefront(seed: int) -> Wavefront:
    """Return a random wavefront error with rms `WAVEFRONT` of the segments and `FIGURE` of ripples."""
    draw = np.random.Generator(np.random.PCG64(seed))
    coefficients = draw.normal(size=(18, _MODES))
    # modes are of unit rms on a segment; piston and focus are controlled less well than tilts
    coefficients *= np.array([1.0, 0.7, 0.7, 0.6, 0.6, 0.6])
    coefficients[:, 0] -= coefficients[:, 0].mean()
    coefficients *= WAVEFRONT / math.sqrt((coefficients**2).sum() / 18.0)
    low, high = FIGURE_FREQUENCIES
    # equal power in equal steps of log frequency
    frequency = low * (high / low) ** ((np.arange(_RIPPLES) + draw.uniform(size=_RIPPLES)) / _RIPPLES)
    angle, phase = 2.0 * math.pi * draw.uniform(size=(2, _RIPPLES))
    amplitude = np.full(_RIPPLES, FIGURE * math.sqrt(2.0 / _RIPPLES))
    waves = np.column_stack([frequency * np.cos(angle), frequency * np.sin(angle), phase, amplitude])
    return Wavefront(coefficients, waves)


def _pupil(x: Floats, errors: Wavefront, field: tuple[float, float], turn: float) -> tuple[Floats, Floats]:
    """Return transmission and wavefront error (nm) on the grid of points (x, x), turned by `turn` degrees."""
    step = x[1] - x[0]
    amplitude = np.zeros((len(x), len(x)))
    error = np.zeros_like(amplitude)
    half = 0.5 * FLAT
    tc, ts = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    edges = [_direction(t + turn) for t in EDGES]
    for (sx, sy), c in zip(segment_centres(), errors.segments, strict=True):
        cx, cy = tc * sx - ts * sy, ts * sx + tc * sy
        rows, columns = (_window(x, centre, 1.16 * half + step) for centre in (cy, cx))
        u, v = (x[columns] - cx)[None, :], (x[rows] - cy)[:, None]
        cover = np.ones((v.size, u.size))
        for cos, sin in edges:
            # the share of a cell inside an edge: a coarse grid then has the mirror's area, too
            cover *= np.clip(0.5 + (half - np.abs(cos * u + sin * v)) / step, 0.0, 1.0)
        figure = _segment_figure(c, (tc * u + ts * v) / _SEGMENT_RADIUS, (tc * v - ts * u) / _SEGMENT_RADIUS)
        amplitude[rows, columns] += cover
        error[rows, columns] += np.where(cover > 0.0, figure, 0.0)
    for cos, sin in (_direction(t + turn) for t in STRUTS):
        along, across = cos * x[None, :] + sin * x[:, None], cos * x[:, None] - sin * x[None, :]
        shadow = np.clip(0.5 + (0.5 * STRUT - np.abs(across)) / step, 0.0, 1.0)
        amplitude *= 1.0 - np.where(along > 0.0, shadow, 0.0)
    error += _ripples(x, errors.waves, (tc, ts))
    if field != (0.0, 0.0):
        p, q = (tc * x[None, :] + ts * x[:, None]) / 3.0, (tc * x[:, None] - ts * x[None, :]) / 3.0
        coma = math.sqrt(8.0) * (3.0 * (p * p + q * q) - 2.0)
        astigmatism = math.sqrt(6.0)
        error += (FIELD_WAVEFRONT / math.sqrt(2.0)) * (
            field[0] * (coma * p + astigmatism * (p * p - q * q))
            + field[1] * (coma * q + 2.0 * astigmatism * p * q)
        )
    return amplitude, error


def _direction(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def _window(x: Floats, centre: float, reach: float) -> slice:
    """Return the part of a grid within `reach` of a place."""
    first, last = np.searchsorted(x, (centre - reach, centre + reach))
    return slice(int(first), int(last))


def _segment_figure(c: Floats, p: Floats, q: Floats) -> Floats:
    """Return the sum of a segment's modes at (p, q), in units of its radius."""
    r2 = p * p + q * q
    astigmatism = c[4] * (p * p - q * q) + 2.0 * c[5] * p * q
    return np.asarray(
        c[0]
        + 2.0 * (c[1] * p + c[2] * q)
        + math.sqrt(3.0) * c[3] * (2.0 * r2 - 1.0)
        + math.sqrt(6.0) * astigmatism
    )


def _ripples(x: Floats, waves: Floats, turned: tuple[float, float]) -> Floats:
    """Return the sum of plane waves on a grid, nm."""
    kx, ky, phase, height = waves.T
    fx, fy = turned[0] * kx - turned[1] * ky, turned[1] * kx + turned[0] * ky
    along_x = np.exp(2j * math.pi * fx[:, None] * x)
    along_y = (height * np.exp(1j * phase))[:, None] * np.exp(2j * math.pi * fy[:, None] * x)
    # einsum and not a matrix product, whose last bits may depend on the number of threads
    return np.asarray(np.einsum("kj,ki->ji", along_y, along_x).real)


def monochromatic(
    wavelength: float,
    errors: Wavefront,
    *,
    step: float,
    size: int,
    field: tuple[float, float] = (0.0, 0.0),
    turn: float = 0.0,
) -> Floats:
    """Return the intensity at one wavelength.

    Parameters
    ----------
    wavelength : float
        Micron.
    errors : Wavefront
    step : float
        Spacing of the result, arcsec.
    size : int
        Its side, px; even.
    field : tuple of float
        Place in the field (x, y), from -1 to 1.
    turn : float
        Angle by which the telescope is turned against the mosaic's axes, degrees from x towards y.

    Returns
    -------
    ndarray of float64, shape (size, size)
        Sum 1; the source is at the pixel (size / 2, size / 2).
    """
    metres = wavelength * _MICRO / (size * step * _ARCSEC)
    half = min(size // 2, math.ceil(3.4 / metres) + 1)
    x = np.asarray(metres * np.arange(-half, half), np.float64)
    amplitude, error = _pupil(x, errors, field, turn)
    phase = (2.0 * math.pi / (wavelength * 1e3)) * error
    wave = np.zeros((2 * half, size), np.complex64)
    wave[:, : 2 * half] = amplitude * np.exp(1j * phase)
    # rows that hold no mirror stay zero: the first transform leaves them out
    rows = scipy.fft.fft(wave, axis=1)
    whole = np.zeros((size, size), np.complex64)
    whole[: 2 * half] = rows
    transform = scipy.fft.fft(whole, axis=0, overwrite_x=True)
    intensity = transform.real.astype(np.float64) ** 2 + transform.imag.astype(np.float64) ** 2
    return np.asarray(np.fft.fftshift(intensity / intensity.sum()))


def diffraction(
    band: str, errors: Wavefront, *, step: float, size: int, turn: float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Return the pattern of a point source in a band, and how it changes across the field.

    Parameters
    ----------
    band : str
        Of `BANDPASS`.
    errors : Wavefront
    step, size, turn
        As in `monochromatic`.

    Returns
    -------
    centre, along_x, along_y : ndarray of float64, shape (size, size)
        The intensity in the middle of the field, sum 1, and its change from there to the edge at x = 1 or y = 1,
        sum 0: to first order the intensity at (x, y) is ``centre + x along_x + y along_y``.
    """
    first, last = BANDPASS[band]
    edges = np.linspace(first, last, 2 * _WAVES + 1)
    centre: Floats = np.zeros((size, size))
    for wavelength in edges[1::2]:
        centre += monochromatic(wavelength, errors, step=step, size=size, turn=turn) / _WAVES
    # the change is small and smooth in wavelength: the middle of the band is enough
    middle = 0.5 * (first + last)
    still, *moved = (
        monochromatic(middle, errors, step=step, size=size, turn=turn, field=field)
        for field in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    )
    return centre, moved[0] - still, moved[1] - still
