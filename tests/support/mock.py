"""A mock cluster of a few thousand pixels in which every number of a run can be measured, and what a run wrote.

Pixels of half an arcsec: 96 of them are wide enough for the recipe's boxes, annuli and contamination.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from astropy.io import fits

from tilegc import running
from tilegc.config import load
from tilegc.geometry import Box
from tilegc.inputs import examine
from tilegc.phases.planned import Planned
from tilegc.pipeline import phases_until
from tilegc.report import phase as report_phase
from tilegc.run_folder import Run
from tilegc.schema import FILES

RA, DEC = 342.18322, -44.53091
SCALE = 0.5
"""arcsec a pixel."""
PIXAR_SR = (SCALE / 3600 * math.pi / 180) ** 2
NJY = 1e15 * PIXAR_SR
"""nJy a pixel of one MJy/sr."""
BANDS = ("F090W", "F150W")
SHAPES = {"a": (96, 88), "b": (80, 72)}
CENTRES = {"a": (47.3, 42.1), "b": (-35.7, 30.2)}
"""Pixel (y, x) of the cluster's centre: field b lies beside it."""

PRODUCTS = (
    FILES.catalogue,
    FILES.candidates,
    FILES.inpainted,
    FILES.relation,
    FILES.profile,
    FILES.catalogue_ecsv,
    FILES.catalogue_regions,
    FILES.catalogue_votable,
    FILES.catalogue_fits,
    FILES.gc,
    FILES.radial,
    FILES.shape,
    FILES.masses,
    FILES.contamination,
    FILES.audit,
    FILES.purity,
    FILES.pattern,
    FILES.masked,
    FILES.stars,
)
"""Files whose bytes are promised, besides the maps and the summary without its timing (algorithm.md, section 14)."""


def header(name: str, scale: float = SCALE) -> fits.Header:
    """Celestial WCS of a field, turned by 14 degrees."""
    angle, step = math.radians(14.0), scale / 3600
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "RADESYS": "ICRS",
        "CRVAL1": RA,
        "CRVAL2": DEC,
        "CRPIX1": CENTRES[name][1] + 1,
        "CRPIX2": CENTRES[name][0] + 1,
        "CD1_1": -step * math.cos(angle),
        "CD1_2": step * math.sin(angle),
        "CD2_1": step * math.sin(angle),
        "CD2_2": step * math.cos(angle),
    }
    return fits.Header(cards)


