"""Tables of every format say the same, and damage in them is told with its place."""

import gzip
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scalefit as sf
from scalefit.errors import TableError
from scalefit.table.systems import read_systems
from tests.conftest import RUNS, scalefit


def small(runs=("a", "b"), steps=6, **changes):
    parts = [
        pd.DataFrame(
            {
                "run_id": run,
                "series": "s",
                "params": 1e9 * (at + 1),
                "seed": at,
                "step": np.arange(1, steps + 1),
                "samples": 64.0 * np.arange(1, steps + 1),
                "eval": "e",
                "loss": np.linspace(0.9, 0.5, steps),
            }
        )
        for at, run in enumerate(runs)
    ]
    return pd.concat(parts, ignore_index=True).assign(**changes)


def semicolons(frame):
    return frame.to_csv(index=False, sep=";", decimal=",")


FORMATS = {
    "t.parquet": lambda frame, path: frame.to_parquet(path),
    "t.csv": lambda frame, path: frame.to_csv(path, index=False),
    "t.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "t.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "t.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True, double_precision=15),
    "t.ndjson": lambda frame, path: frame.to_json(path, orient="records", lines=True, double_precision=15),
    "t.jsonl.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.to_json(orient="records", lines=True).encode())),
    "t.json": lambda frame, path: frame.to_json(path, orient="records", double_precision=15),
    "semi.csv": lambda frame, path: path.write_text(semicolons(frame)),
    "bom.csv": lambda frame, path: path.write_text(frame.to_csv(index=False), encoding="utf-8-sig"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_holds_the_same_table(name, tmp_path):
    FORMATS[name](small(), tmp_path / name)
    found = sf.read_runs(tmp_path / name).frame
    wanted = sf.as_runs(small()).frame
    pd.testing.assert_frame_equal(
        found.astype({"run_id": str, "series": str, "eval": str}),
        wanted.astype({"run_id": str, "series": str, "eval": str}),
    )


def test_a_folder_of_parts_is_one_table(tmp_path):
    folder = tmp_path / "parts"
    (folder / "more").mkdir(parents=True)
    small(("a",)).to_parquet(folder / "part-0.parquet")
    small(("b",), params=2e9).to_parquet(folder / "more" / "part-1.parquet")
    (folder / "_SUCCESS").write_text("")
    assert scalefit("check", "parts", "--json", cwd=tmp_path).returncode == 0
    assert len(sf.read_runs(folder).frame) == 12
    (folder / "part-0.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(TableError, match=r"part-0.parquet: cannot be read"):
        sf.read_runs(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match=r"without \.parquet parts"):
        sf.read_runs(tmp_path / "empty")


@settings(max_examples=40)
@given(
    names=st.lists(
        st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=8).filter(
            str.strip
        ),
        min_size=2,
        max_size=2,
        unique=True,
    ),
    losses=st.lists(st.floats(0, 1), min_size=12, max_size=12),
    name=st.sampled_from(["t.parquet", "t.csv", "t.jsonl", "t.json", "t.tsv"]),
)
def test_any_name_and_loss_comes_back(tmp_path_factory, names, losses, name):
    path = tmp_path_factory.mktemp("t") / name
    frame = small(names, loss=losses)
    if name.endswith("json"):
        path.write_text(json.dumps(frame.to_dict("records")))
    elif name.endswith("jsonl"):
        path.write_text("\n".join(map(json.dumps, frame.to_dict("records"))))
    else:
        FORMATS[name](frame, path)
    found = sf.read_runs(path).frame
    assert found["loss"].tolist() == losses
    assert found["run_id"].astype(str).tolist() == frame["run_id"].tolist()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "tsv"])
def test_run_ids_are_text(suffix, tmp_path):
    FORMATS[f"t.{suffix}"](small(("001", "01", "1", "NA", "null", "1e5")), tmp_path / f"t.{suffix}")
    found = sf.read_runs(tmp_path / f"t.{suffix}").frame
    assert sorted(found["run_id"].cat.categories) == sorted(["001", "01", "1", "NA", "null", "1e5"])


def test_series_called_like_a_missing_value(tmp_path):
    small(series="NA").to_csv(tmp_path / "t.csv", index=False)
    found = scalefit("check", "t.csv", "--json", cwd=tmp_path)
    assert json.loads(found.stdout)["groups"][0]["series"] == "NA"
    small(series="  ").to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TableError, match=r"'series', 12 rows \(0, 1, 2, ...\): is empty"):
        sf.read_runs(tmp_path / "t.csv")


