"""A `fit.json` is input like any other: what is not as it was written is told before it is used."""

import copy
import hashlib
import json
import os
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import scalefit as sf
from scalefit.errors import FitError, UsageError
from scalefit.fitting.check import (
    _covariance_fault,
    _law_fault,
    _plain_numbers,
    find_contradiction,
    find_schema_fault,
    find_shape_fault,
)
from scalefit.fitting.record import (
    _seal,
    as_record,
    from_record,
    load_fits,
    origin_of,
    parse_strictly,
    pick_fit,
    pick_fits,
    save_fits,
    what_would_be_lost,
)
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
        ("dof", 4.0, "dof is 4, its runs leave"),
        ("data.runs.0", 2, "data.runs.0 is 2, the data have 1 run"),
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


def test_a_status_that_the_rest_belies_is_named(written, tmp_path):
    """Resealed or not: what a status says of parameters must be so."""
    stopped = "the solver stopped before it converged"
    for status, notes, words in (
        ("at-bound", [], "no parameter is at a bound"),
        ("unidentified", [], "every parameter has an interval"),
        ("stopped", [], "the notes do not say that the solver stopped"),
        ("converged", [stopped], "the notes say that the solver stopped"),
    ):
        content = copy.deepcopy(written)
        spoil(content, "status", status)
        spoil(content, "notes", notes)
        with pytest.raises(FitError, match=words) as caught:
            load_fits(put(content, tmp_path / "fit.json"))
        assert "$.fits[0]: status is" in str(caught.value)
        assert "fit again with" in str(caught.value)


def test_what_is_said_of_sizes_must_be_so_of_the_data_and_the_status(written, tmp_path):
    """A file without it, as they were before, is loaded and says it anew."""
    found = load_fits(put(copy.deepcopy(written), tmp_path / "fit.json"))[0]
    assert found.misfit.sentence == written["fits"][0]["misfit"]["sentence"]
    for where, value, words in (
        ("misfit.sizes.0.params", 3.0, "misfit.sizes are not those of the data"),
        ("misfit.sentence", "all is well", "misfit.sentence is not that of its numbers"),
        (
            "status",
            "converged",
            "status is 'converged', misfit.sizes say that the law misses 6 of 7 sizes: it is 'misfit'",
        ),
        ("misfit.sizes.0.missed", ["size"], "is not one of"),
    ):
        content = copy.deepcopy(written)
        spoil(content, where, value)
        with pytest.raises(FitError, match=words):
            load_fits(put(content, tmp_path / "fit.json"))
    old = copy.deepcopy(written)
    del old["fits"][0]["misfit"], old["fits"][0]["record_sha256"]
    assert load_fits(put(old, tmp_path / "fit.json"))[0].misfit.sentence == found.misfit.sentence


def test_seeds_must_be_those_of_their_curve(tmp_path):
    table = sf.simulate(
        "power",
        {"k": [0.05, 0.1], "E": [0.1, 0.12]},
        params=[1e9, 3e9],
        samples=np.geomspace(1000, 50_000, 8),
        sigma=0.004,
        seeds=3,
    )
    sf.fit(table, law="power").save(tmp_path / "fit.json")
    content = json.loads((tmp_path / "fit.json").read_text())
    assert content["fits"][0]["data"]["runs"] == [3, 3]
    spoil(content, "data.runs", [3, 2])
    with pytest.raises(FitError, match=r"data\.runs\.1 is 2, the data have 3 run"):
        load_fits(put(content, tmp_path / "fit.json"))
    # Moved from one curve to the other, and sealed again.
    spoil(content, "data.runs", [2, 4])
    spoil(content, "data.run_curve", [0, 0, 1, 1, 1, 1])
    data = content["fits"][0]["data"]
    digest = hashlib.sha256()
    for name in ("params", "resource", "loss", "weight", "run_loss"):
        digest.update(np.array(data[name], float).tobytes())
    digest.update(np.array(data["run_curve"], np.int64).tobytes())
    data["sha256"] = digest.hexdigest()
    with pytest.raises(FitError, match=r"data.loss.0 is not the mean of the 2 run\(s\)"):
        load_fits(put(content, tmp_path / "fit.json"))


