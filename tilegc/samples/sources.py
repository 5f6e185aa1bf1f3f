"""All sources of a sample in one table, each once, as Parquet and as VOTable with the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import scipy

from tilegc.io.exports import write_votable
from tilegc.io.tables import write_parquet
from tilegc.places import Place
from tilegc.run_folder import Run
from tilegc.schema import Column

__all__ = ["DUPLICATE_ARCSEC", "all_sources", "write_sources"]

DUPLICATE_ARCSEC: Final = 0.1
"""Distance within which sources of two clusters are the same one: fields of clusters may overlap."""

CLUSTER: Final = Column("cluster", "string", "", "name of the cluster in whose run the source was found")

EMPTY: Final[Mapping[str, Any]] = {
    "string": "",
    "int32": -1,
    "int64": -1,
    "float32": np.nan,
    "float64": np.nan,
}


def all_sources(runs: Mapping[str, Run]) -> tuple[tuple[Column, ...], dict[str, np.ndarray]]:
    """Return the catalogues of all runs as one table.

    Parameters
    ----------
    runs : mapping of str to Run
        Finished runs, by cluster.

    Returns
    -------
    columns : tuple of Column
        `cluster`, and those of all catalogues; what a catalogue does not have is NaN, -1 or empty.
    table : dict of str to ndarray
        Of sources of two clusters within `DUPLICATE_ARCSEC` of each other, the one with the higher S/N.
    """
    columns: dict[str, Column] = {}
    parts: list[tuple[str, dict[str, np.ndarray], int]] = []
    for name, run in runs.items():
        table = run.catalogue
        values = {}
        for column in table.colnames:
            data = table[column]
            values[column] = np.asarray(getattr(data, "value", data))
            kind = "string" if values[column].dtype.kind in "OU" else values[column].dtype.name
            unit = (
                "" if getattr(data, "unit", None) is None else data.unit.to_string("fits").replace(" ", " ")
            )
            meaning = getattr(getattr(data, "info", None), "description", None) or column
            columns.setdefault(column, Column(column, kind, unit, meaning))
        parts.append((name, values, len(table)))
    listed = (CLUSTER, *columns.values())
    joined: dict[str, np.ndarray] = {
        "cluster": np.array([name for name, _, rows in parts for _ in range(rows)], object)
    }
    for column in columns.values():
        pieces = [
            values.get(column.name, np.full(rows, EMPTY.get(column.dtype, False), _dtype(column)))
            for _, values, rows in parts
        ]
        joined[column.name] = (
            np.concatenate([piece.astype(_dtype(column)) for piece in pieces])
            if pieces
            else np.zeros(0, _dtype(column))
        )
    keep = _once(joined)
    return listed, {name: values[keep] for name, values in joined.items()}


def write_sources(home: Place, runs: Mapping[str, Run]) -> None:
    """Write `sources.parquet` and `sources.vot` into the directory of a sample."""
    columns, table = all_sources(runs)
    if len(columns) == 1:
        return
    write_parquet(home / "sources.parquet", columns, table)
    write_votable(home / "sources.vot", columns, table, {"clusters": str(len(runs))})


def _dtype(column: Column) -> Any:
    return object if column.dtype == "string" else column.dtype


def _once(table: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return which rows to keep: of pairs from two clusters at one place, the one with the higher S/N."""
    count = len(table["cluster"])
    keep = np.ones(count, np.bool_)
    if count < 2:
        return keep
    ra, dec = np.radians(table["ra"].astype(float)), np.radians(table["dec"].astype(float))
    place = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    pairs = scipy.spatial.cKDTree(place).query_pairs(
        np.radians(DUPLICATE_ARCSEC / 3600), output_type="ndarray"
    )
    apart = table["cluster"][pairs[:, 0]] != table["cluster"][pairs[:, 1]]
    snr = table["snr"].astype(float)
    for first, second in pairs[apart]:
        keep[first if snr[first] < snr[second] else second] = False
    return keep
