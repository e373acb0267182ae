"""Write the arms of the study, an experiment file each: what all share, and what an arm changes.

To add an arm, write a line in `ARMS`. `run.py` makes their tables in this order. Every arm has a small version for trying the
whole out, `SHRUNK` from the same sections.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from scalefit.output import write_text  # noqa: E402

SIZES: dict[str, tuple[int, int, int, float]] = {
    "30k": (32, 2, 2, 3e-3),
    "100k": (64, 2, 4, 5e-3),
    "300k": (80, 4, 4, 3e-3),
    "1M": (144, 4, 4, 1.5e-3),
    "3M": (208, 6, 4, 8e-4),
}
"""Channels, layers, heads, learning rate of pre-training."""
RATE = 4e-3
"""Learning rate of reinforcement learning, times the channels: a step of Adam then moves what a layer gives out as far at every width."""
SHARED: dict[str, dict[str, Any]] = {
    "task": {"file": "../walk.py:Walk", "order": "shuffled"},
    "pretrain": {"tokens": 4_000_000, "base_tokens": 0, "target": 0.15, "each_seed": True},
    "grpo": {"steps": 200, "prompts": 64, "mini_batch": 16, "max_new_tokens": 20, "kl": 0.0},
    "eval": {
        "per_decade": 8,
        "problems": 1024,
        "samples": 4,
        "keep_problems": True,
        "pass_at": [1, 8, 64],
        "end_samples": 64,
        "answer_loss": True,
    },
    "keep": {"weights": "none", "checkpoint": False},
}
TOKENS = {"pretrain": {"target": None, "tokens": 530_000}}
"""Equal tokens in place of an equal start: what 100k needed for that start in the pilot of rates."""
FIVE, THREE, TWO = [0, 1, 2, 3, 4], [0, 1, 2], [0, 1]
SMALL = ("30k", "100k", "300k")


def _at_equal_rollouts(group: int) -> dict[str, Any]:
    """512 rollouts a step and 128 an update, whatever the size of a group."""
    return {
        "grpo": {"prompts": 512 // group, "mini_batch": 128 // group},
        "sweep": {"group_size": [group], "seeds": THREE},
    }


ARMS: dict[str, tuple[tuple[str, ...], dict[str, dict[str, Any]]]] = {
    "start": (("30k", "100k", "300k", "1M"), {"sweep": {"seeds": FIVE}}),
    "tokens": (("30k", "100k", "300k", "1M"), TOKENS | {"sweep": {"seeds": FIVE}}),
    "reuse_long": (("100k",), {"sweep": {"reuse": [5, 25, 100], "seeds": THREE}}),
    "reuse_short": (("100k",), {"grpo": {"steps": 50}, "sweep": {"reuse": [1, 5, 25, 100], "seeds": THREE}}),
    "rollouts_prompts": (("100k",), {"sweep": {"group_size": [4, 16, 32], "seeds": THREE}}),
    "rollouts_equal_4": (("100k",), _at_equal_rollouts(4)),
    "rollouts_equal_16": (("100k",), _at_equal_rollouts(16)),
    "rollouts_equal_32": (("100k",), _at_equal_rollouts(32)),
    "batch": (SMALL, {"grpo": {"prompts": 32, "mini_batch": 8}, "sweep": {"seeds": TWO}}),
    "slow": (SMALL, {"sweep": {"seeds": TWO}}),
    "one_rate": (("30k", "100k", "1M"), {"sweep": {"seeds": TWO}}),
    "curriculum": (SMALL, {"task": {"order": "curriculum"}, "sweep": {"seeds": TWO}}),
    "alike": (SMALL, {"task": {"rare": 0.0}, "sweep": {"seeds": TWO}}),
    "ceiling": (("30k", "100k", "300k", "1M"), {"sweep": {"seeds": [0], "task.way": [";", "!"]}}),
    "start_3M": (("3M",), {"sweep": {"seeds": TWO}}),
    "tokens_3M": (("3M",), TOKENS | {"sweep": {"seeds": TWO}}),
    "instruct": (("100k", "300k", "1M"), TOKENS | {"sweep": {"series": ["instruct"], "seeds": THREE}}),
}
RATES = ("rates_low", "rates_mid", "rates_high")
WHOLE = ("start", "tokens", "start_3M", "tokens_3M", *RATES)
"""Arms with pass@64 at both ends, which takes as long as a hundred steps; the others ask for the end's loss."""
for _name in RATES:
    ARMS[_name] = (("30k", "100k", "300k", "1M"), {"grpo": {"steps": 100}, "sweep": {"seeds": [0]}})
