"""`scalefit card`: a runs table as others can use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import MAKE, Json, Runs, add_command, open_runs, print_json
from scalefit.cli.screen import tell


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, card, MAKE, "scalefit card runs.parquet --out shared")


def card(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("shared"),
    as_json: Json = False,
) -> None:
    """Write a table to share: the table, the schema of its rows, and a card as the Hugging Face Hub shows it."""
    from scalefit.table.card import write_card

    files = write_card(open_runs(runs), out)
    if as_json:
        print_json({"files": [str(path) for path in files]})
        return
    tell(f"written: {', '.join(map(str, files))}")
    tell(f"send it with: hf upload OWNER/NAME {out} --repo-type dataset")