@pytest.mark.parametrize("noise", ["ar1", "independent"])
@pytest.mark.parametrize("law", ["power", "saturating", "saturating-linear", "sigmoid", "chinchilla"])
def test_fits_of_every_kind_agree_with_their_own_record(law, noise, tmp_path):
    """With noise, without it and of final losses: what is saved is loaded."""
    shape = {"params": [1e9, 3e9, 7e9, 2e10], "samples": np.geomspace(1000, 50_000, 9)}
    theta = {"k_max": 0.17, "N0": 8e9, "E0": 0.05, "E_log": 0.03}
    for sigma in (0.0, 0.01):
        for seeds in (1, 2):
            runs = sf.simulate("saturating-linear", theta, **shape, sigma=sigma, seeds=seeds)
            fit = sf.fit(runs, law=law, noise=noise)
            fit.save(tmp_path / "fit.json")
            assert sf.load_fit(tmp_path / "fit.json").status == fit.status


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
def test_what_is_no_fit_is_called_what_it_is(name, words, tmp_path, monkeypatch):
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
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FitError) as told:
        load_fits(name)
    assert words in str(told.value)
    assert f"--out {name}" not in str(told.value) or name == "none.json"
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
    for value in (-0.1, 1.1, "0.5", None, True, [0.5]):
        content = copy.deepcopy(written)
        content["fits"][0]["data"]["loss"][0][3] = value
        slow = [error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(content)]
        assert slow
        assert find_schema_fault(content).startswith(slow[0])


def test_two_series_in_a_file(runs, tmp_path):
    fits = [sf.fit(runs, where={"series": series}) for series in ("base", "instruct")]
    save_fits([getattr(fit, "fit", fit) for fit in fits], tmp_path / "fit.json")
    assert [fit.data.series for fit in load_fits(tmp_path / "fit.json")] == ["base", "instruct"]


@pytest.fixture(scope="module")
def merged():
    """Three sizes of two seeds each, merged to a curve a size."""
    table = sf.simulate(
        "power",
        {"k": [0.1, 0.12, 0.15], "E": [0.0, 0.02, 0.05]},
        params=[1e9, 3e9, 7e9],
        samples=np.geomspace(500, 4e4, 8),
        sigma=0.005,
        seeds=2,
    )
    return sf.fit(table, "power").fit


def test_runs_that_were_merged_are_written_and_read_with_their_curves(merged, tmp_path):
    save_fits([merged], tmp_path / "fit.json")
    (again,) = load_fits(tmp_path / "fit.json")
    assert again.data.merged
    np.testing.assert_array_equal(again.data.run_loss, merged.data.run_loss)
    np.testing.assert_array_equal(again.data.run_curve, [0, 0, 1, 1, 2, 2])
    assert again.data.run_curve.dtype == np.intp
    assert again.data.runs == (2, 2, 2)
    assert again.data.digest() == merged.data.digest()
    assert again.params == merged.params
    assert again.specification == merged.specification
    assert (again.r2, again.cost, again.dof, again.notes) == (merged.r2, merged.cost, merged.dof, merged.notes)
    np.testing.assert_array_equal(again.noise.sigma, merged.noise.sigma)
    (whole,) = json.loads((tmp_path / "fit.json").read_text())["fits"]
    assert whole["data"]["run_curve"] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [
        ("data.run_loss", None, "data.run_loss and data.run_curve belong together, one of them is null"),
        ("data.run_curve", None, "data.run_loss and data.run_curve belong together, one of them is null"),
        ("data.run_curve", [0, 0, 1, 2, 1, 2], "data.run_curve must name each of 3 curves, in order"),
        ("data.run_curve", [0, 0, 1, 1, 1, 1], "data.run_curve must name each of 3 curves, in order"),
        ("data.run_curve", [0, 0, 1, 1, 2], "data.run_loss has a list of 6 where 5 belong, its shape must be 5 x 8 "),
        ("data.eval_size", [1.0], "data.eval_size has a list of 1 where 3 belong, its shape must be 3 (3 curves of 8 "),
        ("data.resource", [[[1.0]]], "data.resource has a list of 1 where 3 belong, its shape must be 1 x 3 x 8 "),
        ("data.weight.1", [1.0], "data.weight has a list of 1 where 8 belong"),
        ("covariance.2", [1.0], "covariance has a list of 1 where 6 belong, its shape must be 6 x 6 "),
        ("theta", [0.1] * 5, "covariance has a list of 6 where 5 belong"),
        ("data.resources", ["a", "b"], "law 'power' has 1 resource(s), data.resources names a, b"),
        ("intervals", {"q": [0, 1], "p": [0, 1]}, "intervals: no parameter 'p' in law 'power'"),
        ("parameters", {}, "parameters are , law 'power' on these sizes has k[1B], k[3B], k[7B], E[1B], E[3B], E[7B]"),
    ],
)
def test_lists_that_do_not_belong_together_are_named(where, value, words, merged):
    content = {"fits": [as_record(merged)]}
    spoil(content, where, value)
    assert find_shape_fault(content["fits"][0], merged.law).startswith(words)
    with pytest.raises(FitError, match=re.escape(words)):
        from_record(content["fits"][0])


