"""Kernels on one image in memory, one thread each."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.measure import Case, in_turns
from tilegc.kernels import order
from tilegc.kernels.peaks import classify, settle
from tilegc.kernels.smoothing import FWHM_PER_SIGMA, difference, gaussian_taps

STAGES = ((0.5, 5.0), (1.0, 3.0))


def sky(size: int, bands: int = 1, seed: int = 1) -> np.ndarray:
    """Return noise with a point source every 400 pixels, float32 (band, y, x)."""
    draw = np.random.default_rng(seed)
    points = np.zeros((size, size), np.float32)
    n = size * size // 400
    points[draw.integers(0, size, n), draw.integers(0, size, n)] = draw.pareto(1.5, n) * 20
    spread = gaussian_filter(points, 0.9)
    return np.stack([spread + draw.normal(0, 0.4, (size, size)).astype(np.float32) for _ in range(bands)])


def double_filter(size: int, runs: int, *, gaps: bool) -> Case:
    """The recipe's two differences of Gaussians; with gaps, both peers need a second image of what is there."""
    image = sky(size)[0]
    valid = np.ones(image.shape, bool)
    if gaps:
        valid[:: size // 16, :] = False
    pairs = [(gaussian_taps(narrow), gaussian_taps(wide)) for narrow, wide in STAGES]

    def ours() -> np.ndarray:
        first = difference(image, valid, *pairs[0])
        return difference(first, valid, *pairs[1])

    def by(blur) -> np.ndarray:
        there = valid.astype(np.float32)
        now = image
        for widths in STAGES:
            narrow, wide = (
                blur(np.where(valid, now, np.float32(0)) if gaps else now, fwhm / FWHM_PER_SIGMA)
                / (blur(there, fwhm / FWHM_PER_SIGMA) if gaps else np.float32(1))
                for fwhm in widths
            )
            now = narrow - wide
        return now

    contestants = {
        "tilegc": ours,
        "scipy.ndimage": lambda: by(gaussian_filter),
    }
    try:
        import cv2  # noqa: PLC0415  (an extra)
    except ImportError:
        remark = "OpenCV is not installed"
    else:
        cv2.setNumThreads(1)
        contestants["OpenCV"] = lambda: by(
            lambda values, sigma: cv2.GaussianBlur(values, (2 * int(np.ceil(4 * sigma)) + 1,) * 2, sigma)
        )
        remark = "peers normalise by hand" if gaps else "the peers do not normalise at the border"
    return Case(f"double filter{', gaps' if gaps else ''}", image.size, in_turns(contestants, runs), remark)


def peaks(size: int, runs: int, sigmas: float = 2.5) -> Case:
    """Peaks of a detection map above so many sigma, 3 px apart, as a table."""
    import sep  # noqa: PLC0415  (an extra)
    from photutils.detection import find_peaks  # noqa: PLC0415  (an extra)

    image = sky(size)[0]
    everywhere = np.ones(image.shape, bool)
    taps = [gaussian_taps(width) for widths in STAGES for width in widths]
    values = difference(difference(image, everywhere, *taps[:2]), everywhere, *taps[2:])
    limit = sigmas * 1.4826 * float(np.median(np.abs(values - np.median(values))))
    whole = (slice(0, size), slice(0, size))
    rows, columns = np.indices((7, 7)) - 3
    disc = rows**2 + columns**2 <= 9

    def ours() -> int:
        found = classify(values, everywhere, limit, 3.0, (False,) * 4, whole)
        return int(settle(found.y, found.x, found.value, found.decided, 3.0).sum())

    def theirs() -> int:
        found = find_peaks(values, limit, footprint=disc)
        return 0 if found is None else len(found)

    def extracted() -> int:
        return len(sep.extract(values, limit, minarea=1, filter_kernel=None, deblend_cont=1.0))

    counted = {
        "peaks, greedy (tilegc)": ours(),
        "local maxima (photutils)": theirs(),
        "objects (sep)": extracted(),
    }
    remark = f"{sigmas:g} sigma; greedy also keeps what a blanked pixel would hide"
    contestants = {"tilegc": ours, "photutils": theirs, "sep": extracted}
    return Case(f"peaks, {sigmas:g} sigma", image.size, in_turns(contestants, runs), remark, counted)


def noise(size: int, runs: int) -> Case:
    """1.4826 x MAD, exact: from counts that add up over tiles, against the whole image sorted."""
    values = sky(size)[0]
    good = np.ones(values.shape, bool)

    def ours() -> float:
        coarse = order.histogram(values, good)
        prefixes = order.mad_prefixes(coarse)
        assert prefixes is not None
        fine = order.refine(values, good, prefixes)
        middle = order.median_from(coarse, prefixes, fine)
        return order.sigma(float(order.mad_from(coarse, prefixes, fine, middle)))

    def theirs() -> float:
        return order.sigma(float(np.median(np.abs(values - np.median(values)))))

    if ours() != theirs():
        raise AssertionError("the two are not equal to the bit")
    seconds = in_turns({"tilegc": ours, "numpy.median": theirs}, runs)
    return Case("exact sigma", values.size, seconds, "the same number, to the bit")
