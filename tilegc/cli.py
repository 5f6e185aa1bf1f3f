"""The command line: parse, call, print.

Exit codes: 0 done; 1 the run failed; 2 bad input or usage; 3 done in part. Errors are one line on stderr.
"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from tilegc.errors import ConfigError, RunFolderError, TileGCError

if TYPE_CHECKING:
    from astropy.table import QTable

    from tilegc.cluster import TLS
    from tilegc.engine import Progress
    from tilegc.run_folder import Run, Status
    from tilegc.stages.plan import Plan

__all__ = ["app", "main"]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number, as shells have it."""

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Globular clusters in JWST mosaics of galaxy clusters: from FITS images to a catalogue, density maps "
    "and their relation to dark matter.",
)  # fmt: skip

study_app = typer.Typer(
    rich_markup_mode=None, help="Count what a finished run would have found with other choices."
)
app.add_typer(study_app, name="study", no_args_is_help=True)

RunFile = Annotated[str, typer.Argument(metavar="RUN.yaml", help="The run file: a path or a URL.")]
RunDir = Annotated[str, typer.Argument(metavar="DIR", help="Folder of a run: a path or a URL.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Folder of the run, or URL; default: <run file>-run beside it."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes of one thread each; default: one a core; 0: none, all in this process.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="A Dask scheduler: tcp://host:8786, or its .json file.",
    ),
]
ClusterName = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="NAME", help="Start workers of this kind: local, slurm, pbs, lsf or kubernetes."
    ),
]
TLSAuthority = Annotated[
    Path | None,
    typer.Option("--tls-ca", metavar="PEM", help="Certificate of the authority that all must be signed by."),
]
TLSCertificate = Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", help="Our certificate.")]
TLSKey = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its key.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an earlier start of the same run ended.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Remove what an earlier run wrote there, and start anew.")
]


def _version(value: bool) -> None:
    if value:
        from tilegc import __version__  # noqa: PLC0415  (kept out of start-up)

        typer.echo(f"tilegc {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to; default: demo.")] = Path(
        "demo"
    ),
    workers: Workers = None,
) -> None:
    """Simulate a small two-module cluster, run the whole chain on it, and say what was found."""
    from tilegc import pipeline  # noqa: PLC0415
    from tilegc.simulate import simulate as write  # noqa: PLC0415

    run_file = write(directory, preset="small", overwrite=_is_mock(directory), progress=_SimulationBar())
    found = pipeline.run(
        run_file, directory / "run", workers=workers, overwrite=True, progress=_progress(), tell=_tell
    )
    _print_found(found)


@app.command()
def simulate(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write.")],
    preset: Annotated[str, typer.Option(help="tiny, small or as1063.")] = "small",
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
        list[str] | None, typer.Option(metavar="BAND=FITS", help="PSF of a band; may be repeated.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the files of an earlier simulation.")
    ] = False,
) -> None:
    """Write FITS mosaics of a mock cluster, kappa.fits, truth.parquet and run.yaml, ready for `run`."""
    from tilegc.simulate import simulate as write  # noqa: PLC0415

    run_file = write(
        directory, preset=preset, seed=seed, size=_sizes(size), layout=layout, kappa=kappa,
        kappa_source_redshift=kappa_source_redshift, kappa_lens_scaling=kappa_lens_scaling,
        psf=_pairs(psf or []), overwrite=overwrite, progress=_SimulationBar(),
    )  # fmt: skip
    typer.echo(f"run it with: tilegc run {run_file}")


@app.command()
def ingest(
    run_file: RunFile, output: Output = None, workers: Workers = None, scheduler: Scheduler = None,
    cluster: ClusterName = None, tls_ca: TLSAuthority = None, tls_cert: TLSCertificate = None, tls_key: TLSKey = None,
) -> None:  # fmt: skip
    """Write the Zarr stores alone."""
    from tilegc import pipeline  # noqa: PLC0415

    directory = output or pipeline.default_directory(run_file)
    stores = pipeline.ingest_only(
        run_file, directory, workers=workers, scheduler=scheduler, cluster_name=cluster,
        tls=_tls(tls_ca, tls_cert, tls_key), progress=_progress(lines=False),
    )  # fmt: skip
    for path in stores:
        typer.echo(path)


