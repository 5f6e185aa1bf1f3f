"""Artificial stars: which sources the run would have found, where, and how bright they would have appeared."""
