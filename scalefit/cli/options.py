"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import contextlib
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.cli.screen import complain, tell
from scalefit.cli.standard_input import NAME, is_piped, kept
from scalefit.errors import ScalefitError, UsageError
from scalefit.places import Place
from scalefit.said import Said

if TYPE_CHECKING:
    from scalefit.answer import Answer, Answers
    from scalefit.table.io import RunTable

START, TEST, DECIDE, STUDY, MAKE, LOOK_UP = "Start", "Test", "Decide", "Study", "Make", "Look up"
"""Headings of `scalefit --help`."""
_ASKED: ContextVar[tuple[str, dict[str, Any]]] = ContextVar("asked")
"""The command that runs and its arguments, for what it prints as JSON."""
SCHEMA = "scalefit-output-1"
"""Name and version of what `--json` prints; `output.schema.json` describes it."""
Runs = Annotated[
    Path, typer.Argument(help="Runs table: .parquet, .csv or .jsonl; - for one that is piped in.", show_default=False)
]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="Keep rows with column=value; may be repeated.", show_default=False)
]
Resource = Annotated[
    str | None,
    typer.Option(
        "--x",
        help="Resource: samples, flops, tokens, gpu_hours, hours or a column of yours that grows along the runs; by default the first of these.",
        show_default=False,
    ),
]
Size = Annotated[
    str | None,
    typer.Option("--size", help="Column that is the model size: params, or active_params.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print the details too: how the answer came about.")]


class ReaderLeft(BaseException):
    """Whoever read stdout has left; nothing that a library on the way should take for its own."""


def add_command(app: typer.Typer, command: Callable[..., None], panel: str, example: str, name: str = "") -> None:
    """Add a command to the app.

    Parameters
    ----------
    panel : str
        Under which heading of `scalefit --help` it stands.
    example : str
        A whole call, shown below the command's help and run by a test.
    name : str
        Where it is not the function's.
    """
    name = name or command.__name__

    @functools.wraps(command)
    def remembered(**given: Any) -> None:
        _ASKED.set((name, given))
        try:
            command(**given)
            sys.stdout.flush()  # Typer takes a reader that has left for an error of its own
        except BrokenPipeError:
            raise ReaderLeft from None

    app.command(name, rich_help_panel=panel, epilog=f"Example: {example}")(remembered)


def parse_where(where: Sequence[str] | None, option: str = "--where") -> dict[str, Any]:
    """Turn `column=value` into a mapping; a column that is named again may have either value."""
    found: dict[str, Any] = {}
    for text in where or ():
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            what = "column" if option == "--where" else "name"
            raise UsageError(f"{option} {text}: write {what}=value, for instance series=base.")
        name, value = name.strip(), value.strip()
        if name not in found or option != "--where":
            found[name] = value
        else:
            found[name] = [*(found[name] if isinstance(found[name], list) else [found[name]]), value]
    return found


def open_runs(path: Path, columns: Sequence[str] | None = None, size: str | None = None) -> RunTable:
    """Read a runs table, sized by a column of it; say on stderr what is legal in it but worth a look."""
    from scalefit.table.io import as_runs

    table = as_runs(read_table(path, columns), size=size)
    if size is not None and size != "params":
        complain(f"{table.path}: model sizes are {size}")
    for fault in table.warnings:
        complain(f"warning: {table.path}: {fault}")
    return table


def read_table(path: Path, columns: Sequence[str] | None = None) -> RunTable:
    """Read a runs table, or one that is piped in."""
    from scalefit.table.io import read_runs

    with kept(path) as file:
        table = read_runs(file, columns)
    return replace(table, path=NAME) if is_piped(path) else table


@contextlib.contextmanager
def said_beside(place: Place) -> Iterator[None]:
    """Print to stderr where the file that is written is stdout itself."""
    with contextlib.redirect_stdout(sys.stderr) if place.descriptor == 1 else contextlib.nullcontext():
        yield


def require_plotting() -> None:
    """Say what to install where pictures cannot be drawn; raises ScalefitError."""
    import importlib.util

    from scalefit.extras import install_hint

    if importlib.util.find_spec("seaborn") is None:
        raise ScalefitError(f"pictures need matplotlib and seaborn; install them with: {install_hint('plot')}.")


def show(found: Answer | Answers[Any], as_json: bool, verbose: bool = False) -> None:
    """Print one result or several: as JSON, or the text that they themselves have, with its details where they are asked for."""
    from scalefit.answer import Answer

    several = [found] if isinstance(found, Answer) else found
    left_out = [] if isinstance(found, Answer) else found.open
    if not as_json:
        tell(
            Said(
                [part for one in several for part in (one.summary(), *(one.details.parts if verbose else ()))]
                + left_out
            )
        )
        return
    print_json([one.record() for one in several], verdict=found.headline, warnings=[*found.warnings, *left_out])


def print_json(
    results: Any, *, verdict: str | None = None, warnings: Sequence[str] = (), in_a_line: bool = False
) -> None:
    """Print results in the envelope of `output.schema.json`, as strict JSON; what is not finite is null.

    Parameters
    ----------
    results : dict or list of dict
        What the command found; one is a list of one.
    verdict : str, optional
        The answer in words.
    warnings : sequence of str
        Why to trust it less.
    in_a_line : bool
        Whether it is one of several objects, each on a line.
    """
    from scalefit.output import as_plain

    command, given = _ASKED.get()
    envelope = {
        "schema": SCHEMA,
        "command": command,
        "inputs": {
            name: _plain_input(value) for name, value in given.items() if value is not None and name != "as_json"
        },
        "results": results if isinstance(results, list) else [results],
        "verdict": verdict,
        "warnings": list(warnings),
    }
    print(json.dumps(as_plain(envelope), indent=None if in_a_line else 2), flush=in_a_line)


def _plain_input(value: Any) -> Any:
    return (
        [_plain_input(one) for one in value]
        if isinstance(value, list | tuple)
        else str(value)
        if isinstance(value, Path)
        else value
    )


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as `text_table` lays them out."""
    from scalefit.answer import text_table

    tell(Said([text_table(rows)]))