@app.command()
def plan(run_file: RunFile, output: Output = None, workers: Workers = None) -> None:
    """Say what a run will take, and what would be refused; nothing is computed."""
    from tilegc import pipeline  # noqa: PLC0415

    found = pipeline.plan(run_file, output or pipeline.default_directory(run_file), workers=workers)
    _print_plan(found)
    if found.refusals:
        for reason in found.refusals:
            typer.echo(f"tilegc: {reason}", err=True)
        raise typer.Exit(2)


@app.command()
def audit(
    run_file: RunFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as JSON.")] = False,
) -> None:
    """Look at the images and the convergence map before a run: value, verdict, what to do."""
    from tilegc import pipeline  # noqa: PLC0415
    from tilegc.stages.audit import rows  # noqa: PLC0415

    lines = list(rows(pipeline.audit(run_file, progress=_progress(lines=False))))
    if as_json:
        typer.echo(json.dumps({"audit": lines}, indent=2, allow_nan=False))
    else:
        _print_audit(lines)


@app.command()
def run(
    run_file: RunFile, output: Output = None, workers: Workers = None, scheduler: Scheduler = None,
    cluster: ClusterName = None, tls_ca: TLSAuthority = None, tls_cert: TLSCertificate = None, tls_key: TLSKey = None,
    resume: Resume = False, overwrite: Overwrite = False,
    performance_report: Annotated[
        Path | None,
        typer.Option("--performance-report", metavar="FILE", help="Write Dask's page about the run, HTML."),
    ] = None,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print the resolved run file.")] = False,
) -> None:  # fmt: skip
    """Run the whole chain: from FITS images to a catalogue, maps, relations and a report."""
    from tilegc import config, pipeline  # noqa: PLC0415

    if show_config:
        typer.echo(config.dump(config.load(run_file)), nl=False)
        return
    found = pipeline.run(
        run_file, output, workers=workers, scheduler=scheduler, cluster_name=cluster,
        tls=_tls(tls_ca, tls_cert, tls_key), performance_report=performance_report,
        resume=resume, overwrite=overwrite, progress=_progress(), tell=_tell,
    )  # fmt: skip
    _print_found(found)


@app.command()
def report(directory: RunDir) -> None:
    """Draw the figures and the page of a finished run again."""
    from tilegc.report import write_report  # noqa: PLC0415
    from tilegc.run_folder import open_run  # noqa: PLC0415

    run = open_run(directory)
    try:
        path = write_report(run)
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunFolderError(
            f"{run.path}: its report cannot be written ({reason}); make the folder writable"
        ) from None
    typer.echo(path)


@app.command()
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
) -> None:
    """Predict kappa for a cluster without a lens model, from the calibration of one with."""
    from tilegc.prediction import predict as make  # noqa: PLC0415

    path = output or directory.absolute().with_name(f"{directory.absolute().name}-kappa.fits")
    if path.exists() and not overwrite:
        raise RunFolderError(f"{path}: exists; name another file with -o or set --overwrite")
    found = make(directory, calibration, resolution=resolution, source_redshift=source_redshift)
    found.write(path)
    for warning in found.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(path)


@study_app.callback()
def _study() -> None:
    """Count what a finished run would have found with other choices."""


@study_app.command("mask")
def study_mask(
    directory: RunDir,
    growth: Annotated[
        str, typer.Option("--growth", metavar="PX,...", help="Pixels by which its masks are grown.")
    ] = "0,1,2,4,8",
) -> None:
    """Count sources, purity and density of a finished run again with its mask grown."""
    from tilegc.study import mask_growth  # noqa: PLC0415

    try:
        pixels = tuple(float(part) for part in growth.split(","))
    except ValueError:
        raise ConfigError(f"--growth {growth}: give pixels with commas between, e.g. 0,1,2,4,8") from None
    _print_growth(mask_growth(directory, pixels, progress=_progress(lines=False)))
    typer.echo(f"{directory}/study: mask.ecsv, mask.png")


@app.command()
def status(directory: RunDir) -> None:
    """Say how far a run is."""
    from tilegc.run_folder import status as look  # noqa: PLC0415

    _print_status(look(directory))


@app.command()
def verify(directory: RunDir) -> None:
    """Compare a finished run's files with the digests it wrote."""
    from tilegc.run_folder import verify as look  # noqa: PLC0415

    problems = look(directory)
    for problem in problems:
        typer.echo(f"tilegc: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{directory}: every product is as the run wrote it")


