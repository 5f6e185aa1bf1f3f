"""Where a run's products go, and what a phase has to say in summary.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilegc.config import RunConfig
from tilegc.io.tables import write_ecsv, write_parquet
from tilegc.phases.context import Context
from tilegc.places import Place
from tilegc.run_folder import RunFolder
from tilegc.schema import Column
from tilegc.sky import cosmology, kpc_per_arcsec

__all__ = ["Output", "Part", "null"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """The part of summary.json that one phase contributes."""

    run: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the whole run."""
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Keys of every field, by its name."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where the products of a run go; the writers of all phases get it."""

    context: Context
    config: RunConfig
    folder: RunFolder

    @property
    def meta(self) -> dict[str, str]:
        """What every table says of the run."""
        return {"recipe": self.config.recipe}

    @property
    def kpc_per_arcsec(self) -> float:
        """Scale at the cluster's redshift."""
        return kpc_per_arcsec(cosmology(self.config.cosmology), self.config.cluster.redshift)

    def place(self, name: str) -> Place:
        """Return the path of one of `schema.FILES`."""
        return self.folder.path / name

    def ecsv(self, name: str, columns: tuple[Column, ...], table: Mapping[str, np.ndarray] | None) -> None:
        """Write a table as text; None writes one without rows."""
        empty = {column.name: np.zeros(0) for column in columns}
        write_ecsv(self.place(name), columns, empty if table is None else table, self.meta)

    def parquet(self, name: str, columns: tuple[Column, ...], table: Mapping[str, np.ndarray]) -> None:
        """Write a table as Parquet."""
        write_parquet(self.place(name), columns, dict(table), self.meta)


def null(value: float | None) -> float | None:
    """Return a number as JSON holds it: None where it is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)
