"""How near `threshold: auto` comes to the best limit: `python -m benchmarks.auto_limit`.

Small skies of two bands hold point sources, and correlated noise that steps along a line at a random angle and has the
weights of that step. `auto` sees one of them. The best limit of a zone of noise is the lowest above which no more than
the allowed share of the catalogue lies away from every planted source, on average over further realisations of the
noise: one realisation alone would tell it to 0.1 in signal-to-noise only.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Table
from scipy.ndimage import convolve
from scipy.spatial import cKDTree

from benchmarks.measure import console
from tilegc import in_memory
from tilegc.config import detection_settings
from tilegc.detection.purity import zone_of
from tilegc.detection.results import Detected
from tilegc.detection.threshold import Selection
from tilegc.jobs import DetectionJob
from tilegc.mask.mask_map import Regions
from tilegc.phases.context import Context
from tilegc.phases.phase import Results, carry_out
from tilegc.pipeline import DETECTION
from tilegc.simulation import render
from tilegc.simulation.layers import FLOOR
from tilegc.simulation.psf import analytic_psf

__all__ = ["Compared", "Sky", "best_limit", "compared", "main"]

BANDS = ("F115W", "F150W")
SCALE = 0.03
RMS = 0.05
"""Noise of a pixel on the deep side, nJy."""
SIDE = 0.109
"""Weight of a neighbour in the separable kernel that correlates the noise, as in the simulator."""
DENSITY = 1 / 400
"""Sources per pixel above `FAINTEST`, before those below it on the shallow side are left out."""
FAINTEST, BRIGHTEST, SLOPE = 2.5, 150.0, 1.0
"""Signal-to-noise of the sources on the deep side, and slope of their cumulative number: N(> s) falls as s^-1."""
UNIT = 4.25
"""Flux in each band, over the noise of a pixel, of a source found at a signal-to-noise of 1: measured."""
MATCH = 2.0
"""Pixels from a planted source within which a detection is real."""
LOW = 3.0
"""Signal-to-noise from which the catalogues of the further realisations reach."""
STEP = 0.01
"""In which limits are compared."""


@dataclass(frozen=True)
class Sky:
    """One sky without its noise."""

    light: np.ndarray
    """(band, y, x), nJy per pixel."""
    sigma: np.ndarray
    """Noise of the pixels, (y, x), the same in both bands."""
    places: np.ndarray
    """y, x of the sources, (n, 2)."""

    @classmethod
    def drawn(cls, seed: int, size: int) -> Sky:
        """Draw a sky."""
        draw = np.random.default_rng([seed, 1])
        y, x = np.indices((size, size)) - 0.5 * size
        angle, ratio = draw.uniform(0, 2 * np.pi), draw.uniform(1.5, 3.0)
        far = np.cos(angle) * x + np.sin(angle) * y > draw.uniform(-0.15, 0.15) * size
        sigma = RMS * np.where(far, ratio, 1.0)
        n = int(DENSITY * size * size)
        places = draw.uniform(0, size - 1, (n, 2))
        snr = FAINTEST * (1 - draw.uniform(0, 1 - FAINTEST / BRIGHTEST, n)) ** (-1 / SLOPE)
        # Nothing that could not be found: a peak that noise makes on a source far below the limit is no source.
        row, column = np.rint(places).astype(int).T
        seen = snr >= FAINTEST * sigma[row, column] / RMS
        places, snr = places[seen], snr[seen]
        light = np.zeros((len(BANDS), size, size))
        index = np.arange(len(places))
        for number, band in enumerate(BANDS):
            psf = analytic_psf(band, SCALE)
            flux = UNIT * RMS * snr
            render.add_points(
                light[number],
                0,
                0,
                index,
                places[:, 1].copy(),
                places[:, 0].copy(),
                flux,
                psf.sigma,
                psf.weight,
                FLOOR,
            )
        return cls(light, sigma, places)

    def seen(self, seed: int, realisation: int) -> dict[str, np.ndarray]:
        """Return the bands with one realisation of the noise, nJy per pixel."""
        draw = np.random.default_rng([seed, 2, realisation])
        row = np.array([SIDE, 1.0, SIDE]) / np.sqrt(1 + 2 * SIDE**2)
        noise = (convolve(draw.normal(size=self.sigma.shape), np.outer(row, row), mode="wrap") for _ in BANDS)
        return {
            band: (light + self.sigma * values).astype(np.float32)
            for band, light, values in zip(BANDS, self.light, noise, strict=True)
        }

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The weights of both bands."""
        weight = (self.sigma**-2.0).astype(np.float32)
        return dict.fromkeys(BANDS, weight)


@dataclass(frozen=True)
class Compared:
    """Limits of one zone of one sky."""

    seed: int
    zone: int
    auto: float
    best: float
    error: float
    """Of the best limit, from the number of false sources that tell it."""
    purity: float
    """Of the catalogue above the limit of `auto` in that zone, on average over the further realisations."""


