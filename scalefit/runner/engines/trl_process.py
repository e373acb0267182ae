"""A process of TRL's trainer: scalefit's problems as its data, scalefit's scores as its rewards, scalefit's rows out.

Started once for each device by `trl_launch`, or by hand on a cluster with the command that `--dry-run` prints. TRL
counts the prompt once a rollout in `num_tokens`, as scalefit does, and writes 0 for FLOPs, which are computed here.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from scalefit.errors import ScalefitError, UsageError
from scalefit.output import make_folder
from scalefit.runner.config import RunSpec
from scalefit.runner.config_file import find_run
from scalefit.runner.data import evaluation_examples, training_examples
from scalefit.runner.engines.trl_launch import START, due, reward_factor, start_model, trl_arguments, whole_steps
from scalefit.runner.evaluate import Evaluation, row_of
from scalefit.runner.flops import paper_flops
from scalefit.runner.identity import require_same
from scalefit.runner.policies.policy import chat_turns
from scalefit.runner.run_folder import append_row, finish, read_rows, write_rows
from scalefit.runner.scoring import score_groups
from scalefit.runner.tasks.task import Example, Score, Task

TRAIN, EVAL = "train", "eval"
Answer = tuple[int, Score, int, bool]
"""An answer of an evaluation: place of the problem, score, tokens, and whether it was cut."""
WHOLE = "whole"
DIAGNOSTICS = {"entropy": "entropy", "kl": "kl", "grad_norm": "gradient_norm", "frac_reward_zero_std": "uniform_groups"}
"""What TRL logs, and the column it becomes."""


class Trainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer, with an evaluation at its own temperature, made into a row of the runs table."""

    generation_kwargs: dict[str, Any]

    def __init__(self, spec: RunSpec, task: Task, folder: Path, source: str, chat: bool) -> None:
        self.spec, self.task, self.folder, self.chat = spec, task, folder, chat
        self.examples = {
            TRAIN: training_examples(task, spec),
            EVAL: evaluation_examples(task, spec.config.eval.problems),
        }
        self.answers: list[Answer] = []
        self.reward_sum, self.reward_count = 0.0, 0
        self.logged: dict[str, float] = {}
        self.non_embedding = count_params(source)
        arguments = GRPOConfig(**trl_arguments(spec, folder), use_cpu=not torch.cuda.is_available())
        expected = spec.config.trl.processes * spec.config.trl.nodes
        if arguments.world_size != expected:
            raise ScalefitError(f"{arguments.world_size} processes were started, [trl] asks for {expected}.")
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        super().__init__(
            model=source,
            reward_funcs=self.reward,
            args=arguments,
            train_dataset=self._rows(TRAIN),
            eval_dataset=self._rows(EVAL),
            processing_class=tokenizer,
        )
        self.add_callback(Schedule(self))

    def _rows(self, split: str) -> Dataset:
        return Dataset.from_list(
            [
                {"prompt": self._prompt(example), "at": at, "split": split}
                for at, example in enumerate(self.examples[split])
            ]
        )

    def _prompt(self, example: Example) -> str | list[dict[str, str]]:
        instruction = self.spec.config.policy.instruction
        if self.chat:
            return chat_turns(example.shown, instruction)
        return f"{example.prompt}\n{instruction}" if instruction else example.prompt

    def reward(
        self, completions: list[Any], completion_ids: list[list[int]], at: list[int], split: list[str], **rest: Any
    ) -> list[float]:
        """Score completions; those of the evaluation are kept."""
        factor, found = reward_factor(self.spec), []
        texts = [[one if isinstance(one, str) else one[0]["content"]] for one in completions]
        asked = [self.examples[where][index] for index, where in zip(at, split, strict=True)]
        scores = [group[0] for group in score_groups(self.task, asked, texts)]
        for score, tokens, index, where in zip(scores, completion_ids, at, split, strict=True):
            found.append(factor * score.reward)
            if where == EVAL:
                self.answers.append((index, score, len(tokens), tokens[-1] not in self.eos_token_ids))
            else:
                self.reward_sum += score.reward
                self.reward_count += 1
        return found

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, None, None]:
        """Generate and score; the trainer's own loss of an evaluation is not needed."""
        self._prepare_inputs(inputs)
        return torch.zeros((), device=self.args.device), None, None

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Answer the held-out problems and add a row."""
        self.answers.clear()
        with self._at_temperature(self.spec.config.eval.temperature):
            metrics: dict[str, float] = super().evaluate(*arguments, **options)
        answers = gather_object(self.answers)
        sums = gather_object([(self.reward_sum, self.reward_count)])
        self.reward_sum, self.reward_count = 0.0, 0
        if self.is_world_process_zero():
            append_row(self.folder, self._row(answers, sums))
        return metrics

    @contextlib.contextmanager
    def _at_temperature(self, temperature: float) -> Iterator[None]:
        """Generate at the evaluation's temperature, 0 for the most likely token."""
        if self.use_vllm:
            own, self.vllm_generation.temperature = self.vllm_generation.temperature, temperature
            yield
            self.vllm_generation.temperature = own
            return
        config, options = self.generation_config, self.generation_kwargs
        kept = dict(options)
        change: dict[str, Any] = (
            {"temperature": temperature} if temperature else {"do_sample": False, "temperature": 1.0}
        )
        before = {name: getattr(config, name) for name in change}
        config.update(**change)
        options.update(change)
        yield
        config.update(**before)
        options.clear()
        options.update(kept)

    def _row(self, answers: list[Answer], sums: list[tuple[float, int]]) -> dict[str, Any]:
        """Return a row of the runs table; problems that the ranks answered twice, to fill a batch, count once."""
        spec, samples = self.spec, self.spec.config.eval.samples
        by_problem: dict[int, list[Answer]] = {}
        for answer in answers:
            mine = by_problem.setdefault(answer[0], [])
            if len(mine) < samples:
                mine.append(answer)
        kept = [answer for mine in by_problem.values() for answer in mine]
        if len(kept) != len(self.examples[EVAL]) * samples:
            raise ScalefitError(
                f"{len(kept)} answers to {len(self.examples[EVAL])} problems, {samples} each, came back."
            )
        found = Evaluation.of(
            [[answer[1] for answer in by_problem[at]] for at in sorted(by_problem)],
            sum(answer[2] for answer in kept),
            sum(answer[3] for answer in kept),
        )
        step = whole_steps(self.state.global_step, spec)
        assert step is not None, "evaluations follow whole steps"
        tokens, size = float(self.state.num_input_tokens_seen), float(self.non_embedding)
        forward = 2.0 * size * tokens
        totals = {
            "samples": float(step * spec.config.grpo.prompts),
            "tokens": tokens,
            "flops": paper_flops(size, tokens),
            "flops_generation": forward,
            "flops_reference": forward if spec.config.grpo.kl else 0.0,
            "flops_training": 3 * forward,
        }
        rewarded = sum(count for _, count in sums)
        reward = {"reward": sum(total for total, _ in sums) / rewarded} if rewarded else {}
        return row_of(spec, self.task, step, found, params=size, totals=totals, diagnostics={**reward, **self.logged})


