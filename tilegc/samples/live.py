"""The status page of a sample while it runs: every cluster, its stage, progress, rate, verdict or failure."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from tilegc.io.atomic import write_bytes
from tilegc.places import Place
from tilegc.samples.occupancy import Occupancy
from tilegc.samples.status import ClusterStatus
from tilegc.schema import FILES, VERSION

__all__ = ["PAGE", "StatusPage"]

PAGE: Final = "status.html"

SECONDS: Final = 10.0
"""Interval between two versions of the page, and at which a browser reads it again."""


class StatusPage:
    """Writes `status.html` into the directory of a sample.

    Parameters
    ----------
    home : Place
        The directory.
    """

    def __init__(self, home: Place) -> None:
        self.home = home
        self._written = -SECONDS
        self._verdicts: dict[str, str] = {}
        """Of finished clusters: their summaries are read once."""
        loaders = [PackageLoader("tilegc.samples.report", "."), PackageLoader("tilegc.report", ".")]
        environment = Environment(
            loader=ChoiceLoader(loaders),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template("status.html.j2")

    @property
    def is_due(self) -> bool:
        """Whether the page is old enough to be written again."""
        return time.monotonic() - self._written >= SECONDS

    def write(self, statuses: Sequence[ClusterStatus], busy: Occupancy, *, ended: bool = False) -> None:
        """Write the page.

        Parameters
        ----------
        statuses : sequence of ClusterStatus
            In the order of the sample file.
        busy : Occupancy
            How busy the workers were.
        ended : bool
            Whether the survey has ended: the page then no longer asks to be read again.
        """
        self._written = time.monotonic()
        counts = Counter(one.state for one in statuses)
        page = self._template.render(
            version=VERSION,
            seconds=None if ended else int(SECONDS),
            counts=[f"{number} {state}" for state, number in counts.most_common()],
            done=counts["done"] / max(len(statuses), 1),
            busy=busy.whole,
            rows=[self._row(one) for one in statuses],
            files=FILES,
            report=ended,
        )
        # A page that cannot be written now will be in ten seconds; no cluster is lost for it.
        with contextlib.suppress(OSError):
            write_bytes(self.home / PAGE, page.encode())

    def _row(self, one: ClusterStatus) -> Mapping[str, Any]:
        beat = one.heartbeat
        part = rate = None
        if beat is not None and beat.units_in_all:
            part = beat.units / beat.units_in_all
            rate = f"{beat.pixels_per_second / 1e6:.1f}" if beat.pixels_per_second else None
        return {
            "name": one.name,
            "state": one.state,
            "stage": (beat.name or "between passes") if beat is not None else "",
            "part": part,
            "rate": rate,
            "said": self._verdict(one.name) if one.state == "done" else one.doing if beat is None else "",
        }

    def _verdict(self, name: str) -> str:
        if name not in self._verdicts:
            try:
                summary = json.loads((self.home / name / FILES.summary).read_bytes())
                wrong = sum(line["verdict"] == "wrong" for line in summary["audit"])
                number = len(summary["warnings"])
            except (OSError, ValueError, KeyError, TypeError):
                return ""
            said = "no warnings" if number == 0 else f"{number} warning{'s' * (number > 1)}"
            self._verdicts[name] = f"{said}, {wrong} wrong in the audit" if wrong else said
        return self._verdicts[name]
