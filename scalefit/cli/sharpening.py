"""`scalefit sharpening`: pass@k before and after training."""

from __future__ import annotations

from typing import Annotated

import typer

from scalefit.cli.options import STUDY, Json, Runs, Where, add_command, open_runs, parse_where, show
from scalefit.cli.progress import progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, sharpening, STUDY, "scalefit sharpening runs.parquet --k 1,8,64")


def sharpening(
    runs: Runs,
    *,
    k: Annotated[
        str | None,
        typer.Option("--k", help="Samples to compare at, with commas; by default powers of two.", show_default=False),
    ] = None,
    margin: Annotated[float, typer.Option(help="What still counts as the same pass rate.", min=0)] = 0.02,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Say whether training only sharpened: pass@k before and after, the law exp(a k^b), and the entropy law R = -a e^H + b."""
    from scalefit.errors import UsageError
    from scalefit.studies.sharpening import study_sharpening

    asked = None
    if k is not None:
        if not all(part.strip().isdigit() and int(part) > 0 for part in k.split(",")):
            raise UsageError(f"--k {k}: whole numbers with commas, for instance 1,8,64.")
        asked = sorted({int(part) for part in k.split(",")})
    table, wanted = open_runs(runs), parse_where(where)
    with progress("comparing pass@k"):
        found = study_sharpening(table, k=asked, margin=margin, where=wanted)
    show(found, as_json)
