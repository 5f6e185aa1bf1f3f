"""The section `photometry` of a run file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tilegc.config.inputs import Band, bands_by_name
from tilegc.config.values import Number, Positive, Section, Unit, number

__all__ = ["Extinction", "Photometry", "PhotometrySwitch"]


class Extinction(Section):
    """Foreground extinction: A(V), E(B-V) or the extinction of every band; one of the three."""

    av: Annotated[Number | None, Field(ge=0, le=10), Unit("mag")] = None
    """A(V) towards the cluster. Bands follow by the law of Cardelli, Clayton & Mathis (1989)."""
    ebv: Annotated[Number | None, Field(ge=0, le=3), Unit("mag")] = None
    """E(B-V) towards the cluster: A(V) = rv E(B-V). Multiply values of the SFD map by 0.86 first."""
    rv: Annotated[float, BeforeValidator(number), Field(ge=2, le=6)] = 3.1
    """R_V of the law."""
    bands: Mapping[str, Annotated[float, BeforeValidator(number), Field(ge=0, le=20)]] | None = None
    """Extinction of every band, mag."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [key for key in ("av", "ebv", "bands") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of av, ebv and bands, not {' and '.join(given) or 'none'}")
        return self


class Photometry(Section):
    """PSF photometry of all candidates."""

    bands: Mapping[str, Band] | None = None
    """Images of other bands in which fluxes are measured, too, by name of the band: a path, or a mapping; see the
    section `bands`. They may lie on any pixel grid; sources are not searched for in them."""
    apertures: Annotated[tuple[Positive, ...], Field(max_length=9), Unit("arcsec")] = (0.1, 0.2, 0.3)
    """Radii of the apertures, increasing, at most nine and at most 1 arcsec; may be empty."""
    extinction: Extinction | None = None
    """Foreground extinction, for which `mag0_B` is corrected; see the section `extinction`. Other columns are not."""

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
