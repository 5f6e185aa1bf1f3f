"""Columns of all tables that a run writes, with their types, units and meanings."""

from __future__ import annotations

from typing import Final

from tilegc.schema.columns import Column

__all__ = [
    "AUDIT",
    "CONTAMINATION",
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
    "likelihood": "by the likelihood of the counts",
    "boxes": "in boxes, binned in the counted n",
}
"""Description of the method behind `relation` of the summary: the binned fit only if the likelihood gives no law."""

RELATION: Final = (
    Column("bin", "int64", "", "number of the bin in log n, from 0; -1: the boxes without a source"),
    Column("n_lo", "float64", "arcsec-2", "lower edge in n"),
    Column("n_hi", "float64", "arcsec-2", "upper edge in n"),
    Column("n_boxes", "int64", "", "boxes in the bin"),
    Column("n_mean", "float64", "arcsec-2", "mean n of these boxes"),
    Column("kappa_mean", "float64", "", "mean of the boxes' mean kappa at the reference redshift"),
    Column("kappa_std", "float64", "", "standard deviation of the same"),
)
"""Columns of relation.ecsv."""

RANKING: Final = (
    Column("rank", "int64", "", "place by ln L, from 1; -1: the map covers too little of the sky"),
    Column("map", "string", "", "kappa: the run's own; the others are made of it, or of convergence.compare"),
    Column(
        "ln_likelihood", "float64", "", "of the positions, the law at its best, without what all maps share"
    ),
    Column("delta", "float64", "", "the same less that of the run's own map"),
    Column("delta_err", "float64", "", "its standard error, positions being independent"),
    Column("c", "float64", "", "power of the map in the law"),
    Column("uniform", "float64", "", "share of the sources that follow the area alone"),
    Column("n_sources", "int64", "", "sources whose positions were compared"),
    Column("area_arcsec2", "float64", "arcsec2", "area on which they were: what all these maps cover"),
    Column(
        "c_at_bound", "bool", "", "c is the largest power that is sought, 8: a larger one may be likelier"
    ),
)
"""Columns of ranking.ecsv."""

SENSITIVITY: Final = (
    Column(
        "sample",
        "string",
        "",
        "which sources: all, above a limit in S/N, a half by peak; and where",
    ),
    Column("n_sources", "int64", "", "sources within relation.max_radius"),
    Column("area_arcsec2", "float64", "arcsec2", "their effective area"),
    Column("binned_index", "float64", "", "b of kappa = A n^b from boxes binned in n"),
    Column("binned_index_err", "float64", "", "its standard deviation"),
    Column("c", "float64", "", "power of n = a kappa^c + f from the likelihood"),
    Column("c_err", "float64", "", "its standard deviation"),
    Column(
        "c_err_systematic", "float64", "", "by how much c differs from that of all beyond chance, 0 or more"
    ),
    Column("index", "float64", "", "b = 1 / c"),
    Column("index_err", "float64", "", "its standard deviation"),
    Column("amplitude", "float64", "", "A = a^(-1/c)"),
    Column("amplitude_err", "float64", "", "its standard deviation"),
    Column("floor", "float64", "arcsec-2", "f of the likelihood's law"),
    Column("floor_err", "float64", "arcsec-2", "its standard deviation; NaN where it lies at 0"),
    Column("dispersion", "float64", "", "phi of the counts' variance mu + phi mu^2; 0: Poisson"),
    Column("beta", "float64", "", "sum(kappa rho) / sum(rho^2) of coarse cells (arcsec^1.6 for alpha = 1.6)"),
    Column("pearson", "float64", "", "correlation of kappa and rho on these cells"),
    Column("spearman", "float64", "", "the same of their ranks"),
)
"""Columns of sensitivity.ecsv."""

PROFILE: Final = (
    Column("field", "string", "", "name of the field"),
    Column("r_lo", "float64", "arcsec", "inner edge of the annulus"),
    Column("r_hi", "float64", "arcsec", "outer edge of the annulus"),
    Column("area_arcsec2", "float64", "arcsec2", "good area"),
    Column("n_gc", "int64", "", "sources above the larger keep x T of the fields"),
    Column("n_per_arcsec2", "float64", "arcsec-2", "counts over good area"),
    Column("n_err", "float64", "arcsec-2", "Poisson error of the same"),
    Column("n_corrected", "float64", "arcsec-2", "the same less the contamination"),
    Column("kappa", "float64", "", "mean convergence at the reference redshift"),
    Column("light", "float64", "nJy arcsec-2", "mean of the summed bands less that of the outermost annulus"),
    Column("rho", "float64", "", "mean of the kernel sum of Diego et al. 2026 (arcsec^-1.6 for alpha = 1.6)"),
    Column(
        "crowding", "float64", "", "share of sources that no brighter one too near hides, at this density"
    ),
)
"""Columns of profile.ecsv."""

