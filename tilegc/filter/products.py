"""Products of the phase `filter`: the PSF of every band."""

from __future__ import annotations

from tilegc.filter.results import Filtered
from tilegc.io.psf import write_psf
from tilegc.phases.output import Output, Part, null
from tilegc.phases.phase import Results

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write a FITS image of every PSF."""
    for name, bands in results[Filtered].psfs.items():
        for one in bands:
            write_psf(
                out.folder.psf(name, one.band),
                one.psf,
                band=one.band,
                scale=out.context.source(name).scale,
                origin=one.origin,
                n_stars=one.n_stars,
                fine=one.fine,
            )


def summarise(out: Output, results: Results) -> Part:
    """Return width and origin of every PSF."""
    return Part(
        fields={
            name: {
                "psf": {
                    one.band: {
                        "fwhm_arcsec": null(one.psf.fwhm * out.context.source(name).scale),
                        "origin": one.origin,
                        "n_stars": one.n_stars,
                    }
                    for one in bands
                }
            }
            for name, bands in results[Filtered].psfs.items()
        }
    )
