"""Versions of the package and of the format of a run directory."""

from __future__ import annotations

import importlib.metadata
from typing import Final

__all__ = ["SCHEMA_VERSION", "VERSION"]

VERSION: Final = importlib.metadata.version("tilegc")
"""Version of the package, which every product records."""

SCHEMA_VERSION: Final = 3
"""Version of the names in this package; a run directory of another version cannot be resumed."""
