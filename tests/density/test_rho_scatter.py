"""The scatter of rho between realisations of the inpainting: expectation, tiling, precision."""

import numpy as np
import pytest

from tilegc.density.multilevel import coarse_nodes, far, kernel_tables, rho
from tilegc.density.random import draw_sources
from tilegc.density.rho_scatter import BLOCK, add, block_points, scatter_of
from tilegc.geometry import Box
from tilegc.kernels.lattice import bilinear, bilinear_part, lattice_shape

SCALE, ALPHA, SOFTENING = 0.05, 1.6, 0.9
SHAPE = (200, 168)
NUMBER = 40


def hidden() -> np.ndarray:
    y, x = np.indices(SHAPE)
    return (np.hypot(y - 60, x - 70) < 32) | (np.hypot(y - 150, x - 110) < 20)


def drawn(number: int = NUMBER, rate: float = 0.02) -> dict[str, np.ndarray]:
    found = draw_sources(np.full(SHAPE, rate), hidden(), seed=3, stream=5, realisations=number, y0=0, x0=0)
    return dict(zip(("realisation", "y", "x"), found, strict=True))


def kernel(dy: np.ndarray, dx: np.ndarray) -> np.ndarray:
    return (SOFTENING + SCALE * np.hypot(dy, dx)) ** -ALPHA


def measured(table, number: int, box: Box | None = None) -> np.ndarray:
    """Apply the rule of the stage to the blocks of a box."""
    shape = lattice_shape(SHAPE, BLOCK)
    tables = kernel_tables(shape, BLOCK * SCALE, ALPHA, SOFTENING, error=1e-2)
    row, column, realisation, count = block_points(table, number, shape[1])
    box = box or Box(0, 0, *shape)
    nodes = coarse_nodes(box)
    mean, squares = np.zeros(box.shape), np.zeros(box.shape)
    for one in range(number):
        own = realisation == one
        field, coarse = far(row[own], column[own], count[own], shape, tables)
        part = np.zeros(nodes.shape)
        there = nodes.clip(field)
        part[there.within(nodes)] = coarse[there.within(field)]
        add(rho(row[own], column[own], count[own], box, tables, part, nodes), one, mean, squares)
    return scatter_of(squares, number)


def test_the_ensemble_scatters_as_its_expectation():
    """Draws are independent and Poisson: the variance is the kernel squared over the expected draws."""
    rate, (ys, xs) = 0.02, np.nonzero(hidden())
    found = measured(drawn(), NUMBER)
    at = [(2, 3), (7, 8), (12, 20), (18, 13), (24, 20)]
    expected, sampled = [], []
    table = drawn()
    for j, i in at:
        y, x = BLOCK * j + 3.5, BLOCK * i + 3.5
        expected.append(np.sqrt((kernel(ys - y, xs - x) ** 2).sum() * rate))
        sums = np.bincount(table["realisation"], kernel(table["y"] - y, table["x"] - x), NUMBER)
        sampled.append(sums.std(ddof=1))
    assert [found[place] for place in at] == pytest.approx(sampled, rel=0.03)
    # 40 realisations know a scatter to 11 %, and these places share much of it; 200 know it to 5 %.
    assert np.mean(np.array(sampled) / expected) == pytest.approx(1.0, abs=0.3)
    many = measured(drawn(200), 200)
    y, x = (BLOCK * np.indices(many.shape)[axis] + 3.5 for axis in (0, 1))
    variance = sum(kernel(y - b, x - a) ** 2 * rate for b, a in zip(ys[::9], xs[::9], strict=True)) * 9
    assert (many**2 / variance).mean() == pytest.approx(1.0, abs=0.2)


def test_any_box_has_the_same_bits():
    table, whole = drawn(5), Box(0, 0, *lattice_shape(SHAPE, BLOCK))
    full = measured(table, 5)
    for box in (Box(0, 0, 7, 9), Box(5, 11, 25, 21), Box(24, 3, 25, 4)):
        part = measured(table, 5, box)
        np.testing.assert_array_equal(part, full[box.slices])
    pixels = bilinear(full, Box(0, 0, *SHAPE), BLOCK)
    for core in (Box(0, 0, 37, 50), Box(37, 50, 200, 168), Box(190, 0, 191, 1), Box(0, 167, 200, 168)):
        cells = Box(core.y0 // BLOCK, core.x0 // BLOCK, -(-core.y1 // BLOCK), -(-core.x1 // BLOCK))
        cells = cells.grow(1).clip(whole)
        got = bilinear_part(full[cells.slices], cells, core, whole.shape, BLOCK)
        np.testing.assert_array_equal(got, pixels[core.slices])


def test_points_are_those_of_each_realisation():
    table = drawn(3, 0.4)
    columns = lattice_shape(SHAPE, BLOCK)[1]
    row, column, realisation, count = block_points(table, 3, columns)
    for one in range(3):
        mine, own = table["realisation"] == one, realisation == one
        dense = np.zeros(lattice_shape(SHAPE, BLOCK))
        np.add.at(dense, (table["y"][mine] // BLOCK, table["x"][mine] // BLOCK), 1)
        back = np.zeros_like(dense)
        back[row[own], column[own]] = count[own]
        np.testing.assert_array_equal(back, dense)
    assert np.isnan(scatter_of(np.zeros((2, 2)), 1)).all()
