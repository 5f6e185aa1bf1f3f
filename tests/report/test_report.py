"""The report of runs that never ran: synthetic products with the columns of the schema."""

from __future__ import annotations

import base64
import io
import itertools
import math
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy import units
from astropy.table import QTable
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tilegc.config import RunConfig, resolve
from tilegc.geometry import Box
from tilegc.report import arithmetic, comparison, maps, numbers, reading, style, write_report
from tilegc.report import relation as report_relation
from tilegc.report.embedding import data_url
from tilegc.report.places import place
from tilegc.report.reading import Mosaic, block_means, census
from tilegc.schema import (
    ARRAYS,
    ASSUMPTIONS,
    CANDIDATES,
    CONTAMINATION,
    INPAINTED,
    MASKED,
    MASSES,
    PATTERN,
    PROFILE,
    PURITY,
    RADIAL,
    RANKING,
    RELATION,
    SENSITIVITY,
    SHAPE,
    SKY_GRID,
    Bit,
)
from tilegc.sky import SkyGrid, header_text

RA, DEC, SCALE, CELL = 342.18, -44.53, 0.1, 0.3
KPC = 4.921


@dataclass(frozen=True)
class FakeRun:
    """A stand-in for the result of `tilegc.open_run`, held in memory."""

    path: Path
    config: RunConfig
    summary: dict
    fields: tuple[str, ...]
    stores: dict[str, xr.Dataset]
    grid: xr.Dataset
    frames: dict[str, WCS]
    catalogue: QTable
    candidates: QTable
    inpainted: QTable
    relation: QTable
    profile: QTable
    purity: QTable
    pattern: QTable
    radial: QTable
    shape: QTable
    masses: QTable
    contamination: QTable
    masked: QTable
    ranking: QTable
    sensitivity: QTable
    assumptions: QTable

    def field(self, name: str) -> xr.Dataset:
        return self.stores[name]

    def window(self, name: str, array: str, box: Box) -> np.ndarray:
        return self.stores[name][array].to_numpy()[box.slices]

    def sky(self) -> xr.Dataset:
        return self.grid

    def wcs(self, name: str) -> WCS:
        return self.frames[name]


BOXES = {"amplitude": 0.4123, "amplitude_err": 0.0111, "index": 0.6931, "index_err": 0.0214}
LIKELIHOOD = {
    "c": 1.3812,
    "c_err": 0.0433,
    "floor": 0.3512,
    "floor_err": 0.0412,
    "a": 3.5,
    "index": 0.7240,
    "index_err": 0.0227,
    "amplitude": 0.4037,
    "amplitude_err": 0.0121,
    "recovery": 0.9034,
    "covariance": [[4e-4, 2e-5, 1e-4], [2e-5, 1.9e-3, 1e-4], [1e-4, 1e-4, 1.7e-3]],
    "distribution": "poisson",
    "dispersion": 0.0,
    "c_err_resampled": 0.051,
    "c_interval": [1.34, 1.42],
    "floor_interval_95": [0.27, 0.43],
    "outer": {"n_per_arcsec2": 0.4112, "err": 0.0222},
    "attenuation": {"realisations": 30, "ratio": 0.951, "c_corrected": 1.452},
    "binned": {"index_true": 0.724, "index_mean": 0.6612, "index_std": 0.0213, "mocks": 200},
}
KERNEL = {
    "alpha": 1.213,
    "alpha_err": 0.112,
    "softening_arcsec": 2.12,
    "softening_err": 0.33,
    "score_held_out": 0.913,
    "given_score_held_out": 0.741,
    "score_fitted": 0.93,
}
BEYOND = {"correlation": 0.31, "null_mean": 0.012, "null_std": 0.061, "p_value": 0.0025, "turned_std": 0.09}
RANKED = {
    "rank": [1, 2, -1],
    "map": ["kappa", "light", "uniform"],
    "ln_likelihood": [-900.0, -912.5, np.nan],
    "delta": [0.0, -12.5, np.nan],
    "delta_err": [0.0, 4.5, np.nan],
    "c": [1.31, 0.4, np.nan],
    "uniform": [0.1, 0.2, np.nan],
    "n_sources": [200, 200, 0],
    "area_arcsec2": [900.0, 900.0, 0.0],
    "c_at_bound": [False, True, False],
}
ASSUMED = {column.name: [1.0, np.nan] for column in ASSUMPTIONS} | {
    "assumption": ["own", "registered"],
    "index": [0.724, 0.731],
    "index_err": [0.0227, 0.0241],
    "gain": [0.0, 3.4],
    "first": [np.nan, -0.41],
    "first_err": [np.nan, 0.22],
    "second": [np.nan, 0.1],
    "second_err": [np.nan, 0.21],
}
SAMPLED = {column.name: [1.0, np.nan] for column in SENSITIVITY} | {
    "sample": ["all", "snr_10"],
    "n_sources": [200, 3],
    "index": [0.724, np.nan],
    "index_err": [0.0227, np.nan],
    "binned_index": [0.6931, 0.71],
    "binned_index_err": [0.0214, 0.2],
}


