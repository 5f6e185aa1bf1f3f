"""What the run file asks of the map of the law: sharpened, displaced or refused, without stars; a floor that varies."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.relation.test_assumptions import KAPPA, REACH, TRUE, F, R, cells, law
from tilegc.relation.map_changes import displaced
from tilegc.relation.options import law_map, slope_error

PLAIN = {
    "box": 3.0,
    "max_radius": REACH,
    "min_radius": 0.0,
    "floor": "flat",
    "background_slope": None,
    "background_slope_err": 0.1,
    "central_galaxy": "keep",
    "registration": "off",
    "max_offset": 3.0,
}


def asked(sky, resolution=None, central=None, **relation):
    config = SimpleNamespace(
        relation=SimpleNamespace(**(PLAIN | relation)), convergence=SimpleNamespace(resolution=resolution)
    )
    gridded = SimpleNamespace(
        cells=sky,
        in_law=np.ones(TRUE.shape, bool),
        recovery=np.ones(TRUE.shape),
        light=None,
        central_light=central,
    )
    return config, law_map(config, gridded, KAPPA)


def test_nothing_changes_unless_it_is_asked_for():
    sky = cells(law(TRUE) + F)
    config, use = asked(sky)
    assert use.cells is sky
    assert use.kappa is KAPPA
    assert use.changes == {}
    assert use.frame.floor.shape is None
    assert use.frame.floor.tilt is None
    assert np.isnan(slope_error(config, use))


@pytest.mark.parametrize(
    ("shift", "most", "verdict"),
    [((2.0, -1.0), 3.0, "applied"), ((2.0, -1.0), 1.0, "refused"), ((0.0, 0.0), 3.0, "not significant")],
)
def test_the_map_is_displaced_if_that_is_sure_and_near(shift, most, verdict):
    sky = cells(3 * law(displaced(cells(TRUE), KAPPA, *shift, 60.0)) + F)
    _, use = asked(sky, registration="auto", max_offset=most)
    told = use.changes["registration"]
    assert told["verdict"] == verdict
    assert told["xi_arcsec"] == pytest.approx(shift[0], abs=4 * told["xi_err"])
    assert told["eta_arcsec"] == pytest.approx(shift[1], abs=4 * told["eta_err"])
    moved = displaced(sky, KAPPA, told["xi_arcsec"], told["eta_arcsec"], REACH)
    np.testing.assert_array_equal(use.cells.kappa, moved if verdict == "applied" else TRUE)
    assert not use.frame.movable


def test_stars_are_removed_from_the_cells():
    central = (1 + R / 2) ** -2.0 * 2.25
    sky = cells(3 * law(TRUE) + F, TRUE + 0.4 * central)
    _, use = asked(sky, central=central, central_galaxy="light")
    told = use.changes["central_galaxy"]
    assert told["kappa_at_1_arcsec"] == pytest.approx(0.4, abs=4 * told["err"])
    np.testing.assert_allclose(use.cells.kappa, sky.kappa - told["kappa_at_1_arcsec"] * central)
    assert use.frame.central is None


def test_unknown_light_of_the_central_galaxy_is_said(caplog):
    sky = cells(law(TRUE) + F)
    with caplog.at_level("WARNING", "tilegc"):
        _, use = asked(sky, central_galaxy="light")
    assert use.cells is sky
    assert "light of the central galaxy is not known" in caplog.text


def test_resolution_and_floor_are_those_of_the_run_file():
    sky = cells(law(TRUE) + F)
    config, use = asked(sky, resolution=2.0, floor="linear", background_slope=0.2)
    assert use.changes == {"resolution_arcsec": 2.0}
    assert use.cells.kappa[36, 36] > sky.kappa[36, 36]
    assert use.frame.floor.tilt == 60.0
    near = R < REACH
    assert (use.frame.floor.shape[near] < 1).mean() > 0.5
    assert (use.frame.floor.shape[~near] == 1).all()
    assert 0 < slope_error(config, use) < 1
    none = replace(use, frame=replace(use.frame, recovery=np.zeros(R.shape)))
    assert not none.frame.fit(none.cells).law.found
