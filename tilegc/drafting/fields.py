"""Which images make a field: bands on one pixel grid; other grids on the same sky are listed beside it."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tilegc.config import Band, FieldInput
from tilegc.drafting.images import Image, Other, overlap, paired, same_grid
from tilegc.errors import GridError
from tilegc.io.probe import probe_field

__all__ = ["Field", "fields_of", "with_errors_and_weights"]

_OVERLAP = 0.5
"""Share of the smaller of two images that has to lie in the other for both to be the same field."""


@dataclass
class Field:
    """A field: its bands, and what else shows the same sky."""

    name: str
    bands: dict[str, Image]
    elsewhere: list[Image] = field(default_factory=list)
    """Bands on other pixel grids."""
    repeated: list[Image] = field(default_factory=list)
    """Further images of bands that the field already has."""

    @property
    def first(self) -> Image:
        """The image of the first band."""
        return next(iter(self.bands.values()))


def with_errors_and_weights(
    images: Sequence[Image], others: Sequence[Other]
) -> tuple[list[Image], list[Other]]:
    """Give every image the errors and weights that have files of their own.

    Parameters
    ----------
    images : sequence of Image
    others : sequence of Other
        All other files.

    Returns
    -------
    images : list of Image
    unpaired : list of Other
        Errors and weights without an image.

    Raises
    ------
    GridError
        If a file belongs to an image by its name but has other pixels.
    """
    found = list(images)
    unpaired = []
    for other in others:
        if other.role not in ("err", "wht"):
            continue
        partners = [number for number, image in enumerate(found) if paired(image, other)]
        if len(partners) != 1:
            unpaired.append(other)
            continue
        found[partners[0]] = _checked(found[partners[0]].with_file(other.role, other.path))
    return found, unpaired


def _checked(image: Image) -> Image:
    """Return an image after its errors and weights have been compared with its pixel grid."""
    zero_point = None if image.unit else 28.9
    band = Band(sci=image.path, err=image.err, wht=image.wht, zero_point=zero_point)
    try:
        source = probe_field(FieldInput(name="field", bands={image.band: band}), pixels=False)
    except GridError as error:
        raise GridError(
            f"{error}; if the files do not belong together, give one of them another name"
        ) from None
    return replace(image, source=source)


def fields_of(images: Sequence[Image]) -> list[Field]:
    """Group images into fields.

    Images on one pixel grid are the bands of a field. A grid that shows the same sky as a field with more bands, or
    with smaller pixels, does not make a field of its own.

    Parameters
    ----------
    images : sequence of Image

    Returns
    -------
    list of Field
        Named after the NIRCam module, or `a`, `b`, ... where modules do not tell them apart; bands by wavelength.
    """
    grids: list[list[Image]] = []
    for image in images:
        grid = next((grid for grid in grids if same_grid(grid[0].source, image.source)), None)
        if grid is None:
            grids.append([image])
        else:
            grid.append(image)
    grids.sort(key=_rank, reverse=True)
    fields: list[Field] = []
    for grid in grids:
        same_sky = [one for one in fields if overlap(one.first.source, grid[0].source) >= _OVERLAP]
        for one in same_sky:
            one.elsewhere.extend(sorted(grid, key=_wavelength))
        if not same_sky:
            fields.append(_field(grid))
    for one, name in zip(fields, _names(fields), strict=True):
        one.name = name
    return sorted(fields, key=lambda one: one.name)


def _field(grid: Sequence[Image]) -> Field:
    bands: dict[str, Image] = {}
    repeated = []
    for image in sorted(grid, key=_wavelength):
        if image.band in bands:
            repeated.append(image)
        else:
            bands[image.band] = image
    return Field("", bands, repeated=repeated)


def _rank(grid: Sequence[Image]) -> tuple[bool, int, float]:
    """Return what makes a grid the main one of its sky: NIRCam, the number of bands, small pixels."""
    return (
        any(image.nircam for image in grid),
        len({image.band for image in grid}),
        -grid[0].source.scale,
    )


def _wavelength(image: Image) -> tuple[int, str]:
    """Sort bands of JWST by wavelength (HST's ACS and optical WFC3 filters are in nm, larger numbers first)."""
    digits = "".join(character for character in image.band if character.isdigit())[:4]
    number = int(digits or 0)
    return (number if len(digits) == 4 or number < 400 or image.nircam else -1000 + number), image.band


def _names(fields: Sequence[Field]) -> Iterator[str]:
    modules = [{image.module for image in one.bands.values()} for one in fields]
    single = [next(iter(module)) if len(module) == 1 else "" for module in modules]
    if all(single) and len(set(single)) == len(single):
        yield from single
        return
    letters = string.ascii_lowercase
    for number in range(len(fields)):
        yield letters[number] if len(fields) <= len(letters) else f"field{number + 1}"
