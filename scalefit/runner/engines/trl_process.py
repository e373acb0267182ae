"""A process of TRL's trainer: scalefit's problems as its data, scalefit's scores as its rewards, scalefit's rows out.

Started once for each device by `trl_launch`, or by hand on a cluster with the command that `--dry-run` prints. TRL
counts the prompt once a rollout in `num_tokens`, as scalefit does, and writes 0 for FLOPs; see `trl_flops`.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from scalefit.errors import ScalefitError, UsageError
from scalefit.output import make_folder
from scalefit.runner.config import RunSpec
from scalefit.runner.config_file import find_run
from scalefit.runner.data import Lengths, evaluation_examples, training_examples
from scalefit.runner.engines.trl_flops import BACKWARD, PASSES, Passes, count_params
from scalefit.runner.engines.trl_launch import SAID, START, reward_factor, start_model, trl_arguments, whole_steps
from scalefit.runner.engines.trl_log import NOTE
from scalefit.runner.engines.trl_schedule import WHOLE, Schedule
from scalefit.runner.engines.trl_steps import Steps
from scalefit.runner.evaluate import Evaluation
from scalefit.runner.flops import paper_flops
from scalefit.runner.gpus import show_one_gpu
from scalefit.runner.identity import require_same
from scalefit.runner.kept import Keeper
from scalefit.runner.policies.policy import chat_turns
from scalefit.runner.rows import row_of
from scalefit.runner.run_folder import append_row, finish, read_rows, write_rows
from scalefit.runner.scoring import score_groups
from scalefit.runner.step_log import StepLog
from scalefit.runner.tasks.task import Example, Score, Task

TRAIN, EVAL = "train", "eval"
Answer = tuple[int, Score, int, bool]
"""An answer of an evaluation: place of the problem, score, tokens, and whether it was cut."""


class Trainer(GRPOTrainer):  # type: ignore[misc]
    """TRL's trainer, with an evaluation at its own temperature, made into a row of the runs table."""

    generation_kwargs: dict[str, Any]

    def __init__(self, spec: RunSpec, task: Task, folder: Path, source: str, chat: bool) -> None:
        self.spec, self.task, self.folder, self.chat = spec, task, folder, chat
        tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        self.lengths = Lengths(spec, lambda example: self._tokens(tokenizer, example))
        self.examples = {
            TRAIN: training_examples(task, spec, self.lengths),
            EVAL: evaluation_examples(task, spec.config.eval.problems),
        }
        self.answers: list[Answer] = []
        self.reward_sum, self.reward_count = 0.0, 0
        self.steps = Steps(spec)
        self.earlier = dict.fromkeys(PASSES, 0.0)
        params, head = count_params(source)
        # Without gradient checkpointing a forward pass and a backward one; with it the layers are computed once more.
        self.passes = Passes(params, head, 1 + BACKWARD + spec.config.trl.gradient_checkpointing)
        arguments = GRPOConfig(**trl_arguments(spec, folder), use_cpu=not torch.cuda.is_available())
        expected = spec.config.trl.processes * spec.config.trl.nodes
        if arguments.world_size != expected:
            raise ScalefitError(f"{arguments.world_size} processes were started, [trl] asks for {expected}.")
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

    def _tokens(self, tokenizer: Any, example: Example) -> int:
        """Return how many tokens TRL makes of a problem's prompt."""
        prompt = self._prompt(example)
        if isinstance(prompt, str):
            return len(tokenizer(prompt)["input_ids"])
        return len(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False))

    def _prompt(self, example: Example) -> str | list[dict[str, str]]:
        instruction = self.spec.config.policy.instruction
        if self.chat:
            return chat_turns(example.shown, instruction)
        return f"{example.prompt}\n{instruction}" if instruction else example.prompt

    def reward(
        self, completions: list[Any], completion_ids: list[list[int]], at: list[int], split: list[str], **rest: Any
    ) -> list[float]:
        """Score completions; those of the evaluation are kept."""
        begin = time.perf_counter()
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
        if TRAIN in split:
            self.steps.seconds["score"] += time.perf_counter() - begin
        return found

    def _generate_single_turn(self, prompt_ids: Any, *arguments: Any, **options: Any) -> Any:
        """Generate, and count what it costs."""
        begin = time.perf_counter()
        answers, log_prob = super()._generate_single_turn(prompt_ids, *arguments, **options)
        if self.model.training:
            self.steps.seconds["generate"] += time.perf_counter() - begin
            self.passes.add_generation(prompt_ids, answers, padded=not self.use_vllm)
        return answers, log_prob

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, *arguments: Any, **options: Any
    ) -> Any:
        """Make one of TRL's passes, and count it as what it is."""
        if self.model.training:
            kind = "training" if torch.is_grad_enabled() else "old_log_prob" if model is self.model else "reference"
            # On a GPU only tokens of answers are scored, elsewhere all but the last of each row.
            scored = attention_mask[:, -logits_to_keep:].sum() if input_ids.is_cuda else input_ids[:, 1:].numel()
            self.passes.add_log_prob(f"flops_{kind}", input_ids.numel(), int(scored))
        return super()._get_per_token_logps_and_entropies(
            model, input_ids, attention_mask, logits_to_keep, *arguments, **options
        )

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> tuple[Any, None, None]:
        """Generate and score; the trainer's own loss of an evaluation is not needed."""
        self._prepare_inputs(inputs)
        return torch.zeros((), device=self.args.device), None, None

    def evaluate(self, *arguments: Any, **options: Any) -> dict[str, float]:
        """Answer the held-out problems and add a row."""
        begin = time.perf_counter()
        self.answers.clear()
        with self._at_temperature(self.spec.config.eval.temperature), own_draws(self.spec, self.state.global_step):
            metrics: dict[str, float] = super().evaluate(*arguments, **options)
        answers = gather_object(self.answers)
        sums = gather_object([(self.reward_sum, self.reward_count)])
        spent = gather_object([self.passes.spent])
        self.reward_sum, self.reward_count = 0.0, 0
        if self.is_world_process_zero():
            row = self._row(answers, sums, spent)
            self.steps.seconds["evaluate"] += time.perf_counter() - begin
            self.steps.write(row["step"], row["tokens"], loss=row["loss"])
            append_row(self.folder, row)
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

    def _row(
        self, answers: list[Answer], sums: list[tuple[float, int]], spent: list[dict[str, float]]
    ) -> dict[str, Any]:
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
        tokens, size = float(self.state.num_input_tokens_seen), float(self.passes.params)
        totals = {
            "samples": float(step * spec.config.grpo.prompts),
            "tokens": tokens,
            "flops": paper_flops(size, tokens),
            **{name: self.earlier[name] + sum(one[name] for one in spent) for name in PASSES},
        }
        rewarded = sum(count for _, count in sums)
        reward = {"reward": sum(total for total, _ in sums) / rewarded} if rewarded else {}
        said = self.folder / START / SAID
        pretrained = json.loads(said.read_text(encoding="utf-8")) if said.exists() else {}
        diagnostics = pretrained | reward | self.steps.diagnostics
        return row_of(spec, self.task, step, found, params=size, totals=totals, diagnostics=diagnostics)


