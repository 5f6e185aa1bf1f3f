"""The run file: read, validated, and completed with defaults.

All settings are immutable. `load` reads a YAML file and `resolve` a mapping; both raise `ConfigError` with a one-line
message.
"""

from tilegc.config.completeness import Completeness
from tilegc.config.compute import Compute, Jobs, Kubernetes
from tilegc.config.inputs import (
    Alternative,
    Band,
    Cluster,
    Convergence,
    Cosmology,
    Deflection,
    FieldInput,
    LensMap,
    Mosaic,
    Origin,
    Pointing,
    Rival,
)
from tilegc.config.loading import detection_settings, digest, dump, load, read_yaml, resolve, settings
from tilegc.config.luminosity import Luminosity
from tilegc.config.photometry import Extinction, Photometry
from tilegc.config.run import DetectionConfig, RunConfig
from tilegc.config.steps import (
    Comparison,
    Density,
    Detect,
    Filter,
    Inpaint,
    Mask,
    Profile,
    Relation,
    SigmaThreshold,
    Tiles,
    ValueThreshold,
)

__all__ = [
    "Alternative",
    "Band",
    "Cluster",
    "Comparison",
    "Completeness",
    "Compute",
    "Convergence",
    "Cosmology",
    "Deflection",
    "Density",
    "Detect",
    "DetectionConfig",
    "Extinction",
    "FieldInput",
    "Filter",
    "Inpaint",
    "Jobs",
    "Kubernetes",
    "LensMap",
    "Luminosity",
    "Mask",
    "Mosaic",
    "Origin",
    "Photometry",
    "Pointing",
    "Profile",
    "Relation",
    "Rival",
    "RunConfig",
    "SigmaThreshold",
    "Tiles",
    "ValueThreshold",
    "detection_settings",
    "digest",
    "dump",
    "load",
    "read_yaml",
    "resolve",
    "settings",
]
