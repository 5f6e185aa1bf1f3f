"""Columns of the tables on fields, profiles, masses and inputs, with their types, units and meanings."""

from __future__ import annotations

from typing import Final

from tilegc.schema.columns import Column

__all__ = [
    "AUDIT",
    "CONTAMINATION",
    "MASKED",
    "MASSES",
    "PATTERN",
    "PROFILE",
    "PURITY",
    "RADIAL",
    "SHAPE",
    "STARS",
    "STUDY_MASK",
]


PROFILE: Final = (
    Column("field", "string", "", "name of the field"),
    Column("r_lo", "float64", "arcsec", "inner edge of the annulus"),
    Column("r_hi", "float64", "arcsec", "outer edge of the annulus"),
    Column("area_arcsec2", "float64", "arcsec2", "good area"),
    Column("n_gc", "int64", "", "number of sources above the largest keep x T of all fields"),
    Column("n_per_arcsec2", "float64", "arcsec-2", "number of sources over good area"),
    Column("n_err", "float64", "arcsec-2", "Poisson error of n_per_arcsec2"),
    Column("n_corrected", "float64", "arcsec-2", "n_per_arcsec2 minus the contamination"),
    Column("kappa", "float64", "", "mean convergence at the reference redshift"),
    Column(
        "light", "float64", "nJy arcsec-2", "mean of the summed bands minus that of the outermost annulus"
    ),
    Column("rho", "float64", "", "mean of the kernel sum of Diego et al. 2026 (arcsec^-1.6 for alpha = 1.6)"),
    Column(
        "crowding",
        "float64",
        "",
        "fraction of sources that are not hidden by a brighter neighbour, at this density",
    ),
)
"""Columns of profile.ecsv."""

RADIAL: Final = (
    Column(
        "geometry",
        "string",
        "",
        "shape of the annulus: circle, or ellipse with the shape of the distribution of sources",
    ),
    Column("r_lo", "float64", "arcsec", "inner edge; for an ellipse, the radius of the circle of equal area"),
    Column("r_hi", "float64", "arcsec", "outer edge"),
    Column("r_mean", "float64", "arcsec", "mean radius of the good area"),
    Column("area_arcsec2", "float64", "arcsec2", "good area, all fields"),
    Column("n_gc", "int64", "", "number of sources above the largest keep x T of all fields"),
    Column("n_per_arcsec2", "float64", "arcsec-2", "number of sources over good area"),
    Column("n_err", "float64", "arcsec-2", "Poisson error of n_per_arcsec2"),
    Column("n_corrected", "float64", "arcsec-2", "n_per_arcsec2 minus the contamination"),
    Column(
        "n_corrected_err", "float64", "arcsec-2", "error of n_corrected, including that of the contamination"
    ),
    Column("kappa", "float64", "", "mean convergence at the reference redshift"),
    Column("kappa_err", "float64", "", "scatter of kappa over realisations of the lens model"),
    Column(
        "light",
        "float64",
        "nJy arcsec-2",
        "mean of the summed bands minus that of the outermost tenth of the area",
    ),
    Column("rho", "float64", "", "mean of the kernel sum of Diego et al. 2026 (arcsec^-1.6 for alpha = 1.6)"),
)
"""Columns of radial.ecsv: all fields together."""

SHAPE: Final = (
    Column("tracer", "string", "", "sources, kappa, light or rho"),
    Column("r_lo", "float64", "arcsec", "inner edge of the ring"),
    Column("r_hi", "float64", "arcsec", "outer edge of the ring"),
    Column("n_gc", "float64", "", "number of sources in the ring"),
    Column("slope", "float64", "", "-dlog/dlog R in the ring; for sources, after subtracting the floor"),
    Column("axis_ratio", "float64", "", "minor over major axis of the ellipse"),
    Column(
        "axis_ratio_err",
        "float64",
        "",
        "error from blocks of 15 arcsec, if there are at least ten; maps have none",
    ),
    Column("position_angle", "float64", "deg", "position angle of the major axis, east of north"),
    Column("position_angle_err", "float64", "deg", "error of the position angle, from the same blocks"),
)
"""Columns of shape.ecsv."""

