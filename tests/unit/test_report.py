"""The report of runs that never ran: synthetic products, shaped by the schema."""

from __future__ import annotations

import base64
import re
import warnings
from dataclasses import dataclass, field, replace
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
from hypothesis.extra import numpy as hnp

from tilegc.config import RunConfig, resolve
from tilegc.report import numbers, reading, style, write_report
from tilegc.report.arithmetic import arithmetic
from tilegc.report.page import page
from tilegc.report.places import place
from tilegc.report.reading import Material, block_means, census
from tilegc.schema import ARRAYS, CANDIDATES, INPAINTED, PROFILE, RELATION, SKY_GRID, Bit
from tilegc.sky import SkyGrid

RA, DEC, SCALE, CELL = 342.18, -44.53, 0.1, 0.3
KPC = 4.921


@dataclass(frozen=True)
class FakeRun:
    """What `tilegc.open_run` gives, held in memory."""

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
    asked: list[str] = field(default_factory=list)

    def field(self, name: str) -> xr.Dataset:
        return self.stores[name]

    def sky(self) -> xr.Dataset:
        return self.grid

    def wcs(self, name: str) -> WCS:
        return self.frames[name]


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
        dtype = "U8" if column.dtype == "string" else column.dtype
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
            "recipe": "seed",
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
                "light": light, "mask": mask, "detection": np.where(off, np.nan, detection),
                "density": np.where(off, np.nan, density), "rho": np.where(off, np.nan, 3 * density**0.7),
            },
        )  # fmt: skip
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
            "id": np.arange(len(who)), "field": who, "y": ys, "x": xs, "ra": ra, "dec": dec,
            "peak": np.full(len(who), 1.0), "snr": np.full(len(who), 9.0),
            "radius_arcsec": radius, "radius_kpc": radius * KPC,
        },
    )  # fmt: skip
    grid = sky_grid(names, masks, xi, eta, who, plane, kappa=kappa, empty=empty)
    filled = {
        "realisation": np.arange(40) % 2, "field": np.full(40, "a"), "y": np.full(40, 300), "x": np.arange(320, 360) - 10,
    }  # fmt: skip
    filled["ra"], filled["dec"] = wcs["a"].all_pix2world(filled["x"], filled["y"], 0)
    edges = np.array([1, 3, 7, 13, 22, 30, 60, 90.0])
    rows = []
    for name in names:
        for low, high in zip(edges[:-1], edges[1:], strict=True):
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
                )
            )
    there = kappa and not empty
    bins = {
        "bin": [-1, 0, 1, 2], "n_lo": [0, 0.2, 0.8, 2], "n_hi": [0, 0.8, 2, 6], "n_boxes": [7, 30, 20, 3],
        "n_mean": [0, 0.5, 1.2, 3], "kappa_mean": [0.1, 0.25, 0.45, 0.9], "kappa_std": [0.02, 0.3, 0.1, 0.1],
    }  # fmt: skip
    per_field = {
        name: {
            "shape": list(shapes[name]), "good_area_arcsec2": 0.0 if empty else 1234.5,
            "masked_fraction": None if empty else 0.213, "no_data_fraction": 1.0 if empty else 0.06,
            "sigma": None if empty else 0.1012, "threshold": None if empty else 0.253,
            "n_candidates": 0 if empty else 5000, "n_detected": 0 if empty else int((who == name).sum()), "n_inpainted": 0.0 if empty else 20.5,
        }
        for name in names
    }  # fmt: skip
    value = (lambda number: number) if there else (lambda _: None)
    summary = {
        "schema": 1, "version": "0.1.0", "recipe": "seed",
        "cluster": {"name": "Mock & <1>", "redshift": 0.348, "kpc_per_arcsec": KPC},
        "fields": per_field, "n_detected": 0 if empty else len(who), "n_inpainted": 0.0 if empty else 20.5,
        "relation": {
            "method": "boxes", "amplitude": value(0.4123), "amplitude_err": value(0.0111), "index": value(0.6931),
            "index_err": value(0.0214), "box_arcsec": 3.0,
        } if kappa else None,
        "comparison": {"beta": value(0.33), "pearson": value(0.91), "spearman": value(0.89), "residual_rms": value(0.07)} if kappa else None,
        "contamination": dict.fromkeys(("per_kpc2", "err", "r_lo_arcsec", "r_hi_arcsec")) if empty else
            {"per_kpc2": 0.0151, "err": 0.0012, "r_lo_arcsec": 60.0, "r_hi_arcsec": 90.0},
        "mass": {
            "sigma_cr_msun_per_kpc2": 2.088e9 if kappa else None, "mean_kappa_within_60arcsec": 0.567 if kappa else None,
            "lens_within_60arcsec_msun": 3.2435e14 if kappa else None, "n_gc_within_60arcsec": 0 if empty else 900,
            "virial_from_counts_msun": (0 if empty else len(who)) * 5e9, "gc_total_from_ratio_msun": 9.406e9 if kappa else None,
            "mean_gc_msun": value(9.406e9 / 900),
        },
        "truth": {
            "response": value(0.11), "flux_limit_nJy": value(2.31), "n_planted": 0 if empty else len(who) + 7,
            "completeness": value(0.93), "purity": value(0.88), "index": value(0.7044), "index_err": value(0.02),
            "amplitude": value(0.4), "amplitude_err": value(0.012),
            "profile": {
                "field": [] if empty else [row[0] for row in rows], "r_lo": [] if empty else [float(row[1]) for row in rows],
                "r_hi": [] if empty else [float(row[2]) for row in rows], "area_arcsec2": [] if empty else [row[3] for row in rows],
                "n_gc": [] if empty else [2 * row[4] for row in rows], "n_per_arcsec2": [] if empty else [2 * row[5] for row in rows],
            },
        } if truth else None,
        "sky_grid": {"kept_area_arcsec2": 0.0 if empty else 1200.0},
        "timing": {"ingest_s": 1.25, "total_s": 12.0},
    }  # fmt: skip
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
        folder, config, summary, names, stores, grid, {name: wcs[name] for name in names},
        empty_table["c"] if empty else catalogue, empty_table["c"] if empty else catalogue,
        empty_table["i"] if empty else table(INPAINTED, filled),
        table(RELATION, bins) if kappa else empty_table["r"], empty_table["p"] if empty else profile,
    )  # fmt: skip


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
            "box_xi": np.zeros(200), "box_eta": np.zeros(200), "box_area": np.full(200, 9.0),
            "box_count": rng.poisson(9 * (level / 0.4) ** (1 / 0.7)), "box_kappa": level,
        }  # fmt: skip
    return dataset(
        SKY_GRID, stacked | boxes, {"eta": y, "xi": x},
        {"fields": list(names), "pixel_area_arcsec2": [SCALE**2] * len(names), "cell_arcsec": CELL, "j0": j0, "i0": i0, "ra": RA, "dec": DEC},
    )  # fmt: skip
