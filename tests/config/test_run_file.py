"""Run files as people write them: sexagesimal centres, several mistakes at once, absurd values."""

from __future__ import annotations

import time

import numpy as np
import pytest
import yaml
from astropy.coordinates import SkyCoord

from tests.support.command import tilegc
from tilegc.config import digest, dump, load, resolve
from tilegc.errors import ConfigError

HEAD = """recipe: calibrated
cluster: {name: x, redshift: 0.3, %s}
fields: [{name: a, bands: {F150W: a.fits}}]
"""


def loaded(tmp_path, text):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return load(path)


@pytest.mark.parametrize(
    "centre",
    [
        "ra: 342.18320833333, dec: -44.53083333333",
        "ra: 22:48:43.97, dec: -44:31:51",
        "ra: '22:48:43.97', dec: '-44:31:51'",
        "ra: 22h48m43.97s, dec: -44d31m51s",
        "ra: 22 48 43.97, dec: -44 31 51",
        "ra: 22h 48m 43.97s, dec: -44\u00b0 31' 51\\\"",
        "ra: 342d10m59.55s, dec: \u221244:31:51",
        "centre: '22:48:43.97 -44:31:51'",
        "centre: '22 48 43.97 -44 31 51'",
        "centre: 22h48m43.97s -44d31m51s",
        "centre: '342.18320833333 -44.53083333333'",
        "centre: '342.18320833333, -44.53083333333'",
        "centre: '22:48:43.97-44:31:51'",
    ],
)
def test_centres_as_they_are_written(centre, tmp_path):
    expected = SkyCoord("22:48:43.97 -44:31:51", unit=("hourangle", "deg"))
    text = HEAD % centre.replace('\\"', "''")
    cluster = loaded(tmp_path, text).cluster
    assert (cluster.ra, cluster.dec) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-9)


def test_the_numbers_that_yaml_makes_of_them():
    content = yaml.safe_load(HEAD % "ra: 22:48:43.97, dec: -44:31:51")
    assert isinstance(content["cluster"]["ra"], float)
    cluster = resolve(content).cluster
    assert (cluster.ra, cluster.dec) == pytest.approx((342.183208333, -44.530833333), abs=1e-8)


@pytest.mark.parametrize(
    ("ra", "degrees"), [("0:00:10", 10 / 240), ("00:05:30", 330 / 240), ("0:59:59", 3599 / 240)]
)
def test_small_right_ascensions_are_hours_too(ra, degrees, tmp_path):
    """As a number 0:05:30 would be 330, a valid right ascension in degrees."""
    assert loaded(tmp_path, HEAD % f"ra: {ra}, dec: -0:30:00").cluster.ra == pytest.approx(degrees, abs=1e-12)
    assert loaded(tmp_path, HEAD % f"ra: {ra}, dec: -0:30:00").cluster.dec == -0.5


@pytest.mark.parametrize(
    ("centre", "said"),
    [
        ("ra: 22:61:00, dec: 1", r"cluster\.ra: .*below 60"),
        ("ra: 25:00:00, dec: 1", r"cluster\.ra: .*less than 360"),
        ("ra: 1, dec: 91:00:00", r"cluster\.dec: .*90"),
        ("ra: 422, dec: 1", r"cluster\.ra: .*less than 360"),
        ("ra: 1, dec: 120", r"cluster\.dec: .*90"),
        ("ra: AS1063, dec: 1", r"cluster\.ra: 'AS1063' is not a number"),
        ("centre: AS1063", r"cluster: 'AS1063' is not a position"),
        ("centre: [1, 2]", r"cluster: give the centre as text"),
        ("centre: '1 2', ra: 1", r"cluster: give centre, or ra and dec"),
    ],
)
def test_centres_that_are_none(centre, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, HEAD % centre)


def test_all_mistakes_are_told_at_once():
    content = {
        "recipe": "best",
        "fields": [{"name": "a"}],
        "tile": 5,
        "mask": {"edge": "wide"},
        "detect": {"keep": 0},
        "cluster": {"name": "x", "redshift": 0.3, "ra": 1},
    }
    with pytest.raises(ConfigError) as caught:
        resolve(content, source="run.yaml")
    line = str(caught.value)
    assert line.startswith("run.yaml: 6 mistakes: (1) ")
    for key in ("recipe", "cluster.dec: required", "fields.0", "tile: unknown", "mask.edge", "detect.keep"):
        assert key in line
    assert "\n" not in line


def test_more_than_ten_mistakes():
    content = yaml.safe_load(HEAD % "ra: 1, dec: 1") | {f"wrong{k}": k for k in range(14)}
    with pytest.raises(ConfigError, match=r"14 mistakes: .*; and 4 more") as caught:
        resolve(content)
    assert len(str(caught.value)) < 480


