"""Packages that are imported when something of them is first used.

Dask, Zarr, xarray and pandas cost a second of processor time of every process that imports them. `tilegc plan`, a run
file with a mistake and a run without workers need none of it, or only part of it. SciPy does the same with its own
subpackages: `import scipy` costs nothing, and `scipy.ndimage` is imported where it is first named.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["Deferred"]


class Deferred:
    """Stands for a module until one of its attributes is asked for.

    Parameters
    ----------
    name : str
        Full name of the module.

    Examples
    --------
    Type checkers are shown the module itself:

    >>> if TYPE_CHECKING:
    ...     import zarr
    ... else:
    ...     zarr = Deferred("zarr")
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """Import the module, and return its attribute."""
        return getattr(import_module(self._name), attribute)
