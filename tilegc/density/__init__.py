"""Density of sources, what the masks hide of them, and the kernel sum rho."""
