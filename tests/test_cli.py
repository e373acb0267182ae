"""Through the command line: results, wrong input, and what is left behind."""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import scalefit as sf
from tests.conftest import PAPER, ROOT, RUNS, SIZES, listen_to_interrupts, results, scalefit, scalefit_process


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A fit.json of the paper's table."""
    folder = tmp_path_factory.mktemp("fitted")
    assert scalefit("fit", RUNS, cwd=folder).returncode == 0
    return folder / "fit.json"


def test_fit_then_predict_finds_it(tmp_path):
    made = scalefit("fit", RUNS, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "732 points: misfit" in made.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["fit.json"]
    found = scalefit("predict", "--params", "100B", "--json", "--loss", "0.4", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    base, instruct = results(found)
    assert (base["series"], instruct["series"]) == ("base", "instruct")
    assert base["k"]["low"] < base["k"]["value"] < base["k"]["high"]
    assert base["reach"]["value"] > 1e4
    assert {"samples", "loss", "low", "high", "eval_low", "eval_high"} <= set(base["curve"][0])


def test_fit_options_reach_the_fit(tmp_path):
    made = scalefit("fit", RUNS, "--where", "series=base", "--huber", "0.02", "--clip", "20", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (found,) = results(made)
    assert found["specification"]["huber"] == 0.02
    # 732 base points in the table; at most 20 steps of 7 sizes are clipped.
    assert 732 - 140 <= json.loads((tmp_path / "fit.json").read_text())["fits"][0]["points"] < 732
    assert found["status"] == "misfit"


def test_anchor_from_a_short_run(tmp_path, runs):
    small = runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] < 72e9)]
    small.to_csv(tmp_path / "small.csv", index=False)
    start = runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] == 72e9) & (runs.frame["step"] <= 10)]
    start.to_csv(tmp_path / "short.csv", index=False)
    assert scalefit("fit", "small.csv", cwd=tmp_path).returncode == 0
    found = scalefit(
        "predict", "--params", "72B", "--anchor", "short.csv", "--samples", "52.7k", "--json", cwd=tmp_path
    )
    assert found.returncode == 0, found.stderr
    (prediction,) = results(found)
    # Table 5: final loss .4359.
    assert prediction["curve"][0]["eval_low"] < 0.4359 < prediction["curve"][0]["eval_high"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fit", "none.parquet"], 1, "no such file"),
        (["fit", "."], 1, "a directory"),
        (["fit", "empty.parquet"], 1, "empty file"),
        (["fit", "cut.parquet"], 1, "cannot be read as parquet"),
        (["fit", "runs.xlsx"], 1, "unknown ending"),
        (["fit", RUNS, "--law", "saturatin"], 2, "did you mean 'saturating'"),
        (["fit", RUNS, "--x", "flop"], 2, "did you mean 'flops'"),
        (["fit", RUNS, "--where", "series"], 2, "column=value"),
        (["fit", RUNS, "--where", "series=bas"], 2, "did you mean 'base'"),
        (["fit", RUNS, "--where", "params=7e9"], 1, "single model size"),
        (["fit", RUNS, "--noise", "ar2"], 2, "did you mean 'ar1'"),
        (["fit", RUNS, "--huber", "-1"], 2, "must be greater than 0"),
        (["fit", RUNS, "--clip", "1000"], 1, "--clip"),
        (["fit", RUNS, "--out", "no/such/fit.json"], 1, "no directory"),
        (["predict", "--params", "100B"], 1, "no such fit"),
        (["predict", "other.json", "--params", "100B"], 1, "not a scalefit fit"),
        (["predict", "cut.json", "--params", "100B"], 1, "not a whole fit file"),
        (["predict", "--params", "big"], 2, "not a quantity"),
        (["crossval", RUNS, "--mode", "zeroshot"], 2, "did you mean 'zero-shot'"),
        (["crossval", RUNS, "--law", "saturating"], 1, "says nothing about a held-out size"),
        (["crossval", RUNS, "--mode", "prefix", "--share", "1.5"], 2, "between 0 and 1"),
        (["fitt", RUNS], 2, "No such command"),
    ],
)
def test_wrong_input_is_one_clear_error(tmp_path, arguments, code, words):
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "cut.parquet").write_bytes(RUNS.read_bytes()[:3000])
    (tmp_path / "runs.xlsx").write_bytes(b"x")
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "cut.json").write_text('{"format": "scalefit-fit", "ver')
    before = sorted(tmp_path.iterdir())
    found = scalefit(*arguments, cwd=tmp_path)
    assert found.returncode == code, found.stderr
    assert words in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_check_prints_what_is_there_or_every_fault(tmp_path):
    found = scalefit("check", RUNS, "--json", cwd=tmp_path)
    (content,) = results(found)
    assert content["rows"] == 1444
    assert len(content["groups"]) == 14
    frame = pd.read_parquet(RUNS).assign(loss=-1.0).drop(columns=["series"])
    frame.to_csv(tmp_path / "bad.csv", index=False)
    found = scalefit("check", "bad.csv", cwd=tmp_path)
    assert found.returncode == 1
    assert "'series': is missing" in found.stderr
    assert "1444 rows" in found.stderr


