"""Globular clusters planted over a published kappa map, the whole chain, and what of the truth comes back.

    python -m benchmarks.real_lens KAPPA.fits DIR [SEED [ends]]

The map is scaled to D_LS/D_S = 1, as those of the Hubble Frontier Fields are. It holds where there are lensed images:
beyond `REACH` it falls to nothing within the field beside the cluster, where a halo would go on. So the mock goes on
from the mean there as an isothermal halo does, not with the slope that the fit presumes; with `ends` it does not.
Laws are fitted to what was planted and to what was found: the first show the method, the last the whole chain.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from astropy.table import QTable

import tilegc
import tilegc.run_folder
from benchmarks.planted import fluxes, kinds, law_of, write_map
from tilegc import config
from tilegc.io.convergence import read_convergence
from tilegc.io.tables import read_parquet
from tilegc.radial.profile_laws import fit_cored, fitted_shape
from tilegc.radial.radial_laws import sample_of
from tilegc.schema import FILES
from tilegc.simulation import simulate
from tilegc.simulation.population import LIMIT
from tilegc.simulation.presets import find_preset
from tilegc.sky import SkyGrid, cosmology
from tilegc.skygrid.cells import SkyCells, read_sky_cells

SIZE = (2400, 1400)
REACH = 60.0
"""Radius, arcsec, out to which the published map is used."""
HALF, STEP = 215.0, 0.25
"""Half the side and pixel of the map that is planted, arcsec: out to the far side of the field beside the cluster."""
COMPACT = ("gc", "member_gc", "background_point", "background_extended", "arc_clump")
LAW = {"ln a": -math.log(0.4) / 0.7, "c": 1 / 0.7}
"""kappa = 0.4 n^0.7, brighter than F150W = 30.9."""


def continued(kappa: str, path: Path) -> Path:
    """Write the map, isothermal beyond `REACH`, as FITS of D_LS/D_S = 1."""
    preset = find_preset("as1063")
    declared = config.Convergence(path=kappa, lens_scaling=1.0)
    given = read_convergence(declared, cosmology(config.Cosmology()), preset.redshift)
    side = round(2 * HALF / STEP)
    along = (np.arange(side) - (side - 1) / 2) * STEP
    xi, eta = np.meshgrid(-along, along)
    radius = np.hypot(xi, eta)
    values = given.at(*SkyGrid(preset.ra, preset.dec, STEP).radec(xi, eta)) / given.factor
    rim = float(np.nanmean(values[np.abs(radius - REACH) < 2.0]))
    values = np.where(radius < REACH, values, rim * REACH / np.maximum(radius, 1.0))
    write_map(values, preset, STEP, path)
    return path


def main(kappa: str, folder: str, seed: int = 2, ends: str = "") -> None:
    """Simulate, run, compare and print."""
    place = Path(folder)
    if not ends:
        kappa = str(continued(kappa, place / "kappa.fits"))
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
    truth = read_parquet(place / "mock" / "truth.parquet")
    kind, flux = kinds(truth), fluxes(truth)
    mag, bright = np.asarray(truth["mag_f150w"], float), flux >= run.summary["truth"]["flux_limit_nJy"]
    planted = law_of(run, cells, truth, (kind == "gc") & (mag < LIMIT))
    print(f"{'':34s} {'value':>10s} {'err':>8s} {'truth':>8s} {'pull':>6s}")
    errors = np.sqrt(np.diag(planted.covariance))
    line("law of the planted: ln a", planted.law.ln_a, errors[0], LAW["ln a"])
    line("law of the planted: c", planted.law.c, errors[1], LAW["c"])
    point = np.isin(kind, ("gc", "background_point"))
    for name, chosen, term in (
        ("GCs above the run's limit", kind == "gc", False),
        ("and background points", point, False),
        ("and GCs of members", point | (kind == "member_gc"), False),
        ("and the term for them", point | (kind == "member_gc"), True),
    ):
        one = law_of(run, cells, truth, chosen & bright, term=term)
        line(f"planted: c of {name}", one.law.c, one.c_err, LAW["c"])
    found = run.summary["relation"]["likelihood"]
    line("law of the found: c", found["c"], found["c_err"], LAW["c"])
    print(
        f"members: {found['members']}; systematic {found['c_err_systematic']}: {found['c_err_systematic_parts']}"
    )
    for row in run.sensitivity:
        if row["sample"] in {"members_removed", "members_kept", "no_outer_field"}:
            line(f"found: c, {row['sample']}", float(row["c"]), float(row["c_err"]), LAW["c"])
    alike = chosen_places(truth, cells, np.isin(kind, COMPACT) & bright)
    line("share seen beside brighter ones", found["recovery"], math.nan, math.nan)
    own, theirs = (fit_cored(sample_of(cells, one), elliptical=True) for one in (catalogue(run), alike))
    for name in ("ln_core", "slope"):
        line(f"profile of the found: {name}", own[name], own.robust_error(name), theirs[name])
    shape, true_shape = fitted_shape(own), fitted_shape(theirs)
    line("its axis ratio", shape.axis_ratio, shape.axis_ratio_err, true_shape.axis_ratio)
    line("its position angle", shape.position_angle, shape.position_angle_err, true_shape.position_angle)
    declared = config.Convergence(path=kappa, lens_scaling=1.0)
    given = read_convergence(declared, cosmology(run.config.cosmology), run.config.cluster.redshift)
    mean, _ = given.mean_within(run.config.cluster.ra, run.config.cluster.dec, 60.0)
    line(
        "mean kappa(<60 arcsec), s = 1",
        run.summary["mass"]["mean_kappa_within_60arcsec"] / given.factor,
        math.nan,
        mean / given.factor,
    )
    told = run.summary["truth"]["profile"]
    for r_lo, r_hi, n, apart in zip(
        told["r_lo"], told["r_hi"], np.asarray(run.profile["n_gc"]), told["n_apart"], strict=True
    ):
        line(f"sources, {r_lo:g} to {r_hi:g} arcsec", n, math.sqrt(n), apart)
    line("M_lens(<60 arcsec), 1e14", run.summary["mass"]["lens_within_60arcsec_msun"] / 1e14, math.nan, 3.24)


def chosen_places(truth: QTable, cells: SkyCells, use: np.ndarray) -> dict[str, np.ndarray]:
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
    print(f"{name:34s} {value:10.4f} {error:8.4f} {true:8.4f} {pull:6.2f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *(int(text) for text in sys.argv[3:4]), *sys.argv[4:])
