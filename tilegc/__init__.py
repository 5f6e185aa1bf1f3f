"""tilegc: globular clusters in JWST mosaics of galaxy clusters.

Everything that is meant to be imported is in this namespace; names in submodules may change without notice.

>>> import tilegc
>>> run = tilegc.run("run.yaml", "first", workers=0)
>>> run.catalogue, run.field("a")
(<QTable ...>..., <xarray.Dataset>...)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tilegc.errors import (
    AstrometryError,
    ConfigError,
    ConvergenceError,
    GridError,
    InputError,
    ResourceError,
    RunFailedError,
    RunFolderError,
    TileGCError,
    TilesFailedError,
    UnitError,
)
from tilegc.schema import VERSION

__version__ = VERSION
__all__ = [
    "AstrometryError",
    "CatalogueProfile",
    "ConfigError",
    "ConvergenceError",
    "Detections",
    "GridError",
    "InputError",
    "Plan",
    "Prediction",
    "ResourceError",
    "Run",
    "RunConfig",
    "RunFailedError",
    "RunFolderError",
    "Status",
    "TileGCError",
    "TilesFailedError",
    "UnitError",
    "__version__",
    "audit",
    "complete",
    "detect",
    "detect_in",
    "lazy",
    "load",
    "open_run",
    "plan",
    "predict",
    "profile_of",
    "resolve",
    "run",
    "simulate",
    "status",
    "survey",
    "verify",
]

if TYPE_CHECKING:
    from tilegc import lazy
    from tilegc.catalogue import CatalogueProfile, profile_of
    from tilegc.completing import complete
    from tilegc.config import RunConfig, load, resolve
    from tilegc.in_memory import Detections, detect_in
    from tilegc.planning import Plan
    from tilegc.prediction import Prediction, predict
    from tilegc.previews import audit, plan
    from tilegc.run_folder import Run, open_run
    from tilegc.run_folder.status import Status, status, verify
    from tilegc.running import detect, run
    from tilegc.samples import survey
    from tilegc.simulation import simulate

_MODULES = {
    "CatalogueProfile": "tilegc.catalogue",
    "Detections": "tilegc.in_memory",
    "Plan": "tilegc.planning",
    "Prediction": "tilegc.prediction",
    "Run": "tilegc.run_folder",
    "RunConfig": "tilegc.config",
    "Status": "tilegc.run_folder",
    "audit": "tilegc.previews",
    "complete": "tilegc.completing",
    "detect": "tilegc.running",
    "detect_in": "tilegc.in_memory",
    "load": "tilegc.config",
    "open_run": "tilegc.run_folder",
    "plan": "tilegc.previews",
    "predict": "tilegc.prediction",
    "profile_of": "tilegc.catalogue",
    "resolve": "tilegc.config",
    "run": "tilegc.running",
    "simulate": "tilegc.simulation",
    "status": "tilegc.run_folder",
    "survey": "tilegc.samples",
    "verify": "tilegc.run_folder",
}
"""Module of each public name that is imported on first use."""


# `tilegc --help` and `import tilegc` should take a fraction of a second, but the pipeline imports Dask, Zarr, astropy
# and Numba. So public names are resolved on first use (PEP 562). A submodule must not bear the name of a function
# here: importing it would replace the function.
def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "lazy":
        return importlib.import_module("tilegc.lazy")
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'tilegc' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, including those that have not been imported yet."""
    return sorted(__all__)
