"""The user's masks as DS9 region files."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from tilegc.deferred import Deferred
from tilegc.errors import InputError
from tilegc.geometry import Box
from tilegc.places import is_url, opened
from tilegc.sky import wcs_from_text

if TYPE_CHECKING:
    import regions
else:
    regions = Deferred("regions")  # with matplotlib, 0.7 s of processor time

__all__ = ["Area", "inside", "read_regions"]

log = logging.getLogger("tilegc")

_ANNOTATIONS: Final = tuple(
    f"{kind}{system}Region" for kind in ("Line", "Point", "Text") for system in ("Pixel", "Sky")
)
"""Classes of what is drawn on an image and encloses no pixel."""

_DRAWN = re.compile(
    r"^\s*#?\s*(?:ruler|projection|compass|vector|segment)\s*\(.*$", re.IGNORECASE | re.MULTILINE
)
"""Annotations of DS9 that the regions package does not know."""

_PHYSICAL = re.compile(r"^(\s*)physical\b", re.IGNORECASE | re.MULTILINE)

_SHIFTS = ("LTV1", "LTV2", "LTM1_1", "LTM2_2", "LTM1_2", "LTM2_1")
"""Cards that say how an image lies in a larger one: DS9's `physical` coordinates are those of the larger one."""


class Area(Protocol):
    """A part of an image: what `inside` needs of a region."""

    @property
    def bounding_box(self) -> Any:
        """The region's bounds, pixels."""

    def contains(self, pixels: regions.PixCoord) -> Any:
        """Return which pixels' centres lie in it."""


@dataclass(frozen=True)
class _Cut:
    """A region less the exclusions of its file, as DS9 draws `-circle` and the like."""

    shape: regions.PixelRegion
    exclusions: tuple[regions.PixelRegion, ...]

    @property
    def bounding_box(self) -> Any:
        """The bounds of what is cut from."""
        return self.shape.bounding_box

    def contains(self, pixels: regions.PixCoord) -> Any:
        """Return which pixels' centres lie in the region and in no exclusion."""
        held = self.shape.contains(pixels)
        for exclusion in self.exclusions:
            held &= ~exclusion.contains(pixels)
        return held


def read_regions(path: str, wcs: str, header: str = "") -> list[Area]:
    """Read a DS9 file into regions in a field's pixels (0-based).

    Annotations (texts, points, lines, rulers, projections, compasses, vectors) are ignored with one line in the
    log. Exclusions (`-circle`) are cut out of every region of the file, and unions (`||`) are regions side by side.

    Parameters
    ----------
    path : str
        The file, or its URL.
    wcs : str
        Cards of the field's WCS.
    header : str, optional
        The field's header; without LTV and LTM cards in it `physical` coordinates are those of the image.

    Raises
    ------
    InputError
        If it is absent, is not a DS9 file, holds no region with an inside, or something whose meaning is not known:
        an intersection (`&&`), `physical` coordinates of an image that was cut out of another.
    """
    if is_url(path):
        with opened(path) as stream:
            text = stream.read().decode(errors="replace")
    elif Path(path).is_file():
        text = Path(path).read_text(errors="replace")
    else:
        raise InputError(f"{path}: no such region file (field's masks)")
    if "&&" in text:
        raise InputError(
            f"{path}: contains an intersection (&&), which is not supported; draw the masked area itself"
        )
    # Removed before parsing, because the parser refuses what it does not know, and a ruler is no reason to
    # refuse a mask.
    text, n_drawn = _DRAWN.subn("", text)
    found = _parsed(path, _in_image(path, text, header))
    areas = [region for region in found if type(region).__name__ not in _ANNOTATIONS]
    ignored = n_drawn + len(found) - len(areas)
    if ignored:
        log.info("%s: %d annotations (texts, points, lines, ...) are ignored", path, ignored)
    if not areas:
        only = "only annotations" if ignored else "no region"
        raise InputError(f"{path}: contains {only}; remove it from masks or draw the area to be masked")
    celestial = wcs_from_text(wcs)
    shapes = [
        region.to_pixel(celestial) if isinstance(region, regions.SkyRegion) else region for region in areas
    ]
    for number, shape in enumerate(shapes, 1):
        try:
            # Polygons of fewer than three vertices, or a radius of zero, would mask nothing in silence.
            usable = shape.bounding_box is not None and len(getattr(shape, "vertices", (0, 1, 2))) > 2
        except ValueError:
            usable = False
        if not usable:
            raise InputError(f"{path}: region {number} ({type(shape).__name__}) encloses no area; correct it")
    included = [bool(region.meta.get("include", True)) for region in areas]
    exclusions = tuple(shape for shape, kept in zip(shapes, included, strict=True) if not kept)
    enclosing = [shape for shape, kept in zip(shapes, included, strict=True) if kept]
    if not enclosing:
        raise InputError(
            f"{path}: contains only exclusions (-circle, -box, ...); add the region from which they are cut"
        )
    return [_Cut(shape, exclusions) for shape in enclosing] if exclusions else enclosing


def _parsed(path: str, text: str) -> list[Any]:
    """Return the regions of a text; anything that the regions package passes over is an error."""
    try:
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            found = regions.Regions.parse(text, format="ds9")
    except Exception as error:
        raise InputError(f"{path}: not a DS9 region file ({' '.join(str(error).split())[:200]})") from error
    # The parser skips shapes that it cannot read and only warns. A mask that is applied in part is worse than
    # none.
    if remarks:
        said = "; ".join(" ".join(str(remark.message).split()) for remark in remarks[:3])
        raise InputError(f"{path}: some of it cannot be read as DS9 regions ({said[:300]}); correct it")
    return list(found)


def _in_image(path: str, text: str, header: str) -> str:
    """Turn `physical` into `image` coordinates where the two are the same."""
    if not _PHYSICAL.search(text):
        return text
    cards = [line for line in header.splitlines() if line[:8].strip() in _SHIFTS]
    neutral = {"LTV1": 0.0, "LTV2": 0.0, "LTM1_1": 1.0, "LTM2_2": 1.0, "LTM1_2": 0.0, "LTM2_1": 0.0}
    for card in cards:
        name, _, value = card.partition("=")
        try:
            same = float(value.partition("/")[0]) == neutral[name.strip()]
        except ValueError:
            same = False
        if not same:
            raise InputError(
                f"{path}: is in physical coordinates, which by {name.strip()} in the field's header are not those of "
                "the image; save it in image or fk5 coordinates"
            )
    return _PHYSICAL.sub(r"\1image", text)


def inside(shapes: Sequence[Area], box: Box) -> np.ndarray:
    """Return which pixels of a box have their centre in any of the regions (bool)."""
    drawn = np.zeros(box.shape, bool)
    for shape in shapes:
        bounds = shape.bounding_box
        # One pixel more than the bounding box: its rounding must not cut a pixel's centre off.
        part = Box(bounds.iymin - 1, bounds.ixmin - 1, bounds.iymax + 1, bounds.ixmax + 1).clip(box)
        if part.size == 0:
            continue
        y, x = np.mgrid[part.y0 : part.y1, part.x0 : part.x1]
        drawn[part.within(box)] |= shape.contains(regions.PixCoord(x, y))
    return drawn
