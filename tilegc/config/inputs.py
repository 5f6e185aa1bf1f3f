"""What a run starts from: the cluster, the fields' images and the maps of its mass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from tilegc.config.coordinates import both_coordinates, declination, right_ascension
from tilegc.config.values import NAME, Number, Positive, Section, Unit, number, whole
from tilegc.errors import shortened
from tilegc.schema import MEASURED_BANDS, SKY_STORE

__all__ = [
    "Alternative",
    "Band",
    "Cluster",
    "Convergence",
    "Cosmology",
    "Deflection",
    "FieldInput",
    "LensMap",
    "Mosaic",
    "Origin",
    "Pointing",
    "Rival",
    "bands_by_name",
    "cluster_or_pointing",
]


class Cluster(Section):
    """The cluster: its name, redshift and centre.

    The centre is in degrees, ICRS, or sexagesimal: right ascension in hours (`22:48:43.97`, `22h48m43.97s`),
    declination in degrees (`-44:31:51`, `-44d31m51s`).
    """

    name: str = Field(min_length=1, max_length=200)
    """Name of the cluster, for the report."""
    redshift: Positive
    """Redshift of the cluster."""
    ra: Annotated[float, BeforeValidator(right_ascension), Field(ge=0, lt=360), Unit("deg")]
    """Right ascension of the centre, ICRS: degrees, or sexagesimal in hours. `centre: "22:48:43.97 -44:31:51"` gives
    both coordinates at once."""
    dec: Annotated[float, BeforeValidator(declination), Field(ge=-90, le=90), Unit("deg")]
    """Declination of the centre, ICRS: degrees, or sexagesimal."""
    m_200: Annotated[Positive | None, Unit("Msun")] = None
    """Mass within r_200, for radii in units of it in a sample; by default r_200 follows from the convergence map."""
    concentration: Positive | None = None
    """Concentration of the NFW halo with which r_200 follows from the convergence map; 5 by default."""

    @model_validator(mode="before")
    @classmethod
    def _centre(cls, value: object) -> object:
        """Take both coordinates from `centre: "22 48 43.97 -44 31 51"`, as catalogues print them."""
        if not isinstance(value, Mapping) or value.get("centre") is None:
            return value
        if value.get("ra") is not None or value.get("dec") is not None:
            raise ValueError("give centre, or ra and dec, not both")
        ra, dec = both_coordinates(value["centre"])
        rest = {key: given for key, given in value.items() if key != "centre"}
        return {**rest, "ra": ra, "dec": dec}

    @property
    def known(self) -> bool:
        """Whether there is a cluster, with a name and a redshift."""
        return True

    @model_serializer(mode="wrap")
    def _without_unknown(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what a field without a cluster does not have: NaN and an empty name."""
        content: dict[str, Any] = handler(self)
        unknown = [key for key, value in content.items() if value in ("", None) or value != value]  # noqa: PLR0124
        return {key: value for key, value in content.items() if key not in unknown}

    @field_validator("name", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Pointing(Cluster):
    """The sky of a field without a cluster: a centre for maps, and neither name nor redshift.

    Where a run file gives no centre either, `ra` and `dec` are NaN until the fields' middle takes their place.
    """

    name: str = ""
    redshift: float = math.nan
    ra: Annotated[float, BeforeValidator(right_ascension), Field(ge=0, lt=360)] = math.nan
    dec: Annotated[float, BeforeValidator(declination), Field(ge=-90, le=90)] = math.nan

    @property
    def known(self) -> bool:
        """Whether there is a cluster."""
        return False


def cluster_or_pointing(value: object) -> object:
    """Return the pointing of a run file without a cluster: one that gives nothing, or a centre alone."""
    if value is None:
        return Pointing()
    if isinstance(value, Mapping) and value and not value.get("name") and value.get("redshift") is None:
        given = {key: entry for key, entry in value.items() if key not in ("name", "redshift")}
        if "name" not in value and "redshift" not in value and set(given) <= {"ra", "dec", "centre"}:
            return Pointing(**given)
    return value


class Cosmology(Section):
    """The cosmology, a flat ΛCDM model."""

    H0: Annotated[Positive, Unit("km/s/Mpc")] = 70.0
    """Hubble constant."""
    Om0: Annotated[float, BeforeValidator(number), Field(gt=0, le=1)] = 0.3
    """Matter density today, in units of the critical density."""


class EncircledEnergy(Section):
    """The fraction of a point source's light within a radius."""

    radius: Annotated[Positive, Unit("arcsec")]
    """Radius."""
    fraction: Annotated[float, BeforeValidator(number), Field(gt=0, le=1)]
    """Encircled energy within that radius."""


class Mosaic(Section):
    """The files of one mosaic: paths or URLs, relative to the run file."""

    sci: str = Field(min_length=1)
    """Science image. A file with SCI, ERR and WHT extensions needs no other keys: `F090W: file.fits` is short for
    `F090W: {sci: file.fits}`."""
    err: str | None = None
    """Image of the standard deviation of each pixel; by default the ERR extension of `sci`, if it has one."""
    wht: str | None = None
    """Weight image, in which 0 means no data; by default the WHT extension of `sci`, if it has one."""
    zero_point: Annotated[Number | None, Unit("mag")] = None
    """AB magnitude of one count, for images in units that tilegc does not know."""


class Band(Mosaic):
    """The files of one band: paths or URLs, relative to the run file."""

    mosaics: tuple[Mosaic, ...] = ()
    """Further mosaics of this band, such as the tiles of a survey: each a path, or a mapping with the keys above. A
    list, `F090W: [tile1.fits, tile2.fits]`, is short for `F090W: {sci: tile1.fits, mosaics: [tile2.fits]}`."""
    psf: str | None = None
    """FITS file of the band's PSF, with axes along those of the mosaic; by default the PSF is measured on stars."""
    psf_scale: Annotated[Positive | None, Unit("arcsec")] = None
    """Pixel scale of that file if its header does not give it."""
    psf_ee: EncircledEnergy | None = None
    """Encircled energy to which the PSF is normalised for total fluxes; see the section `psf_ee`."""

    @field_validator("mosaics", mode="before")
    @classmethod
    def _mosaics(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"give a list, even for one file: [{shortened(value, 60)}]")  # noqa: TRY004  (pydantic wants ValueError)
        if not isinstance(value, list | tuple):
            return () if value is None else value
        return [{"sci": one} if isinstance(one, str) else one for one in value]

    @property
    def every_mosaic(self) -> tuple[Mosaic, ...]:
        """All mosaics of the band, in the order of the run file."""
        return (self, *self.mosaics)

    @model_validator(mode="after")
    def _psf(self) -> Self:
        if self.psf_scale is not None and self.psf is None:
            raise ValueError("psf_scale is the pixel scale of the file in psf: give psf as well")
        if self.psf_ee is not None and self.psf is None:
            raise ValueError("psf_ee scales the file in psf: give psf as well")
        return self


def bands_by_name(value: object) -> object:
    """Return bands as mappings by name: a path alone is the science image, a list its mosaics.

    Raises
    ------
    ValueError
        If a name cannot be part of a file's name.
    """
    if not isinstance(value, Mapping):
        return value
    for name in value:
        if not NAME.fullmatch(str(name)):
            raise ValueError(
                f"band {shortened(repr(name), 60)} cannot be used as a file name; use letters, digits, and . _ + -"
            )
    return {str(name): _band(band) for name, band in value.items()}


def _band(value: object) -> object:
    """Return a band as a mapping."""
    if isinstance(value, str):
        return {"sci": value}
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("the list of a band's mosaics is empty; give at least one file")
        first = {"sci": value[0]} if isinstance(value[0], str) else value[0]
        return {**first, "mosaics": list(value[1:])} if isinstance(first, Mapping) else first
    return value


class FieldInput(Section):
    """One field: bands on one pixel grid, or a store that an earlier ingest wrote."""

    name: str
    """Name of the field, used in file names and tables."""
    bands: Mapping[str, Band] | None = None
    """Images by name of the band: a path, a list of the paths of several mosaics, or a mapping; see the section
    `bands`."""
    masks: tuple[str, ...] = ()
    """DS9 region files, and FITS masks whose non-zero pixels are masked."""
    seam: Annotated[float, BeforeValidator(number), Field(ge=0, le=60), Unit("arcsec")] = 0.3
    """If a band has several mosaics: width of the mask on either side of the border between two of them that are not
    on the same pixel grid."""
    store: str | None = None
    """Zarr store written by an earlier `tilegc ingest`, instead of `bands`."""

    @field_validator("name", mode="before")
    @classmethod
    def _name(cls, value: object) -> str:
        if value is None or isinstance(value, bool):
            raise ValueError("expected a name")
        text = str(value)
        if not NAME.fullmatch(text):
            raise ValueError(
                f"{shortened(repr(text), 60)} cannot be used as a file name; use letters, digits, and . _ + -"
            )
        if text.startswith(MEASURED_BANDS):
            raise ValueError(f"names that begin with {MEASURED_BANDS!r} are reserved; choose another name")
        if text == SKY_STORE:
            raise ValueError(f"{text!r} is reserved for the sky grid; choose another name")
        return text

    @field_validator("masks", mode="before")
    @classmethod
    def _masks(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(f"give a list, even for one file: [{shortened(value, 60)}]")  # noqa: TRY004  (pydantic wants ValueError)
        return () if value is None else value

    @field_validator("bands", mode="before")
    @classmethod
    def _bands(cls, value: object) -> object:
        return bands_by_name(value)

    @model_validator(mode="after")
    def _source(self) -> Self:
        if (self.bands is None) == (self.store is None):
            raise ValueError("give either bands or store")
        if self.bands is not None and not self.bands:
            raise ValueError("bands is empty; give at least one band")
        return self


class Deflection(Section):
    """The two components of a deflection field: paths, or patterns of paths for range maps."""

    x: str = Field(min_length=1)
    """File of the x component."""
    y: str = Field(min_length=1)
    """File of the y component."""
    unit: Literal["arcsec", "arcmin", "deg", "rad", "pixel"] | None = None
    """Unit of the values; null: that of BUNIT, or arcsec without BUNIT."""


class Origin(Section):
    """Position on the sky of the coordinates (0, 0) of a map without a celestial WCS."""

    ra: Annotated[float, BeforeValidator(right_ascension), Field(ge=0, lt=360), Unit("deg")]
    """Right ascension, ICRS."""
    dec: Annotated[float, BeforeValidator(declination), Field(ge=-90, le=90), Unit("deg")]
    """Declination, ICRS."""


class LensMap(Section):
    """A convergence map, a deflection field or a Lenstool model, and the source distance to which a map is scaled.

    This distance is never guessed; a Lenstool model needs none.
    """

    path: str | None = Field(default=None, min_length=1)
    """FITS file of a convergence map. Give one of `path`, `deflection` and `par`."""
    deflection: Deflection | None = None
    """Deflection field, whose divergence is the convergence; see the section `deflection`."""
    par: str | None = Field(default=None, min_length=1)
    """Parameter file of a Lenstool best fit (best.par)."""
    frame: Literal["icrs", "fk5"] = "icrs"
    """Frame of the positions in `par`, which does not state it; the two differ by about 0.02 arcsec."""
    without: tuple[str, ...] = ()
    """Titles of potentials of `par` that are left out, such as the stars of the central galaxy."""
    plane: Annotated[int, BeforeValidator(whole), Field(ge=1)] | None = None
    """Plane of a FITS cube that contains kappa, counted from 1 (GLAFIC writes several quantities into one cube)."""
    origin: Origin | None = None
    """For maps with linear axes in arcsec, x to the west and y to the north; see the section `origin`."""
    source_redshift: Positive | None = None
    """Source redshift to which the map is scaled. Give this or `lens_scaling`."""
    lens_scaling: Positive | None = None
    """D_LS/D_S to which the map is scaled; 1 for maps of the Hubble Frontier Fields."""
    weak_lensing: bool = False
    """Whether the map is from weak lensing, in which noise makes some values negative; otherwise these are an error."""

    @model_validator(mode="before")
    @classmethod
    def _one_map(cls, value: object) -> object:
        if isinstance(value, Mapping):
            given = [key for key in ("path", "deflection", "par") if value.get(key) is not None]
            if len(given) > 1:
                raise ValueError(f"give {' or '.join(given)}, not {'both' if len(given) == 2 else 'all'}")
        return value

    @model_validator(mode="after")
    def _scaling(self) -> Self:
        if self.path is None and self.deflection is None and self.par is None:
            raise ValueError("path: missing; give a path, deflection: {x: , y: }, or par")
        if self.par is not None and (self.source_redshift, self.lens_scaling) != (None, None):
            raise ValueError(
                "par needs no source_redshift and no lens_scaling: a model is evaluated for any source"
            )
        if self.without and self.par is None:
            raise ValueError("without names potentials of a Lenstool file: give par as well")
        if self.source_redshift is not None and self.lens_scaling is not None:
            raise ValueError("give source_redshift or lens_scaling, not both")
        return self

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that it names."""
        if self.deflection is not None:
            return (self.deflection.x, self.deflection.y)
        return tuple(path for path in (self.path, self.par) if path is not None)


class Rival(LensMap):
    """Another map of the same cluster, to be ranked against the run's own."""

    name: str = Field(min_length=1)
    """Name of the map in tables and figures."""


class Alternative(LensMap):
    """A lens model of another family (free-form, parametric, light traces mass): the law is fitted with each."""

    name: str = Field(min_length=1)
    """Name of the model in tables and figures."""


class Convergence(LensMap):
    """The convergence map of a run, range maps of the same lens model, and other maps to compare."""

    reference_redshift: Positive = 3.0
    """Source redshift to which every map is scaled, and to which the results refer."""
    resolution: Annotated[Annotated[Positive, Field(le=20)] | None, Unit("arcsec")] = None
    """FWHM of the Gaussian with which the map is smoothed; the law then uses the map sharpened by it. null: none."""
    ensemble: str | Deflection | None = None
    """Pattern of the range maps (realisations) of the lens model, such as `range/map*_kappa.fits`: convergence maps, or
    `{x: pattern, y: pattern}` of deflections, scaled like the map itself."""
    compare: tuple[Rival, ...] = ()
    """Other maps, ranked by how well the positions of the sources follow them; each has a `name` and the keys above."""
    alternatives: tuple[Alternative, ...] = ()
    """Models of other families, each with a `name` and the keys above. The scatter of the law between them is part of
    its systematic error."""
    family_rms: Annotated[float, BeforeValidator(number), Field(ge=0, le=2)] = 0.3
    """Assumed rms difference in ln kappa between families of lens models if there are no alternatives; 0: none."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for key, maps in (("compare", self.compare), ("alternatives", self.alternatives)):
            names = [one.name for one in maps]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{key}: duplicate name {shortened(repr(twice[0]), 60)}")
        return self