def test_a_seed_known_for_some_runs_only_is_unknown_for_the_others(tmp_path):
    frame = small().astype({"seed": "Int64"})
    frame.loc[:5, "seed"] = None
    for name in ("t.csv", "t.parquet", "t.jsonl"):
        FORMATS[name](frame, tmp_path / name)
        found = scalefit("check", name, "--json", cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout)["seeds"] == [1]
    assert sf.read_runs(tmp_path / "t.parquet").frame["seed"].isna().sum() == 6
    assert sf.as_runs(frame).frame["seed"].dtype == np.float64


def test_nullable_and_decimal_columns_are_numbers(tmp_path):
    from decimal import Decimal

    frame = small().astype({"step": "Int64", "loss": "Float64", "params": "Int64", "series": "string"})
    frame.to_parquet(tmp_path / "t.parquet")
    assert sf.read_runs(tmp_path / "t.parquet").frame["step"].dtype == np.int64
    assert sf.as_runs(frame).frame["loss"].tolist() == small()["loss"].tolist()
    frame = small(loss=[Decimal("0.5")] * 12)
    frame.to_parquet(tmp_path / "t.parquet")
    assert sf.read_runs(tmp_path / "t.parquet").frame["loss"].tolist() == [0.5] * 12
    assert sf.as_runs(frame).frame["loss"].tolist() == [0.5] * 12


TYPES = {
    "date": (pd.Timestamp("2026-01-01"), "a date and not a number"),
    "duration": (pd.Timedelta(1, "s"), "a duration and not a number"),
    "truth": (True, "a truth value and not a number"),
    "complex": (0.5 + 1j, "a complex number and not a number"),
    "bytes": (b"0.5", "not a number"),
    "list": ([0.5], "not a number"),
    "dict": ({"a": 0.5}, "not a number"),
    "text": ("31%", "'31%', not a number"),
    "long text": ("x" * 5000, "not a number"),
    "huge": (10**400, "is not a finite number"),
}


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("column", ["loss", "step"])
def test_what_is_no_number_is_named(name, column):
    value, words = TYPES[name]
    with pytest.raises(TableError) as caught:
        sf.as_runs(
            small(
                **{
                    column: pd.Series(
                        [value] * 12, dtype=object if isinstance(value, int) and value > 1 << 63 else None
                    )
                }
            )
        )
    assert words in str(caught.value)
    assert f"column '{column}', 12 rows (0, 1, 2, ...)" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_mixture_is_told_for_the_rows_it_is_in():
    losses = [0.5, "x", True, None, *[0.5] * 8]
    with pytest.raises(TableError, match=r"'loss', 2 rows \(1, 2\): holds 'x', not a number") as caught:
        sf.as_runs(small(loss=losses))
    assert "'loss', row 3: is not a finite number" in str(caught.value)


@pytest.mark.parametrize("second", ["loss", " loss", "loss "])
def test_a_column_twice(second, tmp_path):
    text = small().to_csv(index=False).replace("loss\n", f"loss,{second}\n").replace("0.9\n", "0.9,0.1\n")
    (tmp_path / "t.csv").write_text(text)
    found = scalefit("check", "t.csv", cwd=tmp_path)
    assert found.returncode == 1
    assert "column 'loss': is there twice; keep one" in found.stderr
    both = pd.concat([small(), small()[["loss"]].rename(columns={"loss": second})], axis=1)
    with pytest.raises(TableError, match="'loss': is there twice"):
        sf.as_runs(both)


def test_parquet_with_a_column_twice(tmp_path):
    table = pa.Table.from_pandas(small())
    pq.write_table(table.append_column("loss", table["loss"]), tmp_path / "t.parquet")
    with pytest.raises(TableError, match="'loss': is there twice"):
        sf.read_runs(tmp_path / "t.parquet")


def test_names_around_which_there_are_spaces(tmp_path):
    (tmp_path / "t.csv").write_text(small().to_csv(index=False).replace("series,params", " series , params"))
    assert len(sf.read_runs(tmp_path / "t.csv").frame) == 12


def test_a_corrupt_page_is_told(tmp_path):
    """One bit of a page's body: our own tables carry checksums."""
    path = tmp_path / "t.parquet"
    sf.write_runs(sf.as_runs(small(steps=2000)), path)
    meta = pq.ParquetFile(path).metadata.row_group(0)
    loss = next(meta.column(at) for at in range(meta.num_columns) if meta.column(at).path_in_schema == "loss")
    raw = bytearray(path.read_bytes())
    start = loss.dictionary_page_offset or loss.data_page_offset
    raw[start + loss.total_compressed_size - 40] ^= 1
    path.write_bytes(raw)
    found = scalefit("check", "t.parquet", cwd=tmp_path)
    assert found.returncode == 1
    assert "cannot be read as parquet" in found.stderr
    assert "Traceback" not in found.stderr


