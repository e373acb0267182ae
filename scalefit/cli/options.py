"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.errors import ScalefitError, UsageError
from scalefit.places import Place

if TYPE_CHECKING:
    from scalefit.table.io import RunTable

Runs = Annotated[Path, typer.Argument(help="Runs table: .parquet, .csv or .jsonl.", show_default=False)]
Where = Annotated[
    list[str] | None, typer.Option("--where", help="Keep rows with column=value; may be repeated.", show_default=False)
]
Resource = Annotated[
    str | None, typer.Option("--x", help="samples or flops; by default the first that varies.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def parse_where(where: Sequence[str] | None, option: str = "--where") -> dict[str, str | float]:
    """Turn `column=value` into a mapping."""
    found: dict[str, str | float] = {}
    for text in where or ():
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            what = "column" if option == "--where" else "name"
            raise UsageError(f"{option} {text}: write {what}=value, for instance series=base.")
        found[name.strip()] = value.strip()
    return found


def open_runs(path: Path, columns: Sequence[str] | None = None) -> RunTable:
    """Read a runs table, and say on stderr what is legal in it but worth a look."""
    from scalefit.table.io import read_runs

    table = read_runs(path, columns)
    for fault in table.warnings:
        print(f"warning: {path}: {fault}", file=sys.stderr)
    return table


@contextlib.contextmanager
def said_beside(place: Place) -> Iterator[None]:
    """Print to stderr where the file that is written is stdout itself."""
    with contextlib.redirect_stdout(sys.stderr) if place.descriptor == 1 else contextlib.nullcontext():
        yield


def require_plotting() -> None:
    """Say what to install where pictures cannot be drawn; raises ScalefitError."""
    import importlib.util

    if importlib.util.find_spec("seaborn") is None:
        raise ScalefitError("pictures need matplotlib and seaborn; install them with: pip install 'scalefit-rl[plot]'.")


def print_json(value: Any) -> None:
    """Print strict JSON; what is not finite is null."""
    from scalefit.output import as_plain

    print(json.dumps(as_plain(value), indent=2))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as `text_table` lays them out."""
    from scalefit.answer import text_table

    print(text_table(rows))
