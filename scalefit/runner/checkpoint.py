"""The last checkpoint of a run: weights, optimiser, state; see `run_folder` for what else its folder holds.

Random states need no place: every draw is decided by seed, purpose and step. Weights that are not trained, those of
the reference and those under an adapter, are those that the run started from: read again, and known by their hash.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scalefit.errors import OutputError, ScalefitError
from scalefit.output import write_file
from scalefit.runner.advantage import Dynamics
from scalefit.runner.run_folder import CHECKPOINT
from scalefit.runner.train import Run, RunState


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's state but for weights that are not trained."""
    every = model.named_parameters(remove_duplicate=False)
    fixed = {name for name, weight in every if not weight.requires_grad}
    return {name: weight for name, weight in model.state_dict().items() if name not in fixed}


def save_checkpoint(run: Run, folder: Path) -> None:
    """Write the whole state beside the old one, then replace it."""
    content: dict[str, Any] = {
        "spec": run.spec.digest(),
        "asked": run.config.steps,
        "state": dataclasses.asdict(run.state),
        "diagnostics": run.diagnostics,
        "model": trained_weights(run.policy.model),
        "optimiser": run.optimiser.state_dict(),
        "start": run.start,
    }
    try:
        write_file(folder / CHECKPOINT, lambda target: torch.save(content, target))
    except RuntimeError as error:
        # torch reports a failed write without its reason; a full disk is told by `write_file`, what is left is the disk's.
        raise OutputError(
            f"{folder / CHECKPOINT}: cannot be written ({str(error).splitlines()[0]}); look at the disk."
        ) from error


def load_checkpoint(run: Run, folder: Path) -> str | None:
    """Put a run where its last checkpoint left it; return why not, where that cannot be (None: done, or none there).

    Raises
    ------
    ScalefitError
        If it was begun from other weights than this one.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        if not run.spec.continues(content.get("asked", run.config.steps), content["spec"]):
            return "belongs to another configuration"
        model, optimiser = content["model"], content["optimiser"]
        state = RunState(**{**content["state"], "dynamics": Dynamics(**content["state"]["dynamics"])})
        diagnostics = content["diagnostics"]
        start = content.get("start", run.start)
    except Exception as error:
        return f"cannot be read ({type(error).__name__})"
    if start != run.start:
        raise ScalefitError(
            f"{path} was begun from other weights of {run.spec.size.name} than there are now, and the run still needs those; "
            "put the model back as it was, or delete the run's folder to begin again."
        )
    run.policy.model.load_state_dict(model, strict=len(model) == len(run.policy.model.state_dict()))
    run.sampler.refresh()
    run.optimiser.load_state_dict(optimiser)
    run.state, run.diagnostics = state, diagnostics
    return None