def pixels(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Two bands in nJy and their weights: sources that crowd in the middle, a star, a galaxy, missing parts."""
    draw = np.random.default_rng(ord(name[0]))
    shape, centre = SHAPES[name], CENTRES[name]
    y, x = np.indices(shape, dtype=float)
    sky = np.zeros(shape)
    count = 700 if name == "a" else 120
    radius = draw.uniform(0, 1, count) ** 1.3 * (70.0 if name == "a" else 120.0)
    angle = draw.uniform(0, 2 * math.pi, count)
    peak = 4.0 * draw.pareto(2.0, count).clip(0, 4) + 1.5
    for r, a, p in zip(radius, angle, peak, strict=True):
        row, column = centre[0] + r * math.sin(a), centre[1] + r * math.cos(a)
        sky += p * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 0.8**2))
    sky += 400.0 * np.exp(-((y - 20.0) ** 2 + (x - 60.0) ** 2) / (2 * 0.9**2))  # a star: bit 4
    sky += 25.0 * np.exp(-((y - 62.0) ** 2 + (x - 22.0) ** 2) / (2 * 4.0**2))  # a galaxy: bit 8
    bands = sky * np.array([0.7, 1.0])[:, None, None] + draw.normal(0, 0.25, (2, *shape))
    bands[:, :9, :8] = np.nan  # a notch that holds the square of 3 arcsec: bit 2 round it
    bands[0, 40:42, 50:53] = np.nan  # dead pixels: bit 1 only
    weights = np.full((2, *shape), 16.0)
    weights[1, -4:, 30:50] = 0.0
    return bands.astype(np.float32), weights.astype(np.float32)


def write_inputs(folder: Path, *, container: str = "i2d", **settings: object) -> Path:
    """Write FITS mosaics, kappa map, masks and run file; return the run file.

    `container`: i2d (SCI, ERR, WHT in MJy/sr), rice (the same, tile-compressed), grizli or grizli-gz
    (science and weight apart, 10 nJy, plain or gzipped).
    """
    folder.mkdir(parents=True, exist_ok=True)
    fields = [_write_field(folder, name, container) for name in SHAPES]
    fields[0]["masks"] = ["arc.reg"]
    fields[1]["masks"] = ["patch.fits"]
    (folder / "arc.reg").write_text(f'fk5\ncircle({RA},{DEC + 9 / 3600},2.5")\n')
    patch = np.zeros(SHAPES["b"], np.uint8)
    patch[50:56, 40:49] = 1
    fits.PrimaryHDU(patch, header("b")).writeto(folder / "patch.fits", overwrite=True)
    write_kappa(folder / "kappa.fits")
    content = {**SETTINGS, "fields": fields, **settings}
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


SETTINGS: dict[str, Any] = {
    "recipe": "diego2026",
    "cluster": {"name": "mock", "redshift": 0.348, "ra": RA, "dec": DEC},
    "fields": [],
    # Sixteen more fits for an assumed family would be most of a small run's time.
    "convergence": {"path": "kappa.fits", "source_redshift": 3.0, "family_rms": 0},
    "tiles": {"size": 1000},
    "mask": {"edge": 1.5},
    "detect": {"threshold": {"sigma": 2.5}, "keep": 1.5},
    "inpaint": {"realisations": 3, "seed": 7},
    "comparison": {"pixel": 1.0},
    # The mock's light lies where its sources lie: a law with a term for both hardly converges, and its 200 resamples
    # would take half of every run. CALIBRATED and the tests of the law have the term.
    "relation": {"galaxy_light": "off"},
    "view": "off",  # it promises no bytes, and has tests of its own
}

CALIBRATED: dict[str, Any] = {
    "recipe": "calibrated",
    # 20 artificial stars per arcsec^2, the default, would be 42,000 of them, and most of a small run's time.
    "completeness": {"stars": 2000},
    "relation": {"galaxy_light": "auto"},
}
"""What differs from SETTINGS in a run of the other recipe."""


def write_kappa(path: Path, **cards: object) -> None:
    """Write a kappa map of 42 x 42 pixels of 3.5 arcsec round the cluster."""
    y, x = np.indices((42, 42))
    kappa = 1.2 * (1 + np.hypot(y - 20.5, x - 20.5) * 3.5 / 6) ** -0.9
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": RA,
        "CRVAL2": DEC,
        "CRPIX1": 21.5,
        "CRPIX2": 21.5,
        "CDELT1": -3.5 / 3600,
        "CDELT2": 3.5 / 3600,
        "CUNIT1": "deg",
        "CUNIT2": "deg",
        "RADESYS": "ICRS",
        **cards,
    }
    fits.PrimaryHDU(kappa.astype(np.float32), fits.Header(cards)).writeto(path, overwrite=True)


def _write_field(folder: Path, name: str, container: str) -> dict[str, Any]:
    bands, weights = pixels(name)
    paths: dict[str, Any] = {}
    for band, sci, wht in zip(BANDS, bands, weights, strict=True):
        stem = f"{name}_{band.lower()}"
        if container in {"i2d", "rice"}:
            write_i2d(folder / f"{stem}_i2d.fits", name, sci, wht, rice=container == "rice")
            paths[band] = f"{stem}_i2d.fits"
        else:
            end = ".fits.gz" if container == "grizli-gz" else ".fits"
            unit = fits.Header({"BUNIT": "10.0*nanoJansky", "PIXAR_SR": 2.1e-14})
            sci_path, wht_path = f"{stem}_drc_sci{end}", f"{stem}_drc_wht{end}"
            fits.PrimaryHDU(sci / 10, header(name) + unit).writeto(folder / sci_path, overwrite=True)
            fits.PrimaryHDU(wht * 100, header(name)).writeto(folder / wht_path, overwrite=True)
            paths[band] = {"sci": sci_path, "wht": wht_path}
    return {"name": name, "bands": paths}


def write_i2d(path: Path, name: str, sci: np.ndarray, wht: np.ndarray, *, rice: bool = False) -> None:
    """Write one band as the JWST pipeline does: SCI, ERR, WHT in MJy/sr."""
    cards = header(name) + fits.Header({"BUNIT": "MJy/sr", "PIXAR_SR": PIXAR_SR})
    planes = (("SCI", sci / np.float32(NJY)), ("ERR", np.full_like(sci, 0.25 / NJY)), ("WHT", wht))
    options = {"compression_type": "GZIP_2", "quantize_level": 0.0}
    images = [
        fits.CompImageHDU(values, cards, name=label, **options)
        if rice
        else fits.ImageHDU(values, cards, name=label)
        for label, values in planes
    ]
    fits.HDUList([fits.PrimaryHDU(), *images]).writeto(path, overwrite=True)


def cut_up(path: Path, boxes: Sequence[Box], *, ragged: bool = False) -> list[str]:
    """Write parts of a mosaic of several extensions as mosaics of their own; return the names of the new files.

    Parameters
    ----------
    path
        The file; the parts stand beside it.
    boxes
        Pixels of the parts.
    ragged
        Leave out pixels with data of the first part that are in another part as well, in diagonal stripes.
    """
    names = []
    for number, box in enumerate(boxes):
        y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1]
        elsewhere = np.zeros(box.shape, bool)
        for other in boxes[1:] if ragged and not number else ():
            elsewhere |= (other.y0 <= y) & (y < other.y1) & (other.x0 <= x) & (x < other.x1)
        with fits.open(path) as hdus:
            has_data = np.isfinite(hdus["SCI"].data) & (hdus["WHT"].data > 0)
            gone = elsewhere & ((y + x) // 7 % 2 == 0) & has_data[box.slices]
            for hdu in hdus[1:]:
                hdu.data = hdu.data[box.slices].copy()
                hdu.data[gone] = np.nan if hdu.name == "SCI" else 0
                hdu.header["CRPIX1"] -= box.x0
                hdu.header["CRPIX2"] -= box.y0
            names.append(f"{path.stem}_{len(boxes)}{'r' if ragged else ''}_{number}.fits")
            hdus.writeto(path.with_name(names[-1]), overwrite=True)
    return names


CUTS = {
    "quarters": ((0, 0, 50, 41), (0, 41, 50, 88), (50, 0, 96, 41), (50, 41, 96, 88)),
    "strips": ((0, 0, 96, 40), (0, 23, 96, 66), (0, 51, 96, 88)),
    "patches": ((8, 10, 90, 80), (0, 0, 60, 88), (44, 0, 96, 60), (37, 45, 96, 88)),
}
"""Ways to cut up field a: edge to edge, overlapping, and overlapping with pixels left out of the first part."""


def cut_run_file(path: Path, way: str) -> Path:
    """Write a run file whose field a has every band in several mosaics, the bands in another order."""
    fields = yaml.safe_load(path.read_text())["fields"]
    boxes = [Box(*one) for one in CUTS[way]]
    for number, (band, file) in enumerate(fields[0]["bands"].items()):
        names = cut_up(path.with_name(file), boxes, ragged=way == "patches")
        fields[0]["bands"][band] = names if number == 0 else [names[0], *names[:0:-1]]
    return edited(path, f"{way}.yaml", {"fields": fields})


def edited(path: Path, to: str, changes: Mapping[str, Any]) -> Path:
    """Write a copy of a run file beside it with some settings changed ("tiles.size": 16); None removes."""
    content = yaml.safe_load(path.read_text())
    for dotted, value in changes.items():
        *above, key = dotted.split(".")
        section = content
        for part in above:
            section = section[int(part)] if isinstance(section, list) else section.setdefault(part, {})
        if isinstance(section, list):
            section[int(key) : int(key) + 1] = [] if value is None else [value]
        elif value is None:
            section.pop(key, None)
        else:
            section[key] = value
    copy = path.with_name(to)
    copy.write_text(yaml.safe_dump(content, sort_keys=False))
    return copy


def no_report(monkeypatch: Any) -> None:
    """Leave out figures and page, which promise no bytes and take most of a small run's time."""
    monkeypatch.setattr(report_phase, "write_report", lambda *_: None)


def both_recipes(folder: Path) -> dict[str, Run]:
    """Run the mock with each recipe in this process, without figures, the calibrated one with 300 artificial stars."""
    runs = {}
    with pytest.MonkeyPatch.context() as patch:
        no_report(patch)
        for recipe, settings in (("diego2026", {}), ("calibrated", {"completeness": {"stars": 300}})):
            run_file = write_inputs(folder / recipe, recipe=recipe, **settings)
            runs[recipe] = running.run(run_file, folder / f"{recipe}-run", workers=0)
    return runs


def logged_passes(run: Run | Path) -> list[str]:
    """Return the names of the passes of a run, in the order in which its log first has them."""
    folder = run.path if isinstance(run, Run) else run
    lines = re.findall(r"INFO +(.+): \d+ of \d+ units", (folder / FILES.log).read_text())
    return list(dict.fromkeys(lines))


def planned_passes(run_file: Path, until: str | None = None) -> list[str]:
    """Return the names of the passes that a plan says a run always has."""
    config = load(run_file)
    inputs = examine(config)
    planned = Planned(config=config, sources=inputs.sources, others=inputs.others)
    steps = (step for phase in phases_until(until) for step in phase.passes(planned))
    return [step.name for step in steps if not step.rarely]


def products(run: Run | Path) -> dict[str, bytes]:
    """Return the bytes of every product whose bytes are promised, by name (algorithm.md, section 14)."""
    folder = run.path if isinstance(run, Run) else run
    found = {name: (folder / name).read_bytes() for name in PRODUCTS}
    stars = (FILES.artificial, FILES.completeness)
    found |= {name: (folder / name).read_bytes() for name in stars if (folder / name).exists()}
    maps = sorted(
        (folder / FILES.maps).iterdir(), key=lambda path: path.name
    )  # of an object store: in any order
    found |= {f"{FILES.maps}/{path.name}": path.read_bytes() for path in maps}
    summary = json.loads((folder / FILES.summary).read_bytes())
    summary.pop("timing")
    found[FILES.summary] = json.dumps(summary, indent=2, allow_nan=False).encode()
    return found


def stored(run: Run | Path) -> dict[str, np.ndarray]:
    """Return the arrays of all stores but the ingested pixels, by store and name."""
    folder = run.path if isinstance(run, Run) else run
    found = {}
    for path in sorted((folder / FILES.store).iterdir()):
        with xr.open_zarr(path) as data:
            for name, array in data.variables.items():
                if name not in {"sci", "err", "wht"}:
                    found[f"{path.name}/{name}"] = np.asarray(array.values)
    return found


def assert_same(run: Run | Path, expected: Run | Path) -> None:
    """Hold every product and every array of a run to those of another one, byte by byte."""
    ours, theirs = products(run), products(expected)
    here, there = stored(run), stored(expected)
    odd = sorted((ours.keys() ^ theirs.keys()) | (here.keys() ^ there.keys()))
    assert not odd, f"only one of the two has {odd}"
    differ = [name for name in theirs if ours[name] != theirs[name]]
    differ += [name for name in there if not _same_array(here[name], there[name])]
    assert not differ, f"not the same bytes: {differ}"


def _same_array(ours: np.ndarray, theirs: np.ndarray) -> bool:
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    if theirs.dtype.kind not in "iuf":
        return bool((ours == theirs).all())
    return ours.tobytes() == theirs.tobytes()  # NaN equals NaN, -0.0 is not 0.0
