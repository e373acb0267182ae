"""The runner's speed: seconds a step and where they go, against TRL's GRPOTrainer and the machine's matrix products.

Both sides: 64 prompts of 16 tokens, 8 rollouts each, every rollout of full length, 4 updates a step, rewards that leave
no group without spread, one thread, the same Llama shapes. Each side is a process of its own; the two take turns; steps
are seconds of the processor. A step of several times the prompts bounds what several seeds as one batched model could gain,
whose products would be smaller and more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

SHAPES = {
    "6k": (16, 2, 2),
    "25k": (32, 2, 2),
    "0.1M": (64, 2, 4),
    "0.3M": (96, 3, 4),
    "1M": (144, 4, 4),
    "3M": (256, 4, 4),
    "10M": (384, 6, 6),
}
"""Channels, layers, heads."""
PROMPTS, GROUP, PROMPT_TOKENS, UPDATES = 64, 8, 16, 4
SEEDS = 4
CHARACTERS = "0123456789+-*%()="


def reward(text: str) -> float:
    """Return 0 or 1, about half each, decided by the text."""
    return float(sum(map(ord, text)) % 2)


def prompt(index: int) -> str:
    """Return one of many prompts of equal length."""
    import random

    return "".join(random.Random(index).choices(CHARACTERS[:16], k=PROMPT_TOKENS))


def matrix_rate(seconds: float = 1.0) -> float:
    """Return the fp32 rate of a 1024 x 1024 matrix product with torch [FLOP/s]."""
    import torch

    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    times = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2 * 1024**3 / statistics.median(times)


def ours(size: str, tokens: int, steps: int, uniform: float = 0.0, seeds: int = 1) -> dict[str, float]:
    """Time our steps, of so many seeds' prompts; `uniform` is the share of prompts whose rollouts all earn the same."""
    import torch

    from scalefit.runner.config import Config, RunSpec
    from scalefit.runner.policies.nano import NanoShape
    from scalefit.runner.policies.nano_policy import NanoPolicy
    from scalefit.runner.policies.nano_sample import sample_nano
    from scalefit.runner.sections import EvalConfig, GrpoConfig, PolicyConfig, SizeConfig
    from scalefit.runner.tasks.task import Example, Score
    from scalefit.runner.train import Run
    from scalefit.runner.worker import keep_memory

    keep_memory()
    torch.set_num_threads(1)

    class Task:
        name, alphabet = "benchmark", CHARACTERS

        def draw(self, split: str, index: int) -> Example:
            return Example(prompt(index), "", 0.0)

        def score(self, response: str, example: Example) -> Score:
            easy = 7919 * sum(map(ord, example.prompt)) % 1000 < 1000 * uniform
            return Score(1.0 if easy else reward(response), True)

    class Endless(NanoPolicy):
        def sample(self, prompts, group_size, *, max_new_tokens, temperature, generator):  # type: ignore[no-untyped-def]
            packed, pad = self.pack(prompts)
            return sample_nano(
                self.model,
                packed,
                pad,
                group_size,
                max_new_tokens=max_new_tokens,
                temperature=temperature,
                end_token=-1,
                generator=generator,
            )

    d_model, layers, heads = SHAPES[size]
    one = SizeConfig(size, d_model, layers, heads)
    grpo = GrpoConfig(
        steps=steps + 2,
        prompts=PROMPTS * seeds,
        mini_batch=PROMPTS * seeds // UPDATES,
        max_new_tokens=tokens,
        kl=0.0,
        learning_rate=1e-5,
    )
    config = Config(policy=PolicyConfig("nano", sizes=(one,)), grpo=grpo, eval=EvalConfig(problems=8))
    policy = Endless(NanoShape(size, d_model, layers, heads), CHARACTERS, torch.Generator().manual_seed(0))
    run = Run(RunSpec(config, one, "base", 0, GROUP, 1), Task(), policy)
    run.advance()
    whole, split = [], []
    for _ in range(steps):
        before = dict(run.seconds)
        flops = run.state.totals["flops_training"]
        begin = time.process_time()
        run.advance()
        whole.append(time.process_time() - begin)
        split.append({name: run.seconds[name] - before[name] for name in before if name != "evaluate"})
    step = statistics.median(whole)
    parts = {name: statistics.median(row[name] for row in split) for name in split[0]}
    trained = run.state.totals["flops_training"] - flops
    return {
        "params": policy.params,
        "step_s": step,
        **{f"{name}_s": value for name, value in parts.items()},
        "training_rate": trained / parts["train"],
        "sampled_tokens_s": PROMPTS * seeds * GROUP * tokens / parts["generate"],
        "uniform_groups": run.diagnostics["uniform_groups"],
        "peak_GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "matrix_rate": matrix_rate(),
    }


