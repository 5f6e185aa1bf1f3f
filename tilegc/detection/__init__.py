"""Noise, peaks, thresholds, purity and shapes: from the detection map to candidates and catalogue."""
