"""The command `scalefit`: one file a command group; known errors end without a traceback."""

from __future__ import annotations

import os
import signal
import sys

import typer

from scalefit.cli import arms, check, crossval, design, figures, fit, forecast, horizon, importing, paper, plan, predict
from scalefit.cli import report as report_command
from scalefit.cli import run as run_command
from scalefit.cli import sharpening as sharpening_command
from scalefit.cli import systems as systems_command
from scalefit.errors import Interrupted, ScalefitError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Fit, test and use scaling laws of reinforcement-learning post-training.",
)
for group in (
    check,
    fit,
    predict,
    forecast,
    plan,
    design,
    arms,
    sharpening_command,
    horizon,
    systems_command,
    crossval,
    figures,
    importing,
    paper,
    report_command,
    run_command,
):
    group.register(app)


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted


def _drop_stdout() -> None:
    """Let what stdout could not take go nowhere, so that Python does not try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def run() -> None:
    """Run the command line; exit 1 for a known error, 2 for wrong usage, 130 on Ctrl-C."""
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
    except BrokenPipeError:
        _drop_stdout()
        sys.exit(1)
    except OSError as error:
        print(
            f"scalefit: {error.filename or 'a file, or standard output'}: {error.strerror or error}. Nothing was changed there.",
            file=sys.stderr,
        )
        if error.filename is None:
            _drop_stdout()
        sys.exit(1)
    except (KeyboardInterrupt, Interrupted):
        print("scalefit: stopped; nothing was left half-written.", file=sys.stderr)
        sys.exit(130)
