"""The serial driver, its bookkeeping, groups of tiles, passes and progress."""

import dataclasses
import errno
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tilegc.engine import FieldTiles, Pass, RichProgress, SerialEngine, Unit, run_pass
from tilegc.engine import work as work_module
from tilegc.engine.tasks import run_length
from tilegc.errors import DiskFullError, InputError, TilesFailedError, UnitError
from tilegc.geometry import Box, Tile, TileGrid
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource
from tilegc.run_folder import Ledger
from tilegc.schema import ARRAYS


@dataclass
class MemoryLedger:
    """The simplest possible ledger."""

    marks: dict[str, list[list[str]]] = field(default_factory=dict)
    kept: dict[str, list[Any]] = field(default_factory=dict)

    def done(self, name: str) -> set[str]:
        return {key for keys in self.marks.get(name, []) for key in keys}

    def mark(self, name: str, keys: Iterable[str], partial: Any = None, stamps: Any = None) -> None:
        self.marks.setdefault(name, []).append(list(keys))
        if partial is not None:
            self.kept.setdefault(name, []).append(partial)

    def partials(self, name: str) -> list[Any]:
        return self.kept.get(name, [])


def add(a: Any, b: Any) -> Any:
    return a + b


def square(common: int, payload: int) -> int:
    return common * payload**2


def units(count: int) -> list[Unit]:
    return [Unit(f"a/{i}", 100, i) for i in range(count)]


def test_serial_sums_all_units():
    assert SerialEngine().run("p", square, units(10), common=3, combine=add) == 3 * 285


def test_no_units_and_no_partials_give_none():
    assert SerialEngine().run("p", square, [], common=3, combine=add) is None
    assert SerialEngine().run("p", square, units(4), common=3) is None
    assert SerialEngine().run("p", lambda _c, _p: None, units(4), combine=add) is None


def test_units_without_partial_are_left_out():
    result = SerialEngine().run("p", lambda _c, p: p if p % 2 else None, units(6), combine=add)
    assert result == 1 + 3 + 5


def test_twice_the_same_key_is_refused():
    with pytest.raises(ValueError, match="same key"):
        SerialEngine().run("p", square, [Unit("a", 1, 0), Unit("a", 1, 1)])


def test_marks_come_after_the_work_and_done_units_are_skipped():
    ledger = MemoryLedger({"p": [["a/1", "a/2"]]})
    seen = []

    def write(_common, payload):
        assert f"a/{payload}" not in ledger.done("p")
        seen.append(payload)

    SerialEngine().run("p", write, units(5), ledger=ledger)
    assert seen == [0, 3, 4]
    assert ledger.done("p") == {f"a/{i}" for i in range(5)}
    SerialEngine().run("p", write, units(5), ledger=ledger)
    assert seen == [0, 3, 4]


def test_one_failure_is_tried_again():
    tries = dict.fromkeys(range(5), 0)

    def shaky(_common, payload):
        tries[payload] += 1
        if payload == 3 and tries[payload] == 1:
            raise OSError("the disk hiccups")
        return payload

    assert SerialEngine().run("p", shaky, units(5), combine=add) == 10
    assert tries == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1}


def test_a_tile_that_always_fails_is_named_and_the_others_are_marked():
    ledger = MemoryLedger()
    tries = []

    def bad(_common, payload):
        if payload == 2:
            tries.append(payload)
            raise ValueError("no luck\nat all")

    with pytest.raises(TilesFailedError) as caught:
        SerialEngine(retries=1).run("detection", bad, units(5), ledger=ledger)
    message = str(caught.value)
    assert message.startswith(
        "detection: 1 of 5 tiles failed in 2 attempts: a/2 (ValueError: no luck at all)"
    )
    assert "\n" not in message
    assert "--resume" in message
    assert len(tries) == 2
    assert ledger.done("detection") == {"a/0", "a/1", "a/3", "a/4"}


def test_many_failures_are_listed_in_part():
    def bad(_common, _payload):
        raise ValueError("no")

    with pytest.raises(TilesFailedError, match=r"20 of 20 tiles failed .* and 15 more"):
        SerialEngine(retries=0).run("p", bad, units(20))


def test_bad_input_ends_the_pass_as_itself_without_another_try():
    ledger = MemoryLedger()
    tries = []

    def refuse(_common, payload):
        if payload == 3:
            tries.append(payload)
            raise UnitError("a.fits: BUNIT 'furlong' is unknown")

    with pytest.raises(UnitError, match="furlong"):
        SerialEngine().run("p", refuse, units(5), ledger=ledger)
    assert tries == [3]
    assert ledger.done("p") == {"a/0", "a/1", "a/2"}