@contextlib.contextmanager
def own_draws(spec: RunSpec, updates: int) -> Iterator[None]:
    """Draw an evaluation by itself, so that training goes on as if there had been none."""
    with torch.random.fork_rng():
        torch.manual_seed(int.from_bytes(hashlib.blake2b(f"{spec.seed} {updates}".encode(), digest_size=7).digest()))
        yield


def tell(text: str) -> None:
    """Leave a line for the user in the trainer's log."""
    print(NOTE + text, flush=True)


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
    if rows:
        trainer.earlier = {name: rows[-1][name] for name in PASSES}
        if not spec.due(rows[-1]["step"]):  # the last of a run that was shorter
            rows.pop()
    trainer.args.eval_on_start = not rows
    if first:
        write_rows(folder, rows)
        reached = -1 if reached is None else reached
        trainer.steps.log = StepLog(spec, folder, tell, reached=reached)
        if trainer.lengths.said:
            tell(trainer.lengths.said)
    schedule = next(callback for callback in trainer.callback_handler.callbacks if isinstance(callback, Schedule))
    trainer.train(resume_from_checkpoint=str(folder / "trl" / f"checkpoint-{updates}") if rows else None)
    if trainer.steps.log is not None:
        trainer.steps.log.close()
    if not schedule.diverged:
        keep_last(trainer, spec, folder)
    if first:
        status = "diverged" if schedule.diverged else "finished"
        # A run that diverged may have stopped within a step.
        step = trainer.state.global_step * spec.config.grpo.mini_batch // spec.config.grpo.prompts
        finish(folder, spec, status=status, steps=step)
        if not spec.config.keep.checkpoint:
            shutil.rmtree(folder / "trl", ignore_errors=True)


def keep_last(trainer: Trainer, spec: RunSpec, folder: Path) -> None:
    """Keep the weights of the last step where they are asked for; each process may hold a share of them."""
    if spec.config.keep.weights != "last":
        return
    saved = folder / "trl" / "last"
    trainer.save_model(str(saved))

    def export(part: Path) -> None:
        for file in saved.iterdir():
            if file.name != "training_args.bin":
                shutil.copy(file, part)

    if trainer.is_world_process_zero():
        Keeper(spec, folder, export)(spec.config.grpo.steps, read_rows(folder))
        shutil.rmtree(saved)


def main() -> None:
    """Read which run to make, and make it."""
    parser = argparse.ArgumentParser(description="Make one run of an experiment with TRL's trainer.")
    parser.add_argument("config", type=Path, help="experiment file (TOML), or the configuration.json beside its runs")
    parser.add_argument("run", help="run_id")
    parser.add_argument("folder", type=Path, help="the run's folder, seen by all nodes")
    given = parser.parse_args()
    spec = find_run(given.config, given.run)
    show_one_gpu(spec.config)
    make_folder(given.folder)
    train(dataclasses.replace(spec, config=dataclasses.replace(spec.config, engine="trl")), given.folder)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
