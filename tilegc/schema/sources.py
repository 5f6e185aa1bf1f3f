"""Columns of the tables of sources: catalogue, inpainted sources, artificial stars, and their completeness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tilegc.schema.columns import Column

__all__ = [
    "CANDIDATES",
    "COMPLETENESS",
    "COMPLETENESS_COLUMNS",
    "INPAINTED",
    "SURROUNDINGS",
    "artificial_columns",
    "photometry_columns",
]

CANDIDATES: Final = (
    Column("id", "int64", "", "row in candidates: peaks descending, then field, y, x"),
    Column("field", "string", "", "name of the field"),
    Column("y_peak", "int32", "pix", "row of the peak pixel, 0-based"),
    Column("x_peak", "int32", "pix", "column of the peak pixel, 0-based"),
    Column("y", "float64", "pix", "row of the source, 0-based, integers at pixel centres"),
    Column("x", "float64", "pix", "column of the source, 0-based, integers at pixel centres"),
    Column("ra", "float64", "deg", "right ascension of the source, ICRS"),
    Column("dec", "float64", "deg", "declination of the source, ICRS"),
    Column("peak", "float32", "nJy", "value of the detection map, nJy per pixel"),
    Column("snr", "float64", "", "peak over the noise there (diego2026: the field's sigma)"),
    Column("radius_arcsec", "float64", "arcsec", "distance from the cluster's centre"),
    Column("radius_kpc", "float64", "kpc", "the same at the cluster's redshift"),
    Column(
        "purity",
        "float64",
        "",
        "against noise alone: share of such peaks that noise does not make; NaN: not known",
    ),
    Column("sharpness", "float32", "", "height over the neighbouring pixels, a point's is 1"),
    Column("roundness", "float32", "", "light along a line through the peak: 0 a point, 1 a piece of a line"),
    Column("concentration", "float32", "", "1 a point, 0 a source twice as wide as the PSF"),
    Column("shape", "string", "", "point, extended or elongated; detect.shape keeps points alone"),
)
"""Columns of candidates.parquet and catalogue.parquet."""

SURROUNDINGS: Final = (
    Column(
        "reliability",
        "float64",
        "",
        "purity less the share of false sources at the rims of masks, of spikes and of galaxies",
    ),
    Column(
        "confusion",
        "float64",
        "",
        "scatter of the detection map between the sources, over the noise: 1, more where sources are unresolved",
    ),
)
"""Columns that `recipe: calibrated` adds to candidates and catalogue."""


def photometry_columns(bands: Sequence[str], apertures: Sequence[float]) -> tuple[Column, ...]:
    """Return the columns that photometry adds to candidates and catalogue.

    Parameters
    ----------
    bands : sequence of str
        Names of the bands of all fields; a field that lacks one has NaN there.
    apertures : sequence of float
        Radii of the apertures, arcsec.
    """
    found = [
        Column("y_err", "float64", "pix", "standard deviation of y; NaN where it was not fitted"),
        Column("x_err", "float64", "pix", "standard deviation of x"),
    ]
    for band in bands:
        found += [
            Column(f"flux_{band}", "float64", "nJy", "total flux, all sources and the sky fitted at once"),
            Column(
                f"flux_err_{band}", "float64", "nJy", "its standard deviation: noise, confusion, photons, sky"
            ),
            Column(f"mag_{band}", "float64", "mag", "AB magnitude; NaN where the flux is not positive"),
            Column(f"mag_err_{band}", "float64", "mag", "its standard deviation"),
            Column(f"chi_{band}", "float64", "", "residuals in the core over the noise; about 1 for a point"),
            Column(f"sky_{band}", "float64", "nJy", "fitted sky under the source, nJy per pixel"),
            Column(f"good_{band}", "float64", "", "share of the stamp's information on pixels with weight"),
            *(
                Column(
                    f"aperture{number}_{band}",
                    "float64",
                    "nJy",
                    f"flux within {radius:g} arcsec, neighbours and sky subtracted, uncorrected",
                )
                for number, radius in enumerate(apertures, 1)
            ),
        ]
    return (
        *found,
        Column(
            "crowding", "float64", "", "light of neighbours in the source's stamp over its own, all bands"
        ),
        Column("flags", "int32", "", "bits of tilegc.schema.Flag"),
    )


INPAINTED: Final = (
    Column("realisation", "int32", "", "number of the realisation, from 0"),
    Column("field", "string", "", "name of the field"),
    Column("y", "int32", "pix", "row of the pixel, 0-based"),
    Column("x", "int32", "pix", "column of the pixel, 0-based"),
    Column("ra", "float64", "deg", "right ascension of the pixel's centre, ICRS"),
    Column("dec", "float64", "deg", "declination of the pixel's centre, ICRS"),
)
"""Columns of inpainted.parquet: one row per inpainted source."""

COMPLETENESS_COLUMNS: Final = (
    Column(
        "p_recovery",
        "float64",
        "",
        "share of artificial stars like this source that the run finds; NaN: none",
    ),
    Column("p_point", "float64", "", "share of those with a peak above the limit whose shape is a point's"),
)
"""Columns that artificial stars add to candidates and catalogue."""


def artificial_columns(bands: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of artificial.parquet.

    Parameters
    ----------
    bands : sequence of str
        Names of the bands of all fields; a field that lacks one has NaN there.
    """
    return (
        Column("id", "int64", "", "number of the draw in the field; draws on masked pixels leave gaps"),
        Column("field", "string", "", "name of the field"),
        Column("y", "float64", "pix", "row of the star, 0-based, integers at pixel centres"),
        Column("x", "float64", "pix", "column of the star, 0-based"),
        Column("ra", "float64", "deg", "right ascension of the star, ICRS"),
        Column("dec", "float64", "deg", "declination of the star, ICRS"),
        Column("radius_arcsec", "float64", "arcsec", "distance from the cluster's centre"),
        Column(
            "mag_in",
            "float64",
            "mag",
            "AB magnitude of the flat spectrum that raises the detection map as much",
        ),
        Column(
            "mag_out", "float64", "mag", "the same from the detection map's peak; NaN where there is none"
        ),
        *(Column(f"mag_in_{band}", "float64", "mag", "AB magnitude of the star") for band in bands),
        Column(
            "q",
            "float64",
            "arcsec-2 mag-1",
            "density of the draw, of unit sum over the field's searched area",
        ),
        Column(
            "noise",
            "float64",
            "nJy",
            "noise at the star, nJy per pixel; 1 where peaks are compared without it",
        ),
        Column("recovered", "bool", "", "whether the run would have found it"),
        Column("displaced", "int32", "", "sources of the catalogue that it takes away"),
        Column("kind", "string", "", "what was put in: point"),
        Column("psf", "string", "", "PSF that it was made with: model"),
        Column("flags", "int32", "", "bits of tilegc.schema.StarFlag"),
    )


COMPLETENESS: Final = (
    Column("field", "string", "", "name of the field"),
    Column(
        "band", "string", "", "name of the band; detection: the flat spectrum that raises its map as much"
    ),
    Column("zone", "int64", "", "zone of noise: 0 deep, 1 usual, 2 shallow; -1: all"),
    Column("r_lo", "float64", "arcsec", "inner radius"),
    Column("r_hi", "float64", "arcsec", "outer radius; infinite: the whole field"),
    Column("n_stars", "int64", "", "artificial stars"),
    Column(
        "m50", "float64", "mag", "AB magnitude at which half of the sources are found; NaN: never or always"
    ),
    Column("m50_err", "float64", "mag", "its error, from the number of stars"),
    Column("m80", "float64", "mag", "the same for four of five"),
    Column("m80_err", "float64", "mag", "its error"),
    Column("m90", "float64", "mag", "the same for nine of ten"),
    Column("m90_err", "float64", "mag", "its error"),
    Column("p_bright", "float64", "", "completeness of the brightest magnitude of the stars"),
)
"""Columns of completeness.ecsv."""
