"""Maps on the sky: pixels of a field on the tangent plane, with north up and east to the left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, AuxTransformBox, DrawingArea, TextArea, VPacker
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.text import Text
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.report import style
from tilegc.sky import SkyGrid, pixel_to_world

__all__ = ["Place", "circle", "place", "show", "sky_axes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Place:
    """Affine map from the pixels of a field to the tangent plane.

    Mosaics are tangent-plane images themselves, so the map is accurate to a small fraction of a pixel. It is used
    only for figures.
    """

    shape: tuple[int, int]
    matrix: Floats
    """(3, 3): maps [x, y, 1] in pixels to [xi, eta, 1] in arcsec."""

    def sky(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return xi and eta in arcsec for pixel coordinates."""
        xi, eta, _ = self.matrix @ np.stack([x, y, np.ones_like(x)])
        return xi, eta

    def pixel(self, xi: float, eta: float) -> tuple[float, float]:
        """Return x and y in pixels for a position on the tangent plane."""
        x, y, _ = np.linalg.solve(self.matrix, np.array([xi, eta, 1.0]))
        return float(x), float(y)

    @property
    def scale(self) -> float:
        """Side of a pixel in arcsec."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Lowest and highest xi, lowest and highest eta of the field in arcsec."""
        return self.bounds_of(Box(0, 0, *self.shape))

    def bounds_of(self, box: Box) -> tuple[float, float, float, float]:
        """Return lowest and highest xi, lowest and highest eta of a box of pixels in arcsec."""
        corners = np.array([(x, y) for x in (box.x0, box.x1) for y in (box.y0, box.y1)], np.float64) - 0.5
        xi, eta = self.sky(corners[:, 0], corners[:, 1])
        return float(xi.min()), float(xi.max()), float(eta.min()), float(eta.max())

    def distance(self, xi: float, eta: float) -> float:
        """Return the distance in arcsec of a position on the tangent plane from the field; 0 inside."""
        x, y = self.pixel(xi, eta)
        height, width = self.shape
        dx, dy = max(-0.5 - x, x - (width - 0.5), 0.0), max(-0.5 - y, y - (height - 0.5), 0.0)
        return math.hypot(dx, dy) * self.scale

    @property
    def aspect(self) -> float:
        """Height of the field on the sky divided by its width."""
        west, east, south, north = self.bounds
        return (north - south) / (east - west)

    def reach(self) -> float:
        """Distance in arcsec of the farthest corner of the field from the cluster centre."""
        west, east, south, north = self.bounds
        return math.hypot(max(-west, east), max(-south, north))

    def window(self, xi: float, eta: float, side: float) -> Box:
        """Return a square of `side` arcsec around a position, shifted into the field and clipped to it."""
        half = max(1, round(side / self.scale / 2))
        x, y = self.pixel(xi, eta)
        y0, x0 = (
            min(max(round(middle) - half, 0), max(length - 2 * half, 0))
            for middle, length in zip((y, x), self.shape, strict=True)
        )
        return Box(y0, x0, y0 + 2 * half, x0 + 2 * half).clip(Box(0, 0, *self.shape))


def place(wcs: str, shape: tuple[int, int], grid: SkyGrid) -> Place:
    """Fit the affine map of a field.

    Parameters
    ----------
    wcs : str
        Header text, as for `sky.wcs_from_text`.
    shape : tuple of int
        Rows and columns.
    grid : SkyGrid
        The tangent plane.
    """
    # Fit at least two pixels: the WCS of a field with one row continues beyond it.
    rows, columns = (np.linspace(0, max(side - 1, 1), 7) for side in shape)
    y, x = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    xi, eta = grid.offsets(*pixel_to_world(wcs, y, x))
    # Fit around the centre of the field, where numbers are small: distant fields would lose digits otherwise.
    middle = np.array([x.mean(), y.mean()])
    design = np.column_stack([x - middle[0], y - middle[1], np.ones_like(x)])
    solved = np.linalg.lstsq(design, np.column_stack([xi, eta]), rcond=None)[0].T
    matrix = np.eye(3)
    matrix[:2, :2] = solved[:, :2]
    matrix[:2, 2] = solved[:, 2] - solved[:, :2] @ middle
    return Place(shape, matrix)


