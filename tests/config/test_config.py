"""The run file: every refusal names the key and the remedy, and defaults are those of the recipe."""

import math
from pathlib import Path

import pytest
import yaml

from tilegc.config import digest, dump, load, resolve
from tilegc.errors import ConfigError


def run_file(**changes):
    """A valid run file with some keys changed; "__" separates the levels of a key, and None removes it."""
    content = {
        "recipe": "diego2026",
        "cluster": {"name": "AS1063", "redshift": 0.348, "ra": 342.18322, "dec": -44.53091},
        "fields": [{"name": "a", "bands": {"F090W": "a.fits"}}],
    }
    for dotted, value in changes.items():
        *above, key = dotted.split("__")
        section = content
        for part in above:
            section = section.setdefault(part, {})
        if value is None:
            del section[key]
        else:
            section[key] = value
    return content


def test_defaults_are_the_recipes():
    found = resolve(run_file())
    assert (found.cosmology.H0, found.cosmology.Om0) == (70.0, 0.3)
    assert found.ingest == "auto"
    assert found.tiles.size == 2048
    assert (found.mask.edge_arcsec, found.mask.bright_nJy) == (6.6, 40.0)
    assert found.mask.spikes == "off"
    assert found.filter.stages == ((0.5, 5.0), (1.0, 3.0))
    assert (found.filter.discretisation, found.filter.weights) == ("integrated", "equal")
    assert found.detect.exclusion_radius == 3.0
    assert found.detect.threshold.sigma == 2.5
    assert found.detect.keep == 2.0
    assert (found.density.alpha, found.density.softening) == (1.6, 0.9)
    assert (found.inpaint.realisations, found.inpaint.seed) == (20, 1)
    assert found.comparison.pixel == 0.3
    assert (found.relation.box, found.relation.max_radius) == (3.0, 60.0)
    assert found.profile.edges is None
    assert found.convergence is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": None}, "recipe: required, but missing"),
        ({"recipe": "best"}, "recipe: recipe 'best' is unknown; choose diego2026 or calibrated"),
        ({"recipe": "seed"}, "recipe: the recipe 'seed' is now called 'diego2026'; change this line"),
        (
            {"recipes": "best"},
            r"recipes: unknown key; did you mean 'recipe'\? \(valid: recipe, cluster, .*compute\)",
        ),
        ({"zzz": 1}, r"zzz: unknown key \(valid: recipe, "),
        ({"x[": 1}, r"x\[: unknown key \(valid: recipe, "),
        ({"float": 1}, r"float: unknown key"),
        (
            {"cluster__z": 1},
            r"cluster\.z: unknown key.*\(valid: name, redshift, ra, dec, m_200, concentration\)",
        ),
        ({"cluster__redshift": None}, r"cluster\.redshift: required"),
        ({"cluster__redshift": 0}, r"cluster\.redshift: .*greater than 0 \(found 0\)"),
        ({"cluster__redshift": "far"}, r"cluster\.redshift: 'far' is not a number"),
        ({"cluster__ra": 360}, r"cluster\.ra: .*less than 360 \(found 360\)"),
        ({"cluster__dec": -91}, r"cluster\.dec: .*-90"),
        ({"cluster__name": ""}, r"cluster\.name: .*at least 1 character"),
        ({"cluster": "AS1063"}, r"cluster: .*\(found 'AS1063'\)"),
        ({"cosmology__Om0": 1.5}, r"cosmology\.Om0: .*1"),
        ({"cosmology__H0": True}, r"cosmology\.H0: expected a number, not true or false"),
        ({"fields": []}, r"fields: .*at least 1 item"),
        ({"fields": [{"name": "a"}]}, r"fields\.0: give either bands or store"),
        (
            {"fields": [{"name": "a", "bands": {"B": "b"}, "store": "s"}]},
            r"fields\.0: give either bands or store",
        ),
        ({"fields": [{"name": "a", "bands": {}}]}, r"fields\.0: bands is empty; give at least one band"),
        ({"fields": [{"bands": {"B": "b"}}]}, r"fields\.0\.name: required"),
        (
            {"fields": [{"name": "a/b", "bands": {"B": "b"}}]},
            r"fields\.0\.name: 'a/b' cannot be used as a file name; use",
        ),
        (
            {"fields": [{"name": "sky-grid", "store": "s"}]},
            r"fields\.0\.name: 'sky-grid' is .*; choose another",
        ),
        ({"fields": [{"name": "a", "bands": {"B C": "b"}}]}, r"fields\.0\.bands: band 'B C' cannot be"),
        ({"fields": [{"name": "a", "store": "s"}] * 2}, r"fields: duplicate name 'a'"),
        ({"fields": [{"name": "a", "bands": {"B": {"wht": "w"}}}]}, r"fields\.0\.bands\.B\.sci: required"),
        (
            {"fields": [{"name": "a", "bands": {"B": {"sci": "s", "scy": 1}}}]},
            r"fields\.0\.bands\.B\.scy: unknown key; did you mean 'sci'\? \(valid: sci, err, wht, .*psf_ee\)",
        ),
        (
            {"fields": [{"name": "a", "bands": {"B": {"sci": "s", "zero_point": "AB"}}}]},
            r"fields\.0\.bands\.B\.zero_point: 'AB' is not a number",
        ),
        (
            {"fields": [{"name": "a", "store": "s", "masks": "x.reg"}]},
            r"fields\.0\.masks: give a list.*\[x\.reg\]$",
        ),
        (
            {"fields": [{"name": "a", "store": "s", "mask": []}]},
            r"fields\.0\.mask: unknown key; did you mean 'masks'",
        ),
        ({"convergence": {"source_redshift": 3}}, r"convergence: path: missing; give a path, deflection"),
        ({"convergence": {"path": "k", "par": "p"}}, r"convergence: give path or par, not both"),
        ({"convergence": {"par": "p", "lens_scaling": 1}}, r"convergence: par needs no source_redshift"),
        (
            {
                "convergence": {
                    "par": "p",
                    "alternatives": [{"name": "x", "par": "q"}, {"name": "x", "par": "r"}],
                }
            },
            r"convergence: alternatives: duplicate name 'x'",
        ),
        (
            {"convergence": {"par": "p", "alternatives": [{"par": "q"}]}},
            r"convergence\.alternatives\.0\.name",
        ),
        ({"convergence": {"par": "p", "family_rms": -0.1}}, r"convergence\.family_rms"),
        ({"relation__min_radius": 58.0}, r"relation: min_radius \(58\) leaves less than a box"),
        (
            {"convergence": {"path": "k", "source_redshift": 3, "lens_scaling": 1}},
            r"convergence: give source_redshift or lens_scaling, not both",
        ),
        (
            {"convergence": {"path": "k", "redshift": 3}},
            r"convergence\.redshift: unknown key; did you mean 'source_redshift'",
        ),
        ({"ingest": "sometimes"}, r"ingest: .*'never', 'always' or 'auto' \(found 'sometimes'\)"),
        ({"outputs": "detection"}, r"outputs: give a list.*\[detection\]$"),
        ({"outputs": ["light"]}, r"outputs: 'light' is not a map; choose from detection, mask, "),
        ({"outputs": ["mask", "mask"]}, r"outputs: a map is listed twice"),
        (
            {"outputs": ["density_gaussian"]},
            r"outputs: density_gaussian needs a number at density\.gaussian$",
        ),
        ({"tiles__size": 0}, r"tiles\.size: .*greater than or equal to 1 \(found 0\)"),
        ({"tiles__size": 1.5}, r"tiles\.size: .*integer"),
        ({"tiles__sizes": 5}, r"tiles\.sizes: unknown key; did you mean 'size'\? \(valid: size\)"),
        ({"mask__edge": True}, r"mask\.edge: give off, auto or a number"),
        ({"mask__edge": "wide"}, r"mask\.edge: 'wide' is not a number"),
        ({"mask__bright": -1}, r"mask\.bright: give off, auto or a number above 0, not -1"),
        ({"mask__spikes": True}, r"mask\.spikes: give off, auto or a number"),
        ({"mask__arcs": 3}, r"mask\.arcs: 3 sigma is above 2, .*; give a lower value, auto or off"),
        ({"mask__arcs": True}, r"mask\.arcs: give off, auto or a number"),
        ({"detect__shape": True}, r"detect\.shape: give off or auto$"),
        ({"relation__galaxy_discs": 2}, r"relation\.galaxy_discs: give off or auto$"),
        ({"filter__stages": [[0.5, 5]]}, r"filter\.stages\.1: required|filter\.stages: "),
        ({"filter__stages": [[5, 5], [1, 3]]}, r"filter: stages: \[5, 5\] must be a narrow and a wide FWHM"),
        ({"filter__stages": [[0.5, 500], [1, 3]]}, r"filter: stages: .*at most 64 px"),
        ({"filter__discretisation": "exact"}, r"filter\.discretisation: .*'integrated' or 'sampled'"),
        ({"detect__threshold": "best"}, r"detect\.threshold: give \{sigma: number\}, \{value.*\} or auto"),
        ({"detect__purity": 1}, r"detect\.purity: .*less than 1"),
        ({"detect__threshold": 2.5}, r"detect\.threshold: give \{sigma: number\}, \{value"),
        ({"detect__threshold": {"sigma": 1, "value": 1}}, r"detect\.threshold: give \{sigma"),
        ({"detect__threshold": {"sigma": 0}}, r"detect\.threshold.*greater than 0"),
        ({"detect__keep": 0.5}, r"detect\.keep: .*greater than or equal to 1"),
        ({"detect__keep": math.inf}, r"detect\.keep: .*finite"),
        ({"detect__exclusion_radius": 1000}, r"detect\.exclusion_radius: .*64"),
        ({"inpaint__realisations": 0}, r"inpaint\.realisations: .*1"),
        ({"inpaint__seed": -1}, r"inpaint\.seed: .*0"),
        ({"relation__max_radius": 2.0}, r"relation: max_radius \(2\) is smaller than box \(3\)"),
        (
            {"relation__box": 3.1},
            r"relation\.box \(3\.1\) must be an integer multiple of comparison\.pixel \(0\.3\)",
        ),
        ({"photometry": {"bands": ["a.fits"]}}, r"photometry\.bands: expected images by name"),
        (
            {"photometry": {"bands": {"a/b": "a.fits"}}},
            r"photometry\.bands: band 'a/b' cannot be used as a file name",
        ),
        ({"photometry": {"bands": {"W": {"scii": "a.fits"}}}}, r"photometry\.bands\.W\.scii: unknown key"),
        (
            {"recipe": "calibrated", "photometry": {"bands": {"F090W": "w.fits"}}},
            r"photometry\.bands: F090W is a band of a field",
        ),
        ({"fields": [{"name": "photometry.bands.W", "bands": {"B": "b"}}]}, r"fields\.0\.name: .*reserved"),
        ({"profile__edges": [1]}, r"profile\.edges: edges must be two numbers or more"),
        ({"profile__edges": [1, 1]}, r"profile\.edges: edges must be .* larger than the one before"),
        ({"profile__edges": [-1, 1]}, r"profile\.edges\.0: .*0"),
    ],
)
def test_refusals_name_the_key_and_what_to_do(changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        resolve(run_file(**changes), source="my.yaml")
    line = str(caught.value)
    assert line.startswith("my.yaml: ")
    assert "\n" not in line
    assert "pydantic" not in line


def test_numeric_text_is_a_number():
    """PyYAML reads 2e-2 as text."""
    content = yaml.safe_load("a: 2e-2\nb: 1e1\nc: 5e-1")
    assert content["a"] == "2e-2"
    found = resolve(
        run_file(
            detect={"threshold": {"value": content["a"]}, "keep": "1.5"},
            tiles={"size": content["b"]},
            cluster__redshift=content["c"],
            filter={"stages": [["0.5", "5"], [1, "3e0"]]},
            mask={"edge": "2e0"},
        )
    )
    assert found.detect.threshold.value == 0.02
    assert found.detect.keep == 1.5
    assert found.tiles.size == 10
    assert found.cluster.redshift == 0.5
    assert found.filter.stages == ((0.5, 5.0), (1.0, 3.0))
    assert found.mask.edge_arcsec == 2.0


@pytest.mark.parametrize("off", ["off", "'off'", "false", "no"])
def test_off_is_what_yaml_makes_of_it(off):
    mask = resolve(
        run_file(mask=yaml.safe_load(f"{{edge: {off}, bright: {off}, extended: {off}, spikes: {off}}}"))
    ).mask
    assert (mask.edge, mask.bright, mask.extended, mask.spikes) == ("off",) * 4
    assert mask.edge_arcsec == 0
    assert mask.bright_nJy == mask.extended_nJy == math.inf


def test_auto_and_numbers():
    mask = resolve(run_file(mask={"edge": "auto", "bright": 25, "extended": 0.5})).mask
    assert (mask.edge_arcsec, mask.bright_nJy, mask.extended_nJy) == (6.6, 25.0, 0.5)


def test_names_may_be_numbers():
    found = resolve(run_file(cluster__name=370, fields=[{"name": 1, "bands": {444: "x.fits"}}]))
    assert found.cluster.name == "370"
    assert found.fields[0].name == "1"
    assert list(found.fields[0].bands) == ["444"]


def test_bands_keep_their_order():
    """The bands are added in this order."""
    names = ["F200W", "F090W", "F150W", "F115W"]
    found = resolve(run_file(fields=[{"name": "a", "bands": dict.fromkeys(names, "x.fits")}]))
    assert list(found.fields[0].bands) == names
    assert list(resolve(yaml.safe_load(dump(found))).fields[0].bands) == names


def test_everything_is_frozen():
    found = resolve(run_file())
    with pytest.raises(Exception, match="frozen"):
        found.tiles.size = 3


def test_paths_are_absolute_against_the_run_file(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    content = run_file(
        fields=[
            {
                "name": "a",
                "bands": {"B": {"sci": "../a.fits", "err": "/data/e.fits", "wht": "s3://bucket/w.fits"}},
                "masks": ["m.reg"],
            },
            {"name": "b", "store": "other/store/a.zarr"},
        ],
        convergence={
            "path": "https://example.org/kappa.fits",
            "lens_scaling": 1,
            "alternatives": [{"name": "cats", "par": "lens/best.par"}],
        },
        truth="~/truth.parquet",
        photometry={"bands": {"W": {"sci": "../w.fits", "psf": "psf.fits"}}},
    )
    (tmp_path / "deep" / "run.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    found = load("deep/run.yaml")
    band = found.fields[0].bands["B"]
    assert band.sci == str(tmp_path / "a.fits")
    assert band.err == "/data/e.fits"
    assert band.wht == "s3://bucket/w.fits"
    assert found.fields[0].masks == (str(tmp_path / "deep" / "m.reg"),)
    assert found.fields[1].store == str(tmp_path / "deep" / "other/store/a.zarr")
    assert found.convergence.path == "https://example.org/kappa.fits"
    assert found.convergence.alternatives[0].par == str(tmp_path / "deep" / "lens" / "best.par")
    wide = found.photometry.bands["W"]
    assert (wide.sci, wide.psf) == (str(tmp_path / "w.fits"), str(tmp_path / "deep" / "psf.fits"))
    assert found.truth == str(Path("~/truth.parquet").expanduser())


def test_paths_of_a_mapping_stay_without_a_base():
    assert resolve(run_file()).fields[0].bands["F090W"].sci == "a.fits"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"convergence": {"path": "k.fits", "lens_scaling": 1.0}, "profile": {"edges": [1, 2, 3.5]}},
        {"detect": {"threshold": {"value": 0.1}}, "mask": {"edge": False, "bright": 12}},
        {
            "fields": [
                {"name": "a", "store": "s"},
                {"name": "b", "bands": {"X": {"sci": "s", "zero_point": 28.9}}, "masks": ["m", "n"]},
            ]
        },
    ],
)
def test_dump_and_back(changes, tmp_path):
    found = resolve(run_file(**changes), base=tmp_path)
    text = dump(found)
    again = resolve(yaml.safe_load(text), base=tmp_path / "elsewhere")
    assert again == found
    assert digest(again) == digest(found)
    assert dump(again) == text
    assert "null" not in text.replace("edges: null", "")


