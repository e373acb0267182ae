"""Looking at what runs trained: their weights as a policy again, what it says, and how it does on any task."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scalefit.errors import ScalefitError, UsageError
from scalefit.output import make_folder
from scalefit.runner.config import Config, RunSpec
from scalefit.runner.data import evaluation_examples
from scalefit.runner.device import device_name, threads_of
from scalefit.runner.evaluate import evaluate_after
from scalefit.runner.kept import ABOUT, find_kept
from scalefit.runner.made import MadeRun
from scalefit.runner.policies import kept_policy, make_policy
from scalefit.runner.policies.policy import Policy
from scalefit.runner.pretrain_target import PRETRAINED
from scalefit.runner.rows import row_of
from scalefit.runner.run_folder import Row, read_rows
from scalefit.runner.samplers.own import OwnSampler
from scalefit.runner.scoring import score_groups
from scalefit.runner.train import COUNTERS, generator_for

PROBLEMS_SHOWN = 8
"""Held-out problems that are asked where no prompt is given."""


def load_policy(made: MadeRun, step: int | None = None) -> tuple[Policy, int]:
    """Return a run's policy after a step for which weights are kept, the last of them by default, and the step.

    Step 0 is what the run started from, which is loaded or made again where its weights are not kept.
    """
    spec = _here(made.spec)
    torch.set_num_threads(threads_of(spec.config))
    try:
        kept = find_kept(made.folder, step)
    except ScalefitError:
        if step != 0:
            raise
        return make_policy(spec, spec.make_task()), 0
    return kept_policy(spec, kept.folder), kept.step


def _here(spec: RunSpec) -> RunSpec:
    """Return a run as one of this machine: on its device where there is such a one, else on what there is."""
    try:
        device_name(spec.config.policy.device)
    except UsageError:
        policy = dataclasses.replace(spec.config.policy, device="auto")
        return dataclasses.replace(spec, config=dataclasses.replace(spec.config, policy=policy))
    return spec


def export_model(made: MadeRun, out: Path, step: int | None = None) -> int:
    """Write a run's policy as a model of transformers with its tokeniser; return the step.

    Raises
    ------
    ScalefitError
        If `out` holds anything, or there are no such weights.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ScalefitError(f"--out {out}: is there already; name a new folder.")
    if step == 0:
        policy, found = load_policy(made, step)
        make_folder(out)
        policy.export(out)
        return found
    kept = find_kept(made.folder, step)
    shutil.copytree(kept.folder, out, ignore=shutil.ignore_patterns(ABOUT), dirs_exist_ok=True)
    return kept.step


def ask_run(
    made: MadeRun,
    prompts: Sequence[str] = (),
    *,
    step: int | None = None,
    samples: int = 4,
    temperature: float | None = None,
    max_new_tokens: int | None = None,
    seed: int = 0,
) -> list[Row]:
    """Return what a run's policy answers: each prompt with its `answers`, the `expected` one and their `rewards`.

    Without prompts, the first held-out problems of the run's task are asked; what is expected of a prompt of one's own is
    not known. The same seed gives the same answers.
    """
    policy, _ = load_policy(made, step)
    config = made.spec.config
    task = made.spec.make_task()
    examples = [] if prompts else evaluation_examples(task, min(PROBLEMS_SHOWN, config.eval.problems))
    rollouts = policy.sample(
        prompts or [example.shown for example in examples],
        samples,
        max_new_tokens=max_new_tokens or config.grpo.max_new_tokens,
        temperature=config.eval.temperature if temperature is None else temperature,
        generator=generator_for(seed, "look"),
    )
    texts = policy.texts(rollouts)
    if prompts:
        return [
            {"prompt": prompt, "expected": None, "answers": some, "rewards": [None] * samples}
            for prompt, some in zip(prompts, texts, strict=True)
        ]
    return [
        {
            "prompt": example.prompt,
            "expected": example.answer,
            "answers": some,
            "rewards": [score.reward for score in scores],
        }
        for example, some, scores in zip(examples, texts, score_groups(task, examples, texts), strict=True)
    ]


def with_evaluation(
    spec: RunSpec,
    other: Config | None = None,
    *,
    temperature: float | None = None,
    samples: int | None = None,
    problems: int | None = None,
    max_new_tokens: int | None = None,
) -> RunSpec:
    """Return a run as if it had been evaluated otherwise, on another configuration's task; what is None stays as it was."""
    config = spec.config
    if other is not None:
        spec = dataclasses.replace(spec, swept={})
        config = dataclasses.replace(config, task=other.task, folder=other.folder)
    told = {"temperature": temperature, "samples": samples, "problems": problems}
    changed: dict[str, Any] = {name: value for name, value in told.items() if value is not None}
    if samples is not None:
        changed |= {"end_samples": 0, "pass_at": tuple(k for k in config.eval.pass_at if k <= samples)}
    config = dataclasses.replace(
        config,
        eval=dataclasses.replace(config.eval, **changed),
        grpo=dataclasses.replace(config.grpo, max_new_tokens=max_new_tokens or config.grpo.max_new_tokens),
    )
    return dataclasses.replace(spec, config=config)


def evaluate_run(made: MadeRun, step: int | None = None, spec: RunSpec | None = None) -> Row:
    """Return a row for a run's policy after a step, as the run itself makes one, with the evaluation of `spec`.

    Without `spec` the row is the run's own, but for what only training knows.
    """
    policy, step = load_policy(made, step)
    spec = spec or made.spec
    task = spec.make_task()
    found = evaluate_after(
        step,
        spec,
        policy,
        OwnSampler(policy),
        task,
        examples=evaluation_examples(task, spec.config.eval.problems),
        generator=generator_for(spec.seed, "evaluate", step),
    )
    then = next((row for row in read_rows(made.folder) if row["step"] == step), {})
    totals = {name: then[name] for name in (*COUNTERS, *PRETRAINED) if name in then}
    row = row_of(spec, task, step, found, params=float(policy.params), totals=totals, diagnostics={})
    return {**row, "run_id": made.spec.run_id}  # its name says what it was trained on
