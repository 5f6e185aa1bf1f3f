"""What was done, counted for Prometheus: tiles, pixels, bytes, failures, retries.

The counters live in the process that does the work; Dask's worker shows them on its own `/metrics` page, wherever
the driver is (only with local workers and batch queues does that have a page, the scheduler's).
Without prometheus-client (the extra `ops`) nothing is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

__all__ = ["count_bytes_read", "count_failures", "count_retries", "count_tile"]


@dataclass(frozen=True)
class _Counters:
    tiles: Any
    pixels: Any
    seconds: Any
    rate: Any
    bytes_read: Any
    failures: Any
    retries: Any


@cache
def _counters() -> _Counters | None:
    try:
        from prometheus_client import Counter, Gauge  # noqa: PLC0415  (optional)
    except ImportError:
        return None
    of_a_pass = ("name",)
    return _Counters(
        tiles=Counter("tilegc_tiles", "Tiles (units) that this process has done.", of_a_pass),
        pixels=Counter("tilegc_pixels", "Pixels of the cores of these tiles.", of_a_pass),
        seconds=Counter("tilegc_tile_seconds", "Seconds that these tiles took.", of_a_pass),
        rate=Gauge("tilegc_pixels_per_second", "Pixels per second of the last tile.", of_a_pass),
        bytes_read=Counter("tilegc_bytes_read", "Bytes of the windows read, as they are in memory."),
        failures=Counter("tilegc_failures", "Tries of a tile that raised.", of_a_pass),
        retries=Counter("tilegc_retries", "Tiles that came once more, after a failure.", of_a_pass),
    )


def count_tile(name: str, pixels: int, seconds: float) -> None:
    """Enter a tile of a pass that is done."""
    counters = _counters()
    if counters is not None:
        counters.tiles.labels(name).inc()
        counters.pixels.labels(name).inc(pixels)
        counters.seconds.labels(name).inc(seconds)
        if seconds > 0:
            counters.rate.labels(name).set(pixels / seconds)


def count_bytes_read(number: int) -> None:
    """Enter a window that was read."""
    counters = _counters()
    if counters is not None:
        counters.bytes_read.inc(number)


def count_failures(name: str, number: int = 1) -> None:
    """Enter tries that raised."""
    counters = _counters()
    if counters is not None:
        counters.failures.labels(name).inc(number)


def count_retries(name: str, number: int) -> None:
    """Enter tiles that have come once more."""
    counters = _counters()
    if counters is not None:
        counters.retries.labels(name).inc(number)
