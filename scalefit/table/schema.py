"""The runs table: columns, their types and units, and the metadata a file carries.

One row is one evaluation of one run at one step. To add a column, add a line to `COLUMNS`.
"""

from __future__ import annotations

from dataclasses import dataclass

SCHEMA_VERSION = 1
FIT = "scalefit-fit"
"""What a file of fits, which is no table, calls its own format."""
KEY = ("run_id", "eval", "step")
RESOURCES = {"samples": "prompts", "flops": "FLOPs", "tokens": "tokens", "gpu_hours": "GPU-hours", "hours": "hours"}
"""What is spent in a run and its unit, that which a law is in by default first. A table may have columns of its own."""
SIZES = ("params", "active_params")
"""Columns that may be the model size; of a mixture of experts they differ."""
USUAL = ("samples", "flops")
"""Resources that are taken as they are: flops of a mean over a changing set of runs may fall."""
NEEDED = ("run_id", "series", "params", "step", "samples", "flops", "reuse", "group_size", "eval", "eval_size", "loss")
"""Columns that a fit reads of a large table."""


@dataclass(frozen=True)
class Column:
    """One column: `kind` is text, integer or number; `low`/`high` bound legal values."""

    name: str
    kind: str
    unit: str
    required: bool
    low: float | None = None
    high: float | None = None
    above: bool = False
    """Whether `low` itself is illegal."""


COLUMNS = {
    column.name: column
    for column in (
        Column("run_id", "text", "one training run", True),
        Column("series", "text", "runs that share one law", True),
        Column("params", "number", "parameters", True, 0, above=True),
        Column("active_params", "number", "parameters that a token passes", False, 0, above=True),
        Column("seed", "integer", "1", False),
        Column("step", "integer", "updates so far", True, 0),
        Column("samples", "number", "prompts so far, repeats counted", False, 0),
        Column("tokens", "number", "tokens so far", False, 0),
        Column("flops", "number", "FLOPs so far", False, 0),
        Column("gpu_hours", "number", "GPU-hours so far", False, 0),
        Column("hours", "number", "hours so far", False, 0),
        Column("reuse", "number", "times each prompt is seen", False, 0, above=True),
        Column("group_size", "integer", "rollouts per prompt", False, 1),
        Column("eval", "text", "evaluation set", True),
        Column("eval_size", "integer", "problems in the evaluation set", False, 1),
        Column("loss", "number", "1 - pass@1", True, 0, 1),
        Column("response_length", "number", "tokens", False, 0),
        Column("entropy", "number", "nats", False),
        Column("reward", "number", "1", False),
        Column("truncated", "number", "fraction", False, 0, 1),
    )
}

METADATA_KEYS = (
    "schema_version",
    "params_convention",
    "flops_convention",
    "loss_convention",
    "origin",
    "units",
    "size",
)
"""`loss_convention` is there where the loss is not 1 - pass@1 of an evaluation as it was logged; it is repeated wherever the table is used. `units` is column to unit, `size` the column that
stands in `params` where that is another."""

SYSTEMS = {
    "system": ("model", "framework", "agent", "name"),
    "benchmark": ("task", "dataset", "eval"),
    "score": ("accuracy", "acc", "pass@1"),
    "n": ("problems", "total", "eval_size", "num_problems"),
}
"""What a table of systems must have, which is no runs table, and its other names."""
MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "None", "#N/A", "-")
"""How files write a number that is not there; in a column of text they are names."""