def test_laws_lists_them_all(tmp_path):
    from scalefit.laws import LAWS, RELATIONS

    found = results(scalefit("laws", "--json", cwd=tmp_path))
    assert {entry["name"] for entry in found} == {*LAWS, *RELATIONS}


def test_advantages_say_their_masses(tmp_path):
    """FADE at a success rate of .5 and full entropy: alpha 1.5, so half right gives .5 * .5^1.5 to both."""
    found = {one["name"]: one for one in results(scalefit("advantages", "--json", cwd=tmp_path))}
    at = found["fade"]["p"].index(0.5)
    assert found["fade"]["m_S"][at] == found["fade"]["m_F"][at] == pytest.approx(0.5**2.5)
    assert found["grpo"]["m_S"][at] == pytest.approx(0.5)
    assert found["asymmetric"]["m_S"][0] > found["grpo"]["m_S"][0] > found["power"]["m_S"][0]
    assert "arXiv:2607.01490" in scalefit("advantages", cwd=tmp_path).stdout
    for rate in ("0", "1"):
        assert "nan" not in scalefit("advantages", "--success-rate", rate, cwd=tmp_path).stdout


def test_compare_ranks_by_held_out_error(tmp_path):
    found = scalefit(
        "compare",
        RUNS,
        "--where",
        "series=base",
        "--law",
        "saturating-linear",
        "--law",
        "log-k-linear",
        "--json",
        cwd=tmp_path,
    )
    rows = results(found)
    assert rows[0]["held_out_rmse"] <= rows[1]["held_out_rmse"]
    assert rows[0]["law"] == "saturating-linear"
    assert all(0 < row["white_p"] < 0.05 < row["left_lag1"] for row in rows)


