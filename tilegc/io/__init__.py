"""Files: FITS mosaics, Zarr stores, tables, maps, convergence."""
