"""tilegc: globular clusters in JWST mosaics of galaxy clusters.

>>> import tilegc
>>> run = tilegc.run("run.yaml")  # doctest: +SKIP
>>> run.catalogue, run.field("a")  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tilegc.schema import VERSION

__version__ = VERSION
__all__ = [
    "__version__", "detect_in", "lazy", "load", "open_run", "plan", "predict", "profile_of", "resolve", "run",
]  # fmt: skip

if TYPE_CHECKING:
    from tilegc import lazy
    from tilegc.catalogue import profile_of
    from tilegc.config import load, resolve
    from tilegc.detection.in_memory import detect_in
    from tilegc.pipeline import plan, run
    from tilegc.prediction import predict
    from tilegc.run_folder import open_run

_PLACES = {
    "load": "tilegc.config", "resolve": "tilegc.config", "run": "tilegc.pipeline", "plan": "tilegc.pipeline",
    "open_run": "tilegc.run_folder", "predict": "tilegc.prediction", "profile_of": "tilegc.catalogue",
    "detect_in": "tilegc.detection.in_memory",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: start-up stays short."""
    if name == "lazy":
        return importlib.import_module("tilegc.lazy")
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'tilegc' has no attribute {name!r}")
