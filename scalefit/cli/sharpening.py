"""`scalefit sharpening`: pass@k before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scalefit.cli.options import (
    STUDY,
    Json,
    Runs,
    Where,
    add_command,
    open_runs,
    parse_where,
    print_json,
    print_table,
)
from scalefit.units import format_quantity

if TYPE_CHECKING:
    from scalefit.studies.sharpening import Sharpening


def register(app: typer.Typer) -> None:
    """Add the command."""
    add_command(app, sharpening, STUDY, "scalefit sharpening runs.parquet --k 1,8,64")


def sharpening(
    runs: Runs,
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
    found = study_sharpening(open_runs(runs), k=asked, margin=margin, where=parse_where(where))
    if as_json:
        print_json([vars(one) for one in found])
        return
    for one in found:
        _print(one)


def _print(found: Sharpening) -> None:
    print(
        f"{found.series} on {found.eval}, {format_quantity(found.params)}, {found.runs} run{'s' if found.runs > 1 else ''}: {found.verdict}"
    )
    rows = [["pass@k", *(f"k = {row['k']}" for row in found.passes)]]
    for name in ("before", "after"):
        rows.append([name, *(f"{row[name]:.3f}" for row in found.passes)])
    rows.append(["difference", *(f"{row['difference']:+.3f}" for row in found.passes)])
    if found.passes[0]["low"] is not None:
        for name in ("low", "high"):
            rows.append([f"95 % {name}", *(f"{row[name]:+.3f}" for row in found.passes)])
    print_table(rows)
    if found.overtaken_at is not None:
        print(f"  from k = {found.overtaken_at:.3g} on the start is as good as the end")
    for name in ("before", "after"):
        law = (found.law or {}).get(name)
        if law:
            parts = [
                f"{one} {law[one]['value']:.3f} [{law[one]['low']:.3f}, {law[one]['high']:.3f}]" for one in ("a", "b")
            ]
            print(f"  pass@k = exp(a k^b) {name}: {', '.join(parts)}")
    if found.entropy:
        law = found.entropy
        top = law["ceiling"]
        print(
            f"  R = -a exp(H) + b: a {law['a']:.3f}, b {law['b']:.3f}, R² {law['r2']:.2f}; now {law['pass_rate_now']:.3f} at an entropy of "
            f"{law['entropy_now']:.2f}, {top['value']:.3f} [{top['low']:.3f}, {top['high']:.3f}] at 0 if it held on"
        )
    for warning in found.warnings:
        print(f"  warning: {warning}")
