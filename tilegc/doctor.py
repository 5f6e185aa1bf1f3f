"""What of the installation works: one line a part, and what to do about those that do not."""

from __future__ import annotations

import importlib.metadata
import io
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tilegc.errors import TileGCError
from tilegc.places import place

if TYPE_CHECKING:
    from tilegc.cluster import TLS
    from tilegc.config import Compute
    from tilegc.places import Place

__all__ = ["report", "report_workers", "warm"]

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "astropy",
    "xarray",
    "zarr",
    "dask",
    "distributed",
    "pyarrow",
    "matplotlib",
)

WARMING_STARS = 100
"""Artificial stars of the run that compiles the kernels: as few as will do."""


def report(say: Callable[[str], None]) -> int:
    """Try every part, say how each fared, and return the exit code: 0 if all work, else 1."""
    parts: tuple[tuple[str, Callable[[], str]], ...] = (
        ("python and packages", _versions),
        ("compiled kernels", _kernels),
        ("Zarr store", _store),
        ("local cluster", _cluster),
        ("figures", _figures),
    )
    failed = 0
    for name, examine in parts:
        try:
            say(f"ok      {name:<20} {examine()}")
        except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
            failed += 1
            say(f"FAILS   {name:<20} {type(error).__name__}: {' '.join(str(error).split())}")
    return 1 if failed else 0


def warm(say: Callable[[str], None]) -> int:
    """Compile the kernels of both recipes, which are then read from the cache on disk; return the exit code 0.

    A very small mock cluster is analysed with each recipe, in this process.
    """
    from tilegc import running  # noqa: PLC0415
    from tilegc.kernels.compiled import compile_seconds  # noqa: PLC0415
    from tilegc.simulation import simulate  # noqa: PLC0415

    before = compile_seconds()
    with tempfile.TemporaryDirectory() as folder:
        run_file = simulate(Path(folder) / "mock", preset="tiny")
        running.run(run_file, Path(folder) / "diego2026", workers=0)
        calibrated = run_file.with_name("calibrated.yaml")
        content = run_file.read_text().replace("recipe: diego2026", "recipe: calibrated")
        calibrated.write_text(f"{content}completeness: {{stars: {WARMING_STARS}}}\n")
        running.run(calibrated, Path(folder) / "calibrated", workers=0)
    spent = compile_seconds() - before
    how = f"compiled in {spent:.0f} s" if spent >= 1.0 else "all in the cache on disk"
    say(f"ok      {'compiled kernels':<20} {how}")
    return 0


def report_workers(
    say: Callable[[str], None],
    *,
    cluster: str | None = None,
    scheduler: str | None = None,
    compute: Compute | None = None,
    tls: TLS | None = None,
    beside: str | Place | None = None,
) -> int:
    """Start one worker, or ask those of a scheduler; have it see a folder and do a tile; return the exit code.

    The folder, path or URL, is `beside`, where a run would write; by default the current one.
    What is wrong is one line.
    """
    from tilegc.cluster import workers_for  # noqa: PLC0415
    from tilegc.engine import Unit, for_client  # noqa: PLC0415
    from tilegc.run_folder import marked  # noqa: PLC0415

    name = f"--scheduler {scheduler}" if scheduler is not None else f"--cluster {cluster}"
    count = None if scheduler is not None else 1
    where_runs_lie = place(Path.cwd() if beside is None else beside)
    begun = time.monotonic()
    try:
        with (
            workers_for(
                workers=count, scheduler=scheduler, cluster=cluster, compute=compute, tls=tls, tell=say
            ) as found,
            marked(where_runs_lie, []) as token,
        ):
            say(f"ok      worker               came after {time.monotonic() - begun:.1f} s")
            found.admit(token)
            say(f"ok      place                it reads what is written in {where_runs_lie}")
            engine = for_client(found.client, patience=30.0, shortage=found.shortage)
            theirs = engine.run("doctor", _tile, [Unit("tile", 64 * 64, 0)], combine=_first)
            where, pixels = theirs
            if pixels != _tile(None, 0)[1]:
                raise RuntimeError(f"the detection map of {where} is not that of this machine")  # noqa: TRY301
            say(f"ok      tile                 the detection map of {where} has the bytes of this machine's")
    except TileGCError as error:
        say(f"FAILS   {error}")
        return 1
    except Exception as error:  # noqa: BLE001  (whatever it is, it is the finding)
        say(f"FAILS   {name}: {type(error).__name__}: {' '.join(str(error).split())}")
        return 1
    return 0


def _tile(common: None, number: int) -> tuple[str, bytes]:  # noqa: ARG001
    """Filter a point source among noise; return where that was, and the bytes of the detection map."""
    from tilegc.config import Filter, Mask  # noqa: PLC0415
    from tilegc.filter.detection_map import filter_maps, filter_params  # noqa: PLC0415

    light = np.random.default_rng(1).normal(0.0, 0.1, (64, 64)).astype(np.float32)
    light[32, 32] = 1.0
    _, detection = filter_maps(light, np.ones(light.shape, bool), filter_params(Filter(), Mask()))
    return socket.gethostname(), detection.tobytes()


def _first(a: Any, _b: Any) -> Any:
    return a


def _versions() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{sys.version.split()[0]}; {versions}"


def _kernels() -> str:
    from tilegc.config import Filter, Mask  # noqa: PLC0415
    from tilegc.filter.detection_map import filter_maps, filter_params  # noqa: PLC0415
    from tilegc.kernels.compiled import compile_seconds  # noqa: PLC0415

    before = compile_seconds()
    params = filter_params(Filter(), Mask())
    light = np.zeros((64, 64), np.float32)
    light[32, 32] = 1.0
    _, detection = filter_maps(light, np.ones(light.shape, bool), params)
    if int(np.argmax(detection)) != 32 * 64 + 32:
        raise RuntimeError("the peak of the filtered map is not on the source; reinstall numba")
    spent = compile_seconds() - before
    how = f"compiled now, {spent:.1f} s" if spent else "from the cache on disk"
    return f"a point source of 1 nJy peaks at {detection[32, 32]:.3f} nJy in the detection map; {how}"


def _store() -> str:
    from tilegc.geometry import Box  # noqa: PLC0415
    from tilegc.io import store  # noqa: PLC0415
    from tilegc.phases.context import arrays  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "field.zarr")
        values = np.arange(100 * 100, dtype=np.float32).reshape(100, 100)
        store.create(path, arrays(["light"]), shape=(100, 100), bands=(), shard=100, attrs={})
        store.write(path, "light", Box(0, 0, 100, 100), values)
        if not np.array_equal(store.read(path, "light", Box(0, 0, 100, 100)), values):
            raise RuntimeError("the data read back differ from those written; reinstall zarr and numcodecs")
    return "written and read back"


def _cluster() -> str:
    from tilegc.cluster import connect  # noqa: PLC0415
    from tilegc.engine import Unit, for_client  # noqa: PLC0415

    with connect(workers=1) as client:
        total = for_client(client).run(
            "doctor", _square, [Unit(str(n), 1, n) for n in range(4)], combine=_plus
        )
    if total != 14:
        raise RuntimeError(f"a worker returned {total} instead of 14")
    return "one worker started, worked and left"


def _square(common: None, number: int) -> int:  # noqa: ARG001
    return number * number


def _plus(a: int, b: int) -> int:
    return a + b


def _figures() -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    canvas = FigureCanvasAgg(Figure(figsize=(1, 1)))
    canvas.print_png(io.BytesIO())  # type: ignore[no-untyped-call]
    return "drawn without a screen"
