"""One `where` for every command: a typo is told, and a selection is the table without the other rows."""

import inspect
import json
import re
from html import unescape

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.cli.main import app
from scalefit.errors import UsageError
from scalefit.table.select import by_run, select
from tests.conftest import PAPER, ROOT, RUNS

STUDY = ROOT / "data" / "study"
ASK = {
    "fit": (("runs",), (), "series=base"),
    "crossval": (("runs",), ("--mode", "prefix"), "series=base"),
    "compare": (("runs",), ("--law", "saturating-linear", "--law", "saturating-affine"), "series=base"),
    "plan": (("runs",), ("--flops", "2e19"), "series=base"),
    "design": (("runs",), ("--budget", "1e21", "--target", "72B"), "series=base"),
    "figures": (("reuse",), (), "series=base"),
    "report": (("runs",), (), "series=base"),
    "reuse": (("reuse",), (), "series=base"),
    "rollouts": (("rollouts",), (), "size=400k"),
    "clocks": (("runs",), (), "series=base"),
    "joint": (("rollouts",), (), "size=400k"),
    "compare-recipes": (("first", "second"), (), "size=100k"),
    "gate": (("first", "second"), ("--scatter", "0.006", "--margin", "0.05"), "size=100k"),
    "signs": (("rollouts",), (), "size=400k"),
    "sharpening": (("passes",), (), "params=25.2k"),
    "offsets": (("starts",), ("--x", "samples"), "series=b"),
    "level": (("starts",), ("--x", "samples"), "series=b"),
    "horizon": (("depths",), (), "fragment=implication"),
}
"""Of each command: its tables, what else it needs, and a selection."""
OF_OTHERS = {"predict", "watch"}
"""Their --where picks a fit of a file, and a run of a log that grows (`test_watch`), not rows of a table."""


def commands():
    """Every command that has --where."""
    for command in app.registered_commands:
        if "where" in inspect.signature(command.callback).parameters:
            yield command.name


def call(*words):
    """Run a command here; known errors are raised."""
    app(list(map(str, words)), standalone_mode=False)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Small tables of every kind, each written whole."""
    runs = pd.read_parquet(RUNS)
    rollouts = pd.read_parquet(STUDY / "e03.parquet")
    twice = rollouts.assign(run_id="b" + rollouts["run_id"], size="400k", params=2 * rollouts["params"])
    depths = pd.read_parquet(STUDY / "e06.parquet")
    passes = pd.read_parquet(STUDY / "e05_grpo.parquet")
    passes = passes[passes["size"].isin(sorted(passes["size"].unique())[:2])]
    passes = passes.assign(params=np.where(passes["size"] == passes["size"].iloc[0], 25_200.0, 1e5))
    starts = pd.read_parquet(STUDY / "e05_grpo.parquet").query("params > 1e4")
    return {
        "runs": runs[runs["step"] % 4 == 0],
        "reuse": pd.read_parquet(PAPER / "reuse.parquet"),
        "rollouts": pd.concat([rollouts, twice]),
        "first": pd.read_parquet(STUDY / "e04_grpo_token.parquet"),
        "second": pd.read_parquet(STUDY / "e04_rloo_token.parquet"),
        "passes": passes,
        "starts": pd.concat(starts[starts["seed"] == seed].assign(series=name) for seed, name in enumerate("ab")),
        "depths": depths[depths["seed"] == 0],
    }


def kept(frame, where):
    """The rows, without scalefit."""
    name, _, value = where.partition("=")
    return frame[frame[name] == 25_200] if name == "params" else frame[frame[name].astype(str) == value]


def plain(text):
    """What was printed or written, but for the selection and the table's own hash."""
    return re.sub(
        r',?\s*"where": (\{[^}]*\}|\[[^\]]*\])|"(record_)?sha256": "\w+"|kept [^;]*;|SHA-256 \w+|\d+ rows read',
        "",
        unescape(text),
    )


def test_every_command_is_asked():
    assert set(commands()) == {*ASK, *OF_OTHERS}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "report" else ()) for name in ASK]
)
def test_a_selection_is_the_table_without_the_other_rows(name, tables, tmp_path, monkeypatch, capsys):
    names, more, where = ASK[name]
    said = []
    for folder, cut in (("whole", False), ("cut", True)):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        for one in names:
            frame = kept(tables[one], where) if cut else tables[one]
            assert len(frame) < 0.7 * len(tables[one]) or not cut
            frame.to_parquet(f"{one}.parquet", index=False)
        files = [f"{one}.parquet" for one in names]
        call(name, *files, *more, *(() if cut else ("--where", where)), *(() if name == "report" else ("--json",)))
        written = sorted(path for path in (tmp_path / folder).rglob("*") if path.suffix in (".json", ".html"))
        said.append([capsys.readouterr().out, *(f"{path.name} {path.read_text()}" for path in written)])
    whole, cut = ([plain(text) for text in one] for one in said)
    assert whole == cut
    assert len("".join(whole)) > 200