@app.command()
def doctor(
    run_file: Annotated[
        Path | None, typer.Argument(metavar="[RUN.yaml]", help="Its compute: section says what to start.")
    ] = None,
    cluster: ClusterName = None, scheduler: Scheduler = None,
    tls_ca: TLSAuthority = None, tls_cert: TLSCertificate = None, tls_key: TLSKey = None,
) -> None:  # fmt: skip
    """Say what of the installation works; with --cluster or --scheduler, whether workers there do."""
    from tilegc import config  # noqa: PLC0415
    from tilegc import doctor as examination  # noqa: PLC0415

    if cluster is None and scheduler is None:
        raise typer.Exit(examination.report(typer.echo))
    compute = None if run_file is None else config.load(run_file).compute
    code = examination.report_workers(
        typer.echo, cluster=cluster, scheduler=scheduler, compute=compute, tls=_tls(tls_ca, tls_cert, tls_key)
    )
    raise typer.Exit(code)


def _tls(ca: Path | None, cert: Path | None, key: Path | None) -> TLS | None:
    """Return the three files, or None where none is given."""
    from tilegc.cluster import TLS  # noqa: PLC0415

    if ca is None and cert is None and key is None:
        return None
    if ca is None or cert is None or key is None:
        raise ConfigError("--tls-ca, --tls-cert and --tls-key: give all three, or name them in Dask's config")
    return TLS(str(ca), str(cert), str(key))


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
        raise ConfigError(f"--psf {wrong[0]}: give BAND=FILE, e.g. F090W=psf.fits")
    return {band: path for band, _, path in pairs} or None


def _progress(*, lines: bool = True) -> Progress:
    """Return what shows the passes: bars on a terminal; elsewhere a line each, or nothing."""
    from rich.console import Console  # noqa: PLC0415

    from tilegc.engine import RichProgress, Silent  # noqa: PLC0415

    if not (lines or sys.stderr.isatty()):
        return Silent()
    # Bars belong to a terminal; in a log stderr is for errors alone, and a pass's line goes with the results.
    return RichProgress(Console(stderr=sys.stderr.isatty(), highlight=False))


def _tell(line: str) -> None:
    typer.echo(line)


class _SimulationBar:
    """Shows how far a simulation is, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import Progress as Bars  # noqa: PLC0415

        self._bars = Bars(console=Console(stderr=True), transient=True)
        self._task: Any = None

    def __call__(self, done: int, total: int, label: str) -> None:
        if self._task is None:
            self._bars.start()
            self._task = self._bars.add_task("simulate", total=total)
        self._bars.update(self._task, completed=done, total=total, description=label)
        if done >= total:
            self._bars.stop()


def _print_found(found: Run) -> None:
    """Print what a run found, and where its report is."""
    lines = _lines(found.summary)
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        typer.echo(f"{name:<{width}}  {value}")
    typer.echo(f"{'report':<{width}}  {found.path / 'report.html'}")


def _lines(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the main results as pairs of a name and a text with its unit."""
    cluster, relation, comparison = summary["cluster"], summary["relation"], summary["comparison"]
    mass, contamination = summary["mass"], summary["contamination"]
    lines = [
        (
            "cluster",
            f"{cluster['name']}, z = {cluster['redshift']:g}, {cluster['kpc_per_arcsec']:.3f} kpc per arcsec",
        )
    ]
    for name, field in summary["fields"].items():
        lines.append(
            (
                f"field {name}",
                f"{field['n_detected']} sources ({field['n_candidates']} candidates), "
                f"{field['good_area_arcsec2']:.0f} arcsec^2 good, T = {_number(field['threshold'], '.4f')} nJy",
            )
        )
    lines.append(
        ("sources", f"{summary['n_detected']} detected, {summary['n_inpainted']:.1f} inpainted under masks")
    )
    lines.append(
        (
            "contamination",
            f"{_number(contamination['per_kpc2'], '.4f')} +- {_number(contamination['err'], '.4f')} per kpc^2",
        )
    )
    if relation is not None:
        lines.append(
            (
                "kappa = A n^b",
                f"A = {_number(relation['amplitude'], '.3f')} +- {_number(relation['amplitude_err'], '.3f')}, "
                f"b = {_number(relation['index'], '.3f')} +- {_number(relation['index_err'], '.3f')}",
            )
        )
    if comparison is not None:
        lines.append(
            (
                "kappa and rho",
                f"beta = {_number(comparison['beta'], '.4g')}, Pearson {_number(comparison['pearson'], '.3f')}, "
                f"Spearman {_number(comparison['spearman'], '.3f')}",
            )
        )
    if mass["lens_within_60arcsec_msun"] is not None:
        lines.append(("mass (< 60 arcsec)", f"{mass['lens_within_60arcsec_msun']:.3g} Msun from lensing"))
    truth = summary["truth"]
    if truth is not None:
        lines.append(
            (
                "planted",
                f"b = {_number(truth['index'], '.3f')} +- {_number(truth['index_err'], '.3f')} in the same boxes; "
                f"completeness {_number(truth['completeness'], '.2f')}, purity {_number(truth['purity'], '.2f')}",
            )
        )
    lines.append(("time", f"{summary['timing']['total_s']:.0f} s"))
    return lines


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _print_status(found: Status) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False)
    for line in found.lines():
        console.print(line, soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("pass", no_wrap=True)
    table.add_column("done", justify="right")
    table.add_column("of", justify="right")
    for step in found.passes:
        table.add_row(step.name, str(step.done), "?" if step.total is None else str(step.total))
    console.print(table)
    console.print(f"{found.products} products" if found.products else "no products yet")


def _print_plan(found: Plan) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("pass", no_wrap=True)
    table.add_column("tiles", justify="right")
    table.add_column("memory of a worker", justify="right")
    table.add_column("writes")
    for step in found.steps:
        table.add_row(
            step.name, str(step.units), f"{step.memory / 2**30:.2f} GiB", "store" if step.writes else ""
        )
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"{found.pixels / 1e6:.1f} Mpix in all; a worker needs up to {found.memory / 2**30:.2f} GiB; "
        f"the run folder takes up to {found.disk / 1e9:.2f} GB",
        soft_wrap=True,
    )


