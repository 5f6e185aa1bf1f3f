"""Commands that make a mock cluster: `demo`, `simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tilegc.cli.arguments import Workers
from tilegc.cli.progress import SimulationBar, pass_progress, tell
from tilegc.cli.results import print_found
from tilegc.errors import ConfigError

__all__ = ["demo", "simulate"]


def demo(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to; default: demo.")] = Path(
        "demo"
    ),
    workers: Workers = None,
) -> None:
    """Simulate a small cluster and run the chain on it. With two modules; says what was found."""
    from tilegc import running  # noqa: PLC0415
    from tilegc.simulation import simulate as write  # noqa: PLC0415

    run_file = write(directory, preset="small", overwrite=_is_mock(directory), progress=SimulationBar())
    found = running.run(
        run_file, directory / "run", workers=workers, overwrite=True, progress=pass_progress(), tell=tell
    )
    print_found(found)


def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write.")],
    preset: Annotated[str, typer.Option(help="tiny, small, as1063 or steps.")] = "small",
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 1,
    size: Annotated[
        str | None, typer.Option(metavar="N[,M]", help="Pixels a side of module A (and B); any size.")
    ] = None,
    layout: Annotated[str, typer.Option(help="i2d (as the JWST pipeline's) or grizli (10 nJy, gz).")] = "i2d",
    kappa: Annotated[
        Path | None, typer.Option(help="Plant over this kappa FITS instead of the model's.")
    ] = None,
    kappa_source_redshift: Annotated[
        float | None, typer.Option(help="Source redshift to which it is scaled.")
    ] = None,
    kappa_lens_scaling: Annotated[
        float | None, typer.Option(help="D_LS/D_S to which it is scaled (HFF: 1).")
    ] = None,
    psf: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL|BAND=FITS",
            help="optical (default: rings and spikes), round (Gaussians), or a band's PSF; may be repeated.",
        ),
    ] = None,
    steps: Annotated[
        float | None,
        typer.Option(help="Largest step in noise across the fields, with wedges, strips and dead columns."),
    ] = None,
    stripes: Annotated[float | None, typer.Option(help="Rms of 1/f stripes, in units of the noise.")] = None,
    wisps: Annotated[float | None, typer.Option(help="Peak of wisps, in units of the noise.")] = None,
    oversubtraction: Annotated[
        float | None, typer.Option(help="Share of the intracluster light that is subtracted too much.")
    ] = None,
    cores: Annotated[
        str | None, typer.Option(help="What saturated cores hold: nan, zero or negative.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of an earlier simulation.")
    ] = False,
) -> None:
    """Write the mosaics of a mock cluster. With kappa.fits, truth.parquet and run.yaml, ready for `run`."""
    from tilegc.simulation import simulate as write  # noqa: PLC0415
    from tilegc.simulation.psf import MODELS  # noqa: PLC0415

    run_file = write(
        directory,
        preset=preset,
        seed=seed,
        size=_sizes(size),
        layout=layout,
        kappa=kappa,
        kappa_source_redshift=kappa_source_redshift,
        kappa_lens_scaling=kappa_lens_scaling,
        psf=_pairs([text for text in psf or [] if text not in MODELS]),
        psf_model=next((text for text in psf or [] if text in MODELS), None),
        steps=steps,
        stripes=stripes,
        wisps=wisps,
        oversubtraction=oversubtraction,
        cores=cores,
        overwrite=overwrite,
        progress=SimulationBar(),
    )
    typer.echo(f"run it with: tilegc run {run_file}")


def _is_mock(directory: Path) -> bool:
    """Whether a folder holds a simulation of ours, which the next one may replace."""
    try:
        return (
            (directory / "run.yaml")
            .read_text(encoding="utf-8")
            .startswith("# A mock cluster: `tilegc simulate`")
        )
    except (OSError, UnicodeDecodeError):
        return False


def _sizes(text: str | None) -> tuple[int, int] | int | None:
    """Read "N" or "N,M"."""
    if text is None:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in {1, 2}:
        raise ConfigError(f"--size {text}: give one number of pixels, or two with a comma between")
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _pairs(texts: list[str]) -> dict[str, str] | None:
    """Read BAND=FITS."""
    pairs = [text.partition("=") for text in texts]
    wrong = [text for text, (band, _, path) in zip(texts, pairs, strict=True) if not (band and path)]
    if wrong:
        raise ConfigError(f"--psf {wrong[0]}: give optical, round or BAND=FILE, e.g. F090W=psf.fits")
    return {band: path for band, _, path in pairs} or None