def test_digest_knows_every_setting():
    before = resolve(run_file())
    settings = [
        {"tiles": {"size": 2047}},
        {"mask": {"edge": "off"}},
        {"detect": {"keep": 2.1}},
        {"inpaint": {"seed": 2}},
        {"cluster__ra": 342.0},
        {"fields": [{"name": "b", "bands": {"F090W": "a.fits"}}]},
        {"truth": "t"},
        {"cosmology": {"Om0": 0.31}},
        {"density": {"alpha": 1.5}},
        {"filter": {"discretisation": "sampled"}},
    ]
    digests = {digest(resolve(run_file(**one))) for one in settings} | {digest(before)}
    assert len(digests) == len(settings) + 1
    written_out = resolve(run_file(detect={"keep": "2.0"}, mask={"edge": "auto"}, tiles={"size": 2048}))
    assert digest(written_out) == digest(before)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such run file"),
        ("", r"the run file is empty; recipe and fields are required"),
        ("# only a remark\n", "the run file is empty"),
        ("- a\n- b\n", "expected a mapping of keys, found list"),
        ("seed", "expected a mapping of keys, found str"),
        ("recipe: {diego2026", "not YAML"),
        ("? [recipe]\n: diego2026", "not YAML"),
        ("recipe: !!python/object:os.system {}", "not YAML"),
        ("a: \x00", "not YAML"),
    ],
)
def test_files_that_are_no_run_file(content, said, tmp_path):
    path = tmp_path / "run.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_key_twice_is_refused(tmp_path):
    """YAML would silently use the last one."""
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(run_file()) + "tiles: {size: 5}\ntiles: {size: 6}\n")
    with pytest.raises(ConfigError, match=r"run\.yaml: duplicate key 'tiles' \(line \d+\)"):
        load(path)
    path.write_text(yaml.safe_dump(run_file()) + "mask: &m {edge: 1}\n")  # an anchor is no second key
    assert load(path).mask.edge == 1


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x80abc"])
def test_binary_files(content, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read as a run file"):
        load(path)
    with pytest.raises(ConfigError, match="is a directory; expected a run file"):
        load(tmp_path)


def test_a_section_without_a_value_is_as_if_it_were_not_there():
    run = {
        "cluster": {"name": "x", "redshift": 0.3, "ra": 1, "dec": 1},
        "fields": [{"name": "a", "bands": {"F": "a.fits"}}],
    }
    for recipe in ("diego2026", "calibrated"):
        assert resolve({"recipe": recipe, **run, "mask": None, "filter": None}) == resolve(
            {"recipe": recipe, **run}
        )


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, None])
@pytest.mark.parametrize("key", ["edge", "bright", "extended", "spikes", "arcs"])
def test_a_mask_that_is_neither_a_word_nor_a_number_gets_its_line(key, value):
    run = {
        "recipe": "diego2026",
        "cluster": {"name": "x", "redshift": 0.3, "ra": 1, "dec": 1},
        "fields": [{"name": "a", "bands": {"F": "a.fits"}}],
    }
    with pytest.raises(ConfigError, match=f"mask.{key}: give off, auto or a number"):
        resolve({**run, "mask": {key: value}})
