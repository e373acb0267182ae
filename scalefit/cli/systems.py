"""`scalefit systems`: rank whole systems as far as the data separate them, and draw how scores go with size, cost and each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scalefit.cli.options import STUDY, Json, add_command, print_json, require_plotting
from scalefit.cli.progress import progress
from scalefit.cli.screen import tell
from scalefit.said import Said


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, systems, STUDY, "scalefit systems systems.parquet --benchmark all")


def systems(
    table: Annotated[
        Path,
        typer.Argument(
            help="One row a system and benchmark: system, benchmark, score, n; params, cost.", show_default=False
        ),
    ],
    *,
    benchmark: Annotated[
        str | None, typer.Option(help="Only this one, or all for the mean.", show_default=False)
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="Benchmark that the others are compared with; by default the first.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory for pictures.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Rank systems with the ties that the data cannot separate, and say whether scores transfer between benchmarks."""
    from scalefit.output import make_folder
    from scalefit.places import check_folder
    from scalefit.studies.systems import rank_systems, study_transfer
    from scalefit.table.systems import read_systems

    if out is not None:
        require_plotting()
        check_folder(out)
    read = read_systems(table)
    made: list[Path] = []
    with progress("ranking"):
        ranked = rank_systems(read, benchmark)
        transfers = study_transfer(read, source)
        if out is not None:
            from scalefit.plotting.gallery import draw_systems

            make_folder(out)
            made = draw_systems(read, out, transfers)
    if as_json:
        found = {
            "rankings": [one.record() for one in ranked],
            "transfer": [one.record() for one in transfers],
            "made": [str(path) for path in made],
        }
        verdict = "\n".join(part.headline for part in (ranked, transfers) if len(part))
        print_json(found, verdict=verdict, warnings=[*ranked.warnings, *ranked.open, *transfers.open])
        return
    tell(Said([ranked.summary(), *([transfers.summary()] if len(transfers) or transfers.open else [])]))
    for path in made:
        if path.suffix == ".png":
            tell(f"drawn: {path} (and .pdf, .json)")