def test_a_fit_of_other_parameters_than_its_law_is_told(merged):
    record = as_record(merged)
    record["theta"], record["covariance"] = [0.1] * 5, [[0.0] * 5] * 5
    assert find_shape_fault(record, merged.law) == (
        "theta has 5 numbers, law 'power' on these sizes has 6 parameters (k[1B], k[3B], k[7B], E[1B], E[3B], E[7B])"
    )
    assert find_shape_fault(as_record(merged), merged.law) is None


def test_a_covariance_is_finite_symmetric_and_positive():
    good = np.array([[4.0, 1.0], [1.0, 1.0]])
    assert _covariance_fault(good) is None
    assert _covariance_fault(np.diag([np.inf, 1.0])) is None
    assert _covariance_fault(np.diag([np.inf, np.inf])) is None
    assert _covariance_fault(np.diag([0.0, 1.0])) is None
    for changed, words in (
        ([[4.0, np.inf], [np.inf, 1.0]], "covariance: null off the diagonal"),
        ([[-1e-9, 0.0], [0.0, 1.0]], "covariance: a variance is negative"),
        ([[4.0, 1.0], [1.0 + 1e-5, 1.0]], "covariance: not symmetric"),
        ([[4.0, 2.1], [2.1, 1.0]], "covariance: not positive (a combination of parameters has a negative variance)"),
        (
            [[4e12, 2.1e6], [2.1e6, 1.0]],
            "covariance: not positive (a combination of parameters has a negative variance)",
        ),
    ):
        assert _covariance_fault(np.array(changed)) == words
    # Rounding of another machine is no fault, in whatever unit.
    assert _covariance_fault(np.array([[4e12, 1e6 * (1 + 1e-8)], [1e6, 1.0]])) is None
    assert _covariance_fault(np.array([[4.0, 2.0 * (1 + 1e-7)], [2.0 * (1 + 1e-7), 1.0]])) is None


def test_estimates_that_contradict_the_fit_are_named(merged):
    assert find_contradiction(merged, as_record(merged)) is None
    name = "k[3B]"
    one = merged.params[name]

    def fault(part, value):
        record = as_record(merged)
        record["parameters"][name][part] = value
        return find_contradiction(merged, record)

    assert fault("se", one.se * 1.01).startswith(f"parameters.{name}.se is {one.se * 1.01}, theta, covariance and")
    assert fault("se", one.se * (1 + 1e-8)) is None
    assert fault("low", one.value * 1.01) == (
        f"parameters.{name}: value {one.value:g} is outside its interval {one.value * 1.01} to {one.high}"
    )
    assert fault("high", one.value * 0.99) == (
        f"parameters.{name}: value {one.value:g} is outside its interval {one.low} to {one.value * 0.99}"
    )
    assert fault("high", None) == f"parameters.{name}.high is None, theta, covariance and intervals give {one.high:g}"
    record = as_record(merged)
    assert find_contradiction(merged, {**record, "points": 23}) == "points is 23, the data have 24"
    turned = replace(merged, written={**merged.intervals, name: (0.2, 0.1)})
    assert find_contradiction(turned, record) == f"intervals.{name}: low 0.2 is above high 0.1"
    empty = replace(merged, data=replace(merged.data, weight=merged.data.weight * np.array([[1], [0], [1]])))
    assert find_contradiction(empty, {**record, "points": 16}) == "data.weight: a curve has no point"
    other = replace(merged, data=replace(merged.data, loss=merged.data.loss + 1e-9))
    assert "their SHA-256 differs" in find_contradiction(other, record)
    theta = merged.theta.copy()
    theta[1] = merged.bound.bounds[1][1] + 2e-9
    assert find_contradiction(replace(merged, theta=theta), record) == "theta: k[3B] is outside its law's bounds"
    theta[1] = merged.bound.bounds[0][1] - 2e-9
    assert find_contradiction(replace(merged, theta=theta), record) == "theta: k[3B] is outside its law's bounds"
    far = replace(merged, r2=merged.r2 + 1e-3)
    assert _law_fault(far, "power") is None
    said = (
        f"law own:LAW: R² was {far.r2:.6g} and is {merged.r2:.6g} by the law as it is now; it was changed after the fit"
    )
    assert _law_fault(far, "own:LAW") == said
    assert _law_fault(merged, "own:LAW") is None


