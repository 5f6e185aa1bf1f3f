"""DS9 files as people save them: annotations, exclusions, unions, physical coordinates."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from tests.support import mock
from tilegc.errors import InputError
from tilegc.geometry import Box
from tilegc.io.regions import inside, read_regions
from tilegc.sky import header_text, wcs_from_text

WCS = header_text(wcs_from_text(mock.header("a").tostring(sep="\n")))
FIELD = Box(0, 0, 60, 60)
Y, X = np.mgrid[:60, :60]


def disc(x, y, radius):
    """Pixels in a circle of a DS9 file, whose first pixel is 1."""
    return (X + 1 - x) ** 2 + (Y + 1 - y) ** 2 <= radius**2


def drawn(tmp_path, text, header=""):
    path = tmp_path / "x.reg"
    path.write_text(text)
    return inside(read_regions(str(path), WCS, header), FIELD)


@pytest.mark.parametrize(
    ("lines", "count"),
    [
        ("# text(9,9) text={arc}", 1),
        ("point(9,9) # point=x", 1),
        ("line(1,1,40,40)", 1),
        ("# ruler(1,1,40,40) ruler=arcsec\n# projection(1,1,9,9,2)", 2),
        ("# compass(9,9,10) compass=fk5 {N} {E} 1 1\n# vector(1,1,9,20)\n# segment(1,1,9,9,3,3)", 3),
    ],
)
def test_annotations_are_passed_over_and_counted(tmp_path, caplog, lines, count):
    with caplog.at_level(logging.INFO, logger="tilegc"):
        found = drawn(tmp_path, f"image\n{lines}\ncircle(30,30,8.3)\n")
    np.testing.assert_array_equal(found, disc(30, 30, 8.3))
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"x.reg: {count} annotations" in line
    with pytest.raises(InputError, match=r"x\.reg: contains only annotations"):
        drawn(tmp_path, f"image\n{lines}\n")


@pytest.mark.parametrize("order", [1, -1])
def test_exclusions_are_cut_out_of_all_regions_of_their_file(tmp_path, order):
    lines = ["circle(30,30,12.3)", "circle(45,30,9.3)", "-circle(38,30,5.3)"][::order]
    found = drawn(tmp_path, "image\n" + "\n".join(lines) + "\n")
    expected = (disc(30, 30, 12.3) | disc(45, 30, 9.3)) & ~disc(38, 30, 5.3)
    np.testing.assert_array_equal(found, expected)


def test_unions_are_regions_side_by_side(tmp_path):
    found = drawn(
        tmp_path, "image\n# composite(20,20,0) || composite=1\ncircle(20,20,6.3) ||\ncircle(40,40,6.3)\n"
    )
    np.testing.assert_array_equal(found, disc(20, 20, 6.3) | disc(40, 40, 6.3))


@pytest.mark.parametrize(
    "header", ["", "LTV1    =                  0.0 / shift", "LTM1_1  =                  1.0"]
)
def test_physical_coordinates_of_an_uncut_image_are_its_own(tmp_path, header):
    np.testing.assert_array_equal(drawn(tmp_path, "physical\ncircle(30,30,8.3)\n", header), disc(30, 30, 8.3))


@pytest.mark.parametrize(
    ("text", "header", "message"),
    [
        ("image\n-circle(30,30,8.3)\n", "", "only exclusions"),
        ("image\ncircle(30,30,8.3) && -box(1,2,1,1,0)\n", "", "intersection"),
        ("physical\ncircle(30,30,8.3)\n", "LTV1    =                -100.0 / shift", "LTV1"),
        ("physical\ncircle(30,30,8.3)\n", "LTM2_2  =                  0.5 / scale", "LTM2_2"),
        ("detector\ncircle(30,30,8.3)\n", "", "some of it"),
        ("image\npanda(1,2,3,4,5,6,7,8)\ncircle(30,30,8.3)\n", "", "some of it"),
        ("", "", "no region"),
    ],
)
def test_what_cannot_be_honoured_is_refused_in_one_line(tmp_path, text, header, message):
    with pytest.raises(InputError, match=rf"x\.reg: .*{message}") as caught:
        drawn(tmp_path, text, header)
    assert "\n" not in str(caught.value)
