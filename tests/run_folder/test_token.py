"""The access to run directory and inputs that a worker needs."""

from __future__ import annotations

import dataclasses

import cloudpickle
import pytest

from tilegc.run_folder.layout import is_ours
from tilegc.run_folder.token import Token, marked


@pytest.fixture
def there(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "store.zarr").mkdir()
    (tmp_path / "a.fits").write_bytes(b"x" * 100)
    return tmp_path


def inputs(folder):
    return [str(folder / "a.fits"), str(folder / "store.zarr")]


def test_who_sees_all_has_no_problem_and_nothing_is_left(there):
    with marked(there / "run", inputs(there)) as token:
        assert [is_ours(path.name, []) for path in (there / "run").iterdir()] == [True]
        assert token.problem() is None
        assert cloudpickle.loads(cloudpickle.dumps(token)) == token
        assert len({token, dataclasses.replace(token)}) == 1
    assert list((there / "run").iterdir()) == []


def test_another_disk_under_the_same_path(there):
    with marked(there / "run", inputs(there)) as token:
        away = dataclasses.replace(token, path=f"{there}/elsewhere/{token.path.rpartition('/')[2]}")
        assert "does not see" in away.problem()
        assert "sees another" in dataclasses.replace(token, text="old").problem()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), r"cannot read .*a\.fits"),
        (
            lambda path: path.write_bytes(b"x" * 99),
            r"sees another .*a\.fits than the driver: 99 bytes, not 100",
        ),
    ],
)
def test_other_inputs(there, spoil, said):
    with marked(there / "run", inputs(there)) as token:
        spoil(there / "a.fits")
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(token.problem())


def test_another_version_is_said_first():
    assert Token("/nowhere/.here-0", "", (), version="0.0").problem().endswith("the driver has 0.0")


def test_a_file_system_that_does_not_answer(there, monkeypatch):
    import time

    monkeypatch.setattr("tilegc.run_folder.token.SECONDS", 0.1)
    monkeypatch.setattr(Token, "_look", lambda _self: time.sleep(1))
    with marked(there / "run", []) as token:
        assert "does not answer within" in token.problem()
