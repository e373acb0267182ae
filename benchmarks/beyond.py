"""What the adaptive advantages and the logic task cost: an advantage's share of a step, and problems made a second.

Run as `make bench-beyond`; medians of one process on one thread, ratios to the same process's own step.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import runner
from fitting import median
from run import processor

from scalefit.output import write_text
from scalefit.provenance import versions

SIZE, TOKENS, STEPS = "0.1M", 8, 12
PROBLEMS = 4000


def advantages() -> dict[str, object]:
    """Return each advantage's time as a share of a whole step at 0.1M parameters, 64 prompts of 8 rollouts."""
    import torch

    from scalefit.runner.advantage import ADVANTAGES, Dynamics
    from scalefit.runner.sections import AdvantageConfig

    step = runner.ours(SIZE, TOKENS, STEPS)["step_s"]
    reward = (torch.rand(runner.PROMPTS, runner.GROUP, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    settings, share = AdvantageConfig(), {}
    for name, one in ADVANTAGES.items():

        def weigh(one=one):  # type: ignore[no-untyped-def]
            dynamics = Dynamics(0.4, 0.5, 1.0).after_sampling(0.5, settings.rate)
            one.weigh(reward, dynamics, settings)
            dynamics.after_scoring(float(reward.mean()), settings.rate)

        share[name] = median(weigh, 200) / step
    return {"params": SIZE, "step_s": step, "share of a step": share}


def logic() -> dict[str, dict[str, float]]:
    """Return problems made a second on one core, by fragment and depth."""
    from scalefit.runner.tasks.logic import RULES, Logic, deepest

    found: dict[str, dict[str, float]] = {}
    for fragment in RULES:
        for depth in (2, 4, deepest(fragment)):
            task = Logic(fragment, depth, letters=52)
            begin = time.process_time()
            for index in range(PROBLEMS):
                task.draw("train", index)
            found.setdefault(fragment, {})[f"depth {depth}"] = PROBLEMS / (time.process_time() - begin)
    return found


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("beyond.json"))
    out = parser.parse_args().out
    found = {
        "advantages": advantages(),
        "logic problems a second": logic(),
        "processor": processor(),
        "versions": versions("torch"),
    }
    text = json.dumps(found, indent=2) + "\n"
    print(text)
    write_text(out, text)


if __name__ == "__main__":
    main()
