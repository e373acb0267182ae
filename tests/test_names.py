"""Names that become names of files: what an experiment file may not say, and what pictures of odd series are called."""

import dataclasses
import json
import unicodedata

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalefit as sf
from scalefit.errors import UsageError
from scalefit.names import MOST_BYTES, faults_of_names, file_names
from scalefit.runner.config_file import find_run, read_config
from tests.conftest import results, scalefit

BAD = {
    "../../esc": "no path",
    "a/b": "no path",
    "/abs": "no path",
    "a\\b": "no path",
    "..": "no path",
    "a..b": "no path",
    "": "empty",
    "a\0b": "control character",
    "a\nb": "control character",
    "a\x1bb": "control character",
    "a\u202eb": "control character",
    ".hidden": "starts or ends",
    "end.": "starts or ends",
    " a": "starts or ends",
    "a ": "starts or ends",
    "x" * 256: "256 bytes",
    "é" * 128: "256 bytes",
}


@pytest.mark.parametrize(("name", "words"), BAD.items())
def test_what_is_no_name_of_a_file_is_refused(name, words):
    (fault,) = faults_of_names(["7B", name])
    assert words in fault
    assert repr(name) in fault


@pytest.mark.parametrize("name", ["7B", "1.5B", "Qwen2.5-7B", "größe", "a b", "x" * 255, "a:b", "-"])
def test_what_names_a_file_is_taken(tmp_path, name):
    assert faults_of_names([name]) == []
    (tmp_path / name).mkdir()


@pytest.mark.parametrize("pair", [("7B", "7b"), ("STRASSE", "straße"), ("é", "e\u0301"), ("É", "e\u0301")])
def test_names_that_some_file_systems_take_for_one_are_refused(pair):
    (fault,) = faults_of_names(pair)
    assert "case is ignored" in fault


@given(st.lists(st.text(max_size=300), unique=True, max_size=8))
def test_names_of_pictures_are_legal_and_apart(texts):
    """As a part of a name: with something before and after, no two are one name, even where case is ignored."""
    found = file_names({text: text for text in texts})
    whole = [f"law_{name}_samples.json" for name in found.values()]
    assert faults_of_names(whole) == []
    assert len({unicodedata.normalize("NFC", name).casefold() for name in whole}) == len(texts)
    assert all("/" not in name and len(name.encode()) <= MOST_BYTES for name in whole)


def test_plain_names_stay_what_they_are():
    assert file_names({0: "base", 1: "Qwen2.5_1-x", 2: "größe"}) == {0: "base", 1: "Qwen2.5_1-x", 2: "größe"}
    assert file_names({0: "a/b c"}) == {0: "a-b-c"}


EXPERIMENT = """
[[policy.sizes]]
name = {name}
d_model = 16
layers = 2
heads = 2
[[policy.sizes]]
name = "7b"
d_model = 16
layers = 2
heads = 2
"""


@pytest.mark.parametrize("name", [*(name for name in BAD if name != "é" * 128), "7B"])
def test_experiment_files_with_such_sizes_are_refused_before_anything_is_made(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.toml").write_text(EXPERIMENT.format(name=json.dumps(name, ensure_ascii=True)))
    with pytest.raises(UsageError, match=r"\[\[policy.sizes\]\] name"):
        read_config(tmp_path / "in" / "x.toml")


def test_a_size_whose_runs_have_too_long_a_name_is_refused(tmp_path):
    """Of the 255 bytes a run's name needs some for its series and settings."""
    (tmp_path / "x.toml").write_text(EXPERIMENT.format(name=json.dumps("x" * 245)))
    with pytest.raises(UsageError, match=r"the run .* has 259 bytes"):
        read_config(tmp_path / "x.toml")


def test_the_configuration_beside_the_runs_is_held_to_the_same(tmp_path):
    """It is read again by processes of another engine, which make the run's folder."""
    (tmp_path / "x.toml").write_text(EXPERIMENT.format(name='"a"'))
    config = read_config(tmp_path / "x.toml")
    raw = {"digest": config.digest(), **dataclasses.asdict(config)}
    run = config.runs()[0].run_id
    (tmp_path / "configuration.json").write_text(json.dumps(raw))
    assert find_run(tmp_path / "configuration.json", run) == config.runs()[0]
    raw["policy"]["sizes"][0]["name"] = "../../esc"
    (tmp_path / "configuration.json").write_text(json.dumps(raw))
    with pytest.raises(UsageError, match="no path"):
        find_run(tmp_path / "configuration.json", run.replace("a-", "../../esc-", 1))


def test_a_sweep_with_such_a_size_makes_nothing(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    (inside / "x.toml").write_text(EXPERIMENT.format(name='"../../esc"'))
    found = scalefit("run", "x.toml", cwd=inside)
    assert found.returncode == 2
    assert "[[policy.sizes]] name '../../esc' has a separator of paths in it" in found.stderr
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "x.toml"]


def test_pictures_of_odd_series_lie_beside_each_other(tmp_path):
    """Each series its own file in the folder, whatever it is called; dots are no endings."""
    series = ["../x", "a/b", "a-b", "A", "a", "Qwen2.5", "Qwen2.7", ".."]
    frame = pd.concat(
        pd.DataFrame(
            {"run_id": f"run {at}", "series": one, "params": 1e9, "step": range(1, 6), "samples": range(8, 48, 8)}
        ).assign(eval="held-out", loss=0.5, response_length=10.0)
        for at, one in enumerate(series)
    )
    sf.write_runs(frame, tmp_path / "odd.parquet")
    (tmp_path / "in").mkdir()
    found = scalefit("figures", "../odd.parquet", "--out", "pictures", "--json", cwd=tmp_path / "in")
    assert found.returncode == 0, found.stderr
    made = results(found)[0]["made"]
    folder = tmp_path / "in" / "pictures"
    there = [path.name for path in folder.iterdir()]
    assert sorted(f"pictures/{name}" for name in there) == sorted(made)
    assert len({name.casefold() for name in there}) == 3 * len(series)
    assert {"response_length_x.png", "response_length_Qwen2.5.png", "response_length_Qwen2.7.pdf"} <= set(there)
    assert {path.name for path in tmp_path.rglob("*.png")} <= set(there)
