"""A row of the runs table: what an evaluation found, after how much of everything, and what the engine says of its step."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from scalefit.numerics.proportions import COLUMN, RATES, pass_at_k
from scalefit.runner.config import RunSpec
from scalefit.runner.evaluate import Evaluation
from scalefit.runner.run_folder import Row
from scalefit.runner.sections import EvalConfig
from scalefit.runner.tasks.task import Task


def row_of(
    spec: RunSpec, task: Task, step: int, found: Evaluation, *, params: float, totals: Row, diagnostics: Row
) -> Row:
    """Return a row of the runs table.

    Parameters
    ----------
    params : float
        Non-embedding parameters N.
    totals : dict
        Samples, tokens, FLOPs by the paper's count and those of each kind of pass so far.
    diagnostics : dict
        What the engine has to say of its last step.
    """
    samples = spec.eval_samples(step)
    passes = [amount for name, amount in totals.items() if name.startswith("flops_")]
    return {
        "run_id": spec.run_id,
        "series": spec.series,
        "size": spec.size.name,
        "params": params,
        "seed": spec.seed,
        "step": step,
        **totals,
        "flops_full": sum(passes),
        "reuse": float(spec.reuse),
        "group_size": spec.group_size,
        **spec.task_columns,
        "eval": task.name,
        "eval_size": len(found.pass_rate),
        "eval_samples": samples,
        "loss": found.loss,
        "loss_low": found.low,
        "loss_high": found.high,
        "response_length": found.response_length,
        "truncated": found.truncated,
        "unparsed": found.unparsed,
        **({} if found.flexible_loss is None else {"flexible_loss": found.flexible_loss}),
        **({"answer_loss": found.answer_loss} if spec.config.eval.answer_loss else {}),
        **_pass_columns(found.pass_rate, samples, spec.config.eval),
        **diagnostics,
    }


def _pass_columns(pass_rate: NDArray[Any], samples: int, settings: EvalConfig) -> dict[str, Any]:
    """Return what a row says beside the loss: every problem's pass rate, and pass@k for each k the samples allow."""
    found: dict[str, Any] = {RATES: list(map(float, pass_rate))} if settings.keep_problems else {}
    for k in settings.pass_at:
        found[f"{COLUMN}{k}"] = float(pass_at_k(pass_rate, samples, [k]).mean()) if k <= samples else None
    return found
