"""The section `photometry` of a run file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from tilegc.config.inputs import Band, bands_by_name
from tilegc.config.values import Positive, Section, Unit

__all__ = ["Photometry", "PhotometrySwitch"]


class Photometry(Section):
    """PSF photometry of all candidates."""

    bands: Mapping[str, Band] | None = None
    """Images of other bands in which fluxes are measured, too, by name of the band: a path, or a mapping; see the
    section `bands`. They may lie on any pixel grid; sources are not searched for in them."""
    apertures: Annotated[tuple[Positive, ...], Field(max_length=9), Unit("arcsec")] = (0.1, 0.2, 0.3)
    """Radii of the apertures, increasing, at most nine and at most 1 arcsec; may be empty."""

    @field_validator("bands", mode="before")
    @classmethod
    def _bands(cls, value: object) -> object:
        if value is not None and not isinstance(value, Mapping):
            raise ValueError("expected images by name of the band, such as {F277W: image.fits}")
        return bands_by_name(value)

    @field_validator("apertures")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in itertools.pairwise(value)):
            raise ValueError("apertures must be radii in arcsec, each larger than the one before")
        if value and value[-1] > 1:
            raise ValueError(
                f"an aperture of {value[-1]:g} arcsec contains many sources; give radii up to 1 arcsec"
            )
        return value


def _section(value: object) -> object:
    if value is False:
        return "off"
    if isinstance(value, Mapping):
        return Photometry(**value)
    if value not in ("off", "auto") and not isinstance(value, Photometry):
        raise ValueError("expected off, auto, or {apertures: [radii in arcsec], bands: {name: image}}")
    return value


PhotometrySwitch = Annotated[Photometry | Literal["off", "auto"], BeforeValidator(_section)]
"""Photometry of a run; auto is on for `recipe: calibrated` and off for `recipe: diego2026`."""
