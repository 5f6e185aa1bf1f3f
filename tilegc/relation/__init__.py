"""Counts of sources against convergence: boxes, likelihood, kernel, ranking of maps, and sensitivity."""