def tangent(shape: tuple[int, int], eta0: float, angle: float) -> WCS:
    """Return the WCS of a field whose middle lies `eta0` arcsec north of the centre, turned by `angle` degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [RA, DEC]
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    wcs.wcs.cd = SCALE / 3600 * np.array([[-cos, sin], [sin, cos]])
    offset = np.linalg.solve(wcs.wcs.cd * 3600, [0, eta0])
    wcs.wcs.crpix = [shape[1] / 2 + 0.5 - offset[0], shape[0] / 2 + 0.5 - offset[1]]
    return wcs


def table(columns, data=None) -> QTable:
    made = QTable()
    for column in columns:
        dtype = "U64" if column.dtype == "string" else column.dtype
        values = np.asarray([] if data is None else data[column.name], dtype)
        made[column.name] = values * units.Unit(column.unit) if column.unit else values
    return made


def dataset(arrays, values, coords=None, attrs=None) -> xr.Dataset:
    wanted = {
        a.name: (a.dims, values[a.name].astype(a.dtype), {"units": a.unit})
        for a in arrays
        if a.name in values
    }
    return xr.Dataset(wanted, coords=coords, attrs=attrs)


def convergence(xi, eta):
    return 1.2 / np.sqrt(1 + (xi**2 + (1.3 * eta) ** 2) / 64)


def fake_run(
    folder: Path, *, kappa: bool = True, truth: bool = True, empty: bool = False, two: bool = True
) -> FakeRun:
    rng = np.random.default_rng(4)
    names = ("a", "b") if two else ("a",)
    shapes = {"a": (601, 640), "b": (300, 420)}
    wcs = {"a": tangent(shapes["a"], 0, 12), "b": tangent(shapes["b"], 75, 12)}
    config = resolve(
        {
            "recipe": "diego2026",
            "cluster": {"name": "Mock & <1>", "redshift": 0.348, "ra": RA, "dec": DEC},
            "fields": [{"name": name, "bands": {"F150W": f"{name}.fits"}} for name in names],
            "relation": {"max_radius": 25},
        }
        | ({"convergence": {"path": "kappa.fits", "source_redshift": 3.0}} if kappa else {})
        | ({"truth": "truth.parquet"} if truth else {})
    )
    plane = SkyGrid(RA, DEC, CELL)
    stores, sources, masks = {}, [], {}
    for name in names:
        shape = shapes[name]
        y, x = np.indices(shape)
        mask = np.zeros(shape, np.uint8)
        mask[(y < 20) | (x < 20)] |= 1
        mask[(y < 45) | (x < 45)] |= 2
        mask[np.hypot(y - 300, x - 330) < 14] |= 4
        mask[np.hypot(y - 150, (x - 200) / 2) < 30] |= 8
        mask[np.hypot(y - 250, x - 250) < 9] |= 32
        if empty:
            mask[:] = 1
        light = rng.normal(0, 0.2, shape) + 30 / (1 + np.hypot(y - 300, x - 330))
        light[mask & 1 > 0] = np.nan
        ra, dec = wcs[name].all_pix2world(x, y, 0)
        xi, eta = plane.offsets(ra, dec)
        density = (convergence(xi, eta) / 0.4) ** (1 / 0.7) + 0.2
        drawn = (rng.random(shape) < density * SCALE**2) & (mask == 0)
        sources += [(name, *at) for at in np.argwhere(drawn)]
        masks[name] = mask, light, density, xi, eta
        detection = rng.normal(0, 0.1, shape).astype(np.float32)
        detection[drawn] += 1
        off = mask & 1 > 0
        stores[name] = dataset(
            ARRAYS,
            {
                "light": light,
                "mask": mask,
                "detection": np.where(off, np.nan, detection),
                "density": np.where(off, np.nan, density),
                "rho": np.where(off, np.nan, 3 * density**0.7),
            },
        )
    who = np.array([source[0] for source in sources], "U8")
    ys, xs = (np.array([source[axis] for source in sources], np.int32) for axis in (1, 2))
    ra, dec = np.zeros(len(who)), np.zeros(len(who))
    for name in names:
        on = who == name
        ra[on], dec[on] = wcs[name].all_pix2world(xs[on], ys[on], 0)
    xi, eta = plane.offsets(ra, dec)
    radius = np.hypot(xi, eta)
    catalogue = table(
        CANDIDATES,
        {
            "id": np.arange(len(who)),
            "field": who,
            "y_peak": ys,
            "x_peak": xs,
            "y": ys.astype(float),
            "x": xs.astype(float),
            "ra": ra,
            "dec": dec,
            "peak": np.full(len(who), 1.0),
            "snr": np.full(len(who), 9.0),
            "radius_arcsec": radius,
            "radius_kpc": radius * KPC,
            "purity": np.full(len(who), 0.97),
            **{name: np.ones(len(who)) for name in ("sharpness", "roundness", "concentration")},
            "shape": np.full(len(who), "point"),
        },
    )
    grid = sky_grid(names, masks, xi, eta, who, plane, kappa=kappa, empty=empty)
    filled = {
        "realisation": np.arange(40) % 2,
        "field": np.full(40, "a"),
        "y": np.full(40, 300),
        "x": np.arange(320, 360) - 10,
    }
    filled["ra"], filled["dec"] = wcs["a"].all_pix2world(filled["x"], filled["y"], 0)
    edges = np.array([1, 3, 7, 13, 22, 30, 60, 90.0])
    rows = []
    for name in names:
        for low, high in itertools.pairwise(edges):
            n = int(((who == name) & (radius >= low) & (radius < high)).sum())
            if n == 0 or (name == "b") != (low >= 60):
                continue
            area = np.pi * (high**2 - low**2)
            at = float(np.sqrt(low * high))
            rows.append(
                (
                    name,
                    low,
                    high,
                    area,
                    n,
                    n / area,
                    n**0.5 / area,
                    n / area - 0.2,
                    convergence(at, 0),
                    9 / at,
                    2.0 / at**0.4,
                    0.95,
                )
            )
    there = kappa and not empty
    bins = {
        "bin": [-1, 0, 1, 2],
        "n_lo": [0, 0.2, 0.8, 2],
        "n_hi": [0, 0.8, 2, 6],
        "n_boxes": [7, 30, 20, 3],
        "n_mean": [0, 0.5, 1.2, 3],
        "kappa_mean": [0.1, 0.25, 0.45, 0.9],
        "kappa_std": [0.02, 0.3, 0.1, 0.1],
    }
    per_field = {
        name: {
            "shape": list(shapes[name]),
            "good_area_arcsec2": 0.0 if empty else 1234.5,
            "masked_fraction": None if empty else 0.213,
            "no_data_fraction": 1.0 if empty else 0.06,
            "sigma": None if empty else 0.1012,
            "threshold": None if empty else 0.253,
            "masked": masked_shares(masks[name][0]),
            "psf": {"F150W": {"fwhm_arcsec": 0.0634, "origin": "stars", "n_stars": 77}},
            "n_not_points": 0 if empty else 31,
            "n_candidates": 0 if empty else 5000,
            "n_detected": 0 if empty else int((who == name).sum()),
            "n_inpainted": 0.0 if empty else 20.5,
            "inpainting": {
                "iterations": 4 if name == "b" else 0,
                "last_change": 0.0007 if name == "b" else None,
            },
            "local_noise": None if empty else 0.0931,
            "local_noise_lo": None if empty else 0.0881,
            "local_noise_hi": None if empty else 0.1234,
            "noise_over_err": None if empty else 1.312,
            "common_noise": None if empty else 1.031,
            "threshold_snr": None if empty else 2.716,
            "threshold_chosen": not empty,
            "purity": None if empty else 0.957,
            "pattern_onset_snr": None if empty else 3.5,
        }
        for name in names
    }
    value = (lambda number: number) if there else (lambda _: None)
    summary = {
        "schema": 1,
        "version": "0.1.0",
        "recipe": "diego2026",
        "cluster": {"name": "Mock & <1>", "redshift": 0.348, "kpc_per_arcsec": KPC},
        "fields": per_field,
        "n_detected": 0 if empty else len(who),
        "n_inpainted": 0.0 if empty else 20.5,
        "relation": {
            "method": "boxes" if empty else "likelihood",
            **{key: value(LIKELIHOOD[key]) for key in BOXES},
            "box_arcsec": 3.0,
            "boxes": {key: value(v) for key, v in BOXES.items()},
            "likelihood": {"c": None} if empty else LIKELIHOOD,
        }
        if kappa
        else None,
        "comparison": {
            "beta": value(0.33),
            "pearson": value(0.91),
            "spearman": value(0.89),
            "residual_rms": value(0.07),
            "beta_err": value(0.021),
            "pearson_err": value(0.012),
            "spearman_err": value(0.013),
            "kernel": dict.fromkeys(KERNEL) if empty else KERNEL,
            "beyond_radius": dict.fromkeys(BEYOND) if empty else BEYOND,
        }
        if kappa
        else None,
        "contamination": dict.fromkeys(("per_kpc2", "err", "r_lo_arcsec", "r_hi_arcsec"))
        if empty
        else {"per_kpc2": 0.0151, "err": 0.0012, "r_lo_arcsec": 60.0, "r_hi_arcsec": 90.0},
        "radial": fits(empty=empty),
        "lens": {"peak_offset_arcsec": 0.4472, "peaks": [{"offset_arcsec": 0.4472}, {"offset_arcsec": 21.7}]}
        if kappa
        else None,
        "mass": {
            "sigma_cr_msun_per_kpc2": 2.088e9 if kappa else None,
            "mean_kappa_within_60arcsec": 0.567 if kappa else None,
            "lens_within_60arcsec_msun": 3.2435e14 if kappa else None,
            "n_gc_within_60arcsec": 0 if empty else 900,
            "virial_from_counts_msun": (0 if empty else len(who)) * 5e9,
            "gc_total_from_ratio_msun": 9.406e9 if kappa else None,
            "mean_gc_msun": value(9.406e9 / 900),
        },
        "audit": [
            {
                "check": check,
                "field": "a",
                "band": band,
                "value": value(1.25),
                "unit": unit,
                "verdict": verdict,
                "finding": f"what {check} is",
                "remedy": remedy,
            }
            for check, band, unit, verdict, remedy in (
                ("scale", "", "arcsec", "ok", ""),
                ("err", "F090W", "", "ok", ""),
                ("err", "F150W", "", "wrong", "multiply <err>"),
            )
        ],
        "truth": {
            "response": value(0.11),
            "flux_limit_nJy": value(2.31),
            "n_planted": 0 if empty else len(who) + 7,
            "n_found": 0 if empty else len(who),
            "index_difference": value(-0.01),
            "index_difference_err": value(0.03),
            "completeness": value(0.93),
            "purity": value(0.88),
            "index": value(0.7044),
            "index_err": value(0.02),
            "amplitude": value(0.4),
            "amplitude_err": value(0.012),
            "law": {"amplitude": 0.437, "index": 0.655},
            "profile": {
                "field": [] if empty else [row[0] for row in rows],
                "r_lo": [] if empty else [float(row[1]) for row in rows],
                "r_hi": [] if empty else [float(row[2]) for row in rows],
                "area_arcsec2": [] if empty else [row[3] for row in rows],
                "n_gc": [] if empty else [2 * row[4] for row in rows],
                "n_per_arcsec2": [] if empty else [2 * row[5] for row in rows],
            },
        }
        if truth
        else None,
        "sky_grid": {"kept_area_arcsec2": 0.0 if empty else 1200.0},
        "timing": {"ingest_s": 1.25, "total_s": 12.0},
    }
    empty_table = {
        name: table(columns)
        for name, columns in (("c", CANDIDATES), ("i", INPAINTED), ("r", RELATION), ("p", PROFILE))
    }
    names_p = [column.name for column in PROFILE]
    profile = table(PROFILE, dict(zip(names_p, zip(*rows, strict=True), strict=True)) if rows else None)
    if not there:
        bins = {
            "bin": [-1],
            "n_lo": [0],
            "n_hi": [0],
            "n_boxes": [0],
            "n_mean": [0],
            "kappa_mean": [np.nan],
            "kappa_std": [np.nan],
        }
    return FakeRun(
        folder,
        config,
        summary,
        names,
        stores,
        grid,
        {name: wcs[name] for name in names},
        empty_table["c"] if empty else catalogue,
        empty_table["c"] if empty else catalogue,
        empty_table["i"] if empty else table(INPAINTED, filled),
        table(RELATION, bins) if kappa else empty_table["r"],
        empty_table["p"] if empty else profile,
        table(PURITY, None if empty else purity_columns(names)),
        table(PATTERN, pattern_columns(names, empty=empty)),
        *further(empty=empty),
        table(MASKED, None if empty else masked_columns(masks)),
        table(RANKING, RANKED if kappa and not empty else None),
        table(SENSITIVITY, SAMPLED if kappa and not empty else None),
        table(ASSUMPTIONS, ASSUMED if kappa and not empty else None),
    )


def fits(*, empty) -> dict:
    """The laws as summary.json gives them."""
    laws = {
        "cored": (["ln_peak", "ln_core", "slope", "floor"], [1.6, 2.3, 1.9, 0.0], [0.05, 0.1, 0.2, None]),
        "elliptical": (
            ["ln_peak", "ln_core", "slope", "floor", "e1", "e2"],
            [1.6, 2.3, 1.9, 0.4, 0.1, 0.05],
            [0.05, 0.1, 0.2, 0.02, 0.01, 0.01],
        ),
        "nfw": (["ln_at_rs", "ln_rs", "floor"], [0.7, 4.1, 0.2], [0.05, 0.1, 0.02]),
    }
    found: dict = {
        name: {
            "parameters": names,
            "values": [None] * len(names) if empty else values,
            "err": [None] * len(names) if empty else errors,
            "robust_err": [None] * len(names),
        }
        for name, (names, values, errors) in laws.items()
    }
    shape = {
        "axis_ratio": 0.8,
        "axis_ratio_err": 0.03,
        "position_angle_deg": 13.0,
        "position_angle_err_deg": 4.0,
    }
    return found | (dict.fromkeys(shape) if empty else shape)


def further(*, empty) -> tuple[QTable, QTable, QTable, QTable]:
    """Annuli over all fields, shapes, masses and the contamination."""
    radial = {column.name: np.full(6, 0.1) for column in RADIAL} | {
        "geometry": ["circle"] * 4 + ["ellipse"] * 2,
        "r_mean": [3.0, 10.0, 30.0, 60.0, 5.0, 20.0],
        "n_gc": [90, 60, 40, 0, 90, 60],
        "n_per_arcsec2": [5.0, 2.5, 0.6, 0.0, 4.0, 1.0],
        "n_err": [0.5, 0.3, 0.1, 0, 0.4, 0.1],
    }
    shape = {
        "tracer": ["sources", "sources", "kappa", "kappa"],
        "r_lo": [3.0, 10.0] * 2,
        "r_hi": [10.0, 30.0] * 2,
        "n_gc": [90, 60, np.nan, np.nan],
        "slope": [1.0] * 4,
        "axis_ratio": [0.7, 0.6, 0.8, 0.75],
        "axis_ratio_err": [0.1, 0.05, np.nan, np.nan],
        "position_angle": [178.0, 3.0, 1.0, 5.0],
        "position_angle_err": [9.0, 5.0, np.nan, np.nan],
    }
    masses = {
        "quantity": ["M_lens(<60 arcsec)", "kpc per arcsec", "M_lens(<100 arcsec)"],
        "value": [3.24e14, 4.9214, np.nan],
        "err": [1.2e13, np.nan, np.nan],
        "unit": ["Msun", "kpc arcsec-1", "Msun"],
        "arithmetic": ["0.567 × <area>", "D_L x pi / 648000", "the map does not cover it"],
    }
    contamination = {column.name: [0.36, np.nan] for column in CONTAMINATION} | {
        "component": ["outermost annulus", "noise peaks"],
        "how": ["sources < 90 arcsec", "no null map"],
    }
    tables = ((RADIAL, radial), (SHAPE, shape), (MASSES, masses), (CONTAMINATION, contamination))
    return tuple(
        table(columns, None if empty and columns in (RADIAL, SHAPE) else data) for columns, data in tables
    )


def masked_shares(mask) -> dict:
    """What summary.json says of the masks of one field."""
    inside = mask & 3 == 0
    n = int(inside.sum())
    chosen = {
        "bright": mask & 4,
        "extended": mask & 8,
        "spike": mask & 16,
        "region": mask & 32,
        "arc": mask & 64,
        "any": mask,
    }
    counts = {name: int(((bits != 0) & inside).sum()) for name, bits in chosen.items()}
    counts["edge"] = int((mask & 3 == 2).sum())
    return {
        name: {"fraction": count / n if n else None, "arcsec2": count * SCALE**2}
        for name, count in counts.items()
    }


def masked_columns(masks) -> dict[str, np.ndarray]:
    """Three annuli a field, the last without an end: half good, a fifth edge, the rest masked."""
    names = [column.name for column in MASKED]
    share = {"good": 0.5, "edge": 0.2, "bright": 0.1, "extended": 0.1, "region": 0.1}
    columns = {name: np.full(3 * len(masks), 10 * share.get(name.split("_")[0], 0.0)) for name in names}
    return columns | {
        "field": np.repeat(list(masks), 3),
        "r_lo": np.tile([0.0, 1.0, 30.0], len(masks)),
        "r_hi": np.tile([1.0, 30.0, np.inf], len(masks)),
        "data_arcsec2": np.full(3 * len(masks), 10.0),
    }


def purity_columns(names) -> dict[str, np.ndarray]:
    """Two zones a field, of which the noise makes 100 and 60 peaks in the lowest slice and fewer above."""
    low = np.append(np.arange(2.5, 8.0, 0.25), 8.0)
    n = low.size
    rows = []
    for name in names:
        for zone, peak in ((1, 100.0), (2, 60.0)):
            noise = peak * np.exp(-((low**2) - 6.25) / 2)
            found = np.rint(noise + 40 * np.exp(-(low - 2.5) / 3)).astype(int)
            rows.append(
                {
                    "field": np.full(n, name),
                    "zone": np.full(n, zone),
                    "noise_lo": np.full(n, 0.1),
                    "noise_hi": np.full(n, 0.2),
                    "area_arcsec2": np.full(n, 100.0),
                    "snr_lo": low,
                    "snr_hi": np.append(low[1:], np.inf),
                    "n_found": found,
                    "n_noise": noise,
                    "n_noise_err": np.sqrt(noise / 6),
                    "purity": 1 - noise / found,
                    "purity_err": np.full(n, 0.1),
                    "purity_above": np.full(n, 0.9),
                }
            )
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def pattern_columns(names, *, empty) -> dict[str, np.ndarray]:
    """A pattern of 32 px up to 3.5 in every field."""
    edges = np.array([2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 8])
    n = edges.size - 1
    chance = np.full(n, np.nan) if empty else np.array([1e-30, 1e-6, 0.4, 0.7, 0.9, 0.2, 0.5, np.nan])
    each = {
        "snr_lo": edges[:-1],
        "snr_hi": edges[1:],
        "n_found": np.full(n, 0 if empty else 100),
        "period": np.where(np.isnan(chance), np.nan, 32.0),
        "angle": chance * 0,
        "power": chance * 0 + 9,
        "false_alarm": chance,
    }
    return {
        "field": np.repeat(names, n),
        **{key: np.tile(values, len(names)) for key, values in each.items()},
    }


def sky_grid(names, masks, xi, eta, who, plane, *, kappa, empty) -> xr.Dataset:
    everywhere = np.concatenate([np.stack([m[3].ravel(), m[4].ravel()]) for m in masks.values()], axis=1)
    i0, j0 = (int(np.floor(axis.min() / 3)) * 10 for axis in everywhere)
    width, height = (
        int(np.ceil(axis.max() / 3)) * 10 - low for axis, low in zip(everywhere, (i0, j0), strict=True)
    )

    def add(at_xi, at_eta, weights=None):
        i, j = np.floor(at_xi / CELL).astype(int) - i0, np.floor(at_eta / CELL).astype(int) - j0
        return np.bincount(j.ravel() * width + i.ravel(), weights, minlength=width * height).reshape(
            height, width
        )

    values = {name: [] for name in ("n_pixels", "n_good", "n_inside", "n_gc", "light", "rho")}
    for name in names:
        mask, light, density, at_xi, at_eta = masks[name]
        data, good, inside = mask & 1 == 0, mask == 0, mask & 3 == 0
        for key, chosen in (("n_pixels", data), ("n_good", good), ("n_inside", inside)):
            values[key].append(add(at_xi[chosen], at_eta[chosen]))
        with np.errstate(invalid="ignore"):
            values["light"].append(add(at_xi[good], at_eta[good], light[good]) / values["n_good"][-1])
            values["rho"].append(
                add(at_xi[inside], at_eta[inside], 3 * density[inside] ** 0.7) / values["n_inside"][-1]
            )
        on = who == name
        values["n_gc"].append(add(xi[on], eta[on]))
    stacked = {key: np.stack(value) for key, value in values.items()}
    x, y = (i0 + np.arange(width) + 0.5) * CELL, (j0 + np.arange(height) + 0.5) * CELL
    stacked |= {"recovery": np.ones((height, width)), "in_law": np.ones((height, width), bool)}
    stacked["kappa"] = convergence(x[None, :], y[:, None]) if kappa else np.full((height, width), np.nan)
    boxes = {
        "box_xi": np.zeros(0),
        "box_eta": np.zeros(0),
        "box_area": np.zeros(0),
        "box_count": np.zeros(0),
        "box_kappa": np.zeros(0),
    }
    if kappa and not empty:
        rng = np.random.default_rng(1)
        level = np.geomspace(0.1, 1.2, 200)
        boxes = {
            "box_xi": np.zeros(200),
            "box_eta": np.zeros(200),
            "box_area": np.full(200, 9.0),
            "box_count": rng.poisson(9 * (level / 0.4) ** (1 / 0.7)),
            "box_kappa": level,
        }
    return dataset(
        SKY_GRID,
        stacked | boxes,
        {"eta": y, "xi": x},
        {
            "fields": list(names),
            "pixel_area_arcsec2": [SCALE**2] * len(names),
            "cell_arcsec": CELL,
            "j0": j0,
            "i0": i0,
            "ra": RA,
            "dec": DEC,
        },
    )


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> FakeRun:
    run = fake_run(tmp_path_factory.mktemp("full"))
    assert write_report(run) == run.path / "report.html"
    return run


class Outline(HTMLParser):
    """A page as a browser sees it: matching tags, the addresses it would fetch, and the text."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[bytes] = []
        self.fetched: list[str] = []
        self.targets: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if values.get("id"):
            assert values["id"] not in self.targets
            self.targets.add(values["id"])
        if tag == "img":
            kind, _, code = values["src"].partition(",")
            assert kind in {"data:image/png;base64", "data:image/webp;base64"}
            assert values["alt"]
            self.images.append(base64.b64decode(code, validate=True))
        elif tag in {"link", "iframe"} or "src" in values:
            self.fetched.append(tag)
        if tag == "a":
            self.links.append(values["href"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag in {"td", "th"}:
            self.words.append(" ")

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def outline(run: FakeRun) -> Outline:
    return Outline((run.path / "report.html").read_text(encoding="utf-8"))


def test_page_needs_nothing_else_and_holds_every_figure(full: FakeRun) -> None:
    seen = outline(full)
    assert not seen.fetched
    assert {link[1:] for link in seen.links if link.startswith("#")} <= seen.targets
    files = {path.name: path.read_bytes() for path in (full.path / "figures").iterdir()}
    assert sorted(files) == sorted(
        f"{name}.png"
        for name in (
            "mosaic-a",
            "core",
            "sources-a",
            "density-a",
            "mosaic-b",
            "sources-b",
            "relation",
            "rho-a",
            "kappa",
            "comparison",
            "residual",
            "profile",
            "shapes",
            "laws",
            "shape",
            "both-laws",
            "ranking",
            "sensitivity",
            "purity",
            "regularity",
            "masked-a",
            "masked-b",
        )
    )
    assert {link for link in seen.links if link.endswith(".png")} == {f"figures/{name}" for name in files}
    assert len(seen.images) == len(files)
    assert sum(map(len, seen.images)) <= sum(map(len, files.values()))
    for image in files.values():
        assert image.startswith(b"\x89PNG")
        assert b"tIME" not in image
        assert b"Software" not in image


def test_page_says_the_summary_s_numbers(full: FakeRun) -> None:
    text = outline(full).text
    for words in (
        "Mock & <1>",
        f"{full.summary['n_detected']:,}",
        "0.693 ± 0.021",
        "0.412 ± 0.011",
        "0.0151 ± 0.0012",
        "3.24 × 1014",
        "0.704 ± 0.020",
        "0.5 σ",
        "93.0 %",
        "88.0 %",
        "21.3 %",
        "recipe: diego2026",
        "reading the images",
        "0.0931",
        "0.0881 – 0.123",
        "1.31",
        "2.72",
        "95.7 %",
        "up to S/N 3.5",
        "1.381 ± 0.043",
        "0.724 ± 0.023",
        "0.351 ± 0.041",
        "0.661 ± 0.021",
        "1.45",
        "−12.5 ± 4.5",
        "does not cover the sky",
        "≥ 0.40",
        "not iterated (recipe: diego2026)",
        "4 fits, last change 0.0007",
        "1.21 ± 0.11",
        "0.330 ± 0.021",
        "S/N ≥ 10",
    ):
        assert words in text.replace("\N{NO-BREAK SPACE}", " "), words


def test_embedded_figures_look_like_the_files(full: FakeRun) -> None:
    for path in sorted((full.path / "figures").iterdir()):
        kind, _, code = data_url(path.read_bytes()).partition(",")
        with Image.open(io.BytesIO(base64.b64decode(code))) as small, Image.open(path) as whole:
            assert kind == f"data:image/{small.format.lower()};base64"
            assert small.size == whole.size
            off = np.asarray(small.convert("RGB"), float) - np.asarray(whole.convert("RGB"), float)
        assert np.abs(off).mean() < 4, path


def test_problems_come_first_and_their_absence_is_said(full: FakeRun, tmp_path: Path) -> None:
    seen = outline(full).text
    wrong = [line for line in full.summary["audit"] if line["verdict"] in {"wrong", "look"}]
    assert wrong
    assert seen.index("Check first") < seen.index("Key numbers")
    assert all(line["remedy"] in seen[: seen.index("Key numbers")] for line in wrong)
    calm = fake_run(tmp_path)
    for line in calm.summary["audit"]:
        line.update(verdict="ok", remedy="")
    write_report(calm)
    assert "report no problems" in outline(calm).text
    calm.summary["warnings"] = [
        {"code": "x", "field": "a", "text": "the floor is odd", "remedy": "look at it"}
    ]
    write_report(calm)
    seen = outline(calm).text
    assert seen.index("Field a: the floor is odd. → look at it.") < seen.index("Key numbers")


def test_law_has_its_whole_error_in_one_sentence(full: FakeRun, tmp_path: Path) -> None:
    run = fake_run(tmp_path)
    fit = run.summary["relation"]["likelihood"]
    fit = {**fit, "c_err_systematic": 0.04 / 0.7**2, "c_err_systematic_parts": {"members": 0.08}}
    law = {"method": "likelihood", "index": 0.7, "index_err": 0.03, "likelihood": fit}
    run.summary["relation"] = {**run.summary["relation"], **law}
    write_report(run)
    text = outline(run).text.replace("\N{NO-BREAK SPACE}", " ")
    assert "with b = 0.700 ± 0.030 (statistical) ± 0.040 (systematic), ± 0.050 in total." in text
    run.summary["relation"]["method"] = "boxes"
    write_report(run)
    assert "(statistical error only)" in outline(run).text


def test_page_says_where_no_pattern_could_be_looked_for(full: FakeRun, tmp_path: Path) -> None:
    assert "up to S/N 3.5; not searched at 6–8 (fewer than 50 sources per slice)" in outline(full).text
    calm = fake_run(tmp_path / "calm")
    calm.pattern["false_alarm"] = np.tile([np.nan, np.nan, 0.4, 0.7, np.nan, np.nan, np.nan, 0.3], 2)
    for field in calm.summary["fields"].values():
        field["pattern_onset_snr"] = None
    write_report(calm)
    assert "none from S/N 3.5 to 8; not searched at 2.5–3.5, 4.5–6" in outline(calm).text
    empty = fake_run(tmp_path / "empty", empty=True)
    write_report(empty)
    assert "not searched: fewer than 50 sources in every slice of S/N" in outline(empty).text


def test_page_says_what_t_is(full: FakeRun, tmp_path: Path, monkeypatch) -> None:
    assert "T (nJy/px)" in outline(full).text
    local = fake_run(tmp_path)
    monkeypatch.setattr(RunConfig, "local_threshold", property(lambda _: True))
    write_report(local)
    text = " ".join(outline(local).text.split())
    assert "T, median noise (nJy/px)" in text
    assert (
        "is a signal-to-noise ratio (see below), quoted here as a brightness at the median local noise"
        in text
    )


def test_arithmetic_gives_what_it_says(full: FakeRun) -> None:
    """Every product on the page, taken at its printed digits, is the printed result."""
    text = outline(full).text.replace("\N{NO-BREAK SPACE}", " ")
    mean, mantissa, radius, lens = re.search(
        r"R² = ([\d.]+) × ([\d.]+) × 109 M☉ kpc−2 × π × \(([\d.]+) kpc\)² = ([\d.]+) × 1014 M☉", text
    ).groups()
    mass = float(mean) * float(mantissa) * 1e9 * np.pi * float(radius) ** 2
    assert mass == pytest.approx(float(lens) * 1e14, rel=0.005)
    count, virial = re.search(r"= ([\d,]+) × 5 × 109 M☉ = ([\d.]+) × 1013", text).groups()
    assert int(count.replace(",", "")) * 5e9 == pytest.approx(float(virial) * 1e13, rel=0.005)
    assert re.search(r"= 2.9 × 10−5 × 3.24 × 1014 M☉ = 9.41 × 109 M☉", text)
    assert "A lower limit" in text


def test_constants_are_those_of_the_masses() -> None:
    masses = pytest.importorskip("tilegc.radial.masses")
    relation = pytest.importorskip("tilegc.relation.boxes")
    sky_grid = pytest.importorskip("tilegc.skygrid.cells")
    assert (arithmetic.APERTURE, maps.APERTURE) == (masses.APERTURE, masses.APERTURE)
    assert (arithmetic.VIRIAL_PER_GC, arithmetic.GC_TO_LENS) == (masses.VIRIAL_PER_GC, masses.GC_TO_LENS)
    assert report_relation.BIN_FILLED == relation.BIN_FILLED
    assert comparison.HALF == sky_grid.HALF


def test_found_over_planted(full: FakeRun) -> None:
    """Twice as many were planted in every annulus: the ratio is one half, its error that of the count."""
    rows = list(zip(full.profile["n_gc"], full.profile["field"], strict=True))
    text = outline(full).text.replace("\N{NO-BREAK SPACE}", " ")
    assert text.count("0.500 ± 0.0") + text.count("0.50 ± 0.") == len(rows)
    n = rows[-1][0]
    assert f"{n:,} {2 * n:,} {numbers.error_text(0.5, 0.5 / n**0.5)}" in text


def test_the_law_of_this_simulation_is_compared(full: FakeRun) -> None:
    """Clusters of a simulated sample differ in their law: what was planted here is shown, not the usual law."""
    text = outline(full).text.replace("\N{NO-BREAK SPACE}", " ")
    apart = abs(full.summary["relation"]["index"] - 0.655)
    error = full.summary["relation"].get("index_err_total") or full.summary["relation"]["index_err"]
    assert f"not binned 0.655 {apart / error:.1f} σ" in text
    assert " 0.437 " in text


def test_laws_contamination_and_masses_stand_on_the_page(full: FakeRun) -> None:
    text = outline(full).text.replace("\N{NO-BREAK SPACE}", " ")
    peak, core = math.exp(1.6), math.exp(2.3)
    for words in (
        numbers.error_text(peak, 0.05 * peak),
        numbers.error_text(core, 0.1 * core),
        "1.90 ± 0.20",
        "0, at its bound",
        "0.800 ± 0.030",
        "13.0 ± 4.0",
        "(3.24 ± 0.12) × 1014",
        "4.921",
        "0.567 × <area>",
        "the map does not cover it",
        "0.36 ± 0.36",
        "sources < 90 arcsec",
        "no null map",
        "Offset of κ 0.45 arcsec",
        "half of its height at 22 arcsec",
    ):
        assert words in text, words


def test_no_convergence_map_and_one_field(tmp_path: Path) -> None:
    run = fake_run(tmp_path, kappa=False, truth=False, two=False)
    write_report(run)
    seen = outline(run)
    assert seen.text.count("no convergence map in the run file") >= 5
    assert "planted" not in seen.targets
    assert "The second field" not in seen.text
    drawn = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert drawn == {
        "mosaic-a",
        "core",
        "sources-a",
        "density-a",
        "rho-a",
        "profile",
        "shapes",
        "purity",
        "regularity",
        "masked-a",
        "laws",
        "shape",
    }


@pytest.mark.parametrize("kappa", [True, False])
def test_empty_run(tmp_path: Path, *, kappa: bool) -> None:
    run = fake_run(tmp_path, empty=True, kappa=kappa)
    write_report(run)
    seen = outline(run)
    assert "No pixel of 2 fields can be searched" in seen.text
    assert "no good pixel" in seen.text
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", seen.text)
    assert {"mosaic-a", "sources-b"} <= {path.stem for path in (tmp_path / "figures").iterdir()}


def test_second_writing_gives_the_same_figures(full: FakeRun) -> None:
    before = {path.name: path.read_bytes() for path in (full.path / "figures").iterdir()}
    with ThreadPoolExecutor(2) as pool:
        others = [replace(full, path=full.path / side) for side in ("left", "right")]
        list(pool.map(write_report, others))
    for other in others:
        assert {path.name: path.read_bytes() for path in (other.path / "figures").iterdir()} == before


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    drawn=st.integers(1, 45),
    window=st.integers(1, 45),
    seed=st.integers(0, 99),
)
def test_pictures_against_blocks_one_by_one(shape, drawn, window, seed) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(shape) < 0.3, np.nan, rng.normal(size=shape)).astype(np.float32)
    mask = rng.integers(0, 64, shape).astype(np.uint8) * (rng.random(shape) < 0.6)
    light, bits = (
        Mosaic(shape, lambda box, image=image: image[box.slices]) for image in (values, mask.astype(np.uint8))
    )
    whole, reading.WINDOW = reading.WINDOW, window
    try:
        picture, counted = block_means(light, drawn), census(bits, drawn)
    finally:
        reading.WINDOW = whole
    f = picture.factor
    assert max(picture.values.shape) <= drawn
    assert counted.picture.values.shape == picture.values.shape == (-(-shape[0] // f), -(-shape[1] // f))
    for j, i in np.ndindex(picture.values.shape):
        block = values[j * f : (j + 1) * f, i * f : (i + 1) * f].astype(np.float64)
        finite = block[np.isfinite(block)]
        expected = finite.mean() if finite.size else np.nan
        np.testing.assert_allclose(picture.values[j, i], expected, rtol=1e-6, atol=1e-6)
        y, x = min(j * f + f // 2, shape[0] - 1), min(i * f + f // 2, shape[1] - 1)
        assert counted.picture.values[j, i] == mask[y, x]
    assert counted.pixels == mask.size
    assert counted.good == (mask == 0).sum()
    assert counted.bits == {bit: int((mask & bit.value != 0).sum()) for bit in Bit}


def test_place_agrees_with_the_wcs() -> None:
    shape = (4400, 4300)
    wcs = tangent(shape, 170, 33)
    at = place(header_text(wcs), shape, SkyGrid(RA, DEC, CELL))
    y, x = np.array([0.0, 4399, 17]), np.array([0.0, 4299, 3000])
    xi, eta = SkyGrid(RA, DEC, CELL).offsets(*wcs.all_pix2world(x, y, 0))
    np.testing.assert_allclose(at.sky(x, y), (xi, eta), atol=0.1 * SCALE)
    assert at.scale == pytest.approx(SCALE, rel=1e-4)
    assert at.distance(*(float(v[0]) for v in at.sky(np.array([100.0]), np.array([100.0])))) == 0
    east_of_it = at.sky(np.array([-0.5 - 50]), np.array([2000.0]))
    assert at.distance(*(float(v[0]) for v in east_of_it)) == pytest.approx(50 * SCALE, rel=1e-3)
    box = at.window(0, 0, 10)  # the centre lies far outside: the window is moved into the field
    assert box.shape == (100, 100)
    assert box.clip(Box(0, 0, *shape)) == box


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (0.69312, 0.0214, "0.693 ± 0.021"),
        (1234.4, 56.7, "1,234 ± 57"),
        (-0.5, 0.31, "−0.50 ± 0.31"),
        (0.41, None, "0.410"),
        (2.0, 0.0, "2.00"),
        (0.5, 0.0996, "0.50 ± 0.10"),
    ],
)
def test_errors_set_the_digits(value, error, expected) -> None:
    assert numbers.error_text(value, error) == expected


@given(st.floats(1e-12, 1e20))
def test_powers_are_the_number(value) -> None:
    written = numbers.power(value).replace("&nbsp;", "").replace("<sup>", "e").replace("</sup>", "")
    plain = written.replace("×10e", "e").replace("−", "-").replace(",", "")
    assert float(plain) == pytest.approx(value, rel=0.0051)


def test_shares() -> None:
    assert [numbers.share(v) for v in (0, 1, 0.0234, 0.00234, 1e-6)] == [
        "0&nbsp;%",
        "100.0&nbsp;%",
        "2.3&nbsp;%",
        "0.23&nbsp;%",
        "&lt; 0.01&nbsp;%",
    ]
    assert [numbers.share(v) for v in (0.9996, 0.99996, 0.999)] == [
        "99.96&nbsp;%",
        "99.996&nbsp;%",
        "99.9&nbsp;%",
    ]
    assert numbers.share(None, "a < b") == '– <span class="why">a &lt; b</span>'


def test_a_scaled_pdf_has_all_marks():
    figure, axes = style.panel("marks")
    x = np.linspace(0, 1, 7)
    axes.plot(x, x, "o")
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", style.pdf(figure), re.DOTALL)
    page = b"".join(zlib.decompress(stream) for stream in streams if stream.startswith(b"x"))
    assert len(re.findall(rb"/M0 Do", page)) == x.size
    assert figure.dpi == style.DPI
