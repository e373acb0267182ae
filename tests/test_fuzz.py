"""Damaged files of every kind end in a clear reason; `make fuzz` tries more of them."""

import io
import json
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fuzz import KINDS, Case, Failure, case_format, case_log, make_case, run_case, run_here
from tests.fuzz_inputs import FACTS, MAP, as_parquet, fit_file, frame, log_table, logs

CASES, SEED = 300, 0
LOGS = [at for at, kind in enumerate(KINDS) if kind in (case_log, case_format)]


def failures(numbers, folder):
    found = []
    for number in numbers:
        case = make_case(SEED, number)
        (place := folder / str(number)).mkdir()
        if (what := run_case(case, place)) is not None:
            found.append(str(Failure(SEED, number, case, what)))
    return "\n".join(found)


@pytest.mark.parametrize("part", range(3))
def test_damaged_tables_fits_maps_and_configurations(part, tmp_path):
    numbers = [number for number in range(CASES) if number % len(KINDS) not in LOGS and number % 3 == part]
    assert failures(numbers, tmp_path) == ""


def test_damaged_logs(tmp_path):
    assert failures([number for number in range(CASES) if number % len(KINDS) in LOGS], tmp_path) == ""


def test_whole_inputs_are_read(tmp_path):
    """What is damaged is something that works."""
    files = {"t.parquet": as_parquet(frame()), "fit.json": fit_file(), **logs()}
    for name, raw in files.items():
        (tmp_path / name).write_bytes(raw)
    commands = [("check", "t.parquet"), ("predict", "fit.json", "--params", "7B")]
    kinds = {
        "verl.jsonl": "verl",
        "console.log": "verl",
        "trainer_state.json": "trl",
        "wandb.csv": "wandb",
        "run.wandb": "wandb",
    }
    commands += [("import", kinds[name], name, "--out", f"{name}.parquet", *FACTS) for name in logs() if name in kinds]
    for command in commands:
        assert run_here(command, tmp_path)[0] == 0, command


def test_cases_repeat():
    assert make_case(3, 17) == make_case(3, 17)
    assert make_case(3, 17) != make_case(4, 17)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("raise KeyError('x')", "KeyError"),
        ("while True: pass", "ran longer"),
        ("import sys; sys.stderr.write('Traceback'); raise SystemExit(1)", "on stderr"),
        ("print('k(7B) = nan')", "printed nan"),
        ("open('left', 'w'); raise SystemExit(1)", "left"),
        ("raise SystemExit(1)", "without a reason"),
        ("print('fine: nancy, info')", None),
    ],
)
def test_the_driver_sees_what_it_is_for(code, word, tmp_path, monkeypatch):
    monkeypatch.setattr("scalefit.cli.main.make_app", lambda command: lambda: exec(code, {}))
    monkeypatch.setattr("tests.fuzz.LIMIT", 0.2)
    found = run_case(Case("", {}, ("check",)), tmp_path)
    assert found is None if word is None else word in found


# One of every kind of damage that was seen to end in a traceback or a hang.


def typed(**columns):
    table = pa.Table.from_pandas(frame().assign(**columns), preserve_index=False)
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def edited(change):
    content = json.loads(fit_file())
    change(content["fits"][0])
    return json.dumps(content).encode()


def wrong_types(record):
    record["data"]["record"] = str(record["data"]["record"])


def text_for_a_number(record):
    record["parameters"]["k_max"]["value"] = "0.1"


def number_for_a_list(record):
    record["data"]["loss"] = 0.5


def no_number(record):
    record["data"]["resource"][0][0][0] = float("nan")


def negative_variance(record):
    record["covariance"][0][0] = -1.0