MASSES: Final = (
    Column("quantity", "string", "", "name of the quantity"),
    Column("value", "float64", "", "value, in the unit given in this row"),
    Column("err", "float64", "", "its error, in the same unit; NaN if unknown"),
    Column("unit", "string", "", "astropy unit string; empty if dimensionless"),
    Column("arithmetic", "string", "", "the calculation in numbers, or why the value is missing"),
)
"""Columns of masses.ecsv."""

CONTAMINATION: Final = (
    Column("component", "string", "", "source of the estimate"),
    Column("per_arcsec2", "float64", "arcsec-2", "density of sources that do not belong to the cluster"),
    Column("per_arcsec2_err", "float64", "arcsec-2", "its error"),
    Column("per_kpc2", "float64", "kpc-2", "the same density at the redshift of the cluster"),
    Column("per_kpc2_err", "float64", "kpc-2", "its error"),
    Column(
        "factor",
        "float64",
        "",
        "factor by which lensing changes the counts of background sources, mu^(2.5 s - 1)",
    ),
    Column("factor_err", "float64", "", "error of the factor, from that of s"),
    Column("how", "string", "", "the calculation in words and numbers, or why the value is missing"),
)
"""Columns of contamination.ecsv."""

PURITY: Final = (
    Column("field", "string", "", "name of the field"),
    Column("zone", "int64", "", "noise zone: 0 deep, 1 typical, 2 shallow"),
    Column("noise_lo", "float64", "nJy", "lowest noise of the cells in the zone, nJy per pixel"),
    Column("noise_hi", "float64", "nJy", "highest noise of the cells in the zone, nJy per pixel"),
    Column("area_arcsec2", "float64", "arcsec2", "good area of the zone"),
    Column("snr_lo", "float64", "", "lower edge of the slice in local signal-to-noise ratio"),
    Column("snr_hi", "float64", "", "upper edge of the slice"),
    Column("n_found", "int64", "", "number of peaks in the slice"),
    Column("n_noise", "float64", "", "expected number of noise peaks, from the null maps; NaN if unknown"),
    Column("n_noise_err", "float64", "", "error of n_noise"),
    Column("purity", "float64", "", "1 - n_noise / n_found, between 0 and 1"),
    Column("purity_err", "float64", "", "error of the purity"),
    Column("purity_above", "float64", "", "purity of all peaks above snr_lo"),
)
"""Columns of purity.ecsv."""

PATTERN: Final = (
    Column("field", "string", "", "name of the field"),
    Column("snr_lo", "float64", "", "lower edge of the slice in local signal-to-noise ratio"),
    Column("snr_hi", "float64", "", "upper edge of the slice"),
    Column("n_found", "int64", "", "number of peaks in the slice"),
    Column("period", "float64", "pix", "period of the strongest periodicity in their positions"),
    Column("angle", "float64", "deg", "direction of its wave vector, from the x axis towards y"),
    Column("power", "float64", "", "power relative to the mean of modes with similar periods"),
    Column(
        "false_alarm",
        "float64",
        "",
        "probability of an equally strong periodicity in a field without a pattern",
    ),
)
"""Columns of pattern.ecsv."""

AUDIT: Final = (
    Column("check", "string", "", "name of the check"),
    Column("field", "string", "", "name of the field"),
    Column("band", "string", "", "name of the band; empty for the whole field"),
    Column("value", "float64", "", "measured value; NaN if it could not be measured"),
    Column("unit", "string", "", "unit of the value; empty if dimensionless"),
    Column("verdict", "string", "", "ok, look, wrong or unmeasured"),
    Column("finding", "string", "", "description of the value"),
    Column("remedy", "string", "", "what to do; empty if there is nothing to do"),
)
"""Columns of audit.ecsv, and keys of a row of `audit` in summary.json."""

