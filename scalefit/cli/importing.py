"""`scalefit import`: logs of other tools as a runs table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import Json, parse_where, print_json

_SHOW = 100 << 20
"""Bytes from which on progress is told."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_log)


def import_log(
    kind: Annotated[str, typer.Argument(help="verl, trl, wandb, tensorboard, columns or systems.")],
    path: Annotated[Path, typer.Argument(help="The log: a file or a run's folder.")],
    out: Annotated[Path, typer.Option(help="Runs table to write (.parquet, .csv or .jsonl).")] = Path("runs.parquet"),
    facts: Annotated[
        list[str] | None,
        typer.Option("--set", help="What the log does not say, as in params=7B; repeat. Missing ones are asked for."),
    ] = None,
    metric: Annotated[str | None, typer.Option(help="The metric that is pass@1, where there are several.")] = None,
    columns: Annotated[Path | None, typer.Option("--map", help="TOML that maps columns, for import columns.")] = None,
    add: Annotated[bool, typer.Option("--add", help="Add the run to an existing table.")] = False,
    as_json: Json = False,
) -> None:
    """Read a training log of verl, TRL, W&B, TensorBoard, or plain columns, and write its evaluations as a runs table."""
    from scalefit.errors import TableError, UsageError
    from scalefit.table.importers import import_runs
    from scalefit.table.io import add_runs, read_runs, write_runs
    from scalefit.table.summary import summarise

    if kind == "systems":
        if facts or metric or columns or add:
            raise UsageError(
                "import systems takes everything from the file: a row a system and benchmark, with score and n."
            )
        if out.exists():
            raise UsageError(f"--out {out} exists; name another file.")
        _import_systems(path, out, as_json)
        return
    if out.exists() and not add:
        raise UsageError(f"--out {out} exists; add the run to it with --add, or name another file.")
    if columns is not None and not columns.exists():
        raise TableError(f"--map {columns}: no such file.")
    given = {name: str(value) for name, value in parse_where(facts, "--set").items()}
    found = import_runs(kind, path, given, metric=metric, map_path=columns, progress=_Bar())
    runs = add_runs(read_runs(out), found.runs) if out.exists() else found.runs
    write_runs(runs, out)
    said = summarise(runs)
    if as_json:
        print_json({"out": str(out), "rows": len(found.runs.frame), "notes": found.notes, "table": said})
        return
    for note in found.notes:
        print(f"  note: {note}")
    for warning in found.runs.warnings:
        print(f"  warning: {warning}")
    names = ", ".join(found.runs.frame["run_id"].astype(str).unique()[:5])
    print(f"{out}: {len(found.runs.frame)} evaluations of {names}" + (f"; {said['rows']} rows in all" if add else ""))


def _import_systems(path: Path, out: Path, as_json: bool) -> None:
    """Write a table of systems with the exact interval of every score."""
    from scalefit.table.systems import read_systems, write_systems

    table = read_systems(path)
    write_systems(table, out)
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
