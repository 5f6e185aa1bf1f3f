"""A whole run file: its sections, the recipes' defaults, and what must agree between sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tilegc.config.completeness import Completeness, CompletenessSwitch
from tilegc.config.compute import Compute
from tilegc.config.inputs import (
    Cluster,
    Convergence,
    Cosmology,
    FieldInput,
    Pointing,
    cluster_or_pointing,
)
from tilegc.config.luminosity import Luminosity, LuminositySwitch
from tilegc.config.photometry import Photometry, PhotometrySwitch
from tilegc.config.steps import (
    Comparison,
    Density,
    Detect,
    Filter,
    Inpaint,
    Mask,
    Profile,
    Relation,
    Tiles,
    ValueThreshold,
)
from tilegc.config.values import Section, toggle
from tilegc.errors import shortened
from tilegc.schema import MAPS

__all__ = ["DetectionConfig", "RunConfig", "section_order"]

RECIPES: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "diego2026": {},
    "calibrated": {
        "mask": {"spikes": "auto", "arcs": "auto"},
        "filter": {"weights": "auto"},
        "detect": {"exclusion_radius": 2.0, "shape": "auto"},
    },
}
"""Defaults of each recipe that differ from those of the sections, where the run file gives none."""


class DetectionConfig(Section):
    """The settings of the chain from the bands to the catalogue, which need no cluster and no sky."""

    recipe: Literal["diego2026", "calibrated"]
    """The method: calibrated for science, or diego2026 to follow the paper to the letter. It sets the defaults of the
    other sections."""
    mask: Mask = Mask()
    """Masks; see the section `mask`."""
    filter: Filter = Filter()
    """Detection filter; see the section `filter`."""
    detect: Detect = Detect()
    """Detection of peaks; see the section `detect`."""

    @property
    def usual_exclusion_radius(self) -> float:
        """`detect.exclusion_radius` of the recipe, pixels: that of a run file that gives none."""
        return Detect.model_validate(RECIPES[self.recipe].get("detect", {})).exclusion_radius

    @property
    def local_threshold(self) -> bool:
        """Whether peaks are compared with T as signal-to-noise against local noise, or all with one T in nJy."""
        return self.recipe == "calibrated" and not isinstance(self.detect.threshold, ValueThreshold)

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: object) -> object:
        """Fill in the recipe's own defaults; a key without a value is as if it were not there."""
        if not isinstance(value, Mapping) or not isinstance(value.get("recipe"), str):
            return value
        filled = {key: given for key, given in value.items() if given is not None}
        for section, defaults in RECIPES.get(value["recipe"], {}).items():
            given = filled.get(section, {})
            if isinstance(given, Mapping):
                filled[section] = {**defaults, **given}
        return filled

    @field_validator("recipe", mode="before")
    @classmethod
    def _recipe(cls, value: object) -> object:
        if value == "seed":
            raise ValueError("the recipe 'seed' is now called 'diego2026'; change this line of the run file")
        if not isinstance(value, str) or value not in RECIPES:
            raise ValueError(f"recipe {shortened(repr(value), 60)} is unknown; choose {' or '.join(RECIPES)}")
        return value

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.recipe == "diego2026" and self.filter.weights != "equal":
            raise ValueError(
                "filter.weights: recipe diego2026 adds the bands unweighted; set equal, or use calibrated"
            )
        if self.recipe == "calibrated" and self.detect.exclusion_radius < 1:
            raise ValueError(
                "detect.exclusion_radius: must be at least 1, because calibrated records only local maxima"
            )
        return self