class Schedule(TrainerCallback):
    """Asks for evaluations and checkpoints where the configuration has them, and stops a run that has diverged."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.diverged = trainer, False

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **rest: Any) -> None:
        """Keep the diagnostics of the last update."""
        found = {
            ours: float(logs[theirs]) for theirs, ours in DIAGNOSTICS.items() if logs and logs.get(theirs) is not None
        }
        self.trainer.logged.update(found)
        if not math.isfinite(found.get("gradient_norm", 0.0)):
            self.diverged = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Mark the checkpoint as whole; the one before it is still there until the next is begun."""
        if state.is_world_process_zero:
            (Path(args.output_dir) / f"checkpoint-{state.global_step}" / WHOLE).touch()

    def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
        """Evaluate and save after the steps that are due."""
        step = whole_steps(state.global_step, self.trainer.spec)
        if step is not None and due(step, self.trainer.spec):
            control.should_evaluate = control.should_save = True


def count_params(source: str) -> int:
    """Return the parameters of a checkpoint outside its embedding tables, without reading weights."""
    config = AutoConfig.from_pretrained(source)
    with torch.device("meta"):
        empty: Any = AutoModelForCausalLM.from_config(config)
    inner, head = empty.get_input_embeddings().weight, empty.get_output_embeddings().weight
    tables = inner.numel() + (0 if config.tie_word_embeddings else head.numel())
    return sum(weight.numel() for weight in {id(w): w for w in empty.parameters()}.values()) - tables


def train(spec: RunSpec, folder: Path) -> None:
    """Train, from the last checkpoint where there is one."""
    made = folder / START
    source = str(made) if made.exists() else start_model(spec)
    chat = spec.series == "instruct" and spec.config.policy.kind != "nano"
    if not source:
        raise UsageError(f"{spec.run_id}: the size names no model for series {spec.series!r}.")
    require_same(spec)
    trainer = Trainer(spec, spec.make_task(), folder, source, chat)
    first = trainer.is_world_process_zero()
    updates = max(
        (int(mark.parent.name.rpartition("-")[2]) for mark in folder.glob(f"trl/checkpoint-*/{WHOLE}")), default=0
    )
    # What a checkpoint has behind it; nothing without one.
    reached = whole_steps(updates, spec) if updates else None
    rows = [] if reached is None else [row for row in read_rows(folder) if row["step"] <= reached]
    if first:
        write_rows(folder, rows)
    trainer.args.eval_on_start = not rows
    schedule = next(callback for callback in trainer.callback_handler.callbacks if isinstance(callback, Schedule))
    trainer.train(resume_from_checkpoint=str(folder / "trl" / f"checkpoint-{updates}") if rows else None)
    if first:
        status = "diverged" if schedule.diverged else "finished"
        # A run that diverged may have stopped within a step.
        step = trainer.state.global_step * spec.config.grpo.mini_batch // spec.config.grpo.prompts
        finish(folder, status=status, steps=step, digest=spec.digest())
        shutil.rmtree(folder / "trl", ignore_errors=True)


def main() -> None:
    """Read which run to make, and make it."""
    parser = argparse.ArgumentParser(description="Make one run of an experiment with TRL's trainer.")
    parser.add_argument("config", type=Path, help="experiment file (TOML), or the configuration.json beside its runs")
    parser.add_argument("run", help="run_id")
    parser.add_argument("folder", type=Path, help="the run's folder, seen by all nodes")
    given = parser.parse_args()
    spec = find_run(given.config, given.run)
    make_folder(given.folder)
    train(dataclasses.replace(spec, config=dataclasses.replace(spec.config, engine="trl")), given.folder)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