@pytest.mark.parametrize("name", ASK)
def test_a_typo_is_told(name, tables, tmp_path, monkeypatch):
    names, more, where = ASK[name]
    monkeypatch.chdir(tmp_path)
    for one in names:
        tables[one].to_parquet(f"{one}.parquet", index=False)
    words = [name, *(f"{one}.parquet" for one in names), *more]
    column, _, value = where.partition("=")
    with pytest.raises(UsageError, match=f"no column '{column}x'; did you mean '{column}'"):
        call(*words, "--where", f"{column}x={value}")
    with pytest.raises(UsageError, match=f"no such row in {names[0]}.parquet; .*{column} holds "):
        call(*words, "--where", f"{column}={'3.3' if column == 'params' else 'xyz'}")


@pytest.fixture(scope="module")
def small():
    frame = pd.DataFrame(
        {
            "run_id": ["a", "a", "b", "b", "c"],
            "series": ["one", "one", "one", "one", "two"],
            "size": ["7B", "7B", "7B", "7B", "100k"],
            "params": [7.6e9, 7.6e9, 7e9, 7e9, 100_864.0],
            "step": [1, 2, 1, 2, 1],
            "samples": [1.0, 2.0, 1.0, 2.0, 1.0],
            "eval": "e",
            "reuse": [1.0, 1.0, 0.1 + 0.2, 0.1 + 0.2, 1.0],
            "loss": 0.5,
        }
    )
    return sf.as_runs(frame, path="small")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"params": "7e9"}, "b"),
        ({"params": "7B"}, "b"),
        ({"params": 7e9}, "b"),
        ({"params": 7_000_000_001}, "b"),
        ({"params": "7600M"}, "a"),
        ({"params": "100k"}, "c"),
        ({"params": "100864"}, "c"),
        ({"size": "7B"}, "ab"),
        ({"reuse": 0.3}, "b"),
        ({"reuse": "0.3"}, "b"),
        ({"params": ["7B", "100k"]}, "bc"),
        ({"size": "7B", "reuse": 1}, "a"),
        ({"step": 1}, "abc"),
        ({}, "abc"),
    ],
)
def test_values_with_units_names_and_lists(small, where, found):
    assert "".join(select(small, where).frame["run_id"].unique()) == found


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"params": "8B"}, "params holds 7.6B, 7B, 100864."),
        ({"params": "7.00001B"}, "params holds 7B, 7.6B, 100864."),
        ({"params": "big"}, "write a number. params holds 100864, 7B, 7.6B."),
        ({"series": "on"}, "did you mean 'one'? series holds one, two."),
        ({"series": "one", "params": "100k"}, "no such row of small has series=one; there params holds 7B, 7.6B."),
        ({"serie": "one"}, "no column 'serie'; did you mean 'series'?"),
        ({"series": ["one", "three"]}, "series holds one, two."),
    ],
)
def test_what_there_is_is_named(small, where, said):
    with pytest.raises(UsageError) as error:
        select(small, where)
    assert said in str(error.value)


def test_long_lists_are_cut_to_the_nearest():
    frame = pd.DataFrame({"run_id": [f"r{at:03d}" for at in range(500)], "series": "s", "params": range(1, 501)})
    runs = sf.as_runs(frame.assign(step=1, samples=1.0, eval="e", loss=0.5))
    with pytest.raises(UsageError, match=r"params holds 250, 251, 249, .* and 490 more, nearest first"):
        select(runs, {"params": 250.4})
    with pytest.raises(UsageError, match="did you mean 'r049'"):
        select(runs, {"run_id": "r0499"})


def test_where_and_tables_are_taken_by_functions_too():
    """A path, a frame and a table are one; so are a value and its text."""
    frame = pd.read_parquet(PAPER / "reuse.parquet")
    asked = [
        sf.study_reuse(table, where={"series": "base", "reuse": taus})
        for table, taus in (
            (PAPER / "reuse.parquet", [1, 25, 100]),
            (str(PAPER / "reuse.parquet"), ["1", "25", "100"]),
            (frame, [1.0, 25.0, 100.0]),
            (sf.as_runs(frame), np.array([1, 25, 100])),
        )
    ]
    assert len({json.dumps([vars(one) for one in found]) for found in asked}) == 1
    assert [arm["tau"] for arm in asked[0][0].arms] == [25, 100]


def test_what_is_constant_in_a_run_goes_with_it(small):
    """Also where it is missing; not what a run of one evaluation has only one of."""
    runs = sf.as_runs(small.frame.assign(note=[None, None, "x", "x", None], reward=[1, 2, 3, 3, 3]))
    abouts = [about for about, _ in by_run(runs.frame)]
    assert {"size", "reuse", "note", "run_id"} <= set(abouts[0].index)
    assert not {"reward", "loss", "step", "samples"} & set(abouts[0].index)
    assert [about["size"] for about in abouts] == ["7B", "7B", "100k"]
