"""Write the table of passes in `docs/architecture.md` from the list of phases.

    python docs/passes.py

The run it shows has everything: recipe calibrated, two fields at 30 mas per pixel, one of them in bands without
weights, a convergence map, photometry and artificial stars. A test fails where the page differs from the code.
"""

# ruff: noqa: INP001  (a script, which says what it wrote)

from __future__ import annotations

from pathlib import Path

from astropy.io import fits

from tilegc.config import RunConfig
from tilegc.io.fits import BandSource, FieldSource
from tilegc.phases.planned import Planned, Step
from tilegc.pipeline import PHASES

PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- passes: written by docs/passes.py -->\n", "<!-- end of passes -->\n"
SIDE = 4400
HEAD = ("phase", "pass", "over", "reads", "halo", "writes into the store, or returns")
WIDTHS = (12, 25, 7, 54, 4)


def planned(**settings: object) -> Planned:
    """Return a run of two fields beside each other."""
    sources, fields = [], []
    for name, ra, given in (("a", 150.0, ("sci", "err", "wht")), ("b", 150.05, ("sci", "err"))):
        wcs = fits.Header(
            {
                "CTYPE1": "RA---TAN",
                "CTYPE2": "DEC--TAN",
                "CRVAL1": ra,
                "CRVAL2": 0.0,
                "CRPIX1": SIDE / 2,
                "CRPIX2": SIDE / 2,
                "CDELT1": -0.03 / 3600,
                "CDELT2": 0.03 / 3600,
                "RADESYS": "ICRS",
            }
        ).tostring("\n")
        band = BandSource("F200W", None, stored=given)
        sources.append(
            FieldSource(
                name,
                (SIDE, SIDE),
                (band,),
                "",
                wcs,
                0.03,
                9e-4,
                has_err=True,
                has_wht="wht" in given,
            )
        )
        fields.append({"name": name, "bands": {"F200W": f"{name}.fits"}})
    content = {
        "recipe": "calibrated",
        "cluster": {"name": "c", "redshift": 0.3, "ra": 150.0, "dec": 0.0},
        "fields": fields,
        "ingest": "always",
        **settings,
    }
    return Planned(config=RunConfig.model_validate(content), sources=tuple(sources))


def table() -> str:
    """Return the table as a block of the page."""
    everything = planned(convergence={"path": "kappa.fits", "source_redshift": 3.0})
    bare = planned(recipe="diego2026", ingest="never", outputs=[], mask={"extended": "off"})
    always = {step.name for phase in PHASES for step in phase.passes(bare)} - {"repeated values"}
    lines = [_line(*HEAD), _line(*("-" * width for width in (*WIDTHS, 50)))]
    for phase in PHASES:
        steps = list(phase.passes(everything))
        if not steps:
            lines.append(_line(phase.name, "", "driver", "", "", ""))
        for number, step in enumerate(steps):
            name = step.name if step.name in always else f"({step.name})"
            lines.append(_row(phase.name if number == 0 else "", name, step))
    return "```\n" + "\n".join(lines) + "\n```\n"


def _row(phase: str, name: str, step: Step) -> str:
    halo = str(step.halo) if step.halo else ""
    gives = [f"store: {', '.join(step.writes)}"] if step.writes else []
    gives += [step.gives] if step.gives else []
    gives += [f"only if {step.rarely}"] if step.rarely else []
    return _line(phase, name, step.over, ", ".join(step.reads), halo, "; ".join(gives))


def _line(*cells: str) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=False)]
    return " ".join([*padded, cells[-1]]).rstrip()


def page() -> str:
    """Return the page with the table of the code in it."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")  # noqa: T201
