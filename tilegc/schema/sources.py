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
    "LUMINOSITY",
    "MEMBERSHIP_COLUMNS",
    "RESPONSE",
    "SURROUNDINGS",
    "artificial_columns",
    "photometry_columns",
]

CANDIDATES: Final = (
    Column(
        "id",
        "int64",
        "",
        "row of the source in candidates, which are sorted by descending peak, then field, y, x",
    ),
    Column("field", "string", "", "name of the field"),
    Column("y_peak", "int32", "pix", "row of the peak pixel, 0-based"),
    Column("x_peak", "int32", "pix", "column of the peak pixel, 0-based"),
    Column("y", "float64", "pix", "row of the source, 0-based, integers at pixel centres"),
    Column("x", "float64", "pix", "column of the source, 0-based, integers at pixel centres"),
    Column("ra", "float64", "deg", "right ascension of the source, ICRS"),
    Column("dec", "float64", "deg", "declination of the source, ICRS"),
    Column("peak", "float32", "nJy", "value of the detection map at the peak, nJy per pixel"),
    Column("snr", "float64", "", "peak over the local noise (diego2026: over the noise of the field)"),
    Column("radius_arcsec", "float64", "arcsec", "distance from the cluster centre"),
    Column(
        "radius_kpc",
        "float64",
        "kpc",
        "projected distance from the cluster centre, at the redshift of the cluster",
    ),
    Column(
        "purity",
        "float64",
        "",
        "probability that the peak is not noise, from the counts of noise peaks; NaN if unknown",
    ),
    Column(
        "sharpness",
        "float32",
        "",
        "peak over the neighbouring pixels, relative to a point source: 1 for a point source",
    ),
    Column("roundness", "float32", "", "elongation: 0 for a point source, 1 for a segment of a line"),
    Column("concentration", "float32", "", "1 for a point source, 0 for a source twice as wide as the PSF"),
    Column(
        "shape",
        "string",
        "",
        "point, extended or elongated; with detect.shape: auto the catalogue contains only points",
    ),
)
"""Columns of candidates.parquet and catalogue.parquet."""

SURROUNDINGS: Final = (
    Column(
        "reliability",
        "float64",
        "",
        "purity minus the expected fraction of false sources at the rims of masks",
    ),
    Column(
        "confusion",
        "float64",
        "",
        "scatter of the detection map between sources over the noise: 1 in empty sky, more with unresolved sources",
    ),
    Column(
        "diffuse",
        "float64",
        "",
        "significance of diffuse light around the source; above 5 it may be a knot of a faint galaxy",
    ),
)
"""Columns that `recipe: calibrated` adds to candidates and catalogue."""


def photometry_columns(
    bands: Sequence[str], apertures: Sequence[float], *, corrected: bool = False
) -> tuple[Column, ...]:
    """Return the columns that photometry adds to candidates and catalogue.

    Parameters
    ----------
    bands : sequence of str
        Names of the bands of all fields; a field that lacks one has NaN there.
    apertures : sequence of float
        Radii of the apertures, arcsec.
    corrected : bool
        Whether magnitudes are also given corrected for foreground extinction.
    """
    found = [
        Column("y_err", "float64", "pix", "standard error of y; NaN if the position was not fitted"),
        Column("x_err", "float64", "pix", "standard error of x; NaN if the position was not fitted"),
    ]
    for band in bands:
        found += [
            Column(
                f"flux_{band}",
                "float64",
                "nJy",
                "total flux from a simultaneous fit of all sources and the sky",
            ),
            Column(
                f"flux_err_{band}",
                "float64",
                "nJy",
                "standard error of the flux: noise, confusion, photon noise and sky",
            ),
            Column(f"mag_{band}", "float64", "mag", "AB magnitude; NaN if the flux is not positive"),
            Column(f"mag_err_{band}", "float64", "mag", "standard error of the magnitude"),
            *(
                [
                    Column(
                        f"mag0_{band}", "float64", "mag", "the magnitude, corrected for foreground extinction"
                    )
                ]
                if corrected
                else []
            ),
            Column(
                f"chi_{band}",
                "float64",
                "",
                "rms residual in the core over the noise; about 1 for a point source",
            ),
            Column(f"sky_{band}", "float64", "nJy", "fitted sky at the source, nJy per pixel"),
            Column(
                f"good_{band}",
                "float64",
                "",
                "fraction of the PSF's information that lies on pixels with weight",
            ),
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
            "crowding",
            "float64",
            "",
            "flux of neighbours within the stamp of the source over its own flux, all bands",
        ),
        Column("flags", "int32", "", "bits of tilegc.schema.Flag"),
    )


