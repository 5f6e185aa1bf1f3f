"""The audit: what a run should know of its images before it is believed, in lines with a verdict.

Measured on a sample of lattice cells in bounded memory, so that it takes seconds for any mosaic; the same lines come
from `tilegc audit` and from a run. Nothing of a run depends on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tilegc.config import RunConfig
from tilegc.engine import Engine
from tilegc.images.audits.cells import sample
from tilegc.images.audits.lens import lens_lines
from tilegc.images.audits.lens_level import level_line
from tilegc.images.audits.line import Line, rounded
from tilegc.images.audits.lines import field_lines, measured_lines
from tilegc.io.convergence import Kappa
from tilegc.io.fits import FieldSource
from tilegc.sky import centre_outside, world_to_pixel

__all__ = ["Line", "audit", "columns", "rows"]


def audit(
    config: RunConfig,
    sources: Sequence[FieldSource],
    kappa: Kappa | None,
    engine: Engine,
    others: Sequence[FieldSource] = (),
) -> tuple[Line, ...]:
    """Look at the images and the convergence map of a run.

    Parameters
    ----------
    config : RunConfig
    sources : sequence of FieldSource
        The fields, as they were probed or, with the same photometry, ingested.
    kappa : Kappa, optional
        The convergence map.
    engine : Engine
        Who does it; the lines do not depend on it.
    others : sequence of FieldSource
        The bands that are only measured: no rule of detection concerns them.

    Returns
    -------
    tuple of Line
        Field by field in run-file order, then what is of the whole run.
    """
    centre = _field_of_centre(config, sources)
    samples = sample((*sources, *others), engine, None if centre is None else (centre[0].name, *centre[1:]))
    given = {field.name: field.bands or {} for field in config.fields}
    lines = [
        line
        for source in sources
        for line in field_lines(source, samples[source.name], config, given[source.name])
    ]
    settings = config.photometry_settings
    measured = {} if settings is None or settings.bands is None else settings.bands
    for source in others:
        lines += measured_lines(source, samples[source.name], config, measured)
    if centre is not None:
        lines += lens_lines(config.cluster, centre[0], samples[centre[0].name].light, kappa)
    elif config.cluster.known:
        lines += _outside(config, sources)
    if kappa is not None:
        weak = config.convergence is not None and config.convergence.weak_lensing
        lines.append(level_line(config.cluster, kappa, weak_lensing=weak))
    return tuple(lines)


def _field_of_centre(
    config: RunConfig, sources: Sequence[FieldSource]
) -> tuple[FieldSource, float, float] | None:
    """Return the field that holds the cluster's centre, and its pixel (y, x); None where none does."""
    if not config.cluster.known:
        return None
    for source in sources:
        y, x = (float(v) for v in world_to_pixel(source.wcs, config.cluster.ra, config.cluster.dec))
        height, width = source.shape
        if -0.5 <= y < height - 0.5 and -0.5 <= x < width - 0.5:
            return source, y, x
    return None


def _outside(config: RunConfig, sources: Sequence[FieldSource]) -> Iterator[Line]:
    """Say that the cluster's centre lies in none of the fields."""
    found = centre_outside(config.cluster, sources)
    if found is not None:
        yield Line(
            "outside",
            "",
            "",
            rounded(found.arcsec),
            "arcsec",
            "wrong",
            found.text,
            "check cluster.ra and cluster.dec; if the fields are meant to lie beside the cluster, the centre of its "
            "profile, the lensing comparison and the counts within 60 arcsec are not covered",
        )


def columns(lines: Sequence[Line]) -> dict[str, np.ndarray]:
    """Return the lines as columns of `schema.AUDIT`."""
    texts = ("check", "field", "band", "unit", "verdict", "finding", "remedy")
    table: dict[str, np.ndarray] = {
        name: np.array([getattr(line, name) for line in lines], dtype=np.str_) for name in texts
    }
    return {**table, "value": np.array([line.value for line in lines], np.float64)}


def rows(lines: Sequence[Line]) -> Iterator[dict[str, str | float | None]]:
    """Yield the lines as they stand in summary.json: null where there is no value."""
    for line in lines:
        yield {
            "check": line.check,
            "field": line.field,
            "band": line.band,
            "value": line.value if np.isfinite(line.value) else None,
            "unit": line.unit,
            "verdict": line.verdict,
            "finding": line.finding,
            "remedy": line.remedy,
        }