def test_plain_numbers_are_judged_by_their_ends():
    schema = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    for values, plain in (
        ([0, 0.5, 1.0], True),
        ([], True),
        ([-1e-9, 0.5], False),
        ([0.5, 1.0001], False),
        ([0.5, True], False),
        ([0.5, None], False),
        ((0.5,), False),
        ("0.5", False),
    ):
        assert _plain_numbers(schema, values) == plain
    assert not _plain_numbers({"type": ["string"]}, [0.5])
    assert not _plain_numbers({}, [0.5])
    assert _plain_numbers({"type": ["number"]}, [-1e300, 1e300])
    assert not _plain_numbers({"type": ["number"], "exclusiveMinimum": 0}, [0.0, 1.0])
    assert _plain_numbers({"type": ["number"], "exclusiveMinimum": 0}, [1e-300, 1.0])


def test_what_departs_from_the_schema_is_shown_in_so_many_letters(written):
    content = copy.deepcopy(written)
    content["fits"][0]["status"] = "x" * 500
    said = find_schema_fault(content)
    assert said.startswith("$.fits[0].status: '" + "x" * 59 + "... is not one of ['converged'")
    assert find_schema_fault(written) is None
    content = copy.deepcopy(written)
    content["fits"][0]["specification"]["z" * 400] = 1
    said = find_schema_fault(content)
    assert len(said) == len("$.fits[0].specification: ") + 240 + 3
    assert said.endswith("zzz...")


def test_the_seal_is_that_of_the_shortest_json_in_order():
    record = {"b": 1.5, "a": [1, None], "record_sha256": "x"}
    assert _seal(record) == hashlib.sha256(b'{"a":[1,null],"b":1.5}').hexdigest()


def test_an_origin_is_seen_from_the_file_or_from_where_a_stream_is_written(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "fits").mkdir()
    table = tmp_path / "data" / "t.csv"
    table.write_bytes(b"a,b\n")
    digest = hashlib.sha256(b"a,b\n").hexdigest()
    assert origin_of(table, tmp_path / "fits" / "fit.json") == {"path": "../data/t.csv", "sha256": digest}
    assert origin_of(table, tmp_path / "fit.json") == {"path": "data/t.csv", "sha256": digest}
    monkeypatch.chdir(tmp_path / "data")
    assert origin_of("t.csv", "/dev/stdout")["path"] == "t.csv"
    assert origin_of("t.csv", "../fits/fit.json")["path"] == "../data/t.csv"


def test_what_would_be_written_over_is_told_unless_it_is_of_the_same_table(merged, tmp_path):
    path, origin = tmp_path / "fit.json", {"path": "t.csv", "sha256": "abc"}
    assert what_would_be_lost(path, origin) is None
    path.write_text("")
    assert what_would_be_lost(path, origin) is None
    for text in ("notes", '{"a": 1}', "[1]", '"scalefit-fit"', '{"format": "other"}'):
        path.write_text(text)
        assert what_would_be_lost(path, origin) == "something that is no fit of scalefit's"
    path.write_bytes(b"\xff\xfe")
    assert what_would_be_lost(path, origin) == "something that is no fit of scalefit's"
    for text in ('{"format": "scalefit-fit"}', '{"format": "scalefit-fit", "origin": {}}'):
        path.write_text(text)
        assert what_would_be_lost(path, origin) == "a fit that does not say of which table"
    save_fits([merged], path, origin)
    assert json.loads(path.read_text())["origin"] == origin
    assert what_would_be_lost(path, origin) is None
    assert what_would_be_lost(path, {"path": "t.csv", "sha256": "other"}) is None
    assert what_would_be_lost(path, {"path": "u.csv", "sha256": "abc"}) is None
    assert what_would_be_lost(path, {"path": "u.csv", "sha256": "d"}) == "the fit of another table, t.csv"
    assert what_would_be_lost(tmp_path, origin) is None


