"""Maps on the sky: a field's pixels on the tangent plane, north up and east to the left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.wcs import WCS
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Circle
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.report import style
from tilegc.sky import SkyGrid, pixel_to_world

__all__ = ["Place", "circle", "place", "show", "sky_axes"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Place:
    """The affine map from a field's pixels to the tangent plane.

    Mosaics are tangent-plane images themselves, so the map is good to a small part of a pixel; figures alone
    use it.
    """

    shape: tuple[int, int]
    matrix: Floats
    """(3, 3): [x, y, 1] in pixels to [xi, eta, 1] in arcsec."""

    def sky(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return xi and eta, arcsec, of pixel coordinates."""
        xi, eta, _ = self.matrix @ np.stack([x, y, np.ones_like(x)])
        return xi, eta

    def pixel(self, xi: float, eta: float) -> tuple[float, float]:
        """Return x and y, pixels, of a place on the tangent plane."""
        x, y, _ = np.linalg.solve(self.matrix, np.array([xi, eta, 1.0]))
        return float(x), float(y)

    @property
    def scale(self) -> float:
        """Side of a pixel, arcsec."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Lowest and highest xi, lowest and highest eta of the field, arcsec."""
        return self.bounds_of(Box(0, 0, *self.shape))

    def bounds_of(self, box: Box) -> tuple[float, float, float, float]:
        """Return lowest and highest xi, lowest and highest eta of a box of pixels, arcsec."""
        corners = np.array([(x, y) for x in (box.x0, box.x1) for y in (box.y0, box.y1)], np.float64) - 0.5
        xi, eta = self.sky(corners[:, 0], corners[:, 1])
        return float(xi.min()), float(xi.max()), float(eta.min()), float(eta.max())

    def distance(self, xi: float, eta: float) -> float:
        """Return how far, arcsec, a place on the tangent plane is from the field; 0 inside."""
        x, y = self.pixel(xi, eta)
        beyond = [max(-0.5 - at, at - (side - 0.5), 0.0) for at, side in ((x, self.shape[1]), (y, self.shape[0]))]
        return float(np.hypot(*beyond)) * self.scale

    def window(self, xi: float, eta: float, side: float) -> Box:
        """Return the square of `side` arcsec about a place, moved into the field and cut to it."""
        half = max(1, round(side / self.scale / 2))
        x, y = self.pixel(xi, eta)
        starts = [
            int(np.clip(round(at) - half, 0, max(length - 2 * half, 0)))
            for at, length in ((y, self.shape[0]), (x, self.shape[1]))
        ]
        return Box(*starts, starts[0] + 2 * half, starts[1] + 2 * half).clip(Box(0, 0, *self.shape))


def place(wcs: WCS | str, shape: tuple[int, int], grid: SkyGrid) -> Place:
    """Fit the affine map of a field.

    Parameters
    ----------
    wcs : WCS or str
        As `sky.pixel_to_world` takes it.
    shape : tuple of int
        Rows and columns.
    grid : SkyGrid
        The tangent plane.
    """
    rows, columns = (np.linspace(0, side - 1, 7) for side in shape)
    y, x = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    xi, eta = grid.offsets(*pixel_to_world(wcs, y, x))
    # About the field's middle, where the numbers are small: far-off fields would cost digits otherwise.
    middle = np.array([x.mean(), y.mean()])
    design = np.column_stack([x - middle[0], y - middle[1], np.ones_like(x)])
    solved = np.linalg.lstsq(design, np.column_stack([xi, eta]), rcond=None)[0].T
    matrix = np.eye(3)
    matrix[:2, :2] = solved[:, :2]
    matrix[:2, 2] = solved[:, 2] - solved[:, :2] @ middle
    return Place(shape, matrix)


def show(axes: Axes, at: Place, values: np.ndarray, box: Box, **options: object) -> AxesImage:
    """Draw an array that covers `box` of the field's pixels, where it lies on the sky.

    Parameters
    ----------
    axes : Axes
    at : Place
    values : ndarray
        (rows, columns) or (rows, columns, RGBA); row 0 at the box's lowest y.
    box : Box
        May reach beyond the field, as the last blocks of a picture do.
    **options
        Of `Axes.imshow`.
    """
    return axes.imshow(
        values, origin="lower", extent=(box.x0 - 0.5, box.x1 - 0.5, box.y0 - 0.5, box.y1 - 0.5),
        transform=Affine2D(at.matrix) + axes.transData, **options,
    )  # type: ignore[arg-type]  # fmt: skip


def sky_axes(axes: Axes, bounds: tuple[float, float, float, float], kpc_per_arcsec: float) -> None:
    """Dress the axes of a map: limits, labels, compass and a bar of a round number of kpc.

    Parameters
    ----------
    axes : Axes
    bounds : tuple of float
        Lowest and highest xi, lowest and highest eta, arcsec.
    kpc_per_arcsec : float
        At the cluster.
    """
    west, east, south, north = bounds
    axes.set_xlim(east, west)
    axes.set_ylim(south, north)
    axes.set_aspect("equal")
    axes.set_xlabel("east of the centre (arcsec)")
    axes.set_ylabel("north of the centre (arcsec)")
    width = east - west
    length = _round_length(0.25 * width * kpc_per_arcsec)
    left = east - 0.05 * width
    bottom = south + 0.05 * (north - south)
    plate = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    axes.plot([left, left - length / kpc_per_arcsec], [bottom, bottom], color="white", lw=5, alpha=0.8, zorder=8)
    axes.plot(
        [left, left - length / kpc_per_arcsec], [bottom, bottom], color=style.INK, lw=2, zorder=9,
        solid_capstyle="butt",
    )  # fmt: skip
    axes.annotate(
        f"{length:g} kpc", (left - length / kpc_per_arcsec / 2, bottom), xytext=(0, 5), textcoords="offset points",
        ha="center", va="bottom", fontsize=style.SMALL, color=style.INK, bbox=plate, zorder=9,
    )  # fmt: skip
    corner = (0.93, 0.07)
    for letter, dx, dy in (("N", 0.0, 26.0), ("E", -26.0, 0.0)):
        axes.annotate(
            letter, corner, xytext=(dx, dy), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="center", fontsize=style.SMALL, color=style.INK, zorder=9,
            bbox={**plate, "boxstyle": "round,pad=0.1"},
            arrowprops={"arrowstyle": "<-", "color": style.INK, "lw": 1.2, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip


def circle(axes: Axes, radius: float, label: str) -> None:
    """Draw a circle about the cluster's centre, radius in arcsec."""
    axes.add_patch(
        Circle((0, 0), radius, fill=False, color=style.VERMILLION, lw=1.1, ls=(0, (5, 3)), label=label, zorder=6)
    )


def _round_length(about: float) -> float:
    """Return the 1, 2 or 5 times a power of ten that is nearest below `about`."""
    power = 10.0 ** np.floor(np.log10(about))
    return float(max(step for step in (1, 2, 5) if step * power <= about * (1 + 1e-9)) * power)
