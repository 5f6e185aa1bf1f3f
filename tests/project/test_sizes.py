"""Bytes as text: a number of 1 to 1023 and its unit."""

import pytest

from tilegc.sizes import binary, decimal


@pytest.mark.parametrize(
    ("count", "in_powers_of_1000", "in_powers_of_1024"),
    [
        (0, "0 bytes", "0 bytes"),
        (1, "1 byte", "1 byte"),
        (999, "999 bytes", "999 bytes"),
        (1000, "1.0 kB", "1000 bytes"),
        (1024, "1.0 kB", "1.0 KiB"),
        (999_960, "1.0 MB", "976.5 KiB"),
        (45 * 2**20, "47.2 MB", "45.0 MiB"),
        (3 * 10**9, "3.0 GB", "2.8 GiB"),
        (5 * 2**40, "5.5 TB", "5.0 TiB"),
        (10**19, "10000.0 PB", "8881.8 PiB"),
    ],
)
def test_the_unit_fits(count, in_powers_of_1000, in_powers_of_1024):
    assert decimal(count) == in_powers_of_1000
    assert binary(count) == in_powers_of_1024
