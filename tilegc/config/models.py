"""The sections of a run file: frozen values, with every key's kind, bounds and default."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from tilegc.schema import MAPS, SKY_STORE

__all__ = [
    "Band",
    "Cluster",
    "Comparison",
    "Compute",
    "Convergence",
    "Cosmology",
    "Deflection",
    "Density",
    "Detect",
    "FieldInput",
    "Filter",
    "Inpaint",
    "Jobs",
    "Kubernetes",
    "LensMap",
    "Mask",
    "Origin",
    "Profile",
    "Relation",
    "Rival",
    "RunConfig",
    "Section",
    "SigmaThreshold",
    "Tiles",
    "ValueThreshold",
]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")


def _number(value: object) -> object:
    """Accept numeric text where a number is meant (PyYAML reads `2e-2` as text) and refuse booleans."""
    if isinstance(value, bool):
        raise ValueError("a number is meant, not true or false")  # noqa: TRY004  (pydantic wants ValueError)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a number") from None
    return value


def _whole(value: object) -> object:
    number = _number(value)
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number


def _switch(value: object) -> object:
    """Read `off`, which YAML gives as False; `on` is no setting."""
    if value is False:
        return "off"
    if value is True:
        raise ValueError("give off, auto or a number")
    if value in {"off", "auto"}:
        return value
    number = _number(value)
    if isinstance(number, int | float) and not number > 0:
        raise ValueError(f"give off, auto or a number above 0, not {number:g}")
    return number


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_whole)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
Switch = Annotated[
    Literal["off", "auto"] | Annotated[float, Field(gt=0, allow_inf_nan=False)], BeforeValidator(_switch)
]


class Section(BaseModel):
    """A part of the run file: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Cluster(Section):
    """The cluster: its name, redshift and centre (degrees, ICRS)."""

    name: str = Field(min_length=1)
    redshift: Positive
    ra: Annotated[float, BeforeValidator(_number), Field(ge=0, lt=360)]
    dec: Annotated[float, BeforeValidator(_number), Field(ge=-90, le=90)]

    @field_validator("name", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Cosmology(Section):
    """Flat LCDM."""

    H0: Positive = 70.0
    Om0: Annotated[float, BeforeValidator(_number), Field(gt=0, le=1)] = 0.3


class Band(Section):
    """The files of one band: paths or URLs, relative to the run file."""

    sci: str = Field(min_length=1)
    err: str | None = None
    wht: str | None = None
    zero_point: Number | None = None
    """AB magnitude of one count, for images whose unit is none of those that tilegc knows."""
    psf: str | None = None
    """FITS file of the band's PSF, its axes along the mosaic's; measured on the field's stars where none is given."""
    psf_scale: Positive | None = None
    """Pixel of that file, arcsec, where its header does not give it."""

    @model_validator(mode="after")
    def _psf(self) -> Self:
        if self.psf_scale is not None and self.psf is None:
            raise ValueError("psf_scale is the pixel scale of the file in psf: give psf as well")
        return self


class FieldInput(Section):
    """One field: bands on one pixel grid, or a store that an earlier ingest wrote."""

    name: str
    bands: Mapping[str, Band] | None = None
    masks: tuple[str, ...] = ()
    store: str | None = None

    @field_validator("name", mode="before")
    @classmethod
    def _name(cls, value: object) -> str:
        if value is None or isinstance(value, bool):
            raise ValueError("a name is meant")
        text = str(value)
        if not NAME.fullmatch(text):
            raise ValueError(f"{text!r} cannot be a file's name: use letters, digits, and . _ + -")
        if text == SKY_STORE:
            raise ValueError(f"{text!r} is the name of the sky grid's store: choose another")
        return text

    @field_validator("masks", mode="before")
    @classmethod
    def _masks(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"give a list of files, also of one: [{value}]")  # noqa: TRY004  (pydantic wants ValueError)
        return () if value is None else value

    @field_validator("bands", mode="before")
    @classmethod
    def _bands(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        for name in value:
            if not NAME.fullmatch(str(name)):
                raise ValueError(f"band {name!r} cannot be a file's name: use letters, digits, and . _ + -")
        return {str(name): {"sci": band} if isinstance(band, str) else band for name, band in value.items()}

    @model_validator(mode="after")
    def _source(self) -> Self:
        if (self.bands is None) == (self.store is None):
            raise ValueError("give either bands or store")
        if self.bands is not None and not self.bands:
            raise ValueError("bands is empty: name one band or more")
        return self


class Deflection(Section):
    """The two components of a deflection field: paths, or patterns of paths for range maps."""

    x: str = Field(min_length=1)
    y: str = Field(min_length=1)
    unit: Literal["arcsec", "arcmin", "deg", "rad", "pixel"] | None = None
    """Of the values; null: what BUNIT says, arcsec where it says nothing."""


class Origin(Section):
    """Where on the sky coordinates (0, 0) of a map without a celestial WCS lie, degrees, ICRS."""

    ra: Annotated[float, BeforeValidator(_number), Field(ge=0, lt=360)]
    dec: Annotated[float, BeforeValidator(_number), Field(ge=-90, le=90)]


class LensMap(Section):
    """A kappa map, or the deflections of one, and the source distance to which it is scaled: never guessed."""

    path: str | None = Field(default=None, min_length=1)
    deflection: Deflection | None = None
    plane: Annotated[int, BeforeValidator(_whole), Field(ge=1)] | None = None
    """Plane of a cube that holds kappa, from 1 (GLAFIC writes several quantities into one)."""
    origin: Origin | None = None
    """For maps whose axes are linear, in arcsec: x to the west, y to the north."""
    source_redshift: Positive | None = None
    lens_scaling: Positive | None = None
    """D_LS/D_S of the map; 1 for the Hubble Frontier Fields' maps."""

    @model_validator(mode="before")
    @classmethod
    def _one_map(cls, value: object) -> object:
        if isinstance(value, Mapping):
            given = [key for key in ("path", "deflection") if value.get(key) is not None]
            if len(given) == 2:
                raise ValueError("give path or deflection, not both")
        return value

    @model_validator(mode="after")
    def _scaling(self) -> Self:
        if self.path is None and self.deflection is None:
            raise ValueError("path: required, and not there (or deflection: {x: , y: })")
        if self.source_redshift is not None and self.lens_scaling is not None:
            raise ValueError("give source_redshift or lens_scaling, not both")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that it names."""
        if self.deflection is not None:
            return (self.deflection.x, self.deflection.y)
        return () if self.path is None else (self.path,)


class Rival(LensMap):
    """Another map of the same mass, to be ranked against the others."""

    name: str = Field(min_length=1)


class Convergence(LensMap):
    """The kappa map of a run, range maps of the same lens model, and other maps to rank."""

    reference_redshift: Positive = 3.0
    ensemble: str | Deflection | None = None
    """Pattern of range maps, `*map###*`: kappa, or x and y deflections; scaled as the map itself."""
    compare: tuple[Rival, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [rival.name for rival in self.compare]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"compare: the name {twice[0]!r} stands twice")
        return self


class Tiles(Section):
    """The cut into tiles: of no influence on any result."""

    size: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=65_536)] = 2048


class Mask(Section):
    """Each mask is off, auto or a number: edge in arcsec, bright and extended in nJy per pixel, spikes in sigma.

    `spikes` is the mean along a line of the detection map, cut at 2 sigma (auto: 0.55).
    """

    edge: Switch = "auto"
    bright: Switch = "auto"
    extended: Switch = "auto"
    spikes: Switch = "off"
    """`recipe: calibrated`: auto."""
    arcs: Annotated[Literal["off", "auto"], BeforeValidator(_switch)] = "off"
    """`recipe: calibrated`: auto."""

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
    if value == "auto":
        return value
    if isinstance(value, Mapping):
        if set(value) == {"sigma"}:
            return SigmaThreshold(**value)
        if set(value) == {"value"}:
            return ValueThreshold(**value)
    raise ValueError("give {sigma: number}, {value: nJy per pixel} or auto")


class Detect(Section):
    """Peaks: the radius that a recorded peak blanks (pixels, inclusive) and the thresholds."""

    exclusion_radius: Annotated[float, BeforeValidator(_number), Field(ge=0, le=64)] = 3.0
    threshold: Annotated[SigmaThreshold | ValueThreshold | Literal["auto"], BeforeValidator(_threshold)] = (
        SigmaThreshold(sigma=2.5)
    )
    purity: Annotated[float, BeforeValidator(_number), Field(gt=0, lt=1)] = 0.99
    """Of the catalogue, keep x T: what `threshold: auto` aims at."""
    keep: Annotated[float, BeforeValidator(_number), Field(ge=1, allow_inf_nan=False)] = 2.0
    shape: Annotated[Literal["off", "auto"], BeforeValidator(_switch)] = "off"
    """Whether candidates that are no points stay out of the catalogue."""


class Density(Section):
    """The seed's kernel (softening + d)^-alpha, lengths in arcsec; further estimators of the density, off if null."""

    alpha: Positive = 1.6
    softening: Positive = 0.9
    gaussian: Annotated[float, BeforeValidator(_number), Field(gt=0, le=60)] | None = None
    """Sigma, arcsec, of a Gaussian of one width."""
    neighbours: Annotated[int, BeforeValidator(_whole), Field(ge=3, le=1000)] | None = None
    """k of the density by the distance to the k-th neighbour."""


def _iterations(value: object) -> object:
    return value if value == "auto" else _whole(value)


class Inpaint(Section):
    """The ensemble of Poisson draws under the mask."""

    realisations: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=10_000)] = 20
    seed: Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**63)] = 1
    iterations: Annotated[
        Literal["auto"] | Annotated[int, Field(ge=0, le=100)], BeforeValidator(_iterations)
    ] = "auto"
    """Fits of the sources' radial trend, at most, relative to which masks are filled; 0: the seed's density."""


