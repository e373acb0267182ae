"""`scalefit watch`: a log that grows, where its run will end, and whether it is still worth its cost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.importing import Columns, Facts, Metric, Scale, Training
from scalefit.cli.options import DECIDE, Where, add_command, parse_where, print_json
from scalefit.cli.screen import complain, tell

if TYPE_CHECKING:
    from scalefit.live.watching import View

CODE_OF_STOP = 10
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, watch, DECIDE, "scalefit watch runs.parquet --where run_id=base-7B --until 100")


def watch(
    path: Annotated[
        str,
        typer.Argument(help="A log as `import` reads it (file, folder, pattern), or a runs table.", show_default=False),
    ],
    *,
    until: Annotated[
        str | None, typer.Option(help="Step at which the run ends; by default twice the last.", show_default=False)
    ] = None,
    until_stop: Annotated[
        bool, typer.Option("--until-stop", help="End with code 10 when the rest is not worth it.")
    ] = False,
    tolerance: Annotated[float, typer.Option(help="Fall of the loss that the rest must bring.")] = 0.01,
    price: Annotated[float | None, typer.Option(help="... or what a GPU-hour costs ...", show_default=False)] = None,
    worth: Annotated[float | None, typer.Option(help="... and what .01 of loss is worth.", show_default=False)] = None,
    gpus: Annotated[float, typer.Option(help="GPUs that the run keeps busy.")] = 1.0,
    facts: Facts = None,
    metric: Metric = None,
    training_metric: Training = None,
    scale: Scale = None,
    columns: Columns = None,
    where: Where = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.")] = 5.0,
    idle: Annotated[float, typer.Option(help="Seconds without news after which the run has ended.")] = 1800.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON at each change.")] = False,
) -> None:
    """Watch a run's log: forecast its end at every evaluation, and say when the rest is no longer worth it."""
    from scalefit.live.watching import TO_STOP, Asked
    from scalefit.live.watching import watch as views
    from scalefit.studies.stopping import Rule
    from scalefit.units import parse_quantity

    rule = Rule(tolerance=tolerance, price=price, worth=worth)
    reading = {
        "given": {name: str(value) for name, value in parse_where(facts, "--set").items()},
        "metric": metric,
        "training_metric": training_metric,
        "scale": scale,
        "map_path": columns,
    }
    asked = Asked(
        path,
        until=parse_quantity(until, "--until") if until else None,
        reading=reading,
        where=parse_where(where),
        rule=rule,
        gpus=parse_quantity(gpus, "--gpus"),
        every=every,
        idle=idle,
    )
    state = ""
    for view in views(asked, until_stop=until_stop, tell=lambda said: complain(f"scalefit: {said}")):
        _show(view, as_json)
        state = view.state
    if state == TO_STOP:
        raise typer.Exit(CODE_OF_STOP)


def _show(view: View, as_json: bool) -> None:
    """Print a view: over the last one on a terminal."""
    if as_json:
        print_json(view.record(), verdict=view.headline, warnings=view.warnings, in_a_line=True)
        return
    if sys.stdout.isatty():
        print(_CLEAR, end="")
    tell(view.summary())
    sys.stdout.flush()
