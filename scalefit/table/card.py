"""A runs table ready to be shared: the table, the JSON Schema of its rows, and the card that the Hugging Face Hub shows.

What is written names no folder, host or user; `hf upload OWNER/NAME FOLDER --repo-type dataset` sends it, and
`sf.read_runs("hf://datasets/OWNER/NAME/runs.parquet")` reads it back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scalefit.errors import OutputError
from scalefit.output import make_folder, write_text
from scalefit.table.io import RunTable, write_runs
from scalefit.table.schema import COLUMNS, SCHEMA_VERSION, Column
from scalefit.table.summary import summarise
from scalefit.units import format_quantity

TABLE, SCHEMA, CARD = "runs.parquet", "runs.schema.json", "README.md"
TAGS = "tags: [scaling-laws, reinforcement-learning, post-training, scalefit]"
_TYPES = {"text": "string", "integer": "integer", "number": "number"}


def runs_schema() -> dict[str, Any]:
    """Return the JSON Schema of a row of a runs table, of those columns that the product knows."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"One evaluation of one training run at one step; schema version {SCHEMA_VERSION}",
        "type": "object",
        "required": [name for name, column in COLUMNS.items() if column.required],
        "properties": {name: _property(column) for name, column in COLUMNS.items()},
        "additionalProperties": True,
    }


def _property(column: Column) -> dict[str, Any]:
    kind = _TYPES[column.kind]
    found: dict[str, Any] = {"type": kind if column.required else [kind, "null"], "description": column.unit}
    if column.low is not None:
        found["exclusiveMinimum" if column.above else "minimum"] = column.low
    if column.high is not None:
        found["maximum"] = column.high
    return found


def write_card(runs: RunTable, folder: str | Path) -> list[Path]:
    """Write a table with its schema and its card into a folder; return the files.

    Raises
    ------
    OutputError
        If they cannot be written, or the folder has a page of that name that is no card of this kind.
    """
    folder = Path(folder)
    make_folder(folder)
    files = [folder / name for name in (TABLE, SCHEMA, CARD)]
    if files[2].exists() and TAGS not in files[2].read_text(encoding="utf-8", errors="replace"):
        raise OutputError(f"{files[2]} is there and is no card of scalefit's; name another folder.")
    write_runs(runs, files[0])
    write_text(files[1], json.dumps(runs_schema(), indent=2) + "\n")
    write_text(files[2], card_of(runs))
    return files


def card_of(runs: RunTable) -> str:
    """Return the card, Markdown below the header that the Hub reads."""
    found = summarise(runs)
    own = [name for name in found["columns"] if name not in COLUMNS]
    count = sum(group["runs"] for group in found["groups"])
    sizes = sorted({group["params"] for group in found["groups"]})
    span = (
        f"{format_quantity(sizes[0])} to {format_quantity(sizes[-1])}" if len(sizes) > 1 else format_quantity(sizes[0])
    )
    header = [
        "---",
        "pretty_name: Runs of reinforcement-learning post-training",
        TAGS,
        "configs:",
        "  - config_name: runs",
        f"    data_files: {TABLE}",
        "---",
        "",
    ]
    lines = [
        f"# {count} runs, {span} parameters",
        "",
        f"{found['rows']} evaluations along {count} training runs. One row is one evaluation of one run at one step; the loss is 1 - pass@1.",
        "",
        "```python",
        "import scalefit as sf",
        f'runs = sf.read_runs("hf://datasets/OWNER/NAME/{TABLE}")',
        "print(sf.fit(runs).summary())",
        "```",
        "",
        *_markdown(
            ["series", "evaluation", "params", "runs", "evaluations", "loss"], [_group(one) for one in found["groups"]]
        ),
        "",
        "## Columns",
        "",
        *_markdown(["column", "unit or meaning"], [[n, COLUMNS[n].unit] for n in found["columns"] if n in COLUMNS]),
        "",
        f"`{SCHEMA}` says the same for programs.",
    ]
    if own:
        units = {name: f" [{unit}]" for name, unit in found["resources"].items() if unit}
        named = ", ".join(f"`{name}`" + units.get(name, "") for name in own)
        lines += ["", f"Columns of its own: {named}."]
    said = [f"- {name.replace('_', ' ')}: {value}" for name, value in runs.metadata.items() if isinstance(value, str)]
    lines += ["", "## What it rests on", "", *said] if said else []
    doubts = [f"- {warning}" for warning in found["warnings"]]
    lines += ["", "## Worth a look", "", *doubts] if doubts else []
    return "\n".join([*header, *lines]) + "\n"


def _group(one: dict[str, Any]) -> list[str]:
    low, high = one["loss"]
    return [
        one["series"],
        one["eval"],
        format_quantity(one["params"]),
        str(one["runs"]),
        str(one["rows"]),
        f"{low:.3f} to {high:.3f}",
    ]


def _markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