class Comparison(Section):
    """The sky grid: side of its cells, arcsec."""

    pixel: Positive = 0.3


class Relation(Section):
    """n against kappa: side of the boxes and the largest radius of the map comparison, arcsec.

    Discs round galaxies, which have sources of their own, are left out of the likelihoods: auto, or off.
    """

    box: Positive = 3.0
    max_radius: Positive = 60.0
    galaxy_discs: Annotated[Literal["off", "auto"], BeforeValidator(_switch)] = "auto"


class Profile(Section):
    """Edges of the annuli, arcsec; null: the logarithmic ones."""

    edges: tuple[Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)], ...] | None = (
        None
    )

    @field_validator("edges")
    @classmethod
    def _rising(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and (len(value) < 2 or any(b <= a for a, b in itertools.pairwise(value))):
            raise ValueError("edges must be two numbers or more, each larger than the one before")
        return value


RECIPES: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "seed": {},
    "calibrated": {"filter": {"weights": "auto"}, "detect": {"exclusion_radius": 2.0, "shape": "auto"}},
}
"""Defaults of each recipe that differ from those of the sections, where the run file gives none."""


def _bytes(value: object) -> object:
    """Accept memory as people write it: "4 GiB", "512MB", or a number of bytes."""
    if isinstance(value, bool):
        raise ValueError("give memory as 4 GiB")  # noqa: TRY004  (pydantic wants ValueError)
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d*)?) *([kKMGT]?)(i?)[bB]?", value.strip())
    if match is None:
        try:
            return float(value)  # 2e9
        except ValueError:
            raise ValueError(f"{value!r} is no amount of memory: give e.g. 4 GiB") from None
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * float(base ** " KMGT".index((match[2] or " ").upper())))


