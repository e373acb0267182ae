"""The command `scalefit`: one file a command group; known errors end without a traceback."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Annotated

import typer

from scalefit import __version__
from scalefit.cli.characters import use_plain_characters
from scalefit.cli.options import ReaderLeft
from scalefit.cli.screen import complain
from scalefit.errors import Interrupted, ScalefitError

GROUPS = {
    "fit": ("fit",),
    "predict": ("predict",),
    "check": ("check",),
    "crossval": ("crossval", "compare"),
    "forecast": ("forecast",),
    "watch": ("watch",),
    "plan": ("plan",),
    "design": ("design", "difference"),
    "arms": ("compare-recipes", "reuse", "rollouts"),
    "gate": ("gate",),
    "signs": ("signs",),
    "sharpening": ("sharpening",),
    "offsets": ("offsets",),
    "level": ("level",),
    "horizon": ("horizon",),
    "clocks": ("clocks",),
    "joint": ("joint",),
    "systems": ("systems",),
    "run": ("run",),
    "weights": ("export", "sample", "evaluate"),
    "importing": ("import", "import-systems"),
    "card": ("card",),
    "figures": ("figures",),
    "report": ("report",),
    "paper": ("paper",),
    "look_up": ("laws", "advantages"),
}
"""Each file of commands and their names, in the order of `scalefit --help`."""


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"scalefit {__version__}")
        raise typer.Exit


def _every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def make_app(command: str = "") -> typer.Typer:
    """Return the app: with the files of one command where it is named, else with every one."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        help="Fit, test and use scaling laws of reinforcement-learning post-training.",
    )
    app.callback()(_every_command)
    asked = [group for group, names in GROUPS.items() if command in names]
    for group in asked or GROUPS:
        import_module(f"scalefit.cli.{group}").register(app)
    return app


def __getattr__(name: str) -> typer.Typer:
    """Make `app`, with every command, when it is asked for."""
    if name != "app":
        raise AttributeError(f"module 'scalefit.cli.main' has no attribute {name!r}")
    return make_app()


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
            make_app("".join(sys.argv[1:2]))()
        finally:
            sys.stdout.flush()  # a full disk under stdout is told here, not while Python ends
    except ScalefitError as error:
        complain(f"scalefit: {error}")
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
        what = error.filename or "a file, or standard output"
        complain(f"scalefit: {what}: {error.strerror or error}. Nothing was changed there.")
        if error.filename is None:
            _drop_stdout()
        sys.exit(1)
    except (KeyboardInterrupt, Interrupted):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # who presses twice is not to see a traceback
        print("scalefit: stopped; nothing was left half-written.", file=sys.stderr)
        sys.exit(130)
