"""Two clusters about to merge, through the whole chain: one half calibrates the law, the other gets its convergence.

    python -m benchmarks.merging_pair DIR [SEED]

One sky is simulated over two clumps. The run of the western half, the eastern masked, has the convergence map; that of
the eastern half has none, and `predict` gives it one. Places 8 arcsec apart are compared with the map that was planted.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import yaml

import tilegc
from benchmarks.planted import write_map
from tilegc.prediction import predict
from tilegc.run_folder import open_run
from tilegc.schema import FILES
from tilegc.simulation import simulate
from tilegc.simulation.mass import AnalyticMass, Clump
from tilegc.simulation.presets import find_preset

PAIR = AnalyticMass(
    (
        Clump(peak=1.3, core=9.0, slope=0.6, axis_ratio=0.8, position_angle=30.0, xi=-11.0, eta=-3.0),
        Clump(peak=1.0, core=7.0, slope=0.6, axis_ratio=0.85, position_angle=100.0, xi=11.0, eta=4.0),
    )
)
SIZE = (1600, 1200)
"""Sides of the fields, pixels."""
HALF, STEP = 215.0, 0.5
APART = 8.0
"""Distance of the places that are compared, arcsec: more than twice the smoothing's sigma."""


def planted(path: Path) -> Path:
    """Write the map of both clumps, source redshift 3."""
    preset, side = find_preset("small"), round(2 * HALF / STEP)
    along = (np.arange(side) - (side - 1) / 2) * STEP
    write_map(PAIR.kappa(*np.meshgrid(-along, along)), preset, STEP, path)
    return path


def half(mock: Path, side: str) -> Path:
    """Write the run file of one half, the other masked; the eastern one without a convergence map."""
    settings = yaml.safe_load(mock.read_text())
    east = 1.0 if side == "west" else -1.0  # what is masked
    cluster = settings["cluster"]
    ra = cluster["ra"] + east * 30.0 / 3600 / math.cos(math.radians(cluster["dec"]))
    region = mock.parent / f"not-{side}.reg"
    region.write_text(f'fk5\nbox({ra:.8f},{cluster["dec"]:.8f},60",120",0)\n')
    settings["fields"][0]["masks"] = [region.name]
    settings.pop("truth", None)
    if side == "east":
        settings.pop("convergence")
    path = mock.parent / f"{side}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def main(folder: str, seed: int = 1) -> None:
    """Simulate, run both halves, predict and compare."""
    place = Path(folder)
    kappa = planted(place / "kappa.fits")
    if not (place / "mock" / "run.yaml").exists():
        simulate(
            place / "mock",
            preset="small",
            size=SIZE,
            seed=seed,
            kappa=kappa,
            kappa_source_redshift=3.0,
            overwrite=True,
        )
    for side in ("west", "east"):
        if not (place / side / FILES.summary).exists():
            tilegc.run(half(place / "mock" / "run.yaml", side), place / side, workers=0, overwrite=True)
    west, east = open_run(place / "west"), open_run(place / "east")
    law = west.summary["relation"]["likelihood"]
    print(
        f"calibration: c = {law['c']:.3f} ± {law['c_err']:.3f}, floor {law['floor']:.3f}, {law['n_sources']} sources"
    )
    found = predict(east, west)
    sky = east.sky()
    xi, eta = np.meshgrid(sky["xi"].to_numpy(), sky["eta"].to_numpy())
    true = PAIR.kappa(xi, eta)
    # Half of the kernel lies on the masked half nearer than this.
    inside = np.isfinite(found.kappa) & (xi > 3.0) & (np.hypot(xi, eta) < 30.0)
    step = round(APART / float(sky.attrs["cell_arcsec"]))
    apart = np.zeros(xi.shape, bool)
    apart[step // 2 :: step, step // 2 :: step] = True
    pull = ((found.kappa - true) / found.error)[inside & apart]
    ratio = (found.kappa / true)[inside]
    print(
        f"prediction: {pull.size} places, pull {pull.mean():+.2f} ± {pull.size**-0.5:.2f}, scatter {pull.std():.2f}"
    )
    print(
        f"kappa over the planted: {ratio.mean():.3f}, rms {ratio.std():.3f}; scatter of the law {found.scatter:.2f}"
    )
    for line in found.warnings:
        print(f"warning: {line}")


if __name__ == "__main__":
    main(sys.argv[1], *(int(text) for text in sys.argv[2:]))
