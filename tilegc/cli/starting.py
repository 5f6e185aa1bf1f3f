"""The command `init`, which drafts a run file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tilegc.errors import ConfigError

__all__ = ["init"]


def init(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FITS...",
            help="Mosaics, and with them errors, weights, PSFs, masks, region files and convergence maps.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="RUN.yaml", help="Run file to write; default: run.yaml."),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Name of the cluster; the Frontier Fields are known by name.")
    ] = "",
    redshift: Annotated[float | None, typer.Option(help="Redshift of the cluster.")] = None,
    center: Annotated[
        str | None,
        typer.Option("--center", "--centre", metavar="RA,DEC", help="Centre, ICRS: degrees or sexagesimal."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="calibrated, or diego2026.")] = "calibrated",
    kappa_source_redshift: Annotated[
        float | None, typer.Option(help="Source redshift of the convergence map.")
    ] = None,
    kappa_lens_scaling: Annotated[
        float | None, typer.Option(help="D_LS/D_S of the convergence map (Frontier Fields: 1).")
    ] = None,
    template: Annotated[
        bool, typer.Option("--template", help="Print a run file with every key, its meaning and default.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of run files, for editors.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Write a first run file for your own images. It says what it found, what it guessed, and what you must fill in."""
    if template or schema:
        if files or (template and schema):
            raise ConfigError(
                "--template and --schema take no FITS files and exclude each other; give one of them"
            )
        _print(_template() if template else _schema(), output, overwrite=overwrite)
        return
    if not files:
        raise ConfigError("FITS: missing; give the mosaics, or --template for an example with every key")
    if kappa_source_redshift is not None and kappa_lens_scaling is not None:
        raise ConfigError("give --kappa-source-redshift or --kappa-lens-scaling, not both")
    target = output or Path("run.yaml")
    _require_free(target, overwrite=overwrite)
    from tilegc.config.run import RECIPES

    if recipe not in RECIPES:
        raise ConfigError(f"--recipe {recipe}: unknown; choose {' or '.join(RECIPES)}")
    from tilegc import drafting

    found = drafting.draft(files, name=name, redshift=redshift, centre=center)
    scaling = drafting.Scaling(source_redshift=kappa_source_redshift, lens_scaling=kappa_lens_scaling)
    text = drafting.run_file(found, target.parent, recipe=recipe, scaling=scaling)
    for line in drafting.summary(found):
        typer.echo(line)
    _write(target, text)
    typer.echo(f"wrote {target}; next: tilegc plan {target}")


def _template() -> str:
    from tilegc.config.annotated import template

    return template()


def _schema() -> str:
    from tilegc.config.json_schema import json_schema

    return json.dumps(json_schema(), indent=2) + "\n"


def _print(text: str, output: Path | None, *, overwrite: bool) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    _require_free(output, overwrite=overwrite)
    _write(output, text)
    typer.echo(f"wrote {output}")


def _require_free(target: Path, *, overwrite: bool) -> None:
    if target.is_dir():
        raise ConfigError(f"{target}: is a directory; give the name of a file with -o")
    if target.exists() and not overwrite:
        raise ConfigError(f"{target}: already exists; choose another name with -o, or --overwrite it")
    if not target.parent.is_dir():
        raise ConfigError(f"{target}: {target.parent} is not a directory; create it first")


def _write(target: Path, text: str) -> None:
    from tilegc.io.atomic import write_bytes

    write_bytes(target, text.encode())
