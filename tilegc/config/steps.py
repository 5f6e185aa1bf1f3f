"""The settings of the chain's steps, in their order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tilegc.config.values import Positive, Section, Switch, Unit, number, toggle, whole

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
    """The tiles in which the images are processed. They do not affect any result."""

    size: Annotated[int, BeforeValidator(whole), Field(ge=1, le=65_536), Unit("px")] = 2048
    """Side of a tile without its halo. Smaller tiles need less memory per worker and more time."""


class Mask(Section):
    """The masks. Each is off, auto, or a number in its own unit."""

    edge: Annotated[Switch, Unit("arcsec")] = "auto"
    """Width of the mask along the edges of a field and around large gaps; auto: 6.6 arcsec."""
    bright: Annotated[Switch, Unit("nJy/px")] = "auto"
    """Value of the first difference of Gaussians from which an object is masked as bright; auto: 40, about AB 26.4."""
    extended: Annotated[Switch, Unit("nJy/px")] = "auto"
    """Value of the mid-scale maps from which an object is masked as extended; auto: 0.3."""
    spikes: Annotated[Switch, Unit("sigma")] = "off"
    """Mean of the detection map along a line, clipped at 2 sigma, from which the line is a diffraction spike; auto:
    0.55. The masks of bright stars, and of the spikes in a band's PSF file, end where the star's light falls below
    twice this value. Recipe calibrated: auto by default."""
    arcs: Annotated[Switch, Unit("sigma")] = "off"
    """The same for lensed arcs; auto: the limit of `spikes`. Recipe calibrated: auto by default."""

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
    """The filter that makes the detection map."""

    stages: Annotated[tuple[tuple[Positive, Positive], tuple[Positive, Positive]], Unit("px")] = (
        (0.5, 5.0),
        (1.0, 3.0),
    )
    """FWHM of the narrow and the wide Gaussian of each of the two differences of Gaussians. Recipe calibrated filters
    with the PSF instead, and uses these only for masks."""
    discretisation: Literal["integrated", "sampled"] = "integrated"
    """Whether the Gaussians are integrated over each pixel or sampled at its centre."""
    weights: Literal["equal", "auto"] = "equal"
    """Weights with which the bands are added: equal, or auto, by the inverse variance of their filtered noise. Recipe
    calibrated: auto by default."""
    smoothing: Positive = 1.5
    """Recipe calibrated only: FWHM of the Gaussian that smooths the PSF before the result is subtracted from the PSF,
    in units of the PSF's FWHM."""

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
    """A threshold T relative to the noise of the detection map."""

    sigma: Annotated[Positive, Unit("sigma")]
    """T in units of the noise: that of the field (recipe diego2026), or the local noise (recipe calibrated)."""


class ValueThreshold(Section):
    """A fixed threshold T."""

    value: Annotated[Positive, Unit("nJy/px")]
    """T in units of the detection map."""


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
    """Detection of peaks in the detection map."""

    exclusion_radius: Annotated[float, BeforeValidator(number), Field(ge=0, le=64), Unit("px")] = 3.0
    """Distance from a detected peak up to which (inclusive) no fainter peak is recorded. Recipe calibrated: 2 by
    default, at least 1."""
    threshold: Annotated[SigmaThreshold | ValueThreshold | Literal["auto"], BeforeValidator(_threshold)] = (
        SigmaThreshold(sigma=2.5)
    )
    """Threshold T of the candidates: `{sigma: number}`, `{value: nJy per pixel}`, or auto, the lowest at which the
    catalogue reaches `purity`."""
    purity: Annotated[float, BeforeValidator(number), Field(gt=0, lt=1)] = 0.99
    """Purity of the catalogue at which `threshold: auto` aims, and below which a run warns."""
    keep: Annotated[float, BeforeValidator(number), Field(ge=1, allow_inf_nan=False)] = 2.0
    """Candidates above `keep` times T enter the catalogue."""
    shape: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "off"
    """Whether candidates that are not point-like are left out of the catalogue. Recipe calibrated: auto by default."""


