"""The draft of a run file: from a list of files to its text, with what was found, guessed and left open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from tilegc import sky
from tilegc.config.coordinates import both_coordinates, declination, right_ascension
from tilegc.drafting.clusters import KNOWN, Known, by_name
from tilegc.drafting.fields import Field, fields_of, with_errors_and_weights
from tilegc.drafting.images import Image, Other, identified, weights_kind
from tilegc.errors import ConfigError, InputError

__all__ = ["Centre", "Draft", "draft"]


@dataclass(kw_only=True)
class Centre:
    """The cluster, as far as it is known."""

    name: str = ""
    redshift: float = math.nan
    ra: float = math.nan
    dec: float = math.nan

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return bool(self.name) and all(math.isfinite(one) for one in (self.redshift, self.ra, self.dec))

    @property
    def placed(self) -> bool:
        """Whether the centre is known."""
        return math.isfinite(self.ra) and math.isfinite(self.dec)


@dataclass(kw_only=True)
class Draft:
    """What was found in a list of files."""

    cluster: Centre
    fields: list[Field]
    psfs: list[Other] = field(default_factory=list)
    masks: list[Other] = field(default_factory=list)
    maps: list[Other] = field(default_factory=list)
    """Convergence and deflection maps."""
    guesses: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What the user has to fill in."""
    unused: list[str] = field(default_factory=list)
    """Files that are not in the run file, with the reason."""


def draft(
    paths: Sequence[str], *, name: str = "", redshift: float | None = None, centre: str | None = None
) -> Draft:
    """Look at files and return the draft of a run file.

    Parameters
    ----------
    paths : sequence of str
        FITS files of mosaics, errors, weights, PSFs, masks and convergence maps, and DS9 region files.
    name : str
        Name of the cluster. Redshift and centre of the clusters of the Hubble Frontier Fields are known.
    redshift : float, optional
        Redshift of the cluster.
    centre : str, optional
        Centre of the cluster: degrees, or sexagesimal, ICRS.

    Returns
    -------
    Draft

    Raises
    ------
    InputError
        A file that is absent, truncated or not FITS; no usable mosaic among the files.
    GridError
        Errors or weights on another grid than the image to which they belong by name.
    ConfigError
        A centre that is not a position.
    """
    found = [identified(path) for path in dict.fromkeys(paths)]
    images = [one for one in found if isinstance(one, Image)]
    others = [one for one in found if isinstance(one, Other)]
    unusable = [one for one in others if one.role == "unused"]
    if not images:
        told = f"; {unusable[0].path}: {unusable[0].reason}" if unusable else ""
        raise InputError(f"no mosaic among {len(found)} files{told}; give drizzled mosaics (_i2d, _sci)")
    images, unpaired = with_errors_and_weights(images, others)
    fields = fields_of(images)
    result = Draft(
        cluster=Centre(),
        fields=fields,
        psfs=[one for one in others if one.role == "psf"],
        masks=[one for one in others if one.role in {"mask", "region"}],
        maps=[one for one in others if one.role in {"kappa", "deflection"}],
    )
    result.unused = [f"{one.path}: {one.reason}" for one in unusable]
    result.unused += [
        f"{one.path}: no image with the same name for this {_ROLES[one.role]}" for one in unpaired
    ]
    _tell(result)
    _find_cluster(result, name, redshift, centre)
    return result


_ROLES = {"err": "error image", "wht": "weight image"}


def _tell(result: Draft) -> None:
    """Add what had to be guessed of the images, and what is missing."""
    for one in result.fields:
        images = [*one.bands.values(), *one.elsewhere]
        for image in images:
            if image.guess:
                result.guesses.append(f"{image.path} is {image.band}, by {image.guess}")
            result.guesses += [f"{image.path}: {note}" for note in image.notes]
            if not image.unit:
                result.missing.append(
                    f"zero_point of {image.band} in field {one.name}: its header gives no unit that is known"
                )
        by_file = [image for image in images if image.err or image.wht]
        if by_file:
            given = {"errors": [image.err for image in by_file], "weights": [image.wht for image in by_file]}
            kinds = [word for word, files in given.items() if any(files)]
            result.guesses.append(
                f"field {one.name}: {' and '.join(kinds)} of {', '.join(image.band for image in by_file)} "
                "by the names of the files"
            )
        if one.first.has_wht:
            kind = weights_kind(one.first.source)
            if kind:
                result.guesses.append(
                    f"field {one.name}: weights are {kind}, by the scatter of {one.first.band}"
                )
        if one.first.module and one.first.module == one.name:
            result.guesses.append(f"field {one.name} is NIRCam module {one.name.upper()}")
        result.unused += [
            f"{image.path}: field {one.name} already has {image.band} ({one.bands[image.band].path})"
            for image in one.repeated
        ]


def _find_cluster(result: Draft, name: str, redshift: float | None, centre: str | None) -> None:
    """Fill in the cluster: what was given, else what is known by name or lies in a field, else the header's target."""
    cluster = result.cluster
    targets = [target for one in result.fields for target in one.first.targets]
    known = by_name([name]) if name else by_name(targets) or _inside(result.fields)
    if known is not None:
        cluster.name, cluster.redshift = name or known.name, known.redshift
        cluster.ra, cluster.dec = known.ra, known.dec
        if not name and centre is None:
            result.guesses.append(
                f"the cluster is {known.name} (z = {known.redshift:g}, ra {known.ra:g}, dec {known.dec:g})"
            )
    else:
        cluster.name = name or next(iter(targets), "")
        if cluster.name and not name:
            result.guesses.append(f"the cluster is {cluster.name}, the target in the header")
    if centre is not None:
        cluster.ra, cluster.dec = _position(centre)
    if redshift is not None:
        cluster.redshift = redshift
    if not cluster.name:
        result.missing.append("cluster.name")
    if not math.isfinite(cluster.redshift):
        result.missing.append("cluster.redshift")
    if not cluster.placed:
        result.missing.append("cluster.ra and cluster.dec: the brightest cluster galaxy, degrees ICRS")


def _inside(fields: Sequence[Field]) -> Known | None:
    """Return the known cluster whose centre lies in a field."""
    for known in KNOWN:
        for one in fields:
            source = one.first.source
            y, x = (float(value) for value in sky.world_to_pixel(source.wcs, known.ra, known.dec))
            if 0 <= y < source.shape[0] and 0 <= x < source.shape[1]:
                return known
    return None


def _position(text: str) -> tuple[float, float]:
    try:
        ra, dec = both_coordinates(text)
        position = float(str(right_ascension(ra))), float(str(declination(dec)))
    except ValueError as error:
        raise ConfigError(f"--center: {error}") from None
    if not (0 <= position[0] < 360 and -90 <= position[1] <= 90):
        raise ConfigError(f"--center {text}: ra must be 0 to 360 and dec -90 to 90 degrees")
    return position