DAMAGE = {
    "ragged.csv": (lambda text: text.replace("b,s", "b,s,x", 1), "line 8: has 9 cells where 8 belong"),
    "ragged many.csv": (lambda text: text.replace("b,s,", "b,"), "line 8: has 7 cells where 8 belong, and so 5 more (lines 9, 10, 11, 12, 13)"),
    "null.csv": (lambda text: text.replace("b,s", "b\0,s"), "null bytes"),
    "binary.csv": (lambda text: text.replace("b,s", "\udcff,s"), "cannot be read as csv"),
    "utf16.csv": (lambda text: text.encode("utf-16").decode("latin-1"), "UTF-16"),
    "cut.jsonl": (lambda text: text[:-20], "line 12: is cut or no JSON"),
    "list.jsonl": (lambda text: "[1]\n" + text, "line 1: is no JSON object"),
    "null.jsonl": (lambda text: "null\n" + text, "line 1: is no JSON object"),
    "deep.jsonl": (lambda text: '{"a": ' + "[" * 100_000 + "\n" + text, "line 1: is nested too deeply"),
    "deep and whole.jsonl": (
        lambda text: text + '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n",
        "line 13: is nested too deeply",
    ),
    "deep objects.jsonl": (lambda text: '{"a": ' * 30 + "1" + "}" * 30 + "\n" + text, "line 1: is nested too deeply"),
    "twice.jsonl": (lambda text: text.replace('"loss":', '"loss":0.1,"loss":', 1), "line 1: names 'loss' twice"),
    "binary.jsonl": (lambda text: text.replace('"b"', '"\udcff"', 1), "line 7: is not UTF-8"),
    "object.json": (lambda text: '{"a": 1}', "it is one object, not an array of rows"),
    "number.json": (lambda text: "5", "it is no array of rows"),
    "rows.json": (lambda text: "[1, " + text[1:], "row 0: is no JSON object"),
    "empty.json": (lambda text: "[]", "no rows"),
    "nothing.csv": (lambda text: "", "an empty file"),
    "header.csv": (lambda text: text.splitlines()[0] + "\n", "no rows"),
    "t.xlsx": (lambda text: text, "unknown ending '.xlsx'"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told_with_its_place(name, tmp_path):
    damage, words = DAMAGE[name]
    lines, array = name.endswith("jsonl"), name.endswith("json")
    text = small().to_json(orient="records", lines=lines) if lines or array else small().to_csv(index=False)
    encoding = "latin-1" if "utf16" in name else "utf-8"
    (tmp_path / name).write_bytes(damage(text).encode(encoding, "surrogateescape"))
    with pytest.raises(TableError) as caught:
        sf.read_runs(tmp_path / name)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_bytes_that_are_no_text_in_a_ragged_row_are_told(tmp_path):
    """Arrow hands such a row to Python, which could not read it either; far behind the head that is looked at first."""
    text = small(steps=5000).to_csv(index=False).encode()
    for bad, words in ((b"\xed,", "codec can't decode"), (b"\x00", "null bytes")):
        (tmp_path / "t.csv").write_bytes(text[:-20] + bad + text[-20:])
        found = scalefit("check", "t.csv", cwd=tmp_path)
        assert found.returncode == 1
        assert words in found.stderr
        assert "Traceback" not in found.stderr


def test_blank_lines_and_nested_objects_of_jsonl(tmp_path):
    rows = [{**row, "more": {"a": 1, "b": {"c": "x"}}} for row in small().to_dict("records")]
    (tmp_path / "t.jsonl").write_text("\n\n" + "\n\n".join(map(json.dumps, rows)) + "\n\n")
    frame = sf.read_runs(tmp_path / "t.jsonl").frame
    assert frame["more.b.c"].tolist() == ["x"] * 12
    # A run_id that looks like a date, and one that is a number, stay what they are.
    (tmp_path / "t.jsonl").write_text(
        "\n".join(json.dumps({**row, "run_id": "2026-01-01" if row["run_id"] == "a" else 7}) for row in rows)
    )
    assert list(sf.read_runs(tmp_path / "t.jsonl").frame["run_id"].cat.categories) == ["2026-01-01", "7"]


def test_what_is_read_in_blocks_is_what_is_read_at_once(tmp_path, monkeypatch):
    """Blocks that end within lines, and kinds that change from block to block."""
    rows = small(steps=300).to_dict("records")
    for at, row in enumerate(rows):
        row["extra"] = None if at < 200 else 1 if at < 400 else 1.5
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    whole = sf.read_runs(tmp_path / "t.jsonl").frame
    monkeypatch.setattr("scalefit.table.lines._BLOCK", 1000)
    pd.testing.assert_frame_equal(sf.read_runs(tmp_path / "t.jsonl").frame, whole)
    assert whole["extra"].notna().sum() == 400
    text = (tmp_path / "t.jsonl").read_text().splitlines()
    text[321] = text[321][:30]
    (tmp_path / "t.jsonl").write_text("\n".join(text))
    with pytest.raises(TableError, match=r"line 322: is cut"):
        sf.read_runs(tmp_path / "t.jsonl")


# What is legal and looks wrong.


def test_an_accuracy_in_the_loss_column_is_warned_of():
    rising = small(("a", "b", "c"), steps=12, loss=np.tile(np.linspace(0.2, 0.6, 12), 3))
    (warning,) = sf.as_runs(rising).warnings
    assert "rises in 3 of 3 runs (in 'a' from 0.25" in str(warning)
    assert "1 - accuracy" in str(warning)


@settings(max_examples=100)
@given(st.integers(0, 10_000))
def test_noise_about_a_flat_loss_is_not_taken_for_an_accuracy(seed):
    """Six flat runs of binomial noise at 500 problems: most of them past twice the standard error, one in 10^6."""
    rng = np.random.default_rng(seed)
    frame = small(tuple("abcdef"), steps=12, loss=rng.binomial(500, 0.5, 72) / 500)
    assert sf.as_runs(frame).warnings == ()


def test_committed_tables_are_not_warned_of(runs):
    for path in sorted(RUNS.parents[1].rglob("*.parquet")):
        for fault in sf.read_runs(path).warnings:
            assert fault.column == "flops", f"{path}: {fault}"


def test_params_in_billions_are_warned_of(tmp_path):
    small(params=[0.5] * 6 + [72.0] * 6).to_csv(tmp_path / "t.csv", index=False)
    found = scalefit("check", "t.csv", cwd=tmp_path)
    assert found.returncode == 0
    assert "holds models of 0.5 to 72 parameters" in found.stdout
    assert "0.5B, 500M = 5e+08?" in found.stdout
    assert sf.as_runs(small(params=[1000.0] * 6 + [2000.0] * 6)).warnings == ()


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([4.1, 3.8, 3.5, 3.2, 3.0, 2.9], "nats"),
        ([11.9, 6.0, 4.0, 3.0, 2.5, 0.9], "nats"),
        ([-3.1, -2.8, -2.5, -2.2, -2.0, -1.9], "nats"),
        ([69.0, 58.0, 55.0, 40.0, 31.0, 0.9], "a percentage? divide by 100"),
        ([-30.0, -41.0, 0.1, -50.0, -51.0, -52.0], "1 minus a percentage?"),
        ([1.2, 0.9, 0.8, 0.7, 0.6, 0.5], "a share of problems, 0 to 1"),
        ([1e6, 0.9, 0.8, 0.7, 0.6, 0.5], "a share of problems, 0 to 1"),
    ],
)
def test_nats_are_told_from_percentages(losses, words):
    with pytest.raises(TableError) as caught:
        sf.as_runs(small(loss=losses * 2))
    assert words in str(caught.value)
    assert ("percentage" in str(caught.value)) == ("percentage" in words)


# Tables of systems.


def test_systems_with_two_names_are_told(tmp_path):
    (tmp_path / "s.csv").write_text("model,agent,dataset,accuracy,n\na,x,m,0.5,100\nb,y,m,0.6,100\n")
    found = scalefit("systems", "s.csv", cwd=tmp_path)
    assert found.returncode == 1
    assert "columns 'model' and 'agent' could both be 'system'; rename" in found.stderr


def test_systems_are_text_and_damage_is_told(tmp_path):
    (tmp_path / "s.csv").write_text("system,benchmark,score,n\n001,m,0.5,100\n1,m,0.6,100\n")
    assert read_systems(tmp_path / "s.csv").systems == ["001", "1"]
    (tmp_path / "s.csv").write_text("system,benchmark,score,n\na,m,0.5,100\nb,m\n")
    with pytest.raises(TableError, match="line 3: has 2 cells where 4 belong"):
        read_systems(tmp_path / "s.csv")
    (tmp_path / "s.csv").write_text("system,score,benchmark,n, score\na,0.5,m,100,0.6\n")
    with pytest.raises(TableError, match=r"'score'.* is there twice"):
        read_systems(tmp_path / "s.csv")
