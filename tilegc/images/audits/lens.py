"""Whether the convergence map lies where the cluster is: its peak and its shape against the light.

The brightest extended light near the centre is taken for the brightest cluster galaxy (BCG). Medians of blocks, and
medians of these, do not see stars; saturated ones are left out by their holes.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.config import Cluster
from tilegc.images.audits.cells import REACH, CoarseLight
from tilegc.images.audits.line import Line, judged, rounded
from tilegc.io.convergence import Kappa
from tilegc.io.fits import FieldSource
from tilegc.kernels.correlation import pearson
from tilegc.sky import SkyGrid, pixel_to_world, world_to_pixel

__all__ = ["brightest", "lens_lines"]

SPREAD: Final = 3.4
"""Side of the square whose median light is compared, arcsec: stars are smaller, the BCG is not."""

SHAPE: Final = 22.0
"""Radius within which shapes are compared, arcsec."""

CORE: Final = 4.0
"""... and the one within which they are not: the BCG's core is rounder than the halo."""

TURNS: Final = (
    "as it is",
    "turned by 90 deg",
    "turned by 180 deg",
    "turned by 270 deg",
    "mirrored in east-west",
    "mirrored in east-west and rotated by 90 deg",
    "mirrored in north-south",
    "mirrored in east-west and rotated by 270 deg",
)

Floats = NDArray[np.float64]


def brightest(coarse: CoarseLight, scale: float) -> tuple[float, float] | None:
    """Return the pixel (y, x) of the brightest extended light; None where there is none."""
    block = float(coarse.y[1] - coarse.y[0]) * scale if coarse.y.size > 1 else scale
    known = np.isfinite(coarse.light)
    if not known.any():
        return None
    filled = np.where(known, coarse.light, float(np.median(coarse.light[known])))
    side = max(2 * round(SPREAD / block / 2) + 1, 1)
    spread = scipy.ndimage.median_filter(filled, side)
    usable = known.copy()
    y, x = np.indices(known.shape) * block
    while usable.any():
        j, i = np.unravel_index(int(np.argmax(np.where(usable, spread, -np.inf))), known.shape)
        near = np.hypot(y - y[j, i], x - x[j, i])
        hole = coarse.missing[near <= 2.0].max()
        beyond = coarse.missing[(near > 4.0) & (near <= 5.0)]
        if hole > 0.02 and not (beyond.size and beyond.max() > 0):  # a hole of its own: a saturated core
            usable &= near > 8.0
            continue
        inner = np.where(near <= SPREAD / 2, filled, -np.inf)
        j, i = np.unravel_index(int(np.argmax(inner)), known.shape)
        return float(coarse.y[j]), float(coarse.x[i])
    return None


def lens_lines(
    cluster: Cluster, source: FieldSource, coarse: CoarseLight | None, kappa: Kappa | None
) -> list[Line]:
    """Return the lines on the centre and on the convergence map.

    Parameters
    ----------
    cluster : Cluster
        The centre of the run file.
    source : FieldSource
        The field that holds it.
    coarse : CoarseLight, optional
        Of that field.
    kappa : Kappa, optional
        The convergence map.
    """
    grid = SkyGrid(cluster.ra, cluster.dec, 1.0)
    place = None if coarse is None else brightest(coarse, source.scale)
    if coarse is None or place is None:
        if kappa is None:
            return []
        return [
            Line(
                "kappa",
                source.name,
                "",
                math.nan,
                "arcsec",
                "unmeasured",
                "no field has light near the centre",
                "",
            )
        ]
    xi, eta = (float(value) for value in grid.offsets(*pixel_to_world(source.wcs, *place)))
    apart = math.hypot(xi, eta)
    lines = [
        Line(
            "centre",
            source.name,
            "",
            rounded(apart),
            "arcsec",
            verdict := judged(apart, 5.0, 15.0),
            f"the brightest extended light lies {_direction(xi, eta)} of the centre in the run file",
            "" if verdict == "ok" else "check cluster.ra and cluster.dec: radii are measured from there",
        )
    ]
    if kappa is None:
        return lines
    axis = np.arange(-REACH, REACH + 0.25, 0.5)
    there_xi, there_eta = np.meshgrid(axis, axis)
    there = np.hypot(there_xi, there_eta) <= REACH
    values = np.where(there, _kappa_at(kappa, grid, there_xi, there_eta), np.nan)
    if not np.isfinite(values).any():
        text = f"the map has no data within {REACH:g} arcsec of the centre"
        return [
            *lines,
            Line("kappa", source.name, "", math.nan, "arcsec", "wrong", text, "check the map's WCS"),
        ]
    j, i = np.unravel_index(int(np.nanargmax(values)), values.shape)
    peak = float(axis[i]), float(axis[j])
    offset = math.hypot(peak[0] - xi, peak[1] - eta)
    verdict = judged(offset, 4.0, 12.0)
    lines.append(
        Line(
            "kappa",
            source.name,
            "",
            rounded(offset),
            "arcsec",
            verdict,
            f"the map peaks {_direction(peak[0] - xi, peak[1] - eta)} of the brightest extended light",
            ""
            if verdict == "ok"
            else "check the map's WCS (CRPIX, CRVAL, frame) and that it is of this cluster",
        )
    )
    lines.append(_orientation(source, coarse, kappa, grid, peak, (xi, eta)))
    return lines


