"""Mock clusters: FITS mosaics, a kappa map, the truth and a run file.

>>> from tilegc.simulation import simulate
>>> simulate("mock", preset="tiny", seed=1)  # doctest: +SKIP
PosixPath('mock/run.yaml')
"""

from __future__ import annotations

from tilegc.simulation.make import simulate
from tilegc.simulation.presets import PRESETS, Preset

__all__ = ["PRESETS", "Preset", "simulate"]
