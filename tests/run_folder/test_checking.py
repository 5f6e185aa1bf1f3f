"""Files of a finished run are compared with its manifest when they are read, and the manifest with its digest."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.run_folder.test_run_folder import create, listing, write_products
from tests.support.command import tilegc
from tilegc.errors import RunFolderError
from tilegc.geometry import Box
from tilegc.run_folder import manifest as manifests
from tilegc.run_folder import open_run, status, verify
from tilegc.run_folder.checking import Check

COPY = ".manifest.copy.json"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("checked") / "run"
    with create(path, plan={"ingest": 2}) as folder:
        folder.ledger.mark("ingest", ["a/0", "b/0"])
        write_products(folder)
        folder.finish({"total_s": 1.5})
    return path


@pytest.fixture
def finished(original, tmp_path):
    return shutil.copytree(original, tmp_path / "run")


def flip(path, draw):
    content = bytearray(path.read_bytes())
    content[draw.integers(len(content))] ^= 1 << int(draw.integers(8))
    path.write_bytes(content)


def files_of(folder, product):
    """Return the files that a product consists of: of a store its own metadata only."""
    path = folder / product
    if path.is_file():
        return [path]
    if path.name.endswith(".zarr"):
        return [path / "zarr.json"]
    return [file for file in sorted(path.rglob("*")) if file.is_file()]


def json_of(path):
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def test_every_file_of_every_product_is_compared(finished):
    draw = np.random.default_rng(21)
    content = manifests.read(finished)
    products, fields = content["products"], content["fields"]
    cases = 0
    for product in products:
        for file in files_of(finished, product):
            before = file.read_bytes()
            damage = ("flip", "truncate", "delete")[cases % 3]
            if damage == "flip":
                flip(file, draw)
            elif damage == "truncate":
                file.write_bytes(before[:-1])
            else:
                file.unlink()
            with pytest.raises(RunFolderError, match=r"has changed|is missing") as caught:
                Check(finished, {"fields": fields}, products).require(product)
            assert product in str(caught.value)
            file.write_bytes(before)
            cases += 1
    Check(finished, {"fields": fields}, products).require(*products)
    assert cases > 30


def test_what_a_run_gives_is_compared_before_it_is_read(finished):
    run = open_run(finished)
    assert run.summary == {"n_detected": 3}
    (finished / "summary.json").write_text('{"n_detected": 4}')
    assert run.summary["n_detected"] == 4, "once per opened run"
    with pytest.raises(RunFolderError, match=r"summary.json: has changed .*tilegc verify"):
        _ = open_run(finished).summary
    assert open_run(finished, check=False).summary["n_detected"] == 4
    flip(finished / "store/a.zarr/mask/c/0/0", np.random.default_rng(1))
    open_run(finished).window("b", "mask", Box(0, 0, 8, 8))
    open_run(finished).window("a", "detection", Box(0, 0, 8, 8))
    for read in (lambda run: run.field("a"), lambda run: run.window("a", "mask", Box(0, 0, 8, 8))):
        with pytest.raises(RunFolderError, match=r"store/a.zarr/mask: has changed"):
            read(open_run(finished))
    for name in ("catalogue", "candidates", "inpainted", "ranking", "profile", "masses", "stars", "purity"):
        path = next(finished.glob(f"{name}.*"), None)
        for one in finished.glob(f"{name}.*"):
            one.write_text("1")
        assert path is not None
        with pytest.raises(RunFolderError, match=f"{name}.* has changed"):
            getattr(open_run(finished), name)


def test_commands_refuse_what_has_changed(finished):
    for damaged in ("summary.json", "candidates.parquet", "catalogue.parquet"):
        (finished / damaged).write_text("{}")
    for command in (("report", finished), ("export", finished, "ecsv"), ("study", "mask", finished)):
        found = tilegc(*command)
        assert found.code == 2
        assert found.err.count("\n") == 1
        assert "has changed since the run wrote it" in found.err


@pytest.mark.parametrize("seed", range(3))
def test_any_bit_of_a_manifest(original, finished, seed):
    """A damaged manifest is read from its copy; if both are damaged an error says so, whatever valid JSON they still
    are."""
    draw = np.random.default_rng(seed)
    path, copy = finished / "manifest.json", finished / COPY
    before, content = path.read_bytes(), manifests.read(finished)
    told = 0
    for _ in range(60):
        flip(path, draw)
        assert manifests.read(finished) == content
        told += manifests.is_damaged(finished)
        flip(copy, draw)
        if manifests.is_damaged(finished) and json_of(copy) != json_of(original / COPY):
            for look in (manifests.read, open_run, status, verify):
                with pytest.raises(RunFolderError, match="damaged"):
                    look(finished)
        path.write_bytes(before)
        copy.write_bytes(before)
    assert told > 50, "a flipped bit of white space changes nothing"


@pytest.mark.parametrize("damage", [b"", b"{torn", b"[]", b'{"name": "a web app"}', None])
def test_overwrite_leaves_a_folder_with_a_damaged_manifest(finished, damage):
    path = finished / "manifest.json"
    content = manifests.read(finished)
    path.unlink() if damage is None else path.write_bytes(damage)
    before = listing(finished)
    damaged = pytest.raises(RunFolderError, match=r"manifest.json: damaged.*nothing was changed")
    with damaged, create(finished, overwrite=True):
        pass
    assert listing(finished) == before
    assert verify(finished) == [f"manifest.json: damaged; copy {COPY} over it"]
    with create(finished, resume=True) as folder:
        assert folder.manifest["products"] == content["products"]
        folder.finish()
    assert not manifests.is_damaged(finished)
    assert verify(finished) == []


def test_an_altered_number_is_damage(finished):
    for name in ("manifest.json", COPY):
        content = json.loads((finished / name).read_bytes())
        content["config"]["cluster"]["redshift"] = 0.31
        (finished / name).write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="damaged"):
        open_run(finished)


def test_a_manifest_without_a_digest_is_of_an_earlier_version(finished):
    content = manifests.read(finished)
    (finished / COPY).unlink()
    (finished / "manifest.json").write_text(json.dumps(content))
    assert manifests.read(finished) == content
    assert not manifests.is_damaged(finished)
