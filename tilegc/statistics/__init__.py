"""Statistics of counts and maps: arrays in, numbers out; no files, no Dask, nothing of the chain."""
