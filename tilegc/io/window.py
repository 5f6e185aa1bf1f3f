"""What a rule sees of a field: a window of its arrays, in memory.

This is not an xarray dataset, though it makes one if asked (`Window.dataset`). With pandas, which it needs, xarray
takes half a second of every process to import, and a dataset of four arrays takes milliseconds to build: as long as it
takes to read a small window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from tilegc.deferred import Deferred

if TYPE_CHECKING:
    import xarray as xr
else:
    xr = Deferred("xarray")

__all__ = ["Plane", "Window"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plane:
    """One array of a window."""

    values: npt.NDArray[Any]
    """Shape of the window; with a leading axis of bands where `dims` has one."""
    dims: tuple[str, ...] = ("y", "x")
    """Names of the axes, as in `tilegc.schema.ARRAYS`."""
    units: str = ""


class Window(Mapping[str, Plane]):
    """Arrays of a field by name, all of one box.

    Parameters
    ----------
    planes : mapping of str to Plane
    bands : sequence of str, optional
        Names along the axis `band`; none if no array has it.
    """

    def __init__(self, planes: Mapping[str, Plane], bands: tuple[str, ...] = ()) -> None:
        self._planes = dict(planes)
        self.bands = bands

    def __getitem__(self, name: str) -> Plane:
        """Return an array by its name."""
        return self._planes[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the arrays."""
        return iter(self._planes)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self._planes)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(plane.values.nbytes for plane in self._planes.values())

    def dataset(self) -> xr.Dataset:
        """Return the same arrays as an xarray dataset, with their axes and units and the coordinate `band`."""
        return xr.Dataset(
            {name: (plane.dims, plane.values, {"units": plane.units}) for name, plane in self.items()},
            coords={"band": list(self.bands)} if self.bands else None,
        )
