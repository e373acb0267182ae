"""`scalefit import` and `import-systems`: logs of other tools, and scores of whole systems, as tables."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import MAKE, Json, add_command, parse_where, print_json, said_beside
from scalefit.cli.progress import progress
from scalefit.cli.screen import complain, tell
from scalefit.progress import advance

if TYPE_CHECKING:
    from scalefit.places import Place
    from scalefit.table.importers import Imported

_SHOW = 100 << 20
"""Bytes from which on progress is told."""

Logs = Annotated[
    list[str],
    typer.Argument(
        help="Logs: files, folders, patterns, or a manifest (.toml) of many runs. What wrote them is recognised.",
        show_default=False,
    ),
]
Tool = Annotated[
    str | None, typer.Option(help="What wrote the log, or columns, where it is to be said.", show_default=False)
]
Facts = Annotated[
    list[str] | None,
    typer.Option("--set", help="What the log does not say, as in params=7B; repeat. Missing ones are asked for."),
]
Metric = Annotated[
    str | None, typer.Option(help="The evaluation that is pass@1, where it is not clear.", show_default=False)
]
Training = Annotated[
    str | None, typer.Option(help="A reward over training rollouts, for want of an evaluation.", show_default=False)
]
Scale = Annotated[
    str | None, typer.Option(help="LOW:HIGH, what a wrong and a right answer pay, as in -1:1.", show_default=False)
]
Columns = Annotated[
    Path | None, typer.Option("--map", help="TOML that maps the columns of a plain table.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(
        app,
        import_log,
        MAKE,
        "scalefit import train.jsonl --set params=7B --set series=base --set prompts=64 --set group_size=8 --set flops=6N",
        "import",
    )
    add_command(app, import_systems, MAKE, "scalefit import-systems scores.csv --out systems.parquet", "import-systems")


def import_log(
    paths: Logs,
    *,
    out: Annotated[Path, typer.Option(help="Runs table to write (.parquet, .csv or .jsonl).")] = Path("runs.parquet"),
    kind: Tool = None,
    facts: Facts = None,
    metric: Metric = None,
    training_metric: Training = None,
    scale: Scale = None,
    columns: Columns = None,
    add: Annotated[bool, typer.Option("--add", help="Add the runs to an existing table.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take what is proposed: size and series, and which rows are one run.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read training logs (verl, TRL, W&B, TensorBoard, ms-swift, NeMo-RL, prime-rl, Tinker, Trackio, ...) or plain columns, and write their evaluations as a runs table."""
    from scalefit.errors import TableError
    from scalefit.table.importers import import_runs
    from scalefit.table.io import FORMATS, add_runs_to, write_runs
    from scalefit.table.summary import summarise

    kind, paths = _kind_and_paths(kind, paths)
    place = _place(out, FORMATS, add)
    if columns is not None and not columns.exists():
        raise TableError(f"--map {columns}: no such file.")
    given = {name: str(value) for name, value in parse_where(facts, "--set").items()}
    with progress("reading"):
        found = _read(
            kind,
            partial(
                import_runs,
                path=paths,
                given=given,
                metric=metric,
                training_metric=training_metric,
                scale=scale,
                map_path=columns,
                yes=yes,
                progress=_Told(),
            ),
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


def _read(kind: str | None, read: Callable[[str | None], Imported]) -> Imported:
    """Read logs as of a tool; where nothing of it is in them, as of the one that they are recognised to be of."""
    from scalefit.table.importers.choose import NoEvaluation, NoMetric

    try:
        return read(kind)
    except (NoEvaluation, NoMetric) as error:
        if kind is None:
            raise
        try:
            found = read(None)
        except (NoEvaluation, NoMetric):
            raise error from None
    what, _, _ = str(found.runs.metadata["origin"]).partition(" log ")
    return replace(found, notes=(f"no log of {kind}: read as what it is, one of {what}", *found.notes))


def import_systems(
    table: Annotated[
        Path,
        typer.Argument(help="One row a system and benchmark: system, benchmark, score, n.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Table of systems to write (.parquet or .csv).")] = Path("systems.parquet"),
    as_json: Json = False,
) -> None:
    """Read scores of whole systems, and write them with the exact interval of each."""
    from scalefit.table.systems import read_systems, write_systems

    place = _place(out, (".parquet", ".csv"))
    read = read_systems(table)
    write_systems(read, out)
    with said_beside(place):
        if as_json:
            print_json(
                {"out": str(out), "rows": len(read.frame), "systems": read.systems, "benchmarks": read.benchmarks}
            )
            return
        names = ", ".join(read.benchmarks)
        tell(f"{out}: {len(read.frame)} scores of {len(read.systems)} systems on {names}, each with its 95 % interval")


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
    complain(f"scalefit: {said}")


def _kind_and_paths(kind: str | None, paths: list[str]) -> tuple[str | None, list[str]]:
    """Take a first word that names a kind for one, unless it is the only path and there."""
    from scalefit.errors import UsageError, nearest
    from scalefit.table.importers import kinds

    known = kinds()
    first = paths[0]
    if "systems" in (kind, first) and not Path("systems").exists():
        raise UsageError(
            "a table of systems has a command of its own: scalefit import-systems TABLE --out systems.parquet."
        )
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
        tell(f"  note: {note}")
    for warning in found.runs.warnings:
        tell(f"  warning: {warning}")
    every = found.runs.frame["run_id"].astype(str).unique()
    names = ", ".join(every[:5]) + (f", ... ({len(every)} runs)" if len(every) > 5 else "")
    tell(
        f"{out}: {len(found.runs.frame)} evaluations of {names}" + (f"; {rows} rows in all" if rows is not None else "")
    )


class _Told:
    """Progress of large logs: to the bar on a terminal, else a line for every tenth."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self, done: int, total: int) -> None:
        """Show it."""
        advance(done, total)
        if sys.stderr.isatty():
            return
        tenth = 10 * done // max(total, 1)
        if total >= _SHOW and tenth > self.told:
            self.told = tenth
            print(f"read {done / 2**20:.0f} of {total / 2**20:.0f} MiB", file=sys.stderr, flush=True)