def _print_growth(found: QTable) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    heads = (
        "growth (px)",
        "good (arcsec^2)",
        "sources",
        "per arcsec^2",
        "purity",
        "on planted",
        "in the rim",
        "expected",
    )
    table.add_column("field", no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for row in found[found["annulus"] < 0]:
        value = {name: getattr(row[name], "value", row[name]) for name in found.colnames}
        pure, planted = (
            "-" if math.isnan(value[name]) else f"{value[name]:.4f}" for name in ("purity", "purity_truth")
        )
        table.add_row(
            str(value["field"]), f"{value['growth']:g}", f"{value['area_arcsec2']:.1f}", str(value["n_gc"]),
            f"{value['n_per_arcsec2']:.4f} +- {value['n_err']:.4f}", pure, planted, str(value["n_rim"]),
            f"{value['n_rim_expected']:.1f}",
        )  # fmt: skip
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


def _print_audit(lines: list[dict[str, Any]]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from tilegc.report.audit import audit_rows, counted  # noqa: PLC0415

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("field", no_wrap=True)
    table.add_column("check", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("value, by band", ratio=2)
    table.add_column("what it is, and what to do", ratio=3)
    colours = {"ok": "green", "look": "yellow", "wrong": "bold red", "unmeasured": "dim"}
    for row in audit_rows(lines):
        said = Text(row.finding)
        for remedy in row.remedies:
            said.append(f"\n-> {remedy}", style="bold")
        verdict = Text(row.verdict, style=colours[row.verdict])
        table.add_row(row.field, row.name, verdict, Text(row.values), said)
    console.print(table)
    console.print(counted(lines))


def main() -> None:
    """Run the command line; errors of ours are one line on stderr."""
    try:
        code = app(standalone_mode=False)
    except TileGCError as error:
        print(f"tilegc: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "tilegc"
        text = " ".join(getattr(error, "format_message", error.__str__)().split())
        print(f"tilegc: {text.rstrip('.')}; see {command} --help", file=sys.stderr)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        if "TILEGC_DEBUG" in os.environ:
            raise
        text = " ".join(f"{type(error).__name__}: {error}".split())
        print(
            f"tilegc: failed unexpectedly ({text}); a run's log.txt tells more, as does TILEGC_DEBUG=1",
            file=sys.stderr,
        )
        sys.exit(1)
    if code == INTERRUPTED:  # typer catches Ctrl-C itself, and returns this
        print("tilegc: interrupted; go on with --resume", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)
