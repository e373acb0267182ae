"""The last checkpoint of a run: weights, optimiser, state; see `run_folder` for what else its folder holds.

Random states need no place: every draw is decided by seed, purpose and step.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from scalefit.errors import OutputError
from scalefit.output import write_file
from scalefit.runner.advantage import Dynamics
from scalefit.runner.run_folder import CHECKPOINT
from scalefit.runner.train import Run, RunState


def save_checkpoint(run: Run, folder: Path) -> None:
    """Write the whole state beside the old one, then replace it."""
    content: dict[str, Any] = {
        "spec": run.spec.digest(),
        "asked": run.config.steps,
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
        if not run.spec.continues(content.get("asked", run.config.steps), content["spec"]):
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
