"""`scalefit figures`: every picture that a runs table allows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import Json, Runs, Where, open_runs, parse_where, print_json, require_plotting


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("figures")(figures)


def figures(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="Directory for the pictures; made if need be.")] = Path("figures"),
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Draw the law, k(N), the largest size held out, response length, reuse and rollouts; say what cannot be drawn."""
    from scalefit.errors import UsageError
    from scalefit.table.prepare import choose

    require_plotting()
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: a file; name a directory.")
    table = open_runs(runs)
    chosen = parse_where(where)
    choose(table, chosen)  # A typo is told before a directory is made.
    from scalefit.gallery import draw_gallery

    out.mkdir(parents=True, exist_ok=True)
    gallery = draw_gallery(table, out, chosen)
    if as_json:
        print_json({"made": [str(path) for path in gallery.made], "skipped": gallery.skipped})
        return
    for path in gallery.made:
        if path.suffix == ".png":
            print(f"drawn: {path} (and .pdf, .json)")
    for name, why in gallery.skipped.items():
        print(f"skipped: {name}: {why}")