def test_ctrl_c_leaves_the_ledger_right():
    ledger = MemoryLedger()

    def interrupt(_common, payload):
        if payload == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SerialEngine().run("p", interrupt, units(5), ledger=ledger)
    assert ledger.done("p") == {"a/0", "a/1", "a/2"}


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_partials_of_a_writing_pass_survive_its_interruption(monkeypatch, seconds):
    monkeypatch.setattr(work_module, "FLUSH_SECONDS", seconds)
    ledger = MemoryLedger()
    broken = True

    def count(_common, payload):
        if broken and payload == 3:
            raise InputError("stop here")
        return [payload]

    with pytest.raises(InputError):
        SerialEngine().run("ingest", count, units(6), combine=add, ledger=ledger)
    broken = False
    result = SerialEngine().run("ingest", count, units(6), combine=add, ledger=ledger)
    assert sorted(result) == [0, 1, 2, 3, 4, 5]
    again = SerialEngine().run("ingest", count, units(6), combine=add, ledger=ledger)
    assert sorted(again) == [0, 1, 2, 3, 4, 5]


def test_a_partial_that_the_ledger_cannot_hold_is_refused_in_a_writing_pass(tmp_path):
    with pytest.raises(TypeError):
        SerialEngine().run(
            "p", lambda _c, _p: np.zeros(2), units(3), combine=add, ledger=Ledger(tmp_path, "f")
        )


def test_run_length():
    def length(count, side, slots):
        return run_length([Unit(str(i), side * side, i) for i in range(count)], slots)

    assert run_length([], 4) == 1
    assert length(1, 64, 2) == 1
    assert length(30, 2048, 2) == 1  # large tiles, few: one each, so that both workers have work to the end
    assert length(100_000, 2048, 2) == 32  # 3,125 tasks
    assert [length(100_000, 2048, slots) for slots in (64, 512, 1000)] == [32, 12, 6]
    assert length(10_000, 64, 2) == 256
    assert length(100, 1, 2) == 6
    assert (
        length(18, 1466, 2) == 1
    )  # two fields of nine tiles: a task of two would leave one worker idle at the end
    assert length(5, 0, 8) == 1


@dataclass
class Recorder:
    """A progress display that records every report."""

    said: list[tuple[Any, ...]] = field(default_factory=list)

    def start(self, name, total_pixels, total_units):
        self.said.append(("start", name, total_pixels, total_units))

    def advance(self, pixels, units):
        self.said.append(("advance", pixels, units))

    def finish(self, name):
        self.said.append(("finish", name))


def test_progress_counts_what_is_left_and_ends_also_on_an_error():
    recorder = Recorder()
    SerialEngine(recorder).run("p", square, units(3), common=1, ledger=MemoryLedger({"p": [["a/0"]]}))
    assert recorder.said == [
        ("start", "p", 200, 2),
        ("advance", 100, 1),
        ("advance", 100, 1),
        ("finish", "p"),
    ]
    recorder.said.clear()
    with pytest.raises(ZeroDivisionError):
        SerialEngine(recorder).run("p", lambda _c, _p: 1, units(3), combine=lambda _a, _b: 1 // 0)
    assert recorder.said[-1] == ("finish", "p")


def progress_text(*, terminal: bool, done: int = 3, count: int = 3, side: int = 1000) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=terminal, no_color=True, legacy_windows=False)
    progress = RichProgress(console)
    progress.start("detection map", side * side * count, count)
    for _ in range(done):
        progress.advance(side * side, 1)
    progress.finish("detection map")
    return stream.getvalue()


def test_progress_without_a_terminal_is_one_line_a_pass():
    text = progress_text(terminal=False)
    assert text.count("\n") == 1
    assert text.startswith("detection map        3.00 Mpix")
    assert text.endswith(" Mpix/s\n")
    assert progress_text(terminal=False, done=1) == "detection map    stopped at 1 of 3 tiles\n"
    assert progress_text(terminal=False, done=0, count=0) == "detection map    was done before\n"
    assert progress_text(terminal=False, side=0).split()[:2] == ["detection", "map"]
    assert "Mpix" not in progress_text(terminal=False, side=0)


@pytest.mark.parametrize("side", [1000, 0])
def test_progress_on_a_terminal_fits_into_80_columns(side):
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", progress_text(terminal=True, side=side))
    shown = [line for line in re.split(r"[\r\n]", text) if " left" in line]
    assert shown
    assert all(len(line) <= 80 for line in shown)
    assert "100 %" in shown[-1]
    assert ("Mpix/s" in shown[-1]) == (side > 0)
    assert ("3 of 3" in shown[-1]) == (side == 0)


# passes over tiles


