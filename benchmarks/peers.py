"""Peers: photutils' DAOStarFinder, sep and SExtractor, each as its authors would have it used.

Each gets the recipe's doubly filtered map (half of the recipe already), or the summed bands, whose background it takes
off itself, and a mask under which nothing is to be detected.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from tilegc.kernels.order import sigma

__all__ = ["CHOSEN", "DETECTORS", "Seen", "absent", "on_good", "scan"]

SEXTRACTOR = "source-extractor"

Places = np.ndarray
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """What every detector gets of one field."""

    light: np.ndarray
    """Summed bands, nJy per pixel, 0 without data."""
    filtered: np.ndarray
    """The recipe's double filter of it, 0 where there is none."""
    mask: np.ndarray
    """Not 0: nothing may be detected there."""
    relative: np.ndarray
    """Noise by the weight maps, in units of its median."""


def noise_of(values: np.ndarray, good: np.ndarray) -> float:
    """Return 1.4826 x MAD over the good pixels."""
    inside = values[good]
    return sigma(float(np.median(np.abs(inside - np.median(inside)))))


def on_good(places: Places, mask: np.ndarray) -> Places:
    """Leave out what was found under a mask."""
    if not len(places):
        return np.zeros((0, 2))
    row, column = np.clip(np.rint(places).astype(int), 0, np.array(mask.shape) - 1).T
    return places[mask[row, column] == 0]


# --- the detectors: settings to places (y, x) -----------------------------------------------------------------


def daofind(field: Seen, settings: Settings) -> Places:
    """Return what photutils' DAOStarFinder finds."""
    from photutils.detection import DAOStarFinder  # noqa: PLC0415  (an extra)

    values = getattr(field, settings["image"]) / field.relative
    limit = settings["threshold"] * noise_of(values, field.mask == 0)
    every = (-np.inf, np.inf)
    shape = {} if settings["shape"] else {"sharpness_range": every, "roundness_range": every}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # 3 px apart, as the recipe has it.
        found = DAOStarFinder(limit, settings["fwhm"], min_separation=3.0, **shape)(
            values, mask=field.mask != 0
        )
    if found is None:
        return np.zeros((0, 2))
    return np.column_stack([np.asarray(found[name], float) for name in ("y_centroid", "x_centroid")])


def by_sep(field: Seen, settings: Settings) -> Places:
    """Return what sep extracts, from the background-subtracted image."""
    import sep  # noqa: PLC0415  (an extra)

    values = np.ascontiguousarray(getattr(field, settings["image"]), np.float32)
    covered = field.mask != 0
    if settings["image"] == "light":
        values = values - sep.Background(values, mask=covered, bw=32, bh=32).back()
    sep.set_extract_pixstack(3_000_000)
    sep.set_sub_object_limit(8192)
    offset = np.arange(-2, 3)
    kernel = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * (settings["fwhm"] / 2.3548) ** 2))
    noise = field.relative * noise_of(values / field.relative, ~covered)
    found = sep.extract(
        values,
        settings["threshold"],
        err=noise.astype(np.float32),
        mask=covered,
        minarea=settings["area"],
        filter_kernel=kernel,
        deblend_nthresh=64,
        deblend_cont=1e-4,
    )
    return np.column_stack([found["y"], found["x"]])


