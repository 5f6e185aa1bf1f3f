"""Commands about the folder of a run: `status`, `verify`, `report`, `export`, `predict`, `study`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tilegc.cli.arguments import NoCheck, RunDir
from tilegc.cli.progress import pass_progress
from tilegc.cli.tables import print_growth, print_status
from tilegc.errors import ConfigError, RunFolderError

__all__ = ["export", "predict", "report", "status", "study", "study_mask", "verify", "view"]


def report(directory: RunDir, no_check: NoCheck = False) -> None:
    """Draw the figures and the page of a finished run again."""
    from tilegc.report import write_report  # noqa: PLC0415
    from tilegc.run_folder import RunFolder, open_run  # noqa: PLC0415

    run = open_run(directory, check=not no_check)
    try:
        path = write_report(run)
        RunFolder(run.path).redrawn()
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunFolderError(
            f"{run.path}: its report cannot be written ({reason}); make the folder writable"
        ) from None
    typer.echo(path)


def view(
    directory: RunDir,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0: any free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a web browser.")] = True,
    write_only: Annotated[
        bool, typer.Option("--write-only", help="Write the folder `view/` and stop.")
    ] = False,
    no_check: NoCheck = False,
) -> None:
    """Look at the images and sources of a run in a web browser."""
    import webbrowser  # noqa: PLC0415

    from tilegc import viewer  # noqa: PLC0415
    from tilegc.engine import SerialEngine  # noqa: PLC0415
    from tilegc.places import is_remote  # noqa: PLC0415
    from tilegc.run_folder import open_run  # noqa: PLC0415
    from tilegc.schema import FILES  # noqa: PLC0415

    run = open_run(directory, check=not no_check)
    page = run.path / FILES.view / "index.html"
    if write_only or not page.exists():
        try:
            page = viewer.write_view(run, SerialEngine(pass_progress(lines=False)))
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunFolderError(
                f"{page.parent}: the viewer cannot be written ({reason}); make the folder writable"
            ) from None
    if write_only or is_remote(page):
        typer.echo(page)
        return

    def ready(address: str) -> None:
        typer.echo(f"{address} shows {run.path}; end with Ctrl-C")
        if browser:
            webbrowser.open(address)

    viewer.serve(page.parent, port=port, ready=ready)


def predict(
    directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a finished run.")],
    calibration: Annotated[
        Path,
        typer.Option("--calibration", metavar="OTHER_RUN_DIR", help="Folder of a run with a lens model."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FITS", help="File to write; default: <RUN_DIR>-kappa.fits beside it."
        ),
    ] = None,
    resolution: Annotated[
        float, typer.Option(metavar="ARCSEC", help="Sigma under which sources are counted.")
    ] = 3.0,
    source_redshift: Annotated[
        float | None, typer.Option(metavar="Z", help="For which kappa is given; default: the calibration's.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    no_check: NoCheck = False,
) -> None:
    """Predict kappa without a lens model. The calibration is that of a run with one."""
    from tilegc.prediction import predict as make  # noqa: PLC0415
    from tilegc.run_folder import open_run  # noqa: PLC0415

    path = output or directory.absolute().with_name(f"{directory.absolute().name}-kappa.fits")
    if path.exists() and not overwrite:
        raise RunFolderError(f"{path}: exists; name another file with -o or set --overwrite")
    found = make(
        open_run(directory, check=not no_check),
        open_run(calibration, check=not no_check),
        resolution=resolution,
        source_redshift=source_redshift,
    )
    found.write(path)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(path)


def export(
    directory: RunDir,
    form: Annotated[
        str, typer.Argument(metavar="FORMAT", help="vot, fits, ecsv, parquet, reg or gc (a short table).")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write; default: <RUN_DIR>-catalogue.FORMAT beside it.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    no_check: NoCheck = False,
) -> None:
    """Write the catalogue of a finished run in another format."""
    from tilegc.products.exporting import FORMATS  # noqa: PLC0415
    from tilegc.products.exporting import export as write  # noqa: PLC0415
    from tilegc.run_folder import open_run  # noqa: PLC0415

    if form not in FORMATS:
        raise ConfigError(f"export: format {form!r} does not exist; choose {', '.join(FORMATS)}")
    folder = Path(str(directory)).absolute()
    kind = "gc" if form == "gc" else "catalogue"
    path = output or folder.with_name(f"{folder.name}-{kind}.{FORMATS[form][0]}")
    if path.exists() and not overwrite:
        raise RunFolderError(f"{path}: exists; name another file with -o or set --overwrite")
    write(open_run(directory, check=not no_check), form, path)
    typer.echo(path)


def status(directory: RunDir) -> None:
    """Say how far a run is."""
    from tilegc.run_folder import status as look  # noqa: PLC0415

    print_status(look(directory))


def verify(directory: RunDir) -> None:
    """Compare a finished run's files with the digests it wrote."""
    from tilegc.run_folder import strangers  # noqa: PLC0415
    from tilegc.run_folder import verify as look  # noqa: PLC0415

    problems = look(directory)
    for name in strangers(directory):
        typer.echo(f"{name}: does not belong to the run")
    for problem in problems:
        typer.echo(f"tilegc: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{directory}: every product is as the run wrote it")


def study(context: typer.Context) -> None:
    """Repeat a finished run's counts with other choices."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def study_mask(
    directory: RunDir,
    growth: Annotated[
        str, typer.Option("--growth", metavar="PX,...", help="Pixels by which its masks are grown.")
    ] = "0,1,2,4,8",
    no_check: NoCheck = False,
) -> None:
    """Count sources, purity and density of a finished run again with its mask grown."""
    from tilegc.grown_masks import mask_growth  # noqa: PLC0415

    try:
        pixels = tuple(float(part) for part in growth.split(","))
    except ValueError:
        raise ConfigError(f"--growth {growth}: give pixels with commas between, e.g. 0,1,2,4,8") from None
    print_growth(mask_growth(directory, pixels, check=not no_check, progress=pass_progress(lines=False)))
    typer.echo(f"{directory}/study: mask.ecsv, mask.png")
