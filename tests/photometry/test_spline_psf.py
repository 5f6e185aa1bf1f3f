"""Effective PSFs as splines against Gaussians integrated over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from tilegc.kernels.psf_model import model
from tilegc.photometry.spline_psf import from_image, from_psf, stamp_with_slopes

SIGMA = 0.9  # pixels of the mosaic
PLACES = [(0.0, 0.0), (0.31, -0.44), (-0.5, 0.5), (0.499, 0.2)]


def integrated(dy: float, dx: float, radius: int) -> np.ndarray:
    """A Gaussian about (dy, dx), integrated over pixels."""
    offset = np.arange(-radius, radius + 1)

    def along(shift: float) -> np.ndarray:
        low, high = ((offset - shift + edge) / SIGMA / np.sqrt(2) for edge in (-0.5, 0.5))
        return 0.5 * (erf(high) - erf(low))

    return np.outer(along(dy), along(dx))


def drawn(step: float, centre: tuple[float, float], shape: tuple[int, int], pixel: float = 0.0) -> np.ndarray:
    """The same Gaussian on finer pixels; `pixel`: smeared by a square of this side, pixels of the mosaic."""
    y, x = (np.arange(n) - c for n, c in zip(shape, centre, strict=True))
    if not pixel:
        lines = [np.exp(-0.5 * (line / step / SIGMA) ** 2) for line in (y, x)]
    else:
        lines = [
            erf((line / step + pixel / 2) / SIGMA / np.sqrt(2))
            - erf((line / step - pixel / 2) / SIGMA / np.sqrt(2))
            for line in (y, x)
        ]
    image = np.outer(*lines)
    return image / image.sum()


@pytest.mark.parametrize(("shape", "centre"), [((201, 201), (99.3, 101.8)), ((200, 190), (99.5, 94.1))])
def test_an_optical_psf_is_averaged_over_the_pixel(shape, centre):
    found = from_image(drawn(4.13, centre, shape), None, 4.13, 10, average=True)
    for place in PLACES:
        np.testing.assert_allclose(found.image(*place), integrated(*place, 10), atol=2e-5)


def test_an_effective_psf_is_sampled():
    found = from_image(drawn(2.0, (60.2, 59.9), (121, 121), pixel=1.0), None, 2.0, 10, average=False)
    for place in PLACES:
        np.testing.assert_allclose(found.image(*place), integrated(*place, 10), atol=3e-4)


def test_a_psf_of_whole_pixels_is_itself_at_the_pixels_centre():
    psf = model("F200W", 0.03, 40)
    found = from_psf(psf, 10, share=0.8)
    np.testing.assert_allclose(found.image(), 0.8 * psf.image[30:51, 30:51], atol=1e-9)


def test_slopes_are_the_derivatives_by_the_points_position():
    found = from_psf(model("F150W", 0.03, 40), 10)
    plain, along_y, along_x = (np.empty((21, 21)) for _ in range(3))
    stamp_with_slopes(found.table, 0.2, -0.3, plain, along_y, along_x)
    h = 1e-5
    np.testing.assert_array_equal(plain, found.image(0.2, -0.3))
    np.testing.assert_allclose(
        along_y, (found.image(0.2 + h, -0.3) - found.image(0.2 - h, -0.3)) / 2 / h, atol=1e-9
    )
    np.testing.assert_allclose(
        along_x, (found.image(0.2, -0.3 + h) - found.image(0.2, -0.3 - h)) / 2 / h, atol=1e-9
    )


def test_a_smaller_stamp_is_the_middle_of_a_larger_one():
    found = from_psf(model("F150W", 0.03, 40), 10)
    small, slope = np.empty((9, 9)), np.empty((9, 9))
    stamp_with_slopes(found.table, -0.41, 0.17, small, slope, slope)
    np.testing.assert_array_equal(small, found.image(-0.41, 0.17)[6:15, 6:15])


def test_the_share_within_a_circle_is_that_of_the_gaussian():
    found = from_image(drawn(4.0, (120, 120), (241, 241)), None, 4.0, 10, average=True)
    for radius in (2.0, 3.0, 5.0):
        # Collecting light in a pixel and spreading it over that pixel each widen the Gaussian by 1/12.
        assert found.share(radius) == pytest.approx(
            1 - np.exp(-0.5 * radius**2 / (SIGMA**2 + 1 / 6)), abs=6e-3
        )
