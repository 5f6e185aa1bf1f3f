"""The command-line application: all commands, and the exit code of each outcome."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

from tilegc.cli import finished, installation, mocks, runs, samples, starting
from tilegc.cli.signals import answered
from tilegc.cli.streams import redacting_streams
from tilegc.errors import TileGCError, disk_failed, shortened

__all__ = ["app", "main"]

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 plus the number of the signal, the convention of shells."""

LONGEST = 480
"""Maximum length of an error message in characters: it may quote a path or a value of any length."""

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP_OPTIONS,
    help="Find globular clusters in JWST mosaics of galaxy clusters: from FITS images to a catalogue, density maps "
    "and their relation to dark matter.",
)


def _version(value: bool) -> None:
    if value:
        from tilegc import __version__

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


for _command in (
    mocks.demo,
    mocks.simulate,
    starting.init,
    runs.ingest,
    runs.plan,
    runs.audit,
    runs.run,
    runs.detect,
    runs.complete,
    finished.report,
    finished.export,
    finished.predict,
    finished.view,
    finished.status,
    finished.verify,
    samples.survey,
    installation.doctor,
):
    app.command()(_command)

_study = typer.Typer(rich_markup_mode=None)
_study.callback(invoke_without_command=True)(finished.study)
_study.command("mask")(finished.study_mask)
app.add_typer(_study, name="study")


def main() -> None:
    """Run the command line. The package's own errors become one line on stderr and an exit code."""
    with answered() as signals, redacting_streams():
        _run(signals)


def _run(signals: list[int]) -> None:
    try:
        code = app(prog_name="tilegc", standalone_mode=False)
    except TileGCError as error:
        print(f"tilegc: {shortened(error, LONGEST)}", file=sys.stderr)
        sys.exit(error.exit_code)
    except TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "tilegc"
        text = " ".join(getattr(error, "format_message", error.__str__)().split())
        print(f"tilegc: {shortened(text.rstrip('.'), LONGEST)}; see {command} --help", file=sys.stderr)
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        failed = disk_failed(error)
        if failed is not None:
            print(f"tilegc: {shortened(failed, LONGEST)}", file=sys.stderr)
            sys.exit(failed.exit_code)
        if "TILEGC_DEBUG" in os.environ:
            raise
        text = shortened(f"{type(error).__name__}: {error}", LONGEST - 120)
        print(
            f"tilegc: unexpected error ({text}); see log.txt in the run directory, "
            "or set TILEGC_DEBUG=1 for a traceback",
            file=sys.stderr,
        )
        sys.exit(1)
    if code == INTERRUPTED:  # typer catches Ctrl-C itself and returns this code
        print("tilegc: interrupted; continue with --resume", file=sys.stderr)
        if signals:
            code = 128 + signals[0]
    sys.exit(code if isinstance(code, int) else 0)