INPAINTED: Final = (
    Column("realisation", "int32", "", "number of the realisation, starting from 0"),
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
        "fraction of similar artificial stars that the run recovers; NaN if there are none",
    ),
    Column(
        "p_point",
        "float64",
        "",
        "fraction of similar artificial stars above the limit that are classified as point-like",
    ),
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
        Column(
            "id",
            "int64",
            "",
            "number of the star in its field; there are gaps where stars fell on masked pixels",
        ),
        Column("field", "string", "", "name of the field"),
        Column("y", "float64", "pix", "row of the star, 0-based, integers at pixel centres"),
        Column("x", "float64", "pix", "column of the star, 0-based"),
        Column("ra", "float64", "deg", "right ascension of the star, ICRS"),
        Column("dec", "float64", "deg", "declination of the star, ICRS"),
        Column("radius_arcsec", "float64", "arcsec", "distance from the cluster centre"),
        Column(
            "mag_in",
            "float64",
            "mag",
            "AB magnitude of a flat-spectrum source with the same peak in the detection map",
        ),
        Column(
            "mag_out",
            "float64",
            "mag",
            "the same, measured from the peak in the detection map; NaN if there is no peak",
        ),
        *(Column(f"mag_in_{band}", "float64", "mag", "AB magnitude of the star") for band in bands),
        *(
            Column(
                f"{key}_{band}",
                "float64",
                "mag",
                f"{what} from photometry of the star; NaN if it is not recovered or its flux is not positive",
            )
            for band in bands
            for key, what in (("mag_out", "AB magnitude"), ("mag_err_out", "error of the AB magnitude"))
        ),
        Column(
            "q",
            "float64",
            "arcsec-2 mag-1",
            "probability density with which the star was drawn; its integral over the searched area is 1",
        ),
        Column(
            "noise",
            "float64",
            "nJy",
            "local noise at the star, nJy per pixel; 1 if peaks are compared in nJy",
        ),
        Column("recovered", "bool", "", "whether the run would have detected the star"),
        Column("displaced", "int32", "", "number of catalogue sources that are lost because of the star"),
        Column("kind", "string", "", "type of the injected source: point"),
        Column("psf", "string", "", "PSF used for the injection: model"),
        Column("flags", "int32", "", "bits of tilegc.schema.StarFlag"),
    )


RESPONSE: Final = (
    Column("field", "string", "", "name of the field"),
    Column("band", "string", "", "name of the band"),
    Column("r_lo", "float64", "arcsec", "inner radius"),
    Column("r_hi", "float64", "arcsec", "outer radius; infinite for the whole field"),
    Column("mag_lo", "float64", "mag", "bright end of the bin of true AB magnitude"),
    Column("mag_hi", "float64", "mag", "faint end of the bin"),
    Column("n_stars", "int64", "", "number of artificial stars"),
    Column("n_measured", "int64", "", "number of them that are recovered and measured"),
    Column("recovered", "float64", "", "fraction that is recovered and measured, uniform over the area"),
    Column("bias", "float64", "", "median of measured over true flux, less 1"),
    Column("bias_err", "float64", "", "error of bias"),
    Column("scatter", "float64", "", "half the central 68 % interval of measured over true flux"),
    Column("pull", "float64", "", "median of the difference of measured and true flux over its error"),
    Column("pull_width", "float64", "", "half the central 68 % interval of that; 1 if errors are right"),
)
"""Columns of response.ecsv: one row per field, band, annulus and bin of magnitude with enough measured stars."""


COMPLETENESS: Final = (
    Column("field", "string", "", "name of the field"),
    Column("band", "string", "", "name of the band; detection: flat-spectrum magnitude in the detection map"),
    Column("zone", "int64", "", "noise zone: 0 deep, 1 typical, 2 shallow, -1 all"),
    Column("r_lo", "float64", "arcsec", "inner radius"),
    Column("r_hi", "float64", "arcsec", "outer radius; infinite for the whole field"),
    Column("n_stars", "int64", "", "number of artificial stars"),
    Column(
        "m50", "float64", "mag", "AB magnitude of 50 % completeness; NaN if all stars lie on one side of it"
    ),
    Column("m50_err", "float64", "mag", "error of m50 from the number of stars"),
    Column("m80", "float64", "mag", "AB magnitude of 80 % completeness"),
    Column("m80_err", "float64", "mag", "error of m80"),
    Column("m90", "float64", "mag", "AB magnitude of 90 % completeness"),
    Column("m90_err", "float64", "mag", "error of m90"),
    Column("p_bright", "float64", "", "completeness of the brightest stars"),
)
"""Columns of completeness.ecsv."""

MEMBERSHIP_COLUMNS: Final = (
    Column(
        "p_gc",
        "float64",
        "",
        "chance to be a globular cluster, by colours, magnitude and distance from the centre; NaN: not known",
    ),
    Column("p_gc_colour", "float64", "", "the same by colours alone"),
)
"""Columns that the luminosity function adds to candidates and catalogue."""

LUMINOSITY: Final = (
    Column("field", "string", "", "name of the field"),
    Column("r_lo", "float64", "arcsec", "inner radius of the annulus"),
    Column("r_hi", "float64", "arcsec", "outer radius; infinite in the last annulus of a field"),
    Column("area_arcsec2", "float64", "arcsec2", "its searched area"),
    Column("outer", "bool", "", "whether it belongs to the outer field, which tells the background"),
    Column(
        "mag_lo", "float64", "mag", "bright end of the bin in listed magnitude (flat spectrum, from the peak)"
    ),
    Column("mag_hi", "float64", "mag", "faint end"),
    Column("n_found", "int64", "", "sources of the catalogue"),
    Column("n_clusters", "float64", "", "expected clusters among them"),
    Column("n_background", "float64", "", "expected others"),
    Column("density", "float64", "arcsec-2", "clusters of all magnitudes in the annulus"),
)
"""Columns of luminosity.ecsv."""
