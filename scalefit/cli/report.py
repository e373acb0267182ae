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
from scalefit.cli.progress import progress
from scalefit.cli.screen import tell


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, report, MAKE, "scalefit report runs.parquet --out report.html")


def report(
    runs: Runs,
    *,
    out: Annotated[Path, typer.Option(help="The page, one file that needs no network.")] = Path("report.html"),
    params: Annotated[
        list[str] | None, typer.Option(help="A size to predict, such as 100B; may be repeated.", show_default=False)
    ] = None,
    flops: Annotated[
        str | None, typer.Option(help="The compute at hand; by default that of the median run.", show_default=False)
    ] = None,
    x: Resource = None,
    size: Size = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Write one page: the answer, how far to trust it and what to do next; then a question a section, evidence and methods.

    Takes a runs table or a table of systems.
    """
    from scalefit.errors import UsageError
    from scalefit.output import write_text
    from scalefit.places import check_writable

    place = check_writable(out, stream=True)
    if out.suffix != ".html" and not place.streams:
        raise UsageError(f"--out {out}: name a file that ends in .html.")
    with progress("writing the report"):
        page = _page(runs, params, flops, x, size, where)
    written = write_text(out, page, stream=True)
    with said_beside(place):
        if as_json:
            print_json({"written": str(out), "bytes": written})
        else:
            tell(f"written: {out}")


def _page(
    runs: Path, params: list[str] | None, flops: str | None, x: str | None, size: str | None, where: list[str] | None
) -> str:
    """Return the page of whichever kind of table it is."""
    from scalefit.errors import UsageError
    from scalefit.plotting.report import make_report
    from scalefit.plotting.system_report import make_systems_report
    from scalefit.table.systems import holds_systems, read_systems
    from scalefit.units import parse_quantity

    if holds_systems(runs):
        given = {"--params": params, "--flops": flops, "--x": x, "--size": size, "--where": where}
        if meant := [name for name, value in given.items() if value]:
            raise UsageError(f"{meant[0]}: {runs} is a table of systems, whose report takes no such option.")
        return make_systems_report(read_systems(runs), source=str(runs))
    return make_report(
        open_runs(runs, size=size),
        x=x,
        where=parse_where(where),
        params=[parse_quantity(one, "--params") for one in params or ()],
        flops=parse_quantity(flops, "--flops") if flops else None,
        source=runs,
    )