def test_interrupt_leaves_nothing_half_written(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "scalefit", "compare", str(RUNS)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_interrupts,
    )
    maps = Path(f"/proc/{process.pid}/maps")
    while "_parquet" not in maps.read_text():  # loaded when the table is read; all fits are still to come
        assert process.poll() is None
        time.sleep(0.02)
    errors = None
    while errors is None:  # Python loses a signal in a callback of its import system: who sees nothing presses again
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            _, errors = process.communicate(timeout=0.3)
    assert process.returncode == 130
    assert "stopped; nothing was left half-written" in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_interrupt_while_the_command_still_loads_shows_no_traceback(tmp_path):
    """A Ctrl-C at the import of the command line, which takes as long as a finger may."""
    code = (
        "import sys\nclass Pressed:\n    def find_spec(self, name, *more):\n"
        "        if name == 'scalefit.cli.main':\n            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\nfrom scalefit.cli.entry import run; run()"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (130, "scalefit: stopped; nothing was begun.\n")


def test_full_disk_keeps_the_old_fit(tmp_path):
    """A write that fails midway (RLIMIT_FSIZE stands for the full disk) leaves the old file and nothing beside it."""
    (tmp_path / "fit.json").write_text("old")
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "from scalefit.cli.main import run; run()"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, "fit", str(RUNS), "--force"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1, found.stderr
    assert "fit.json: File too large" in found.stderr
    assert "Traceback" not in found.stderr
    assert (tmp_path / "fit.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["fit.json"]


LIBRARIES = "jsonschema lmfit matplotlib orjson pandas plotly pyarrow rich scipy seaborn torch".split()
READING = {"pandas", "pyarrow"}
"""A table is a frame of pandas, which brings pyarrow with it."""


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["laws"], set()),
        (["advantages"], set()),
        (["difference", "0.02"], set()),
        (["predict", "--params", "100B", "--start", "0.9", "--loss", "0.4"], {"jsonschema"}),
        (["check", RUNS], READING),
        (["fit", RUNS, "--force"], READING),
        (["plan", RUNS, "--flops", "2e19", "--where", "series=base"], READING),
        (["reuse", PAPER / "reuse.parquet"], READING),
        (["--version"], set()),
        (["--help"], {"rich"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_command_imports_what_it_uses_and_no_more(words, needed, fitted, tmp_path):
    """Of the large libraries, each of which takes longer to import than a fit takes; and of the other commands' files."""
    code = (
        "import sys; from scalefit.cli.main import run\n"
        "try:\n    run()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    shutil.copy(fitted, tmp_path / "fit.json")
    asked = [sys.executable, "-c", code, *map(str, words)]
    found = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    loaded = found.stderr.splitlines()[-1].split()
    assert {name for name in LIBRARIES if name in loaded} == needed
    assert "scalefit.cli.run" not in loaded or words[0].startswith("--")


@pytest.mark.slow
def test_figures_draws_what_it_can_and_names_the_rest(tmp_path):
    found = scalefit("figures", RUNS, "--where", "series=base", "--out", "pictures", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    (said,) = results(found)
    made = {Path(path).name for path in said["made"]}
    stems = ("law_base_samples", "law_base_flops", "clock_base_samples", "clock_base_flops", "response_length_base")
    assert made == {f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "json")}
    assert said["skipped"] == {
        "reuse_base": "reuse does not vary within a size",
        "group_size_base": "group_size does not vary within a size",
        "pass_at_k": "the table has no pass_rates and no pass_at_k",
        "horizon": "the table has no depth",
    }
    # The numbers drawn are those of the fit and of the published curve.
    drawn = json.loads((tmp_path / "pictures" / "law_base_samples.json").read_text())
    fit = sf.fit(sf.read_runs(RUNS), where={"series": "base"})
    assert drawn["slopes"]["each size alone"]["params"] == list(SIZES)
    slope = drawn["slopes"]["laws"][0]
    assert slope["k"][30] == pytest.approx(fit.k(slope["params"][30]).value, rel=1e-5)
    assert slope["low"][30] < slope["k"][30] < slope["high"][30]
    curves = drawn["law"]["curves"]
    assert [curve["params"] for curve in curves] == list(SIZES)
    assert [curve["fitted"] is None for curve in curves] == [False] * 6 + [True]
    assert curves[-1]["scores"]["rmse"] < 0.02
    assert all(len(curve["x"]) // 4 == curve["first"] for curve in drawn["within runs"]["curves"])
    for path in (tmp_path / "pictures").glob("*.png"):
        assert path.stat().st_size > 20_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame[frame["params"] == 7e9], "one model size"),
        (lambda frame: frame.drop(columns="flops"), "the table has no flops"),
        (lambda frame: frame.drop(columns="response_length"), "the table has no response_length"),
        (lambda frame: frame[frame["params"] > 5e9], "4 sizes; it needs 5"),
    ],
)
@pytest.mark.slow
def test_figures_of_lesser_tables(tmp_path, change, words):
    runs = sf.read_runs(RUNS)
    frame = change(runs.frame[runs.frame["series"] == "base"])
    sf.write_runs(frame, tmp_path / "less.parquet", runs.metadata)
    found = scalefit("figures", "less.parquet", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert words in found.stdout
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_figures_of_several_evaluations_and_odd_names(tmp_path):
    """A picture for each evaluation, none over another's, whatever a series is called."""
    runs = sf.read_runs(RUNS)
    frame = runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] < 5e9)].assign(series="a/b c")
    both = pd.concat([frame, frame.assign(eval="other set")])
    sf.write_runs(both, tmp_path / "two.parquet", runs.metadata)
    found = scalefit("figures", "two.parquet", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    laws = {Path(path).name for path in results(found)[0]["made"] if "samples.png" in path}
    names = (frame["eval"].iloc[0], "other-set")
    assert laws == {f"{kind}_a-b-c_{name}_samples.png" for kind in ("law", "clock") for name in names}


def test_figures_into_a_file_is_refused(tmp_path):
    (tmp_path / "figures").write_text("mine")
    found = scalefit("figures", RUNS, cwd=tmp_path)
    assert found.returncode == 2
    assert "a file; name a directory" in found.stderr


def test_figures_of_an_unknown_evaluation_name_the_nearest(tmp_path):
    found = scalefit("figures", RUNS, "--where", "eval=holdot", cwd=tmp_path)
    assert found.returncode == 2
    assert "did you mean 'holdout'?" in found.stderr
    assert not (tmp_path / "figures").exists()


def test_figures_where_nothing_can_be_written(tmp_path):
    found = scalefit("figures", RUNS, "--out", "/proc/pictures", cwd=tmp_path)
    assert found.returncode == 1
    assert "/proc/pictures" in found.stderr
    assert "Traceback" not in found.stderr


def test_figures_onto_a_full_disk_leave_no_half_picture(tmp_path, small_disk):
    found = scalefit("figures", RUNS, "--where", "series=base", "--out", str(small_disk), cwd=tmp_path)
    assert found.returncode == 1
    assert "No space left" in found.stderr
    assert "Traceback" not in found.stderr
    for path in small_disk.iterdir():
        assert path.suffix in (".png", ".pdf", ".json"), f"left over: {path.name}"
        assert path.stat().st_size > 0


README = (ROOT / "README.md").read_text()
PAGES = "\n".join([README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))])
COMMANDS = sorted(
    {
        line.partition("#")[0].strip()
        for block in re.findall(r"```bash\n(.*?)```", PAGES, re.S)
        for line in block.splitlines()
        if line.startswith("scalefit ")
    }
)
LAB = ("run", "sample", "export", "evaluate")
TRAINING = sorted((line for line in COMMANDS if line.split()[1] in LAB), key=lambda line: LAB.index(line.split()[1]))
ELSEWHERE = [line for line in COMMANDS if line.split()[1] == "paper"]
"""Run by tests/test_paper.py, in a copy of the repository."""


