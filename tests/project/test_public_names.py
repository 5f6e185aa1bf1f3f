"""The names in `tilegc`: what they stand for does not depend on what else was imported."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType

import pytest

import tilegc

FUNCTIONS = (
    "audit",
    "complete",
    "detect",
    "detect_in",
    "load",
    "open_run",
    "plan",
    "predict",
    "profile_of",
    "resolve",
    "run",
    "simulate",
    "status",
    "survey",
    "verify",
)


@pytest.fixture(scope="module")
def submodules():
    """All submodules, imported: each binds its name in the package that holds it."""
    names = [found.name for found in pkgutil.walk_packages(tilegc.__path__, "tilegc.")]
    return [importlib.import_module(name) for name in names if not name.endswith("__main__")]


def test_every_public_function_is_listed_here(submodules):
    public = [name for name in tilegc.__all__ if inspect.isfunction(getattr(tilegc, name))]
    assert sorted(public) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_submodule_takes_the_place_of_a_function(name, submodules):
    function = getattr(tilegc, name)
    assert not isinstance(function, ModuleType)
    assert function.__name__ == name
    with pytest.raises(TypeError, match=name):
        function(no_such_argument=None)  # it is called, and is the function of this name
    assert f"tilegc.{name}" not in {module.__name__ for module in submodules}
