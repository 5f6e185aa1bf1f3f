"""Noise of the detection map: global, local, and of null maps."""
