"""Prometheus counters of the work done: tiles, pixels, bytes, failures, retries.

The counters live in the process that does the work. Every Dask worker shows its own on its `/metrics` page, wherever
the driver runs. Without prometheus-client (the extra `ops`) nothing is counted.
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


# Cached, because prometheus-client keeps one global registry and refuses to create a counter of the same name
# twice.
@cache
def _counters() -> _Counters | None:
    try:
        from prometheus_client import Counter, Gauge  # noqa: PLC0415  (optional)
    except ImportError:
        return None
    of_a_pass = ("name",)
    return _Counters(
        tiles=Counter("tilegc_tiles", "Tiles (units) that this process has finished.", of_a_pass),
        pixels=Counter("tilegc_pixels", "Pixels in the cores of these tiles.", of_a_pass),
        seconds=Counter("tilegc_tile_seconds", "Seconds that these tiles took.", of_a_pass),
        rate=Gauge("tilegc_pixels_per_second", "Pixels per second of the last tile.", of_a_pass),
        bytes_read=Counter("tilegc_bytes_read", "Size of the windows read, in memory."),
        failures=Counter("tilegc_failures", "Attempts at a tile that failed.", of_a_pass),
        retries=Counter("tilegc_retries", "Tiles that were sent again after a failure.", of_a_pass),
    )


def count_tile(name: str, pixels: int, seconds: float) -> None:
    """Count a finished tile of a pass."""
    counters = _counters()
    if counters is not None:
        counters.tiles.labels(name).inc()
        counters.pixels.labels(name).inc(pixels)
        counters.seconds.labels(name).inc(seconds)
        if seconds > 0:
            counters.rate.labels(name).set(pixels / seconds)


def count_bytes_read(number: int) -> None:
    """Count the bytes of a window that was read."""
    counters = _counters()
    if counters is not None:
        counters.bytes_read.inc(number)


def count_failures(name: str, number: int = 1) -> None:
    """Count failed attempts."""
    counters = _counters()
    if counters is not None:
        counters.failures.labels(name).inc(number)


def count_retries(name: str, number: int) -> None:
    """Count tiles that were sent again."""
    counters = _counters()
    if counters is not None:
        counters.retries.labels(name).inc(number)