def _seconds(value: object) -> object:
    """Accept a time as seconds, as minutes:seconds or hours:minutes:seconds, or as days-hours:minutes:seconds."""
    if not isinstance(value, str) or ":" not in value:
        return _number(value)
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no time: give seconds, or e.g. 02:30:00")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


Memory = Annotated[int, BeforeValidator(_whole), BeforeValidator(_bytes), Field(ge=1 << 20)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]
Texts = tuple[Annotated[str, Field(min_length=1)], ...]


class Jobs(Section):
    """The batch jobs of `--cluster slurm`, `pbs` and `lsf`; what is not given comes from Dask's `jobqueue`."""

    queue: str | None = None
    """Partition or queue."""
    account: str | None = None
    walltime: Seconds | None = None
    """Of one job; YAML reads 01:30:00 as text or as seconds, both are right."""
    lifetime: Seconds | None = None
    """After how long a worker leaves by itself, its results handed over; by default shortly before the wall time."""
    workers_per_job: Annotated[int, BeforeValidator(_whole), Field(ge=1, le=1024)] | None = None
    interface: str | None = None
    """Network interface of scheduler and workers, e.g. ib0."""
    python: str | None = None
    """Python of the workers; by default the one that runs now."""
    directives: Texts = ()
    """Further lines of the job script's header, e.g. --constraint=skylake."""
    prologue: Texts = ()
    """Shell commands before the worker starts, e.g. module load python."""


class Kubernetes(Section):
    """The pods of `--cluster kubernetes`."""

    manifest: str | None = None
    """A DaskCluster of your own (deploy/kubernetes/cluster/cluster.yaml is one); its name and size are set."""
    image: str | None = None
    """Image of pods without a manifest: they see no volume, so that data must lie in an object store."""
    namespace: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.manifest is not None and self.image is not None:
            raise ValueError("give manifest or image, not both: a manifest names its image")
        return self


