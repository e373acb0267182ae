"""What is plainly meant is done, and said: a table where a fit is expected, a table that is piped in, another tool's log."""

import json
import shutil
import subprocess
import sys

import pytest

import scalefit as sf
from tests.conftest import RUNS, results, scalefit

VERL = '{{"step": {0}, "data": {{"val-core/gsm8k/acc/mean@1": 0.3{0}, "training/global_step": {0}}}}}\n'
FACTS = ["params=7B", "series=base", "prompts=64", "group_size=8", "flops=none", "eval_size=100"]


def piped(content, *words, cwd):
    """Run the command line with bytes on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "scalefit", *words], cwd=cwd, input=content, capture_output=True, check=False
    )


@pytest.mark.parametrize("name", ["runs.parquet", "runs.csv", "parts"])
def test_predict_fits_a_table_first(name, tmp_path):
    """The answer is that of `fit` and `predict` one after the other, and no file is made."""
    runs = sf.read_runs(RUNS)
    if name == "parts":
        (tmp_path / name).mkdir()
        shutil.copy(RUNS, tmp_path / name / "0.parquet")
    else:
        sf.write_runs(runs.frame, tmp_path / name, runs.metadata)
    found = scalefit("predict", name, "--params", "100B", "--where", "series=base", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert f"{name} is a runs table: the law 'saturating' was fitted to it for this answer" in found.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (one,) = results(found)
    assert scalefit("fit", name, cwd=tmp_path).returncode == 0
    (other,) = results(scalefit("predict", "--params", "100B", "--where", "series=base", "--json", cwd=tmp_path))
    assert one["curve"][-1]["loss"] == pytest.approx(other["curve"][-1]["loss"], rel=1e-9)


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".csv.gz", ".tsv", ".jsonl"])
def test_a_table_that_is_piped_in(ending, tmp_path):
    runs = sf.read_runs(RUNS)
    file = tmp_path / f"runs{ending}"
    if ending in (".csv.gz", ".tsv"):
        runs.frame.to_csv(file, index=False, sep="\t" if ending == ".tsv" else ",")
    else:
        sf.write_runs(runs.frame, file, runs.metadata)
    found = piped(file.read_bytes(), "check", "-", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    content = json.loads(found.stdout)["results"][0]
    assert (content["path"], content["rows"]) == ("standard input", 1444)


def test_what_cannot_be_piped_in_is_said(tmp_path):
    for content, words, said in (
        (b"", ("check", "-"), b"standard input: an empty file"),
        (b"run_id,loss\na,0.5\n", ("check", "-"), b"'series': is missing"),
        (RUNS.read_bytes(), ("fit", "-"), b"save the table to one first"),
    ):
        found = piped(content, *words, cwd=tmp_path)
        assert found.returncode in (1, 2)
        assert said in found.stderr
        assert b"/tmp" not in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_command_on_a_piped_table(tmp_path):
    found = piped(RUNS.read_bytes(), "plan", "-", "--flops", "2e19", "--where", "series=base", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert (
        found.stdout.decode()
        == scalefit("plan", RUNS, "--flops", "2e19", "--where", "series=base", cwd=tmp_path).stdout
    )


def test_a_log_of_another_tool_is_read_as_what_it_is(tmp_path):
    (tmp_path / "log.jsonl").write_text("".join(VERL.format(at) for at in range(4)))
    given = [word for fact in FACTS for word in ("--set", fact)]
    found = scalefit("import", "trl", "log.jsonl", *given, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "no log of trl: read as what it is, one of verl" in found.stdout
    assert len(sf.read_runs(tmp_path / "runs.parquet").frame) == 4


def test_a_log_of_nothing_known_is_refused_as_before(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1, "weather": 3}\n')
    given = [word for fact in FACTS for word in ("--set", fact)]
    found = scalefit("import", "trl", "log.jsonl", *given, cwd=tmp_path)
    assert found.returncode == 1
    assert "no evaluation in it" in found.stderr
    assert found.stdout == ""