BY_NUMBER = (*RATES, "tokens_3M", "reuse_short", "rollouts_equal_4", "rollouts_equal_32", "slow", "one_rate")
"""Arms that differ from others in a number alone: trying all of it out goes without them."""
FACTORS = {"rates_low": 0.5, "rates_high": 2.0, "slow": 0.5}
"""Arms with another learning rate, as a multiple."""
ONE_RATE = {"one_rate": 5e-5}
"""Arms with one learning rate for all sizes, as in the paper."""
TINY: dict[str, tuple[int, int, int, float]] = {
    "1k": (8, 1, 1, 2e-2),
    "3k": (16, 1, 2, 1e-2),
    "6k": (16, 2, 2, 1e-2),
}
"""What small versions have in place of an arm's sizes, one fewer where there are several."""
SHRUNK: dict[str, Callable[[Any], Any]] = {
    "tokens": lambda tokens: tokens // 40,
    "target": lambda target: round(target / 3, 3),
    "steps": lambda steps: max(5, steps // 40),
    "per_decade": lambda each: each // 4,
    "prompts": lambda prompts: 5 * prompts // 16,
    "mini_batch": lambda prompts: 5 * prompts // 16,
    "problems": lambda problems: problems // 16,
    "samples": lambda samples: samples // 2,
    "pass_at": lambda ks: [k for k in ks if k <= 8],
    "end_samples": lambda samples: samples // 8,
    "seeds": lambda seeds: seeds[:1],
}
"""What becomes of keys in small versions; the most passes over the problems are as many, and still come out even."""


def text_of(arm: str, *, small: bool = False) -> str:
    """Return an arm's experiment file, or that of its small version."""
    names, changes = ARMS[arm]
    if small and arm != "start":
        changes = changes | TOKENS  # a target in one arm says that it is reached, and takes its time
    if arm not in WHOLE:
        changes = changes | {"eval": {"pass_at": None, "end_samples": None}}
    sizes = TINY if small else SIZES
    lines = [f"# The arm `{arm}` of e07_replication; written by make.py."]
    for section in dict.fromkeys([*SHARED, *changes]):
        keys = SHARED.get(section, {}) | changes.get(section, {})
        keys = {key: value for key, value in keys.items() if value is not None}
        if small:
            keys = {key: SHRUNK[key](value) if key in SHRUNK else value for key, value in keys.items()}
        lines += ["", f"[{section}]", *(f"{key} = {_value(value)}" for key, value in keys.items())]
    for name in list(TINY)[: max(1, len(names) - 1)] if small else names:
        channels, layers, heads, before = sizes[name]
        rate = ONE_RATE.get(arm, float(f"{FACTORS.get(arm, 1.0) * RATE / channels:.3g}"))
        shape = {"name": name, "d_model": channels, "layers": layers, "heads": heads}
        rates = {"pretrain_learning_rate": before, "learning_rate": rate}
        lines += ["", "[[policy.sizes]]", *(f"{key} = {_value(value)}" for key, value in (shape | rates).items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return json.dumps(value)


def main() -> None:
    """Write every arm's file."""
    for arm in ARMS:
        write_text(HERE / "arms" / f"{arm}.toml", text_of(arm))


if __name__ == "__main__":
    main()
