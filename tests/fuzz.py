"""Damage every kind of file that a command reads, and watch: a traceback, a hang, a NaN in the answer or a file left is a failure.

`python -m tests.fuzz --cases 5000` (or `make fuzz`) runs them in this process and prints how to repeat each that failed:
`python -m tests.fuzz --seed SEED --only CASE`. To add a kind, add a function to `KINDS`.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import math
import os
import random
import re
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

LIMIT = 20.0
"""Seconds after which a command hangs."""
_NOT_FINITE = re.compile(r"(?<![\w'\"/.-])-?(?:nan|inf)(?![\w'\"/.-])")
DEEP = 100_000
VALUES = (
    None, True, False, 0, -1, 1, 7, 0.5, -0.25, 1.5, 42.0, 1e308, -1e308, 5e-324, 10**400, 2**63, -(2**70),
    math.nan, math.inf, -math.inf, "", " ", "x", "31%", "1.2.3", ".", "-", "0.1.", "1e999", "9" * 5000, "007", "NaN",
    "2026-01-01", "2026-01-01T00:00:00", "\x00", "é\u202e", "\ud800", "a/b", "../../esc", [], [1], [[1, 2], [3]], {}, {"a": 1},
    {"value": None}, "checkpoint-best", "x" * 3000,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Files by name, and the command that reads them."""

    kind: str
    files: dict[str, bytes]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A case that went wrong: how to repeat it, and how it went wrong."""

    seed: int
    number: int
    case: Case
    what: str

    def __str__(self) -> str:
        repeat = f"python -m tests.fuzz --seed {self.seed} --only {self.number}"
        return f"{self.case.kind}: scalefit {' '.join(self.case.command)}\n    {self.what}\n    again: {repeat}"


# Small valid inputs.


@cache
def frame() -> pd.DataFrame:
    """Three sizes of ten evaluations, on a power law with a little noise."""
    rng, rows = np.random.default_rng(0), []
    for size in (0.5e9, 1.5e9, 7e9):
        slope = 0.15 * size / (size + 2e9)
        for step in range(8, 81, 8):
            samples = 64.0 * step
            loss = min(samples**-slope + 0.003 * rng.standard_normal(), 1.0)
            rows.append(("base-" + format(size, ".0e"), "base", size, 0, step, samples, 900 * samples, 5400 * size * samples,
                         1.0, 8, "math", 500, loss, 1 - loss))  # fmt: skip
    names = "run_id series params seed step samples tokens flops reuse group_size eval eval_size loss reward"
    return pd.DataFrame(rows, columns=names.split())


def _parquet(table: pd.DataFrame, metadata: bytes | None = None) -> bytes:
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
    if find_spec("wandb"):
        found["run.wandb"] = _offline(flat)
    if find_spec("tensorboard"):
        found["events.out.tfevents.1.vm.1.0"] = _events(rows)
    return found


def _offline(rows: list[dict[str, float]]) -> bytes:
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
        out += struct.pack("<IHB", zlib.crc32(body), len(body), 1) + body
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


def _log_table() -> pd.DataFrame:
    return pd.DataFrame({"it": range(1, 9), "acc": np.linspace(0.3, 0.5, 8), "we ird": 1.0, "name": "r1"})


def _wide_table() -> pd.DataFrame:
    return pd.DataFrame({"it": range(1, 9), "acc_a_8": np.linspace(0.3, 0.5, 8), "acc_b_16": 0.4})


# Damage.


def damage_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, insert or shuffle bytes."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + rng.choice((1, 2, 100, 5000))]
            case 3:
                data[at:at] = rng.choice(
                    (
                        b"\x00",
                        b"\xff\xfe",
                        b"\n",
                        b'"',
                        b"{",
                        b"[" * DEEP,
                        b"1" * 5000,
                        b",,,",
                        b"\xef\xbb\xbf",
                        b"null\n",
                    )
                )
            case 4:
                data[at:at] = data[at : at + 200]
            case 5 if data:
                data[at % len(data)] = rng.randrange(256)
            case 6:
                end = at + rng.choice((4, 64))
                data[at:end] = rng.randbytes(len(data[at:end]))
    return bytes(data)


def damage_json(raw: bytes, rng: random.Random) -> bytes:
    """Swap, delete, duplicate or nest values of a JSON file, or of some lines of a JSONL file."""
    lines = raw.decode().splitlines() if b"\n{" in raw else [raw.decode()]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        with contextlib.suppress(ValueError, RecursionError):
            lines[at] = _damage_value(lines[at], rng)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _damage_value(text: str, rng: random.Random) -> str:
    whole = json.loads(text)
    spots: list[tuple[object, object]] = []

    def walk(value: object) -> None:
        keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            spots.append((value, key))
            walk(value[key])  # type: ignore[index]

    walk(whole)
    if not spots:
        return text
    # Long arrays are most of a fit; the rest of it should be hit as often.
    named = [spot for spot in spots if isinstance(spot[0], dict)]
    holder, key = rng.choice(named if named and rng.random() < 0.6 else spots)
    old = holder[key]  # type: ignore[index]
    match rng.randrange(8):
        case 0:
            del holder[key]  # type: ignore[attr-defined]
        case 1 if isinstance(holder, list):
            holder.append(old)
        case 2:
            deep = rng.choice(("[", '{"a":'))
            holder[key] = "DEEP"  # type: ignore[index]
            return json.dumps(whole).replace('"DEEP"', deep * rng.choice((50, 2000, DEEP)), 1)
        case 3 if isinstance(holder, dict):
            return json.dumps(whole).replace(f'"{key}":', f'"{key}": 1, "{key}":', 1)
        case 4 if isinstance(old, (int, float)):
            holder[key] = rng.choice((-old, old * 1e10, old + 1, str(old), [old], int(old) + 0.5))  # type: ignore[index]
        case 5 if isinstance(holder, dict):
            holder[str(rng.choice(VALUES))[:40]] = holder.pop(key)
        case _:
            holder[key] = rng.choice(VALUES)  # type: ignore[index]
    return json.dumps(whole)


def _cell(value: object) -> str:
    """A value as a cell; not as Python writes what is not finite, since that is what an answer is searched for."""
    return str(value).replace("nan", "NaN").replace("inf", "Infinity")


def damage_csv(raw: bytes, rng: random.Random) -> bytes:
    """Swap cells, names and delimiters; make rows ragged; repeat columns."""
    rows = [line.split(",") for line in raw.decode().splitlines()]
    for _ in range(rng.choice((1, 1, 2, 5))):
        row = rng.choice(rows if rng.random() < 0.7 else rows[:1])
        at = rng.randrange(len(row))
        match rng.randrange(7):
            case 0:
                del row[at]
            case 1:
                row.insert(at, row[at])
            case 2 if len(rows[0]) > 1:
                name = rng.choice(rows[0])
                for one in rows[:1]:
                    one[at % len(one)] = rng.choice((name, f" {name} ", name.upper(), ""))
            case 3:
                value = rng.choice(VALUES)
                for one in rows[1:]:
                    if at < len(one):
                        one[at] = _cell(value)
            case 4:
                rows.insert(rng.randrange(len(rows)), rng.choice(([""], ["# note"], row, ['"'])))
            case _:
                row[at] = _cell(rng.choice(VALUES))
        if not rows[0]:
            rows[0] = ["x"]
        rows = [one for one in rows if one] or [["x"]]
    if rng.random() < 0.1:
        rows.insert(0, [f"# scalefit: {json.dumps(rng.choice(VALUES))}"])
    delimiter = rng.choice((",",) * 8 + (";", "\t"))
    return "\n".join(delimiter.join(row) for row in rows).encode("utf-8", "surrogatepass")


def damage_table(table: pd.DataFrame, rng: random.Random) -> bytes:
    """A Parquet file with a column of another type, with odd values, twice, or odd metadata."""
    import pyarrow as pa

    table, metadata = table.copy(), None
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(table.columns))
        values, many = table[name], len(table)
        match rng.randrange(9):
            case 0:
                table[name] = [str(value).encode("utf-8", "replace") + rng.choice((b"", b"\xff")) for value in values]
            case 1:
                table[name] = pd.date_range("2020-01-01", periods=many)
            case 2:
                table[name] = [rng.choice(([value], None)) for value in range(many)]
            case 3:
                table[name] = [{"a": value} for value in range(many)]
            case 4:
                table[name] = [None if rng.random() < 0.3 else value for value in values]
            case 5:
                table[name] = pd.Series([rng.choice((0, 1, -5, 2**62)) for _ in range(many)], dtype="Int64")
            case 6:
                table = table.drop(columns=[name]) if len(table.columns) > 1 else table
            case 7:
                metadata = rng.choice(
                    (
                        b"5",
                        b"[]",
                        b"{",
                        b"null",
                        b"[" * DEEP,
                        b'{"schema_version": [1]}',
                        b'{"schema_version": 1, "params_convention": [1, {}]}',
                        b"\xff",
                        b'"x"',
                        b'{"origin": "\\ud800", "flops_convention": 3}',
                    )
                )
            case _:
                number = rng.choice((None, True, 0, -1, 0.5, 42.0, 1e308, -1e308, 5e-324, math.nan, math.inf, 2**62))
                table[name] = [number if rng.random() < 0.3 else value for value in values]
    try:
        return _parquet(table, metadata)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return damage_bytes(_parquet(frame()), rng)


def damage_toml(raw: bytes, rng: random.Random) -> bytes:
    """Swap values, names and sections; make towers and long sums of expressions."""
    lines = raw.decode().splitlines()
    towers = ('"9**9**9**9"', '"10**400"', '"0**-1"', '"' + "acc+" * 5000 + 'acc"', '"' + "(" * 500 + "acc" + ")" * 500 + '"', '"acc * name"',
              '"-" ', '"`x"', '"it.real"', '"acc ** it ** it"', '"__import__(\'os\')"', '"1/0"', '"-acc**0.5"', '"' + "-" * 900 + 'acc"')  # fmt: skip
    plain = ("[1]", "{}", "true", "2026-01-01", "nan", "-inf", '""', "0", "-1", "1e400", "9" * 50, "[" * 5000, "'x'", '"NaN"', "1e308", "[[]]",
             '"a/b"', '"../../esc"', "0.5", "1000000000000")  # fmt: skip
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        name = lines[at].partition("=")[0].strip() or "x"
        match rng.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, rng.choice(lines or ["x"]))
            case 2:
                lines[at] = rng.choice(
                    (
                        "columns = 3",
                        "[[columns]]",
                        "constants = []",
                        "[columns.step]",
                        "metadata = 1",
                        "melt = 1",
                        "grpo = 1",
                        "[[policy]]",
                        "policy = []",
                    )
                )
            case 3:
                lines[at] = f"{name[:-1]} = 1"
            case 4:
                lines[at] = f"{name} = {rng.choice(towers)}"
            case _:
                lines[at] = f"{name} = {rng.choice(plain)}"
        lines = lines or ["x = 1"]
    return "\n".join(lines).encode()


# Kinds: each makes a case from a random generator.

_OF_RUNS = (
    *((("check",), ("check", "--json")) * 6),
    ("fit",),
    ("fit", "--json", "--noise", "independent"),
    ("fit", "--where", "series=base", "--x", "flops"),
    ("plan", "--flops", "1e18"),
    ("plan", "--loss", "0.4", "--json"),
    ("compare", "--law", "saturating", "--law", "power"),
    ("forecast", "--run", "base-7e+09"),
    ("forecast", "--run", "base-5e+08", "--json"),
    ("design", "--budget", "1e19", "--target", "72B"),
    ("reuse",),
    ("rollouts", "--json"),
    ("horizon",),
    ("sharpening",),
    ("crossval", "--mode", "prefix", "--law", "saturating"),
)


def _of_runs(name: str, raw: bytes, rng: random.Random) -> Case:
    first, *rest = rng.choice(_OF_RUNS)
    return Case(f"runs{Path(name).suffix}", {name: raw}, (first, name, *rest))


def case_parquet(rng: random.Random) -> Case:
    raw = damage_table(frame(), rng) if rng.random() < 0.6 else damage_bytes(_parquet(frame()), rng)
    return _of_runs("t.parquet", raw, rng)


def case_csv(rng: random.Random) -> Case:
    raw = frame().to_csv(index=False).encode()
    raw = damage_csv(raw, rng) if rng.random() < 0.7 else damage_bytes(raw, rng)
    name = rng.choice(("t.csv", "t.csv", "t.tsv", "t.csv.gz"))
    if name.endswith("gz"):
        raw = gzip.compress(raw)
        raw = damage_bytes(raw, rng) if rng.random() < 0.3 else raw
    return _of_runs(name, raw, rng)


def case_jsonl(rng: random.Random) -> Case:
    lines = rng.random() < 0.7
    raw = frame().to_json(orient="records", lines=lines).encode()
    raw = damage_json(raw, rng) if rng.random() < 0.7 else damage_bytes(raw, rng)
    return _of_runs("t.jsonl" if lines else "t.json", raw, rng)


def case_fit(rng: random.Random) -> Case:
    raw = damage_json(fit_file(), rng) if rng.random() < 0.8 else damage_bytes(fit_file(), rng)
    size = rng.choice(("7e9", "500M", "1e300", "100B"))
    more = rng.choice(((), ("--samples", "1000"), ("--loss", "0.4"), ("--json",), ("--where", "series=base")))
    return Case("fit", {"fit.json": raw}, ("predict", "fit.json", "--params", size, *more))


def case_map(rng: random.Random) -> Case:
    wide = rng.random() < 0.3
    table, map_raw = (_wide_table(), MELT) if wide else (_log_table(), MAP)
    name = rng.choice(("x.csv", "x.jsonl", "x.parquet"))
    raw = {
        "x.csv": lambda: table.to_csv(index=False).encode(),
        "x.jsonl": lambda: table.to_json(orient="records", lines=True).encode(),
        "x.parquet": lambda: _parquet(table),
    }[name]()
    if rng.random() < 0.6:
        map_raw = damage_toml(map_raw, rng) if rng.random() < 0.9 else damage_bytes(map_raw, rng)
    if rng.random() < 0.5:
        raw = {"x.csv": damage_csv, "x.jsonl": damage_json, "x.parquet": lambda _, chance: damage_table(table, chance)}[
            name
        ](raw, rng)
    return Case(
        "map", {name: raw, "m.toml": map_raw}, ("import", "columns", name, "--map", "m.toml", "--out", "o.parquet")
    )


def case_config(rng: random.Random) -> Case:
    raw = damage_toml(CONFIG, rng) if rng.random() < 0.85 else damage_bytes(CONFIG, rng)
    return Case("config", {"c.toml": raw}, ("run", "c.toml", "--dry-run"))


def case_systems(rng: random.Random) -> Case:
    table = pd.DataFrame(
        {"system": list("abc"), "benchmark": "m", "score": [0.5, 0.6, 0.9], "n": 100, "cost": [1, 2, 3.0]}
    )
    raw = damage_csv(table.to_csv(index=False).encode(), rng)
    command = rng.choice((("systems", "s.csv"), ("import", "systems", "s.csv", "--out", "o.csv")))
    return Case("systems", {"s.csv": raw}, command)


_LOGS = {
    "verl.jsonl": ("verl", damage_json),
    "console.log": ("verl", damage_bytes),
    "trainer_state.json": ("trl", damage_json),
    "wandb.csv": ("wandb", damage_csv),
    "wandb.jsonl": ("wandb", damage_json),
    "run.wandb": ("wandb", damage_bytes),
    "events.out.tfevents.1.vm.1.0": ("tensorboard", damage_bytes),
}


def case_log(rng: random.Random) -> Case:
    name = rng.choice(sorted(logs()))
    kind, damage = _LOGS[name]
    raw = (damage if rng.random() < 0.8 else damage_bytes)(logs()[name], rng)
    if name == "console.log" and rng.random() < 0.5:
        number = rng.choice((".", "1.2.3", "1" * 5000, "np.float64(nan)", "tensor(0.4)", "-", "1e999", "0x1f", "+-3"))
        raw = re.sub(rb":0\.\d+", lambda found: b":" + number.encode() if rng.random() < 0.2 else found[0], raw)
    metric = ("--metric", "zz") if rng.random() < 0.1 else ()
    return Case(name, {name: raw}, ("import", kind, name, "--out", "o.parquet", *FACTS, *metric))


KINDS: tuple[Callable[[random.Random], Case], ...] = (
    case_parquet, case_csv, case_jsonl, case_fit, case_fit, case_map, case_map, case_config, case_systems, case_log, case_log,
)  # fmt: skip


def make_case(seed: int, number: int) -> Case:
    """Return a case; the same for the same seed and number."""
    rng = random.Random(f"{seed}-{number}")
    return KINDS[number % len(KINDS)](rng)


# Running.


class Hang(BaseException):
    """A command ran longer than it may; no library on the way takes this for its own."""


def _hang(number: int, stack: object) -> None:
    raise Hang


def run_case(case: Case, folder: Path) -> str | None:
    """Run a case's command in a folder that holds its files; return what went wrong."""
    for name, raw in case.files.items():
        (folder / name).write_bytes(raw)
    before = {str(path) for path in folder.rglob("*")}
    code, out, err = run_here(case.command, folder)
    if isinstance(code, BaseException):
        if isinstance(code, Hang):
            return f"ran longer than {LIMIT:g} s"
        last = traceback.extract_tb(code.__traceback__)[-1]
        ours = [at for at in traceback.extract_tb(code.__traceback__) if "/scalefit/" in at.filename]
        at = ours[-1] if ours else last
        return f"{type(code).__name__}: {str(code)[:120]!r} in {Path(at.filename).name}:{at.lineno}"
    if code not in (0, 1, 2):
        return f"exit code {code}"
    left = sorted({str(path) for path in folder.rglob("*")} - before)
    if code and left:
        return f"exit code {code}, and left {', '.join(left)}"
    if code and not err.strip():
        return f"exit code {code} without a reason"
    found = _NOT_FINITE.search(out) if code == 0 else None
    return f"printed {found[0]} in {out[max(found.start() - 60, 0) : found.end() + 20]!r}" if found else None


