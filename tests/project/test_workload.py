"""Workers are started where they pay for their start."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tilegc.config import resolve
from tilegc.geometry import Box
from tilegc.workload import seconds_of_work, workers_pay

CONTENT = {
    "recipe": "diego2026",
    "cluster": {"name": "c", "redshift": 0.3, "ra": 10.0, "dec": -30.0},
    "fields": [{"name": "f", "bands": {"F115W": {"sci": "a.fits"}}}],
}


def field(side: int) -> SimpleNamespace:
    return SimpleNamespace(box=Box(0, 0, side, side), bands=("F115W",), pixel_area=0.03**2)


@pytest.mark.parametrize(
    ("side", "cores", "pay"), [(4096, 2, False), (4096, 64, False), (16384, 2, True), (30000, 1, False)]
)
def test_a_catalogue_of_one_module_is_made_before_workers_have_started(side, cores, pay):
    assert workers_pay(resolve(CONTENT), [field(side)], "catalogue", cores) is pay


def test_every_further_step_is_more_work():
    def seconds(until="catalogue", **more):
        return seconds_of_work(resolve(CONTENT | more), [field(4096)], until)

    more = {"recipe": "calibrated", "completeness": "off"}
    assert seconds(**more, photometry="off") < seconds(**more) < seconds(recipe="calibrated")
    kappa = {"path": "kappa.fits", "source_redshift": 3.0}
    assert seconds() < seconds(None) < seconds(None, convergence=kappa)