MASKED: Final = (
    Column("field", "string", "", "name of the field"),
    Column("r_lo", "float64", "arcsec", "inner edge of the annulus"),
    Column("r_hi", "float64", "arcsec", "outer edge; infinite in the last row of a field"),
    Column("data_arcsec2", "float64", "arcsec2", "area with data"),
    Column("inside_arcsec2", "float64", "arcsec2", "area with data inside the edges"),
    Column("good_arcsec2", "float64", "arcsec2", "area without any bit"),
    Column("edge_arcsec2", "float64", "arcsec2", "area with data and bit 2"),
    Column(
        "edge_own_arcsec2",
        "float64",
        "arcsec2",
        "the same, because edges take precedence over all other bits",
    ),
    Column("bright_arcsec2", "float64", "arcsec2", "area of bit 4 inside the edges"),
    Column("bright_own_arcsec2", "float64", "arcsec2", "part of this area without any later bit"),
    Column("extended_arcsec2", "float64", "arcsec2", "area of bit 8 inside the edges"),
    Column("extended_own_arcsec2", "float64", "arcsec2", "part of this area without any later bit"),
    Column("spike_arcsec2", "float64", "arcsec2", "area of bit 16 inside the edges"),
    Column("spike_own_arcsec2", "float64", "arcsec2", "part of this area without any later bit"),
    Column("region_arcsec2", "float64", "arcsec2", "area of bit 32 inside the edges"),
    Column("region_own_arcsec2", "float64", "arcsec2", "part of this area without any later bit"),
    Column("arc_arcsec2", "float64", "arcsec2", "area of bit 64 inside the edges"),
    Column("arc_own_arcsec2", "float64", "arcsec2", "the same, because there is no later bit"),
)
"""Columns of masked.ecsv. Bits overlap; the exclusive areas and the good area add up to the area with data."""

STARS: Final = (
    Column("field", "string", "", "name of the field"),
    Column("y", "int64", "pix", "row of the centre, 0-based"),
    Column("x", "int64", "pix", "column of the centre, 0-based"),
    Column("ra", "float64", "deg", "right ascension of that pixel's centre, ICRS"),
    Column("dec", "float64", "deg", "declination of that pixel's centre, ICRS"),
    Column("flux", "float64", "nJy", "flux in all bands together, from the wings"),
    Column("core", "float64", "", "fraction of the flux within 3 px; NaN if the core has no data"),
    Column(
        "noise",
        "float64",
        "nJy",
        "surface brightness per pixel at which the texture of the wings reaches 1 sigma in the detection map",
    ),
    Column(
        "radius",
        "float64",
        "pix",
        "radius of the masked disc (bit 16), within which the wings are brighter than k times this noise",
    ),
    Column("radius_arcsec", "float64", "arcsec", "radius of the masked disc on the sky"),
)
"""Columns of stars.ecsv: very bright point sources, brightest first in each field; empty without mask.spikes."""

STUDY_MASK: Final = (
    Column("field", "string", "", "name of the field"),
    Column("growth", "float64", "pix", "pixels by which bits 4, 8, 16, 32 and 64 are grown"),
    Column("annulus", "int64", "", "number of the annulus, starting from the centre; -1 for the whole field"),
    Column("r_lo", "float64", "arcsec", "inner edge"),
    Column("r_hi", "float64", "arcsec", "outer edge; infinite for the last annulus"),
    Column("area_arcsec2", "float64", "arcsec2", "good area"),
    Column("n_gc", "int64", "", "number of sources of the field on good pixels"),
    Column("n_per_arcsec2", "float64", "arcsec-2", "number of sources over good area"),
    Column("n_err", "float64", "arcsec-2", "Poisson error of n_per_arcsec2"),
    Column("purity", "float64", "", "mean purity of these sources; NaN if unknown"),
    Column(
        "purity_truth",
        "float64",
        "",
        "fraction of these sources that match simulated ones; NaN without a truth table",
    ),
    Column("n_rim", "int64", "", "number of sources that are lost relative to the smallest growth"),
    Column(
        "n_rim_expected",
        "float64",
        "",
        "expected number in the lost area, from the density of the remaining area in each annulus",
    ),
)
"""Columns of study/mask.ecsv."""
