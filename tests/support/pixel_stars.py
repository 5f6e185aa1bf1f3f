"""Artificial stars the slow way: added to the pixels, with filter, mask and detection repeated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tilegc.completeness.injection import InjectParams
from tilegc.detection.shape_ratios import measure
from tilegc.filter.bands import add_bands
from tilegc.filter.detection_map import filter_maps
from tilegc.photometry.spline_psf import SplinePsf
from tilegc.schema import Bit

Peaks = dict[tuple[int, int], bool]
"""Pixels of the peaks above the limit, and whether they are points."""


@dataclass
class Scene:
    """A window of a field: bands, weights, noise, and what masks it for other reasons than its own light."""

    sci: np.ndarray
    wht: np.ndarray | None
    noise: np.ndarray
    other: np.ndarray
    """bool (y, x)."""
    field: InjectParams
    flux: dict[tuple[int, int], float]
    """Fitted fluxes of the peaks above the limit."""

    def maps(self, star: tuple[float, float, np.ndarray] | None = None):
        sci = self.sci.copy()
        if star is not None:
            y, x, flux = star
            add(sci, self.field, y, x, flux)
        light, valid = add_bands(sci, self.wht)
        flags, detection = filter_maps(light, valid, self.field.filtering, sci)
        return light, flags, detection

    def masked(self, flags: np.ndarray) -> np.ndarray:
        bright = (flags & Bit.BRIGHT) != 0
        distance = ndimage.distance_transform_edt(~bright) if bright.any() else np.full(flags.shape, 99.0)
        masked = self.other | ((flags & Bit.NO_DATA) != 0)
        masked |= distance <= (2.0 if self.field.limits.maxima else 0.0)
        label, count = ndimage.label((flags & Bit.EXTENDED) != 0, np.ones((3, 3)))
        large = np.zeros(flags.shape, bool)
        for number in range(1, count + 1):
            y, x = np.nonzero(label == number)
            covariance = np.cov(np.stack([y, x]), bias=True) + np.eye(2) / 12 if y.size > 1 else np.eye(2)
            low, high = np.linalg.eigvalsh(covariance)
            if y.size >= 60 or (y.size >= 25 and np.sqrt(high / low) >= 3):
                large[y, x] = True
        if large.any():
            masked |= ndimage.distance_transform_edt(~large) <= 8
        return masked

    def catalogue(self, light, detection, masked) -> tuple[Peaks, np.ndarray]:
        """Return the peaks above the limit, and the map that they are found on."""
        limits, shapes = self.field.limits, self.field.shapes
        rank = detection / self.noise
        allowed = ~masked & np.isfinite(rank) & (rank >= limits.limit)
        if limits.maxima:
            filled = np.nan_to_num(rank, nan=-np.inf)
            allowed &= filled == ndimage.maximum_filter(filled, 3, mode="constant", cval=-np.inf)
        places = sorted(zip(*np.nonzero(allowed), strict=True), key=lambda p: (-rank[p], p))
        radius2 = max((dy * dy + int(dx) ** 2) for dy, dx in enumerate(limits.reach))
        found: list[tuple[int, int]] = []
        for y, x in places:
            if all((y - j) ** 2 + (x - i) ** 2 > radius2 for j, i in found):
                found.append((int(y), int(x)))
        if not found:
            return {}, rank
        if not shapes.decide:
            return dict.fromkeys(found, True), rank
        y, x = np.array(found).T
        _, roundness, concentration = measure(light, y.astype(np.int64), x.astype(np.int64), shapes.tables)
        snr = rank[y, x]
        with np.errstate(invalid="ignore"):
            long = (roundness > np.maximum(0.5, 4 * shapes.tables.line_noise / snr)) & (concentration < 1)
            point = ~(long | (concentration < 0.4))
        return dict(zip(found, point.tolist(), strict=True)), rank

    def judge(self, star: tuple[float, float, np.ndarray], reference: float) -> tuple[bool, set, float]:
        """Return whether a star is recovered, what it displaces, and the detection map's change at its peak."""
        light, flags, before = self.maps()
        masked = self.masked(flags)
        old, old_rank = self.catalogue(light, before, masked)
        light, flags, after = self.maps(star)
        new, _ = self.catalogue(light, after, masked | self.masked(flags))
        old_points, new_points = ({place for place, point in some.items() if point} for some in (old, new))
        gone = old_points - new_points

        def apart(place, other=star):
            return np.hypot(place[0] - other[0], place[1] - other[1])

        at_star = [place for place in new_points if apart(place) <= 1.5]
        fresh = [place for place in at_star if place not in old_points]
        chosen = min(fresh or at_star, key=apart, default=None)
        if chosen is None:
            return False, gone, np.nan
        response = float(after[chosen] - before[chosen])
        if not fresh:
            won = reference > self.flux.get(chosen, float(before[chosen]))
            return won, gone | ({chosen} if won else set()), response
        moved = [place for place in gone if apart(place, chosen) <= 1.5]
        if moved:
            nearest = min(moved, key=lambda place: apart(place, chosen))
            if reference > self.flux.get(nearest, float(before[nearest])):
                return True, gone, response
            return False, gone - {nearest}, response
        below = [
            float(before[place])
            for place in ((chosen[0] + j, chosen[1] + i) for j in (-1, 0, 1) for i in (-1, 0, 1))
            if 0 < place[0] < masked.shape[0] - 1
            and 0 < place[1] < masked.shape[1] - 1
            and place not in old_points
            and not masked[place]
            and old_rank[place] >= self.field.limits.floor
            and (old_rank[place] < self.field.limits.limit or place in old)
            and old_rank[place]
            >= np.nanmax(old_rank[place[0] - 1 : place[0] + 2, place[1] - 1 : place[1] + 2])
        ]
        return not (below and max(below) > reference), gone, response


def add(sci: np.ndarray, field: InjectParams, y: float, x: float, flux: np.ndarray) -> None:
    """Put a star into the bands."""
    row, column = int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
    reach = field.responses.psf_radius
    for band, table in enumerate(field.responses.light):
        image = SplinePsf(table, reach).image(y - row, x - column) * flux[band]
        for j in range(-reach, reach + 1):
            for i in range(-reach, reach + 1):
                if 0 <= row + j < sci.shape[1] and 0 <= column + i < sci.shape[2]:
                    sci[band, row + j, column + i] += np.float32(image[j + reach, i + reach])