def _direction(xi: float, eta: float) -> str:
    across, along = "east" if xi >= 0 else "west", "north" if eta >= 0 else "south"
    return f"{abs(xi):.1f} arcsec {across}, {abs(eta):.1f} arcsec {along}"


def _kappa_at(kappa: Kappa, grid: SkyGrid, xi: Floats, eta: Floats) -> Floats:
    return kappa.at(*grid.radec(xi, eta))


def _orientation(
    source: FieldSource,
    coarse: CoarseLight,
    kappa: Kappa,
    grid: SkyGrid,
    peak: tuple[float, float],
    light: tuple[float, float],
) -> Line:
    """Compare the map's shape round its peak with that of the light round its own, turned and mirrored."""
    axis = np.arange(-SHAPE, SHAPE + 0.5, 1.0)
    xi, eta = np.meshgrid(axis, axis)
    radius = np.hypot(xi, eta)
    mass = _kappa_at(kappa, grid, xi + peak[0], eta + peak[1])
    y, x = world_to_pixel(source.wcs, *grid.radec(xi + light[0], eta + light[1]))
    block = float(coarse.y[1] - coarse.y[0]) if coarse.y.size > 1 else 1.0
    known = np.isfinite(coarse.light)
    filled = np.where(known, coarse.light, 0.0)
    blur = 2.0 / (block * source.scale)
    weight = scipy.ndimage.gaussian_filter(known.astype(float), blur)
    with np.errstate(divide="ignore", invalid="ignore"):
        smooth = np.where(weight > 0.2, scipy.ndimage.gaussian_filter(filled, blur) / weight, np.nan)
    place = [(y - coarse.y[0]) / block, (x - coarse.x[0]) / block]
    shine = scipy.ndimage.map_coordinates(smooth, place, order=1, cval=np.nan)
    flat = _without_profile(shine, radius)
    scores = []
    for mirrored in (False, True):
        for quarter in range(4):
            turned = np.rot90(mass[:, ::-1] if mirrored else mass, -quarter)
            scores.append(_correlation(_without_profile(turned, radius), flat))
    here, best = scores[0], int(np.nanargmax(scores)) if np.isfinite(scores).any() else 0
    if not math.isfinite(here):
        text = "the fields cover too little of the light or of the map to compare their shapes"
        return Line("orientation", source.name, "", math.nan, "", "unmeasured", text, "")
    gain = scores[best] - here
    # Round or symmetric clusters say nothing: a claim needs a clear gain over a bad fit.
    verdict = judged(gain if here < 0.2 and scores[best] > 0.3 else 0.0, 0.4, 0.8)
    finding = (
        f"correlation of the map's shape with the light's, {CORE:g} to {SHAPE:g} arcsec from their peaks"
    )
    if verdict == "ok":
        return Line("orientation", source.name, "", rounded(here, 2), "", "ok", finding, "")
    return Line(
        "orientation",
        source.name,
        "",
        rounded(here, 2),
        "",
        verdict,
        f"{finding}; it is {scores[best]:.2f} with the map {TURNS[best]}",
        "check the map's WCS: the signs and order of its CD matrix or CDELT and CTYPE",
    )


def _without_profile(values: Floats, radius: Floats) -> Floats:
    """Return log values less their mean at each radius; NaN in the core and beyond."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values > 0, np.log(values), np.nan)
    result = np.full(values.shape, np.nan)
    ring = np.rint(radius).astype(int)
    for k in range(int(CORE), int(SHAPE) + 1):
        here = (ring == k) & np.isfinite(logs)
        if here.any():
            result[here] = logs[here] - logs[here].mean()
    return result


def _correlation(a: Floats, b: Floats) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 200 or a[both].std() == 0 or b[both].std() == 0:
        return math.nan
    return pearson(a[both], b[both])
