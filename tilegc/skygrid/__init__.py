"""A tangent-plane grid over all fields: counts, area, light, galaxies and convergence in cells (algorithm.md, section
9)."""
