"""The examples in the docstrings of all public names run, in a directory with a run file, its run and a sample."""

from __future__ import annotations

import doctest
import inspect
import shutil
import types

import numpy as np
import pytest
import xarray as xr
import yaml

import tilegc
from tests.support import mock

EXAMPLES = [
    name
    for name in tilegc.__all__
    if not name.startswith("__")
    and not (inspect.isclass(getattr(tilegc, name)) and issubclass(getattr(tilegc, name), Exception))
]
SLOW = {"run", "detect", "survey", "simulate", "complete"}
"""Names whose examples make a run or a simulation."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        mock.no_report(patch)
        run_file = mock.write_inputs(folder)
        tilegc.run(run_file, folder / "run-run", workers=0)
    shutil.copytree(folder / "run-run", folder / "other-run")
    mock.edited(run_file, "stars.yaml", {"completeness": {"stars": 300}})
    sample = {"clusters": [{"name": "mock", "run": "run.yaml"}]}
    (folder / "sample.yaml").write_text(yaml.safe_dump(sample))
    return folder


def examples_of(name, text, globs):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    test = doctest.DocTestParser().get_doctest(inspect.cleandoc(text), globs, name, None, 0)
    told = []
    failed, tried = doctest.DocTestRunner(optionflags=flags).run(test, out=told.append)
    return failed, tried, "".join(told)


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in [*EXAMPLES, "FieldAccessor"]
    ],
)
def test_examples(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    public = getattr(tilegc, name, None)
    run = tilegc.open_run("run-run")
    if public is None:
        public = type(run.field("a").tilegc)
    globs = {"tilegc": tilegc, "np": np, "xr": xr, "run": run}
    if not isinstance(public, types.ModuleType):
        globs[public.__name__] = public
    failed, tried, told = examples_of(name, public.__doc__ or "", globs)
    assert tried > 0, "no example"
    assert failed == 0, told


@pytest.mark.slow
@pytest.mark.usefixtures("no_report")
def test_the_example_of_the_package(folder, monkeypatch):
    monkeypatch.chdir(folder)
    failed, tried, told = examples_of("tilegc", tilegc.__doc__, {})
    assert tried == 3
    assert failed == 0, told
