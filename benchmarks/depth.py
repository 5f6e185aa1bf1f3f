"""How deep the calibrated filter goes: against the double DoG of `recipe: diego2026` at equal false-positive rate.

`python -m benchmarks.depth`: point sources of one magnitude after another are planted on a grid with random pixel
phases in the simulator's correlated noise, four bands at its depth, colours of globular clusters, and found as a
run finds them. Thresholds are set so that both filters find equally many peaks on empty noise. The depth is the
magnitude at which half of the sources are found; rejection is told by sources of seen FWHM 4 px planted alike.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from tilegc.config import Filter, Mask
from tilegc.detection.shape_ratios import measure, shape_tables
from tilegc.detection.shapes import POINT, judge
from tilegc.filter.band_noise import band_filters, kernels_of
from tilegc.filter.detection_map import filter_params
from tilegc.filter.matched import matched_difference
from tilegc.images.psfs import BandPsf
from tilegc.kernels.peaks import classify, local_maxima
from tilegc.kernels.psf import quantised
from tilegc.kernels.psf_model import model
from tilegc.kernels.smoothing import difference
from tilegc.simulation.deviates import stream_key
from tilegc.simulation.noise import correlate, pixel_rms, white
from tilegc.simulation.psf import analytic_psf
from tilegc.skygrid.crowding import retained, zone

SCALE = 0.03
COLOURS = {"F090W": 0.60, "F115W": 0.80, "F150W": 0.95, "F200W": 1.00}
STEP = 24
"""Pixels between planted sources."""
MAGS = np.arange(31.8, 33.21, 0.2)
WIDE_MAGS = np.arange(29.6, 32.01, 0.3)
WIDE = 4.0 / 2.3548200450309493

Find = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


def noise(seed: int, size: int) -> np.ndarray:
    """Return four bands of empty sky, nJy per pixel."""
    bands = []
    for band in COLOURS:
        deviates, out = np.empty((size + 2, size + 2)), np.empty((size, size))
        white(deviates, stream_key(seed, "depth", band), 0, 0)
        correlate(deviates, out)
        bands.append(pixel_rms(analytic_psf(band, SCALE), SCALE) * out)
    return np.array(bands, np.float32)


def plant(places: np.ndarray, flux: np.ndarray, size: int, sigma: float | None = None) -> np.ndarray:
    """Return four bands of sources of these fluxes in F150W: points, or Gaussians of one seen width."""
    sky = np.zeros((len(COLOURS), size, size))
    offset = np.arange(-10, 11)
    for number, band in enumerate(COLOURS):
        psf = analytic_psf(band, SCALE)
        parts = [(1.0, sigma)] if sigma else list(zip(psf.weight, psf.sigma, strict=True))
        for (y, x), total in zip(places, flux, strict=True):
            j, i = round(y), round(x)
            dy, dx = offset + j - y, offset + i - x
            stamp = sum(
                w / (2 * np.pi * s * s) * np.outer(np.exp(-0.5 * (dy / s) ** 2), np.exp(-0.5 * (dx / s) ** 2))
                for w, s in parts
            )
            sky[number, j - 10 : j + 11, i - 10 : i + 11] += COLOURS[band] / COLOURS["F150W"] * total * stamp
    return sky


def grid(draw: np.random.Generator, size: int) -> np.ndarray:
    """Return places a step apart, anywhere in their pixel."""
    corners = np.arange(STEP, size - STEP, STEP, dtype=float)
    y, x = np.meshgrid(corners, corners, indexing="ij")
    return np.column_stack([y.ravel(), x.ravel()]) + draw.uniform(-0.5, 0.5, (y.size, 2))


class Filters:
    """Both detection maps, and the peaks that a run would record on them."""

    def __init__(self, seed: int, size: int) -> None:
        self.size = size
        self.good = np.ones((size, size), bool)
        self.double = filter_params(Filter(), Mask())
        psfs = tuple(BandPsf(band, model(band, SCALE, 40), "model", 0) for band in COLOURS)
        filtering = Filter(weights="auto")
        kernels = kernels_of(psfs, filtering)
        empty = noise(seed, size)
        levels = [
            float(np.std(matched_difference(image, self.good, k)))
            for image, k in zip(empty, kernels, strict=True)
        ]
        self.bands = band_filters(psfs, tuple(levels), filtering)
        self.shapes = shape_tables(quantised(np.sum([psf.psf.image for psf in psfs], axis=0)))
        self.fwhm = float(np.mean([psf.psf.fwhm for psf in psfs]))
        self.sigma = {name: float(np.std(self.map(name, empty))) for name in ("double DoG", "calibrated")}

    def map(self, name: str, sci: np.ndarray) -> np.ndarray:
        """Return a detection map."""
        if name == "double DoG":
            light = sci.sum(axis=0, dtype=np.float32)
            return difference(
                difference(light, self.good, *self.double.first), self.good, *self.double.second
            )
        total = np.zeros(self.good.shape, np.float32)
        for image, band in zip(sci, self.bands, strict=True):
            total += np.float32(band.weight) * matched_difference(image, self.good, band.kernels)
        return total

    def peaks(
        self, name: str, sci: np.ndarray, k: float, radius: float | None = None
    ) -> dict[str, np.ndarray]:
        """Return the peaks above k sigma: y, x, snr, shape."""
        values = self.map(name, sci)
        ours = name == "calibrated"
        allowed = local_maxima(values, (False,) * 4) if ours else self.good
        whole = (slice(0, self.size),) * 2
        reach = radius or (2.0 if ours else 3.0)
        found = classify(values, allowed, k * self.sigma[name], reach, (False,) * 4, whole)
        light = sci.sum(axis=0, dtype=np.float32)
        _, roundness, concentration = measure(light, found.y, found.x, self.shapes)
        table = {
            "field": np.full(found.y.size, "f", object),
            "y_peak": found.y,
            "x_peak": found.x,
            "snr": found.value / self.sigma[name],
            "roundness": roundness,
            "concentration": concentration,
        }
        return {**table, "shape": judge(table, {"f": self.shapes})}


def share(found: dict[str, np.ndarray], places: np.ndarray, k: float, *, points: bool) -> float:
    """Return which share of the places has a peak within 2 px."""
    rows = found["snr"] >= k
    if points:
        rows &= found["shape"] == POINT
    tree = cKDTree(
        np.column_stack([found["y_peak"][rows], found["x_peak"][rows]]).reshape(-1, 2).astype(float)
    )
    return float((tree.query(places)[0] <= 2.0).mean()) if rows.any() else 0.0


def main() -> None:
    """Measure depth, rejection and crowding, and print them."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.depth", description=main.__doc__)
    options.add_argument("--size", type=int, default=1200)
    options.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    given = options.parse_args()
    names = ("double DoG", "calibrated")
    depth: dict[tuple[str, float], list[float]] = {}
    curves: dict[str, list[np.ndarray]] = {}
    limits: dict[str, list[float]] = {}
    for seed in given.seeds:
        filters, draw = Filters(100 + seed, given.size), np.random.default_rng(seed)
        empty, places = noise(seed, given.size), grid(draw, given.size)
        # equal false-positive rate: as many noise peaks as the double DoG has above 4 and 5 sigma's share
        noisy = {name: np.sort(filters.peaks(name, empty, 2.5)["snr"])[::-1] for name in names}
        count = int((noisy["double DoG"] >= 3.5).sum())
        k = {name: float(noisy[name][count - 1]) for name in names}
        for name in names:
            limits.setdefault(name, []).append(k[name])
        for kind, sigma in (("point", None), ("FWHM 4", WIDE)):
            unit = plant(places, np.ones(len(places)), given.size, sigma)
            mags = MAGS if sigma is None else WIDE_MAGS
            rows: dict[str, list[float]] = {}
            for mag in mags:
                sci = empty + (10 ** (-0.4 * (mag - 31.4)) * unit).astype(np.float32)
                for name in names:
                    found = filters.peaks(name, sci, k[name])
                    rows.setdefault(f"{name}, {kind}", []).append(share(found, places, k[name], points=False))
                    if name == "calibrated":
                        rows.setdefault(f"{name} and shape, {kind}", []).append(
                            share(found, places, k[name], points=True)
                        )
            for label, row in rows.items():
                curves.setdefault(label, []).append(np.array(row))
                half = float(np.interp(-0.5, -np.array(row), mags)) if row[0] > 0.5 > row[-1] else np.nan
                depth.setdefault((label, 0.5), []).append(half)
    print(f"seeds {given.seeds}, {given.size} px, {len(places)} sources a magnitude and seed")
    print("limits, sigma of each map: " + ", ".join(f"{n} {np.mean(v):.2f}" for n, v in limits.items()))
    for label, rows in curves.items():
        mags = MAGS if label.endswith("point") else WIDE_MAGS
        text = " ".join(
            f"{mag:.1f}:{value:.3f}" for mag, value in zip(mags, np.mean(rows, axis=0), strict=True)
        )
        half = depth[label, 0.5]
        print(f"{label:30s} half at {np.mean(half):.3f} +- {np.std(half):.3f}  {text}")
    for label in ("calibrated, point", "calibrated and shape, point"):
        gain = np.array(depth[label, 0.5]) - np.array(depth["double DoG, point", 0.5])
        print(f"gain of {label}: {gain.mean():.3f} mag ({', '.join(f'{value:.3f}' for value in gain)})")
    least = passing(curves["double DoG, FWHM 4"])
    ours = passing(curves["calibrated and shape, FWHM 4"])
    print(f"sources of FWHM 4 px that pass, calibrated and shape over double DoG: {ours / least:.2f}")
    crowding(filters, given.size)


