"""Detections where real images tempt one: `python -m benchmarks.real_masks DATA`, a folder of the images named below.

- Along the six spikes of the star of 20.4 mag in PRIMER-UDS (F115W and F444W, 40 mas), 15 to 130 px from it: sources
  in strips of 8 px along the spikes, against strips turned by 15 to 45 degrees, with the chance of so many or more.
- On the stamps of the giant arc in Abell S1063 (F115W, F150W, F200W; three images): the share of each bit of the mask,
  the sources on the arc's light and off it, and the longest chain of them.

Everything goes through the Python API, without a WCS, both recipes, and `diego2026` without masks for spikes and arcs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy
from astropy.io import fits
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from scipy.spatial import distance_matrix

import tilegc
from tilegc.in_memory import Detections
from tilegc.schema import Bit

__all__ = [
    "CUT",
    "SETTINGS",
    "STAR",
    "control_of",
    "excess",
    "in_strips",
    "on_arc",
    "orientation",
    "relative",
    "round_the_star",
    "stamps",
]

STAR = (330.7, 863.3)
"""Row and column of the mosaic's bright star, of 20.4 mag in F115W."""

CUT = (slice(150, 520), slice(640, 1000))
"""What is looked at round it."""

SETTINGS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "bare": ("diego2026", {"edge": "off", "extended": "off"}),
    "diego2026": ("diego2026", {"edge": "off", "spikes": "auto", "arcs": "auto"}),
    "calibrated": ("calibrated", {"edge": "off"}),
}

ARCS = "images/as1063_jwst_nircam_arcs_f115w_f150w_f200w.fits"


def round_the_star(data: Path) -> dict[str, Detections]:
    """Return the detections about the star by every setting."""
    bands = {}
    for band in ("F115W", "F444W"):
        path = f"images/uds_jwst_nircam_{band.lower()}_40mas"
        sci, wht = (fits.getdata(data / f"{path}_{kind}.fits.gz")[CUT] for kind in ("sci", "wht"))
        bands[band] = np.where(wht > 0, 10 * sci, np.nan).astype(np.float32)
    return {
        name: tilegc.detect_in(bands, scale=0.04, recipe=recipe, mask=masks)
        for name, (recipe, masks) in SETTINGS.items()
    }


