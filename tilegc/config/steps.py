"""The settings of the chain's steps, in their order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tilegc.config.values import Positive, Section, Switch, number, toggle, whole

__all__ = [
    "Comparison",
    "Density",
    "Detect",
    "Filter",
    "Inpaint",
    "Mask",
    "Profile",
    "Relation",
    "SigmaThreshold",
    "Tiles",
    "ValueThreshold",
]


CUT = 2.0
"""Sigma at which the detection map is cut before lines are looked for."""


class Tiles(Section):
    """The cut into tiles: of no influence on any result."""

    size: Annotated[int, BeforeValidator(whole), Field(ge=1, le=65_536)] = 2048


class Mask(Section):
    """Each mask is off, auto or a number: edge in arcsec, bright and extended in nJy per pixel, spikes, arcs in sigma.

    `spikes` and `arcs` are the mean along a line of the detection map, cut at 2 sigma, from which it is one (spikes
    auto: 0.55; arcs auto: as spikes). Discs about bright stars end where their wings are twice `spikes` sigma bright,
    and so do the spikes of a band's PSF file.
    """

    edge: Switch = "auto"
    bright: Switch = "auto"
    extended: Switch = "auto"
    spikes: Switch = "off"
    """`recipe: calibrated`: auto."""
    arcs: Switch = "off"
    """`recipe: calibrated`: auto."""

    @field_validator("spikes", "arcs")
    @classmethod
    def _below_the_cut(cls, value: float | str) -> float | str:
        if isinstance(value, float | int) and value > CUT:
            raise ValueError(
                f"{value:g} sigma is above {CUT:g}, at which the map is clipped; give a lower value, auto or off"
            )
        return value

    @field_validator("edge")
    @classmethod
    def _narrow(cls, value: float | str) -> float | str:
        if isinstance(value, float | int) and value > 120:
            raise ValueError(f"{value:g} arcsec would mask whole modules; give 120 or less")
        return value

    @property
    def edge_arcsec(self) -> float:
        """Distance from missing data, arcsec; 0 where off (auto: 6.6)."""
        return _setting(self.edge, 6.6)

    @property
    def bright_nJy(self) -> float:  # noqa: N802
        """Limit of D1 of the summed bands, nJy per pixel; infinite where off (auto: 40, about AB 26.4)."""
        return _setting(self.bright, 40.0) or math.inf

    @property
    def extended_nJy(self) -> float:  # noqa: N802
        """Limit of the fine mid-scale map of the summed bands, nJy per pixel; infinite where off (auto: 0.3)."""
        return _setting(self.extended, 0.3) or math.inf


def _setting(value: float | str, auto: float) -> float:
    if isinstance(value, str):
        return auto if value == "auto" else 0.0
    return value


class Filter(Section):
    """The double difference of Gaussians: FWHMs in pixels."""

    stages: tuple[tuple[Positive, Positive], tuple[Positive, Positive]] = ((0.5, 5.0), (1.0, 3.0))
    discretisation: Literal["integrated", "sampled"] = "integrated"
    weights: Literal["equal", "auto"] = "equal"
    """Of the bands; auto, the default of calibrated: by the inverse variance of their responses."""
    smoothing: Positive = 1.5
    """Calibrated: FWHM of the Gaussian that smooths the PSF before it is subtracted from itself, over the PSF's."""

    @field_validator("smoothing")
    @classmethod
    def _moderate(cls, value: float) -> float:
        if not 0.5 <= value <= 8:
            raise ValueError(f"give 0.5 to 8 times the PSF's FWHM, not {value:g}")
        return value

    @model_validator(mode="after")
    def _order(self) -> Self:
        for narrow, wide in self.stages:
            if not narrow < wide <= 64:
                raise ValueError(
                    f"stages: [{narrow:g}, {wide:g}] must be a narrow and a wide FWHM, at most 64 px"
                )
        return self


class SigmaThreshold(Section):
    """T = sigma x the noise of the field's detection map."""

    sigma: Positive


class ValueThreshold(Section):
    """T in nJy per pixel of the detection map."""

    value: Positive


