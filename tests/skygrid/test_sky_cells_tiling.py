"""The sky grid depends neither on the tiles nor on the order in which they were added."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilegc.geometry import Box, TileGrid
from tilegc.kernels.mesh import Mesh, nodes, offsets, offsets_at
from tilegc.skygrid.cell_sums import SkyPartial, accumulate_cells, cells, cells_at, combine_sky
from tilegc.skygrid.tile_sums import add_tiles, join_cells, settle_cells

SHAPES = ((37, 53), (70, 20))


def same(a, b):
    assert list(a.fields) == list(b.fields)
    for one, two in zip(a.fields.values(), b.fields.values(), strict=True):
        assert one.box == two.box
        for name in ("n_pixels", "n_good", "n_inside", "light", "rho"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def add_in_any_tree(partials, rng):
    """Add two partials drawn at random, in random order, until one is left."""
    partials = [SkyPartial(), *partials]
    while len(partials) > 1:
        a, b = (partials.pop(rng.integers(len(partials))) for _ in range(2))
        partials.append(combine_sky(a, b))
    return partials[0]


def joined_in_any_tree(partials, rng):
    """The same with what tiles hand on: some rectangles."""
    partials = [(), *partials]
    while len(partials) > 1:
        a, b = (partials.pop(rng.integers(len(partials))) for _ in range(2))
        partials.append(join_cells(a, b))
    return partials[0]


@given(st.integers(1, 80), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_partials(size, seed):
    rng = np.random.default_rng(seed)
    size = max(size, 5)  # a tile of one pixel is tried below
    whole, parts, settled, everything = [], [], {}, []
    for number, shape in enumerate(SHAPES):
        y, x = np.meshgrid(*nodes(shape, 16), indexing="ij")
        angle = rng.uniform(0, 6)
        wobble = rng.normal(size=(2, *y.shape)) * 0.05
        mesh = Mesh(
            0.05 * (np.cos(angle) * x - np.sin(angle) * y) + wobble[0],
            0.05 * (np.sin(angle) * x + np.cos(angle) * y) + wobble[1],
            16,
        )
        mask = rng.choice(np.array([0, 1, 2, 4], np.uint8), shape)
        mask[: rng.integers(shape[0] + 1)] = 1
        light = (rng.normal(size=shape) * 10.0 ** rng.integers(-30, 30, shape)).astype(np.float32)
        rho = rng.exponential(size=shape).astype(np.float32)

        def partial(box, number=number, mesh=mesh, arrays=(mask, light, rho)):
            mask, light, rho = (array[box.slices] for array in arrays)
            return accumulate_cells(number, mesh, box, 0.3, mask=mask, light=light, rho=rho)

        whole.append(partial(Box(0, 0, *shape)))
        parts += [partial(tile.core) for tile in TileGrid(shape, size).tiles()]
        handed = [
            settle_cells(partial(tile.core), mesh, tile.core, shape, 0.3)
            for tile in TileGrid(shape, size).tiles()
        ]
        settled[number] = [handed[i] for i in rng.permutation(len(handed)) if handed[i] is not None]
        everything += [(part,) for part in settled[number]]
    same(add_in_any_tree(parts, rng), combine_sky(*whole))
    groups = max(int(rng.integers(1, 5)), 1)
    rooted = [part for k in range(groups) for part in joined_in_any_tree(everything[k::groups], rng)]
    for number, sums in combine_sky(*whole).fields.items():
        if rng.random() < 0.5:
            settled[number] = [part for part in rooted if part.field == number]
        found = add_tiles(settled[number], sums.box)
        oracle = (sums.n_pixels, sums.n_good, sums.n_inside, sums.light_sum(), sums.rho_sum())
        for one, other in zip(found, oracle, strict=True):
            assert one.dtype == other.dtype
            assert one.tobytes() == other.tobytes()


def test_nearly_all_cells_are_rounded_in_their_tile():
    """Counted exactly: of 40 x 40 cells a tile of 400 px, those within 29 px of its two inner borders are shared."""
    y, x = np.meshgrid(*nodes((800, 800), 16), indexing="ij")
    mesh, core = Mesh(0.03 * x, 0.03 * y, 16), Box(0, 0, 400, 400)
    ones = np.ones(core.shape, np.float32)
    sums = accumulate_cells(0, mesh, core, 0.3, mask=np.zeros(core.shape, np.uint8), light=ones, rho=ones)
    found = settle_cells(sums, mesh, core, (800, 800), 0.3)
    assert found.n_pixels.shape == (40, 40)
    assert found.shared.size == 40**2 - 37**2
    assert found.shared_light.nbytes + found.light.nbytes < sums.fields[0].light.nbytes / 3


def test_two_tiles_that_round_one_cell_are_found_out():
    y, x = np.meshgrid(*nodes((40, 40), 16), indexing="ij")
    mesh, core = Mesh(0.03 * x, 0.03 * y, 16), Box(0, 0, 20, 20)
    ones = np.ones(core.shape, np.float32)
    sums = accumulate_cells(0, mesh, core, 0.3, mask=np.zeros(core.shape, np.uint8), light=ones, rho=ones)
    alone = settle_cells(sums, mesh, core, core.shape, 0.3)
    with pytest.raises(RuntimeError, match="two tiles"):
        add_tiles([alone, alone], alone.box)
    with pytest.raises(RuntimeError, match="two tiles"):
        join_cells((alone,), (alone,))
    shared = settle_cells(sums, mesh, core, (80, 80), 0.3)
    with pytest.raises(RuntimeError, match="of a shared cell"):
        add_tiles([alone, shared], alone.box)


@given(st.integers(1, 90), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_offsets_have_the_same_bits_in_any_tile(size, seed):
    rng = np.random.default_rng(seed)
    shape = (41, 83)
    rows, columns = nodes(shape, 16)
    mesh = Mesh(*rng.normal(size=(2, len(rows), len(columns))), 16)
    whole = offsets(mesh, Box(0, 0, *shape))
    for tile in TileGrid(shape, size).tiles() if size > 4 else [TileGrid(shape, size).tile(size * 50)]:
        for part, all_of_it in zip(offsets(mesh, tile.core), whole, strict=True):
            assert part.tobytes() == np.ascontiguousarray(all_of_it[tile.core.slices]).tobytes()


@given(st.sampled_from([1, 7, 16, 64]), st.sampled_from([0.03, 0.3, 1.0]), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_pixel_named_has_the_bits_and_the_cell_of_a_pixel_in_a_tile(step, side, seed):
    """Sources are put in cells pixel by pixel, areas tile by tile: both must say the same."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 90, 2))
    rows, columns = nodes(shape, step)
    # Multiples of half a cell with a last bit that wavers: many centres lie on borders of cells.
    wavers = 1 + rng.integers(-2, 3, (2, len(rows), len(columns))) * 2.0**-52
    xi, eta = np.meshgrid(-columns * side / 2, rows * side / 2) * wavers + rng.choice([0.0, side, 17.3])
    mesh, box = Mesh(xi, eta, step), Box(0, 0, *shape)
    y, x = np.unravel_index(rng.permutation(shape[0] * shape[1])[:500], shape)
    y, x = y.astype(np.int32), x.astype(np.int32)
    pairs = [
        *zip(offsets_at(mesh, y, x), offsets(mesh, box), strict=True),
        *zip(cells_at(mesh, y, x, side), cells(mesh, box, side), strict=True),
    ]
    for found, whole in pairs:
        assert found.dtype == whole.dtype
        assert found.tobytes() == whole[y, x].tobytes()


