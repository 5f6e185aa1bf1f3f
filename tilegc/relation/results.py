"""What the phase `relation` finds."""

from __future__ import annotations

from dataclasses import dataclass

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
