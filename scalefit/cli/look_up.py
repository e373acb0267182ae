"""`scalefit laws` and `scalefit advantages`: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalefit.cli.options import LOOK_UP, Json, add_command, print_json, print_table
from scalefit.cli.screen import tell

if TYPE_CHECKING:
    from scalefit.laws import Law
    from scalefit.laws.relations import Relation


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add_command(app, laws, LOOK_UP, "scalefit laws")
    add_command(app, advantages, LOOK_UP, "scalefit advantages --success-rate 0.3")


def laws(as_json: Json = False) -> None:
    """List the laws of the loss, and the relations beside them, with formula, parameters, units and source."""
    from scalefit.laws import LAWS, RELATIONS

    every: list[Law | Relation] = [*LAWS.values(), *RELATIONS.values()]
    if as_json:
        print_json(
            [
                {
                    "name": law.name,
                    "formula": law.formula,
                    "source": law.source,
                    "params": [
                        {"name": p.name, "unit": p.unit, "bounds": p.bounds, "scale": p.scale, "per_size": p.per_size}
                        for p in law.params
                    ],
                }
                for law in every
            ]
        )
        return
    for law in every:
        tell(f"{law.name}\n    {law.formula}")
        tell("    " + "; ".join(f"{p.name} [{p.unit}]{' per size' if p.per_size else ''}" for p in law.params))
        tell(f"    source: {law.source}")


def advantages(
    success_rate: Annotated[
        float, typer.Option(help="Running success rate, which fade's alpha follows.", min=0, max=1)
    ] = 0.5,
    as_json: Json = False,
) -> None:
    """List the advantages with formula and source, and the gradient mass each gives to successes and failures by success rate."""
    import numpy as np

    from scalefit.runner.advantage import ADVANTAGES, Dynamics
    from scalefit.runner.sections import AdvantageConfig

    rates = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
    seen = Dynamics(success_rate, 1.0, 1.0)
    found: list[dict[str, Any]] = []
    for name, one in ADVANTAGES.items():
        success, failure = one.mass(rates, seen, AdvantageConfig(), np.inf)
        masses = {"p": rates, "m_S": success, "m_F": failure}
        found.append({"name": name, "formula": one.formula, "source": one.source, **masses})
    if as_json:
        print_json(found)
        return
    for entry in found:
        tell(f"{entry['name']}\n    {entry['formula']}\n    source: {entry['source']}")
    tell(
        f"gradient mass m_S / m_F of groups of which a share p is right (any size; success rate {success_rate:g}, entropy as at first)"
    )
    rows = [["", *(f"p = {p:g}" for p in rates)]]
    for entry in found:
        rows.append(
            [str(entry["name"]), *(f"{s:.3f} / {f:.3f}" for s, f in zip(entry["m_S"], entry["m_F"], strict=True))]
        )
    print_table(rows)
