"""Errors of disks as one line with a remedy."""

import errno
import os

import pytest

from tilegc.errors import DiskFullError, RunFailedError, disk_failed, disk_full


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(code):
    for of in (disk_full, disk_failed):
        found = of(OSError(code, os.strerror(code), "/data/run/mask"))
        assert isinstance(found, DiskFullError)
        assert "/data/run/mask" in str(found)
        assert "free some space" in str(found)


@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS])
def test_a_failing_disk(code):
    error = OSError(code, os.strerror(code), "/data/run/.mask.part", None, "/data/run/mask")
    assert disk_full(error) is None, "another try may go better"
    found = disk_failed(error)
    assert isinstance(found, RunFailedError)
    assert str(found).startswith(f"/data/run/mask: {os.strerror(code)}; ")
    assert "--resume" in str(found)


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "x"), ValueError("x"), KeyboardInterrupt()])
def test_other_errors_stay_what_they_are(error):
    assert disk_failed(error) is None
