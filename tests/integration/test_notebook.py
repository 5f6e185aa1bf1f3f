"""The notebooks run from an empty directory, without a warning; all but the first are kept with their outputs."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
FIRST = NOTEBOOKS / "01_first_cluster.ipynb"
FURTHER = sorted(set(NOTEBOOKS.glob("*.ipynb")) - {FIRST})

STRICT = 'import warnings\nwarnings.simplefilter("error")\n%matplotlib inline'


def jupyter():
    """Return nbformat and NotebookClient, which take a while to import: the collection of tests need not wait."""
    with warnings.catch_warnings():
        # On import, dependencies of jupyter_client emit warnings about one another.
        warnings.simplefilter("ignore")
        import nbformat
        from nbclient import NotebookClient
    return nbformat, NotebookClient


def images(cell) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))


def executed(path, folder, monkeypatch):
    """Return a notebook that was run in a directory, with warnings as errors; nothing is on stderr."""
    nbformat, client_class = jupyter()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    client = client_class(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable  # not the python3 that a user's kernel spec names
    client.execute()
    assert not any(
        output.get("name") == "stderr" for cell in notebook.cells for output in cell.get("outputs", ())
    )
    return notebook


def test_the_first_cluster(tmp_path, monkeypatch):
    """It ends with what the run says of its catalogue against the planted objects."""
    notebook = executed(FIRST, tmp_path, monkeypatch)
    assert sum(images(cell) for cell in notebook.cells) == 3
    printed = [
        output["text"] for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output
    ]
    found = re.match(r"([\d.]+) % of (\d+) sources are planted objects, and (\d+) % of those", printed[-1])
    assert float(found[1]) > 99
    assert int(found[2]) > 1000
    assert int(found[3]) > 90


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The others share a simulation and a run, which whichever comes first makes."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.slow
@pytest.mark.parametrize("path", FURTHER, ids=lambda path: path.name)
def test_the_others_make_as_many_figures_as_they_show(path, folder, monkeypatch):
    nbformat, _ = jupyter()
    kept = nbformat.read(path, as_version=4)
    notebook = executed(path, folder, monkeypatch)
    assert [images(cell) for cell in notebook.cells[1:]] == [images(cell) for cell in kept.cells]


@pytest.mark.parametrize("path", FURTHER, ids=lambda path: path.name)
def test_notebooks_are_kept_with_small_outputs_of_no_machine(path):
    nbformat, _ = jupyter()
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [number + 1 for number in range(len(code))]
    outputs = [output for cell in code for output in cell.outputs]
    assert outputs
    assert {output.output_type for output in outputs} <= {"display_data", "execute_result", "stream"}
    text = path.read_text(encoding="utf-8")
    assert len(text) < 600_000
    assert not re.search(r"/(?:tmp|home|root|work|Users|usr)/", text)


def test_the_first_notebook_is_kept_without_outputs():
    nbformat, _ = jupyter()
    notebook = nbformat.read(FIRST, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
