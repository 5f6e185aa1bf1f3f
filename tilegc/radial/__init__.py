"""Radial dependence: profiles, fitted laws, contamination and masses (algorithm.md, sections 12 and 13)."""