def run_here(command: tuple[str, ...], folder: Path) -> tuple[int | BaseException, str, str]:
    """Run the command line in this process; return its exit code or what it raised, stdout and stderr."""
    from scalefit.cli.main import run

    out, err = io.StringIO(), io.StringIO()
    where, arguments = os.getcwd(), sys.argv
    handlers = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT)}
    signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    code: int | BaseException = 0
    try:
        os.chdir(folder)
        sys.argv = ["scalefit", *command]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except (Exception, Hang) as error:
        code = error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.chdir(where)
        sys.argv = arguments
    return code, out.getvalue(), err.getvalue()


def fuzz(seed: int, numbers: range, told: Callable[[int], None] = lambda done: None) -> list[Failure]:
    """Run cases; return those that failed."""
    failures = []
    for number in numbers:
        case = make_case(seed, number)
        with tempfile.TemporaryDirectory() as folder:
            if (what := run_case(case, Path(folder))) is not None:
                failures.append(Failure(seed, number, case, what))
        told(number + 1)
    return failures


def main() -> None:
    """Run many cases, or one again whose files are then kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone and keep its files")
    arguments = parser.parse_args()
    if arguments.only is not None:
        case, folder = make_case(arguments.seed, arguments.only), Path(tempfile.mkdtemp(prefix="fuzz-"))
        print(run_case(case, folder) or "passed", f"\nfiles in {folder}: scalefit {' '.join(case.command)}")
        return
    begin = time.monotonic()

    def told(done: int) -> None:
        if done % 500 == 0:
            print(f"{done} of {arguments.cases} cases, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)

    failures = fuzz(arguments.seed, range(arguments.cases), told)
    for failure in failures:
        print(failure)
    print(f"{arguments.cases} cases of seed {arguments.seed}: {len(failures)} failed; {time.monotonic() - begin:.0f} s")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
