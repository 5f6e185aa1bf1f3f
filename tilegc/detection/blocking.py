"""How much sky a source takes from the peaks of noise (algorithm.md, section 6.3).

A recorded peak blanks the pixels within the exclusion radius. The matched filter does more: about a source it makes a
ring of negative values, in which a peak of noise loses that much height. Peaks above v are exp(v d) times rarer
where the map lies d below zero, so that a source blocks some 60 to 200 px, and not the 13 that are blanked.
"""

from __future__ import annotations

import numpy as np

from tilegc.detection.noise.peak_counts import SLICES

__all__ = ["blocked_area", "blocking"]

BRIGHTEST = 60.0
"""Signal-to-noise above which a source blocks no more: its rings are then masked, or left out of the counts."""

STEP = SLICES[1] - SLICES[0]


def blocked_area(response: np.ndarray, disc: int, source: float, height: float) -> float:
    """Return the area, pixels, in which a source leaves no room for peaks of noise, as their share that is lost.

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
    lost = np.where(core, 1.0, 1.0 - np.exp(height * source * np.minimum(response, 0.0)))
    return max(float(lost.sum()), float(disc))


def blocking(response: np.ndarray, disc: int, snr: np.ndarray) -> np.ndarray:
    """Return the area that a source of each slice takes from noise of each slice, pixels, float64 (noise, source).

    Parameters
    ----------
    response, disc
        As for `blocked_area`.
    snr : (n,) float
        Of the field's peaks: those in the last, open slice are averaged.
    """
    brightest = np.minimum(snr[snr >= SLICES[-1]].astype(np.float64), BRIGHTEST)
    middles = np.array(SLICES[:-1]) + STEP / 2
    # The area grows slowly with the brightness: a few classes of bright sources stand for all.
    typical = np.quantile(brightest, (0.1, 0.3, 0.5, 0.7, 0.9)) if brightest.size else np.array([SLICES[-1]])
    area = np.empty((len(SLICES), len(SLICES)))
    for k, low in enumerate(SLICES):
        height = low + STEP / 2
        area[k, :-1] = [blocked_area(response, disc, source, height) for source in middles.tolist()]
        area[k, -1] = np.mean([blocked_area(response, disc, source, height) for source in typical.tolist()])
    return area
