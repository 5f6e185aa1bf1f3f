"""What `plan` promises: memory that holds, and refusals before anything is written."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tilegc.errors import ResourceError
from tilegc.stages import plan as planning

MEASURE = """
import resource, sys
import numpy as np
import distributed, numba
from tilegc.config import Filter, Mask
from tilegc.engine import FieldTiles
from tilegc.engine.passes import do_tile
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.fits import BandSource, FieldSource
from tilegc.kernels.mesh import Mesh, nodes
from tilegc.schema import ARRAYS
from tilegc.stages import detection_map, mask, noise, peaks, plan, sky_grid

side, path, name = 1500, sys.argv[1], sys.argv[2]
bands = ("A", "B", "C", "D")
store.create(path, ARRAYS, shape=(side, side), bands=bands, shard=side, attrs={})
source = FieldSource("f", (side, side), tuple(BandSource(b, None) for b in bands), "", "", 0.03, 9e-4,
                     has_err=False, has_wht=True, store=path)
draw = np.random.default_rng(1)
for band in range(4):
    store.write(path, "sci", source.box, draw.normal(size=(side, side)).astype(np.float32), band=band)
    store.write(path, "wht", source.box, np.ones((side, side), np.float32), band=band)
for array in ("detection", "light", "rho"):
    store.write(path, array, source.box, draw.normal(size=(side, side)).astype(np.float32))
for array in ("flags", "mask", "objects", "regions"):
    store.write(path, array, source.box, np.zeros((side, side), np.uint8))
y, x = np.meshgrid(*nodes((side, side)), indexing="ij")
filtering = detection_map.filter_params(Filter(), Mask())
edge = mask.Edge.of(6.6, 0.03)
steps = {
    "filter": (detection_map.filter_pass(filtering, 4), filtering),
    "mask": (mask.mask_pass({"f": edge}), edge),
    "peaks": (peaks.PEAKS, peaks.PeakParams(0, np.float32(1.0), 3.0)),
    "sky-grid": (sky_grid.CELLS, sky_grid._CellParams(0, Mesh(x * 0.03, y * 0.03), 0.3)),
}
step, params = steps[name]
tiles = FieldTiles(source, path, TileGrid(source.shape, side))
do_tile((step, {"f": tiles}, {"f": params}), ("f", 0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, plan.WORKER_BASE + step.window_bytes("f", tiles.grid))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["filter", "mask", "peaks", "sky-grid"])
def test_the_planned_memory_holds(tmp_path, name):
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "f.zarr"), name]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    measured, planned = map(int, out.stdout.split())
    assert measured <= planned <= 2 * measured


def test_a_plan_that_does_not_fit_is_refused():
    step = planning.Step("filter", 1000, 2**40, writes=True)
    reasons = planning._memory(planning.Plan((step,), 0, 0, ()), workers=4, fields=1)
    assert len(reasons) == 1
    assert "filter" in reasons[0]
    assert "tiles.size" in reasons[0]
    whole = planning.Step("rho", 1, 2**40, writes=True)
    assert "fewer --workers" in planning._memory(planning.Plan((whole,), 0, 0, ()), workers=4, fields=1)[0]
    with pytest.raises(ResourceError, match="rho"):
        planning.check(planning.Plan((whole,), 0, 0, ("rho does not fit",)))
