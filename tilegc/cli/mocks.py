"""Commands that simulate a cluster: `demo` and `simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tilegc.cli.arguments import Workers
from tilegc.cli.progress import SimulationBar, pass_progress, tell
from tilegc.cli.results import print_results
from tilegc.errors import ConfigError

__all__ = ["demo", "simulate"]


def demo(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Directory to write.")] = Path("demo"),
    workers: Workers = None,
) -> None:
    """Simulate a small cluster and analyse it. Prints the main results and the path of the report."""
    from tilegc import running
    from tilegc.simulation import simulate as write

    run_file = write(
        directory,
        preset="small",
        recipe="calibrated",
        overwrite=_is_mock(directory),
        progress=SimulationBar(),
    )
    results = running.run(
        run_file, directory / "run", workers=workers, overwrite=True, progress=pass_progress(), tell=tell
    )
    print_results(results)


def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory to write.")],
    preset: Annotated[
        str | None,
        typer.Option(
            help="Simulated cluster: tiny, small, as1063, or steps (uneven depth). "
            "Default: small; tiny for a sample."
        ),
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Simulate N clusters of different masses, redshifts, depths and bands, and sample.yaml for "
            "`tilegc survey`. From 5 on, one is a blank field and two have broken inputs.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 1,
    size: Annotated[
        str | None, typer.Option(metavar="N[,M]", help="Side of module A (and of module B) in pixels.")
    ] = None,
    layout: Annotated[
        str, typer.Option(help="File layout: i2d (JWST pipeline) or grizli (units of 10 nJy, gzip).")
    ] = "i2d",
    recipe: Annotated[
        str, typer.Option(help="Recipe of the run file: calibrated or diego2026.")
    ] = "diego2026",
    kappa: Annotated[
        Path | None,
        typer.Option(help="Plant the sources over this convergence map (FITS) instead of the model's."),
    ] = None,
    kappa_source_redshift: Annotated[
        float | None, typer.Option(help="Source redshift to which that map is scaled.")
    ] = None,
    kappa_lens_scaling: Annotated[
        float | None, typer.Option(help="D_LS/D_S to which that map is scaled (Frontier Fields: 1).")
    ] = None,
    psf: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL|BAND=FITS",
            help="PSF: optical (default, with rings and spikes), round (Gaussians), or the file of one band; "
            "may be repeated.",
        ),
    ] = None,
    steps: Annotated[
        float | None,
        typer.Option(help="Largest ratio of noise levels in a field; adds wedges, strips and dead columns."),
    ] = None,
    stripes: Annotated[float | None, typer.Option(help="Rms of 1/f stripes in units of the noise.")] = None,
    wisps: Annotated[float | None, typer.Option(help="Peak of the wisps in units of the noise.")] = None,
    oversubtraction: Annotated[
        float | None, typer.Option(help="Fraction of the intracluster light removed with the sky.")
    ] = None,
    cores: Annotated[
        str | None, typer.Option(help="Pixel values in saturated cores: nan, zero or negative.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of an earlier simulation.")
    ] = False,
) -> None:
    """Simulate the mosaics of a cluster or a sample. Also writes kappa.fits, truth.parquet, and run.yaml."""
    from tilegc.simulation import simulate as write
    from tilegc.simulation import simulate_sample
    from tilegc.simulation.psf import MODELS

    common: dict[str, Any] = {
        "seed": seed,
        "size": _sizes(size),
        "psf_model": next((text for text in psf or [] if text in MODELS), None),
        "steps": steps,
        "stripes": stripes,
        "wisps": wisps,
        "oversubtraction": oversubtraction,
        "cores": cores,
        "overwrite": overwrite,
        "progress": SimulationBar(),
    }
    images = _pairs([text for text in psf or [] if text not in MODELS])
    lens: dict[str, Any] = {
        "kappa": kappa,
        "kappa_source_redshift": kappa_source_redshift,
        "kappa_lens_scaling": kappa_lens_scaling,
    }
    if sample is None:
        run_file = write(
            directory, preset=preset or "small", layout=layout, recipe=recipe, psf=images, **lens, **common
        )
        typer.echo(f"analyse it with: tilegc run {run_file}")
        return
    if images or layout != "i2d" or any(value is not None for value in lens.values()):
        raise ConfigError("--sample: cannot be combined with --layout, --kappa or PSF files; leave them out")
    sample_file = simulate_sample(directory, sample, preset=preset or "tiny", **common)
    typer.echo(f"analyse it with: tilegc survey {sample_file}")


def _is_mock(directory: Path) -> bool:
    """Return whether the directory contains an earlier simulation, which may be replaced."""
    try:
        return (
            (directory / "run.yaml")
            .read_text(encoding="utf-8")
            .startswith("# A mock cluster: `tilegc simulate`")
        )
    except (OSError, UnicodeDecodeError):
        return False


def _sizes(text: str | None) -> tuple[int, int] | int | None:
    """Parse "N" or "N,M"."""
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in {1, 2}:
        raise ConfigError(f"--size {text}: expected one number of pixels, or two separated by a comma")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _pairs(texts: list[str]) -> dict[str, str] | None:
    """Parse a list of BAND=FITS."""
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, (band, _, path) in zip(texts, pairs, strict=True) if not (band and path)]
    if wrong:
        raise ConfigError(f"--psf {wrong[0]}: expected optical, round or BAND=FILE, e.g. F090W=psf.fits")
    return {band: path for band, _, path in pairs} or None
