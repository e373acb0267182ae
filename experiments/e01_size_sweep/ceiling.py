"""What e01's models can do before wrong answers are put in: the skill stage alone, evaluated as the runs are.

A model a size and seed of `config.toml`, seed 0 first; a row is written as soon as it is known, and rows that are there are
not made again. Pre-training of one takes from a minute (6k) to a quarter of an hour (1M) of one core.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

import pandas as pd  # noqa: E402

from experiments.study import DATA  # noqa: E402
from scalefit.output import append_text, write_text  # noqa: E402
from scalefit.runner.config import RunSpec  # noqa: E402
from scalefit.runner.config_file import read_config  # noqa: E402

TABLE = DATA / "e01_ceiling.csv"
COLUMNS = ("size", "params", "seed", "loss", "loss_low", "loss_high")


def models() -> list[RunSpec]:
    """Return the runs whose skill stages are evaluated; base and instruct share them."""
    runs = read_config(HERE / "config.toml").runs()
    skill = {(run.size.name, run.seed): dataclasses.replace(run, series="skill") for run in runs}
    return sorted(skill.values(), key=lambda run: run.seed)


def row_of(run: RunSpec) -> str:
    """Return a model's row: pre-trained, and evaluated as before the first step of its runs."""
    from scalefit.runner.data import evaluation_examples
    from scalefit.runner.evaluate import evaluate_after
    from scalefit.runner.policies import make_policy
    from scalefit.runner.samplers.own import OwnSampler
    from scalefit.runner.train import generator_for

    task = run.make_task()
    policy = make_policy(run, task)
    found = evaluate_after(
        0,
        run,
        policy,
        OwnSampler(policy),
        task,
        examples=evaluation_examples(task, run.config.eval.problems),
        generator=generator_for(run.seed, "evaluate", 0),
    )
    return f"{run.size.name},{policy.params},{run.seed},{found.loss:.6f},{found.low:.6f},{found.high:.6f}\n"


def main() -> None:
    """Make the rows that are missing."""
    import torch

    from scalefit.runner.worker import keep_memory

    torch.set_num_threads(1)
    keep_memory()
    if not TABLE.exists():
        write_text(TABLE, ",".join(COLUMNS) + "\n")
    made = pd.read_csv(TABLE)
    there = set(zip(made["size"], made["seed"], strict=True))
    for run in models():
        if (run.size.name, run.seed) not in there:
            row = row_of(run)
            append_text(TABLE, row)
            print(row, end="", flush=True)


if __name__ == "__main__":
    main()
