"""Globular clusters planted over a published kappa map, the whole chain, and what of the truth comes back.

    python -m benchmarks.real_lens KAPPA.fits DIR [SEED]

The map is scaled to D_LS/D_S = 1, as those of the Hubble Frontier Fields are. Laws are fitted to what was planted,
to what was planted and counted alike, and to what was found: the first two show the method, the last the whole chain.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from astropy.table import QTable

import tilegc
import tilegc.run_folder
from tilegc import config
from tilegc.io.convergence import read_convergence
from tilegc.io.tables import read_parquet
from tilegc.schema import FILES
from tilegc.simulate import simulate
from tilegc.simulate.population import LIMIT
from tilegc.sky import cosmology
from tilegc.stages.likelihood import fit_counts
from tilegc.stages.radial import sample_of
from tilegc.stages.sky_grid import SkyCells, read_sky_cells
from tilegc.statistics.radial import fit_cored, shape_of

SIZE = (2400, 1400)
COMPACT = ("gc", "member_gc", "background_point", "background_extended", "arc_clump")
LAW = {"ln a": -math.log(0.4) / 0.7, "c": 1 / 0.7}
"""kappa = 0.4 n^0.7, brighter than F150W = 30.9."""


def main(kappa: str, folder: str, seed: int = 2) -> None:
    """Simulate, run, compare and print."""
    place = Path(folder)
    if not (place / "run" / FILES.summary).exists():
        mock = simulate(
            place / "mock",
            preset="as1063",
            size=SIZE,
            seed=seed,
            kappa=kappa,
            kappa_lens_scaling=1.0,
            overwrite=True,
        )
        tilegc.run(mock, place / "run", workers=1, overwrite=True)
    run = tilegc.open_run(place / "run")
    cells = read_sky_cells(run.sky().load())
    radius, side = run.config.relation.max_radius, run.config.relation.box
    truth = read_parquet(place / "mock" / "truth.parquet")
    kind, mag = np.asarray(truth["kind"]).astype(str), np.asarray(truth["mag_f150w"], float)
    planted = chosen(truth, cells, (kind == "gc") & (mag < LIMIT))
    of_planted = fit_counts(
        cells, side, radius, count=cells.count(planted["ra"], planted["dec"]), thorough=False
    )
    print(f"{'':28s} {'value':>10s} {'err':>8s} {'truth':>8s} {'pull':>6s}")
    law = of_planted.law
    errors = np.sqrt(np.diag(of_planted.covariance))
    for name, value, error in (("ln a", law.ln_a, errors[0]), ("c", law.c, errors[1])):
        line(f"law of the planted: {name}", value, error, LAW[name])
    found = run.summary["relation"]["likelihood"]
    line("law of the found: c", found["c"], found["c_err"], LAW["c"])
    # all compact objects above the limit, background and all, as the run counts them
    flux = sum(np.asarray(truth[name], float) for name in truth.colnames if name.startswith("flux_"))
    alike = chosen(truth, cells, np.isin(kind, COMPACT) & (flux >= run.summary["truth"]["flux_limit_nJy"]))
    every = fit_counts(cells, side, radius, count=cells.count(alike["ra"], alike["dec"]), thorough=False)
    line("law of all planted compact: c", every.law.c, every.c_err, LAW["c"])
    line("share seen beside brighter ones", found["recovery"], math.nan, math.nan)
    own, theirs = (fit_cored(sample_of(cells, one), elliptical=True) for one in (catalogue(run), alike))
    for name in ("ln_core", "slope"):
        line(f"profile of the found: {name}", own[name], own.robust_error(name), theirs[name])
    shape, true_shape = shape_of(own), shape_of(theirs)
    line("its axis ratio", shape.axis_ratio, shape.axis_ratio_err, true_shape.axis_ratio)
    line("its position angle", shape.position_angle, shape.position_angle_err, true_shape.position_angle)
    declared = config.Convergence(path=kappa, lens_scaling=1.0)
    given = read_convergence(declared, cosmology(run.config.cosmology), run.config.cluster.redshift)
    mean, _ = given.mean_within(run.config.cluster.ra, run.config.cluster.dec, 60.0)
    line("mean kappa(<60 arcsec), s = 1", run.summary["mass"]["mean_kappa_within_60arcsec"] / given.factor, math.nan,
         mean / given.factor)  # fmt: skip
    told = run.summary["truth"]["profile"]
    for r_lo, r_hi, n, apart in zip(
        told["r_lo"], told["r_hi"], np.asarray(run.profile["n_gc"]), told["n_apart"], strict=True
    ):
        line(f"sources, {r_lo:g} to {r_hi:g} arcsec", n, math.sqrt(n), apart)
    line("M_lens(<60 arcsec), 1e14", run.summary["mass"]["lens_within_60arcsec_msun"] / 1e14, math.nan, 3.24)


def chosen(truth: QTable, cells: SkyCells, use: np.ndarray) -> dict[str, np.ndarray]:
    """Return places and fields of some of the planted objects, those on kept cells of the sky grid."""
    use = use & (np.asarray(truth["field"]).astype(str) != "")
    found = {name: np.asarray(truth[name], float)[use] for name in ("ra", "dec")}
    found["field"] = np.asarray(truth["field"]).astype(str)[use]
    there = cells.owned(**found) & cells.kept_at(found["ra"], found["dec"])
    return {name: values[there] for name, values in found.items()}


def catalogue(run: tilegc.run_folder.Run) -> dict[str, np.ndarray]:
    """Return the sources that the run compares with kappa."""
    table = run.catalogue
    limit = max(one["threshold"] for one in run.summary["fields"].values()) * run.config.detect.keep
    use = np.asarray(table["peak"].value) >= limit
    columns = {
        "ra": table["ra"].value,
        "dec": table["dec"].value,
        "field": np.asarray(table["field"]).astype(str),
    }
    return {name: values[use] for name, values in columns.items()}


def line(name: str, value: float, error: float, true: float) -> None:
    pull = (value - true) / error if np.isfinite(error) and error > 0 else math.nan
    print(f"{name:28s} {value:10.4f} {error:8.4f} {true:8.4f} {pull:6.2f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(text) for text in sys.argv[3:]))
