"""A grown mask: good area and sources compared with a distance transform of the untiled image."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from tests.support.command import tilegc
from tilegc import grown_masks as study
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.kernels.mesh import Mesh, nodes, offsets_at
from tilegc.mask.area_counts import annulus_of
from tilegc.schema import ARRAYS, STUDY_MASK

SHAPE = (83, 90)
EDGES = np.array([2.0, 5.0, 9.0])
GROWTH = (0.0, 1.0, 2.5, 8.0)
AREA = 0.04


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A mask with every bit in blocks, in a store; sources on its good pixels."""
    draw = np.random.default_rng(8)
    mask = np.zeros(SHAPE, np.uint8)
    for bit in (1, 2, 4, 8, 16, 32, 64, 16):
        y, x = draw.integers(0, SHAPE[0] - 6), draw.integers(0, SHAPE[1] - 6)
        mask[y : y + draw.integers(1, 6), x : x + draw.integers(1, 6)] |= bit
    path = str(tmp_path_factory.mktemp("study") / "f.zarr")
    store.create(path, ARRAYS, shape=SHAPE, bands=("F",), shard=64, attrs={})
    for tile in TileGrid(SHAPE, 64).tiles():
        store.write(path, "mask", tile.core, mask[tile.core.slices])
    y, x = np.nonzero((mask == 0) & (draw.random(SHAPE) < 0.2))
    rows, columns = np.meshgrid(*nodes(SHAPE, 16), indexing="ij")
    mesh = Mesh(0.2 * (columns - 40.0), 0.2 * (rows - 40.0), 16)
    return mask, study._Field(path, mesh, EDGES, GROWTH, y.astype(np.int64), x.astype(np.int64))


def counted(common, size):
    parts = [study._tile(common, tile) for tile in TileGrid(SHAPE, size).tiles(8)]
    whole = parts[0]
    for part in parts[1:]:
        whole = study._add(whole, part)
    return whole


def test_any_tiling_gives_what_a_distance_transform_gives(scene):
    mask, common = scene
    y, x = np.indices(SHAPE)
    annulus = annulus_of(0.2 * (x - 40.0), 0.2 * (y - 40.0), EDGES)
    distance = distance_transform_edt((mask & 124) == 0)
    found = [counted(common, size) for size in (19, 64, 200)]
    for number, pixels in enumerate(GROWTH):
        good = (mask == 0) & (distance > pixels)
        area = np.bincount(annulus[good], minlength=4)
        for one in found:
            np.testing.assert_array_equal(one.good[number], area)
            np.testing.assert_array_equal(one.kept[number], good[common.y, common.x])
    assert 0 < found[0].kept[-1].sum() < found[0].kept[0].sum() == common.y.size


def test_the_table_counts_single_sources(scene):
    _, common = scene
    found = counted(common, 64)
    n = common.y.size
    purity, real = np.linspace(0.5, 1.0, n), (np.arange(n) % 4 > 0).astype(float)
    annulus = annulus_of(*offsets_at(common.mesh, common.y, common.x), EDGES)
    kept = found.kept > 0
    table = study._table("f", GROWTH, EDGES, found.good * AREA, kept, annulus, purity, real)
    assert set(table) == {column.name for column in STUDY_MASK}
    for k in range(len(table["field"])):
        number, which = GROWTH.index(table["growth"][k]), table["annulus"][k]
        rings = range(4) if which < 0 else [which]
        chosen = [i for i in range(n) if kept[number, i] and annulus[i] in rings]
        area = sum(int(found.good[number, ring]) for ring in rings) * AREA
        assert table["n_gc"][k] == len(chosen)
        assert table["area_arcsec2"][k] == pytest.approx(area)
        assert table["n_per_arcsec2"][k] == pytest.approx(len(chosen) / area)
        assert table["purity"][k] == pytest.approx(np.mean(purity[chosen]))
        assert table["purity_truth"][k] == pytest.approx(np.mean(real[chosen]))
        lost = [i for i in range(n) if kept[0, i] and not kept[number, i] and annulus[i] in rings]
        assert table["n_rim"][k] == len(lost)
        expected = sum(
            sum(kept[number] & (annulus == ring))
            / found.good[number, ring]
            * (found.good[0, ring] - found.good[number, ring])
            for ring in rings
        )
        assert table["n_rim_expected"][k] == pytest.approx(expected)


@pytest.mark.parametrize("growth", ["-1", "0,0", "1,x", "999", "nan"])
def test_growths_that_cannot_be_are_one_line(tmp_path, growth):
    out = tilegc("study", "mask", tmp_path, f"--growth={growth}")
    assert out.code == 2
    assert out.err.count("\n") == 1
    assert "--growth" in out.err


def test_a_folder_without_a_run_is_one_line(tmp_path):
    out = tilegc("study", "mask", tmp_path)
    assert (out.code, out.err.count("\n"), list(tmp_path.iterdir())) == (2, 1, [])
