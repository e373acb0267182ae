"""The command `scalefit`: one file a command group; known errors end without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from typing import Annotated

import typer

from scalefit import __version__
from scalefit.cli import (
    arms,
    card,
    check,
    crossval,
    design,
    figures,
    fit,
    forecast,
    horizon,
    importing,
    look_up,
    paper,
    plan,
    predict,
    watch,
)
from scalefit.cli import clocks as clocks_command
from scalefit.cli import gate as gate_command
from scalefit.cli import joint as joint_command
from scalefit.cli import level as level_command
from scalefit.cli import offsets as offsets_command
from scalefit.cli import report as report_command
from scalefit.cli import run as run_command
from scalefit.cli import sharpening as sharpening_command
from scalefit.cli import signs as signs_command
from scalefit.cli import systems as systems_command
from scalefit.cli import weights as weights_commands
from scalefit.cli.characters import use_plain_characters
from scalefit.cli.options import ReaderLeft
from scalefit.errors import Interrupted, ScalefitError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Fit, test and use scaling laws of reinforcement-learning post-training.",
)
for group in (
    fit,
    predict,
    check,
    crossval,
    forecast,
    watch,
    plan,
    design,
    arms,
    gate_command,
    signs_command,
    sharpening_command,
    offsets_command,
    level_command,
    horizon,
    clocks_command,
    joint_command,
    systems_command,
    run_command,
    weights_commands,
    importing,
    card,
    figures,
    report_command,
    paper,
    look_up,
):
    group.register(app)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"scalefit {__version__}")
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted


def _drop_stdout() -> None:
    """Let what stdout could not take go nowhere, so that Python does not try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def run() -> None:
    """Run the command line.

    Exit codes: 0, also where whoever read the output has left; 1 where a file, a table, a fit or a run is at fault or
    does not bear an answer; 2 where the words of the command make no sense; 3 and 4 where `gate` does not pass; 10 where
    `watch` says to stop; 130 on Ctrl-C.
    """
    use_plain_characters()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a full disk under stdout is told here, not while Python ends
    except ScalefitError as error:
        print(f"scalefit: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (ReaderLeft, BrokenPipeError):
        _drop_stdout()
        sys.exit(0)
    except SystemExit as left:
        if not isinstance(left.__context__, BrokenPipeError):
            raise
        _drop_stdout()  # the help's printer ends with 1 where its reader has left
        sys.exit(0)
    except OSError as error:
        print(
            f"scalefit: {error.filename or 'a file, or standard output'}: {error.strerror or error}. Nothing was changed there.",
            file=sys.stderr,
        )
        if error.filename is None:
            _drop_stdout()
        sys.exit(1)
    except (KeyboardInterrupt, Interrupted):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who presses twice is not to see a traceback
        print("scalefit: stopped; nothing was left half-written.", file=sys.stderr)
        sys.exit(130)
