"""What the phases are given: settings, inputs and workers of one run, or of one detection in plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tilegc.config import DetectionConfig, RunConfig
from tilegc.engine import Engine
from tilegc.geometry import Box
from tilegc.inputs import Inputs
from tilegc.kernels.psf import Psf
from tilegc.mask.mask_map import Regions
from tilegc.places import Place
from tilegc.run_folder import RunFolder
from tilegc.schema import FILES
from tilegc.sky import ClusterFrame, SkyGrid

__all__ = ["DetectionJob", "Job"]


@dataclass(frozen=True, kw_only=True)
class DetectionJob:
    """What the phases from the bands to the catalogue need, with or without a cluster and a sky."""

    config: DetectionConfig
    regions: Mapping[str, Regions]
    """The user's masks, by field."""
    psfs: Mapping[str, Mapping[str, Psf]]
    """The user's PSFs, by field and band."""
    frame: ClusterFrame | None = None
    """The cluster's centre and scale."""
    grid: SkyGrid | None = None
    """The grid on the sky about that centre."""
    edges: tuple[float, ...] = ()
    """Edges of the annuli of the profile, arcsec."""


@dataclass(frozen=True, kw_only=True)
class Job(DetectionJob):
    """What all phases of a run need."""

    config: RunConfig
    frame: ClusterFrame
    grid: SkyGrid
    inputs: Inputs
    digests: Mapping[str, str]
    """SHA-256 of every input file, by path."""
    folder: RunFolder
    engine: Engine
    near: Engine
    """Workers on this machine: exp and log differ between CPUs."""
    until: str | None = None
    """Where the run stops early."""
    timing: dict[str, float] = field(default_factory=dict)
    """Seconds that phases took, by their key in summary.json; filled as they end."""

    def without(self, areas: Mapping[str, tuple[Box, ...]]) -> Job:
        """Return the job whose images have no data in some areas."""
        return self if not areas else replace(self, inputs=self.inputs.without(areas))

    @property
    def ledger(self) -> Place:
        """Folder of the marks of what is finished."""
        return self.folder.path / FILES.ledger

    @property
    def sky_store(self) -> str:
        """Path of the store of the sky grid."""
        return str(self.folder.sky_store)
