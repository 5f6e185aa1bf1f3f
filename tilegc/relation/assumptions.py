"""The law with one of its assumptions changed at a time: what they are worth in c.

The floor may have a gradient, or be a background that the lens depletes; the middle may be left out, or the stars of
the central galaxy taken out of kappa; the map may be displaced. A law with more parameters differs from that of the
run by chance, with the difference of their variances (Hausman 1978); only what exceeds it counts as systematic.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tilegc.io.convergence import Kappa
from tilegc.kernels.magnification import SLOPE
from tilegc.relation.floors import Floor, lensed_floor
from tilegc.relation.likelihood import CountsRelation, fit_counts
from tilegc.relation.map_changes import registered, without_stars
from tilegc.relation.systematics import beyond_chance
from tilegc.relation.warps import Warped
from tilegc.skygrid.cells import SkyCells

__all__ = ["CENTRE", "Frame", "assumptions", "assumptions_table", "parts_of"]

Floats = NDArray[np.float64]
Table = dict[str, NDArray[Any]]

CENTRE: Final = 5.0
"""Radius in arcsec of the middle that is left out."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What every version of the law shares."""

    side: float
    """Side of the boxes in arcsec."""
    reach: float
    """Radius in arcsec within which kappa is used."""
    kept: NDArray[np.bool_]
    """Cells that the law counts, (eta, xi)."""
    recovery: Floats
    """Share of sources that are seen, (eta, xi)."""
    light: Floats | None
    """Light of galaxies, (eta, xi)."""
    floor: Floor
    """The floor of the run's law."""
    central: Floats | None
    """Light of the central galaxy, (eta, xi)."""
    min_radius: float
    """Radius in arcsec within which cells do not enter the law of the run."""
    movable: bool = True
    """Whether a displacement of the map may be fitted: not if the cells already have a changed map."""

    def fit(self, cells: SkyCells, **changed: Any) -> CountsRelation:
        """Fit the law with something changed."""
        given: dict[str, Any] = {
            "kept": self.kept,
            "recovery": self.recovery,
            "light": self.light,
            "floor": self.floor,
        }
        return fit_counts(cells, self.side, self.reach, thorough=False, **(given | changed))


@dataclass(frozen=True)
class _Row:
    c: float
    c_err: float
    gain: float
    first: float = np.nan
    first_err: float = np.nan
    second: float = np.nan
    second_err: float = np.nan


def assumptions(
    cells: SkyCells,
    kappa: Kappa,
    frame: Frame,
    own: CountsRelation | None = None,
    *,
    without: Collection[str] = (),
) -> dict[str, _Row]:
    """Fit the law under every other assumption that can be made.

    Parameters
    ----------
    cells : SkyCells
    kappa : Kappa
        The map of the run.
    frame : Frame
    own : CountsRelation, optional
        The law of the run; fitted here if it is not given.
    without : collection of str
        Assumptions that are not changed.

    Returns
    -------
    dict
        By assumption, the run's own first; empty if there is no law.
    """
    base = own if own is not None else frame.fit(cells)
    if not base.law.found:
        return {}
    rows = {"own": _Row(base.law.c, base.c_err, 0.0)}
    changes: dict[str, Callable[[], _Row | None]] = {
        "linear_floor": lambda: _tilted(cells, frame, base),
        "lensed_floor": lambda: _lensed(cells, kappa, frame, base),
        "no_centre": lambda: _plain(
            frame.fit(cells, kept=frame.kept & (cells.radius >= frame.min_radius + CENTRE))
        ),
        "central_light": lambda: _warped(without_stars(cells, frame, base)),
        "registered": lambda: _warped(registered(cells, kappa, frame, base)) if frame.movable else None,
    }
    for name, change in changes.items():
        found = None if name in without else change()
        if found is not None and np.isfinite(found.c):
            rows[name] = found
    return rows


def assumptions_table(rows: Mapping[str, _Row]) -> Table:
    """Return the columns of `schema.ASSUMPTIONS`."""
    c, error = (np.array([getattr(row, name) for row in rows.values()]) for name in ("c", "c_err"))
    index_err = np.divide(error, c**2) if c.size else c
    more = ("gain", "first", "first_err", "second", "second_err")
    return {
        "assumption": np.array(list(rows), object),
        "c": c,
        "c_err": error,
        "c_err_systematic": beyond_chance(c, error) if c.size else c,
        "index": 1.0 / c if c.size else c,
        "index_err": index_err,
        **{name: np.array([getattr(row, name) for row in rows.values()]) for name in more},
    }


def parts_of(table: Table) -> dict[str, float]:
    """Return the parts of the systematic error that follow; NaN where the assumption could not be changed.

    A background that the lens depletes is not among them: what part of the floor lies behind the lens is unknown, and
    its effect stands in the table.
    """
    beyond = dict(zip(table["assumption"].tolist(), table["c_err_systematic"].tolist(), strict=True))
    middle = [beyond[name] for name in ("no_centre", "central_light") if name in beyond]
    return {
        "floor_gradient": beyond.get("linear_floor", np.nan),
        "centre": float(np.sqrt(np.mean(np.square(middle)))) if middle else np.nan,
        "registration": beyond.get("registered", np.nan),
    }


def _plain(found: CountsRelation) -> _Row:
    # Other cells are other data: their likelihoods do not compare.
    return _Row(found.law.c, found.c_err, np.nan)


def _tilted(cells: SkyCells, frame: Frame, base: CountsRelation) -> _Row | None:
    """Return the law with a floor that is linear in position; its gradient is per arcmin."""
    if frame.floor.tilt is not None:
        return None
    found = frame.fit(cells, floor=replace(frame.floor, tilt=60.0))
    if not found.law.found or len(found.law.tilt) < 2:
        return None
    errors = np.sqrt(np.diag(found.covariance)[4:6])
    gain = 2.0 * (found.law.ln_likelihood - base.law.ln_likelihood)
    east, north = found.law.tilt
    return _Row(found.law.c, found.c_err, gain, east, float(errors[0]), north, float(errors[1]))


def _lensed(cells: SkyCells, kappa: Kappa, frame: Frame, base: CountsRelation) -> _Row | None:
    """Return the law with a floor of background sources of the usual slope; None if the run has one."""
    if frame.floor.shape is not None:
        return None
    found = frame.fit(cells, floor=replace(frame.floor, shape=lensed_floor(kappa, cells, SLOPE, frame.reach)))
    return _Row(
        found.law.c, found.c_err, 2.0 * (found.law.ln_likelihood - base.law.ln_likelihood), first=SLOPE
    )


def _warped(found: Warped | None) -> _Row | None:
    """Return the law of a changed map."""
    if found is None:
        return None
    values = [
        number for pair in zip(found.values.tolist(), found.errors.tolist(), strict=True) for number in pair
    ]
    return _Row(found.law.c, found.c_err, found.gain, *values)
