"""Tables of every format say the same, and damage in them is told with its place."""

import gzip
import json
import os
import subprocess
import sys

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
from tests.conftest import RUNS, results, scalefit


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
    assert results(found)[0]["groups"][0]["series"] == "NA"
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
        assert results(found)[0]["seeds"] == [1]
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
    "twice.jsonl": (lambda text: text.replace('"loss":', '"loss":0.1,"loss":', 1), "line 1: 'loss' is there twice"),
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
    monkeypatch.setattr("scalefit.table.json_lines._BLOCK", 1000)
    pd.testing.assert_frame_equal(sf.read_runs(tmp_path / "t.jsonl").frame, whole)
    assert whole["extra"].notna().sum() == 400
    text = (tmp_path / "t.jsonl").read_text().splitlines()
    text[321] = text[321][:30]
    (tmp_path / "t.jsonl").write_text("\n".join(text))
    with pytest.raises(TableError, match=r"line 322: is cut"):
        sf.read_runs(tmp_path / "t.jsonl")


# Text that breaks off.

CELLS = [0.9123, 0.8417, 0.7011, 0.6502]


def cut(path, last, losses=CELLS):
    """Write a table whose last cell is followed by nothing."""
    text = small(("a",), len(losses), loss=losses).to_csv(index=False, sep="\t" if ".tsv" in path.name else ",")
    raw = (text.rstrip("\n").removesuffix(str(losses[-1])) + last).encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def unclosed(path, at, lines=12):
    """Write a table in which the name of a run on a line, counted from 1, opens a quote."""
    rows = small(("a",), lines).to_csv(index=False).splitlines()
    rows[at - 1] = '"' + rows[at - 1]
    raw = ("\n".join(rows) + "\n").encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_quote_that_is_never_closed_hides_no_rows(name, tmp_path):
    unclosed(tmp_path / name, 4)
    found = scalefit("check", name, cwd=tmp_path)
    assert found.returncode == 1
    assert (
        "line 4: a quote is opened and never closed, so that the 9 lines below are one cell; close it" in found.stderr
    )
    assert "Traceback" not in found.stderr


def test_an_open_quote_is_told_in_files_of_many_blocks_and_in_the_last_line(tmp_path):
    with pytest.raises(TableError, match=r"line 7: a quote is opened and never closed, so that the 599994 lines"):
        sf.read_runs(unclosed(tmp_path / "t.csv", 7, 600_000))
    with pytest.raises(TableError, match=r"line 13: (has 1 cells|opens a quote that is never closed)"):
        sf.read_runs(unclosed(tmp_path / "t.csv", 13))
    # Metadata stand above the table and have quotes of their own.
    sf.write_runs(sf.as_runs(small(), {"origin": 'a 12" screen'}), tmp_path / "t.csv")
    assert len(sf.read_runs(tmp_path / "t.csv").frame) == 12
    text = (tmp_path / "t.csv").read_text()
    (tmp_path / "t.csv").write_text(text.replace("\na,", '\n"a,', 1))
    with pytest.raises(TableError, match="line 3: a quote is opened and never closed, so that the 11 lines below"):
        sf.read_runs(tmp_path / "t.csv")


@settings(max_examples=60)
@given(
    names=st.lists(st.text("ab\"', ", min_size=1, max_size=6).filter(str.strip), min_size=1, max_size=5, unique=True),
    end=st.sampled_from(["", "\n"]),
)
def test_quotes_that_csv_writes_are_closed(names, end, tmp_path_factory):
    """Whatever stands in cells, and inch marks that open none: as the standard library writes them, all are read."""
    path = tmp_path_factory.mktemp("t") / "t.csv"
    path.write_text(small(names, 2).to_csv(index=False).rstrip("\n") + end)
    assert sf.read_runs(path).frame["run_id"].nunique() == len(names)
    path.write_text(small(("x",), 2).to_csv(index=False).replace("x,", '12" x,', 1))
    assert sf.read_runs(path).frame["run_id"].iloc[0] == '12" x'


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz"])
@pytest.mark.parametrize("last", ["0.", "0.6e", "0.6e-", "-", "6E-"])
def test_a_number_cut_at_the_end_is_a_fault(name, last, tmp_path):
    with pytest.raises(TableError, match="line 5: is cut inside a number, for the file ends there") as caught:
        sf.read_runs(cut(tmp_path / name, last))
    assert repr(last) in str(caught.value)


