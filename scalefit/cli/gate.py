"""`scalefit gate`: is B better than A by now, for tests of every night and for runs that go on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import DECIDE, Json, Resource, Where, add_command, open_runs, parse_where, show


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, gate, DECIDE, "scalefit gate a.parquet b.parquet --scatter 0.006 --margin 0.05")


def gate(
    first: Annotated[Path, typer.Argument(help="Runs table of recipe A, what there is.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Runs table of recipe B, what is to pass.", show_default=False)],
    *,
    margin: Annotated[float, typer.Option(help="What still counts as the same loss.", min=0)] = 0.02,
    scatter: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation between runs of one recipe; by default what repeats in the tables tell. 0: these runs alone.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[float, typer.Option(help="Count evaluations from that much of the resource on.", min=0)] = 0.0,
    alpha: Annotated[float, typer.Option(help="Chance of ever telling equal recipes apart, over all looks.")] = 0.05,
    x: Resource = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Say whether B is better than A by now; ask after every evaluation, at no cost in false alarms.

    Exits with 0 where B passes (better, equivalent or no worse within the margin), 3 where it is worse, and 4 where that is
    open, also for a size or evaluation that cannot be asked about (choose with `--where`); 1 and 2 are errors.

    With one run a side it tells of these two runs, and passes or fails none without `--scatter`.
    """
    from scalefit.studies.gate import gate as compute

    found = compute(
        open_runs(first),
        open_runs(second),
        names=_names(first, second),
        x=x,
        margin=margin,
        scatter=scatter,
        since=since,
        alpha=alpha,
        where=parse_where(where),
    )
    show(found, as_json)
    codes = {one.code for one in found} | ({4} if found.unanswered else set())
    raise typer.Exit(3 if 3 in codes else max(codes))


def _names(first: Path, second: Path) -> tuple[str, str]:
    """Return what the tables are called: by their files, by their folders where the files are called alike."""
    for one, two in ((first.stem, second.stem), (first.resolve().parent.name, second.resolve().parent.name)):
        if one != two:
            return one, two
    return "A", "B"
