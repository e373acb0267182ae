"""Which GPUs a sweep sees, what it uses of them, and which of them each worker is shown."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scalefit.runner.config import Config

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Return the GPUs that CUDA shows to this process, by the names that `CUDA_VISIBLE_DEVICES` has for them."""
    # torch takes a second to import: not where the machine has no second GPU.
    if "torch" not in sys.modules and not any(Path(name).exists() for name in ("/dev/nvidia1", "/dev/kfd")):
        return []
    import torch

    there = [str(number) for number in range(torch.cuda.device_count())]
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return named[: len(there)] if named else there


def gpus_a_run(config: Config) -> int:
    """Return how many GPUs a run uses on this machine."""
    return config.trl.processes if config.engine == "trl" else 1


def share_of_gpus(gpus: list[str], slot: int, jobs: int, each: int) -> dict[str, str]:
    """Return the environment that shows worker `slot` of so many its own GPUs; empty where there are not enough."""
    if len(gpus) < 2 or (each > 1 and jobs * each > len(gpus)):
        return {}
    first = slot * each % len(gpus)
    return {VISIBLE: ",".join(gpus[first : first + each])}


def show_one_gpu(config: Config) -> None:
    """Show this process the first GPU alone where it trains by itself; else transformers puts a batch on every GPU."""
    gpus = visible_gpus()
    if len(gpus) > 1 and config.trl.processes * config.trl.nodes == 1:
        os.environ[VISIBLE] = gpus[0]


def unused_gpus(config: Config, jobs: int) -> str:
    """Say which GPUs a sweep leaves idle, and how to use them; an empty text where it uses all."""
    if config.engine != "trl" and config.policy.device not in ("auto", "cuda"):
        return ""
    count, each = len(visible_gpus()), gpus_a_run(config)
    at_once = min(jobs, len(config.runs()))
    used = at_once * each
    if count < 2 or used >= count:
        return ""
    own = f"a run uses {each} of them" + (f" ([trl] processes = {each})" if config.engine == "trl" else "")
    ways = [f"--jobs {count // each} makes {count // each} runs at a time, each on GPUs of its own"]
    if len(config.runs()) == 1:
        ways = ["the sweep has one run"]
    if config.engine == "trl":
        ways.append(f"[trl] processes = {count // at_once} shares a run between more")
    return f"{count} GPUs are visible, {used} of them will be used: {own}; {'; '.join(ways)}"
