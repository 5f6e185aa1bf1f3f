"""Images without their sources: the model of the photometry is drawn again from the products of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.images.psfs import BandPsf
from tilegc.io.hdus import open_bytes
from tilegc.io.psf import read_psf
from tilegc.kernels.psf import NativePsf, Psf
from tilegc.photometry.residual import light
from tilegc.photometry.spline_psf import SplinePsf
from tilegc.photometry.stamps import splines
from tilegc.run_folder.layout import psf_name
from tilegc.sky import pixel_scale

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["Model", "model_of"]


@dataclass(frozen=True)
class Model:
    """All fitted sources of a field, or those near a window: positions, fluxes, and the PSF of every band."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    """Pixels of the field."""
    flux: NDArray[np.float64]
    """nJy, (bands, n)."""
    bands: tuple[str, ...]
    psfs: tuple[SplinePsf, ...]

    def near(self, box: Box) -> Model:
        """Return the sources whose stamps reach a window."""
        wide = box.grow(1 + max(psf.radius for psf in self.psfs))
        rows = (self.y >= wide.y0) & (self.y < wide.y1) & (self.x >= wide.x0) & (self.x < wide.x1)
        return replace(self, y=self.y[rows], x=self.x[rows], flux=self.flux[:, rows])

    def light(self, band: str, box: Box) -> NDArray[np.float64]:
        """Return the light of all sources in a window of one band, nJy per pixel."""
        number, near = self.bands.index(band), self.near(box)
        return light(box.shape, near.y - box.y0, near.x - box.x0, near.flux[number], self.psfs[number])


def model_of(run: Run, field: str) -> Model | None:
    """Return the model of a field as its photometry found it; None without photometry or without its PSFs.

    Parameters
    ----------
    run : Run
    field : str
        Name of the field.
    """
    described = next(one for one in run.config.fields if one.name == field)
    candidates = run.candidates
    names = [name.removeprefix("psf/").removeprefix(f"{field}_") for name in _psf_files(run, field)]
    bands = tuple(name for name in names if f"flux_{name}" in candidates.colnames)
    if not bands:
        return None
    scale = pixel_scale(run.wcs(field))
    psfs = splines(tuple(_psf(run, field, band, described.bands, scale) for band in bands), scale)
    rows = np.asarray(candidates["field"]).astype(str) == field
    y, x = (_plain(candidates[axis])[rows] for axis in ("y", "x"))
    flux = np.array([_plain(candidates[f"flux_{band}"])[rows] for band in bands])
    good = np.isfinite(y) & np.isfinite(x)
    return Model(y[good], x[good], np.nan_to_num(flux[:, good]), bands, psfs)


def _psf_files(run: Run, field: str) -> list[str]:
    folder = run.path / psf_name(field, "x").rpartition("/")[0]
    paths = folder.glob(f"{field}_*.fits") if folder.is_dir() else ()
    return sorted(str(path.name).removesuffix(".fits") for path in paths)


def _psf(run: Run, field: str, band: str, given: Any, scale: float) -> BandPsf:
    """Return the PSF that the photometry used: the user's file where it can still be read, else that of the run."""
    with open_bytes(str(run.path / psf_name(field, band))) as stream, fits.open(stream, memmap=False) as hdus:
        origin, image = str(hdus[0].header["PSFORIG"]), np.asarray(hdus[0].data, np.float64)
        fine = None
        if "FINE" in hdus:
            values, step = (
                np.asarray(hdus["FINE"].data["FINE"][0], np.float64),
                float(hdus["FINE"].header["STEP"]),
            )
            fine = NativePsf(values, (values.shape[0] // 2, values.shape[0] // 2), step, optical=False)
    settings = (given or {}).get(band)
    if origin == "given" and settings is not None and settings.psf is not None:
        ee = settings.psf_ee
        found = read_psf(
            settings.psf,
            scale,
            band=band,
            psf_scale=settings.psf_scale,
            psf_ee=None if ee is None else (ee.radius, ee.fraction),
        )
        return BandPsf(band, found, origin, 0)
    return BandPsf(band, Psf(image), origin, 0, fine)


def _plain(column: Any) -> NDArray[np.float64]:
    return np.asarray(getattr(column, "value", column), np.float64)
