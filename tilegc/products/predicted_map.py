"""A predicted map of kappa, and its FITS file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from tilegc.io.atomic import write_bytes

__all__ = ["Prediction"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted map of kappa; arrays are (eta, xi) on the sky grid of the run, with xi to the east.

    Examples
    --------
    >>> found = tilegc.predict("run-run", "other-run", resolution=6.0)
    >>> found.source_redshift, found.method in {"likelihood", "boxes"}
    (3.0, True)
    """

    kappa: np.ndarray
    """Convergence for `source_redshift`; NaN where nothing was observed."""
    error: np.ndarray
    """Standard error from counting, multiplied by `scatter`, and from the covariance of the law."""
    scatter: float
    """Root mean square of the residuals of the calibration over their errors, at least 1. It accounts for clustering,
    smoothing and errors of the lens model."""
    law_error: np.ndarray
    """The part of the error that is due to the law."""
    n: np.ndarray
    """Smoothed density of sources above the common limit, per arcsec^2."""
    extrapolated: np.ndarray
    """Where n lies outside the range of the calibration, bool."""
    wcs: WCS
    """WCS of the arrays."""
    source_redshift: float
    """Source redshift of kappa."""
    scaling: float
    """D_LS/D_S for this source redshift and the predicted cluster."""
    method: str
    """Fit from which the law was taken: likelihood or boxes."""
    warnings: tuple[str, ...]
    """What makes the prediction doubtful."""
    wrong: tuple[str, ...] = ()
    """Warnings that the law does not apply to this run; without `extrapolate` they are errors."""

    def write(self, path: str | Path) -> Path:
        """Write kappa, its errors, n and the extrapolated cells as one FITS file, with east to the left."""
        header = self.wcs.to_header()
        for key in ("DATE-OBS", "MJD-OBS", "MJDREF", "DATE"):
            header.remove(key, ignore_missing=True)
        width = self.kappa.shape[1]
        header["CRPIX1"] = width + 1 - float(self.wcs.wcs.crpix[0])
        header["CDELT1"] = -float(self.wcs.wcs.cdelt[0])
        told: dict[str, tuple[Any, str]] = {
            "ZSOURCE": (self.source_redshift, "source redshift of kappa"),
            "DLSDS": (self.scaling, "D_LS/D_S for this source redshift"),
            "LAW": (self.method, "how the calibration was fitted"),
            "SCATTER": (self.scatter, "factor applied to counting errors"),
            "LAWFITS": (not self.wrong, "F: the law does not apply, see COMMENT"),
        }
        planes = (
            ("KAPPA", self.kappa, "convergence predicted from counts"),
            ("ERROR", self.error, "error of kappa: counting and law"),
            ("LAWERR", self.law_error, "part of the error due to the law"),
            ("DENSITY", self.n, "smoothed density of sources, arcsec-2"),
            ("EXTRAPOL", self.extrapolated.astype(np.uint8), "1 outside the range of the calibration"),
        )
        hdus = fits.HDUList()
        for name, values, meaning in planes:
            kind = fits.PrimaryHDU if not len(hdus) else fits.ImageHDU
            data = values[:, ::-1] if values.dtype == np.uint8 else values[:, ::-1].astype(">f4")
            hdu = kind(np.ascontiguousarray(data), header)
            hdu.header["EXTNAME"] = (name, meaning)
            for key, card in told.items():
                hdu.header[key] = card
            for reason in self.wrong:
                hdu.header.add_comment(f"Wrong with this prediction: {_ascii(reason)}")
            hdus.append(hdu)
        content = io.BytesIO()
        hdus.writeto(content)
        write_bytes(Path(path), content.getvalue())
        return Path(path)


def _ascii(text: str) -> str:
    """Return text without the characters that FITS headers do not allow."""
    return text.encode("ascii", errors="replace").decode()