RADIAL: Final = (
    Column(
        "geometry", "string", "", "circle or ellipse: the annulus's shape, the ellipse that of the sources"
    ),
    Column("r_lo", "float64", "arcsec", "inner edge; of an ellipse the radius of the circle of its area"),
    Column("r_hi", "float64", "arcsec", "outer edge"),
    Column("r_mean", "float64", "arcsec", "mean radius of the good area"),
    Column("area_arcsec2", "float64", "arcsec2", "good area, all fields"),
    Column("n_gc", "int64", "", "sources above the larger keep x T of the fields"),
    Column("n_per_arcsec2", "float64", "arcsec-2", "counts over good area"),
    Column("n_err", "float64", "arcsec-2", "Poisson error of the same"),
    Column("n_corrected", "float64", "arcsec-2", "the same less the contamination"),
    Column("n_corrected_err", "float64", "arcsec-2", "its error, that of the contamination included"),
    Column("kappa", "float64", "", "mean convergence at the reference redshift"),
    Column("kappa_err", "float64", "", "scatter of the same over realisations of the lens model"),
    Column("light", "float64", "nJy arcsec-2", "mean of the summed bands less that of the farthest tenth"),
    Column("rho", "float64", "", "mean of the kernel sum of Diego et al. 2026 (arcsec^-1.6 for alpha = 1.6)"),
)
"""Columns of radial.ecsv: all fields together."""

SHAPE: Final = (
    Column("tracer", "string", "", "sources, kappa, light or rho"),
    Column("r_lo", "float64", "arcsec", "inner edge of the ring"),
    Column("r_hi", "float64", "arcsec", "outer edge of the ring"),
    Column("n_gc", "float64", "", "sources in it"),
    Column("slope", "float64", "", "-dlog/dlog R inside the ring, less the floor for sources"),
    Column("axis_ratio", "float64", "", "of the ellipse, minor over major axis"),
    Column(
        "axis_ratio_err", "float64", "", "error, of blocks of 15 arcsec where there are ten; maps have none"
    ),
    Column("position_angle", "float64", "deg", "of the major axis, east of north"),
    Column("position_angle_err", "float64", "deg", "its error, made alike"),
)
"""Columns of shape.ecsv."""

MASSES: Final = (
    Column("quantity", "string", "", "what it is"),
    Column("value", "float64", "", "in the unit of its row"),
    Column("err", "float64", "", "its error, in the same unit; NaN where none is known"),
    Column("unit", "string", "", "astropy unit string; empty where dimensionless"),
    Column("arithmetic", "string", "", "the numbers that make it, or why it is missing"),
)
"""Columns of masses.ecsv."""

CONTAMINATION: Final = (
    Column("component", "string", "", "where the estimate comes from"),
    Column("per_arcsec2", "float64", "arcsec-2", "sources that are none of the cluster's"),
    Column("per_arcsec2_err", "float64", "arcsec-2", "its error"),
    Column("per_kpc2", "float64", "kpc-2", "the same at the cluster's redshift"),
    Column("per_kpc2_err", "float64", "kpc-2", "its error"),
    Column("factor", "float64", "", "by which lensing changes counts behind the cluster, mu^(2.5 s - 1)"),
    Column("factor_err", "float64", "", "its error, from that of s"),
    Column("how", "string", "", "arithmetic in words and numbers, or why it is missing"),
)
"""Columns of contamination.ecsv."""

PURITY: Final = (
    Column("field", "string", "", "name of the field"),
    Column("zone", "int64", "", "zone of noise: 0 deep, 1 usual, 2 shallow"),
    Column("noise_lo", "float64", "nJy", "smallest noise of the zone's cells, nJy per pixel"),
    Column("noise_hi", "float64", "nJy", "largest noise of the zone's cells, nJy per pixel"),
    Column("area_arcsec2", "float64", "arcsec2", "good area of the zone"),
    Column("snr_lo", "float64", "", "lower edge of the slice in signal-to-noise against local noise"),
    Column("snr_hi", "float64", "", "upper edge of the slice"),
    Column("n_found", "int64", "", "peaks in the slice"),
    Column("n_noise", "float64", "", "peaks that noise alone makes, from the null maps; NaN: not known"),
    Column("n_noise_err", "float64", "", "error of the same"),
    Column("purity", "float64", "", "1 - n_noise / n_found, between 0 and 1"),
    Column("purity_err", "float64", "", "error of the same"),
    Column("purity_above", "float64", "", "purity of all peaks from snr_lo on"),
)
"""Columns of purity.ecsv."""

PATTERN: Final = (
    Column("field", "string", "", "name of the field"),
    Column("snr_lo", "float64", "", "lower edge of the slice in signal-to-noise against local noise"),
    Column("snr_hi", "float64", "", "upper edge of the slice"),
    Column("n_found", "int64", "", "peaks in the slice"),
    Column("period", "float64", "pix", "period of the strongest periodicity of their positions"),
    Column("angle", "float64", "deg", "of its wave vector, from the x axis towards y"),
    Column("power", "float64", "", "its power over the mean of modes of like period"),
    Column("false_alarm", "float64", "", "probability that a field without a pattern shows one as strong"),
)
"""Columns of pattern.ecsv."""

