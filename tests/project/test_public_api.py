"""Everything public is in one namespace, and documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpydoc.validate
import pytest

import tilegc

PUBLIC = [name for name in tilegc.__all__ if not name.startswith("__")]
FUNCTIONS = [name for name in PUBLIC if inspect.isfunction(getattr(tilegc, name))]

ALLOWED = {
    "ES01",  # an extended summary, which not every function needs
    "EX01",  # an example, as most of these need a run
    "SA01",  # a section See Also
    "PR08",  # descriptions may begin with a small letter
    "PR09",  # and end without a full stop
}


def test_every_public_name_can_be_had():
    assert sorted(tilegc.__all__) == sorted(set(tilegc.__all__))
    assert dir(tilegc) == sorted(tilegc.__all__)
    for name in tilegc.__all__:
        assert getattr(tilegc, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        tilegc.nothing_like_it  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_are_documented(name):
    function = getattr(tilegc, name)
    found = numpydoc.validate.validate(f"{function.__module__}.{function.__qualname__}")["errors"]
    assert [error for error in found if error[0] not in ALLOWED] == []


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in FUNCTIONS])
def test_public_classes_have_a_docstring(name):
    assert len(inspect.getdoc(getattr(tilegc, name)) or "") > 20


def test_no_submodule_replaces_a_public_function():
    """Importing a submodule binds its name in the package, whatever that name was before."""
    modules = {module.name for module in pkgutil.iter_modules(tilegc.__path__)}
    assert modules & set(FUNCTIONS) == set()
    for module in sorted(modules - {"__main__"}):
        importlib.import_module(f"tilegc.{module}")
    assert all(inspect.isfunction(getattr(tilegc, name)) for name in FUNCTIONS)


def test_import_is_light():
    """The package itself imports none of the heavy libraries, so that the command line answers at once."""
    code = "import sys, tilegc; print(sorted({'dask', 'zarr', 'numba', 'astropy', 'matplotlib'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_a_run_without_workers_imports_neither_dask_nor_xarray_before_it_needs_them():
    """They cost a second of processor time; a plan and a small field need few of them, a mistake none."""
    late = {"dask", "distributed", "matplotlib", "pandas", "regions", "xarray", "zarr"}
    late |= {f"scipy.{name}" for name in ("fft", "ndimage", "optimize", "spatial", "special", "stats")}
    code = f"import sys, tilegc.running, tilegc.previews; print(sorted({late} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_only_the_report_imports_matplotlib():
    """It takes half a second to import, and no number depends on it; the report's phase imports it when it runs."""
    package = Path(tilegc.__path__[0])
    for path in package.rglob("*.py"):
        if path.parent.name != "report":
            top = [line for line in path.read_text(encoding="utf-8").splitlines() if "import" in line]
            assert not any(
                re.match(r"(import|from) (matplotlib|tilegc\.report\.(?!phase))", line) for line in top
            ), path
