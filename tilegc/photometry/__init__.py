"""PSF photometry: sub-pixel positions and total fluxes of all sources of a field, fitted at once with the sky."""