class Density(Section):
    """The kernel sum rho, with the kernel (softening + d)^-alpha, and optional further estimators of the density."""

    alpha: Positive = 1.6
    """Exponent of the kernel."""
    softening: Annotated[Positive, Unit("arcsec")] = 0.9
    """Softening length of the kernel."""
    gaussian: Annotated[
        Annotated[float, BeforeValidator(number), Field(gt=0, le=60)] | None, Unit("arcsec")
    ] = None
    """Sigma of a Gaussian for a density map of one fixed width; null: no such map."""
    neighbours: Annotated[int, BeforeValidator(whole), Field(ge=3, le=1000)] | None = None
    """k of a density map based on the distance to the k-th neighbour; null: no such map."""


def _iterations(value: object) -> object:
    return value if isinstance(value, str) and value == "auto" else whole(value)


class Inpaint(Section):
    """Inpainting: the sources that masks hide, drawn from the local density."""

    realisations: Annotated[int, BeforeValidator(whole), Field(ge=1, le=10_000)] = 20
    """Number of realisations over which the inpainted sources are averaged."""
    seed: Annotated[int, BeforeValidator(whole), Field(ge=0, lt=2**63)] = 1
    """Seed of the random numbers."""
    iterations: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=0, le=100)], BeforeValidator(_iterations)
    ] = "auto"
    """Maximum number of fits of the radial trend relative to which masks are filled; 0: no trend. auto: 10 for recipe
    calibrated, 0 for diego2026."""


class Comparison(Section):
    """The sky grid, on which fields are compared with each other and with the convergence."""

    pixel: Annotated[Positive, Unit("arcsec")] = 0.3
    """Side of a cell."""


class Relation(Section):
    """The relation between counts and convergence.

    Galaxies have globular clusters of their own. The law of counts has a term for them that follows their light
    (`galaxy_light`); the other likelihoods, and the law without that term, leave out discs around them
    (`galaxy_discs`).
    """

    box: Annotated[Positive, Field(le=300), Unit("arcsec")] = 3.0
    """Side of the boxes of the binned fit; a multiple of `comparison.pixel`."""
    max_radius: Annotated[Positive, Unit("arcsec")] = 60.0
    """Radius within which counts, rho and convergence are compared."""
    min_radius: Annotated[
        float, BeforeValidator(number), Field(ge=0, allow_inf_nan=False), Unit("arcsec")
    ] = 0.0
    """Radius within which the law ignores the counts, where the stars of the central galaxy contribute to kappa."""
    floor: Literal["flat", "linear"] = "flat"
    """Whether the floor of the law is the same everywhere, or linear in position."""
    background_slope: Annotated[
        Annotated[float, BeforeValidator(number), Field(ge=0, le=1)] | None, Unit("1/mag")
    ] = None
    """Slope d log10 N / d mag of the sources behind the lens: the floor is multiplied by mu^(2.5 s - 1), with the
    magnification mu from the convergence map; null: the lens does not change the floor."""
    background_slope_err: Annotated[
        float, BeforeValidator(number), Field(ge=0, le=0.5, allow_inf_nan=False), Unit("1/mag")
    ] = 0.1
    """Its standard deviation, a part of the systematic error."""
    central_galaxy: Literal["keep", "light"] = "keep"
    """Whether the law uses kappa as it is, or without the stars of the central galaxy: a term that follows its light,
    whose height is fitted."""
    registration: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "off"
    """Whether the convergence map is displaced to where the sources prefer it."""
    max_offset: Annotated[Positive, Field(le=5), Unit("arcsec")] = 1.5
    """Largest displacement that `registration` may apply; a larger one is refused, with a warning."""
    outer_galaxies: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "off"
    """Whether the prior on the floor allows for globular clusters of galaxies in the outer field, from their light."""
    galaxy_discs: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "auto"
    """Whether the likelihoods without a term for galaxies leave out discs around them."""
    galaxy_light: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "auto"
    """Whether the law of counts has a term for the globular clusters of individual galaxies."""

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
    """The radial profiles."""

    edges: Annotated[
        tuple[Annotated[float, BeforeValidator(number), Field(ge=0, allow_inf_nan=False)], ...] | None,
        Unit("arcsec"),
    ] = None
    """Edges of the annuli, increasing; null: 23 edges from 1 to 250 arcsec, roughly logarithmic."""

    @field_validator("edges")
    @classmethod
    def _rising(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and (len(value) < 2 or any(b <= a for a, b in itertools.pairwise(value))):
            raise ValueError("edges must be two numbers or more, each larger than the one before")
        return value
