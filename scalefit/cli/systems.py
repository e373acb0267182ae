"""`scalefit systems`: rank whole systems as far as the data separate them, and draw how scores go with size, cost and each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import STUDY, Json, add_command, print_json, print_table, require_plotting

if TYPE_CHECKING:
    from scalefit.studies.systems import Ranking


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
    ranked = rank_systems(read, benchmark)
    transfers = study_transfer(read, source)
    made: list[Path] = []
    if out is not None:
        from scalefit.plotting.gallery import draw_systems

        make_folder(out)
        made = draw_systems(read, out, transfers)
    if as_json:
        print_json(
            {
                "rankings": [vars(one) for one in ranked],
                "transfer": [vars(one) for one in transfers],
                "made": [str(path) for path in made],
            }
        )
        return
    for one in ranked:
        _print(one)
    for pair in transfers:
        print(f"transfer: {pair.said}")
    for path in made:
        if path.suffix == ".png":
            print(f"drawn: {path} (and .pdf, .json)")


def _print(found: Ranking) -> None:
    print(f"{found.headline}; {found.separated} of {found.pairs} pairs are separated")
    rows = [["system", "rank", "score", "95 % low", "high", "tied with"]]
    for row in found.rows:
        first, last = row["rank_low"], row["rank_high"]
        rank = str(first) if first == last else f"{first}-{last}"
        tied = ", ".join(row["tied_with"][:4]) + (
            f" and {len(row['tied_with']) - 4} more" if len(row["tied_with"]) > 4 else ""
        )
        rows.append([row["system"], rank, *(f"{row[name]:.3f}" for name in ("score", "low", "high")), tied])
    print_table(rows)
    for warning in found.warnings:
        print(f"  warning: {warning}")
