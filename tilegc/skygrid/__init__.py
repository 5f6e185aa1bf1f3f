"""A tangent-plane grid over all fields: counts, area, light, galaxies and kappa in cells."""
