"""Maps: expressions within bounds, wide tables, and damage that is counted and named."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scalefit as sf
from scalefit.errors import TableError, UsageError
from scalefit.table.importers.expression import Expression
from tests.conftest import results, scalefit

MAP = """
[columns]
step = "step"
samples = "step * 64"
loss = "1 - acc"
[constants]
run_id = "r"
series = "base"
params = 1.5e9
eval = "val"
"""


def bring(tmp_path, text, name="log.csv", map_text=MAP, code=0):
    (tmp_path / "map.toml").write_text(map_text)
    (tmp_path / name).write_text(text)
    found = scalefit("import", "columns", name, "--map", "map.toml", "--json", cwd=tmp_path)
    assert found.returncode == code, found.stderr
    assert "Traceback" not in found.stderr
    assert (tmp_path / "runs.parquet").exists() == (code == 0)
    return results(found)[0] if code == 0 else found.stderr


# Expressions.

TERMS = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5", "-3.0"]),
    lambda inner: st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*"]), inner),
    max_leaves=12,
)


@given(TERMS, st.floats(-100, 100), st.floats(-100, 100))
def test_expressions_are_python_s_arithmetic(text, a, b):
    found = Expression(text)({"a": np.array([a]), "b": np.array([b])})
    assert float(np.ravel(found)[0]) == pytest.approx(eval(text, {}, {"a": a, "b": b}), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9**9**9", math.inf),
        ("0**-1", math.inf),
        ("1/0", math.inf),
        ("(-1)**0.5", math.nan),
        ("2**-1", 0.5),
        ("10**300*10**300", math.inf),
    ],
)
def test_powers_are_computed_in_floats(text, value):
    found = float(Expression(text)({}))
    assert found == value or (math.isnan(found) and math.isnan(value))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1" + "0" * 400, "beyond a float"),
        ("+".join(["a"] * 5000), "the most are 2000"),
        ("+".join(["a"] * 200), "nested deeper than 100"),
        ("-" * 150 + "a", "nested deeper than 100"),
        ("(" * 300 + "a" + ")" * 300, "is no expression"),
        ("a.real", "it holds a.real; a column's name with dots stands in backticks"),
        ("1 - a^2", r"it holds 1 - a\^2; write \*\* for a power"),
        ("1 - max(a, b)", r"it holds max\(a, b\); there are no functions"),
        ("1 - 'val acc'", "it holds 'val acc'; a column's name stands in backticks"),
        ("3 * (`val/acc` // 2)", "it holds `val/acc` // 2"),
        ("1 - " + "f" * 90 + "(1)", "it holds " + "f" * 40 + r"\.\.\."),
        ("a if a else b", "not arithmetic"),
        ("'x' * 9", "not arithmetic"),
        ("True + 1", "not arithmetic"),
        ("1j", "not arithmetic"),
        ("a\x00", "is no expression"),
        ("", "is no expression"),
    ],
)  # fmt: skip
def test_what_is_no_expression(text, words):
    with pytest.raises(UsageError, match=words) as caught:
        Expression(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["31.0", "42.0", "0.9"], ["'loss', 2 rows (0, 1): holds -30", "1 minus a percentage?", "accuracy / 100"]),
        (["31%", "42%", "50%"], ["column 'acc' holds '31%', not a number", "remove the %"]),
        (["2020-01-01", "2020-01-02", "x"], ["column 'acc' holds '2020-01-01', not a number"]),
        (["-0.5", "0.2", "1.7"], ["'loss', row 0: holds 1.5", "'loss', row 2: holds -0.7", "0 to 1"]),
    ],
)
def test_cells_of_another_kind(cells, words, tmp_path):
    text = "step,acc\n" + "\n".join(f"{at},{cell}" for at, cell in enumerate(cells))
    said = bring(tmp_path, text, code=1)
    for word in words:
        assert word in said


def test_nats_are_called_nats(tmp_path):
    said = bring(tmp_path, "step,nll\n0,4.1\n10,2.9\n", map_text=MAP.replace("1 - acc", "nll"), code=1)
    assert "a cross-entropy in nats?" in said
    assert "percent" not in said


def test_an_expression_that_is_not_finite_names_the_row(tmp_path):
    said = bring(tmp_path, "step,acc\n0,0.5\n1,0\n", map_text=MAP.replace("1 - acc", "0.1 / acc"), code=1)
    assert "loss = '0.1 / acc' is inf for acc = 0 (row 1); mend the map" in said


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[columns]", "[[columns]]", "columns is [{"),
        ('run_id = "r"', "run_id = 3", "run_id is 3; write text in quotes"),
        ("params = 1.5e9", 'params = "1.5B"', "params is '1.5B'; write a number"),
        ("params = 1.5e9", "params = true", "params is True"),
        ('loss = "1 - acc"', "loss = [1]", "loss is [1]; write an expression"),
        ('step = "step"', 'step = "step"\nseries = "acc + 1"', "series is under [columns] and [constants]"),
        ('run_id = "r"\n', "", None),
        ("[constants]", "[metadata]\norigin = 5\n[constants]", "origin is 5; write text"),
        ('loss = "1 - acc"', 'loss = "1 - acuracy"', "has no column 'acuracy'"),
        ('loss = "1 - acc"', 'loss = "1 - acc"\neval = "2 * acc"', "eval is under"),
    ],
)
def test_maps_that_make_no_sense(old, new, words, tmp_path):
    if words is None:
        assert bring(tmp_path, "step,acc\n1,0.3\n", map_text=MAP.replace(old, new))["table"]["groups"][0]["runs"] == 1
        return
    code = 1 if "no column" in words else 2
    assert words in bring(tmp_path, "step,acc\n1,0.3\n", map_text=MAP.replace(old, new), code=code)


# Damage in a log is counted and named; the rest is kept.


def test_damaged_lines_of_jsonl_are_left_out(tmp_path):
    lines = [json.dumps({"step": step, "acc": 0.1 * step}) for step in range(1, 8)]
    lines[1], lines[4], lines[6] = lines[1][:9], "nonsense", '{"step": ' + "[" * 50_000
    found = bring(tmp_path, "\n".join(lines), "log.jsonl")
    assert found["rows"] == 4
    (cut, deep) = found["notes"]
    assert "line 2: is cut or no JSON" in cut
    assert "and so 1 more (lines 5)" in cut
    assert "line 7: is nested too deeply" in deep


def test_damaged_cells_and_rows_of_csv_are_left_out(tmp_path):
    found = bring(tmp_path, "step,acc,note\n1,0.1,a\n2,.,b\n3,0.3\n4,0.4,d\nx,0.5,e\n6,,f\n")
    assert found["rows"] == 2
    notes = "\n".join(found["notes"])
    assert "line 4: has 2 cells where 3 belong" in notes
    assert "1 rows are left out: column 'acc' holds '.', not a number (row 1)" in notes
    assert "1 rows are left out: column 'step' holds 'x', not a number (row 3)" in notes
    assert "1 rows without a loss are left out" in notes


@pytest.mark.parametrize("name", ["log.csv.gz", "log.tsv", "log.json", "parts", "log.jsonl", "log.parquet"])
def test_every_format_by_one_map(name, tmp_path):
    frame = pd.DataFrame({"step": [1, 2, 3], "acc": [0.1, 0.25, 0.5]})
    (tmp_path / "map.toml").write_text(MAP)
    path = tmp_path / name
    if name == "parts":
        path.mkdir()
        frame.iloc[:2].to_parquet(path / "0.parquet")
        frame.iloc[2:].to_parquet(path / "1.parquet")
    elif name.endswith("json") or name.endswith("jsonl"):
        frame.to_json(path, orient="records", lines=name.endswith("jsonl"))
    elif name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if name.endswith("tsv") else ",")
    assert scalefit("import", "columns", name, "--map", "map.toml", cwd=tmp_path).returncode == 0
    assert sf.read_runs(tmp_path / "runs.parquet").frame["loss"].tolist() == [0.9, 0.75, 0.5]


def test_semicolons_and_decimal_commas(tmp_path):
    bring(tmp_path, "step;acc\n1;0,1\n2;0,25\n")
    assert sf.read_runs(tmp_path / "runs.parquet").frame["loss"].tolist() == [0.9, 0.75]


def test_nested_fields_have_dotted_names(tmp_path):
    text = '{"step":0,"data":{"val-core/a/acc/mean@1":0.3}}\n{"step":1,"data":{"val-core/a/acc/mean@1":0.35}}\n'
    said = bring(tmp_path, text, "log.jsonl", code=1)
    assert "has no column 'acc'" in said
    assert "data.val-core/a/acc/mean@1" in said
    bring(tmp_path, text, "log.jsonl", MAP.replace("1 - acc", "1 - `data.val-core/a/acc/mean@1`"))
    assert sf.read_runs(tmp_path / "runs.parquet").frame["loss"].tolist() == [0.7, 0.65]


def test_ids_of_a_file_stay_text(tmp_path):
    text = "run,step,acc\n001,1,0.1\n01,1,0.2\n1,1,0.3\n"
    found = bring(
        tmp_path, text, map_text=MAP.replace('run_id = "r"', "").replace("[columns]", '[columns]\nrun_id = "run"')
    )
    assert found["table"]["groups"][0]["runs"] == 3


def test_text_that_breaks_off(tmp_path):
    """A cut number is left out and told, one that may be cut is told, and a quote that hides lines is refused."""
    text = "step,acc\n" + "".join(f"{step},0.4{123 + step}\n" for step in range(1, 5))
    found = bring(tmp_path, text + "20,0.")
    assert found["rows"] == 4
    assert found["notes"] == [
        "log.csv: line 6: is cut inside a number, for the file ends there ('0.'); mend or remove it"
    ]
    (tmp_path / "runs.parquet").unlink()
    found = bring(tmp_path, text + "20,0.4")
    assert found["rows"] == 5
    assert "line 6: ends without a line's end; its last value 0.4 may be cut" in found["notes"][0]
    (tmp_path / "runs.parquet").unlink()
    found = bring(tmp_path, text + '"20')
    assert found["rows"] == 4
    assert found["notes"] == ["log.csv: line 6: has 1 cells where 2 belong; mend or remove it"]
    (tmp_path / "runs.parquet").unlink()
    noted = text.replace("\n", ",note\n")
    found = bring(tmp_path, noted + '20,0.4125,"a te')
    assert found["rows"] == 4
    assert "line 6: opens a quote that is never closed" in found["notes"][0]
    (tmp_path / "runs.parquet").unlink()
    said = bring(tmp_path, noted.replace("note\n2", '"note\n2'), code=1)
    assert "line 2: a quote is opened and never closed, so that the 3 lines below are one cell" in said
    # A column that the map does not use is as it may be.
    found = bring(tmp_path, "step,acc,x\n1,0.1,1.5\n2,0.2,1.")
    assert (found["rows"], found["notes"]) == (2, [])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (MAP[: MAP.index("[constants]")], "", "map.toml: does not give step, loss, samples, flops or another resource; write each under [columns]"),
        ('loss = "1 - acc"\n', "", "map.toml: does not give loss;"),
        ('step = "step"\nsamples = "step * 64"\nloss = "1 - acc"', "step = 1\nsamples = 64\nloss = 0.5", "map.toml: uses no column of the file"),
    ],
)  # fmt: skip
def test_a_map_says_what_it_lacks(old, new, words, tmp_path):
    assert words in bring(tmp_path, "step,acc\n1,0.3\n", map_text=MAP.replace(old, new), code=2)


def test_a_map_that_is_no_text(tmp_path):
    (tmp_path / "log.csv").write_text("step,acc\n1,0.3\n")
    (tmp_path / "map.toml").write_bytes(bytes(range(256)))
    found = scalefit("import", "columns", "log.csv", "--map", "map.toml", cwd=tmp_path)
    assert found.returncode == 2
    assert "map.toml: no text, so no map" in found.stderr
    assert "codec" not in found.stderr


# Wide tables.

MELT = """
[melt]
columns = "acc_{series}_{params}"
value = "accuracy"
[columns]
step = "step"
samples = "step * 64"
loss = "1 - accuracy"
[constants]
eval = "math"
"""
WIDE = "step,acc_base_0.5B,acc_base_7B,acc_my_tuned_7B,lr\n0,0.1,0.2,0.3,1\n10,0.15,,0.35,1\n20,0.2,0.35,0.45,1\n"


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_wide_table_melts_by_one_map(suffix, tmp_path):
    (tmp_path / "m.toml").write_text(MELT)
    (tmp_path / "wide.csv").write_text(WIDE)
    frame = pd.read_csv(tmp_path / "wide.csv")
    if suffix == "jsonl":
        frame.to_json(tmp_path / "wide.jsonl", orient="records", lines=True)
    elif suffix == "parquet":
        frame.to_parquet(tmp_path / "wide.parquet")
    found = scalefit("import", "columns", f"wide.{suffix}", "--map", "m.toml", "--out", "r.parquet", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    rows = sf.read_runs(tmp_path / "r.parquet").frame.set_index(["run_id", "step"]).sort_index()
    assert len(rows) == 8
    assert set(rows.index.get_level_values(0)) == {"acc_base_0.5B", "acc_base_7B", "acc_my_tuned_7B"}
    assert rows.loc[("acc_base_0.5B", 10), "loss"] == pytest.approx(0.85)
    assert rows.loc[("acc_base_0.5B", 10), "params"] == 0.5e9
    assert rows.loc[("acc_my_tuned_7B", 20), "series"] == "my_tuned"
    assert rows.loc[("acc_my_tuned_7B", 20), "samples"] == 1280
    assert "melted" not in rows


def test_columns_that_look_like_the_pattern_are_named(tmp_path):
    wide = WIDE.replace("lr", "acc_base_small").replace("acc_my_tuned_7B", "acc_my_7B_tuned")
    found = bring(tmp_path, wide, map_text=MELT)
    assert {group["params"] for group in found["table"]["groups"]} == {0.5e9, 7e9}
    (said,) = found["notes"]
    assert "2 columns look like 'acc_{series}_{params}' and are not melted" in said
    assert "'acc_my_7B_tuned', 'acc_base_small' (params is '7B_tuned', 'small', no quantity" in said
    (tmp_path / "runs.parquet").unlink()
    # A column that the map names is not passed over.
    found = bring(tmp_path, wide.replace("step", "acc_step_here"), map_text=MELT.replace('"step', '"acc_step_here'))
    assert "acc_step_here" not in found["notes"][0]
    (tmp_path / "runs.parquet").unlink()
    said = bring(tmp_path, "step,acc_base_small\n1,0.5\n", map_text=MELT, code=2)
    assert "matches no column; 1 column looks like" in said
    assert "params is 'small'" in said


def test_one_column_a_run_as_dashboards_export_it(tmp_path):
    text = '"Step","run-a - val/acc","run-a - val/acc__MIN","run-b - val/acc"\n"0","0.31","0.31","0.2"\n"10","0.42","0.42",""\n'
    melt = '[melt]\ncolumns = "{run_id} - val/acc"\nvalue = "acc"\n' + MAP.replace('run_id = "r"\n', "").replace(
        '"step', '"Step'
    )
    found = bring(tmp_path, text, map_text=melt)
    assert found["rows"] == 3
    assert set(sf.read_runs(tmp_path / "runs.parquet").frame["run_id"]) == {"run-a", "run-b"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('value = "accuracy"\n', "", "[melt] has columns"),
        ("acc_{series}_{params}", "acc_", "name one to 4 facts"),
        ("acc_{series}_{params}", "{series}{params}", "something must stand between two facts"),
        ("acc_{series}_{params}", "{series}_{series}", "each once"),
        ("acc_{series}_{params}", "pass_{series}_{params}", "matches no column"),
        ('value = "accuracy"', 'value = "lr"', "the file has a column 'lr' too"),
        ('value = "accuracy"', "value = 1", "columns and value are text"),
        ("acc_{series}_{params}", "acc_{series}_{1x}", "name one to 4 facts|bad character|melt"),
        ("[melt]", "melt = 3\n[x]", "melt is 3|x"),
    ],
)
def test_melts_that_make_no_sense(old, new, words, tmp_path):
    import re

    said = bring(tmp_path, WIDE, map_text=MELT.replace(old, new), code=2)
    assert re.search(words.replace("[melt]", r"\[melt\]"), said), said


@settings(max_examples=30)
@given(
    series=st.lists(st.from_regex(r"[a-z]{1,4}(_[a-z]{1,3})?", fullmatch=True), min_size=1, max_size=3, unique=True),
    sizes=st.lists(st.integers(1, 900), min_size=1, max_size=3, unique=True),
)
def test_any_grid_of_columns_comes_back(series, sizes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    cells = {(name, size): (at + 1) / 20 for at, (name, size) in enumerate((n, s) for n in series for s in sizes)}
    wide = pd.DataFrame({"step": [1], **{f"acc_{name}_{size}M": [value] for (name, size), value in cells.items()}})
    wide.to_csv(folder / "wide.csv", index=False)
    (folder / "m.toml").write_text(MELT)
    frame = sf.import_runs("columns", folder / "wide.csv", map_path=folder / "m.toml").runs.frame
    found = {(row.series, round(row.params / 1e6)): 1 - row.loss for row in frame.itertuples()}
    assert found == pytest.approx(cells)


def test_a_file_of_nothing_but_damage(tmp_path):
    said = bring(tmp_path, "nonsense\nmore\n", "log.jsonl", code=1)
    assert "no rows in it" in said
    assert "line 1: is cut or no JSON" in said
    with pytest.raises(TableError, match="no rows"):
        sf.import_runs("columns", tmp_path / "log.jsonl", map_path=tmp_path / "map.toml")


# Which rows are one run.

FINALS = """
[columns]
params = "N"
tokens = "D"
loss = "L"
[constants]
step = 1
series = "base"
eval = "val"
"""
CURVES = FINALS.replace("step = 1\n", "").replace('tokens = "D"', 'step = "t"\nsamples = "t * 64"')


def finals():
    return "N,D,L\n" + "".join(f"{n}e8,{d}e9,0.{9 - n}{9 - d}\n" for n in (1, 2, 4) for d in (1, 2, 3, 4))


def curves(*names):
    """Two sizes, two seeds of each, three evaluations."""
    rows = [(size, seed, t) for size in (1, 7) for seed in (0, 1) for t in (1, 2, 3)]
    every = {
        "N": "{0}e9",
        "t": "{2}",
        "L": "0.{2}{1}{0}",
        "model": "{0}B",
        "seed": "{1}",
        "my run": "0{0}{1}",
        "wall": "{2}.{0}{1}",
    }
    return ",".join(names) + "\n" + "".join(",".join(every[n].format(*row) for n in names) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("text", "old_map", "proposed", "runs"),
    [
        (finals(), FINALS, 'run_id = "row"', 12),
        (curves("N", "t", "L", "model", "seed", "wall"), CURVES, 'run_id = ["model", "seed"]', 4),
        (curves("wall", "N", "seed", "t", "L"), CURVES, 'run_id = ["seed", "N"]', 4),
        (curves("my run", "N", "t", "L", "model", "seed"), CURVES, 'run_id = "`my run`"', 4),
    ],
)
def test_a_map_without_a_run_asks_which_rows_are_one(text, old_map, proposed, runs, tmp_path):
    said = bring(tmp_path, text, map_text=old_map, code=2)
    rows = len(text.splitlines()) - 1
    assert f"{rows} rows share a run, evaluation and step" in said
    assert "map.toml does not say which rows are one run" in said
    assert f"Proposed: {proposed}; --yes takes it." in said
    # Taken with --yes or written into the map, it makes the same table, of all rows.
    taken = sf.import_runs("columns", tmp_path / "log.csv", map_path=tmp_path / "map.toml", yes=True)
    assert taken.notes == (f"{proposed} is taken: {runs} runs",)
    assert len(taken.runs.frame) == rows
    assert taken.runs.frame["run_id"].nunique() == runs
    found = bring(tmp_path, text, map_text=old_map.replace("[columns]", f"[columns]\n{proposed}"))
    assert (found["rows"], found["notes"]) == (rows, [])
    written = sf.read_runs(tmp_path / "runs.parquet").frame
    assert sorted(written["run_id"]) == sorted(taken.runs.frame["run_id"])


def test_ids_that_are_proposed_stay_text(tmp_path):
    bring(tmp_path, curves("my run", "N", "t", "L"), map_text=CURVES, code=2)
    found = sf.import_runs("columns", tmp_path / "log.csv", map_path=tmp_path / "map.toml", yes=True)
    assert set(found.runs.frame["run_id"]) == {"010", "011", "070", "071"}


def test_where_nothing_tells_runs_apart_nothing_is_proposed(tmp_path):
    said = bring(tmp_path, curves("N", "t", "L"), map_text=CURVES, code=2)
    assert 'run_id = "row" for one run a row' in said
    assert "Proposed" not in said
    with pytest.raises(UsageError, match="4 of them step 1"):
        sf.import_runs("columns", tmp_path / "log.csv", map_path=tmp_path / "map.toml", yes=True)


def test_several_sizes_are_not_one_run_though_their_steps_differ(tmp_path):
    text = "N,t,L,who\n1e9,1,0.9,a\n1e9,2,0.8,a\n7e9,3,0.7,b\n7e9,4,0.6,b\n"
    said = bring(tmp_path, text, map_text=CURVES, code=2)
    assert "params differs among them" in said
    assert 'Proposed: run_id = "who"' in said


def test_a_run_that_takes_most_rows_for_the_same_is_refused(tmp_path):
    said = bring(tmp_path, finals(), map_text=FINALS.replace("[constants]", '[constants]\nrun_id = "r"'), code=1)
    assert "11 of 12 rows share their run, evaluation and step" in said


@pytest.mark.parametrize("value", ['"1 - N"', "3", '["N", 2]', "[]", '"N D"'])
def test_what_names_no_runs(value, tmp_path):
    said = bring(tmp_path, finals(), map_text=FINALS.replace("[columns]", f"[columns]\nrun_id = {value}"), code=2)
    assert "run_id" in said or "N D" in said
