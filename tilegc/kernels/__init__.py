"""Pure kernels: arrays in, arrays out.

NumPy and Numba only; no Dask, no Zarr, no files. Arrays are ordered (y, x); each kernel states the radius
within which its result at a pixel depends on other pixels.
"""
