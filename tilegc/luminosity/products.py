"""Products of the phase `luminosity`: counts against the fitted function, and the numbers in summary.json."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from tilegc.luminosity.fit import Function
from tilegc.luminosity.numbers import Number
from tilegc.luminosity.results import Luminosities
from tilegc.phases.output import Output, Part, null
from tilegc.phases.partials import Table
from tilegc.phases.phase import Results
from tilegc.schema import FILES, LUMINOSITY

__all__ = ["summarise", "write"]


def write(out: Output, results: Results) -> None:
    """Write luminosity.ecsv; nothing where there are no artificial stars."""
    found = results.get(Luminosities)
    if found is not None:
        out.ecsv(FILES.luminosity, LUMINOSITY, _table(out, found))


def _table(out: Output, found: Luminosities) -> Table | None:
    """Return the columns of `schema.LUMINOSITY`; None without a function."""
    annuli, function = found.annuli, found.function
    if annuli is None or function is None:
        return None
    bins = annuli.edges.size - 1

    def each(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, bins)

    names = np.array(out.context.names, object)
    return {
        "field": each(names[annuli.field]),
        "r_lo": each(annuli.r_lo),
        "r_hi": each(annuli.r_hi),
        "area_arcsec2": each(annuli.area),
        "outer": each(annuli.outer),
        "mag_lo": np.tile(annuli.edges[:-1], annuli.field.size),
        "mag_hi": np.tile(annuli.edges[1:], annuli.field.size),
        "n_found": annuli.counts.ravel(),
        "n_clusters": function.clusters.ravel(),
        "n_background": function.others.ravel(),
        "density": each(function.density),
    }


def summarise(out: Output, results: Results) -> Part:
    """Return the luminosity function and the numbers of clusters; None without artificial stars."""
    del out
    found = results.get(Luminosities)
    return Part(run={"luminosity": None if found is None else _section(found)})


def _section(found: Luminosities) -> dict[str, Any]:
    given = found.assumed
    return {
        "band": found.band,
        "reason": found.why or None,
        **_function(found.function),
        "fixed": found.fixed,
        "brighter": {"mag": null(found.magnitude), **_number(found.brighter)},
        "n_total": null(found.total.n),
        "n_total_err": null(found.total.err),
        "within_60arcsec": _number(found.within),
        "assumed": None
        if given is None
        else {
            "turnover": given.turnover,
            "width": given.width,
            **_number(given.number),
            "dlnn_dturnover": null(given.per_turnover),
            "dlnn_dwidth": null(given.per_width),
        },
    }


OF_FUNCTION: Final = (
    "turnover",
    "turnover_err",
    "width",
    "width_err",
    "gradient",
    "gradient_err",
    "pivot_arcsec",
    "background_per_arcsec2_mag",
    "background_mag",
    "background_slope",
    "deviance",
    "degrees_of_freedom",
)


def _function(function: Function | None) -> dict[str, float | None]:
    if function is None:
        return dict.fromkeys(OF_FUNCTION)
    has_background = function.background > 0
    values = (
        function.turnover,
        function.error(0),
        function.width,
        function.error(1),
        function.gradient,
        function.error(2),
        function.pivot,
        function.background if has_background else None,
        function.reference if has_background else None,
        function.slope if has_background else None,
        function.deviance,
        function.freedom,
    )
    return {name: null(value) for name, value in zip(OF_FUNCTION, values, strict=True)}


def _number(value: Number) -> dict[str, float | None]:
    return {"n": null(value.n), "n_err": null(value.err)}
