"""The run file: what a user writes, checked, with every default filled in.

All values are frozen. `load` reads a YAML file, `resolve` a mapping; both raise `ConfigError` with one line.
"""

from tilegc.config.loading import digest, dump, load, resolve
from tilegc.config.models import (
    Band,
    Cluster,
    Comparison,
    Convergence,
    Cosmology,
    Deflection,
    Density,
    Detect,
    FieldInput,
    Filter,
    Inpaint,
    LensMap,
    Mask,
    Origin,
    Profile,
    Relation,
    Rival,
    RunConfig,
    SigmaThreshold,
    Tiles,
    ValueThreshold,
)

__all__ = [
    "Band",
    "Cluster",
    "Comparison",
    "Convergence",
    "Cosmology",
    "Deflection",
    "Density",
    "Detect",
    "FieldInput",
    "Filter",
    "Inpaint",
    "LensMap",
    "Mask",
    "Origin",
    "Profile",
    "Relation",
    "Rival",
    "RunConfig",
    "SigmaThreshold",
    "Tiles",
    "ValueThreshold",
    "digest",
    "dump",
    "load",
    "resolve",
]
