"""Columns of all tables that a run writes, with their types, units and meanings."""

from __future__ import annotations

from typing import Final

from tilegc.schema.columns import Column

__all__ = [
    "ASSUMPTIONS",
    "AUDIT",
    "CONTAMINATION",
    "CUMULATIVE",
    "EXCESSES",
    "GOODNESS",
    "MASKED",
    "MASSES",
    "METHODS",
    "PATTERN",
    "PROFILE",
    "PURITY",
    "RADIAL",
    "RANKING",
    "RELATION",
    "SENSITIVITY",
    "SHAPE",
    "STARS",
    "STUDY_MASK",
]


METHODS: Final = {
    "likelihood": "from the likelihood of the counts",
    "boxes": "from boxes, binned by the observed n",
}
"""Description of the method behind `relation` of the summary: the binned fit only if the likelihood gives no law."""

RELATION: Final = (
    Column("bin", "int64", "", "number of the bin in log n, starting from 0; -1: boxes without a source"),
    Column("n_lo", "float64", "arcsec-2", "lower edge in n"),
    Column("n_hi", "float64", "arcsec-2", "upper edge in n"),
    Column("n_boxes", "int64", "", "number of boxes in the bin"),
    Column("n_mean", "float64", "arcsec-2", "mean n of these boxes"),
    Column("kappa_mean", "float64", "", "mean over the boxes of their mean kappa at the reference redshift"),
    Column("kappa_std", "float64", "", "standard deviation over the boxes of their mean kappa"),
)
"""Columns of relation.ecsv."""

RANKING: Final = (
    Column("rank", "int64", "", "rank by ln L, starting from 1; -1 if the map covers too little of the sky"),
    Column(
        "map",
        "string",
        "",
        "kappa: the map of the run; others are derived from it, or listed in convergence.compare",
    ),
    Column(
        "ln_likelihood",
        "float64",
        "",
        "ln L of the source positions for the best-fitting law, up to a constant common to all maps",
    ),
    Column("delta", "float64", "", "difference in ln L from the map of the run"),
    Column("delta_err", "float64", "", "standard error of delta, for independent positions"),
    Column("c", "float64", "", "exponent of the map in the law"),
    Column("uniform", "float64", "", "fraction of the sources that are distributed uniformly"),
    Column("n_sources", "int64", "", "number of sources whose positions were compared"),
    Column("area_arcsec2", "float64", "arcsec2", "area that is covered by all of these maps"),
    Column(
        "c_at_bound",
        "bool",
        "",
        "whether c is at the upper bound of 8, so that a larger value may fit better",
    ),
)
"""Columns of ranking.ecsv."""

SENSITIVITY: Final = (
    Column(
        "sample",
        "string",
        "",
        "selection of sources: all, above a limit in S/N, the brighter or fainter half, or an area",
    ),
    Column("n_sources", "int64", "", "number of sources within relation.max_radius"),
    Column("area_arcsec2", "float64", "arcsec2", "effective area"),
    Column("binned_index", "float64", "", "b of kappa = A n^b from boxes binned in n"),
    Column("binned_index_err", "float64", "", "its standard deviation"),
    Column("c", "float64", "", "exponent of n = a kappa^c + f, from the likelihood"),
    Column("c_err", "float64", "", "its standard deviation"),
    Column(
        "c_err_systematic",
        "float64",
        "",
        "difference of c from that of all sources in excess of the expected scatter, at least 0",
    ),
    Column("index", "float64", "", "b = 1 / c"),
    Column("index_err", "float64", "", "its standard deviation"),
    Column("amplitude", "float64", "", "A = a^(-1/c)"),
    Column("amplitude_err", "float64", "", "its standard deviation"),
    Column("floor", "float64", "arcsec-2", "floor f of the law"),
    Column("floor_err", "float64", "arcsec-2", "its standard error; NaN if the floor is 0"),
    Column(
        "dispersion", "float64", "", "phi in the variance of the counts, mu + phi mu^2; 0 for Poisson counts"
    ),
    Column(
        "beta", "float64", "", "sum(kappa rho) / sum(rho^2) over coarse cells (arcsec^1.6 for alpha = 1.6)"
    ),
    Column("pearson", "float64", "", "Pearson correlation of kappa and rho on these cells"),
    Column("spearman", "float64", "", "Spearman rank correlation of kappa and rho on these cells"),
)
"""Columns of sensitivity.ecsv."""

