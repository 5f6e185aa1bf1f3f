"""Readers that are imported when something is read: `status` and the command line need none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tilegc.places import Place, prepare_store

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["open_store", "tables"]


def open_store(path: str | Place, **options: Any) -> xr.Dataset:
    """Open a Zarr store, local or remote."""
    import xarray as xr  # noqa: PLC0415  (half a second, which `status` need not wait for)

    opener: Callable[..., xr.Dataset] = xr.open_zarr
    prepare_store(path)
    return opener(str(path), **options)


def tables() -> Any:
    """Return the module that reads tables."""
    from tilegc.io import tables as module  # noqa: PLC0415  (pyarrow and astropy.table: only who reads a table pays)

    return module
