"""Every pass reads its pixels once: windows, bytes and chunks of a run in this process, counted exactly."""

from pathlib import Path

import pytest

from benchmarks.chain import ours
from benchmarks.whole_chain import Accountant, PassCost, configuration, totals, write_planes
from tilegc.geometry import TileGrid
from tilegc.stages.detection_map import filter_halo, filter_params
from tilegc.stages.peaks import PEAK_HALO

SIZE, TILE = 1024, 512


@pytest.fixture(scope="module")
def passes(tmp_path_factory) -> list[PassCost]:
    folder: Path = tmp_path_factory.mktemp("planes")
    config = configuration(write_planes(folder, SIZE), TILE, bare=True, limit=2.0)
    accountant = Accountant()
    assert ours(config, accountant, folder) > 0
    return accountant.passes


def windows(halo: int) -> int:
    """Return the pixels of all tiles' windows."""
    grid = TileGrid((SIZE, SIZE), TILE)
    return sum(grid.tile(index, halo).window.size for index in range(len(grid)))


def test_a_bare_run_has_four_passes(passes) -> None:
    assert [cost.name for cost in passes] == ["filter", "regions", "mask", "peaks"]


def test_the_filter_reads_every_band_once(passes, tmp_path) -> None:
    config = configuration(write_planes(tmp_path, 64), TILE, bare=True, limit=2.0)
    pixels = windows(filter_halo(filter_params(config.filter, config.mask)))
    read = passes[0].read
    assert set(read) == {"fits"}
    assert (read["fits"].windows, read["fits"].pixels, read["fits"].bytes) == (4 * 4, 4 * pixels, 16 * pixels)


def test_peaks_read_map_and_mask_once(passes) -> None:
    read = passes[-1].read
    assert set(read) == {"detection", "mask"}
    for one in read.values():
        assert (one.windows, one.pixels) == (4, windows(PEAK_HALO))
    # Chunks of 256 px: 2 x 2 of a tile's own, and the rim of its neighbours'.
    assert read["detection"].chunks == 4 * 9
    assert read["mask"].chunks == 0  # nothing is masked, and what is not written is not read


def test_nothing_else_is_read(passes) -> None:
    counted = totals(passes)
    assert counted["windows read"] == 4 * (4 + 3 + 2)
    assert counted["chunks decoded"] == 4 * 9
