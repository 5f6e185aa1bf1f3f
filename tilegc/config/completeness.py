"""The section `completeness` of a run file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tilegc.config.values import Section, whole

__all__ = ["Completeness", "CompletenessSwitch"]


def _stars(value: object) -> object:
    return value if isinstance(value, str) and value == "auto" else whole(value)


class Completeness(Section):
    """Artificial stars, which measure the completeness."""

    stars: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=1, le=10_000_000)], BeforeValidator(_stars)
    ] = "auto"
    """Number of artificial stars per field; auto: 20 per arcsec², at most 200,000."""
    seed: Annotated[int, BeforeValidator(whole), Field(ge=0, lt=2**63)] = 1
    """Seed of the random numbers."""
    colours: Literal["auto", "flat"] = "auto"
    """Colours of the stars; auto: those of the bright sources, without the noise of their photometry; flat: the same
    flux in every band."""

    @property
    def number(self) -> int | None:
        """Number of stars in a field; None: by its area."""
        return None if self.stars == "auto" else self.stars


def _section(value: object) -> object:
    if value is False:
        return "off"
    if isinstance(value, Mapping):
        return Completeness(**value)
    if value not in ("off", "auto") and not isinstance(value, Completeness):
        raise ValueError("give off, auto or {stars: number, seed: number, colours: auto or flat}")
    return value


CompletenessSwitch = Annotated[Completeness | Literal["off", "auto"], BeforeValidator(_section)]
"""auto: on for `recipe: calibrated`, off for `recipe: diego2026`."""
