"""How partial results of tiles are joined: associative and commutative up to the order of a table's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

__all__ = ["Table", "by_field", "concatenate", "stacked"]

Table = dict[str, np.ndarray]
"""Columns of one length; whoever reads a joined table sorts it first."""

Partial = TypeVar("Partial")


def concatenate(a: Table, b: Table) -> Table:
    """Return the rows of both tables."""
    return {name: np.concatenate([a[name], b[name]]) for name in a}


def stacked(parts: Sequence[Table]) -> Table | None:
    """Return the rows of all tables, as they were gathered; None where there is none."""
    if not parts:
        return None
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def by_field(
    join: Callable[[Partial, Partial], Partial], a: Mapping[str, Partial], b: Mapping[str, Partial]
) -> dict[str, Partial]:
    """Join what two partials hold of the same fields, and keep what only one of them holds."""
    both = {name: join(a[name], b[name]) for name in a.keys() & b.keys()}
    return {name: both.get(name, a.get(name, b.get(name))) for name in sorted(a.keys() | b.keys())}  # type: ignore[misc]
