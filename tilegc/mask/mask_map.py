"""The mask: where no peak may be recorded, and why, one bit a reason (algorithm.md, section 2).

Extended objects may be larger than any window, so they are found in tiles, joined across tile borders into one
table, and drawn again by every tile: nothing is measured "in a tile".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tilegc.config import DetectionConfig, Mask
from tilegc.engine import Pass, run_pass
from tilegc.geometry import LATTICE, Box, Tile, blocks
from tilegc.images.psfs import BandPsf, field_psfs
from tilegc.io import store
from tilegc.io.fits import FieldSource, Plane, read_window, row_bands
from tilegc.io.probe import probe_mask
from tilegc.io.regions import Area, inside, read_regions
from tilegc.io.window import Window
from tilegc.kernels.masks import edge, edge_radius, grow
from tilegc.mask.bright_stars import bright_stars, glare, no_stars
from tilegc.mask.components import Components, Fragments, combine, draw, find, merge
from tilegc.mask.ridges import (
    LINES,
    RIDGE_GROWTH,
    find_ridges,
    is_arc,
    is_spike,
    lines_of,
    spike_limit,
    wanted,
)
from tilegc.mask.wings import Glare, inside_glare
from tilegc.phases.context import Context
from tilegc.phases.partials import Table, by_field
from tilegc.schema import Bit

__all__ = ["MASKS", "Edge", "Regions", "idle", "mask", "mask_pass", "object_passes", "region_masks"]

MASKS = ("objects", "regions", "mask", "ridges")
"""Arrays that this stage writes; ridges where spikes or arcs are asked for."""

EXTENDED, SPIKE, ARC, STAR = np.uint8(1), np.uint8(2), np.uint8(4), np.uint8(8)
"""Bits of `objects`."""

EXTENDED_AREA = 60
"""Pixels of an object in the mid-scale map from which it is extended: point sources below `bright` reach 25."""

ELONGATED_AREA = 25
ELONGATION = 3.0
"""Pixels and axis ratio of an object that is extended for its shape: the beads of a star's spikes, arcs."""

EXTENDED_GROWTH = 8.0
"""Pixels by which extended objects are grown, over the peaks that noise makes on their steep outskirts."""

GROWN = (
    (EXTENDED, EXTENDED_GROWTH, Bit.EXTENDED),
    (SPIKE, RIDGE_GROWTH, Bit.SPIKE),
    (ARC, RIDGE_GROWTH, Bit.ARC),
    (STAR, 0.0, Bit.SPIKE),
)
"""By bit of `objects`: the pixels by which they are grown, and their bit in the mask."""

RIDGE_AREA = 12
"""Pixels of the smallest ridge: its length is more."""

MATCHED_RIM = 2.0
"""Pixels round bit 4 in which the matched filter, which sees a bright source's wings from there on without their
middle, makes rings of false peaks: on the mock `small` four of five false sources lay there."""

NO_DATA_SQUARE = 3.0
"""Side, arcsec, of the square that missing data must hold to have an edge (algorithm.md, section 2)."""


@dataclass(frozen=True)
class Edge:
    """The edge mask in pixels of one field."""

    square: int
    """Side of the square that missing data must hold."""
    reach2: int
    """Largest squared distance from such data; negative: off."""
    rim: float = 0.0
    """Pixels by which bit 4 is grown after the filter has left its pixels out."""

    @classmethod
    def of(cls, arcsec: float, scale: float, *, matched: bool = False) -> Edge:
        """Return the edge mask of a width in arcsec, 0 for none, on pixels of `scale` arcsec."""
        # 6.6 / 0.03 is 220 pixels also where the header's scale misses 0.03 in its last digits.
        reach2 = math.floor((arcsec / scale) ** 2 * (1 + 1e-9)) if arcsec > 0 else -1
        rim = MATCHED_RIM if matched else 0.0
        return cls(max(1, math.ceil(NO_DATA_SQUARE / scale * (1 - 1e-9))), reach2, rim)

    @property
    def radius(self) -> int:
        """Halo that the mask needs, pixels."""
        return edge_radius(self.square, self.reach2) if self.reach2 >= 0 else 0


@dataclass(frozen=True)
class Regions:
    """The user's masks of one field: planes on its pixel grid and DS9 regions in its pixels."""

    planes: tuple[Plane, ...]
    shapes: tuple[Area, ...]
    files: tuple[tuple[str, int], ...] = ()
    """Path of every region file and how many of `shapes` are its own, in order."""
    seams: str | None = None
    """Store with the seams between the field's mosaics; None: there are none."""


def region_masks(source: FieldSource, paths: tuple[str, ...]) -> Regions:
    """Read the user's masks of a field: DS9 files (.reg) and FITS images on its grid.

    Raises
    ------
    InputError
        If one is absent, unreadable, of another shape, or a compressed image.
    """
    planes: list[Plane] = []
    shapes: list[Area] = []
    files: list[tuple[str, int]] = []
    for path in paths:
        if Path(path).suffix.lower() == ".reg":
            found = read_regions(path, source.wcs, source.header)
            # Regions are parsed once by the driver; tiles receive shapes, not files.
            shapes.extend(found)
            files.append((path, len(found)))
        else:
            planes.append(probe_mask(path, source))
    return Regions(tuple(planes), tuple(shapes), tuple(files))


