"""Prediction of kappa for a cluster without a lens model, with the law of a cluster that has one.

The counts of one run are converted with the law n = a kappa^c + f of another (or its binned kappa = A n^b), scaled to
the redshift of the cluster. Where counts lie outside the range of the calibration, the map is marked as extrapolated.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from tilegc.detection.peaks import at_least
from tilegc.errors import ConfigError, RunFolderError
from tilegc.extrapolation import beyond_bins, limit_of, other_data, own_limit, redshifts_apart, shallower
from tilegc.io.atomic import write_bytes
from tilegc.relation.boxes import Boxes, binned_law
from tilegc.relation.prediction import KappaLaw, Smoothed, predict_kappa, smooth_counts
from tilegc.run_folder import Run, open_run
from tilegc.sky import cosmology, kpc_per_arcsec, lens_scaling, sigma_critical
from tilegc.skygrid.cells import SkyCells, read_sky_cells

__all__ = ["Prediction", "predict"]

RESOLUTION = 3.0
"""Sigma of the smoothing, arcsec, similar to the size of the boxes in which the law was measured."""

BIN_FILLED = 5
"""Minimum number of boxes in a bin that counts as measured."""

RESAMPLES, RESAMPLE_SEED = 200, 20260215


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


def predict(
    run: str | Path | Run,
    calibration: str | Path | Run,
    *,
    resolution: float = RESOLUTION,
    source_redshift: float | None = None,
    extrapolate: bool = False,
) -> Prediction:
    """Predict the convergence of the cluster of one run from the relation of another.

    Parameters
    ----------
    run : path or Run
        Finished run of the cluster; it needs no convergence map.
    calibration : path or Run
        Finished run with a relation.
    resolution : float
        Sigma of the Gaussian that smooths the counts, arcsec.
    source_redshift : float, optional
        Source redshift of the predicted kappa; by default the calibration's reference redshift.
    extrapolate : bool
        Make the prediction even if the run is shallower than the calibration, or has other bands, another filter or
        another recipe; the FITS header then says so.

    Returns
    -------
    Prediction
        Map of kappa with its errors, WCS and warnings.

    Raises
    ------
    RunFolderError, ConfigError
        If either is not a finished run, the calibration has no relation, a number is invalid, or the calibration
        does not apply to this run and `extrapolate` is not set.

    Examples
    --------
    >>> found = tilegc.predict("run-run", "other-run", resolution=6.0)
    >>> found.kappa.shape == found.error.shape
    True
    """
    if not resolution > 0:
        raise ConfigError(f"--resolution {resolution:g}: expected a smoothing length above 0 arcsec")
    target, known = (one if isinstance(one, Run) else open_run(one) for one in (run, calibration))
    reference = _reference(target, known)
    law, method, n_range = _law(known)
    source = reference if source_redshift is None else source_redshift
    stretch, rescale, scaling = _between(target, known, reference, source)
    limit, warnings = limit_of(target, known)
    wrong = [*shallower(target, known), *other_data(target, known)]
    if wrong and not extrapolate:
        raise ConfigError(
            f"{target.path}: the law of {known.path} does not apply: {'; '.join(wrong)}; use a similar run as "
            "calibration, or override this with --extrapolate"
        )
    cells = read_sky_cells(target.sky().load())
    # The law of the likelihood describes all sources, that of the bins only those not hidden by crowding.
    seen = _smoothed(target, cells, limit, resolution)
    counts = _smoothed(target, cells, limit, resolution, _share(target)) if method == "likelihood" else seen
    kappa, error, law_error = predict_kappa(counts, law, stretch, rescale)
    scatter = _scatter(known, law, resolution, _share(known) if method == "likelihood" else 1.0)
    error = np.hypot(scatter * np.sqrt(np.maximum(error**2 - law_error**2, 0.0)), law_error)
    equivalent = stretch * (seen.n - law.floor) + law.floor
    beyond = (equivalent > n_range[1]) | (equivalent < n_range[0])
    warnings += redshifts_apart(target, known) + [reason for reason in wrong if reason not in warnings]
    if method == "likelihood":
        warnings += _at_bound(known)
    there = np.isfinite(kappa)
    warnings += beyond_bins(equivalent, there, n_range)
    return Prediction(
        kappa,
        error,
        scatter,
        law_error,
        counts.n,
        beyond & there,
        cells.grid.wcs(cells.i0, cells.j0),
        source,
        scaling,
        method,
        tuple(warnings),
        tuple(wrong),
    )


def _reference(target: Run, known: Run) -> float:
    """Return the source redshift of the calibration's kappa; refuse runs that cannot be target and calibration."""
    if not target.config.cluster.known:
        raise ConfigError(
            f"{target.path}: its run file has no cluster, but its redshift is needed; add cluster: "
            "{name, redshift, ra, dec}"
        )
    if known.config.convergence is None:
        raise RunFolderError(
            f"{known.path}: the run has no convergence map and cannot be used as calibration"
        )
    if target.path.resolve() == known.path.resolve():
        raise ConfigError(f"--calibration {known.path}: a run cannot calibrate itself; give another run")
    return known.config.convergence.reference_redshift


