"""A `fit.json` is input like any other: what is not as it was written is told before it is used."""

import copy
import json
import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import scalefit as sf
from scalefit.errors import FitError
from scalefit.fitting.record import load_fits, save_fits
from tests.conftest import ROOT, RUNS, scalefit

SCHEMA = json.loads((ROOT / "scalefit" / "fitting" / "fit.schema.json").read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "fit.json"
    sf.fit(sf.read_runs(RUNS), where={"series": "base"}).save(path)
    return json.loads(path.read_text())


def put(content, path, *, sealed=True):
    """Write an edited fit; `sealed`: without the digest of all of it, so that what is wrong itself must be seen."""
    for record in content["fits"]:
        if sealed:
            record.pop("record_sha256", None)
    path.write_text(json.dumps(content))
    return path


def spoil(content, where, value):
    *keys, last = where.split(".")
    holder = content["fits"][0]
    for key in keys:
        holder = holder[int(key) if key.isdigit() else key]
    holder[int(last) if last.isdigit() else last] = value


def test_the_schema_is_one_and_holds_for_what_is_written(written):
    Draft202012Validator.check_schema(SCHEMA)
    assert list(Draft202012Validator(SCHEMA).iter_errors(written)) == []


@pytest.mark.parametrize("law", ["saturating-affine", "sigmoid", "power-k", "joint"])
def test_every_kind_of_fit_is_read_as_it_was_written(law, runs, tmp_path):
    fit = sf.fit(runs, law=law, where={"series": "base"})
    fit.save(tmp_path / "fit.json")
    again = sf.load_fit(tmp_path / "fit.json")
    np.testing.assert_array_equal(again.theta, fit.theta)
    np.testing.assert_array_equal(again.covariance, fit.covariance)
    assert again.params == fit.params


def test_a_file_without_the_digest_of_all_of_it_is_still_read(written, tmp_path):
    (fit,) = load_fits(put(copy.deepcopy(written), tmp_path / "fit.json"))
    assert fit.law.name == "saturating"


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ("law", "saturatin", "did you mean 'saturating'"),
        ("law", "power", "parameters"),
        ("law", "joint", "2 resource"),
        ("status", "fine", "'fine' is not one of"),
        ("theta", [0.1], "theta has|covariance has"),
        ("theta.0", "0.1", "is not of type 'number'"),
        ("theta.0", 5.0, "k_max is outside its law's bounds"),
        ("theta.0", 0.14, "parameters.k_max.value is 0.1"),
        ("covariance.0", [1.0], "covariance has a list of 1"),
        ("covariance.0.1", 1e-3, "covariance: not symmetric"),
        ("covariance.0.0", -1e-5, "a variance is negative"),
        ("covariance.0.0", 1e-9, "not positive"),
        ("covariance.0.1", None, "null off the diagonal"),
        ("noise.rho", 1.5, "maximum"),
        ("noise.sigma", [0.1], "noise.sigma has a list of 1"),
        ("noise.sigma.0", 0, "minimum"),
        ("points", 731, "points is 731, the data have 732"),
        ("intervals.k_max", [0.2, 0.1], "low 0.2 is above high 0.1"),
        ("intervals.k_maxx", [0.1, 0.2], "no parameter 'k_maxx'"),
        ("parameters.N0.low", 1e12, "outside its interval"),
        ("parameters.N0.se", 1.0, "parameters.N0.se is 1.0"),
        ("specification.noise", "pink", "'pink' is not one of"),
        ("specification.more", 1, "Additional properties"),
        ("data.loss.0.0", 0.5, "SHA-256"),
        ("data.loss.0", [0.5], "data.loss has a list of 1"),
        ("data.loss.0.0", 1.5, "maximum"),
        ("data.params.0", -1, "minimum"),
        ("data.resources", ["samples", "samples"], "non-unique"),
        ("data.resource", [], "minItems|non-empty|short"),
        ("data.runs", [1], "data.runs has a list of 1"),
        ("data.record", {}, "'eval' is a required property"),
        ("data.flops_per_sample", 0, "minimum"),
    ],
)
def test_each_fault_of_a_fit_is_named(where, value, words, written, tmp_path):
    content = copy.deepcopy(written)
    spoil(content, where, value)
    with pytest.raises(FitError, match=words) as caught:
        load_fits(put(content, tmp_path / "fit.json"))
    assert "fit again with `scalefit fit RUNS" in str(caught.value)


