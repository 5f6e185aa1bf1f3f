"""Numbers of bytes as text, in the unit that fits."""

from __future__ import annotations

__all__ = ["binary", "decimal"]


def decimal(count: float) -> str:
    """Return bytes as kB, MB, ... of powers of 1000, as disks are sold: "1.5 GB".

    >>> decimal(0), decimal(999), decimal(1500), decimal(2.5e12)
    ('0 bytes', '999 bytes', '1.5 kB', '2.5 TB')
    """
    return _text(count, 1000, ("kB", "MB", "GB", "TB", "PB"))


def binary(count: float) -> str:
    """Return bytes as KiB, MiB, ... of powers of 1024, as memory is counted: "1.5 GiB".

    >>> binary(1023), binary(1024), binary(3 * 2**29)
    ('1023 bytes', '1.0 KiB', '1.5 GiB')
    """
    return _text(count, 1024, ("KiB", "MiB", "GiB", "TiB", "PiB"))


def _text(count: float, base: int, units: tuple[str, ...]) -> str:
    if count < base:
        return f"{count:.0f} byte{'' if round(count) == 1 else 's'}"
    for unit in units[:-1]:
        count /= base
        if round(count, 1) < base:
            return f"{count:.1f} {unit}"
    return f"{count / base:.1f} {units[-1]}"
