"""Small valid inputs of every kind that a command reads, which the fuzz driver damages."""

from __future__ import annotations

import io
import json
import struct
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from tests.log_files import FORMATS, events


@cache
def frame() -> pd.DataFrame:
    """Five sizes of ten evaluations, on a power law with a little noise."""
    rng, rows = np.random.default_rng(0), []
    for size in (0.5e9, 1.5e9, 3e9, 7e9, 14e9):
        slope = 0.15 * size / (size + 2e9)
        for step in range(8, 81, 8):
            samples = 64.0 * step
            loss = min(samples**-slope + 0.003 * rng.standard_normal(), 1.0)
            rows.append(("base-" + format(size, ".0e"), "base", size, 0, step, samples, 900 * samples, 5400 * size * samples,
                         1.0, 8, "math", 500, loss, 1 - loss))  # fmt: skip
    names = "run_id series params seed step samples tokens flops reuse group_size eval eval_size loss reward"
    return pd.DataFrame(rows, columns=names.split())


def as_parquet(table: pd.DataFrame, metadata: bytes | None = None) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pandas(table, preserve_index=False)
    if metadata is not None:
        made = made.replace_schema_metadata({**(made.schema.metadata or {}), b"scalefit": metadata})
    out = io.BytesIO()
    pq.write_table(made, out, compression="zstd", write_page_checksum=True)
    return out.getvalue()


@cache
def fit_file() -> bytes:
    """A `fit.json` as the product writes it."""
    import scalefit as sf

    with tempfile.TemporaryDirectory() as folder:
        sf.fit(sf.as_runs(frame())).save(f"{folder}/fit.json")
        return Path(folder, "fit.json").read_bytes()


FACTS = [
    word for one in ("params=7B", "prompts=64", "group_size=8", "series=base", "flops=6N") for word in ("--set", one)
]


def _verl(step: int) -> dict[str, float]:
    found = {"val-core/math/acc/mean@1": 0.3 + 0.02 * step, "response_length/mean": 300.0 + step, "actor/entropy": 0.5}
    return found | ({"perf/total_num_tokens": 1000 * step, "critic/rewards/mean": 0.2} if step else {})


@cache
def logs() -> dict[str, bytes]:
    """Small logs of every format, by name; those of W&B and TensorBoard where their packages are."""
    rows = [{"step": step, "data": _verl(step)} for step in range(6)]
    console = [
        f"(pid=7) step:{row['step']} - " + " - ".join(f"{k}:{v}" for k, v in row["data"].items()) for row in rows
    ]
    history = []
    for step in range(1, 6):
        history.append({"step": step, "num_tokens": 1000.0 * step, "reward": 0.3, "completions/mean_length": 99.5})
        history.append({"step": step, "eval_rewards/correct/mean": 0.3 + 0.02 * step, "eval_reward": 0.3 + 0.02 * step})
    flat = [{"_step": row["step"], **row["data"]} for row in rows]
    found = {
        "verl.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode(),
        "console.log": "\n".join(console).encode(),
        "trainer_state.json": json.dumps({"global_step": 5, "log_history": history}).encode(),
        "wandb.csv": pd.DataFrame(flat).to_csv(index=False).encode(),
        "wandb.jsonl": "".join(json.dumps(row) + "\n" for row in flat).encode(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for at, (write, _) in enumerate(FORMATS.values()):
            if write is not events:
                (place := Path(folder, str(at))).mkdir()
                path = write(place)
                found[f"{at}-{path.name}"] = path.read_bytes()
    if find_spec("wandb"):
        found["run.wandb"] = offline_file(flat)
    if find_spec("tensorboard"):
        found["events.out.tfevents.1.vm.1.0"] = _events(rows)
    return found


def offline_file(rows: list[dict[str, float]]) -> bytes:
    """W&B's own framing: LevelDB records, here each in one piece."""
    import zlib

    from wandb.proto import wandb_internal_pb2 as proto

    out = b":W&B" + struct.pack("<HB", 0xBEE1, 0)
    for row in rows:
        record = proto.Record()
        for name, value in row.items():
            item = record.history.item.add()
            item.key, item.value_json = name, json.dumps(value)
        body = record.SerializeToString()
        out += struct.pack("<IHB", zlib.crc32(b"\x01" + body), len(body), 1) + body
    return out


def _events(rows: list[dict[str, object]]) -> bytes:
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    out = io.BytesIO()
    writer = RecordWriter(out)
    for at, row in enumerate(rows):
        summary = summary_pb2.Summary()
        for name, value in row["data"].items():  # type: ignore[attr-defined]
            summary.value.add(tag=name, simple_value=value)
        writer.write(event_pb2.Event(wall_time=1e9 + at, step=row["step"], summary=summary).SerializeToString())
    writer.flush()
    return out.getvalue()


MAP = b"""[columns]
step = "it"
loss = "1 - acc"
samples = "it * 64"
run_id = "name"
[constants]
series = "base"
params = 7e9
eval = "math"
[metadata]
origin = "a cluster"
"""
MELT = MAP.replace(b'run_id = "name"\n', b"") + b'[melt]\ncolumns = "acc_{recipe}_{group_size}"\nvalue = "acc"\n'
CONFIG = b"""[task]
name = "arithmetic"
[[policy.sizes]]
name = "6k"
d_model = 16
layers = 2
heads = 2
pretrain_learning_rate = 0.01
[pretrain]
tokens = 10_000
[grpo]
steps = 8
prompts = 16
mini_batch = 8
learning_rate = 3e-4
[eval]
every = 4
problems = 32
[sweep]
seeds = [0, 1]
group_size = [4]
"""


def log_table() -> pd.DataFrame:
    return pd.DataFrame({"it": range(1, 9), "acc": np.linspace(0.3, 0.5, 8), "we ird": 1.0, "name": "r1"})


def wide_table() -> pd.DataFrame:
    return pd.DataFrame({"it": range(1, 9), "acc_a_8": np.linspace(0.3, 0.5, 8), "acc_b_16": 0.4})
