"""Columns of the tables on the relation between sources and convergence."""

from __future__ import annotations

from typing import Final

from tilegc.schema.columns import Column

__all__ = [
    "ASSUMPTIONS",
    "CUMULATIVE",
    "EXCESSES",
    "GOODNESS",
    "METHODS",
    "RANKING",
    "RELATION",
    "SENSITIVITY",
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
