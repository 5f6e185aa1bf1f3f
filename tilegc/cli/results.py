"""The main results of a run in a few lines."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import typer

from tilegc.schema import FILES, METHODS

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["print_catalogue", "print_json", "print_results", "print_warnings"]


def print_catalogue(run: Run) -> None:
    """Print the number of sources of each field and the path of the catalogue."""
    candidates, catalogue = (list(table["field"]) for table in (run.candidates, run.catalogue))
    for name in run.fields:
        typer.echo(f"field {name}    {catalogue.count(name)} sources ({candidates.count(name)} candidates)")
    typer.echo(f"catalogue  {run.path / 'catalogue.parquet'}")


def print_json(run: Run) -> None:
    """Print the summary of a run with the path of its directory, or of a run up to its catalogue the numbers of it."""
    if (run.path / FILES.summary).exists():
        found = {"directory": str(run.path), **run.summary}
    else:
        candidates, catalogue = (list(table["field"]) for table in (run.candidates, run.catalogue))
        fields = {
            name: {"n_detected": catalogue.count(name), "n_candidates": candidates.count(name)}
            for name in run.fields
        }
        found = {"directory": str(run.path), "n_detected": len(catalogue), "fields": fields}
    typer.echo(json.dumps(found, indent=2, allow_nan=False))


def print_warnings(run: Run, *, err: bool = False) -> None:
    """Print the warnings of a run."""
    for warning in run.summary.get("warnings", []):
        where = f"field {warning['field']}: " if warning["field"] else ""
        remedy = f" {warning['remedy']}" if warning["remedy"] else ""
        typer.echo(f"warning: {where}{warning['text']}{remedy}", err=err)


def print_results(run: Run) -> None:
    """Print the warnings of a run, its main results, and the path of its report."""
    print_warnings(run)
    lines = _lines(run.summary, local=run.config.local_threshold)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        typer.echo(f"{name:<{width}}  {value}")
    typer.echo(f"{'report':<{width}}  {run.path / 'report.html'}")


def _lines(summary: dict[str, Any], *, local: bool) -> list[tuple[str, str]]:
    """Return the main results as pairs of a name and a text with units; if `local`, T is a signal-to-noise ratio."""
    cluster, relation, comparison = summary["cluster"], summary["relation"], summary["comparison"]
    mass = summary["mass"]
    told = "none in the run file: no radii, masses or relation"
    if cluster["redshift"] is not None:
        told = (
            f"{cluster['name']}, z = {cluster['redshift']:g}, {cluster['kpc_per_arcsec']:.3f} kpc per arcsec"
        )
    lines = [("cluster", told)]
    for name, field in summary["fields"].items():
        lines.append(
            (
                f"field {name}",
                f"{field['n_detected']} sources ({field['n_candidates']} candidates), "
                f"{field['good_area_arcsec2']:.0f} arcsec^2 good, {_limit(field, local=local)}",
            )
        )
        lines += _complete(name, field.get("depth"))
        lines += _depth(name, field.get("photometry"))
    lines.append(
        ("sources", f"{summary['n_detected']} detected, {summary['n_inpainted']:.1f} inpainted under masks")
    )
    lines += _clusters(summary.get("luminosity"))
    if cluster["redshift"] is not None:
        lines.append(("contamination", _contamination(summary)))
    if relation is not None:
        lines.append(("kappa = A n^b", f"{_power(relation)}, {METHODS[relation['method']]}"))
        lines += _whole_error(relation)
        lines += _likelihood(relation.get("likelihood"))
        if relation["method"] == "likelihood":
            lines.append(("from boxes", f"{_power(relation['boxes'])}, binned by observed n"))
    if comparison is not None:
        lines.append(
            (
                "kappa and rho",
                f"beta = {_number(comparison['beta'], '.4g')}, Pearson {_number(comparison['pearson'], '.3f')}, "
                f"Spearman {_number(comparison['spearman'], '.3f')}",
            )
        )
    if mass["lens_within_60arcsec_msun"] is not None:
        lines.append(
            (
                "mass (< 60 arcsec)",
                f"{mass['lens_within_60arcsec_msun']:.3g} Msun from lensing; "
                f"{mass['n_gc_within_60arcsec']} sources in the {_percent(mass.get('coverage_within_60arcsec'))} of "
                "this disc that was searched",
            )
        )
    truth = summary["truth"]
    if truth is not None:
        lines.append(
            (
                "planted",
                f"binned in the same boxes b = {_number(truth['index'], '.3f')} +- "
                f"{_number(truth['index_err'], '.3f')}; completeness {_part(truth['completeness'])}, "
                f"purity {_part(truth['purity'])}",
            )
        )
    lines.append(("time", f"{summary['timing']['total_s']:.0f} s"))
    return lines


def _power(law: dict[str, Any]) -> str:
    """Return amplitude and index of kappa = A n^b."""
    return (
        f"A = {_number(law['amplitude'], '.3f')} +- {_number(law['amplitude_err'], '.3f')}, "
        f"b = {_number(law['index'], '.3f')} +- {_number(law['index_err'], '.3f')}"
    )


def _whole_error(relation: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the index with its statistical and systematic errors; empty if the latter is unknown."""
    total = relation.get("index_err_total")
    if total is None or relation["index_err"] is None:
        return []
    from tilegc.report.families import largest

    systematic = math.sqrt(max(total**2 - relation["index_err"] ** 2, 0.0))
    most = largest(relation["likelihood"])
    return [
        (
            "error of b",
            f"{relation['index_err']:.3f} statistical, {systematic:.3f} systematic, {total:.3f} in total"
            + (f"; largest part: {most}" if most else ""),
        )
    ]