AUDIT: Final = (
    Column("check", "string", "", "what was looked at"),
    Column("field", "string", "", "name of the field"),
    Column("band", "string", "", "name of the band; empty: of the whole field"),
    Column("value", "float64", "", "what was found; NaN: it could not be measured"),
    Column("unit", "string", "", "unit of the value, empty where it has none"),
    Column("verdict", "string", "", "ok, look, wrong or unmeasured"),
    Column("finding", "string", "", "what the value is"),
    Column("remedy", "string", "", "what to do; empty where nothing is"),
)
"""Columns of audit.ecsv, and keys of a row of `audit` in summary.json."""

MASKED: Final = (
    Column("field", "string", "", "name of the field"),
    Column("r_lo", "float64", "arcsec", "inner edge of the annulus"),
    Column("r_hi", "float64", "arcsec", "outer edge; infinite in the last row of a field"),
    Column("data_arcsec2", "float64", "arcsec2", "area with data"),
    Column("inside_arcsec2", "float64", "arcsec2", "area with data inside the edges"),
    Column("good_arcsec2", "float64", "arcsec2", "area without any bit"),
    Column("edge_arcsec2", "float64", "arcsec2", "area with data of bit 2"),
    Column("edge_own_arcsec2", "float64", "arcsec2", "the same: edges count before all others"),
    Column("bright_arcsec2", "float64", "arcsec2", "area of bit 4 inside the edges"),
    Column("bright_own_arcsec2", "float64", "arcsec2", "the part of it that no later bit has"),
    Column("extended_arcsec2", "float64", "arcsec2", "area of bit 8 inside the edges"),
    Column("extended_own_arcsec2", "float64", "arcsec2", "the part of it that no later bit has"),
    Column("spike_arcsec2", "float64", "arcsec2", "area of bit 16 inside the edges"),
    Column("spike_own_arcsec2", "float64", "arcsec2", "the part of it that no later bit has"),
    Column("region_arcsec2", "float64", "arcsec2", "area of bit 32 inside the edges"),
    Column("region_own_arcsec2", "float64", "arcsec2", "the part of it that no later bit has"),
    Column("arc_arcsec2", "float64", "arcsec2", "area of bit 64 inside the edges"),
    Column("arc_own_arcsec2", "float64", "arcsec2", "the same: no bit is later"),
)
"""Columns of masked.ecsv. Bits overlap; the exclusive areas and the good area add up to the area with data."""

STARS: Final = (
    Column("field", "string", "", "name of the field"),
    Column("y", "int64", "pix", "row of the middle, 0-based"),
    Column("x", "int64", "pix", "column of the middle, 0-based"),
    Column("ra", "float64", "deg", "right ascension of that pixel's centre, ICRS"),
    Column("dec", "float64", "deg", "declination of that pixel's centre, ICRS"),
    Column("flux", "float64", "nJy", "light in all bands together, from the wings"),
    Column("core", "float64", "", "share of it within 3 px; NaN: the core lacks data"),
    Column("noise", "float64", "nJy", "brightness per pixel whose grains rise a sigma in the detection map"),
    Column(
        "radius", "float64", "pix", "radius of the disc, bit 16, where the wings are brighter than k of it"
    ),
    Column("radius_arcsec", "float64", "arcsec", "the same on the sky"),
)
"""Columns of stars.ecsv: very bright point sources, brightest first in each field; empty without mask.spikes."""

STUDY_MASK: Final = (
    Column("field", "string", "", "name of the field"),
    Column("growth", "float64", "pix", "pixels by which bits 4, 8, 16, 32 and 64 are grown"),
    Column("annulus", "int64", "", "number of the annulus from the centre; -1: the whole field"),
    Column("r_lo", "float64", "arcsec", "inner edge"),
    Column("r_hi", "float64", "arcsec", "outer edge; infinite in the last annulus"),
    Column("area_arcsec2", "float64", "arcsec2", "good area"),
    Column("n_gc", "int64", "", "sources of the field's catalogue on good pixels"),
    Column("n_per_arcsec2", "float64", "arcsec-2", "counts over good area"),
    Column("n_err", "float64", "arcsec-2", "Poisson error of the same"),
    Column("purity", "float64", "", "mean purity of these sources against noise; NaN: not known"),
    Column("purity_truth", "float64", "", "share of them on planted sources; NaN: no truth"),
    Column("n_rim", "int64", "", "sources that the growth from the least one takes away"),
    Column(
        "n_rim_expected", "float64", "", "what that area would hold at the density that is left, by annuli"
    ),
)
"""Columns of study/mask.ecsv."""
