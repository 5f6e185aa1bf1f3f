"""Prints what all long runs of faults, damaged inputs and load have found so far: `make figures`."""

from __future__ import annotations

from tests.faults.results import Row, rows

__all__ = ["table"]

HEAD = Row("what was tried", "how much", "survived", "asked", "")


def table(*, markdown: bool = False) -> list[str]:
    """Return the lines of the table, for a terminal or for a page."""
    listed = [HEAD, *rows()]
    cells = [(row.what, row.tried, row.asked, row.survived, row.remark) for row in listed]
    if markdown:
        lines = [f"| {' | '.join(row)} |" for row in cells]
        return [lines[0], "|---" * len(cells[0]) + "|", *lines[1:]]
    cells = [tuple(cell.replace("`", "") for cell in row) for row in cells]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in cells
    ]


if __name__ == "__main__":
    print("\n".join(table()))
