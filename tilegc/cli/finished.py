"""Commands that take a run directory: `status`, `verify`, `report`, `view`, `export`, `predict` and `study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tilegc.cli.arguments import NoCheck, RunDir
from tilegc.cli.progress import pass_progress
from tilegc.cli.tables import print_growth, print_status
from tilegc.errors import ConfigError, RunFolderError

__all__ = ["export", "predict", "report", "status", "study", "study_mask", "verify", "view"]


def report(
    directory: RunDir,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also write the figures as PDF, 88 or 180 mm wide, for a paper.")
    ] = False,
    no_check: NoCheck = False,
) -> None:
    """Draw the figures and the report of a finished run again."""
    from tilegc.report import write_report
    from tilegc.run_folder import RunFolder, open_run

    run = open_run(directory, check=not no_check)
    try:
        path = write_report(run, pdf=pdf)
        RunFolder(run.path).redrawn()
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunFolderError(
            f"{run.path}: cannot write the report ({reason}); make the directory writable"
        ) from None
    typer.echo(path)


def view(
    directory: RunDir,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Local port; 0 = any free port.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a web browser.")] = True,
    write_only: Annotated[
        bool, typer.Option("--write-only", help="Write the directory `view/` and stop.")
    ] = False,
    webp: Annotated[
        bool,
        typer.Option(
            "--webp", help="Write `view/` with WebP tiles, too: half the bytes to load from a web server."
        ),
    ] = False,
    no_check: NoCheck = False,
) -> None:
    """Show the images and sources of a run in a web browser."""
    import webbrowser

    from tilegc import viewer
    from tilegc.engine import SerialEngine
    from tilegc.places import is_remote
    from tilegc.run_folder import RunFolder, open_run
    from tilegc.schema import FILES

    run = open_run(directory, check=not no_check)
    page = run.path / FILES.view / "index.html"
    if write_only or webp or not page.exists():
        try:
            page = viewer.write_view(run, SerialEngine(pass_progress(lines=False)), webp=webp)
            RunFolder(run.path).redrawn()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(
                f"{page.parent}: cannot write the viewer ({reason}); make the directory writable"
            ) from None
    if write_only or is_remote(page):
        typer.echo(page)
        return

    def ready(address: str) -> None:
        typer.echo(f"Showing {run.path} at {address}; stop with Ctrl-C")
        if browser:
            webbrowser.open(address)

    viewer.serve(page.parent, port=port, pixels=viewer.exact_pixels(run), ready=ready)


def predict(
    directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a finished run.")],
    calibration: Annotated[
        Path,
        typer.Option(
            "--calibration", metavar="OTHER_RUN_DIR", help="Directory of a finished run with a lens model."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FITS",
            help="File to write; default: <RUN_DIR>-kappa.fits, beside the run.",
        ),
    ] = None,
    resolution: Annotated[
        float, typer.Option(metavar="ARCSEC", help="Sigma of the Gaussian that smooths the counts.")
    ] = 3.0,
    source_redshift: Annotated[
        float | None,
        typer.Option(metavar="Z", help="Source redshift of kappa; default: that of the calibration."),
    ] = None,
    extrapolate: Annotated[
        bool,
        typer.Option(
            "--extrapolate",
            help="Predict although the run is shallower, or of other bands or another recipe.",
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    no_check: NoCheck = False,
) -> None:
    """Predict kappa for a cluster without a lens model. The law is taken from a run with one (--calibration)."""
    from tilegc.prediction import predict as make
    from tilegc.run_folder import open_run

    path = output or directory.absolute().with_name(f"{directory.absolute().name}-kappa.fits")
    if path.exists() and not overwrite:
        raise RunFolderError(
            f"{path}: already exists; choose another file with -o, or replace it with --overwrite"
        )
    prediction = make(
        open_run(directory, check=not no_check),
        open_run(calibration, check=not no_check),
        resolution=resolution,
        source_redshift=source_redshift,
        extrapolate=extrapolate,
    )
    prediction.write(path)
    for warning in prediction.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(path)


def export(
    directory: RunDir,
    form: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="Output format: vot, fits, ecsv, parquet, reg (DS9), gc (short table), moc (searched sky) or hips "
            "(images for Aladin).",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write; default: <RUN_DIR>-catalogue.FORMAT, beside the run.",
        ),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="Image for hips: a band, detection (default), density or rho; may be repeated.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    no_check: NoCheck = False,
) -> None:
    """Write the catalogue of a finished run in another format, or its sky and images for Aladin."""
    from tilegc.products.exporting import FORMATS
    from tilegc.products.exporting import export as write
    from tilegc.run_folder import open_run
    from tilegc.viewer.aladin import write_hips, write_moc

    names = {form: f"catalogue.{ending}" for form, (ending, _) in FORMATS.items()}
    names |= {"gc": "gc.ecsv", "moc": "moc.fits", "hips": "hips"}
    if form not in names:
        raise ConfigError(f"export: unknown format {form!r}; choose one of {', '.join(names)}")
    if layer and form != "hips":
        raise ConfigError("--layer: only for the format hips; leave it out")
    folder = Path(str(directory)).absolute()
    path = output or folder.with_name(f"{folder.name}-{names[form]}")
    if form == "hips":
        for written in write_hips(open_run(directory, check=not no_check), path, layer or ("detection",)):
            typer.echo(written)
        return
    if path.exists() and not overwrite:
        raise RunFolderError(
            f"{path}: already exists; choose another file with -o, or replace it with --overwrite"
        )
    run = open_run(directory, check=not no_check)
    if form == "moc":
        write_moc([run], path)
    else:
        write(run, form, path)
    typer.echo(path)


def status(directory: RunDir) -> None:
    """Show the progress of a run."""
    from tilegc.run_folder import status as read_status

    print_status(read_status(directory))


def verify(directory: RunDir) -> None:
    """Check that the files of a finished run are unchanged."""
    from tilegc.run_folder import strangers
    from tilegc.run_folder import verify as check

    problems = check(directory)
    for name in strangers(directory):
        typer.echo(f"{name}: not part of the run")
    for problem in problems:
        typer.echo(f"tilegc: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{directory}: all products are unchanged")


def study(context: typer.Context) -> None:
    """Repeat the measurements of a finished run with other settings."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def study_mask(
    directory: RunDir,
    growth: Annotated[
        str, typer.Option("--growth", metavar="PX,...", help="Pixels by which to grow the mask.")
    ] = "0,1,2,4,8",
    no_check: NoCheck = False,
) -> None:
    """Repeat counts, purity and density with a larger mask."""
    from tilegc.grown_masks import mask_growth

    try:
        pixels = tuple(float(part) for part in growth.split(","))
    except ValueError:
        raise ConfigError(
            f"--growth {growth}: expected numbers of pixels separated by commas, e.g. 0,1,2,4,8"
        ) from None
    print_growth(mask_growth(directory, pixels, check=not no_check, progress=pass_progress(lines=False)))
    typer.echo(f"wrote {directory}/study/mask.ecsv and mask.png")
