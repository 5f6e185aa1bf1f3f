"""Stars in the ledger are reused only for the same stars, the same sky and an undamaged file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tilegc.completeness.draw import Stars
from tilegc.completeness.kept import COLUMNS, KeptStars, key_of


def stars(first: int, last: int) -> Stars:
    rng = np.random.default_rng(first)
    n = last - first
    y, x, magnitude, *flux, inside, steep = rng.uniform(1, 50, (7, n))
    colours, light = np.array(flux[:1] * 2), np.array(flux)
    return Stars(np.arange(first, last), y, x, magnitude, colours, light, inside, steep)


def answers(number: np.ndarray) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    table = {one.name: rng.uniform(0, 99, number.size).astype(one.dtype) for one in COLUMNS}
    return {**table, "number": number, "value": np.where(number % 3 == 0, np.nan, table["value"])}


@pytest.fixture
def kept(tmp_path):
    batches = KeptStars(tmp_path / "ledger")
    for first, last in ((0, 40), (40, 60), (0, 90)):
        own = stars(first, last)
        batches.write("a", first, last, key_of(own, 5.0), answers(own.number))
    return KeptStars(tmp_path / "ledger")


def test_what_was_kept_comes_back(kept):
    own = stars(0, 40)
    found = kept.read("a", 0, 40, key_of(own, 5.0))
    assert found is not None
    for name, values in answers(own.number).items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_the_longest_batches_come_first(kept):
    assert kept.ends("a", 0, 100) == [90, 40]
    assert kept.ends("a", 0, 50) == [40]
    assert kept.ends("a", 40, 60) == [60]
    assert kept.ends("a", 20, 60) == kept.ends("b", 0, 100) == []


def test_other_stars_or_another_sky_are_put_in_again(kept):
    own = stars(0, 40)
    brighter = replace(own, flux=own.flux * 1.0000001)
    for key in (key_of(own, 5.1), key_of(brighter, 5.0), key_of(stars(0, 41), 5.0)):
        assert kept.read("a", 0, 40, key) is None


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_as_good_as_absent(kept, tmp_path, damage):
    path = tmp_path / "ledger" / "stars-a-0-40.parquet"
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        if damage == "cut":
            del content[len(content) // 2 :]
        else:
            content[len(content) // 3] ^= 255
        path.write_bytes(content)
    assert kept.read("a", 0, 40, key_of(stars(0, 40), 5.0)) is None