def test_large_fits_are_written_without_line_breaks(merged, tmp_path, monkeypatch):
    save_fits([merged], tmp_path / "small.json")
    text = (tmp_path / "small.json").read_text()
    assert text.startswith('{\n "format": "scalefit-fit",\n "version": 2,\n "made_with": {')
    assert text.endswith("\n}\n")
    assert json.loads(text)["origin"] == {}
    monkeypatch.setattr("scalefit.fitting.record._MANY", 2 * merged.data.run_loss.size)
    save_fits([merged, merged], tmp_path / "large.json")
    assert (tmp_path / "large.json").read_text().count("\n") == 1
    assert len(load_fits(tmp_path / "large.json")) == 2


def test_json_is_read_as_its_standard_has_it():
    assert parse_strictly('{"a": 1.5, "b": [999999999999999999, null, "\\ud83d\\ude00"]}') == {
        "a": 1.5,
        "b": [999999999999999999, None, "😀"],
    }
    for text, words in (
        ("1000000000000000000", "the number 1000000000000000000... has 19 digits"),
        ("1e999", "the number 1e999 is beyond a float"),
        ('"\\ud800"', "text in it holds half a character"),
    ):
        with pytest.raises(ValueError, match=re.escape(words[:40])):
            parse_strictly(text)


def test_fits_are_picked_by_series_and_by_evaluation():
    def made(series, evaluation):
        return SimpleNamespace(data=SimpleNamespace(series=series, record={"eval": evaluation}))

    fits = [made("a", "x"), made("a", "y"), made("b", "x")]
    assert pick_fits(fits, None, None, "f") == fits
    assert pick_fits(fits, "a", None, "f") == fits[:2]
    assert pick_fits(fits, "a", "x", "f") == fits[:1]
    assert pick_fit(fits, "b", None, "f") is fits[2]
    with pytest.raises(UsageError, match="f has no series 'c'; "):
        pick_fits(fits, "c", None, "f")
    with pytest.raises(UsageError, match="f has no eval 'y'; "):
        pick_fits(fits, "b", "y", "f")
    with pytest.raises(UsageError, match="f holds a on x, a on y; name one by eval"):
        pick_fit(fits, "a", None, "f")
    with pytest.raises(UsageError, match="f holds a on x, b on x; name one by series"):
        pick_fit(fits, None, "x", "f")


def test_a_fit_that_was_read_says_what_it_said_of_sizes_and_runs(merged, tmp_path):
    """What runs say is computed again from the numbers of the file, whole ones too."""
    save_fits([merged], tmp_path / "fit.json")
    (again,) = load_fits(tmp_path / "fit.json")
    assert again.k("3B", 0.5) == merged.k("3B", 0.5)
    assert type(again.evidence) is type(merged.evidence)
    x = np.array([[1000.0, 30_000.0]])
    for row in range(3):
        one, two = merged.run_bands(row, x, 0.9), again.run_bands(row, x, 0.9)
        np.testing.assert_allclose(two.eval_high, one.eval_high)
    (*_, name) = merged.params
    open_ended = replace(merged, written={**merged.intervals, name: (-np.inf, np.inf)})
    assert as_record(open_ended)["intervals"][name] == [None, None]
    assert from_record(as_record(open_ended)).intervals[name] == (-np.inf, np.inf)
    record = as_record(merged)
    data = record["data"]
    for name in ("params", "resource", "weight"):
        data[name] = np.rint(np.array(data[name])).astype(int).tolist()
    data["sha256"] = replace(
        merged.data, **{name: np.array(data[name], float) for name in ("params", "resource", "weight")}
    ).digest()
    whole = from_record(record)
    for name in ("params", "resource", "weight", "eval_size", "loss"):
        assert getattr(whole.data, name).dtype == float
    assert whole.theta.dtype == whole.covariance.dtype == whole.noise.sigma.dtype == float
