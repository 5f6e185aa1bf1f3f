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
    Array("sci", ("band", "y", "x"), "float32", "nJy", "images of all bands, nJy per pixel; NaN: no data"),
    Array("err", ("band", "y", "x"), "float32", "nJy", "error images, if given"),
    Array("wht", ("band", "y", "x"), "float32", "nJy-2", "weight images, if given; 0: no data"),
    Array(
        "seam",
        ("y", "x"),
        "uint8",
        "",
        "1 within `seam` of a border between mosaics on different grids, if a band has several",
    ),
    Array(
        "flags",
        ("y", "x"),
        "uint8",
        "",
        "mask bits 1 and 4, and bit 8 where the mid-scale map exceeds its limit",
    ),
    Array(
        "ridges",
        ("y", "x"),
        "uint8",
        "",
        "1 along lines of beads (spikes and arcs); 2 along arcs, if arcs have a separate limit",
    ),
    Array(
        "objects",
        ("y", "x"),
        "uint8",
        "",
        "objects before they are grown: 1 extended, 2 spikes, 4 arcs, 8 discs of stars and spikes from PSF files",
    ),
    Array("regions", ("y", "x"), "uint8", "", "1 inside user masks and seams between mosaics"),
    Array("mask", ("y", "x"), "uint8", "", "mask bits, see tilegc.schema.Bit"),
    Array("detection", ("y", "x"), "float32", "nJy", "detection map; NaN where nothing was filtered"),
    Array(
        "expected_noise",
        ("y", "x"),
        "float32",
        "nJy",
        "noise of the detection map expected from ERR or WHT; the local noise is this times noise_factor",
    ),
    Array(
        "noise",
        ("cell_y", "cell_x"),
        "float64",
        "nJy",
        "local noise of the detection map in each cell (calibrated: median over its good pixels)",
    ),
    Array(
        "noise_factor",
        ("cell_y", "cell_x"),
        "float64",
        "",
        "recipe calibrated: ratio of local to expected noise at the centre of each cell",
    ),
    Array(
        "confusion",
        ("patch_y", "patch_x"),
        "float64",
        "",
        "recipe calibrated: scatter of the detection map between sources over the local noise, in patches of 64 px",
    ),
    Array("light", ("y", "x"), "float32", "nJy", "sum of the bands, nJy per pixel; NaN: no data"),
    Array("density", ("y", "x"), "float32", "arcsec-2", "local density of detected sources"),
    Array("density_error", ("y", "x"), "float32", "arcsec-2", "Poisson error of the density"),
    Array(
        "coverage",
        ("y", "x"),
        "float32",
        "",
        "smoothed fraction of good pixels, by which the local density is divided",
    ),
    Array("density_gaussian", ("y", "x"), "float32", "arcsec-2", "density with a Gaussian of fixed width"),
    Array("density_gaussian_error", ("y", "x"), "float32", "arcsec-2", "Poisson error of the density"),
    Array(
        "density_adaptive",
        ("y", "x"),
        "float32",
        "arcsec-2",
        "density from the distance to the k-th neighbour",
    ),
    Array("density_adaptive_error", ("y", "x"), "float32", "arcsec-2", "Poisson error of the density"),
    Array(
        "rho",
        ("y", "x"),
        "float32",
        "",
        "kernel sum of Diego et al. 2026, eq. 2, over detected and inpainted sources",
    ),
    Array(
        "rho_error",
        ("y", "x"),
        "float32",
        "",
        "Poisson error of rho, including that of the inpainting",
    ),
    Array("rho_scatter", ("y", "x"), "float32", "", "scatter of rho between realisations of the inpainting"),
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
    Array("n_pixels", ("field", "eta", "xi"), "int64", "", "number of pixels with data"),
    Array("n_good", ("field", "eta", "xi"), "int64", "", "number of good pixels"),
    Array("n_inside", ("field", "eta", "xi"), "int64", "", "number of pixels without bits 1 and 2"),
    Array(
        "n_gc",
        ("field", "eta", "xi"),
        "int64",
        "",
        "number of sources above the largest keep x T of all fields",
    ),
    Array(
        "light",
        ("field", "eta", "xi"),
        "float64",
        "nJy arcsec-2",
        "mean of the summed bands over good pixels",
    ),
    Array("rho", ("field", "eta", "xi"), "float64", "", "mean of rho over pixels without bits 1 and 2"),
    Array(
        "kappa",
        ("eta", "xi"),
        "float64",
        "",
        "convergence at the reference redshift, interpolated bilinearly",
    ),
    Array(
        "recovery",
        ("eta", "xi"),
        "float64",
        "",
        "fraction of sources that are not hidden by crowding; NaN where it is unknown",
    ),
    Array(
        "in_law",
        ("eta", "xi"),
        "bool",
        "",
        "whether a cell is away from galaxies, and used by position likelihoods, predictions and figures",
    ),
    Array(
        "galaxy_light",
        ("eta", "xi"),
        "float64",
        "",
        "smoothed light of galaxies in the law, with a mean of 1; 0 without such a term",
    ),
    Array("box_xi", ("box",), "float64", "arcsec", "centre of a box of the relation, east"),
    Array("box_eta", ("box",), "float64", "arcsec", "centre of a box of the relation, north"),
    Array("box_area", ("box",), "float64", "arcsec2", "good area of the box"),
    Array("box_count", ("box",), "int64", "", "number of sources in the box"),
    Array("box_kappa", ("box",), "float64", "", "mean kappa of the cells in the box"),
)
"""Arrays of store/sky-grid.zarr, with coordinates xi (east) and eta (north) in arcsec from the cluster centre."""
