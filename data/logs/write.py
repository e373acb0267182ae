"""Writes the logs of the tutorial: runs of study e01 as verl, TRL and W&B log them, by these tools' own writers.

The curves are those of `data/study/e01.parquet` (base models that this project trained, six sizes): pass@1, tokens, length of
answers and reward at every evaluation. No verl or TRL training was run for them; what is theirs is the form of the log.

- `verl/*.jsonl`: seed 0. The metrics of an evaluation are named and computed by verl's `process_validation_metrics`, tokens by
  its `compute_throughout_metrics`, the lines written by its `FileLogger`. verl logs the tokens of every step; the table has
  their sum at every evaluation, so the steps between two have an equal share each.
- `trl/*/trainer_state.json`: seed 1. Logged by `Trainer.log` and saved by `TrainerState.save_to_json` of transformers, which
  TRL's trainers inherit; names of metrics are TRL's for a reward function called `accuracy`.
- `wandb/*.wandb`: seed 2. Offline runs of W&B that verl's `Tracking` logs to, with the configuration that verl would give.
  What W&B gathers of machine and user is switched off.

Run as `python data/logs/write.py`, in the environment of the tests.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HERE = Path(__file__).parent
STUDY = HERE.parent / "study" / "e01.parquet"
PROMPTS, GROUP = 64, 8


def curves(seed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield name and evaluations of every run of a seed, smallest first."""
    frame = pd.read_parquet(STUDY).query("series == 'base' and seed == @seed")
    for params, rows in frame.groupby("params"):
        yield f"base-{params:.0f}-s{seed}", rows.sort_values("step")


def verl_metrics(rows: pd.DataFrame) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield every step of a run and its metrics, as verl's functions name and compute them."""
    from verl import DataProto
    from verl.trainer.ppo.metric_utils import compute_throughout_metrics, process_validation_metrics

    by_step = rows.set_index("step")
    steps = np.arange(by_step.index.max() + 1)
    tokens = np.diff(np.round(np.interp(steps, by_step.index, by_step["tokens"])), prepend=0.0)
    for step in steps:
        found: dict[str, Any] = {}
        if step:
            batch = DataProto(meta_info={"global_token_num": [int(tokens[step])]})
            total = compute_throughout_metrics(batch, {"step": 1.0}, n_gpus=1)["perf/total_num_tokens"]
            found["perf/total_num_tokens"] = int(total)
        if step in by_step.index:
            row = by_step.loc[step]
            answers = round(row["eval_size"] * row["eval_samples"])
            right = round((1 - row["loss"]) * answers)
            scores = [1.0] * right + [0.0] * (answers - right)
            made = process_validation_metrics(
                ["arithmetic"] * answers, [str(at) for at in range(answers)], {"acc": scores}
            )
            found |= {f"val-core/arithmetic/acc/{name}": value for name, value in made["arithmetic"]["acc"].items()}
            if step:
                found |= {"response_length/mean": row["response_length"], "critic/rewards/mean": row["reward"]}
        yield int(step), {name: float(value) for name, value in found.items()}


def write_verl(folder: Path) -> None:
    """Write one file a run, as verl's logger `file` does."""
    from verl.utils.tracking import FileLogger

    with tempfile.TemporaryDirectory() as place:
        os.environ["VERL_FILE_LOGGER_ROOT"] = place
        for name, rows in curves(0):
            logger = FileLogger("arithmetic", name)
            for step, metrics in verl_metrics(rows):
                logger.log(metrics, step)
            logger.finish()
            shutil.copy(Path(place) / "arithmetic" / f"{name}.jsonl", folder / f"{name}.jsonl")


def write_trl(folder: Path) -> None:
    """Write the state of one trainer a run."""
    import torch
    from transformers import Trainer, TrainingArguments

    for name, rows in curves(1):
        with tempfile.TemporaryDirectory() as place:
            options = TrainingArguments(output_dir=place, report_to=[], disable_tqdm=True, use_cpu=True)
            trainer = Trainer(model=torch.nn.Linear(1, 1), args=options)
            for row in rows.to_dict("records"):
                trainer.state.global_step = row["step"]
                told = {"num_tokens": float(row["tokens"]), "completions/mean_length": row["response_length"]}
                if row["step"]:
                    trainer.log({"reward": row["reward"], **told})
                trainer.log(
                    {"eval_rewards/accuracy/mean": 1 - row["loss"], **{f"eval_{key}": one for key, one in told.items()}}
                )
            (folder / name).mkdir(exist_ok=True)
            trainer.state.save_to_json(str(folder / name / "trainer_state.json"))


def write_wandb(folder: Path) -> None:
    """Write one offline run a size, through verl's `Tracking`; each in a process of its own, as W&B keeps its settings."""
    for name, _ in curves(2):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            pool.submit(write_offline, name, folder).result()


def write_offline(name: str, folder: Path) -> None:
    """Write the offline run of one size."""
    import wandb
    from verl.utils.tracking import Tracking

    with tempfile.TemporaryDirectory() as place:
        os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_RUN_ID=f"e01-{name}")
        quiet = {"x_disable_meta": True, "x_disable_stats": True, "disable_git": True, "console": "off"}
        wandb.setup(wandb.Settings(**quiet, host="", username="", email="", root_dir=place))
        config = {
            "data": {"train_batch_size": PROMPTS, "seed": 2},
            "actor_rollout_ref": {"rollout": {"n": GROUP}},
            "trainer": {"project_name": "arithmetic", "experiment_name": name},
        }
        logger = Tracking("arithmetic", name, default_backend=["wandb"], config=config)
        for step, metrics in verl_metrics(dict(curves(2))[name]):
            logger.log(metrics, step)
        wandb.finish()
        wandb.teardown()  # whose end has written the last block of the file
        (found,) = Path(place).rglob("*.wandb")
        shutil.copy(found, folder / f"{name}.wandb")


def main() -> None:
    """Write all of them."""
    for name, write in (("verl", write_verl), ("trl", write_trl), ("wandb", write_wandb)):
        (HERE / name).mkdir(exist_ok=True)
        write(HERE / name)


if __name__ == "__main__":
    main()
