"""The notebook runs in an empty directory without a warning, and is stored without outputs."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

with warnings.catch_warnings():
    # On import jupyter_client's own dependencies complain of one another, as they please.
    warnings.simplefilter("ignore")
    import nbformat
    from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
FIRST = NOTEBOOKS / "01_first_cluster.ipynb"

STRICT = 'import warnings\nwarnings.simplefilter("error")\n%matplotlib inline'


def images(cell) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", ()))


def test_the_first_cluster(tmp_path, monkeypatch):
    """The assertions in the notebook compare the lazy results with the bytes of the run."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(FIRST, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    client = NotebookClient(
        notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable  # not the python3 that a user's kernel spec names
    client.execute()
    assert sum(images(cell) for cell in notebook.cells) == 3
    printed = [
        output["text"] for cell in notebook.cells for output in cell.get("outputs", ()) if "text" in output
    ]
    assert "all of them those of the catalogue" in printed[-1]
    assert int(printed[-1].split()[0]) > 1000
    assert not any(
        output.get("name") == "stderr" for cell in notebook.cells for output in cell.get("outputs", ())
    )


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