def by_sextractor(field: Seen, settings: Settings) -> Places:
    """Return what SExtractor finds."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        fits.writeto(folder / "image.fits", np.asarray(getattr(field, settings["image"]), np.float32))
        fits.writeto(
            folder / "weight.fits", np.where(field.mask == 0, field.relative**-2.0, 0.0).astype(np.float32)
        )
        (folder / "out.param").write_text("X_IMAGE\nY_IMAGE\n")
        offset = np.arange(-2, 3)
        kernel = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * (settings["fwhm"] / 2.3548) ** 2))
        rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in kernel)
        (folder / "point.conv").write_text(f"CONV NORM\n{rows}\n")
        (folder / "none.sex").write_text("")
        options = {
            "CATALOG_NAME": "out.cat",
            "CATALOG_TYPE": "ASCII",
            "PARAMETERS_NAME": "out.param",
            "FILTER": "Y",
            "FILTER_NAME": "point.conv",
            "WEIGHT_TYPE": "MAP_WEIGHT",
            "WEIGHT_IMAGE": "weight.fits",
            "WEIGHT_THRESH": "1e-6",
            "DETECT_THRESH": settings["threshold"],
            "ANALYSIS_THRESH": settings["threshold"],
            "DETECT_MINAREA": settings["area"],
            "DEBLEND_NTHRESH": 64,
            "DEBLEND_MINCONT": 1e-4,
            "CLEAN": "N",
            "BACK_SIZE": 32,
            "BACK_FILTERSIZE": 3,
            "BACK_TYPE": "AUTO" if settings["image"] == "light" else "MANUAL",
            "BACK_VALUE": 0.0,
            "MEMORY_OBJSTACK": 30_000,
            "MEMORY_PIXSTACK": 3_000_000,
            "VERBOSE_TYPE": "QUIET",
            "PHOT_APERTURES": 5,
        }
        line = [SEXTRACTOR, "image.fits", "-c", "none.sex"]
        line += [text for key, value in options.items() for text in (f"-{key}", str(value))]
        subprocess.run(line, cwd=folder, check=True, capture_output=True)
        found = np.loadtxt(folder / "out.cat", ndmin=2)
    return found[:, ::-1] - 1 if found.size else np.zeros((0, 2))


def settings_of(**choices: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    """Yield every combination."""
    for values in product(*choices.values()):
        yield dict(zip(choices, values, strict=True))


def _all(images: dict[str, tuple[float, ...]], **choices: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return every combination, with thresholds by image."""
    return [
        one
        for image, thresholds in images.items()
        for one in settings_of(image=(image,), threshold=thresholds, **choices)
    ]


DETECTORS: Mapping[str, Callable[[Seen, Settings], Places]] = {
    "DAOStarFinder": daofind,
    "sep": by_sep,
    "SExtractor": by_sextractor,
}


def absent(name: str) -> str | None:
    """Return why a detector cannot be used here; None where it can."""
    if name == "SExtractor":
        return None if shutil.which(SEXTRACTOR) else f"no {SEXTRACTOR} on the PATH"
    package = {"DAOStarFinder": "photutils", "sep": "sep"}[name]
    return None if importlib.util.find_spec(package) else f"{package} is not installed (extra bench)"


def scan(name: str) -> list[dict[str, Any]]:
    """Return the settings of a detector that are worth trying."""
    if name == "DAOStarFinder":
        return [
            *_all({"filtered": (3, 4, 5, 6, 8)}, fwhm=(1.5, 2.0, 2.5), shape=(True, False)),
            *_all({"light": (2, 3, 4, 6)}, fwhm=(2.0,), shape=(True,)),
        ]
    return _all({"filtered": (1.5, 2, 3, 4, 5), "light": (1, 1.5, 2, 3, 4)}, fwhm=(1.5, 2.0), area=(1, 3, 5))


CHOSEN: Mapping[tuple[str, str], list[dict[str, Any]]] = {
    ("DAOStarFinder", "edges"): [
        {"image": "filtered", "threshold": 8, "fwhm": 1.5, "shape": True},
        {"image": "light", "threshold": 3, "fwhm": 2.0, "shape": True},
    ],
    ("DAOStarFinder", "our masks"): [{"image": "filtered", "threshold": 8, "fwhm": 1.5, "shape": False}],
    ("sep", "edges"): [
        {"image": "filtered", "threshold": 2, "fwhm": 2.0, "area": 3},
        {"image": "light", "threshold": 3, "fwhm": 2.0, "area": 1},
    ],
    ("sep", "our masks"): [
        {"image": "filtered", "threshold": 3, "fwhm": 1.5, "area": 1},
        {"image": "light", "threshold": 4, "fwhm": 2.0, "area": 1},
    ],
    ("SExtractor", "edges"): [
        {"image": "filtered", "threshold": 3, "fwhm": 1.5, "area": 3},
        {"image": "light", "threshold": 3, "fwhm": 2.0, "area": 5},
    ],
    ("SExtractor", "our masks"): [
        {"image": "filtered", "threshold": 4, "fwhm": 1.5, "area": 1},
        {"image": "light", "threshold": 4, "fwhm": 2.0, "area": 3},
    ],
}
"""Settings of the largest product of purity and mean completeness, both fields together, of all in `scan`, on the
mock `small`, seed 1; the truth chose them."""
