"""What the phases are given: settings, inputs and workers of one run, or of one detection in plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tilegc.config import DetectionConfig, RunConfig
from tilegc.engine import Engine
from tilegc.inputs import Inputs
from tilegc.kernels.psf import Psf
from tilegc.mask.mask_map import Regions
from tilegc.radial.phase import edges_of
from tilegc.run_folder import RunFolder
from tilegc.sky import ClusterFrame, SkyGrid

__all__ = ["DetectionJob", "Job", "job_of"]


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

    @property
    def sky_store(self) -> str:
        """Path of the store of the sky grid."""
        return str(self.folder.sky_store)


def job_of(
    config: RunConfig,
    inputs: Inputs,
    digests: Mapping[str, str],
    folder: RunFolder,
    engine: Engine,
    near: Engine,
    until: str | None,
) -> Job:
    """Return what the phases of a run are given."""
    return Job(
        config=config,
        regions=inputs.regions,
        psfs=inputs.psfs,
        frame=ClusterFrame.of(config.cluster, config.cosmology),
        grid=SkyGrid(config.cluster.ra, config.cluster.dec, config.comparison.pixel),
        edges=edges_of(config),
        inputs=inputs,
        digests=digests,
        folder=folder,
        engine=engine,
        near=near,
        until=until,
    )