class Compute(Section):
    """Where the work is done: of no influence on any result, and free to change on --resume."""

    workers: Annotated[int, BeforeValidator(_whole), Field(ge=0, le=100_000)] | None = None
    """Processes of one thread each, in all; --workers wins."""
    memory: Memory | None = None
    """Of one worker, bytes; locally up to nearly the whole machine, in jobs and pods what the plan needs."""
    scratch: str | None = None
    """The workers' own fast disk; variables such as $TMPDIR are theirs."""
    patience: Seconds | None = None
    """How long a run goes on waiting when there is no worker at all."""
    encrypt: bool | None = None
    """Whether driver, scheduler and workers talk TLS with certificates made for this run (jobs: yes)."""
    jobs: Jobs = Jobs()
    kubernetes: Kubernetes = Kubernetes()

    @field_validator("workers", mode="before")
    @classmethod
    def _count(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("a number of workers is meant")  # noqa: TRY004  (pydantic wants ValueError)
        return value


class RunConfig(Section):
    """A whole run file."""

    recipe: Literal["seed", "calibrated"]
    cluster: Cluster
    cosmology: Cosmology = Cosmology()
    fields: Annotated[tuple[FieldInput, ...], Field(min_length=1)]
    convergence: Convergence | None = None
    truth: str | None = None
    """A `truth.parquet` of `tilegc simulate`: the report then compares with what was planted."""
    ingest: Literal["never", "always", "auto"] = "auto"
    tiles: Tiles = Tiles()
    mask: Mask = Mask()
    filter: Filter = Filter()
    detect: Detect = Detect()
    density: Density = Density()
    inpaint: Inpaint = Inpaint()
    comparison: Comparison = Comparison()
    relation: Relation = Relation()
    profile: Profile = Profile()
    outputs: tuple[str, ...] = ("detection", "mask", "rho", "rho_error", "density", "density_error")
    """Maps that are written as FITS images."""
    compute: Compute = Compute()

    @field_validator("outputs")
    @classmethod
    def _maps(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in MAPS:
                raise ValueError(f"{name!r} is no map: choose of {', '.join(MAPS)}")
        if len(set(value)) < len(value):
            raise ValueError("a map stands twice")
        return value

    @property
    def inpaint_iterations(self) -> int:
        """Most fits of the radial trend (auto: none for the seed, 10 for calibrated)."""
        if self.inpaint.iterations == "auto":
            return 0 if self.recipe == "seed" else 10
        return self.inpaint.iterations

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, value: object) -> object:
        """Fill in the recipe's own defaults."""
        if not isinstance(value, Mapping) or not isinstance(value.get("recipe"), str):
            return value
        filled = dict(value)
        for section, defaults in RECIPES.get(value["recipe"], {}).items():
            given = filled.get(section, {})
            if isinstance(given, Mapping):
                filled[section] = {**defaults, **given}
        return filled

    @field_validator("recipe", mode="before")
    @classmethod
    def _recipe(cls, value: object) -> object:
        if value not in {"seed", "calibrated"}:
            raise ValueError(f"recipe {value!r} does not exist: give seed or calibrated")
        return value

    @model_validator(mode="before")
    @classmethod
    def _masks(cls, value: object) -> object:
        """Fill in the masks that the calibrated recipe has on."""
        if not isinstance(value, Mapping) or value.get("recipe") != "calibrated":
            return value
        masks = value.get("mask")
        if masks is None:
            masks = {}
        if not isinstance(masks, Mapping):
            return value
        return {**value, "mask": {"spikes": "auto", "arcs": "auto", **masks}}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.recipe == "seed" and self.filter.weights != "equal":
            raise ValueError(
                "filter.weights: the seed adds its bands with equal weights: give equal, or recipe calibrated"
            )
        if self.recipe == "calibrated" and self.detect.exclusion_radius < 1:
            raise ValueError("detect.exclusion_radius: give 1 or more, calibrated records local maxima alone")
        for key, name in (("gaussian", "density_gaussian"), ("neighbours", "density_adaptive")):
            asked = [output for output in self.outputs if output.startswith(name)]
            if asked and getattr(self.density, key) is None:
                raise ValueError(f"outputs: {asked[0]} needs a number at density.{key}")
        names = [field.name for field in self.fields]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"fields: the name {twice[0]!r} stands twice")
        cells = self.relation.box / self.comparison.pixel
        if abs(cells - round(cells)) > 1e-9 * cells or round(cells) < 1:
            raise ValueError(
                f"relation.box ({self.relation.box:g}) must be a whole multiple of "
                f"comparison.pixel ({self.comparison.pixel:g})"
            )
        return self
