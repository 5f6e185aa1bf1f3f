"""Pure functions on arrays that several phases share: no files, no Dask, no state."""