FIT = ("predict", "fit.json", "--params", "7e9")
COLUMNS = ("import", "columns", "x.csv", "--map", "m.toml", "--out", "o.parquet")
X = log_table().to_csv(index=False).encode()
EXPLICIT = {
    "metadata 5": (("check", "t.csv"), {"t.csv": b"# scalefit: 5\n" + frame().to_csv(index=False).encode()}, "metadata are 5"),
    "metadata list": (("check", "t.parquet"), {"t.parquet": as_parquet(frame(), b"[1]")}, "metadata are [1]"),
    "metadata nested": (("check", "t.parquet"), {"t.parquet": as_parquet(frame(), b"[" * 100_000)}, "nested too deeply"),
    "convention no text": (("check", "t.parquet"), {"t.parquet": as_parquet(frame(), b'{"flops_convention": {}}')}, "flops_convention"),
    "binary text": (("check", "t.parquet", "--json"), {"t.parquet": typed(series=b"base")}, "'series'"),
    "binary that is no text": (("plan", "t.parquet", "--flops", "1e18"), {"t.parquet": typed(series=b"\xff\xfe")}, "'series'"),
    "dates as text": (("check", "t.parquet"), {"t.parquet": typed(eval=pd.Timestamp("2020-01-01"))}, "'eval'"),
    "dates as numbers": (("check", "t.parquet"), {"t.parquet": typed(step=pd.Timestamp("2020-01-01"))}, "a date and not a number"),
    "truth values": (("check", "t.parquet"), {"t.parquet": typed(loss=True)}, "a truth value"),
    "lists": (("check", "t.parquet"), {"t.parquet": typed(loss=[[1.0]] * 50)}, "'loss'"),
    "structs": (("check", "t.parquet"), {"t.parquet": typed(loss=[{"a": 1}] * 50)}, "'loss'"),
    "huge integers": (("check", "t.parquet"), {"t.parquet": typed(step=np.uint64(2**64 - 1))}, "beyond 64 bits"),
    "cut parquet": (("check", "t.parquet"), {"t.parquet": as_parquet(frame())[:-300]}, "cannot be read as parquet"),
    "fit of text": (FIT, {"fit.json": edited(text_for_a_number)}, "is not of type 'number'"),
    "fit of wrong types": (FIT, {"fit.json": edited(wrong_types)}, "$.fits[0].data.record"),
    "fit without lists": (FIT, {"fit.json": edited(number_for_a_list)}, "$.fits[0].data.loss"),
    "fit with NaN": (FIT, {"fit.json": edited(no_number)}, "NaN is no JSON number"),
    "fit of negative variance": (FIT, {"fit.json": edited(negative_variance)}, "a variance is negative"),
    "map sections 3": (COLUMNS, {"x.csv": X, "m.toml": b"columns = 3"}, "columns is 3"),
    "map sections list": (COLUMNS, {"x.csv": X, "m.toml": b"columns=[]\nconstants=[]"}, "columns is []"),
    "map sections of tables": (COLUMNS, {"x.csv": X, "m.toml": b"[[columns]]"}, "columns is [{}]"),
    "map constant list": (COLUMNS, {"x.csv": X, "m.toml": MAP.replace(b'eval = "math"', b"eval = [1]")}, "eval is [1]"),
    "map long sum": (COLUMNS, {"x.csv": X, "m.toml": MAP.replace(b"1 - acc", b"acc+" * 5000 + b"acc")}, "the most are"),
    "map deep": (COLUMNS, {"x.csv": X, "m.toml": MAP.replace(b"1 - acc", b"acc+" * 300 + b"acc")}, "nested deeper"),
    "map tower": (COLUMNS, {"x.csv": X, "m.toml": MAP.replace(b"1 - acc", b"9**9**9**9")}, "is inf"),
    "map huge": (COLUMNS, {"x.csv": X, "m.toml": MAP.replace(b"1 - acc", b"1" + b"0" * 400)}, "beyond a float"),
    "map 0**-1": (COLUMNS, {"x.csv": X, "m.toml": MAP.replace(b"1 - acc", b"0**-1")}, "is inf"),
    "map text times": (COLUMNS, {"x.csv": X, "m.toml": MAP.replace(b"1 - acc", b"2 * name")}, "column 'name' holds 'r1', not a number"),
    "configuration nested": (("run", "c.toml", "--dry-run"), {"c.toml": b"x = " + b"[" * 50_000}, "not TOML"),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPLICIT)
def test_a_known_kind_of_damage(name, tmp_path):
    command, files, words = EXPLICIT[name]
    assert run_case(Case(name, files, command), tmp_path) is None
    code, _, err = run_here(command, tmp_path)
    assert code in (1, 2)
    assert words in err
    assert len(err) < 2000


def test_damage_depends_on_nothing_but_the_generator():
    for kind in KINDS:
        assert kind(random.Random(5)) == kind(random.Random(5))
