"""How much sky sources take from the peaks of noise (algorithm.md, section 6.3).

A recorded peak blanks the pixels within the exclusion radius. The matched filter does more: about a source it makes a
ring of negative values, in which a peak of noise loses that much height. Peaks above v are exp(v d) times rarer where
the map lies d below zero, so that a source blocks 50 to 200 px, and not the 13 that are blanked. In the flipped map
the same rings are positive, and noise peaks are more frequent in them. Where null peaks are counted there are no
sources above 4 sigma, but fainter ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilegc.detection.noise.peak_counts import SLICES

__all__ = ["Blocking", "blocked_area", "blocking"]

BRIGHTEST = 60.0
"""Signal-to-noise above which a source blocks no more: its rings are then masked, or left out of the counts."""

UNSEEN = 4.0
"""Signal-to-noise of sources below which their rings are among the pixels where null peaks are counted."""

STEP = SLICES[1] - SLICES[0]


@dataclass(frozen=True)
class Blocking:
    """What a source of each slice does to peaks of noise of each slice, float64 (noise, source), pixels."""

    taken: np.ndarray
    """Area that it takes from them in the detection map."""
    added: np.ndarray
    """Area by which it makes more of them in the flipped map; 0 for sources from `UNSEEN` on."""


def blocked_area(response: np.ndarray, disc: int, source: float, height: float) -> tuple[float, float]:
    """Return the area that a source takes from peaks of noise, and that it adds in the flipped map, pixels.

    Parameters
    ----------
    response : (n, n) float64
        Of the detection map to a point, 1 in the middle.
    disc : int
        Pixels that a recorded peak blanks.
    source, height : float
        Signal-to-noise of the source and of the noise.
    """
    middle = response.shape[0] // 2
    y, x = np.indices(response.shape) - middle
    distance = np.hypot(y, x)
    # The middle of the source, to where its ring begins: a peak of noise on its flank moves the peak of the source.
    core = distance < distance[response <= 0].min(initial=np.inf)
    ring = height * source * np.minimum(response, 0.0)
    lost = np.where(core, 1.0, 1.0 - np.exp(ring))
    more = np.where(core, -1.0, np.exp(-ring) - 1.0)
    return max(float(lost.sum()), float(disc)), float(more.sum())


def blocking(response: np.ndarray, disc: int, snr: np.ndarray) -> Blocking:
    """Return what sources of each slice do to peaks of noise of each slice.

    Parameters
    ----------
    response, disc
        As for `blocked_area`.
    snr : (n,) float
        Of the field's peaks: those in the last, open slice are averaged.
    """
    brightest = np.minimum(snr[snr >= SLICES[-1]].astype(np.float64), BRIGHTEST)
    middles = (np.array(SLICES[:-1]) + STEP / 2).tolist()
    # The area grows slowly with the brightness: a few classes of bright sources stand for all.
    typical = np.quantile(brightest, (0.1, 0.3, 0.5, 0.7, 0.9)) if brightest.size else np.array([SLICES[-1]])
    taken, added = np.zeros((2, len(SLICES), len(SLICES)))
    for k, low in enumerate(SLICES):
        height = low + STEP / 2
        for j, source in enumerate(middles):
            taken[k, j], more = blocked_area(response, disc, source, height)
            if source < UNSEEN:
                added[k, j] = more
        taken[k, -1] = np.mean(
            [blocked_area(response, disc, source, height)[0] for source in typical.tolist()]
        )
    return Blocking(taken, added)
