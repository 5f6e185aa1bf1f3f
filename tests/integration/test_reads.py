"""Every pass reads its pixels once: windows, bytes and chunks of a run in this process, counted exactly."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.chain import ours
from benchmarks.whole_chain import Accountant, PassCost, configuration, totals, write_planes
from tilegc.detection.noise import global_noise as noise
from tilegc.detection.peaks import PEAK_HALO
from tilegc.filter.detection_map import filter_halo, filter_params
from tilegc.geometry import TileGrid
from tilegc.kernels import order

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


def test_a_bare_run_has_five_passes(passes) -> None:
    assert [cost.name for cost in passes] == ["repeated values", "filter", "regions", "mask", "peaks"]


def test_mosaics_without_weights_are_searched_once_for_repeated_values(passes) -> None:
    """Cells of the audit, without a halo: every pixel of every band once."""
    read = passes[0].read
    assert set(read) == {"fits"}
    assert (read["fits"].pixels, read["fits"].bytes) == (4 * SIZE**2, 16 * SIZE**2)


def test_the_filter_reads_every_band_once(passes, tmp_path) -> None:
    config = configuration(write_planes(tmp_path, 64), TILE, bare=True, limit=2.0)
    params = replace(filter_params(config.filter, config.mask), unobserved=(True,) * 4)
    pixels = windows(filter_halo(params))
    read = passes[1].read
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
    assert counted["windows read"] == passes[0].read["fits"].windows + 4 * (4 + 3 + 2)
    assert counted["chunks decoded"] == 4 * 9


def allocated(folder: Path, size: int, tile: int) -> dict[str, PassCost]:
    config = configuration(write_planes(folder, size), tile, bare=False, limit=2.0)
    accountant = Accountant(allocations=True)
    ours(config, accountant, folder)
    return {cost.name: cost for cost in accountant.passes}


def test_what_a_pass_holds_at_once_does_not_grow_with_the_mosaic(tmp_path_factory) -> None:
    """From 16 to 36 tiles: some of the 16 already have a full halo, so no pass needs more memory for more tiles."""
    allocated(
        tmp_path_factory.mktemp("warm"), 256, 256
    )  # compiles what is not compiled yet: that allocates, too
    small, large = (allocated(tmp_path_factory.mktemp(str(n)), n * 256, 256) for n in (4, 6))
    assert list(small) == list(large)
    for name, cost in small.items():
        # the candidates of all tiles, which are few, and one more histogram of half a MiB that waits to be joined
        assert large[name].allocated < 1.05 * cost.allocated + 600_000, name
        assert cost.allocated > 100_000, name  # it was counted at all
    # compiled kernels make as many arrays in a tile as in any other
    made = {
        "filter": 462,
        "extended-find": 18,
        "extended-draw": 15,
        "sigma 1/2": 3,
        "sigma 2/2": 4,
        "peaks": 7,
    }
    for one, tiles in ((small, 16), (large, 36)):
        assert {name: one[name].compiled_allocations / tiles for name in made} == made
    # with ERR and WHT: science and weight of four bands once, and every map as often as the recipe has passes
    read = {name: {key: one.windows for key, one in cost.read.items()} for name, cost in large.items()}
    assert read == {
        "mid-scale noise": {"fits": 8 * 2 * 4},
        "filter": {"fits": 36 * 2 * 4},
        "regions": {},
        "extended-find": {"flags": 36},
        "extended-draw": {"flags": 36},
        "mask": {"flags": 36, "objects": 36, "regions": 36},
        **{key: {"detection": 36, "mask": 36} for key in ("sigma 1/2", "sigma 2/2", "peaks")},
    }


def test_sigma_is_the_same_where_two_passes_do_not_do(tmp_path, monkeypatch) -> None:
    found, measure = [], noise.noise
    monkeypatch.setattr(noise, "noise", lambda context: found.append(measure(context)) or found[-1])
    config = configuration(write_planes(tmp_path, 600), 256, bare=False, limit=2.0)
    names = []
    for most in (order.MOST, 0):
        monkeypatch.setattr(order, "MOST", most)
        accountant = Accountant()
        ours(config, accountant, tmp_path)
        names.append(
            [cost.name for cost in accountant.passes if cost.name.startswith(("sigma", "deviation"))]
        )
    assert names == [["sigma 1/2", "sigma 2/2"], ["sigma 1/2", "sigma 2/2", "deviation 1/2", "deviation 2/2"]]
    assert found[0] == found[1]
    assert found[0]["f"].sigma > 0
