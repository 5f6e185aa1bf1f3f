"""Where and in which light a run observed: footprint and wavelengths, as ObsCore has them.

ObsCore: IVOA Recommendation 1.1 (2017). `s_region` is in the STC-S subset of TAP and DALI.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from tilegc.run_folder import Run
from tilegc.sky import header_text, pixel_to_world

__all__ = ["BANDPASSES", "footprint", "wavelengths"]

BANDPASSES: Final = {
    "F070W": (0.624, 0.781),
    "F090W": (0.795, 1.005),
    "F115W": (1.013, 1.282),
    "F140M": (1.331, 1.479),
    "F150W": (1.331, 1.668),
    "F162M": (1.542, 1.713),
    "F182M": (1.722, 1.968),
    "F200W": (1.755, 2.227),
    "F210M": (1.992, 2.201),
    "F250M": (2.412, 2.595),
    "F277W": (2.423, 3.132),
    "F300M": (2.831, 3.157),
    "F322W2": (2.432, 4.013),
    "F335M": (3.177, 3.537),
    "F356W": (3.135, 3.981),
    "F360M": (3.426, 3.814),
    "F410M": (3.866, 4.302),
    "F430M": (4.167, 4.398),
    "F444W": (3.881, 4.982),
    "F460M": (4.515, 4.747),
    "F480M": (4.662, 4.973),
}
"""Half-power wavelengths of NIRCam's filters in micron, rounded (JWST User Documentation, NIRCam Filters)."""


def footprint(run: Run) -> str:
    """Return the fields of a run as polygons on the sky: POLYGON ICRS, or a UNION of them."""
    polygons = []
    for name in run.fields:
        rows, columns = run.summary["fields"][name]["shape"]
        y = np.array([-0.5, -0.5, rows - 0.5, rows - 0.5])
        x = np.array([-0.5, columns - 0.5, columns - 0.5, -0.5])
        ra, dec = pixel_to_world(header_text(run.wcs(name)), y, x)
        corners = list(zip(ra.tolist(), dec.tolist(), strict=True))
        if _clockwise(corners):
            corners.reverse()
        polygons.append(" ".join(f"{a % 360.0:.7f} {d:.7f}" for a, d in corners))
    if len(polygons) == 1:
        return f"POLYGON ICRS {polygons[0]}"
    return f"UNION ICRS ({' '.join(f'POLYGON {one}' for one in polygons)})"


def wavelengths(bands: Iterable[str]) -> tuple[float, float]:
    """Return the shortest and the longest wavelength of some bands, m; NaN if one is not known."""
    limits = [BANDPASSES.get(band.upper()) for band in bands]
    known = [one for one in limits if one is not None]
    if not known or len(known) < len(limits):
        return math.nan, math.nan
    return min(low for low, _ in known) * 1e-6, max(high for _, high in known) * 1e-6


def _clockwise(corners: list[tuple[float, float]]) -> bool:
    """Return whether a small polygon runs clockwise in the plane of right ascension and declination.

    DALI asks for the opposite, and leaves a clockwise one to be read as its complement.
    """
    ra0, dec0 = corners[0]
    east = [(ra - ra0 + 180.0) % 360.0 - 180.0 for ra, _ in corners]
    north = [dec - dec0 for _, dec in corners]
    following = zip(east, north, [*east[1:], east[0]], [*north[1:], north[0]], strict=True)
    return sum(e * n2 - e2 * n for e, n, e2, n2 in following) < 0