@pytest.mark.slow
def test_every_command_of_the_readme_and_the_pages_runs(tmp_path):
    assert COMMANDS
    (tmp_path / "data").symlink_to(ROOT / "data")
    for line in sorted(
        set(COMMANDS) - set(TRAINING) - set(ELSEWHERE), key=lambda line: not line.startswith("scalefit fit")
    ):
        arguments = line.split("#")[0].split()[1:]
        found = scalefit(*arguments, cwd=tmp_path)
        assert found.returncode == 0, f"{line}\n{found.stderr}"


@pytest.mark.slow
def test_training_of_the_readme_runs(tmp_path, monkeypatch):
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert TRAINING
    for line in TRAINING:
        found = scalefit_process(*line.split("#")[0].split()[1:], cwd=tmp_path, timeout=2400)
        assert found.returncode == 0, f"{line}\n{found.stderr}"
    runs = sf.read_runs(tmp_path / "runs.parquet").frame
    assert set(runs["status"]) == {"finished"}
    # Reinforcement learning lowers the loss of every size.
    at = runs.groupby(["params", "step"])["loss"].mean().unstack()
    assert (at[at.columns[-1]] < at[0]).all()


def test_experiment_file_of_the_guide_is_valid(tmp_path):
    from scalefit.runner.config_file import read_config

    block = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "training.md").read_text(), re.S)[0]
    (tmp_path / "readme.toml").write_text(block)
    config = read_config(tmp_path / "readme.toml")
    assert config.grpo == type(config.grpo)(), "the page shows defaults"
    assert len(config.runs()) == 6


def test_python_of_the_readme_runs(tmp_path):
    (tmp_path / "data").symlink_to(ROOT / "data")
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    found = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