def test_a_short_last_number_is_warned_of_where_nothing_ends_its_line(tmp_path):
    cut(tmp_path / "t.csv", "0.4")
    found = scalefit("check", "t.csv", cwd=tmp_path)
    assert found.returncode == 0
    assert "warning: line 5: ends without a line's end; its last value 0.4 may be cut" in found.stdout
    for last in ("0.4\n", "0.4123", "0.4\r\n", '"0.4"'):
        assert sf.read_runs(cut(tmp_path / "t.csv", last)).warnings == ()
    # Three others are needed; two are few.
    assert sf.read_runs(cut(tmp_path / "t.csv", "0.4", CELLS[:3])).warnings == ()
    assert sf.read_runs(cut(tmp_path / "t.csv", "0.4", [0.5, *CELLS])).warnings == ()


def test_a_short_last_number_is_warned_of_over_many_blocks(tmp_path):
    losses = (np.linspace(0.91, 0.52, 200_000) + 1e-7).round(9).tolist()
    losses[5] = 0.5
    assert sf.read_runs(cut(tmp_path / "t.csv", "0.51", losses)).warnings == ()
    losses[5] = 0.512345678
    assert len(sf.read_runs(cut(tmp_path / "t.csv", "0.4", losses)).warnings) == 1


def test_a_table_of_systems_that_may_be_cut_is_still_read(tmp_path):
    rows = "".join(f"s{at},m,{100 + at},0.{5123 + at}\n" for at in range(4))
    (tmp_path / "s.csv").write_text(f"system,benchmark,n,score\n{rows}s9,m,100,0.5")
    assert len(read_systems(tmp_path / "s.csv").systems) == 5
    (tmp_path / "s.csv").write_text(f"system,benchmark,n,score\n{rows}s9,m,100,0.")
    with pytest.raises(TableError, match="line 6: is cut inside a number"):
        read_systems(tmp_path / "s.csv")


def test_a_file_of_which_no_column_is_wanted_is_read(tmp_path):
    FORMATS["t.csv"](small(), tmp_path / "t.csv")
    from scalefit.table.load import read_frame

    assert len(read_frame(tmp_path / "t.csv", ["nothing"])[0]) == 12


# What is no runs table.


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("log.jsonl", '{"global_step": 1, "val/acc": 0.3}\n', "Is it a training log (`scalefit import`"),
        ("s.csv", "model,dataset,accuracy,problems\na,m,0.5,100\n", "Is it a table of systems (`scalefit systems`)?"),
        ("t.csv", "a,b\n1,2\n", "`scalefit import`, with --map where its columns are its own), or a table of systems"),
        ("state.json", '{"log_history": []}', "read a training log with `scalefit import`"),
        ("fit.json", '{"format": "scalefit-fit"}', "a fit, not a runs table; ask it with `scalefit predict fit.json"),
        ("train.log", "step 1", "training logs are read by `scalefit import`"),
    ],
)
def test_another_kind_of_file_is_told(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    found = scalefit("check", name, cwd=tmp_path)
    assert found.returncode == 1
    assert words in found.stderr
    assert "Traceback" not in found.stderr


def test_a_runs_table_that_lacks_little_is_not_taken_for_another_kind():
    with pytest.raises(TableError) as caught:
        sf.as_runs(small().drop(columns=["loss", "eval", "series"]))
    assert "Is it" not in str(caught.value)


def test_a_fifo_is_refused_at_once_and_a_link_is_followed(tmp_path):
    os.mkfifo(tmp_path / "p.csv")
    found = scalefit("check", "p.csv", cwd=tmp_path)
    assert found.returncode == 1
    assert "p.csv: a FIFO, neither a file nor a folder; write it to a file first" in found.stderr
    FORMATS["t.csv"](small(), tmp_path / "t.csv")
    (tmp_path / "l.csv").symlink_to("t.csv")
    assert len(sf.read_runs(tmp_path / "l.csv").frame) == 12


@pytest.mark.parametrize("there", [False, True])
def test_figures_that_fail_leave_no_empty_directory(there, tmp_path):
    """No file may hold more than 1 kB, as on a disk that is all but full."""
    pytest.importorskip("seaborn")
    FORMATS["t.csv"](small(("a", "b", "c")), tmp_path / "t.csv")
    if there:
        (tmp_path / "small").mkdir()
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)); "
        "import runpy; sys.argv = ['scalefit', 'figures', 't.csv', '--out', 'small/pics']; runpy.run_module('scalefit', run_name='__main__')"
    )
    found = subprocess.run([sys.executable, "-c", limited], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "File too large" in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "small" / "pics").exists()
    assert (tmp_path / "small").exists() == there


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
            collapsed = path.stem.startswith("e08") and "rises" in fault.what  # made to collapse
            assert fault.column == "flops" or collapsed, f"{path}: {fault}"


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
