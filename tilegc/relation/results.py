"""What the phase `relation` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tilegc.phases.partials import Table
from tilegc.relation.boxes import Boxes, Comparison, Relation
from tilegc.relation.goodness import Goodness
from tilegc.relation.kernel import KernelStatistics
from tilegc.relation.likelihood import CountsRelation

__all__ = ["Related"]


@dataclass(frozen=True, kw_only=True)
class Related:
    """How the counts of sources follow the convergence."""

    boxes: Boxes
    binned: Relation
    """The law from boxes, binned in the counted n."""
    counts: CountsRelation
    """The law from the likelihood of the counts given kappa."""
    assumptions: Table
    """The law with one assumption changed at a time: columns of `schema.ASSUMPTIONS`."""
    changes: Mapping[str, Any]
    """How the map of the law differs from that of the run file; empty if it does not."""
    goodness: Goodness | None
    """Residuals of this law against simulated skies; None without a law."""
    comparison: Comparison
    """rho against kappa: beta and correlations."""
    kernel: KernelStatistics
    """Errors of the comparison, and the best kernel."""
    ranking: Table
    """Columns of `schema.RANKING`."""
    sensitivity: Table
    """Columns of `schema.SENSITIVITY`."""
