"""The section `luminosity` of a run file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tilegc.config.values import NAME, Positive, Section, Unit

__all__ = ["Luminosity", "LuminositySwitch"]


class Luminosity(Section):
    """The luminosity function of the globular clusters, which needs artificial stars."""

    band: Annotated[str, Field(pattern=NAME.pattern)] = "F150W"
    """Band of its magnitudes; in fields that lack it, those of a flat spectrum stand for it."""
    turnover: Annotated[Positive | None, Unit("AB mag")] = None
    """Magnitude of its maximum; by default it is fitted, with a wide prior about 32.7 at redshift 0.348."""
    width: Annotated[Positive | None, Unit("mag")] = None
    """Standard deviation; by default it is fitted, with a wide prior about 1.25."""
    gclf: Literal["common", "radial"] = "common"
    """common: the same at every radius; radial: its turnover may change with the logarithm of the radius."""


def _section(value: object) -> object:
    if value is False:
        return "off"
    if isinstance(value, Mapping):
        return Luminosity(**value)
    if value not in ("off", "auto") and not isinstance(value, Luminosity):
        raise ValueError("give off, auto or {band: name, turnover: mag, width: mag, gclf: common or radial}")
    return value


LuminositySwitch = Annotated[Luminosity | Literal["off", "auto"], BeforeValidator(_section)]
"""auto: on where there are artificial stars."""
