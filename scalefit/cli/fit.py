"""`scalefit fit`: fit a law to every series, say what it is worth, write fit.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import (
    START,
    Json,
    Resource,
    Runs,
    Size,
    Verbose,
    Where,
    add_command,
    open_runs,
    parse_where,
    said_beside,
    show,
)
from scalefit.cli.screen import tell
from scalefit.cli.standard_input import is_piped


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, fit, START, "scalefit fit runs.parquet --where series=base")


def fit(
    runs: Runs,
    *,
    law: Annotated[
        str, typer.Option(help="A law; `scalefit laws` lists them. Your own is module:NAME.")
    ] = "saturating",
    x: Resource = None,
    size: Size = None,
    where: Where = None,
    out: Annotated[Path, typer.Option(help="Where to write the fit.")] = Path("fit.json"),
    weights: Annotated[
        str, typer.Option(help="Of points: uniform, size (the paper's) or binomial; measured AR(1) noise goes before.")
    ] = "uniform",
    noise: Annotated[str, typer.Option(help="ar1, or independent (ordinary least squares, as in the paper).")] = "ar1",
    objective: Annotated[str, typer.Option(help="Residual of loss or of log10-loss.")] = "loss",
    huber: Annotated[
        float | None,
        typer.Option(
            help="Huber loss of this width, in units of the residual; else squared error.", show_default=False
        ),
    ] = None,
    clip: Annotated[int, typer.Option(help="Drop evaluations with step <= clip.", min=0)] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the fit of another table, or a file that is no fit.")
    ] = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Fit a law, one fit a series; print a summary and write fit.json."""
    from scalefit.errors import FitError, UsageError
    from scalefit.fitting.record import origin_of, save_fits, what_would_be_lost
    from scalefit.laws import get_law
    from scalefit.places import check_writable
    from scalefit.prediction.predictor import fit_series
    from scalefit.table.frames import return_memory
    from scalefit.table.schema import NEEDED

    get_law(law)
    if is_piped(runs):
        raise UsageError(
            f"{runs}: a fit says of which file it is, to be told from another's; save the table to one first."
        )
    place = check_writable(out, stream=True)
    wanted = parse_where(where)
    table = open_runs(runs, [*NEEDED, *wanted, *filter(None, (x, size))], size)
    origin = origin_of(runs, out)
    lost = None if force else what_would_be_lost(out, origin)
    if lost:
        raise FitError(f"--out {out} holds {lost}; name another file, or replace it with --force.")
    fits = fit_series(table, law, x, wanted, weights=weights, objective=objective, noise=noise, huber=huber, clip=clip)
    del table  # A large one is not needed beside the file that is written.
    return_memory()
    save_fits([one.fit for one in fits], out, origin)
    with said_beside(place):
        show(fits, as_json, verbose)
        if not as_json:
            tell(f"written: {out}")
