"""How a run shows itself: one line in a terminal, a short table in a notebook."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["as_html", "one_line"]


def one_line(path: object, manifest: Mapping[str, Any], summary: Mapping[str, Any] | None) -> str:
    """Return a run in one line: where it is, which recipe, how far it is, and what it found."""
    fields = ", ".join(manifest.get("fields", ()))
    found = "" if summary is None else f", {summary['n_detected']:,} sources"
    return f"<Run {_shown(path)}: {manifest.get('recipe')}, {manifest.get('state')}, fields {fields}{found}>"


def as_html(path: object, manifest: Mapping[str, Any], summary: Mapping[str, Any] | None) -> str:
    """Return a run as an HTML table: fields, counts, the law and the mass; only what is known."""
    title = f"<b>tilegc run</b> <code>{html.escape(_shown(path))}</code>"
    rows = [("recipe", str(manifest.get("recipe"))), ("state", str(manifest.get("state")))]
    rows += [] if summary is None else _results(summary)
    body = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for name, text in rows
    )
    return f"<div>{title}<table>{body}</table></div>"


def _shown(path: object) -> str:
    """Return a path relative to the working directory if it lies in it."""
    if isinstance(path, Path) and path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def _results(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    cluster = summary["cluster"]
    rows = []
    if cluster["redshift"] is not None:
        rows.append(("cluster", f"{cluster['name']}, z = {cluster['redshift']:g}"))
    for name, one in summary["fields"].items():
        area = f"{one['good_area_arcsec2']:,.0f} arcsec² searched"
        rows.append((f"field {name}", f"{one['n_detected']:,} sources, {area}"))
    law = summary.get("relation")
    if law and law["index"] is not None:
        error = law.get("index_err_total") or law["index_err"]
        rows.append(("κ = A n^b", f"b = {law['index']:.3f}" + (f" ± {error:.3f}" if error else "")))
    mass = summary["mass"]["lens_within_60arcsec_msun"]
    if mass is not None:
        rows.append(("M(<60 arcsec)", f"{mass:.3g} Msun"))
    warnings = summary.get("warnings") or ()
    if warnings:
        rows.append(("warnings", f"{len(warnings)}, see the report"))
    return rows
