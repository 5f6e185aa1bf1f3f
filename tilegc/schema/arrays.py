"""Arrays of the stores of a run, with their dimensions, types and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ARRAYS", "COMPLETENESS_MAP", "MAPS", "SKY_GRID", "Array"]


@dataclass(frozen=True)
class Array:
    """One array of a store."""

    name: str
    dims: tuple[str, ...]
    dtype: str
    unit: str
    meaning: str


ARRAYS: Final = (
    Array("sci", ("band", "y", "x"), "float32", "nJy", "the bands, nJy per pixel; NaN: no data"),
    Array("err", ("band", "y", "x"), "float32", "nJy", "their errors, where given"),
    Array("wht", ("band", "y", "x"), "float32", "nJy-2", "their weights, where given; 0: no data"),
    Array("flags", ("y", "x"), "uint8", "", "bits 1 and 4, and 8 where the mid-scale map is high"),
    Array(
        "ridges",
        ("y", "x"),
        "uint8",
        "",
        "1 at the middles of lines of beads: spikes and arcs; 2: arcs, where they have a limit of their own",
    ),
    Array(
        "objects",
        ("y", "x"),
        "uint8",
        "",
        "before they are grown: 1 extended, 2 spikes, 4 arcs; 8 stars' discs and the spikes of PSF files",
    ),
    Array("regions", ("y", "x"), "uint8", "", "1 inside the user's masks"),
    Array("mask", ("y", "x"), "uint8", "", "bits of tilegc.schema.Bit"),
    Array("detection", ("y", "x"), "float32", "nJy", "detection map; NaN where nothing was filtered"),
    Array(
        "expected_noise",
        ("y", "x"),
        "float32",
        "nJy",
        "noise of the detection map expected from ERR or WHT; the local noise is noise_factor times this",
    ),
    Array(
        "noise",
        ("cell_y", "cell_x"),
        "float64",
        "nJy",
        "local noise of the detection map in the cells (calibrated: its median over the good pixels)",
    ),
    Array(
        "noise_factor",
        ("cell_y", "cell_x"),
        "float64",
        "",
        "calibrated: local over expected noise at the cells' centres",
    ),
    Array(
        "confusion",
        ("patch_y", "patch_x"),
        "float64",
        "",
        "calibrated: scatter of the detection map between the sources over the local noise, in patches of 64 px",
    ),
    Array("light", ("y", "x"), "float32", "nJy", "sum of the bands, nJy per pixel; NaN: no data"),
    Array("density", ("y", "x"), "float32", "arcsec-2", "local density of detected sources"),
    Array("density_error", ("y", "x"), "float32", "arcsec-2", "its Poisson error"),
    Array(
        "coverage", ("y", "x"), "float32", "", "smoothed good fraction by which the local density is divided"
    ),
    Array("density_gaussian", ("y", "x"), "float32", "arcsec-2", "density by a Gaussian of one width"),
    Array("density_gaussian_error", ("y", "x"), "float32", "arcsec-2", "its Poisson error"),
    Array("density_adaptive", ("y", "x"), "float32", "arcsec-2", "density by the k-th neighbour"),
    Array("density_adaptive_error", ("y", "x"), "float32", "arcsec-2", "its Poisson error"),
    Array("rho", ("y", "x"), "float32", "", "Diego et al. 2026, eq. 2, over detected and inpainted sources"),
    Array("rho_error", ("y", "x"), "float32", "", "its error, from Poisson fields inpainted anew"),
    Array("rho_scatter", ("y", "x"), "float32", "", "its scatter between realisations of the inpainting"),
)
"""Arrays of store/<field>.zarr."""

MAPS: Final = (
    "detection",
    "mask",
    "rho",
    "rho_error",
    "rho_scatter",
    "density",
    "density_error",
    "coverage",
    "density_gaussian",
    "density_gaussian_error",
    "density_adaptive",
    "density_adaptive_error",
)
"""Arrays that can be written as FITS images, listed under `outputs` in the run file."""

COMPLETENESS_MAP: Final = "completeness"
"""Name of the FITS image of completeness, which every run with artificial stars writes."""

SKY_GRID: Final = (
    Array("n_pixels", ("field", "eta", "xi"), "int64", "", "pixels with data"),
    Array("n_good", ("field", "eta", "xi"), "int64", "", "good pixels"),
    Array("n_inside", ("field", "eta", "xi"), "int64", "", "pixels without the bits 1 and 2"),
    Array("n_gc", ("field", "eta", "xi"), "int64", "", "sources above the larger keep x T of the fields"),
    Array(
        "light", ("field", "eta", "xi"), "float64", "nJy arcsec-2", "mean of the summed bands, good pixels"
    ),
    Array("rho", ("field", "eta", "xi"), "float64", "", "mean of rho over pixels without bits 1 and 2"),
    Array("kappa", ("eta", "xi"), "float64", "", "convergence at the reference redshift, bilinear"),
    Array(
        "recovery",
        ("eta", "xi"),
        "float64",
        "",
        "share of sources that is seen; NaN: crowding leaves it unknown",
    ),
    Array(
        "in_law",
        ("eta", "xi"),
        "bool",
        "",
        "cells kept off galaxies: what positions, predictions and figures use",
    ),
    Array(
        "galaxy_light",
        ("eta", "xi"),
        "float64",
        "",
        "light of galaxies as the law has it, of mean 1; 0: no term",
    ),
    Array("box_xi", ("box",), "float64", "arcsec", "centre of a box of the relation, east"),
    Array("box_eta", ("box",), "float64", "arcsec", "centre of a box of the relation, north"),
    Array("box_area", ("box",), "float64", "arcsec2", "its good area"),
    Array("box_count", ("box",), "int64", "", "its sources"),
    Array("box_kappa", ("box",), "float64", "", "mean kappa of its cells"),
)
"""Arrays of store/sky-grid.zarr, with coordinates xi (east) and eta (north) in arcsec from the cluster centre."""
