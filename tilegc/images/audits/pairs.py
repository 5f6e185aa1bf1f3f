"""Sources that two bands of the sampled cells have in common."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import scipy
from numpy.typing import NDArray

from tilegc.images.audits.blank_sky import box_sum
from tilegc.images.audits.cells import Sample
from tilegc.io.fits import FieldSource

__all__ = ["LEAST_PAIRS", "common", "common_rows", "of_band", "richest_band"]

SEARCH: Final = 8.0
"""Pixels by which bands may be apart and still be matched."""

LEAST_PAIRS: Final = 12


def of_band(sample: Sample, number: int) -> dict[str, NDArray[Any]]:
    """Return the sources of one band."""
    here = sample.sources["band"] == number
    return {name: column[here] for name, column in sample.sources.items()}


def common(
    first: dict[str, NDArray[Any]], second: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return offsets (n, 2) and flux ratios, second to first, of the sources that two bands have in common."""
    matched = common_rows(first, second)
    if matched is None:
        return None
    i, j, offset = matched
    return offset, second["flux"][j] / first["flux"][i]


def common_rows(
    first: dict[str, NDArray[Any]], second: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]] | None:
    """Return the rows of common sources in both tables and their offsets (n, 2); None where there are too few.

    The commonest offset is looked for first: a shift of many pixels is found too, and chance pairs are left out.
    """
    if min(len(first["y"]), len(second["y"])) < LEAST_PAIRS:
        return None
    # Cells are far apart: a third coordinate keeps sources of different cells from being paired.
    here, there = (
        np.column_stack([table["y"], table["x"], 1e3 * table["cell"]]) for table in (first, second)
    )
    near = scipy.spatial.cKDTree(here).query_ball_point(there, SEARCH)
    rows = [(i, j) for j, found in enumerate(near) for i in sorted(found)]
    if len(rows) < LEAST_PAIRS:
        return None
    i, j = np.array(rows).T
    offset = (there[j] - here[i])[:, :2]
    reach = int(SEARCH)
    counts = np.zeros((2 * reach + 3, 2 * reach + 3))
    np.add.at(counts, tuple((np.rint(offset).astype(int) + reach + 1).T), 1)
    summed = box_sum(counts, 3)
    mode = np.array(np.unravel_index(int(np.argmax(np.rint(summed))), summed.shape)) - (reach + 1)
    close = (np.abs(offset - mode) <= 1.5).all(axis=1)
    if close.sum() < LEAST_PAIRS:
        return None
    close = (np.abs(offset - np.median(offset[close], axis=0)) <= 1.0).all(axis=1)
    return i[close], j[close], offset[close]


def richest_band(source: FieldSource, sample: Sample) -> int:
    """Return the number of the band with most sources: the one that the others are matched with."""
    counts = [int((sample.sources["band"] == number).sum()) for number in range(len(source.bands))]
    return int(np.argmax(counts)) if counts else 0
