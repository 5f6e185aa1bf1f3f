"""Density maps of the sources, inpainting of masked areas, and the kernel sum rho (algorithm.md, sections 7 and 8)."""
