"""The detection map: double or matched filter of the summed bands, and the noise of each band."""