def passing(rows: list[np.ndarray]) -> float:
    """Return how many extended sources pass if their counts rise as 10^(0.25 m), those brighter than all included."""
    number, step = 10 ** (0.25 * WIDE_MAGS), 10 ** (0.25 * (WIDE_MAGS[1] - WIDE_MAGS[0]))
    row = np.mean(rows, axis=0)
    return float((row * number).sum() + row[0] * number[0] / (step - 1))


def crowding(filters: Filters, size: int) -> None:
    """Compare the loss of sources 3 mag above the limit, against density, with what `retained` says."""
    draw = np.random.default_rng(9)
    print(
        "crowding: per arcsec^2, share with a peak recorded per planted source, and what crowding.retained says"
    )
    for density in (1.0, 4.0, 8.0, 12.0):
        count = draw.poisson(density * (size - 60) ** 2 * SCALE**2)
        places = draw.uniform(30, size - 30, (count, 2))
        flux = 10 ** (-0.4 * (draw.uniform(26.5, 29.0, count) - 31.4))
        sci = (plant(places, flux, size) + noise(77, size)).astype(np.float32)
        line = f"{density:5.1f}"
        for name, radius in (("double DoG", 3.0), ("calibrated", 3.0), ("calibrated", 2.0)):
            found = filters.peaks(name, sci, 8.0, radius)
            inside = (
                (found["y_peak"] > 30)
                & (found["y_peak"] < size - 30)
                & (found["x_peak"] > 30)
                & (found["x_peak"] < size - 30)
            ).sum()
            area = zone(radius, filters.fwhm if name == "calibrated" else 0.0) * SCALE**2
            seen = inside / ((size - 60) ** 2 * SCALE**2)
            line += (
                f"   {name} {radius:g} px {inside / count:.3f} ({float(retained(np.array(seen), area)):.3f})"
            )
        print(line)


if __name__ == "__main__":
    main()