def relative(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distance, pixels, and angle, degrees from x to y, of places of the cut about the star."""
    dy, dx = y + CUT[0].start - STAR[0], x + CUT[1].start - STAR[1]
    return np.hypot(dy, dx), np.degrees(np.arctan2(dy, dx))


def in_strips(
    radius: np.ndarray,
    angle: np.ndarray,
    turn: float,
    half_width: float = 4.0,
    low: float = 15.0,
    high: float = 130.0,
) -> np.ndarray:
    """Return which places lie in the six strips of a hexagon turned by an angle."""
    apart = (angle - turn + 30.0) % 60.0 - 30.0
    across = radius * np.sin(np.radians(apart))
    return (np.abs(across) <= half_width) & (radius >= low) & (radius < high)


def control_of(radius: np.ndarray, angle: np.ndarray, turn: float) -> np.ndarray:
    """Return the strips turned away from the spikes, where these are not."""
    turned = [in_strips(radius, angle, turn + by) for by in range(15, 46, 5)]
    return np.logical_or.reduce(turned) & ~in_strips(radius, angle, turn)


def orientation(light: np.ndarray) -> float:
    """Return the angle, modulo 60 degrees, of the six spikes: where the light from 20 to 60 px is highest."""
    radius, angle = relative(*np.indices(light.shape))
    turns = np.arange(0.0, 60.0, 1.0)
    light = np.minimum(light, 3.0)
    return float(
        turns[np.argmax([light[in_strips(radius, angle, turn, 1.5, 20, 60)].mean() for turn in turns])]
    )


def excess(found: Detections, chosen: np.ndarray, control: np.ndarray) -> tuple[int, float, float]:
    """Return counts in `chosen` pixels, what `control` pixels promise there, and the chance of so many or more."""
    good = found.mask == 0
    hit = np.zeros(good.shape, int)
    hit[found.catalogue["y_peak"], found.catalogue["x_peak"]] = 1
    count = int(hit[chosen & good].sum())
    expected = hit[control & good].sum() * (chosen & good).sum() / (control & good).sum()
    return count, float(expected), float(scipy.stats.poisson.sf(count - 1, expected))


def stamps(data: Path) -> dict[tuple[int, str], Detections]:
    """Return the detections on the three stamps of the arc by every setting."""
    found = {}
    with fits.open(data / ARCS) as hdus:
        scale = hdus["F200W_ARC1_SCI"].header["PIXSCALE"]
        unit = 1e15 * np.radians(scale / 3600) ** 2  # nJy per pixel of MJy/sr
        for number in (1, 2, 3):
            bands = {
                band: hdus[f"{band}_ARC{number}_SCI"].data * unit for band in ("F115W", "F150W", "F200W")
            }
            for name, (recipe, masks) in SETTINGS.items():
                found[number, name] = tilegc.detect_in(bands, scale=scale, recipe=recipe, mask=masks)
    return found


def on_arc(light: np.ndarray) -> np.ndarray:
    """Return where the light, smoothed by 2 px, lies 5 sigma above its median: the arc, and galaxies with it."""
    smooth = ndimage.gaussian_filter(np.nan_to_num(light), 2.0)
    spread = 1.4826 * np.median(np.abs(smooth - np.median(smooth)))
    high: np.ndarray = ndimage.binary_dilation(smooth > np.median(smooth) + 5 * spread, iterations=2)
    return high


def chain(y: np.ndarray, x: np.ndarray, reach: float = 12.0) -> int:
    """Return how many sources follow one another at distances of `reach` pixels or less."""
    if not len(y):
        return 0
    places = np.column_stack([y, x]).astype(float)
    _, group = connected_components(distance_matrix(places, places) <= reach)
    return int(np.bincount(group).max())


def main() -> None:
    """Print the counts along the spikes and on the arcs."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.real_masks", description=main.__doc__)
    options.add_argument(
        "data", type=Path, help="folder with images/uds_jwst_nircam_*.fits.gz and the arcs' stamps"
    )
    data = options.parse_args().data
    found = round_the_star(data)
    radius, angle = relative(*np.indices(found["bare"].light.shape))
    turn = orientation(found["bare"].light)
    strips, control = in_strips(radius, angle, turn), control_of(radius, angle, turn)
    far = (radius > 60) & (radius < 150)
    print(
        f"UDS star, spikes at {turn:.0f} + 60 n degrees: sources along them, expected of turned strips, chance;"
    )
    print("the same against the sky 60 to 150 px away; share of the strips that is masked")
    for name, one in found.items():
        counts = [excess(one, strips, other) for other in (control, far)]
        hidden = float((one.mask[strips] != 0).mean())
        print(f"{name:11s}", *(f"{n:3d} {e:5.1f} {p:.4f}  " for n, e, p in counts), f"{hidden:.2f}")
    print(
        "AS1063 arcs, per stamp: all masked, extended, arc, spike; sources, on the arc, longest chain within 12 px"
    )
    for (number, name), one in stamps(data).items():
        y, x = one.catalogue["y_peak"], one.catalogue["x_peak"]
        high = on_arc(one.light)
        parts = [(one.mask & bit != 0).mean() for bit in (255, Bit.EXTENDED, Bit.ARC, Bit.SPIKE)]
        print(
            f"{number} {name:11s}",
            *(f"{100 * part:5.1f} %" for part in parts),
            f"{len(y):4d} {int(high[y, x].sum()):3d} {chain(y, x):3d}",
        )


if __name__ == "__main__":
    main()
