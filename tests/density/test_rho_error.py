"""The error of rho compared with the scatter of an ensemble of skies, each detected and inpainted separately."""

import numpy as np
import pytest

from tilegc.density.local_density import Sources, density_window, local_density, widths
from tilegc.density.multilevel import far, kernel_tables, rho
from tilegc.density.rho import drawn_variance, error_tables
from tilegc.density.splines import norm, spread, spread_image
from tilegc.geometry import Box

SCALE, ALPHA, SOFTENING = 0.25, 1.6, 0.9


def test_error_is_the_scatter_of_skies_inpainted_anew():
    draw = np.random.default_rng(12)
    shape, realisations = (96, 96), 4
    y, x = np.indices(shape)
    hidden = np.zeros(shape, bool)
    for cy, cx, radius in ((30, 30, 10), (70, 50, 10), (48, 80, 16)):
        hidden |= np.hypot(y - cy, x - cx) < radius
    good, rate = ~hidden, 0.08
    lattices, box = widths(2.0 / SCALE), Box(0, 0, *shape)

    def of_good(number, nodes):
        width = lattices[number]
        whole, sums = spread_image(good, box, width.step, width.degree)
        part, out = nodes.clip(whole), np.zeros(nodes.shape)
        out[part.within(nodes)] = sums[part.within(whole)] / norm(width.step, width.degree) ** 2
        return out

    def nothing(number, nodes):
        width = lattices[number]
        none = np.zeros(0, int)
        return spread(none, none, np.zeros(0), width.step, width.degree, nodes)

    coverage = density_window(box, lattices, Sources(of_good, nothing, nothing), SCALE**2).coverage
    tables = kernel_tables(shape, SCALE, ALPHA, SOFTENING)
    direct, through = error_tables(shape, SCALE, ALPHA, SOFTENING)

    def summed(weights, of):
        at = np.nonzero(weights)
        nodes, coarse = far(*at, weights[at], shape, of)
        return rho(*at, weights[at], box, of, coarse, nodes)

    maps, variances = [], []
    for _ in range(120):
        counts = draw.poisson(rate, shape) * good.astype(float)
        expected = local_density(counts, good, SCALE**2, 2.0 / SCALE) * SCALE**2 * hidden
        drawn = draw.poisson(expected * realisations) / realisations  # the mean of so many draws
        maps.append(summed(counts + drawn, tables))
        inpainted = summed(drawn * drawn_variance(coverage), through)
        variances.append(summed(counts + drawn / realisations, direct) + inpainted)
    ratio = np.sqrt(np.mean(variances, axis=0)) / np.std(maps, axis=0)
    # 120 skies know a scatter to 6.5 %; neighbouring pixels share it.
    assert ratio[good].mean() == pytest.approx(1.0, abs=0.08)
    assert ratio[hidden].mean() == pytest.approx(1.0, abs=0.15)
    # Without what the inpainting adds, the error under the masks would be far too small.
    bare = np.sqrt(summed(rate * good.astype(float), direct)) / np.std(maps, axis=0)
    assert bare[hidden].mean() < 0.75