def test_one_pixel_tiles():
    rng = np.random.default_rng(1)
    shape = (6, 7)
    y, x = np.meshgrid(*nodes(shape, 4), indexing="ij")
    mesh = Mesh(0.1 * x, 0.1 * y, 4)
    mask = rng.choice(np.array([0, 1, 2, 4], np.uint8), shape)
    light, rho = rng.normal(size=(2, *shape)).astype(np.float32)

    def partial(box):
        cut = box.slices
        return accumulate_cells(0, mesh, box, 0.3, mask=mask[cut], light=light[cut], rho=rho[cut])

    tiles = [partial(tile.core) for tile in TileGrid(shape, 1).tiles()]
    same(add_in_any_tree(tiles, rng), partial(Box(0, 0, *shape)))


def test_neighbours_are_joined_and_others_are_not():
    y, x = np.meshgrid(*nodes((40, 400), 16), indexing="ij")
    mesh, ones = Mesh(0.03 * x, 0.03 * y, 16), np.ones((40, 40), np.float32)

    def tile(x0):
        core = Box(0, x0, 40, x0 + 40)
        sums = accumulate_cells(0, mesh, core, 0.3, mask=np.zeros(core.shape, np.uint8), light=ones, rho=ones)
        return (settle_cells(sums, mesh, core, (40, 400), 0.3),)

    assert len(join_cells(tile(0), tile(40))) == 1
    assert len(join_cells(tile(0), tile(360))) == 2
    assert len(join_cells(join_cells(tile(0), tile(80)), tile(40))) == 1
