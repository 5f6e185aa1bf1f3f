"""`tilegc.detect_in`: plain arrays give what a run gives; no chain of sources comes out of a smooth arc."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

import tilegc
from tests.support import mock
from tilegc import running
from tilegc.errors import InputError
from tilegc.in_memory import SKY, Detections
from tilegc.io import store
from tilegc.schema import FILES

ARCS = "as1063_jwst_nircam_arcs_f115w_f150w_f200w.fits"
BANDS = ("F115W", "F150W", "F200W")
REACH = 25.0
"""Pixels between neighbours of a chain."""


@pytest.mark.parametrize("recipe", ["diego2026", "calibrated"])
def test_the_bytes_of_a_run_with_one_tile(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mock.no_report(monkeypatch)
    path = mock.write_inputs(tmp_path, recipe=recipe, ingest="always")
    content = yaml.safe_load(path.read_text())
    content["fields"] = [{**content["fields"][0], "masks": []}]
    content["tiles"] = {"size": 2048}
    content |= {"photometry": "off", "completeness": "off"}  # detect_in ends at the peaks
    content.pop("convergence")
    path.write_text(yaml.safe_dump(content))
    run = running.run(path, workers=0)
    data = run.field("a").load()
    scale = store.attributes(str(run.path / FILES.store / "a.zarr"))["pixel_scale_arcsec"]
    sections = {name: content[name] for name in ("mask", "filter", "detect") if name in content}
    found = tilegc.detect_in(
        dict(zip(mock.BANDS, data.sci.values, strict=True)),
        dict(zip(mock.BANDS, data.wht.values, strict=True)),
        err=dict(zip(mock.BANDS, data.err.values, strict=True)),
        scale=scale,
        recipe=recipe,
        **sections,
    )
    for name in ("detection", "mask", "light"):
        assert getattr(found, name).tobytes() == data[name].values.tobytes(), name
    assert found.mask.any()
    for ours, theirs in ((found.catalogue, run.catalogue), (found.candidates, run.candidates)):
        assert len(theirs) > 20
        assert [*ours] == [name for name in theirs.colnames if name not in SKY]
        for name, column in ours.items():
            np.testing.assert_array_equal(column, np.asarray(theirs[name]).astype(column.dtype), name)
    assert found.sigma == run.summary["fields"]["a"]["sigma"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bands": {}}, "bands: empty; give at least one"),
        ({"bands": {"F": np.zeros(4)}}, "band 'F'.*two-dimensional"),
        ({"bands": {"F": np.zeros((4, 4), complex)}}, "band 'F'.*complex"),
        ({"bands": {"F": np.zeros((4, 4)), "G": np.zeros((4, 5))}}, r"band 'G': shape \(4, 5\).*one grid"),
        ({"wht": {"G": np.ones((4, 4))}}, "wht: 'G' is not one of the bands"),
        ({"wht": {"F": np.ones((3, 4))}}, r"wht of band 'F': shape \(3, 4\)"),
        ({"scale": 0.0}, "scale: 0.0 must be a positive number of arcsec"),
        ({"recipe": "best"}, "recipe"),
        ({"density": {}}, "density: not a section of the detection settings"),
        ({"mask": {"edge": "wide"}}, "mask.edge"),
    ],
)
def test_bad_input_is_one_line(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        tilegc.detect_in(**{"bands": {"F": np.zeros((4, 4))}, "scale": 0.03, **arguments})
    assert "\n" not in str(caught.value)


def longest_chain(found: Detections) -> int:
    """Return how many detections follow one another along extended light, the neighbours within `REACH` pixels.

    Extended is where the band sum, smoothed over 7 px, stands 5 times its own scatter above its median.
    """
    smooth = ndimage.gaussian_filter(found.light.astype(float), 3.0)
    faint = smooth[smooth < np.median(smooth)]
    scatter = 1.4826 * np.median(np.median(smooth) - faint)
    y, x = found.catalogue["y_peak"], found.catalogue["x_peak"]
    on = smooth[y, x] > np.median(smooth) + 5 * scatter
    places = np.column_stack([y, x])[on]
    if not len(places):
        return 0
    _, labels = connected_components(cdist(places, places) <= REACH, directed=False)
    return int(np.bincount(labels).max())


@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_chain_of_sources_along_the_arc_of_as1063(number: int, real_data: Path) -> None:
    with fits.open(real_data / "images" / ARCS) as hdus:
        scale = hdus["F200W_ARC1_SCI"].header["PIXSCALE"]
        bands = {
            name: hdus[f"{name}_ARC{number}_SCI"].data * (1e15 * np.radians(scale / 3600) ** 2)
            for name in BANDS
        }
    off = {"edge": "off", "extended": "off"}
    bare = tilegc.detect_in(bands, scale=scale, mask=off)
    assert longest_chain(bare) >= 3  # the chain is there if nobody masks it
    for recipe, most in (("diego2026", 0.12), ("calibrated", 0.36)):
        found = tilegc.detect_in(bands, scale=scale, recipe=recipe, mask={"edge": "off"})
        assert longest_chain(found) < 3
        assert len(found.catalogue["y"]) <= 3
        # Not because all is masked: what is extended takes a tenth, lines among the stripes of the noise a quarter.
        assert 0.02 < (found.mask != 0).mean() < most
