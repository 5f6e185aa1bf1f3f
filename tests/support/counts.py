"""Mock counts over a lens: catalogues without images, for the statistics of the relation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from tilegc.relation.counts import BoxCounts, OuterField, gather
from tilegc.simulation.mass import AnalyticMass, Clump

RADIUS = 60.0
FLOOR = 0.36
"""Sources per arcsec^2, 0.015 per kpc^2 at z = 0.348."""
CLUMP = 4.0
"""Length, arcsec, on which clumped sources vary."""
LAWS = {"linear": (2.0, 1.0), "0.83": (0.4 ** (-1 / 0.83), 1 / 0.83), "0.7": (0.4 ** (-1 / 0.7), 1 / 0.7)}
"""a and c, n = a kappa^c."""
SLOPE = (1.2, 0.2)
"""Of kappa with radius beyond the lens map's reach, and how well that is known."""

WHOLE = AnalyticMass()
MAIN = AnalyticMass(WHOLE.clumps[:1])
WITH_SECOND = AnalyticMass((WHOLE.clumps[0], Clump(0.8, 7.0, 0.8, 0.85, 60.0, xi=19.0, eta=17.0)))
"""A lens whose second clump is a cluster of its own."""


@dataclass(frozen=True)
class Sky:
    """Cells round a cluster, with holes."""

    xi: np.ndarray
    eta: np.ndarray
    kappa: np.ndarray
    area: np.ndarray
    pixel: float
    mass: AnalyticMass

    @property
    def first(self) -> tuple[int, int]:
        return (-(self.xi.shape[0] // 2), -(self.xi.shape[1] // 2))

    @property
    def use(self) -> np.ndarray:
        return (self.area > 0) & (np.hypot(self.xi, self.eta) < RADIUS)


def sky(pixel: float = 0.6, mass: AnalyticMass = WHOLE, seed: int = 0, share: float = 1.0) -> Sky:
    """Return a disc of 60 arcsec with thirty round holes of the size of galaxies; `share` scales all areas."""
    half = round(RADIUS / pixel)
    along = (np.arange(-half, half) + 0.5) * pixel
    xi, eta = np.meshgrid(along, along)
    area = np.full(xi.shape, share * pixel**2)
    draw = np.random.default_rng(seed)
    for x, y, r in draw.uniform([-50, -50, 1.0], [50, 50, 4.0], (30, 3)):
        area[np.hypot(xi - x, eta - y) < r] = 0.0
    return Sky(xi, eta, mass.kappa(xi, eta), area, pixel, mass)


def clumped(
    shape: tuple[int, int], pixel: float, rms: float, draw: np.random.Generator, length: float = CLUMP
) -> np.ndarray:
    """Return a lognormal field of mean 1 and this rms that varies on this length, arcsec (FWHM of its core)."""
    if rms == 0:
        return np.ones(shape)
    pad = round(4 * length / pixel)
    noise = draw.normal(size=(shape[0] + 2 * pad, shape[1] + 2 * pad))
    sigma = length / 2.3548 / pixel
    field = gaussian_filter(noise, sigma)[pad:-pad, pad:-pad] * (2 * np.sqrt(np.pi) * sigma)
    s2 = np.log1p(rms**2)
    return np.exp(np.sqrt(s2) * field - s2 / 2)


def draw_counts(
    place: Sky, law: tuple[float, float], floor: float, rms: float, draw: np.random.Generator
) -> np.ndarray:
    """Draw sources of every cell."""
    n = law[0] * np.maximum(place.kappa, 0) ** law[1] * clumped(place.kappa.shape, place.pixel, rms, draw)
    return draw.poisson((n + floor) * place.area)


def draw_outer(
    place: Sky, law: tuple[float, float], floor: float, draw: np.random.Generator, area: float = 5000.0
) -> OuterField:
    """Draw the second module: area at 150 to 200 arcsec, where kappa falls as steeply as anybody can know."""
    ln_ratio = np.log(np.linspace(150, 200, 21) / RADIUS)
    ln_edge = np.log(place.mass.kappa(np.array([RADIUS]), np.zeros(1))[0])
    kappa = np.exp(ln_edge - draw.normal(*SLOPE) * ln_ratio)
    n = draw.poisson((law[0] * kappa ** law[1] + floor).mean() * area)
    return OuterField(
        n / area,
        max(n, 1) ** 0.5 / area,
        ln_edge - SLOPE[0] * ln_ratio,
        SLOPE[1] * ln_ratio,
        np.full(21, 1 / 21),
    )


def in_boxes(
    place: Sky, count: np.ndarray, outer: OuterField | None = None, kappa=None, light=None
) -> BoxCounts:
    data = gather(
        place.kappa if kappa is None else kappa,
        place.area,
        count,
        place.use,
        first=place.first,
        cells=round(3.0 / place.pixel),
        pixel=place.pixel,
        light=light,
    )
    return BoxCounts(**{**data.__dict__, "outer": outer})
