"""Mock clusters and samples of them: FITS mosaics, a kappa map, the truth and a run file.

>>> from tilegc.simulation import simulate
>>> simulate("mock", preset="tiny", seed=1)  # doctest: +SKIP
PosixPath('mock/run.yaml')
"""

from __future__ import annotations

from tilegc.simulation.make import simulate
from tilegc.simulation.presets import PRESETS, Preset
from tilegc.simulation.sample import MockCluster, draw_sample, simulate_sample

__all__ = ["PRESETS", "MockCluster", "Preset", "draw_sample", "simulate", "simulate_sample"]