def _threshold(value: object) -> object:
    if isinstance(value, str) and value == "auto":
        return value
    if isinstance(value, Mapping):
        if set(value) == {"sigma"}:
            return SigmaThreshold(**value)
        if set(value) == {"value"}:
            return ValueThreshold(**value)
    raise ValueError("give {sigma: number}, {value: nJy per pixel} or auto")


class Detect(Section):
    """Peaks: the radius that a recorded peak blanks (pixels, inclusive) and the thresholds."""

    exclusion_radius: Annotated[float, BeforeValidator(number), Field(ge=0, le=64)] = 3.0
    threshold: Annotated[SigmaThreshold | ValueThreshold | Literal["auto"], BeforeValidator(_threshold)] = (
        SigmaThreshold(sigma=2.5)
    )
    purity: Annotated[float, BeforeValidator(number), Field(gt=0, lt=1)] = 0.99
    """Of the catalogue, keep x T: what `threshold: auto` aims at."""
    keep: Annotated[float, BeforeValidator(number), Field(ge=1, allow_inf_nan=False)] = 2.0
    shape: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "off"
    """Whether candidates that are no points stay out of the catalogue."""


class Density(Section):
    """The kernel (softening + d)^-alpha, lengths in arcsec; further estimators of the density, off if null."""

    alpha: Positive = 1.6
    softening: Positive = 0.9
    gaussian: Annotated[float, BeforeValidator(number), Field(gt=0, le=60)] | None = None
    """Sigma, arcsec, of a Gaussian of one width."""
    neighbours: Annotated[int, BeforeValidator(whole), Field(ge=3, le=1000)] | None = None
    """k of the density by the distance to the k-th neighbour."""


def _iterations(value: object) -> object:
    return value if isinstance(value, str) and value == "auto" else whole(value)


class Inpaint(Section):
    """The ensemble of Poisson draws under the mask."""

    realisations: Annotated[int, BeforeValidator(whole), Field(ge=1, le=10_000)] = 20
    seed: Annotated[int, BeforeValidator(whole), Field(ge=0, lt=2**63)] = 1
    iterations: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=0, le=100)], BeforeValidator(_iterations)
    ] = "auto"
    """Maximum number of fits of the radial trend relative to which masks are filled; 0: no trend (diego2026)."""


class Comparison(Section):
    """The sky grid: side of its cells, arcsec."""

    pixel: Positive = 0.3


class Relation(Section):
    """n against kappa: side of the boxes and the largest radius of the map comparison, arcsec.

    Galaxies have sources of their own. The law of counts has a term for them that follows their light (`galaxy_light`:
    auto, or off); the other likelihoods, and the law without that term, leave out discs round them (`galaxy_discs`).
    """

    box: Annotated[Positive, Field(le=300)] = 3.0
    max_radius: Positive = 60.0
    min_radius: Annotated[float, BeforeValidator(number), Field(ge=0, allow_inf_nan=False)] = 0.0
    """Radius, arcsec, within which the law does not count: the central galaxy's stars are part of kappa there."""
    galaxy_discs: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "auto"
    galaxy_light: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "auto"

    @model_validator(mode="after")
    def _reach(self) -> Self:
        if self.max_radius < self.box:
            raise ValueError(
                f"max_radius ({self.max_radius:g}) is smaller than box ({self.box:g}): "
                "give a radius in arcsec that contains boxes"
            )
        if self.max_radius - self.min_radius < self.box:
            raise ValueError(
                f"min_radius ({self.min_radius:g}) leaves less than a box inside max_radius ({self.max_radius:g})"
            )
        return self


class Profile(Section):
    """Edges of the annuli, arcsec; null: the logarithmic ones."""

    edges: tuple[Annotated[float, BeforeValidator(number), Field(ge=0, allow_inf_nan=False)], ...] | None = (
        None
    )

    @field_validator("edges")
    @classmethod
    def _rising(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and (len(value) < 2 or any(b <= a for a, b in itertools.pairwise(value))):
            raise ValueError("edges must be two numbers or more, each larger than the one before")
        return value
