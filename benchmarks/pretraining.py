"""What a nano model has learnt after the same text in batches of different sizes, and the processor time that took.

The demo's sizes and task; one thread, each batch after the other in one process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BATCHES = {64: (1.0,), 128: (1.0, 1.5), 256: (1.0, 2.0)}
"""Rows a batch, and the learning rates tried with it, as multiples of the size's own."""


def learn(size: str, batch: int, factor: float) -> dict[str, Any]:
    """Pre-train the skill, and say what is wrong of the held-out answers at the evaluation's temperature."""
    import torch

    from scalefit.runner.config_file import read_config
    from scalefit.runner.data import evaluation_examples
    from scalefit.runner.evaluate import evaluate
    from scalefit.runner.pretrain import base_policy
    from scalefit.runner.samplers.own import OwnSampler

    config = read_config(ROOT / "experiments" / "demo" / "config.toml")
    task = config.task.make()
    one = next(one for one in config.policy.sizes if one.name == size)
    rate = factor * (one.pretrain_learning_rate or config.pretrain.learning_rate)
    begin = time.process_time()
    policy = base_policy(
        dataclasses.replace(one, pretrain_learning_rate=rate),
        "skill",
        task,
        dataclasses.replace(config.pretrain, batch=batch, each_seed=False),
    )
    seconds = time.process_time() - begin
    found = evaluate(
        policy,
        OwnSampler(policy),
        task,
        evaluation_examples(task, config.eval.problems),
        samples=config.eval.samples,
        max_new_tokens=config.grpo.max_new_tokens,
        temperature=config.eval.temperature,
        generator=torch.Generator().manual_seed(0),
    )
    return {"size": size, "batch": batch, "rate": rate, "seconds": seconds, "loss": found.loss}


def main() -> None:
    """Measure every size and batch."""
    import torch

    from scalefit.output import write_json
    from scalefit.runner.worker import keep_memory

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", action="append", help="one of the demo's; all by default")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "pretraining.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["SCALEFIT_CACHE"] = cache
        learn("6k", 1024, 1.0)  # what is loaded once is not counted
        for size in given.size or ("6k", "25k", "100k"):
            for batch, factors in BATCHES.items():
                rows += [learn(size, batch, factor) for factor in factors]
                print(json.dumps(rows[-len(factors) :]), flush=True)
    write_json(given.out, rows, 4)


if __name__ == "__main__":
    main()
