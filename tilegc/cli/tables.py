"""Tables printed on the terminal."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from tilegc.sizes import binary, decimal

if TYPE_CHECKING:
    from astropy.table import QTable

    from tilegc.planning import Plan
    from tilegc.run_folder import Status

__all__ = ["plan_as_json", "print_audit", "print_growth", "print_plan", "print_status"]


def print_status(status: Status) -> None:
    """Print the progress of a run, pass by pass."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for line in status.lines():
        console.print(line, soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("pass", no_wrap=True)
    table.add_column("done", justify="right")
    table.add_column("of", justify="right")
    for step in status.passes:
        table.add_row(step.name, str(step.done), "?" if step.total is None else str(step.total))
    console.print(table)
    console.print(f"{status.products} products" if status.products else "no products yet")


def print_plan(plan: Plan) -> None:
    """Print tiles and memory of every pass, and the totals."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("pass", no_wrap=True)
    table.add_column("tiles", justify="right")
    table.add_column("memory per worker", justify="right")
    table.add_column("writes")
    for step in plan.steps:
        table.add_row(step.name, str(step.units), binary(step.memory), "store" if step.writes else "")
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{plan.pixels / 1e6:.1f} Mpix in total; memory per worker up to {binary(plan.memory)}; "
        f"disk space up to {decimal(plan.disk)}",
        soft_wrap=True,
    )
    console.print(
        f"{_time(plan.cpu_seconds)} of processor time, from measured rates, to a factor of two",
        soft_wrap=True,
    )
    for note in plan.notes:
        console.print(f"note: {note}", soft_wrap=True)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as a dictionary of plain numbers and texts."""
    return {
        "passes": [
            {"name": step.name, "tiles": step.units, "memory_bytes": step.memory} for step in plan.steps
        ],
        "pixels": plan.pixels,
        "memory_bytes": plan.memory,
        "disk_bytes": int(plan.disk),
        "cpu_seconds": round(plan.cpu_seconds),
        "refusals": list(plan.refusals),
        "notes": list(plan.notes),
    }


def _time(seconds: float) -> str:
    """Return a rough time in words.

    >>> _time(40), _time(400), _time(9000)
    ('about 40 s', 'about 7 min', 'about 2.5 h')
    """
    if seconds < 90:
        return f"about {10 * max(round(seconds / 10), 1)} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def print_growth(growth: QTable) -> None:
    """Print the counts that remain under a grown mask, field by field."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    heads = (
        "growth (px)",
        "good (arcsec^2)",
        "sources",
        "per arcsec^2",
        "purity",
        "purity (truth)",
        "in added rim",
        "expected there",
    )
    table.add_column("field", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in growth[growth["annulus"] < 0]:
        value = {name: getattr(row[name], "value", row[name]) for name in growth.colnames}
        pure, planted = (
            "-" if math.isnan(value[name]) else f"{value[name]:.4f}" for name in ("purity", "purity_truth")
        )
        table.add_row(
            str(value["field"]),
            f"{value['growth']:g}",
            f"{value['area_arcsec2']:.1f}",
            str(value["n_gc"]),
            f"{value['n_per_arcsec2']:.4f} +- {value['n_err']:.4f}",
            pure,
            planted,
            str(value["n_rim"]),
            f"{value['n_rim_expected']:.1f}",
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def print_audit(lines: list[dict[str, Any]], *, everything: bool = False) -> None:
    """Print the checks of the audit with their verdicts and remedies: problems, or everything.

    A check is a paragraph, not a row: five columns cannot be read on a terminal of 80.
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from tilegc.report.audit import audit_rows, counted

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    colours = {"ok": "green", "look": "yellow", "wrong": "bold red", "unmeasured": "dim"}
    rows = audit_rows(lines)
    shown = [row for row in rows if everything or row.verdict in {"look", "wrong"}]
    for row in shown:
        head = Text.assemble(
            (row.verdict, colours[row.verdict]), f"  field {row.field}: " if row.field else "  "
        )
        console.print(head + Text(row.name, style="bold"))
        texts = [row.values, row.finding, *(f"-> {remedy}" for remedy in row.remedies)]
        for text in filter(None, texts):
            console.print(Padding(Text(text), (0, 0, 0, 4), expand=False))
    if not shown:
        console.print("no problems found")
    console.print(counted(lines) + ("; --all prints every check" if len(shown) < len(rows) else ""))
