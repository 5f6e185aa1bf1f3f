"""The report of a sample: a table of all clusters with links to their reports, figures, and failures with remedies."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tilegc.io.atomic import write_bytes
from tilegc.places import Place
from tilegc.report.embedding import data_url
from tilegc.report.numbers import DASH, plain, with_error, with_power
from tilegc.run_folder import Run
from tilegc.samples.measured import Measured
from tilegc.samples.report.figures import sample_figures
from tilegc.samples.statistics import SampleStatistics
from tilegc.samples.status import ClusterStatus
from tilegc.schema import FILES, VERSION

__all__ = ["failure", "write_sample_report"]

HEAD = (
    "cluster",
    "state",
    "z",
    "bands",
    "good area (arcmin²)",
    "sources",
    "b",
    "ln α",
    "c",
    "lens mass (M☉)",
    "warnings",
)

REMEDIES = "give|fetch|choose|free|raise|add|correct|set|use|make|resample|decompress|finish|restore|start over|remove"

LAW = (
    ("ln α", "ln of sources per kpc² at 10⁹ M☉ kpc⁻²"),
    ("c", "power"),
    ("floor", "sources per arcsec² without the cluster"),
)


def write_sample_report(
    home: Place,
    statuses: Sequence[ClusterStatus],
    runs: Mapping[str, Run],
    measured: Sequence[Measured],
    found: SampleStatistics,
) -> None:
    """Write report.html and figures/ into the directory of a sample.

    Parameters
    ----------
    home : Place
    statuses : sequence of ClusterStatus
        In the order of the sample file.
    runs : mapping of str to Run
        The finished runs.
    measured : sequence of Measured
    found : SampleStatistics
    """
    drawings = sample_figures(found, measured)
    for drawing in drawings:
        write_bytes(home / FILES.figures / f"{drawing.name}.png", drawing.png)
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("tilegc.samples.report", "."), PackageLoader("tilegc.report", ".")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("sample.html.j2").render(
        title=f"{len(statuses)} clusters: globular clusters and dark matter",
        version=VERSION,
        lead=_lead(statuses, found),
        failures=[failure(one) for one in statuses if one.state not in {"done", "running", "waiting"}],
        missing=found.missing,
        head=HEAD,
        rows=[_row(one, runs.get(one.name), found) for one in statuses],
        law=_law_rows(found),
        law_head=("parameter", "meaning", "mean", "scatter between clusters"),
        relation=_relation_rows(found),
        drawings=drawings,
        images={drawing.name: data_url(drawing.png) for drawing in drawings},
        files=FILES,
    )
    write_bytes(home / FILES.report, page.encode())


def _lead(statuses: Sequence[ClusterStatus], found: SampleStatistics) -> list[str]:
    counts = Counter(one.state for one in statuses)
    done = counts.pop("done", 0)
    others = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    sentences = [f"{done} of {len(statuses)} clusters have been analysed{f' ({others})' if others else ''}."]
    law = None if found.law is None else found.law.population
    if law is not None and law.mean.mean[1] < 2 * law.mean.err[1]:
        sentences.append(
            "Their counts do not constrain how the number of globular clusters grows with the mass."
        )
    elif law is not None:
        mean, scatter = law.mean, law.scatter
        sentences.append(
            f"The surface density of their globular clusters grows with that of the mass to the power "
            f"{mean.mean[1]:.2f} ± {mean.err[1]:.2f}, with a scatter of {scatter[1]:.2f} from cluster to cluster; at a "
            f"given surface density of mass their number scatters by {100 * math.expm1(scatter[0]):.0f} %."
        )
    if (relation := found.relation) is not None and relation.slope > 2 * relation.slope_err:
        sentences.append(
            f"Their number grows with lens mass to the power {relation.slope:.2f} ± {relation.slope_err:.2f}."
        )
    return sentences


def failure(status: ClusterStatus) -> dict[str, str]:
    """Split a message into what is wrong and what to do, at the first verb that asks for something."""
    what, *rest = re.split(rf"[:;,] (?=(?:{REMEDIES})\b)", status.doing, maxsplit=1)
    remedy = rest[0] if rest else ""
    if status.state == "failed" and not remedy:
        remedy = "fix the cause and rerun with --resume --retry-failed"
    return {"name": status.name, "state": status.state, "what": what, "remedy": remedy}


def _row(status: ClusterStatus, run: Run | None, found: SampleStatistics) -> list[Any]:
    state = Markup('<span class="state {0}">{0}</span>').format(status.state)
    if run is None:
        return [status.name, state, *[DASH] * (len(HEAD) - 2)]
    summary, cluster = run.summary, run.config.cluster
    relation = summary["relation"] or {}
    link = Markup('<a href="{0}/{1}">{0}</a>').format(status.name, FILES.report)
    area = sum(field["good_area_arcsec2"] for field in summary["fields"].values()) / 3600
    own = None
    if found.law is not None and status.name in found.law.names:
        own = found.law.shrunken[found.law.names.index(status.name)]
    aperture = found.apertures.get(status.name)
    return [
        link,
        state,
        f"{cluster.redshift:.3f}" if cluster.known else DASH,
        _range(list(next(iter(summary["fields"].values()))["psf"])),
        plain(area),
        f"{summary['n_detected']:,}",
        with_error(relation.get("index"), relation.get("index_err_total") or relation.get("index_err")),
        with_error(float(own.mean[0]), float(own.err[0])) if own else DASH,
        with_error(float(own.mean[1]), float(own.err[1])) if own else DASH,
        with_power(aperture.mass) if aperture else DASH,
        str(len(summary["warnings"])),
    ]


def _range(bands: list[str]) -> str:
    """Return bands in short: all of two, or first, last and number."""
    return " ".join(bands) if len(bands) < 3 else f"{bands[0]}–{bands[-1]} ({len(bands)})"


def _law_rows(found: SampleStatistics) -> list[list[Any]]:
    if found.law is None:
        return []
    population = found.law.population
    return [
        [
            name,
            meaning,
            with_error(float(population.mean.mean[k]), float(population.mean.err[k])),
            _with_interval(population.scatter[k], *population.scatter_interval[k]),
        ]
        for k, (name, meaning) in enumerate(LAW)
    ]


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _relation_rows(found: SampleStatistics) -> list[list[Any]]:
    relation = found.relation
    if relation is None:
        return []
    number = math.exp(relation.ln_n_at_pivot)
    return [
        ["slope", "of ln N against ln M", with_error(relation.slope, relation.slope_err)],
        [
            "number",
            Markup("at {} M☉").format(with_power(relation.pivot)),
            f"{plain(number)} ± {plain(number * relation.ln_n_at_pivot_err, 2)}",
        ],
        [
            "scatter",
            "of ln N at given mass, errors taken out",
            _with_interval(relation.scatter, *relation.scatter_interval),
        ],
        ["clusters", "with number and lens mass", str(relation.n_clusters)],
    ]