def idle(source: FieldSource, regions: Regions) -> Iterator[str]:
    """Yield the user's masks that mask no pixel of their field: mostly those of another one."""
    first = 0
    for path, count in regions.files:
        own = regions.shapes[first : first + count]
        first += count
        # A file may hold the regions of several fields: it is idle only if none of them meets this one.
        if not any(_meets(shape, source) for shape in own):
            yield path
    for plane in regions.planes:
        if not any((np.isfinite(rows) & (rows != 0)).any() for _, rows in row_bands(plane, LATTICE)):
            yield plane.path


def _meets(shape: Area, source: FieldSource) -> bool:
    """Whether a region covers the centre of any pixel of a field."""
    bounds = shape.bounding_box
    box = Box(bounds.iymin - 1, bounds.ixmin - 1, bounds.iymax + 1, bounds.ixmax + 1).clip(source.box)
    return any(inside([shape], part).any() for _, part in blocks(box, 1024)) if box.size else False


def mask(
    context: Context,
    config: DetectionConfig,
    regions: Mapping[str, Regions],
    psfs: Mapping[str, tuple[BandPsf, ...]] | None = None,
) -> Table:
    """Write the mask of every field, from its flags and the user's masks.

    Parameters
    ----------
    context : Context
    config : DetectionConfig
        The recipe and the sections `mask` and `filter`.
    regions : mapping
        The user's masks, by field.
    psfs : mapping, optional
        The bands' PSFs, by field; as `tilegc.images.psfs.field_psfs` finds them by default.

    Returns
    -------
    table
        The bright stars whose wings are masked: columns of `schema.STARS`.
    """
    names = context.names
    drawn = {name: replace(regions[name], seams=_seams(context.source(name))) for name in names}
    # The order of the passes is forced: the user's regions need nothing; ridges need the noise of the detection
    # map; objects need the ridges; stars need the very bright objects; and the mask puts all of it together.
    run_pass(context.engine, REGIONS, context.fields, drawn, context.ledger)
    masks = config.mask
    noise = find_ridges(context, masks) if wanted(masks) else {}
    stars, glares = no_stars(), dict.fromkeys(names, Glare())
    if sought := object_passes(masks):
        find, draw = sought
        lines = lines_of(masks)
        wishes = {name: _Sought(name, lines) for name in names}
        # A counting pass: fragments are few and follow from maps that are in the store, so that a resumed run
        # simply finds them again.
        fragments = run_pass(context.engine, find, context.fields, wishes) or {}
        bright = {name: merge(fragments[f"{name}/bright"]) for name in names if wanted(masks)}
        if masks.spikes != "off":
            psfs, limit = psfs or field_psfs(context, config.recipe, {}), spike_limit(masks)
            stars = bright_stars(context, config, bright, noise, psfs, limit)
            glares = {name: glare(stars, context.source(name), psfs[name], limit) for name in names}
        objects = {name: _choose(fragments, name, masks, bright.get(name), glares[name]) for name in names}
        run_pass(context.engine, draw, context.fields, objects, context.ledger)
    matched = config.recipe == "calibrated"
    edges = {name: Edge.of(masks.edge_arcsec, context.source(name).scale, matched=matched) for name in names}
    run_pass(context.engine, mask_pass(edges), context.fields, edges, context.ledger)
    return stars


def extended(objects: Components) -> np.ndarray:
    """Return which objects of the mid-scale map are extended: the large, and the elongated; bool (n,)."""
    chosen: np.ndarray = (objects.area >= EXTENDED_AREA) | (
        (objects.area >= ELONGATED_AREA) & (objects.elongation >= ELONGATION)
    )
    return chosen


def _seams(source: FieldSource) -> str | None:
    return source.store if source.seam > 0 else None


def _regions_rule(
    window: Window,  # noqa: ARG001  (nothing is read)
    tile: Tile,
    params: Regions,
) -> tuple[dict[str, np.ndarray], None]:
    """Draw the user's masks in a core."""
    drawn = inside(params.shapes, tile.core)
    for plane in params.planes:
        values = read_window(plane, tile.core)
        drawn |= (values != 0) & np.isfinite(values)
    if params.seams is not None:
        drawn |= store.read(params.seams, "seam", tile.core) != 0
    return {"regions": drawn.astype(np.uint8)}, None


Parts = tuple[tuple[str, np.uint8, Components, np.ndarray], ...]
"""Objects to draw: the map in which they are, their bit, all components of the map, and which of them."""


@dataclass(frozen=True)
class Objects:
    """What a field's tiles draw."""

    parts: Parts
    glare: Glare
    """Of bright stars."""


