"""Number density of sources against convergence: boxes, likelihood, kernel, ranking, sensitivity."""
