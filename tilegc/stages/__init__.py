"""The stages of a run, one file each: short lists of passes over tiles, and what the driver makes of them."""
