"""What a run found, in a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tilegc.run_folder import Run

__all__ = ["print_found"]


def print_found(found: Run) -> None:
    """Print what a run found, and where its report is."""
    lines = _lines(found.summary)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        typer.echo(f"{name:<{width}}  {value}")
    typer.echo(f"{'report':<{width}}  {found.path / 'report.html'}")


def _lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the main results as pairs of a name and a text with its unit."""
    cluster, relation, comparison = summary["cluster"], summary["relation"], summary["comparison"]
    mass, contamination = summary["mass"], summary["contamination"]
    lines = [
        (
            "cluster",
            f"{cluster['name']}, z = {cluster['redshift']:g}, {cluster['kpc_per_arcsec']:.3f} kpc per arcsec",
        )
    ]
    for name, field in summary["fields"].items():
        lines.append(
            (
                f"field {name}",
                f"{field['n_detected']} sources ({field['n_candidates']} candidates), "
                f"{field['good_area_arcsec2']:.0f} arcsec^2 good, T = {_number(field['threshold'], '.4f')} nJy",
            )
        )
    lines.append(
        ("sources", f"{summary['n_detected']} detected, {summary['n_inpainted']:.1f} inpainted under masks")
    )
    lines.append(
        (
            "contamination",
            f"{_number(contamination['per_kpc2'], '.4f')} +- {_number(contamination['err'], '.4f')} per kpc^2",
        )
    )
    if relation is not None:
        lines.append(
            (
                "kappa = A n^b",
                f"A = {_number(relation['amplitude'], '.3f')} +- {_number(relation['amplitude_err'], '.3f')}, "
                f"b = {_number(relation['index'], '.3f')} +- {_number(relation['index_err'], '.3f')}",
            )
        )
    if comparison is not None:
        lines.append(
            (
                "kappa and rho",
                f"beta = {_number(comparison['beta'], '.4g')}, Pearson {_number(comparison['pearson'], '.3f')}, "
                f"Spearman {_number(comparison['spearman'], '.3f')}",
            )
        )
    if mass["lens_within_60arcsec_msun"] is not None:
        lines.append(("mass (< 60 arcsec)", f"{mass['lens_within_60arcsec_msun']:.3g} Msun from lensing"))
    truth = summary["truth"]
    if truth is not None:
        lines.append(
            (
                "planted",
                f"b = {_number(truth['index'], '.3f')} +- {_number(truth['index_err'], '.3f')} in the same boxes; "
                f"completeness {_number(truth['completeness'], '.2f')}, purity {_number(truth['purity'], '.2f')}",
            )
        )
    lines.append(("time", f"{summary['timing']['total_s']:.0f} s"))
    return lines


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
