"""`scalefit report`: one page to pass on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import Json, Resource, Runs, Where, open_runs, parse_where, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The page, one file that needs no network.")] = Path("report.html"),
    x: Resource = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Write one page: the law, held-out evidence, diagnostics, decisions and methods."""
    import importlib.util

    from scalefit.errors import ScalefitError, UsageError

    if importlib.util.find_spec("plotly") is None:
        raise ScalefitError("the report needs plotly; install it with: pip install 'scalefit-rl[report]'.")
    if out.suffix != ".html" or out.is_dir() or not out.parent.is_dir():
        raise UsageError(f"--out {out}: name a file that ends in .html, in an existing directory.")
    from scalefit.report import write_report

    made = write_report(open_runs(runs), out, x=x, where=parse_where(where), source=runs)
    if as_json:
        print_json({"written": str(made), "bytes": made.stat().st_size})
    else:
        print(f"written: {made}")
