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


def run() -> None:
    """Run the command line; exit 1 for a known error, 2 for wrong usage, 130 on Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except ScalefitError as error:
        print(f"scalefit: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(
            f"scalefit: {error.filename or 'file'}: {error.strerror or error}. Nothing was changed there.",
            file=sys.stderr,
        )
        sys.exit(1)
    except (KeyboardInterrupt, Interrupted):
        print("scalefit: stopped; nothing was left half-written.", file=sys.stderr)
        sys.exit(130)
