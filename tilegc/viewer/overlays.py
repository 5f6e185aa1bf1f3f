"""Overlays on the images: sources, column by column, other points, and contours of kappa and density."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from astropy.table import QTable
from contourpy import contour_generator
from numpy.typing import NDArray

from tilegc.geometry import Box
from tilegc.places import Place, place
from tilegc.schema import FILES
from tilegc.sky import SkyGrid, header_text, world_to_pixel
from tilegc.viewer.pyramid import write_script

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = [
    "ROWS",
    "artificial_of",
    "columns_of",
    "header_of",
    "regions_of",
    "write_contours",
    "write_points",
    "write_sources",
]

KAPPA_LEVELS: Final = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0)

DENSITY_LEVELS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Contour levels in sources per arcsec^2."""

COARSE: Final = 16
"""Spacing in pixels of the nodes of the density that is contoured."""

ROWS: Final = 256
"""Number of sources in a block of rows."""

SHORTEST: Final = 6
"""Minimum number of points of a contour; shorter ones are noise."""


def columns_of(catalogue: QTable) -> list[dict[str, str]]:
    """Describe the columns of a catalogue: name, unit, meaning, and encoding."""
    described = []
    for name in catalogue.colnames:
        values = np.asarray(catalogue[name])
        unit = catalogue[name].unit
        dtype = "text" if values.dtype.kind in "OUS" else "i4" if values.dtype.kind in "iub" else "f8"
        described.append(
            {
                "name": name,
                "unit": "" if unit is None else str(unit),
                "meaning": str(catalogue[name].info.description or name),
                "dtype": dtype,
            }
        )
    return described


def packed(values: NDArray[Any]) -> dict[str, Any]:
    """Return a column in the form that the page decodes: little-endian numbers in base64, or texts."""
    if values.dtype.kind in "OUS":
        return {"texts": [str(value) for value in values]}
    dtype = "<i4" if values.dtype.kind in "iub" else "<f8"
    if dtype == "<f8" and np.array_equal(values.astype(np.float32), values, equal_nan=True):
        dtype = "<f4"
    return {"dtype": dtype[1:], "data": base64.b64encode(values.astype(dtype).tobytes()).decode()}


def write_sources(view: Place, catalogue: QTable, field: str) -> int:
    """Write the columns of the sources of one field, one script each, and return the number of sources.

    The numbers are written a second time in blocks of `ROWS` sources: a click on one of 100,000 sources then loads
    a few hundred kilobytes instead of every column.
    """
    rows = np.asarray(catalogue["field"]).astype(str) == field
    columns = {
        name: np.asarray(getattr(catalogue[name], "value", catalogue[name]))[rows]
        for name in catalogue.colnames
    }
    for name, values in columns.items():
        key = f"sources/{field}/{name}"
        write_script(view / f"{key}.js", key, packed(values))
    number = [values for values in columns.values() if values.dtype.kind not in "OUS"]
    text = [values for values in columns.values() if values.dtype.kind in "OUS"]
    count = int(rows.sum())
    for start in range(0, count, ROWS):
        some = slice(start, min(start + ROWS, count))
        key = f"sources/{field}/rows/{start // ROWS}"
        table = np.stack([values[some].astype("<f8") for values in number], axis=1)
        block = {
            "data": base64.b64encode(table.tobytes()).decode(),
            "texts": [[str(one) for one in values[some]] for values in text],
        }
        write_script(view / f"{key}.js", key, block)
    return count


def write_points(
    view: Place, name: str, field: str, x: NDArray[Any], y: NDArray[Any], on: NDArray[Any] | None = None
) -> str:
    """Write a set of points, optionally in two groups distinguished by `on`; return its path."""
    key = f"overlays/{field}/{name}"
    value = {"x": packed(x.astype(np.float64)), "y": packed(y.astype(np.float64))}
    if on is not None:
        value["on"] = packed(on.astype(np.int32))
    write_script(view / f"{key}.js", key, value)
    return key


def write_contours(view: Place, run: Run, field: str, wcs_text: str) -> list[dict[str, Any]]:
    """Write contours of convergence and of density in pixels of a field, and return their descriptions."""
    overlays = []
    lines = {"kappa": _kappa(run, wcs_text), "density": _density(run, field)}
    for name, label, colour in (
        ("kappa", "Convergence κ", "#6cc7ff"),
        ("density", "Source density per arcsec²", "#7fe08a"),
    ):
        if lines[name]:
            key = f"overlays/{field}/{name}"
            write_script(view / f"{key}.js", key, lines[name])
            overlays.append({"name": name, "label": label, "colour": colour, "kind": "contours", "path": key})
    return overlays


def _kappa(run: Run, wcs_text: str) -> list[dict[str, Any]]:
    sky = run.sky()
    kappa = np.asarray(sky["kappa"].values, np.float64)
    if not np.isfinite(kappa).any():
        return []
    step = max(1, round(0.9 / float(sky.attrs["cell_arcsec"])))
    xi, eta, kappa = (
        np.asarray(sky["xi"].values)[::step],
        np.asarray(sky["eta"].values)[::step],
        kappa[::step, ::step],
    )
    grid = SkyGrid(sky.attrs["ra"], sky.attrs["dec"], sky.attrs["cell_arcsec"])

    def to_pixels(line: NDArray[np.float64]) -> NDArray[np.float64]:
        y, x = world_to_pixel(wcs_text, *grid.radec(line[:, 0], line[:, 1]))
        return np.column_stack([x, y])

    return _contours(xi, eta, kappa, KAPPA_LEVELS, to_pixels)


def _density(run: Run, field: str) -> list[dict[str, Any]]:
    height, width = run.field(field)["mask"].shape
    if "density" not in run.field(field):
        return []
    y, x = np.arange(COARSE // 2, height, COARSE), np.arange(COARSE // 2, width, COARSE)
    rows = [run.window(field, "density", Box(int(at), 0, int(at) + 1, width))[0, x] for at in y]
    return _contours(
        x.astype(float), y.astype(float), np.asarray(rows, np.float64), DENSITY_LEVELS, lambda line: line
    )


def _contours(
    x: NDArray[np.float64], y: NDArray[np.float64], values: NDArray[np.float64], levels: Any, to_pixels: Any
) -> list[dict[str, Any]]:
    if min(values.shape) < 2:
        return []
    generator = contour_generator(x, y, np.ma.masked_invalid(values))
    found = []
    for level in levels:
        lines = [np.asarray(line) for line in generator.lines(level) if len(line) >= SHORTEST]
        if lines:
            found.append(
                {"level": level, "lines": [np.round(to_pixels(line), 1).ravel().tolist() for line in lines]}
            )
    return found


def artificial_of(run: Run) -> QTable | None:
    """Return the artificial stars of a run; None if there are none."""
    from tilegc.io.tables import read_parquet  # noqa: PLC0415

    path = run.path / FILES.artificial
    return read_parquet(path) if path.exists() else None


def header_of(run: Run, field: str) -> str:
    """Return the text of the WCS of a field."""
    return header_text(run.wcs(field))


def regions_of(run: Run, field: str) -> list[tuple[str, str]]:
    """Return name and text of the DS9 files among the masks of a field; those that are gone are left out."""
    described = next(one for one in run.config.fields if one.name == field)
    found = []
    for path in described.masks:
        if path.endswith(".reg"):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.append((path.rpartition("/")[2], place(path).read_text(encoding="utf-8")))
    return found
