"""Write the configurations of the paper's protocol, a file a size, and the table of what each needs.

The number of GPUs is the smallest power of two, from one up, on which the cost model's memory fits; GPU-hours come from
the FLOPs that the paper's own curves report, with every pass counted.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from experiments.study import put_result  # noqa: E402
from scalefit.output import write_text  # noqa: E402
from scalefit.studies.cost import GB, Memory, ModelShape, find_gpu, full_flops, gpu_hours, run_memory  # noqa: E402
from scalefit.table.io import read_runs  # noqa: E402

GPU, MFU = "h100", 0.35
USABLE = 0.9
"""Share of a GPU's memory that can be planned with."""
PROMPT, RESPONSE = 2048, 4096
A_NODE = 8

TEMPLATE = """\
# Tan et al. 2025 (arXiv:2509.25300) on Qwen2.5-{name}, as TRL runs it; written by make.py. Not run: see notes.md.
engine = "trl"

[task]
name = "problems"
path = "guru_math_train.parquet"      # the math problems of guru, easy to hard
eval_path = "guru_math_heldout.parquet"
order = "curriculum"

[policy]
kind = "hf"
instruction = "Please output the final answer within \\\\boxed{{}}."

[[policy.sizes]]
name = "{name}"
model = "Qwen/Qwen2.5-{name}"
instruct_model = "Qwen/Qwen2.5-{name}-Instruct"

[grpo]
steps = 105
prompts = 512
mini_batch = 128
max_new_tokens = {response}
temperature = 1.0
learning_rate = 1e-6
kl = 1e-3
clip_low = 0.2
clip_high = 0.2
weight_decay = 0.1
max_prompt_tokens = {prompt}

[eval]
every = 5
problems = 500
samples = 1
temperature = 0.7

[sweep]
series = ["base", "instruct"]
group_size = [8]

[trl]
nodes = {nodes}
processes = {processes}
strategy = "{strategy}"
precision = "bf16"
vllm = "colocate"
tensor_parallel = {parallel}
gpu_share = {share}
device_batch = 1
gradient_checkpointing = true
"""


def place(shape: ModelShape) -> tuple[int, int, Memory]:
    """Return GPUs, GPUs a copy of the sampler, and memory on each: the fewest on which it fits."""
    gpus = 1
    while True:
        for parallel in (1, 2, 4, 8):
            if parallel <= gpus and shape.kv_heads % parallel == 0:
                memory = run_memory(shape, gpus, tensor_parallel=parallel, length=PROMPT + RESPONSE)
                if memory.total <= USABLE * find_gpu(GPU).memory:
                    return gpus, parallel, memory
        gpus *= 2


def main() -> None:
    """Write the files."""
    sizes: list[dict[str, Any]] = tomllib.loads((HERE / "sizes.toml").read_text(encoding="utf-8"))["sizes"]
    runs = read_runs(HERE.parents[1] / "data" / "paper" / "runs.parquet").frame
    rows = []
    for size in sizes:
        shape = ModelShape(**size["shape"])
        gpus, parallel, memory = place(shape)
        spent = {
            series: full_flops(float(rows_of["flops"].max()))
            for series, rows_of in runs[runs["params"] == size["nominal"]].groupby("series")
        }
        rows.append(
            {
                "size": size["name"],
                "GPUs": gpus,
                "sampler on": parallel,
                "states GB": memory.states / GB,
                "a pass GB": memory.pass_ / GB,
                "sampler GB": (memory.sampler + memory.cache) / GB,
                "total GB": memory.total / GB,
                **{f"{series} GPU-h": gpu_hours(flops, find_gpu(GPU), MFU) for series, flops in spent.items()},
            }
        )
        share = (memory.sampler + memory.cache) / find_gpu(GPU).memory
        write_text(
            HERE / f"{size['name']}.toml",
            TEMPLATE.format(
                name=size["name"],
                prompt=PROMPT,
                response=RESPONSE,
                nodes=max(1, gpus // A_NODE),
                processes=min(gpus, A_NODE),
                strategy="ddp" if gpus == 1 else "fsdp2",
                parallel=parallel,
                share=round(max(share + 0.02, 0.1), 2),
            ),
        )
    put_result(__file__, pd.DataFrame(rows).round(1).to_string(index=False))


if __name__ == "__main__":
    main()
