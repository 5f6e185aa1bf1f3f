"""The whole way of the data, from FITS images to a report.

FITS -> store -> mask -> detection map -> candidates -> catalogue -> density -> statistics -> report.
Each line of `_chain` is a stage of `tilegc.stages`; maps stay in the store, tables and numbers come back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tilegc import cluster, stages
from tilegc.config import RunConfig, load
from tilegc.engine import Engine, FieldTiles, Progress
from tilegc.geometry import TileGrid
from tilegc.io import store
from tilegc.io.convergence import Kappa, read_convergence
from tilegc.io.fits import FieldSource, file_digests, probe_field
from tilegc.io.tables import read_parquet
from tilegc.report import write_report
from tilegc.run_folder import Run, RunFolder, open_run
from tilegc.schema import SCHEMA_VERSION
from tilegc.sky import SkyGrid, check_centre, cosmology
from tilegc.stages import (
    density,
    detection_map,
    ingest,
    mask,
    masses,
    noise,
    peaks,
    plan,
    products,
    profile,
    relation,
    setup,
    sky_grid,
    truth,
)
