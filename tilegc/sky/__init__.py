"""Pixels, sky and lengths: WCS from header text, the sky grid, cosmology, lensing masses."""

from __future__ import annotations

from tilegc.sky.angles import separation_arcsec
from tilegc.sky.astrometry import (
    Footprint,
    Outside,
    centre_outside,
    check_centre,
    header_text,
    pixel_area,
    pixel_scale,
    pixel_to_world,
    sample,
    wcs_from_text,
    world_to_pixel,
)
from tilegc.sky.binning import binned
from tilegc.sky.frame import ClusterFrame
from tilegc.sky.grid import SkyGrid, mesh
from tilegc.sky.lensing import cosmology, kpc_per_arcsec, lens_scaling, mass_within, sigma_critical
from tilegc.sky.tangent import tangent_cards

__all__ = [
    "ClusterFrame",
    "Footprint",
    "Outside",
    "SkyGrid",
    "binned",
    "centre_outside",
    "check_centre",
    "cosmology",
    "header_text",
    "kpc_per_arcsec",
    "lens_scaling",
    "mass_within",
    "mesh",
    "pixel_area",
    "pixel_scale",
    "pixel_to_world",
    "sample",
    "separation_arcsec",
    "sigma_critical",
    "tangent_cards",
    "wcs_from_text",
    "world_to_pixel",
]