def selected(bands: dict[str, np.ndarray], weights: dict[str, np.ndarray], threshold: object) -> Selection:
    """Return what `recipe: calibrated` finds in one realisation."""
    settings = {"recipe": "calibrated", "mask": {"edge": 1.0}, "detect": {"threshold": threshold}}
    config = detection_settings(settings, source="benchmark")
    with tempfile.TemporaryDirectory() as folder:
        tiles = in_memory._stored(config, bands, {"wht": weights}, SCALE, Path(folder))  # noqa: SLF001
        job = DetectionJob(config=config, regions={in_memory.FIELD: Regions((), ())}, psfs={})
        return carry_out(DETECTION, job, Results(Context(fields=(tiles,))))[Detected].selection


def best_limit(false: np.ndarray, found: np.ndarray, share: float) -> tuple[float, float]:
    """Return the lowest limit above which at most a share of the sources is false, and its error.

    Parameters
    ----------
    false, found : (n,) float
        Signal-to-noise of the false and of all sources of many realisations.
    share : float
        Largest share of false ones.
    """
    grid = np.arange(round(LOW / STEP), round(8.0 / STEP)) * STEP
    above = [values.size - np.searchsorted(np.sort(values), grid, side="left") for values in (false, found)]
    allowed = above[0] <= share * above[1]
    # Counts cross the line more than once: the middle of the crossings.
    first, last = np.flatnonzero(allowed)[0], np.flatnonzero(~allowed)[-1]
    middle = (first + last + 1) // 2
    return float(grid[middle]), float(1 / (grid[middle] * np.sqrt(max(above[0][middle], 1))))


def compared(seed: int, size: int, realisations: int, share: float) -> list[Compared]:
    """Compare the limits of one sky, zone by zone."""
    sky = Sky.drawn(seed, size)
    chosen = selected(sky.seen(seed, 0), sky.weights, "auto")
    limit = chosen.thresholds[in_memory.FIELD]
    tree = cKDTree(sky.places)
    parts: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {zone: [] for zone in limit.by_zone}
    for realisation in range(1, realisations + 1):
        one = selected(sky.seen(seed, realisation), sky.weights, {"sigma": LOW / 2})
        table = one.catalogue
        y, x, snr = (table[name] for name in ("y_peak", "x_peak", "snr"))
        level = table["peak"] / snr
        zone = zone_of(one.purities[in_memory.FIELD], one.local[in_memory.FIELD], y, x, level)
        false = tree.query(np.column_stack([y, x]))[0] > MATCH
        for number, those in parts.items():
            those.append((snr[(zone == number) & false], snr[zone == number]))
    result = []
    for zone, those in parts.items():
        false, found = (np.concatenate(column) for column in zip(*those, strict=True))
        auto = limit.by_zone[zone]
        best, error = best_limit(false, found, share)
        kept = found >= auto
        result.append(Compared(seed, zone, auto, best, error, 1 - (false >= auto).sum() / max(kept.sum(), 1)))
    return result


def table(rows: list[Compared]) -> Table:
    """Return the comparison, zone by zone."""
    shown = Table(pad_edge=False, box=None)
    for name in ("seed", "zone", "auto", "best", "error", "auto - best", "purity"):
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            str(row.seed),
            ("deep", "usual", "shallow")[row.zone],
            f"{row.auto:.2f}",
            f"{row.best:.2f}",
            f"{row.error:.2f}",
            f"{row.auto - row.best:+.2f}",
            f"{row.purity:.4f}",
        )
    return shown


def main() -> None:
    """Compare the limits that `threshold: auto` chooses with the best ones."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.auto_limit", description=main.__doc__)
    options.add_argument("--seeds", type=int, nargs="+", default=list(range(20)))
    options.add_argument("--size", type=int, default=800, help="side of the skies, pixels")
    options.add_argument("--realisations", type=int, default=8, help="of the noise, for the best limit")
    options.add_argument("--purity", type=float, default=0.99, help="detect.purity")
    given = options.parse_args()
    rows: list[Compared] = []
    for seed in given.seeds:
        rows += compared(seed, given.size, given.realisations, 1 - given.purity)
        print(
            f"seed {seed}: "
            + ", ".join(f"{one.auto:.2f} for {one.best:.2f}" for one in rows if one.seed == seed),
            flush=True,
        )
    console().print(table(rows))
    away = np.abs([row.auto - row.best for row in rows])
    rms, near = np.sqrt((away**2).mean()), (away <= 0.1).sum()
    print(f"{near} of {away.size} within 0.1; rms {rms:.3f}; largest {away.max():.2f}")


if __name__ == "__main__":
    main()