def _law(known: Run) -> tuple[KappaLaw, str, tuple[float, float]]:
    """Return the law of the calibration, how it was fitted, and the range of n (per arcsec^2) of its bins."""
    found = known.summary["relation"]
    if found is None or found["index"] is None:
        raise RunFolderError(
            f"{known.path}: the run has no relation of counts and kappa and cannot be used as calibration"
        )
    bins = known.relation
    filled = (np.asarray(bins["bin"]) >= 0) & (np.asarray(bins["n_boxes"]) >= BIN_FILLED)
    if not filled.any():
        raise RunFolderError(
            f"{known.path}: no bin of the relation has {BIN_FILLED} boxes, so the range of the law is unknown"
        )
    n_range = float(bins["n_lo"].value[filled].min()), float(bins["n_hi"].value[filled].max())
    counts = found.get("likelihood")
    if counts and counts.get("c") is not None and counts.get("covariance"):
        covariance = np.array(counts["covariance"], np.float64)
        law = KappaLaw(float(np.log(counts["a"])), counts["c"], counts["floor"], np.nan_to_num(covariance))
        return law, "likelihood", n_range
    # kappa = A n^b is n = a kappa^c with c = 1 / b and ln a = -ln A / b.
    binned = found.get("boxes") or found
    amplitude, index = binned["amplitude"], binned["index"]
    if not index > 0:
        raise RunFolderError(
            f"{known.path}: kappa does not increase with the counts (b = {index:g}); it cannot be used as calibration"
        )
    return (
        KappaLaw(-float(np.log(amplitude)) / index, 1.0 / index, 0.0, _binned_covariance(known)),
        "boxes",
        n_range,
    )


def _at_bound(known: Run) -> list[str]:
    """Return a warning if a parameter of the law lies at its bound, so that its covariance underestimates the error."""
    found = known.summary["relation"]["likelihood"]
    wrong = []
    if found.get("floor_err", 0.0) is None:
        wrong.append("the floor is at its bound")
    if None in found.get("c_interval", ()):
        wrong.append("the 68 % interval of its power c is open")
    return [f"{known.path}: {' and '.join(wrong)}, so the errors of kappa are too small"] if wrong else []


def _binned_covariance(known: Run) -> np.ndarray:
    """Return the covariance of (ln a, c, 0) of the binned law from resamples of its boxes."""
    sky = known.sky()
    names = ("xi", "eta", "area", "count", "kappa")
    boxes = Boxes(*(sky[f"box_{name}"].to_numpy() for name in names))
    draws = np.random.Generator(np.random.PCG64(RESAMPLE_SEED))
    found = []
    for _ in range(RESAMPLES):
        pick = draws.integers(0, boxes.count.size, boxes.count.size)
        amplitude, index = binned_law(Boxes(*(getattr(boxes, name)[pick] for name in names)))
        if np.isfinite(index) and index > 0:
            found.append((-np.log(amplitude) / index, 1.0 / index))
    covariance = np.zeros((3, 3))
    if len(found) > 2:
        covariance[:2, :2] = np.cov(np.array(found).T)
    return covariance


def _between(target: Run, known: Run, reference: float, source: float) -> tuple[float, float, float]:
    """Return the factors for n per arcsec^2 and for kappa from calibration to target, and D_LS/D_S of the target."""
    here, there = cosmology(target.config.cosmology), cosmology(known.config.cosmology)
    z, z_known = target.config.cluster.redshift, known.config.cluster.redshift
    scaling = lens_scaling(here, z, source)
    stretch = (kpc_per_arcsec(there, z_known) / kpc_per_arcsec(here, z)) ** 2
    calibrated = sigma_critical(there, z_known, lens_scaling(there, z_known, reference))
    return stretch, calibrated / sigma_critical(here, z, scaling), scaling


def _share(run: Run) -> np.ndarray:
    """Return the fraction of sources not hidden by crowding in each cell (eta, xi); 0 around galaxies."""
    sky = run.sky()
    return np.where(sky["in_law"], np.nan_to_num(sky["recovery"]), 0.0)


def _scatter(known: Run, law: KappaLaw, resolution: float, share: np.ndarray | float) -> float:
    """Return the scatter of kappa about the law of the calibration, in units of the counting errors, at least 1."""
    cells = read_sky_cells(known.sky().load())
    counts = _smoothed(known, cells, own_limit(known), resolution, share)
    kappa, error, _ = predict_kappa(counts, law, 1.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        pull = ((kappa - cells.kappa) / error)[cells.radius < known.config.relation.max_radius]
    pull = pull[np.isfinite(pull)]
    return max(float(np.sqrt((pull**2).mean())), 1.0) if pull.size else 1.0


def _smoothed(
    target: Run, cells: SkyCells, limit: float, resolution: float, share: np.ndarray | float = 1.0
) -> Smoothed:
    """Return the smoothed density of sources above a limit, corrected for the fraction hidden by crowding."""
    catalogue = target.catalogue
    ra, dec = catalogue["ra"].value, catalogue["dec"].value
    use = np.asarray(catalogue["peak"].value) >= at_least(limit)
    use &= cells.owned(ra, dec, np.asarray(catalogue["field"])) & cells.kept_at(ra, dec)
    area = np.where(cells.kept, cells.good_area.sum(axis=0) * share, 0.0)
    count = np.where(area > 0, cells.count(ra[use], dec[use]), 0)
    return smooth_counts(count, area, resolution / cells.grid.pixel)


def _ascii(text: str) -> str:
    """Return text without the characters that FITS headers do not allow."""
    return text.encode("ascii", errors="replace").decode()
