"""`scalefit report`: one page to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import (
    MAKE,
    Json,
    Resource,
    Runs,
    Size,
    Where,
    add_command,
    open_runs,
    parse_where,
    print_json,
    said_beside,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, report, MAKE, "scalefit report runs.parquet --out report.html")


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The page, one file that needs no network.")] = Path("report.html"),
    x: Resource = None,
    size: Size = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Write one page: the law, held-out evidence, diagnostics, decisions and methods."""
    import importlib.util

    from scalefit.errors import ScalefitError, UsageError
    from scalefit.output import write_text
    from scalefit.places import check_writable

    if importlib.util.find_spec("plotly") is None:
        raise ScalefitError("the report needs plotly; install it with: pip install 'scalefit-rl[report]'.")
    place = check_writable(out, stream=True)
    if out.suffix != ".html" and not place.streams:
        raise UsageError(f"--out {out}: name a file that ends in .html.")
    from scalefit.plotting.report import make_report

    page = make_report(open_runs(runs, size=size), x=x, where=parse_where(where), source=runs)
    written = write_text(out, page, stream=True)
    with said_beside(place):
        if as_json:
            print_json({"written": str(out), "bytes": written})
        else:
            print(f"written: {out}")