def test_any_other_edit_is_told_by_the_digest_of_the_whole(written, tmp_path):
    content = copy.deepcopy(written)
    spoil(content, "data.eval_size.0", 5000)
    with pytest.raises(FitError, match="was changed after it was written"):
        load_fits(put(content, tmp_path / "fit.json", sealed=False))
    # Order and spaces are no edit.
    (tmp_path / "fit.json").write_text(json.dumps(written, sort_keys=True, indent=3))
    assert len(load_fits(tmp_path / "fit.json")) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": NaN}', "NaN is no JSON number"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ('{"a": 1e400}', "beyond a float"),
        ('{"a": 1' + "0" * 400 + "}", "has 401 digits"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ('{"format": "scalefit-fit"', "Expecting"),
        ("[]", "not a scalefit fit"),
        ("5", "not a scalefit fit"),
        ('{"format": "scalefit-fit", "version": true, "fits": []}', "version True"),
        ('{"format": "scalefit-fit", "version": [1], "fits": []}', "version"),
        ('{"format": "scalefit-fit", "version": 2, "fits": []}', r"\$.fits"),
        ('{"format": "scalefit-fit", "version": 2, "fits": [{"series": "\\ud800"}]}', "half a character"),
    ],
)
def test_text_that_is_no_fit(text, words, tmp_path):
    (tmp_path / "fit.json").write_text(text)
    with pytest.raises(FitError, match=words):
        load_fits(tmp_path / "fit.json")


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "fit.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(FitError, match="not a whole fit file"):
        load_fits(tmp_path / "fit.json")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("runs.parquet", "runs.parquet: a runs table, not a fit; make one with `scalefit fit runs.parquet`"),
        ("table.json", "table.json: a runs table, not a fit; make one with `scalefit fit table.json`"),
        ("runs.csv", "runs.csv: a runs table, not a fit; make one with `scalefit fit runs.csv`"),
        ("runs.jsonl.gz", "a runs table, not a fit; make one with `scalefit fit runs.jsonl.gz`"),
        ("parts", "parts: a directory, of a runs table and no fit; make one with `scalefit fit parts`"),
        ("fit.json", "fit.json: a directory, not a fit"),
        ("model.bin", "model.bin: not a whole fit file (no text); fit again with `scalefit fit RUNS --out fit.json`"),
        ("pipe", "pipe: a FIFO, not a fit"),
        ("none.json", "none.json: no such fit; make one with `scalefit fit RUNS --out none.json`"),
    ],
)
def test_what_is_no_fit_is_called_what_it_is(name, words, tmp_path):
    path = tmp_path / name
    if name in ("fit.json", "parts"):
        path.mkdir()
        path = path / "0.parquet"
    if (path.suffix == ".parquet" and name != "fit.json") or name == "table.json":
        shutil.copy(RUNS, path)
    elif name == "pipe":
        os.mkfifo(path)
    elif name not in ("fit.json", "none.json"):
        path.write_bytes(b"run_id,loss\na,0.5\n" if "runs" in name else b"\xff\xfe\x00")
    before = path.read_bytes() if path.is_file() else None
    found = scalefit("predict", name, "--params", "7B", cwd=tmp_path)
    assert found.returncode == 1
    assert words in found.stderr
    assert f"--out {name}" not in found.stderr or name == "none.json"
    assert "Traceback" not in found.stderr
    assert before is None or path.read_bytes() == before


def test_the_command_tells_an_edit_and_prints_no_traceback(written, tmp_path):
    content = copy.deepcopy(written)
    spoil(content, "data.loss.0.0", 0.5)
    put(content, tmp_path / "fit.json")
    found = scalefit("predict", "fit.json", "--params", "100B", cwd=tmp_path)
    assert found.returncode == 1
    assert "SHA-256 differs" in found.stderr
    assert len(found.stderr.splitlines()) == 1
    assert found.stdout == ""


@settings(max_examples=60)
@given(st.data())
def test_any_edit_of_a_number_is_told(written, tmp_path_factory, data):
    """Whatever number of a fit is changed, by a part in a million or wholly, is told (with the digest of the whole)."""
    content = copy.deepcopy(written)
    spots = []

    def walk(value):
        for key in value if isinstance(value, dict) else range(len(value)):
            if isinstance(value[key], (dict, list)):
                walk(value[key])
            elif isinstance(value[key], (int, float)):
                spots.append((value, key))

    walk(content["fits"][0])
    holder, key = data.draw(st.sampled_from(spots))
    holder[key] = data.draw(
        st.sampled_from([holder[key] * (1 + 1e-6) + 1e-300, -holder[key] - 1, holder[key] + 1, 1e300, str(holder[key])])
    )
    path = tmp_path_factory.mktemp("edited") / "fit.json"
    path.write_text(json.dumps(content))
    with pytest.raises(FitError):
        load_fits(path)


def test_long_lists_are_validated_as_others_are(written):
    """The shortcut for plain numbers refuses what the library itself refuses."""
    from scalefit.fitting.check import find_misfit

    for value in (-0.1, 1.1, "0.5", None, True, [0.5]):
        content = copy.deepcopy(written)
        content["fits"][0]["data"]["loss"][0][3] = value
        slow = [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(content)]
        assert slow
        assert find_misfit(content).startswith(slow[0])


def test_two_series_in_a_file(runs, tmp_path):
    fits = [sf.fit(runs, where={"series": series}) for series in ("base", "instruct")]
    save_fits([getattr(fit, "fit", fit) for fit in fits], tmp_path / "fit.json")
    assert [fit.data.series for fit in load_fits(tmp_path / "fit.json")] == ["base", "instruct"]
