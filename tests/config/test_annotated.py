"""Run files with comments, and the JSON schema: generated from the models, so complete by construction."""

from __future__ import annotations

import re

import pytest
import yaml
from pydantic import BaseModel

from tests.support.command import tilegc
from tilegc import config
from tilegc.config import inputs, steps
from tilegc.config.annotated import annotated, template
from tilegc.config.json_schema import json_schema

MODELS = [
    model
    for module in (inputs, steps)
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.model_fields
]

FULL = """recipe: diego2026
cluster: {name: x, redshift: 0.3, centre: '22:48:43.97 -44:31:51'}
fields:
  - name: a
    bands: {F150W: a.fits, F200W: {sci: b.fits, psf: p.fits, psf_ee: {radius: 0.5, fraction: 0.9}}}
    masks: [m.reg]
  - {name: 2, store: x.zarr}
convergence:
  deflection: {x: x.fits, y: y.fits}
  source_redshift: 2.0
  alternatives: [{name: other, path: k.fits, lens_scaling: 1.0}]
mask: {edge: off, bright: 20}
detect: {threshold: auto}
photometry: {apertures: [0.2]}
completeness: off
compute: {memory: 4 GiB, jobs: {walltime: 01:30:00}}
"""


@pytest.fixture(scope="module")
def validator():
    schema = json_schema()
    import jsonschema

    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def uncommented(text):
    return re.sub(r"(?m)^( *)#(?=[A-Za-z_0-9]+:)", r"\1", text)


def test_a_template_runs_with_and_without_its_comments():
    plain, whole = (config.resolve(yaml.safe_load(text)) for text in (template(), uncommented(template())))
    assert whole.model_copy(update={"convergence": None}) == plain.model_copy(
        update={
            "photometry": config.Photometry(),
            "completeness": config.Completeness(),
            "luminosity": config.Luminosity(),
        }
    )
    assert plain.convergence is None
    assert whole.convergence.source_redshift == 3.0


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_template_has_every_key(model):
    for name in model.model_fields:
        assert re.search(rf"(?m)^[ #-]*\b{name}:|\{{{name}:", template()), name


@pytest.mark.parametrize("text", [FULL, "recipe: calibrated\nfields: [{name: a, bands: {F150W: a.fits}}]\n"])
def test_comments_change_nothing(text):
    given = config.resolve(yaml.safe_load(text))
    shown = annotated(given)
    assert config.resolve(yaml.safe_load(shown)) == given
    assert "#" in shown
    assert "Unit: arcsec." in shown


def test_what_auto_stands_for_is_shown():
    shown = annotated(config.resolve({"recipe": "calibrated", "fields": [{"name": "a", "store": "x.zarr"}]}))
    assert "In this run: {apertures: [0.1, 0.2, 0.3]}." in " ".join(shown.replace("#", " ").split())
    assert re.search(r"In this run: 6\.6\.\n *edge: auto", shown)


@pytest.mark.parametrize("text", [FULL, template(), uncommented(template())], ids=["full", "template", "all"])
def test_a_run_file_satisfies_the_schema(text, validator):
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize(
    "change",
    [
        {"tiles": {"sice": 3}},
        {"recipe": "seed"},
        {"mask": {"edge": -1}},
        {"fields": []},
        {"cosmology": {"Om0": 2}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_a_run_refuses(change, validator):
    content = {"recipe": "calibrated", "fields": [{"name": "a", "store": "x.zarr"}]}
    assert not list(validator.iter_errors(content))
    assert list(validator.iter_errors({**content, **change}))


def test_printed_or_written_but_never_over_a_file(tmp_path):
    shown = tilegc("init", "--template")
    assert (shown.code, shown.out) == (0, template())
    target = tmp_path / "schema.json"
    assert tilegc("init", "--schema", "-o", target).code == 0
    before = target.read_bytes()
    again = tilegc("init", "--template", "-o", target)
    assert again.code == 2
    assert re.fullmatch(r"tilegc: \S+schema\.json: already exists; [^\n]+\n", again.err)
    assert target.read_bytes() == before
    assert tilegc("init", "--template", "-o", target, "--overwrite").code == 0
    assert target.read_text() == template()