class RunConfig(DetectionConfig):
    """Settings of a run, as in its run file, with all defaults filled in; immutable.

    Examples
    --------
    >>> tilegc.load("run.yaml").tiles.size
    1000
    """

    cluster: Annotated[Cluster, BeforeValidator(cluster_or_pointing)] = Pointing()
    """The cluster; see the section `cluster`. Leave it out for a blank or control field: the results then have no
    radii, no masses and no relation."""
    cosmology: Cosmology = Cosmology()
    """Cosmology; see the section `cosmology`."""
    fields: Annotated[tuple[FieldInput, ...], Field(min_length=1)]
    """The images, one entry per field; see the section `fields`."""
    convergence: Convergence | None = None
    """The lens model; see the section `convergence`. Without it there is no relation to the dark matter."""
    truth: str | None = None
    """The `truth.parquet` of a simulation: the report then compares the results with the planted sources."""
    ingest: Literal["never", "always", "auto"] = "auto"
    """Whether images are first converted to Zarr stores; auto: only compressed files (gzip, RICE)."""
    tiles: Tiles = Tiles()
    """Tiles; see the section `tiles`."""
    photometry: PhotometrySwitch = "auto"
    """off, auto, or settings; see the section `photometry`. auto: on for recipe calibrated."""
    completeness: CompletenessSwitch = "auto"
    """off, auto, or settings; see the section `completeness`. auto: on for recipe calibrated."""
    luminosity: LuminositySwitch = "auto"
    """Luminosity function of the clusters; see the section `luminosity`. auto: on where there are artificial stars."""
    density: Density = Density()
    """Kernel sum and density maps; see the section `density`."""
    inpaint: Inpaint = Inpaint()
    """Sources hidden by masks; see the section `inpaint`."""
    comparison: Comparison = Comparison()
    """Sky grid; see the section `comparison`."""
    relation: Relation = Relation()
    """Counts against convergence; see the section `relation`."""
    profile: Profile = Profile()
    """Radial profiles; see the section `profile`."""
    outputs: tuple[str, ...] = ("detection", "mask", "rho", "rho_error", "density", "density_error")
    """Maps that are written as FITS images."""
    view: Annotated[Literal["off", "auto"], BeforeValidator(toggle)] = "auto"
    """Whether the run writes the viewer; auto: if all fields together have at most 100 million pixels. `tilegc view`
    writes it at any time."""
    compute: Compute = Compute()
    """Workers; see the section `compute`."""

    @field_validator("outputs", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"give a list, even for one map: [{shortened(value, 60)}]")  # noqa: TRY004  (pydantic wants ValueError)
        return value

    @field_validator("outputs")
    @classmethod
    def _maps(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in MAPS:
                raise ValueError(f"{shortened(repr(name), 60)} is not a map; choose from {', '.join(MAPS)}")
        if len(set(value)) < len(value):
            raise ValueError("a map is listed twice; remove one")
        return value

    @property
    def photometry_settings(self) -> Photometry | None:
        """Settings of the photometry; None where it is off (auto: off for diego2026, on for calibrated)."""
        if self.photometry == "auto":
            return None if self.recipe == "diego2026" else Photometry()
        return None if self.photometry == "off" else self.photometry

    @property
    def completeness_settings(self) -> Completeness | None:
        """Settings of the artificial stars; None where they are off (auto: off for diego2026, on for calibrated)."""
        if self.completeness == "auto":
            return None if self.recipe == "diego2026" else Completeness()
        return None if self.completeness == "off" else self.completeness

    @property
    def luminosity_settings(self) -> Luminosity | None:
        """Settings of the luminosity function; None where it is off (auto: on where there are artificial stars)."""
        if self.luminosity == "auto":
            return None if self.completeness_settings is None else Luminosity()
        return None if self.luminosity == "off" else self.luminosity

    @property
    def inpaint_iterations(self) -> int:
        """Most fits of the radial trend, 0 without a cluster (auto: none for diego2026, 10 for calibrated)."""
        if not self.cluster.known:
            return 0
        if self.inpaint.iterations == "auto":
            return 0 if self.recipe == "diego2026" else 10
        return self.inpaint.iterations

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for key, name in (("gaussian", "density_gaussian"), ("neighbours", "density_adaptive")):
            asked = [output for output in self.outputs if output.startswith(name)]
            if asked and getattr(self.density, key) is None:
                raise ValueError(f"outputs: {asked[0]} needs a number at density.{key}")
        if self.convergence is not None and not self.cluster.known:
            raise ValueError("convergence: needs a cluster; give cluster: {name, redshift, ra, dec}")
        if self.luminosity_settings is not None and self.completeness_settings is None:
            raise ValueError(
                "luminosity: needs artificial stars; set completeness: {stars: auto}, or luminosity: off"
            )
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"fields: duplicate name {twice[0]!r}; give each field its own")
        if self.photometry_settings is not None:
            searched = {name for field in self.fields for name in field.bands or {}}
            for name in self.photometry_settings.bands or {}:
                if name in searched:
                    raise ValueError(
                        f"photometry.bands: {name} is a band of a field and measured anyway; remove it, or rename it"
                    )
        cells = self.relation.box / self.comparison.pixel
        if abs(cells - round(cells)) > 1e-9 * cells or round(cells) < 1:
            raise ValueError(
                f"relation.box ({self.relation.box:g}) must be an integer multiple of "
                f"comparison.pixel ({self.comparison.pixel:g})"
            )
        return self


def section_order() -> list[str]:
    """Return the sections of a run file in the order of the chain; pydantic lists inherited ones first."""
    shared = list(DetectionConfig.model_fields)
    own = [name for name in RunConfig.model_fields if name not in shared]
    at = own.index("tiles") + 1
    return [*shared[:1], *own[:at], *shared[1:], *own[at:]]