def _likelihood(law: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return the line of the law of counts. If the floor is at its bound, print intervals instead of errors."""
    if not law or law["c"] is None:
        return []
    low, high = law["c_interval"]
    power = f"c = {law['c']:.3f} +- {_number(law['c_err'], '.3f')}"
    index = f"b = 1/c = {_number(law['index'], '.3f')} +- {_number(law['index_err'], '.3f')}"
    floor = f"floor {law['floor']:.3f}"
    if law["floor_err"] is not None:
        floor += f" +- {law['floor_err']:.3f}"
    else:
        power = f"c = {law['c']:.3f} ({_number(low, '.3f')} to {_number(high, '.3f')})"
        ends = [None if end is None else 1 / end for end in (high, low)]
        index = f"b = 1/c = {law['index']:.3f} ({_number(ends[0], '.3f')} to {_number(ends[1], '.3f')})"
        floor += f" (at its bound; < {_number(law['floor_interval_95'][1], '.3f')} at 95 %)"
    return [("n = a kappa^c + f", f"{power}, {index}, {floor} per arcsec^2")]


def _complete(name: str, bands: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return the magnitudes at which half of the point sources of a field are found; nothing without stars."""
    known = {band: found["m50"] for band, found in (bands or {}).items()}
    texts = [f"{band} {value:.2f}" for band, value in known.items() if value is not None]
    return [(f"50 % complete {name}", f"{', '.join(texts)} mag (AB, artificial stars)")] if texts else []


def _clusters(found: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return the luminosity function and the number of clusters brighter than the depth; nothing without a function."""
    if not found or found["turnover"] is None:
        return []
    text = (
        f"turnover {found['turnover']:.2f} +- {found['turnover_err']:.2f}, "
        f"width {found['width']:.2f} +- {found['width_err']:.2f} mag"
    )
    bright = found["brighter"]
    if bright["n"] is not None:
        limit = f"{found['band']} {bright['mag']:.2f}"
        text += f"; {bright['n']:.0f} +- {bright['n_err']:.0f} clusters brighter than {limit}"
    return [("luminosities", text)]


def _depth(name: str, bands: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return the depth of a field in magnitudes; empty without photometry or if no band has a depth."""
    known = {band: photometry["mag_5sigma"] for band, photometry in (bands or {}).items()}
    texts = [f"{band} {value:.2f}" for band, value in known.items() if value is not None]
    return [(f"depth {name}", f"{', '.join(texts)} mag (AB, 5 sigma, point sources)")] if texts else []


def _limit(field: dict[str, Any], *, local: bool) -> str:
    """Return the threshold T in nJy per pixel, or as a signal-to-noise ratio with its value at the median noise."""
    if field["threshold"] is None:
        return "no threshold: no good pixels to measure the noise on"
    limit = f"{field['threshold']:.4f} nJy"
    words = (
        f"T = {field['threshold_snr']:.2f} x local noise ({limit} at its median)" if local else f"T = {limit}"
    )
    return f"{words}: {field['threshold_reason']}" if field.get("threshold_chosen") else words


def _contamination(summary: dict[str, Any]) -> str:
    contamination = summary["contamination"]
    if contamination["per_kpc2"] is not None:
        return f"{contamination['per_kpc2']:.4f} +- {_number(contamination['err'], '.4f')} per kpc^2"
    good = any(field["good_area_arcsec2"] > 0 for field in summary["fields"].values())
    return f"not measured ({'no annulus has 200 arcsec^2 of good area' if good else 'no good pixels'})"


def _percent(value: float | None) -> str:
    return "part" if value is None else f"{100 * value:.0f} %"


def _part(value: float | None) -> str:
    """Return a fraction with two decimals, or with more if a value below 1 would be rounded to 1.

    >>> _part(0.9962), _part(1.0), _part(0.51)
    ('0.996', '1.00', '0.51')
    """
    if value is None:
        return "-"
    digits = 2
    while value < 1 and digits < 6 and float(f"{value:.{digits}f}") == 1:
        digits += 1
    return f"{value:.{digits}f}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
