"""`scalefit figures`: every picture that a runs table allows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import (
    MAKE,
    Json,
    Runs,
    Size,
    Where,
    add_command,
    open_runs,
    parse_where,
    print_json,
    require_plotting,
)
from scalefit.cli.progress import progress
from scalefit.cli.screen import tell

_NAMED = 3
"""Pictures that are named of those that one reason keeps from being drawn; `--json` names all."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, figures, MAKE, "scalefit figures runs.parquet --out figures")


def figures(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="Directory for the pictures; made if need be.")] = Path("figures"),
    size: Size = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Draw the law, k(N), the largest size held out, response length, reuse and rollouts; say what cannot be drawn."""
    from scalefit.output import make_folder
    from scalefit.places import check_folder
    from scalefit.table.select import select

    require_plotting()
    check_folder(out)
    table = open_runs(runs, size=size)
    chosen = parse_where(where)
    select(table, chosen)  # A typo is told before a directory is made.
    from scalefit.plotting.gallery import draw_gallery

    with _removed_if_empty(out):
        make_folder(out)
        with progress("drawing"):
            gallery = draw_gallery(table, out, chosen)
    if as_json:
        print_json({"made": [str(path) for path in gallery.made], "skipped": gallery.skipped})
        return
    for path in gallery.made:
        if path.suffix == ".png":
            tell(f"drawn: {path} (and .pdf, .json)")
    for why, names in gallery.reasons.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        tell(f"not drawn: {', '.join(names[:_NAMED])}{more}: {why}")


@contextlib.contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """Where drawing fails, remove the directories that it made and left empty; those that were there stay."""
    target = Path(os.path.realpath(folder))
    made = [path for path in (target, *target.parents) if not path.exists()]
    try:
        yield
    except BaseException:
        for path in made:
            with contextlib.suppress(OSError):  # One that holds something stays, and so do those above it.
                path.rmdir()
        raise
