"""One tangent-plane grid over all fields: counts, area, light, galaxies and kappa, cell by cell."""