def source_of(tmp_path: Path, name: str, shape: tuple[int, int]) -> FieldSource:
    """An ingested field of one band, sci = 100 y + x."""
    path = str(tmp_path / f"{name}-ingest.zarr")
    sci = (100 * np.arange(shape[0])[:, None] + np.arange(shape[1])).astype(np.float32)
    arrays = [array for array in ARRAYS if array.name == "sci"]
    store.create(path, arrays, shape=shape, bands=["F090W"], shard=64, attrs={})
    store.write(path, "sci", Box(0, 0, *shape), sci[None])
    return FieldSource(
        name=name,
        shape=shape,
        bands=(BandSource("F090W", None),),
        header="",
        wcs="",
        scale=0.03,
        pixel_area=9e-4,
        has_err=False,
        has_wht=False,
        store=path,
    )


def fields_of(tmp_path: Path) -> list[FieldTiles]:
    fields = []
    for name, shape, size in (("a", (10, 13), 4), ("b", (5, 3), 64)):
        path = str(tmp_path / f"{name}.zarr")
        arrays = [array for array in ARRAYS if array.name == "light"]
        store.create(path, arrays, shape=shape, bands=["F090W"], shard=size, attrs={})
        fields.append(FieldTiles(source_of(tmp_path, name, shape), path, TileGrid(shape, size)))
    return fields


def around(window: Any, tile: Tile, params: float) -> tuple[dict[str, np.ndarray], Any]:
    """Sum of 3 x 3 pixels, outside of the field 0; the partial is the number of pixels of core and window."""
    sci = window["sci"].values[0]
    padded = np.pad(sci, 1)
    rows, columns = sci.shape
    total = sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    return {"light": params * total[tile.core_in_window]}, (tile.core.size, sci.size)


def join(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]


AROUND = Pass("around", ("sci",), 1, ("light",), around, join, bytes_per_pixel=8.0)


def test_a_pass_reads_windows_with_halo_and_writes_cores(tmp_path: Path):
    fields = fields_of(tmp_path)
    cores, windows = run_pass(SerialEngine(), AROUND, fields, {"a": 1.0, "b": 2.0})
    assert cores == 10 * 13 + 5 * 3
    edges = [min(4 * i + 5, n) - max(4 * i - 1, 0) for n in (10, 13) for i in range(-(-n // 4))]
    assert windows == sum(edges[:3]) * sum(edges[3:]) + 5 * 3
    for tiles, factor in zip(fields, (1.0, 2.0), strict=True):
        rows, columns = tiles.grid.shape
        sci = np.pad(100 * np.arange(rows)[:, None] + np.arange(columns), 1)
        expected = sum(sci[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
        np.testing.assert_array_equal(store.read(tiles.store, "light", tiles.grid.field), factor * expected)


def test_a_pass_with_a_halo_per_field(tmp_path: Path):
    step = dataclasses.replace(AROUND, halo={"a": 3, "b": 1})
    assert (step.halo_of("a"), step.halo_of("b")) == (3, 1)
    assert step.window_bytes("a", TileGrid((10, 13), 4)) == 8 * 10 * 10
    fields = fields_of(tmp_path)
    assert run_pass(SerialEngine(), step, fields, {"a": 1.0, "b": 1.0})[0] == 145


def test_a_pass_that_writes_goes_into_the_ledger_and_one_that_counts_does_not(tmp_path: Path):
    fields = fields_of(tmp_path)
    ledger = MemoryLedger()
    params = {"a": 1.0, "b": 1.0}
    run_pass(SerialEngine(), dataclasses.replace(AROUND, combine=None), fields, params, ledger)
    assert ledger.done("around") == {*(f"a/{i}" for i in range(12)), "b/0"}
    counting = Pass("count", ("sci",), 0, (), count_pixels, add)
    assert run_pass(SerialEngine(), counting, fields, params, ledger) == 145
    assert run_pass(SerialEngine(), counting, fields, params, ledger) == 145
    assert "count" not in ledger.marks


def count_pixels(window: Any, _tile: Tile, _params: float) -> tuple[dict[str, np.ndarray], int]:
    return {}, window["sci"].values.size


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (lambda _w, _t, _p: ({}, None), r"gave \[\], it should give \['light'\]"),
        (lambda w, _t, _p: ({"light": w["sci"].values[0]}, None), r"gave \(5, 5\), the core is \(4, 4\)"),
    ],
)
def test_a_rule_that_gives_something_else_than_its_cores_is_an_error(tmp_path: Path, rule, said):
    step = dataclasses.replace(AROUND, rule=rule)
    with pytest.raises(TilesFailedError, match=said):
        run_pass(SerialEngine(retries=0), step, fields_of(tmp_path), {"a": 1.0, "b": 1.0})


def test_a_full_disk_ends_a_pass_at_once_with_one_line():
    tried = []

    def write(_common, payload):
        tried.append(payload)
        raise OSError(errno.ENOSPC, "No space left on device", "/run/store/a.zarr/mask/c/0/0")

    with pytest.raises(
        DiskFullError, match=r"^/run/store/.*No space left on device; free some space"
    ) as caught:
        SerialEngine().run("p", write, [Unit(str(number), 1, number) for number in range(9)])
    assert tried == [0]
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
