"""`python -m benchmarks.relation_chain`: simulated clusters through the whole chain, and the law that comes back."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.planted import fluxes, kinds, law_of
from tilegc import running
from tilegc.io.tables import read_parquet
from tilegc.simulation import simulate
from tilegc.skygrid.cells import read_sky_cells

PLANTED_C = 1 / 0.7
"""Power of the law by which sources are planted, n = (kappa / 0.4)^(1 / 0.7)."""


def measure(preset: str, seed: int, workers: int, place: Path) -> dict[str, float]:
    """Simulate one cluster, run the chain, and return both laws."""
    folder = place / f"{preset}-{seed}"
    simulate(folder, preset=preset, seed=seed)
    run = running.run(folder / "run.yaml", folder / "run", workers=workers)
    relation, truth = run.summary["relation"], run.summary["truth"]
    law = relation["likelihood"]
    ranking = {str(row["map"]): int(row["rank"]) for row in run.ranking}
    cells, objects = read_sky_cells(run.sky().load()), read_parquet(folder / "truth.parquet")
    bright = fluxes(objects) >= truth["flux_limit_nJy"]
    discs = run.config.relation.galaxy_light == "off"
    chosen = bright & np.isin(kinds(objects), ("gc", "background_point"))
    planted = law_of(run, cells, objects, chosen, discs=discs)
    other = {str(row["sample"]): float(row["c"]) for row in run.sensitivity}
    members = law["members"] or {}
    shutil.rmtree(folder)
    return {
        "c": law["c"] or np.nan,
        "c_err": law["c_err"] or np.nan,
        "floor": law["floor"],
        "n": law["n_sources"],
        "c_of_planted": planted.law.c,
        "c_discs_left_out": other["members_removed"],
        "c_no_term": other["members_kept"],
        "share_of_members": members.get("share") or np.nan,
        "c_systematic": law.get("c_err_systematic") or np.nan,
        "binned": relation["boxes"]["index"] or np.nan,
        "planted_binned": truth["index"] or np.nan,
        "rank": ranking["kappa"],
        "completeness": truth["completeness"] or np.nan,
    }


def main() -> None:
    """Run the mocks and print a line each."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.relation_chain", description=main.__doc__)
    options.add_argument("--preset", default="small")
    options.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23, 24, 25, 26])
    options.add_argument("--workers", type=int, default=0)
    given = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for seed in given.seeds:
            row = measure(given.preset, seed, given.workers, Path(place))
            rows.append(row)
            print(f"{given.preset} {seed}: " + ", ".join(f"{k} {v:.3f}" for k, v in row.items()), flush=True)
    c, err = (np.array([row[key] for row in rows]) for key in ("c", "c_err"))
    print(
        f"c less planted {np.nanmean(c - PLANTED_C):+.3f} ± {np.nanstd(c) / len(c) ** 0.5:.3f}; pulls",
        np.round((c - PLANTED_C) / err, 2),
    )
    chain = c - np.array([row["c_of_planted"] for row in rows])
    print(
        f"c less that of its planted sources {np.nanmean(chain):+.3f} ± {np.nanstd(chain) / len(c) ** 0.5:.3f}"
    )


if __name__ == "__main__":
    main()
