"""The system to which the clusters of a sample are brought: `common` in a sample file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from tilegc.completeness.artificial import TURNOVER, WIDTH
from tilegc.config.inputs import Cosmology
from tilegc.config.values import Number, Section, Unit
from tilegc.places import Place
from tilegc.population.common_depth import (
    CommonDepth,
    Limit,
    LuminosityFunction,
    bring_to_common_depth,
    k_correction,
)
from tilegc.sky import cosmology

__all__ = ["Common", "common_depths", "read_common"]


class Common(Section):
    """One depth for all clusters of a sample."""

    magnitude: Annotated[Number | None, Unit("mag")] = None
    """Absolute magnitude (AB) to which numbers are brought; by default the median of the clusters' own depths."""
    fading: Annotated[Number, Field(ge=0), Unit("mag/Gyr")] = 0.0
    """How much the turnover of the luminosity function fades with time."""
    k_correction: tuple[tuple[float, float], ...] | None = None
    """Table of redshift and K-correction, for the band of the luminosity function; by default a spectrum that is flat
    in f_nu."""


def read_common(home: Place) -> Common:
    """Return what the sample file said, from the record in the directory of a sample."""
    content = json.loads((home / "survey.json").read_bytes())
    given: Mapping[str, object] = content.get("common") or {}
    return Common.model_validate(given)


def common_depths(limits: Sequence[Limit | None], common: Common) -> Mapping[str, CommonDepth]:
    """Return what brings each cluster to the common depth, with the turnover of the literature.

    Parameters
    ----------
    limits : sequence of Limit or None
        Clusters without artificial stars have none.
    common : Common
    """
    table = common.k_correction
    magnitude, redshift = TURNOVER
    cosmo = cosmology(Cosmology())
    function = LuminosityFunction(
        turnover=magnitude - float(cosmo.distmod(redshift).value) - k_correction(redshift, table),
        width=WIDTH,
        lookback=float(cosmo.lookback_time(redshift).to_value("Gyr")),
        fading=common.fading,
    )
    known = [one for one in limits if one is not None]
    return bring_to_common_depth(known, function, common.magnitude, table) if known else {}