def _map(window: Window, name: str) -> np.ndarray:
    """Return where one of the maps is set in which objects are found, bool."""
    if name in LINES:
        ridged: np.ndarray = (window["ridges"].values & LINES[name]) != 0
        return ridged
    bit = Bit.EXTENDED if name == "extended" else Bit.BRIGHT
    flagged: np.ndarray = (window["flags"].values & np.uint8(bit)) != 0
    return flagged


@dataclass(frozen=True)
class _Sought:
    """What is looked for in a field."""

    field: str
    lines: tuple[str, ...]
    """Of `LINES`."""


def _find_rule(
    window: Window, tile: Tile, params: _Sought
) -> tuple[dict[str, np.ndarray], dict[str, Fragments]]:
    """Find the parts of objects in a core."""
    sought = [("extended", ELONGATED_AREA), *((name, RIDGE_AREA) for name in params.lines)]
    if params.lines:
        sought.append(("bright", 1))
    y0, x0 = tile.core.y0, tile.core.x0
    return {}, {f"{params.field}/{name}": find(_map(window, name), y0, x0, area) for name, area in sought}


def _choose(
    fragments: Mapping[str, Fragments], name: str, masks: Mask, bright: Components | None, stars: Glare
) -> Objects:
    """Join the parts of a field's objects and say which are extended, spikes and arcs."""
    large = merge(fragments[f"{name}/extended"], ELONGATED_AREA)
    parts: Parts = (("extended", EXTENDED, large, extended(large)),)
    if bright is not None:
        first, *own = lines_of(masks)
        lines = merge(fragments[f"{name}/{first}"], RIDGE_AREA)
        spikes = is_spike(lines, bright)
        if masks.spikes != "off":
            parts += ((first, SPIKE, lines, spikes),)
        if own:
            first, lines = own[0], merge(fragments[f"{name}/{own[0]}"], RIDGE_AREA)
            spikes = is_spike(lines, bright)
        if masks.arcs != "off":
            parts += ((first, ARC, lines, is_arc(lines, spikes)),)
    return Objects(parts, stars)


def _draw_rule(window: Window, tile: Tile, params: Objects) -> tuple[dict[str, np.ndarray], None]:
    """Draw the part of every object that lies in a core."""
    drawn = np.zeros(tile.core.shape, np.uint8)
    for name, bit, components, chosen in params.parts:
        # The same maps and the same cores as in the first pass, so that fragments have the same names.
        drawn[draw(_map(window, name), tile.core.y0, tile.core.x0, components, chosen)] |= bit
    drawn[inside_glare(params.glare, tile.core.y0, tile.core.x0, tile.core.shape)] |= STAR
    return {"objects": drawn}, None


def _mask_rule(window: Window, tile: Tile, params: Edge) -> tuple[dict[str, np.ndarray], None]:
    """Put the bits of a core together."""
    flags = window["flags"].values
    bits = flags & np.uint8(Bit.NO_DATA | Bit.BRIGHT)
    if params.reach2 >= 0:
        no_data = (flags & np.uint8(Bit.NO_DATA)) != 0
        bits[edge(no_data, params.square, params.reach2, tile.open_sides)] |= np.uint8(Bit.EDGE)
    # Grown after the filter: the pixels of the rim did count in its sums, but no peak may be recorded on them.
    if params.rim > 0 and (bits & np.uint8(Bit.BRIGHT)).any():
        bits[grow((bits & np.uint8(Bit.BRIGHT)) != 0, params.rim)] |= np.uint8(Bit.BRIGHT)
    objects = window["objects"].values
    for kind, growth, bit in GROWN:
        drawn = (objects & kind) != 0
        if drawn.any():
            # Grown here and not when drawn, so that `objects` holds what was found and growth does not add up
            # over passes.
            bits[grow(drawn, growth) if growth > 0 else drawn] |= np.uint8(bit)
    bits[window["regions"].values != 0] |= np.uint8(Bit.REGION)
    return {"mask": bits[tile.core_in_window]}, None


def mask_pass(edges: Mapping[str, Edge]) -> Pass:
    """Return the pass that puts the mask together, with the halo that each field's edge mask needs."""
    halo = {name: max(wanted.radius, math.ceil(EXTENDED_GROWTH)) for name, wanted in edges.items()}
    return Pass("mask", ("flags", "objects", "regions"), halo, ("mask",), _mask_rule, bytes_per_pixel=24.0)


REGIONS = Pass("regions", (), 0, ("regions",), _regions_rule, bytes_per_pixel=8.0)


def object_passes(masks: Mask) -> tuple[Pass, Pass] | tuple[()]:
    """Return the passes that find objects and that draw them; none where nothing is sought."""
    if not (math.isfinite(masks.extended_nJy) or wanted(masks)):
        return ()
    reads = ("flags", "ridges") if wanted(masks) else ("flags",)
    # Without a halo: fragments are joined by their borders, so that no pixel is read twice.
    find = Pass("extended-find", reads, 0, (), _find_rule, partial(by_field, combine), bytes_per_pixel=24.0)
    return find, Pass("extended-draw", reads, 0, ("objects",), _draw_rule, bytes_per_pixel=24.0)
