"""`tilegc complete`: more artificial stars in a finished run, as if it had been started with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.support import mock
from tests.support.command import listing, tilegc
from tilegc import completing, open_run, running
from tilegc.engine.serial import SerialEngine
from tilegc.errors import ConfigError, RunFolderError
from tilegc.run_folder import PRODUCTS, verify
from tilegc.schema import FILES

pytestmark = pytest.mark.usefixtures("no_report")

FEW, MANY = 150, 260


class Power(BaseException):
    """An exception that nothing may catch, like a power failure."""


def run_file(folder: Path, stars: int) -> Path:
    return mock.write_inputs(
        folder,
        recipe="calibrated",
        tiles={"size": 60},
        convergence=None,
        inpaint={"realisations": 2},
        completeness={"stars": stars},
    )


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    return running.run(run_file(folder, FEW), folder / "run", workers=0).path


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    return running.run(run_file(folder, MANY), folder / "run", workers=0).path


@pytest.fixture
def finished(few, tmp_path):
    return Path(shutil.copytree(few, tmp_path / "run"))


def products(folder: Path) -> dict[str, bytes]:
    summary = json.loads((folder / FILES.summary).read_text())
    del summary["timing"]
    names = [name for name in PRODUCTS if name != FILES.summary and (folder / name).exists()]
    maps = [f"{FILES.maps}/{path.name}" for path in sorted((folder / FILES.maps).iterdir())]
    return {name: (folder / name).read_bytes() for name in [*names, *maps]} | {
        FILES.summary: json.dumps(summary).encode()
    }


def interrupted(patch: pytest.MonkeyPatch, after: int) -> None:
    """Pull the plug after so many tiles of stars."""
    done = []

    def do(self, books, function, common, unit, ordinary=SerialEngine._do):
        if books.name == "completeness: stars":
            if len(done) == after:
                raise Power
            done.append(unit.key)
        return ordinary(self, books, function, common, unit)

    patch.setattr(SerialEngine, "_do", do)


def injected(patch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that will hold how many stars each tile got."""
    numbers: list[int] = []

    def do(self, books, function, common, unit, ordinary=SerialEngine._do):
        if books.name == "completeness: stars":
            numbers.append(unit.payload[2].number.size)
        return ordinary(self, books, function, common, unit)

    patch.setattr(SerialEngine, "_do", do)
    return numbers


def test_the_same_bytes_as_with_as_many_stars_from_the_start(finished, few, many, monkeypatch):
    """An interruption makes no difference, and stars that are done are not put in again."""
    with monkeypatch.context() as patch:
        interrupted(patch, 5)
        with pytest.raises(Power):
            completing.complete(finished, MANY, workers=0)
    assert verify(finished)
    numbers = injected(monkeypatch)
    completing.complete(finished, workers=0)
    assert verify(finished) == []
    assert products(finished) == products(many)
    changed = {name for name, content in products(few).items() if products(finished)[name] != content}
    assert {FILES.artificial, FILES.completeness, FILES.candidates, "maps/a_completeness.fits"} <= changed
    asked = {
        name: field["artificial_stars"]
        for name, field in json.loads((finished / FILES.summary).read_text())["fields"].items()
    }
    assert asked == {"a": MANY, "b": MANY}
    ends = {path.name for path in (finished / FILES.ledger).glob("stars-*")}
    assert len(ends) == 4
    first = {int(name.split("-")[2]) for name in ends if name.startswith("stars-b")}
    last = max(
        int(name.removesuffix(".parquet").split("-")[3]) for name in ends if name.startswith("stars-b")
    )
    # Field a was done before the interruption.
    assert 0 < sum(numbers) <= last - max(first)
    assert tilegc("complete", finished, "--stars", MANY).code == 0  # nothing to add
    assert products(finished) == products(many)


def test_the_products_of_stars_belong_to_the_run(many):
    """Maps, depths and the luminosity function are listed, described and read."""
    run = open_run(many)
    summary = run.summary["luminosity"]
    assert summary["band"] == "F150W"
    assert (summary["reason"] is None) == (summary["turnover"] is not None) == (len(run.luminosity) > 0)
    assert len(run.artificial) > 2 * MANY * 0.7
    assert set(run.completeness["band"]) >= {"detection", *mock.BANDS}
    for name in ("p_recovery", "p_point", "p_gc", "p_gc_colour"):
        values = np.asarray(run.catalogue[name])
        known = values[np.isfinite(values)]
        assert ((known >= 0) & (known <= 1)).all(), name
    for name in run.fields:
        with fits.open(run.map_path(name, "completeness")) as images:
            assert [image.name for image in images] == ["COMPLETENESS", "ERROR"]
            shape = tuple(-(-side // 16) for side in mock.SHAPES[name])
            assert images[0].data.shape == images[1].data.shape == shape


@pytest.mark.parametrize("case", ["fewer", "too many", "damaged", "unfinished", "no stars", "no run"])
def test_refused_in_one_line_without_a_change(finished, case):
    arguments = ["--stars", str(FEW - 1 if case == "fewer" else 20_000_000 if case == "too many" else MANY)]
    if case == "damaged":
        (finished / FILES.catalogue_ecsv).write_text("no catalogue\n")
    if case in ("unfinished", "no stars"):
        manifest = json.loads((finished / FILES.manifest).read_text())
        del manifest["digest"]
        if case == "unfinished":
            manifest["state"] = "stopped"
        else:
            manifest["config"]["completeness"] = "off"
        (finished / FILES.manifest).write_text(json.dumps(manifest))
    if case == "no run":
        (finished / FILES.manifest).unlink()
        (finished / FILES.manifest_copy).unlink()
    before = listing(finished)
    found = tilegc("complete", finished, *arguments)
    assert found.code == 2
    assert len(found.err.strip().splitlines()) == 1
    said = {
        "fewer": f"{finished} has {FEW} artificial stars already",
        "too many": "more than 10000000",
        "damaged": "damaged: catalogue.ecsv: has changed",
        "unfinished": "not finished (state: stopped)",
        "no stars": "has no artificial stars to add to",
        "no run": "no run",
    }[case]
    assert said in found.err
    assert listing(finished) == before


def test_inputs_that_have_changed_are_refused(finished, few, tmp_path):
    del tmp_path
    mosaic = next(few.parent.glob("*.fits"))
    content = mosaic.read_bytes()
    try:
        mosaic.write_bytes(content[:-2880] + bytes(2880))
        with pytest.raises((ConfigError, RunFolderError)):
            completing.complete(finished, MANY, workers=0)
    finally:
        mosaic.write_bytes(content)
    assert verify(finished) == []
