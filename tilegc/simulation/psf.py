"""Point-spread functions of the simulator: optical, round, or an image from a FITS file.

The optical one comes from `tilegc.simulation.optical`. The round one is the sum of Gaussians of
`tilegc.kernels.psf_model`: it has no rings, and its stars get their spikes in `render`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
from astropy.io import fits
from numpy.typing import NDArray

from tilegc.errors import InputError
from tilegc.kernels.psf_model import WAVELENGTH, gaussians
from tilegc.simulation.optical import SAMPLES, OpticalTables, optical_tables

__all__ = ["MODELS", "WAVELENGTH", "BandPSF", "analytic_psf", "model_psf", "optical_psf", "read_psf"]

MODELS = ("optical", "round")
"""PSF models that need no file."""


@dataclass(frozen=True)
class BandPSF:
    """The point-spread function of one band on a mosaic's pixels.

    Attributes
    ----------
    band : str
    wavelength : float
        Micron; spikes scale with it.
    sigma, weight : ndarray of float64
        The Gaussians: widths in mosaic pixels and shares of the flux, which add to 1. Extended
        objects are always convolved with these.
    image : ndarray of float64, shape (n, n), or None
        The image, if the PSF came from a file, normalised to the sum 1.
    centre : tuple of float
        Its centroid (y, x), px of the image.
    step : float
        Pixels of the image per mosaic pixel.
    tables : OpticalTables or None
        The optical PSF; the Gaussians stand for it only where nothing finer is needed.
    """

    band: str
    wavelength: float
    sigma: NDArray[np.float64]
    weight: NDArray[np.float64]
    image: NDArray[np.float64] | None = None
    centre: tuple[float, float] = (0.0, 0.0)
    step: float = 1.0
    tables: OpticalTables | None = None

    def encircled_energy(self, radius: float) -> float:
        """Return the share of the flux within `radius` mosaic pixels of the centre."""
        if self.tables is not None:
            middle, reach = self.tables.middle * SAMPLES, math.ceil(radius * SAMPLES) + 2
            first = max(middle - reach, 0)
            near = self.tables.image[first : middle + reach + 1, first : middle + reach + 1]
            return _energy_within(near / SAMPLES**2, (float(middle - first),) * 2, radius * SAMPLES)
        if self.image is None:
            return float(np.sum(self.weight * -np.expm1(-(radius**2) / (2.0 * self.sigma**2))))
        return _energy_within(self.image, self.centre, radius * self.step)


def analytic_psf(band: str, scale: float) -> BandPSF:
    """Return the analytic PSF of a band for pixels of `scale` arcsec."""
    sigma, weight = gaussians(band)
    return BandPSF(band, WAVELENGTH[band], sigma / scale, weight)


def optical_psf(band: str, scale: float, turn: float = 0.0) -> BandPSF:
    """Return the optical PSF of a band for pixels of `scale` arcsec, the telescope turned by `turn` degrees."""
    sigma, weight = gaussians(band)
    tables = optical_tables(band, scale, turn)
    return BandPSF(band, WAVELENGTH[band], sigma / scale, weight, tables=tables)


def model_psf(model: str, band: str, scale: float, turn: float = 0.0) -> BandPSF:
    """Return the PSF of a band by one of `MODELS`."""
    return optical_psf(band, scale, turn) if model == "optical" else analytic_psf(band, scale)


def read_psf(band: str, path: str | Path, scale: float) -> BandPSF:
    """Read the PSF of a band from a FITS image.

    The image is normalised to the sum 1 and recentred by its centroid: files carry sums such as
    0.97 or 15.6, and centres half a pixel beside the middle. It is taken to hold all the light,
    however small it is.

    Parameters
    ----------
    band : str
    path : path
        The first two-dimensional image in the file is taken.
    scale : float
        Pixel of the mosaic, arcsec.

    Raises
    ------
    InputError
        If the file is absent, is not FITS, holds no image, or does not say its pixel scale.
    """
    where = Path(path)
    try:
        with fits.open(where, memmap=False) as hdus:
            for hdu in hdus:
                if getattr(hdu, "data", None) is not None and np.ndim(hdu.data) == 2:
                    header, image = hdu.header, np.asarray(hdu.data, np.float64)
                    break
            else:
                raise InputError(f"psf {band}: {where} contains no two-dimensional image; give a FITS image")
    except FileNotFoundError:
        raise InputError(f"psf {band}: {where} does not exist; check the path") from None
    except OSError as error:
        raise InputError(f"psf {band}: {where} cannot be read as FITS ({_line(error)})") from None
    image = np.where(np.isfinite(image), image, 0.0)
    if image.sum() <= 0.0 or min(image.shape) < 5:
        raise InputError(
            f"psf {band}: {where} contains no flux or is smaller than 5 x 5 px; give a PSF image"
        )
    own = next((float(header[k]) for k in ("PIXSCL", "PIXELSCL", "PIXSCALE") if k in header), None)
    if own is None or not 0.0 < own < 1.0:
        raise InputError(
            f"psf {band}: {where} does not give its pixel scale; add PIXELSCL (arcsec) to its header"
        )
    image = image / image.sum()
    centre = _centroid(image)
    step = scale / own
    sigma, weight = _as_gaussians(image, centre, step)
    return BandPSF(band, WAVELENGTH[band], sigma, weight, image, centre, step)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _centroid(image: NDArray[np.float64]) -> tuple[float, float]:
    """Return the centroid of the light within 5 px of the peak, iterated, as (y, x)."""
    yy, xx = np.indices(image.shape, dtype=np.float64)
    cy, cx = (float(v) for v in np.unravel_index(int(np.argmax(image)), image.shape))
    for _ in range(20):
        near = np.where((yy - cy) ** 2 + (xx - cx) ** 2 <= 25.0, image.clip(0.0), 0.0)
        cy, cx = float((near * yy).sum() / near.sum()), float((near * xx).sum() / near.sum())
    return cy, cx


def _energy_within(image: NDArray[np.float64], centre: tuple[float, float], radius: float) -> float:
    """Return the sum within a circle, each pixel cut into 9 x 9 parts."""
    offset = (np.arange(9) - 4.0) / 9.0
    y = np.arange(image.shape[0])[:, None] + offset - centre[0]
    x = np.arange(image.shape[1])[:, None] + offset - centre[1]
    inside = (y[:, None, :, None] ** 2 + x[None, :, None, :] ** 2) <= radius**2
    return float((image * inside.mean(axis=(2, 3))).sum())


def _as_gaussians(
    image: NDArray[np.float64], centre: tuple[float, float], step: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Gaussians (mosaic px) whose encircled energies fit those of the image."""
    largest = min(image.shape) / 2.0 / step
    radius = np.geomspace(0.7, largest, 24)
    energy = np.array([_energy_within(image, centre, float(r * step)) for r in radius])
    sigma = np.geomspace(0.6, max(0.6, largest / 3.0), 8)
    design = -np.expm1(-(radius[:, None] ** 2) / (2.0 * sigma**2))
    design = np.vstack([design, np.full(sigma.size, 30.0)])
    weight, _ = scipy.optimize.nnls(design, np.append(energy, 30.0))
    keep = weight > 1e-6
    return sigma[keep], weight[keep] / weight[keep].sum()