def trl(size: str, tokens: int, steps: int, rows: int) -> dict[str, float]:
    """Time TRL's steps; `rows` is its batch on the device, accumulated to the same mini-batch."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from scalefit.runner.policies.nano import NanoShape

    torch.set_num_threads(1)
    vocabulary = {"<pad>": 0, "<end>": 1, **{character: at + 2 for at, character in enumerate(CHARACTERS)}}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    plain.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="<end>")
    d_model, layers, heads = SHAPES[size]
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=d_model,
            intermediate_size=NanoShape(size, d_model, layers, heads).hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            eos_token_id=1,
            pad_token_id=0,
        )
    )
    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            times.append(time.process_time())

    mini = PROMPTS * GROUP // UPDATES
    with tempfile.TemporaryDirectory() as folder:
        arguments = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=mini // rows,
            steps_per_generation=PROMPTS * GROUP // rows,
            num_generations=GROUP,
            max_completion_length=tokens,
            generation_kwargs={"min_new_tokens": tokens},
            temperature=1.0,
            beta=0.0,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            max_steps=UPDATES * (steps + 1),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=lambda completions, **kwargs: [reward(text) for text in completions],
            args=arguments,
            train_dataset=Dataset.from_list([{"prompt": prompt(at)} for at in range(PROMPTS * (steps + 2))]),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.train()
    ends = times[UPDATES - 1 :: UPDATES]
    return {
        "step_s": statistics.median(after - before for before, after in itertools.pairwise(ends)),
        "peak_GiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def apart(kind: str, *arguments: object) -> dict[str, float]:
    """Measure one side in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"}
    found = subprocess.run(
        [sys.executable, __file__, kind, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if found.returncode:
        raise SystemExit(f"{kind} {arguments}: {found.stderr[-2000:]}")
    result: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return result


def measure(
    sizes: tuple[str, ...] = tuple(SHAPES), new_tokens: tuple[int, ...] = (32, 4)
) -> dict[str, dict[str, float]]:
    """Measure every size and length; the sides take turns, medians of two turns each."""
    results = {}
    for size in sizes:
        for tokens in new_tokens:
            steps = 3 if size in ("3M", "10M") else 8
            mine, theirs = [], []
            for rows in (128, 32):
                mine.append(apart("ours", size, tokens, steps))
                theirs.append(apart("trl", size, tokens, max(steps // 2, 2), rows))
            best = {name: statistics.median(row[name] for row in mine) for name in mine[0]}
            skipped = apart("ours", size, tokens, steps, 0.5)
            together = apart("ours", size, tokens, max(steps // 2, 2), 0.0, SEEDS)
            other = min(theirs, key=lambda row: row["step_s"])
            found = {
                **best,
                "steps_min": 60 / best["step_s"],
                "trl_step_s": other["step_s"],
                "trl / ours": other["step_s"] / best["step_s"],
                "training / matrix rate": best["training_rate"] / best["matrix_rate"],
                "with uniform groups, share": skipped["uniform_groups"],
                "with uniform groups, step / step": skipped["step_s"] / best["step_s"],
                "trl_peak_GiB": other["peak_GiB"],
                f"{SEEDS} seeds as one, gain at most": SEEDS * best["step_s"] / together["step_s"],
            }
            results[f"{size}, {tokens} new tokens"] = found
            print(
                f"{size:>5} {tokens:3d} tokens: {found['steps_min']:6.1f} steps/min (generate {best['generate_s']:.2f} s, score "
                f"{best['score_s']:.3f}, train {best['train_s']:.2f}), {found['trl / ours']:.2f} x TRL, training "
                f"{found['training / matrix rate']:.0%} of the matrix rate, {best['sampled_tokens_s']:,.0f} tokens/s, "
                f"{best['peak_GiB']:.2f} GiB; half of the groups uniform: {found['with uniform groups, step / step']:.2f} of the time; "
                f"{SEEDS} seeds as one at most {SEEDS * best['step_s'] / together['step_s']:.2f} x as fast",
                flush=True,
            )
    return results


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("ours", "trl"):
        kind, size, *rest = sys.argv[1:]
        numbers = [float(word) for word in rest]
        side = ours if kind == "ours" else trl
        print(json.dumps(side(size, *(int(number) if number == int(number) else number for number in numbers))))  # type: ignore[operator]
    else:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--size", action="append", choices=list(SHAPES))
        measure(tuple(parser.parse_args().size or SHAPES))