def show(axes: Axes, at: Place, values: np.ndarray, box: Box, **options: Any) -> AxesImage:
    """Draw an array that covers `box` of a field at its position on the sky.

    Parameters
    ----------
    axes : Axes
        Axes of the map.
    at : Place
        Position of the field.
    values : ndarray
        (rows, columns) or (rows, columns, RGBA); row 0 at the lowest y of the box.
    box : Box
        May extend beyond the field, like the last blocks of a picture.
    **options
        Options of `Axes.imshow`.
    """
    return axes.imshow(
        values,
        origin="lower",
        extent=(box.x0 - 0.5, box.x1 - 0.5, box.y0 - 0.5, box.y1 - 0.5),
        transform=Affine2D(at.matrix) + axes.transData,
        **options,
    )


def sky_axes(axes: Axes, bounds: tuple[float, float, float, float], kpc_per_arcsec: float) -> None:
    """Set limits and labels of a map, and add a compass and a scale bar with a round number of kpc.

    Parameters
    ----------
    axes : Axes
        Axes of the map.
    bounds : tuple of float
        Lowest and highest xi, lowest and highest eta in arcsec.
    kpc_per_arcsec : float
        Scale at the cluster; NaN: the bar is in arcsec.
    """
    west, east, south, north = bounds
    axes.set_xlim(east, west)
    axes.set_ylim(south, north)
    axes.set_aspect("equal")
    axes.set_xlabel("east of the centre (arcsec)")
    axes.set_ylabel("north of the centre (arcsec)")
    scale, unit = (1.0, "arcsec") if math.isnan(kpc_per_arcsec) else (kpc_per_arcsec, "kpc")
    length = _round_length(0.25 * (east - west) * scale)
    for plate in (_scale_bar(axes, f"{length:g} {unit}", length / scale), _compass()):
        plate.patch.set(
            facecolor="white", edgecolor="none", alpha=0.8, boxstyle="round,pad=0,rounding_size=0.3"
        )
        plate.set_zorder(9)
        axes.add_artist(plate)


def _scale_bar(axes: Axes, length: str, arcsec: float) -> AnchoredOffsetbox:
    """Return a scale bar of this length, with its length in words above it."""
    bar = AuxTransformBox(axes.transData)
    bar.add_artist(Line2D([0, arcsec], [0, 0], color=style.INK, lw=1.6, solid_capstyle="butt"))
    text = TextArea(length, textprops={"fontsize": style.SMALL, "color": style.INK})
    packed = VPacker(children=[text, bar], align="center", pad=0, sep=4)
    return AnchoredOffsetbox("lower left", pad=0.35, borderpad=0.5, child=packed)


def _compass() -> AnchoredOffsetbox:
    """Return arrows to the north and to the east (left)."""
    area = DrawingArea(36, 36)
    for letter, tip, at in (("N", (30, 25), (30, 31)), ("E", (11, 6), (5, 6))):
        area.add_artist(
            FancyArrowPatch(
                (30, 6),
                tip,
                arrowstyle="-|>",
                mutation_scale=7,
                color=style.INK,
                lw=1.1,
                shrinkA=0,
                shrinkB=0,
            )
        )
        area.add_artist(
            Text(*at, letter, fontsize=style.SMALL - 1, color=style.INK, ha="center", va="center")
        )
    return AnchoredOffsetbox("lower right", pad=0.2, borderpad=0.5, child=area)


def circle(axes: Axes, radius: float) -> None:
    """Draw a circle around the cluster centre; radius in arcsec."""
    axes.add_patch(
        Circle((0, 0), radius, fill=False, color=style.VERMILLION, lw=1.1, ls=(0, (5, 3)), zorder=6)
    )


def _round_length(about: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is not above `about`."""
    power = 10.0 ** np.floor(np.log10(about))
    return float(max(step for step in (1, 2, 5) if step * power <= about * (1 + 1e-9)) * power)