ASSUMPTIONS: Final = (
    Column(
        "assumption",
        "string",
        "",
        "own: the law of the run; linear_floor: a floor linear in position; lensed_floor: a background that the lens "
        "depletes; no_centre: without the inner 5 arcsec; central_light: kappa without stars of the central galaxy; "
        "registered: the map displaced to where the sources prefer it",
    ),
    Column("c", "float64", "", "exponent of n = a kappa^c + f"),
    Column("c_err", "float64", "", "its standard deviation"),
    Column(
        "c_err_systematic",
        "float64",
        "",
        "difference of c from that of the run in excess of the expected scatter",
    ),
    Column("index", "float64", "", "b = 1 / c"),
    Column("index_err", "float64", "", "its standard deviation"),
    Column("gain", "float64", "", "gain in 2 ln L over the law of the run; NaN for other cells"),
    Column(
        "first",
        "float64",
        "",
        "change of the floor to the east per arcmin; slope of the background; convergence of the stars at 1 arcsec; or "
        "displacement to the east in arcsec",
    ),
    Column("first_err", "float64", "", "its standard deviation"),
    Column("second", "float64", "", "change of the floor to the north per arcmin, or displacement in arcsec"),
    Column("second_err", "float64", "", "its standard deviation"),
)
"""Columns of assumptions.ecsv."""

GOODNESS: Final = (
    Column(
        "statistic",
        "string",
        "",
        "excess or deficit: highest peak or lowest trough of the smoothed residuals; otherwise the quantity in whose "
        "order residuals are summed",
    ),
    Column("scale", "float64", "arcsec", "FWHM of the smoothing; NaN for sums"),
    Column(
        "value",
        "float64",
        "",
        "significance of the peak, or the largest sum over the root of the expected number",
    ),
    Column("limit_95", "float64", "", "95th percentile of simulated skies with independent sources"),
    Column("p_value", "float64", "", "fraction of these skies, this one included, with at least this value"),
    Column(
        "limit_95_clumped",
        "float64",
        "",
        "95th percentile of skies that scatter and clump as the residuals do",
    ),
    Column("p_value_clumped", "float64", "", "fraction of those skies with at least this value"),
)
"""Columns of goodness.ecsv."""

CUMULATIVE: Final = (
    Column(
        "quantity",
        "string",
        "",
        "kappa, radius (arcsec), light of galaxies (mean 1), or angle (deg, east of north)",
    ),
    Column("value", "float64", "", "value of the quantity up to which residuals are summed"),
    Column("residual", "float64", "", "their sum over the root of the expected number of all sources"),
    Column("low", "float64", "", "2.5th percentile of simulated skies with independent sources"),
    Column("high", "float64", "", "97.5th percentile"),
    Column(
        "low_clumped", "float64", "", "2.5th percentile of skies that scatter and clump as the residuals do"
    ),
    Column("high_clumped", "float64", "", "97.5th percentile"),
)
"""Columns of cumulative.ecsv."""

EXCESSES: Final = (
    Column("kind", "string", "", "excess: more sources than the law gives; deficit: fewer"),
    Column("xi", "float64", "arcsec", "offset of the peak east of the cluster centre"),
    Column("eta", "float64", "arcsec", "offset north of it"),
    Column("ra", "float64", "deg", "right ascension, ICRS"),
    Column("dec", "float64", "deg", "declination, ICRS"),
    Column("scale", "float64", "arcsec", "FWHM of the smoothing that shows it best"),
    Column("significance", "float64", "", "smoothed residual over its Poisson error"),
    Column(
        "p_value",
        "float64",
        "",
        "fraction of skies with independent sources that have a peak as unlikely, anywhere",
    ),
    Column("p_value_clumped", "float64", "", "the same for skies that scatter and clump as the residuals do"),
    Column("n_sources", "int64", "", "sources within half the FWHM"),
    Column("n_expected", "float64", "", "sources that the law expects there"),
    Column("kappa", "float64", "", "mean convergence there"),
)
"""Columns of excesses.ecsv: places with a significance above 3, the least probable first."""

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
