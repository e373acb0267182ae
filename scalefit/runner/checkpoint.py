"""A run on disk: its rows as they come, its last checkpoint, and how it ended.

A run's folder holds `rows.jsonl` (one line an evaluation, synced to disk), `checkpoint.pt` (weights, optimiser, state;
random states need no place: every draw is decided by seed, purpose and step) and, at the end, `done.json`.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from scalefit.errors import OutputError
from scalefit.output import append_text, write_file, write_text
from scalefit.runner.advantage import Dynamics
from scalefit.runner.train import Run, RunState

ROWS, CHECKPOINT, DONE = "rows.jsonl", "checkpoint.pt", "done.json"


def save_checkpoint(run: Run, folder: Path) -> None:
    """Write the whole state beside the old one, then replace it."""
    content: dict[str, Any] = {
        "spec": run.spec.digest(),
        "state": dataclasses.asdict(run.state),
        "diagnostics": run.diagnostics,
        "model": run.policy.model.state_dict(),
        "optimiser": run.optimiser.state_dict(),
    }
    if run.reference is not None:
        content["reference"] = run.reference.model.state_dict()
    try:
        write_file(folder / CHECKPOINT, lambda target: torch.save(content, target))
    except RuntimeError as error:
        # torch reports a failed write without its reason; a full disk is told by `write_file`, what is left is the disk's.
        raise OutputError(
            f"{folder / CHECKPOINT}: cannot be written ({str(error).splitlines()[0]}); look at the disk."
        ) from error


def load_checkpoint(run: Run, folder: Path) -> str | None:
    """Put a run where its last checkpoint left it; return why not, where that cannot be (None: done, or none there)."""
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = torch.load(path, weights_only=True)
        if content["spec"] != run.spec.digest():
            return "belongs to another configuration"
        model, optimiser = content["model"], content["optimiser"]
        state = RunState(**{**content["state"], "dynamics": Dynamics(**content["state"]["dynamics"])})
        diagnostics = content["diagnostics"]
        reference = content.get("reference")
    except Exception as error:
        return f"cannot be read ({type(error).__name__})"
    run.policy.model.load_state_dict(model)
    run.sampler.refresh()
    run.optimiser.load_state_dict(optimiser)
    if run.reference is not None and reference is not None:
        run.reference.model.load_state_dict(reference)
    run.state, run.diagnostics = state, diagnostics
    return None


def append_row(folder: Path, row: dict[str, Any]) -> None:
    """Add a row and sync it to disk."""
    append_text(folder / ROWS, json.dumps(row) + "\n")


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows anew, for a run that resumes earlier than its last row."""
    write_text(folder / ROWS, "".join(json.dumps(row) + "\n" for row in rows))


def finish(folder: Path, record: dict[str, Any]) -> None:
    """Mark a run as ended and drop its checkpoint."""
    write_text(folder / DONE, json.dumps(record))
    (folder / CHECKPOINT).unlink(missing_ok=True)
