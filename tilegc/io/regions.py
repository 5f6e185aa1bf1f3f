"""The user's masks as DS9 region files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from regions import (
    LinePixelRegion,
    PixCoord,
    PixelRegion,
    PointPixelRegion,
    Regions,
    SkyRegion,
    TextPixelRegion,
)

from tilegc.errors import InputError
from tilegc.geometry import Box
from tilegc.places import is_url, opened
from tilegc.sky import wcs_from_text

__all__ = ["PixelRegion", "inside", "read_regions"]


def read_regions(path: str, wcs: str) -> list[PixelRegion]:
    """Read a DS9 file into regions in a field's pixels (0-based).

    Raises
    ------
    InputError
        If it is absent, is not a DS9 file, holds no region, or one without an inside; texts are labels.
    """
    if is_url(path):
        with opened(path) as stream:
            text = stream.read().decode()
    elif Path(path).is_file():
        text = None
    else:
        raise InputError(f"{path}: no such region file (field's masks)")
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = Regions.read(path, format="ds9") if text is None else Regions.parse(text, format="ds9")
    except Exception as error:
        raise InputError(f"{path}: not a DS9 region file ({' '.join(str(error).split())})") from error
    if said:
        text = "; ".join(" ".join(str(warning.message).split()) for warning in said[:3])
        raise InputError(f"{path}: not all of it can be read as DS9 regions ({text}); mend it")
    if not len(found):
        raise InputError(f"{path}: holds no region that can be read; leave it out of masks or mend it")
    if not all(region.meta.get("include", True) for region in found):
        raise InputError(
            f"{path}: holds an exclusion (-circle, -box, ...); draw what is to be masked instead"
        )
    celestial = wcs_from_text(wcs)
    shapes = [region.to_pixel(celestial) if isinstance(region, SkyRegion) else region for region in found]
    for number, shape in enumerate(shapes, 1):
        if isinstance(shape, TextPixelRegion):
            continue
        if isinstance(shape, LinePixelRegion | PointPixelRegion):
            raise InputError(
                f"{path}: region {number} ({type(shape).__name__}) has no inside; draw a polygon, box or circle"
            )
        try:
            usable = shape.bounding_box is not None and len(getattr(shape, "vertices", (0, 1, 2))) > 2
        except ValueError:
            usable = False
        if not usable:
            raise InputError(f"{path}: region {number} ({type(shape).__name__}) encloses nothing; mend it")
    enclosing = [shape for shape in shapes if not isinstance(shape, TextPixelRegion)]
    if not enclosing:
        raise InputError(f"{path}: holds labels alone; leave it out of masks or draw what is to be masked")
    return enclosing


def inside(shapes: Sequence[PixelRegion], box: Box) -> np.ndarray:
    """Return which pixels of a box have their centre in any of the regions (bool)."""
    drawn = np.zeros(box.shape, bool)
    for shape in shapes:
        bounds = shape.bounding_box
        # One pixel more than the bounding box: its rounding must not cut a pixel's centre off.
        part = Box(bounds.iymin - 1, bounds.ixmin - 1, bounds.iymax + 1, bounds.ixmax + 1).clip(box)
        if part.size == 0:
            continue
        y, x = np.mgrid[part.y0 : part.y1, part.x0 : part.x1]
        drawn[part.within(box)] |= shape.contains(PixCoord(x, y))
    return drawn