@pytest.mark.parametrize(
    "key", ["recipe", "cluster", "fields", "ingest", "mask", "detect", "inpaint", "outputs", "tiles"]
)
@pytest.mark.parametrize(
    "value",
    [
        "[a]",
        "{a: [b]}",
        "!!set {a, b}",
        "2024-01-01",
        "!!binary aGVsbG8=",
        "1e400",
        ".inf",
        ".nan",
        "-1",
        "9" * 5000,
        "[[[[[[1]]]]]]",
        "'" + "z" * 100_000 + "'",
        "{1: {2: 3}}",
        "{[1, 2]: 3}",
        "{null: 1}",
    ],
)
def test_absurd_values_are_one_short_line(key, value, tmp_path):
    lines = [line for line in (HEAD % "ra: 1, dec: 1").splitlines() if not line.startswith(f"{key}:")]
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "\n".join([*lines, f"{key}: {value}"]))
    text = str(caught.value).replace(str(tmp_path), "")
    assert len(text) < 480
    assert text.isprintable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 3000, "nested deeper than"),
        ('recipe: "a\\0b"', "recipe: .* holds control characters; remove them"),
        ("{a: " * 900 + "1" + "}" * 900, "nested deeper than"),
        ("- " * 3000 + "1", "nested deeper than"),
        ("recipe: !!bool maybe", "not YAML"),
        ("recipe: !!int x", "not YAML"),
        ("recipe: 0x_", "not YAML|recipe"),
        ("recipe: 2024-13-45", "not YAML"),
        ("recipe: &a [*a]", "nested deeper|recipe"),
        ("recipe: *nobody", "not YAML"),
        ("a: &a [x]\nb: [" + "*a, " * 300 + "]", "aliases"),
        ("a: 1\na: 2", "duplicate key 'a'"),
        ("'" + "k" * 900 + "': 1\n'" + "k" * 900 + "': 2", "duplicate key"),
    ],
)
def test_documents_that_break_parsers(text, said, tmp_path):
    with pytest.raises(ConfigError, match=said) as caught:
        loaded(tmp_path, text)
    assert len(str(caught.value)) < 480 + len(str(tmp_path))
    assert str(caught.value).isprintable()


def test_the_home_of_nobody(tmp_path):
    with pytest.raises(ConfigError, match=r"~nobody-of-this-name/a\.fits: .*home.*; check the path"):
        loaded(tmp_path, HEAD % "ra: 1, dec: 1" + "truth: ~nobody-of-this-name/a.fits\n")


def test_a_bomb_of_aliases_takes_no_time(tmp_path):
    rows = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    rows += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    started = time.process_time()
    with pytest.raises(ConfigError):
        loaded(tmp_path, "\n".join(rows))
    assert time.process_time() - started < 5


def test_a_directory_says_what_a_run_file_is(tmp_path):
    empty = tilegc("run", tmp_path)
    assert empty.code == 2
    assert "is a directory; expected a run file" in empty.err
    (tmp_path / "run.yaml").write_text("recipe: x")
    assert f"give the run file: {tmp_path / 'run.yaml'}" in tilegc("run", tmp_path).err
    (tmp_path / "manifest.json").write_text("{}")
    assert "--resume" in tilegc("run", tmp_path).err


@pytest.mark.parametrize(
    "command",
    [
        "",
        "run",
        "plan",
        "audit",
        "ingest",
        "simulate",
        "demo",
        "report",
        "predict",
        "status",
        "verify",
        "complete",
        "doctor",
        "study",
        "study mask",
        "view",
    ],
)
def test_short_help(command):
    found = tilegc(*command.split(), "-h")
    assert found.code == 0
    assert "Usage: tilegc" in found.out
    assert found.out == tilegc(*command.split(), "--help").out


BLANK = {"recipe": "calibrated", "fields": [{"name": "a", "store": "/nowhere"}]}


@pytest.mark.parametrize(
    ("cluster", "place"),
    [
        (None, None),
        ({"ra": 10.0, "dec": -5.0}, (10.0, -5.0)),
        ({"centre": "00 40 00 -05 00 00"}, (10.0, -5.0)),
    ],
)
def test_a_field_without_a_cluster(cluster, place, tmp_path):
    found = resolve(BLANK if cluster is None else {**BLANK, "cluster": cluster})
    assert not found.cluster.known
    assert found.inpaint_iterations == 0
    if place is None:
        assert np.isnan(found.cluster.ra)
        assert "cluster" not in yaml.safe_load(dump(found))
    else:
        assert (found.cluster.ra, found.cluster.dec) == pytest.approx(place)
    # What a run writes into its folder reads back as the same.
    (tmp_path / "run.yaml").write_text(dump(found))
    again = load(tmp_path / "run.yaml")
    assert not again.cluster.known
    assert digest(again) == digest(found)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"cluster": {"redshift": 0.3}}, "cluster.name: required"),
        ({"cluster": {"name": "x", "ra": 1, "dec": 2}}, "cluster.redshift: required"),
        ({"cluster": {"ra": 1, "dec": 100}}, "cluster.dec: .*90"),
        ({"cluster": {"ra": 1, "dec": 2, "z": 3}}, "cluster.z: unknown key"),
        ({"convergence": {"path": "k.fits", "lens_scaling": 1}}, "convergence: needs a cluster"),
    ],
)
def test_half_a_cluster_is_none(more, said):
    with pytest.raises(ConfigError, match=said):
        resolve({**BLANK, **more})
