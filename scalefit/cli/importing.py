"""`scalefit import`: logs of other tools as a runs table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import Json, parse_where, print_json, said_beside

if TYPE_CHECKING:
    from scalefit.places import Place
    from scalefit.table.importers import Imported

_SHOW = 100 << 20
"""Bytes from which on progress is told."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_log)


def import_log(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Logs: files, folders, patterns, or a manifest (.toml) of many runs. What wrote them is recognised.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Runs table to write (.parquet, .csv or .jsonl).")] = Path("runs.parquet"),
    kind: Annotated[
        str | None,
        typer.Option(help="What wrote the log, or columns or systems, where it is to be said.", show_default=False),
    ] = None,
    facts: Annotated[
        list[str] | None,
        typer.Option("--set", help="What the log does not say, as in params=7B; repeat. Missing ones are asked for."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="The evaluation that is pass@1, where it is not clear.", show_default=False)
    ] = None,
    training_metric: Annotated[
        str | None,
        typer.Option(help="A reward over training rollouts, for want of an evaluation.", show_default=False),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="LOW:HIGH, what a wrong and a right answer pay, as in -1:1.", show_default=False),
    ] = None,
    columns: Annotated[
        Path | None, typer.Option("--map", help="TOML that maps the columns of a plain table.", show_default=False)
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Add the runs to an existing table.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Take the size and series that a model's name proposes.")] = False,
    as_json: Json = False,
) -> None:
    """Read training logs (verl, TRL, W&B, TensorBoard, ms-swift, NeMo-RL, prime-rl, Tinker, Trackio, ...) or plain columns, and write their evaluations as a runs table."""
    from scalefit.errors import TableError, UsageError
    from scalefit.table.importers import import_runs
    from scalefit.table.io import FORMATS, add_runs_to, write_runs
    from scalefit.table.summary import summarise

    kind, paths = _kind_and_paths(kind, paths)
    if kind == "systems":
        if facts or metric or training_metric or scale or columns or add:
            raise UsageError(
                "import systems takes everything from the file: a row a system and benchmark, with score and n."
            )
        _import_systems(paths, out, as_json)
        return
    place = _place(out, FORMATS, add)
    if columns is not None and not columns.exists():
        raise TableError(f"--map {columns}: no such file.")
    given = {name: str(value) for name, value in parse_where(facts, "--set").items()}
    found = import_runs(
        kind,
        paths,
        given,
        metric=metric,
        training_metric=training_metric,
        scale=scale,
        map_path=columns,
        yes=yes,
        progress=_Bar(),
    )
    runs = add_runs_to(out, found.runs, _wait) if add else found.runs
    if not add:
        write_runs(runs, out)
    said = summarise(runs)
    with said_beside(place):
        if as_json:
            print_json({"out": str(out), "rows": len(found.runs.frame), "notes": found.notes, "table": said})
        else:
            _tell(found, out, said["rows"] if add else None)


def _place(out: Path, known: Sequence[str], add: bool = False) -> Place:
    """Return where a new table goes, or the one to add to, before anything is read."""
    from scalefit.errors import UsageError
    from scalefit.places import FILE
    from scalefit.table.io import check_table

    place = check_table(out, known)
    if add and place.streams:
        raise UsageError(f"--out {out}: {place.kind}; --add needs a regular file.")
    if place.kind == FILE and not add:
        way = "add the run to it with --add, or name" if ".jsonl" in known else "name"
        raise UsageError(f"--out {out} exists; {way} another file.")
    return place


def _wait(said: str) -> None:
    print(f"scalefit: {said}", file=sys.stderr, flush=True)


def _kind_and_paths(kind: str | None, paths: list[str]) -> tuple[str | None, list[str]]:
    """Take a first word that names a kind for one, unless it is the only path and there."""
    from scalefit.errors import UsageError, nearest
    from scalefit.table.importers import kinds

    known = (*kinds(), "systems")
    first = paths[0]
    if kind is None and first in known and (len(paths) > 1 or not Path(first).exists()):
        kind, paths = first, paths[1:]
    elif kind is None and len(paths) > 1 and not Path(first).exists() and first.isidentifier():
        raise UsageError(f"import {first}: no such file, and no kind of log; {nearest(first, known)}")
    if kind is not None and kind not in known:
        raise UsageError(f"--kind {kind}: {nearest(kind, known)}")
    if not paths:
        raise UsageError(f"import {kind}: name the log, as in: scalefit import {kind} PATH.")
    return kind, paths


def _tell(found: Imported, out: Path, rows: int | None) -> None:
    for note in found.notes:
        print(f"  note: {note}")
    for warning in found.runs.warnings:
        print(f"  warning: {warning}")
    every = found.runs.frame["run_id"].astype(str).unique()
    names = ", ".join(every[:5]) + (f", ... ({len(every)} runs)" if len(every) > 5 else "")
    print(
        f"{out}: {len(found.runs.frame)} evaluations of {names}" + (f"; {rows} rows in all" if rows is not None else "")
    )


def _import_systems(paths: list[str], out: Path, as_json: bool) -> None:
    """Write a table of systems with the exact interval of every score."""
    from scalefit.errors import UsageError
    from scalefit.table.systems import read_systems, write_systems

    if len(paths) != 1:
        raise UsageError("import systems reads one file.")
    place = _place(out, (".parquet", ".csv"))
    table = read_systems(paths[0])
    write_systems(table, out)
    with said_beside(place):
        if as_json:
            print_json(
                {"out": str(out), "rows": len(table.frame), "systems": table.systems, "benchmarks": table.benchmarks}
            )
            return
        print(
            f"{out}: {len(table.frame)} scores of {len(table.systems)} systems on {', '.join(table.benchmarks)}, each with its 95 % interval"
        )


class _Bar:
    """Progress of large logs on stderr, every tenth."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self, done: int, total: int) -> None:
        """Show it."""
        tenth = 10 * done // max(total, 1)
        if total >= _SHOW and tenth > self.told:
            self.told = tenth
            print(f"read {done / 2**20:.0f} of {total / 2**20:.0f} MiB", file=sys.stderr, flush=True)
