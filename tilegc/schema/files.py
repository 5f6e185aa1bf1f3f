"""Names of the files and directories of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FILES", "HERE", "SKY_STORE", "STAR_BATCH", "Files"]

SKY_STORE: Final = "sky-grid"
"""Name of the store of the sky grid, next to those of the fields; no field can have this name."""

HERE: Final = ".here-"
"""Prefix of the token files by which workers recognise the run directory; they are removed when the run ends."""

STAR_BATCH: Final = r"stars-(?P<field>.+)-(?P<first>\d+)-(?P<last>\d+)\.parquet"
"""Files of the ledger with what became of a batch of artificial stars."""


@dataclass(frozen=True)
class Files:
    """Names in a run directory."""

    run: str = "run.yaml"
    manifest: str = "manifest.json"
    manifest_copy: str = ".manifest.copy.json"
    summary: str = "summary.json"
    log: str = "log.txt"
    report: str = "report.html"
    lock: str = ".lock"
    heartbeat: str = ".heartbeat.json"
    catalogue: str = "catalogue.parquet"
    catalogue_ecsv: str = "catalogue.ecsv"
    catalogue_regions: str = "catalogue.reg"
    catalogue_votable: str = "catalogue.vot"
    catalogue_fits: str = "catalogue.fits"
    gc: str = "gc.ecsv"
    candidates: str = "candidates.parquet"
    inpainted: str = "inpainted.parquet"
    artificial: str = "artificial.parquet"
    completeness: str = "completeness.ecsv"
    relation: str = "relation.ecsv"
    ranking: str = "ranking.ecsv"
    sensitivity: str = "sensitivity.ecsv"
    profile: str = "profile.ecsv"
    radial: str = "radial.ecsv"
    shape: str = "shape.ecsv"
    masses: str = "masses.ecsv"
    contamination: str = "contamination.ecsv"
    purity: str = "purity.ecsv"
    pattern: str = "pattern.ecsv"
    masked: str = "masked.ecsv"
    stars: str = "stars.ecsv"
    audit: str = "audit.ecsv"
    maps: str = "maps"
    psf: str = "psf"
    figures: str = "figures"
    view: str = "view"
    study: str = "study"
    store: str = "store"
    ledger: str = "ledger"


FILES: Final = Files()
