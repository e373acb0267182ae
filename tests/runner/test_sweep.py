"""Sweeps through the command line: the same rows again, after kills, cut files, full disks and wrong input."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import sem

import scalefit as sf
from scalefit.errors import UsageError
from scalefit.locks import locked
from scalefit.runner.config_file import read_config
from scalefit.runner.run_folder import parts_of
from scalefit.studies.recipes import paired_problems
from tests.conftest import listen_to_interrupts, results, scalefit
from tests.runner.conftest import TINY, command, inside, make, run


def rows(path):
    return pd.read_parquet(path).drop(columns="status")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "tiny.toml").write_text(TINY)
    made = run("tiny.toml", cwd=folder)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="module")
def reference(undisturbed):
    return rows(undisturbed / "runs.parquet")


def test_rows_are_a_valid_table(reference):
    table = sf.as_runs(reference)
    assert list(table.frame["step"]) == [0, 2, 4, 6, 8]
    assert table.frame["samples"].tolist() == [0, 16, 32, 48, 64]
    assert (table.frame["flops"] == 6 * table.frame["params"] * table.frame["tokens"]).all()
    assert (table.frame["loss_low"] <= table.frame["loss"]).all()
    assert (table.frame["loss"] <= table.frame["loss_high"]).all()


def test_same_configuration_same_rows_and_finished_runs_are_skipped(tiny, tmp_path, reference):
    tiny.write_text(TINY.replace("seeds = [0]", "seeds = [0, 1]"))
    made = run("tiny.toml", "--jobs", "2", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    found = rows(tmp_path / "runs.parquet")
    pd.testing.assert_frame_equal(found[found["seed"] == 0].reset_index(drop=True), reference, check_exact=True)
    assert not found[found["seed"] == 1].reset_index(drop=True)["loss"].equals(reference["loss"])
    assert sf.read_runs(tmp_path / "runs.parquet").metadata["made_with"]["torch"] == torch.__version__
    before = (tmp_path / "runs.parquet").read_bytes()
    again = inside("tiny.toml", "--json", cwd=tmp_path)
    assert results(again)[0]["skipped"] == ["7k-base-g8-r1-s0", "7k-base-g8-r1-s1"]
    assert (tmp_path / "runs.parquet").read_bytes() == before


def killed_at(seconds, tmp_path):
    """Start a sweep, kill everything after a while, and say whether it had ended by itself."""
    process = subprocess.Popen(command("tiny.toml"), cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return False
    return True


@pytest.mark.slow
def test_kill_at_twenty_moments_loses_nothing(tiny, tmp_path, reference):
    """Kill -9 of the sweep and its worker, again and again; what comes out in the end is bit for bit the same."""
    moments = random.Random(3)
    ended = 0
    for _ in range(20):
        ended += killed_at(moments.uniform(0.5, 5.0), tmp_path)
        if ended and moments.random() < 0.7:
            shutil.rmtree(parts_of(tmp_path / "runs.parquet"))
            (tmp_path / "runs.parquet").unlink(missing_ok=True)
            ended = 0
    made = run("tiny.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    pd.testing.assert_frame_equal(rows(tmp_path / "runs.parquet"), reference, check_exact=True)


def wait_for(path, lines):
    for _ in range(6000):
        if path.exists() and path.read_text().count("\n") >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never came")


@pytest.mark.slow
def test_worker_killed_goes_on_and_ctrl_c_ends_cleanly(tiny, tmp_path, reference):
    # Long enough that the signals below come before its end.
    tiny.write_text(TINY.replace("steps = 8", "steps = 160").replace("every = 2", "every = 8") + "reuse = [16]\n")
    process = subprocess.Popen(
        command("tiny.toml"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=listen_to_interrupts,
    )
    folder = parts_of(tmp_path / "runs.parquet") / "7k-base-g8-r16-s0"
    wait_for(folder / "rows.jsonl", 2)
    worker = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(worker[0]), signal.SIGKILL)
    time.sleep(0.5)
    wait_for(folder / "rows.jsonl", 5)
    os.killpg(process.pid, signal.SIGINT)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "goes on from its last checkpoint" in stderr
    assert "The same command goes on from there" in stderr
    assert "Traceback" not in stderr
    made = pd.read_parquet(tmp_path / "runs.parquet")
    assert set(made["status"]) == {"unfinished"}
    assert run("tiny.toml", cwd=tmp_path).returncode == 0
    assert rows(tmp_path / "runs.parquet")["step"].iloc[-1] == 160


@pytest.mark.slow
def test_checkpoint_cut_short_is_made_again(tiny, tmp_path, reference):
    folder = parts_of(tmp_path / "runs.parquet") / "7k-base-g8-r1-s0"
    make(read_config(tiny).runs()[0], folder, killed_in=3)
    checkpoint = folder / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    made = run("tiny.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "cannot be read" in made.stderr
    pd.testing.assert_frame_equal(rows(tmp_path / "runs.parquet"), reference, check_exact=True)


def test_another_configuration_is_refused(tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    (tmp_path / "tiny.toml").write_text(TINY.replace("kl = 0.0", "kl = 0.1"))
    made = inside("tiny.toml", cwd=tmp_path)
    assert made.returncode == 2
    assert "another configuration ([grpo] kl = 0.0 there, 0.1 here)" in made.stderr
    (tmp_path / "other.parquet").write_bytes(b"x")
    made = inside("tiny.toml", "--out", "other.parquet", cwd=tmp_path)
    assert made.returncode == 2
    assert "was not made by this configuration" in made.stderr


@pytest.mark.slow
def test_full_disk_keeps_what_was_made(tiny, tmp_path, reference, small_disk):
    """A disk with room for some rows and no more."""
    (small_disk / "ballast").write_bytes(b"x" * 560 * 1024)
    made = run("tiny.toml", "--out", small_disk / "runs.parquet", cwd=tmp_path)
    assert made.returncode == 1
    assert "No space left" in made.stderr
    assert "Traceback" not in made.stderr
    (small_disk / "ballast").unlink()
    made = run("tiny.toml", "--out", small_disk / "runs.parquet", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    pd.testing.assert_frame_equal(rows(small_disk / "runs.parquet"), reference, check_exact=True)


@pytest.mark.slow
def test_a_sweep_through_a_link_writes_the_table_there(tiny, tmp_path, reference):
    (tmp_path / "far").mkdir()
    (tmp_path / "runs.parquet").symlink_to("far/table")
    made = run("tiny.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "runs.parquet").is_symlink()
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["table"]
    pd.testing.assert_frame_equal(rows(tmp_path / "runs.parquet"), reference, check_exact=True)
    left = [path.name for path in tmp_path.rglob(".*")]
    assert left == [], "locks are gone in the end"


def test_a_sweep_and_who_else_writes_the_table_keep_apart(tiny, tmp_path):
    with locked(tmp_path / "runs.parquet"):
        made = run("tiny.toml", cwd=tmp_path)
    assert made.returncode == 2
    assert f"process {os.getpid()} on " in made.stderr
    assert "is writing runs.parquet; wait for it or give another --out" in made.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.toml"]


def test_divergence_is_marked_and_the_sweep_goes_on(tiny, tmp_path):
    sizes = '[[policy.sizes]]\nname = "wild"\nd_model = 16\nlayers = 2\nheads = 2\npretrain_learning_rate = 0.01\nlearning_rate = 1e38\n'
    tiny.write_text(TINY.replace("[pretrain]", sizes + "[pretrain]", 1))
    made = run("tiny.toml", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (outcome,) = results(made)
    assert outcome["diverged"] == ["wild-base-g8-r1-s0"]
    assert outcome["finished"] == ["7k-base-g8-r1-s0"]
    table = pd.read_parquet(tmp_path / "runs.parquet")
    assert set(table[table["run_id"] == "wild-base-g8-r1-s0"]["status"]) == {"diverged"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("steps = 8", "step = 8", "did you mean 'steps'"),
        ("[grpo]", "[gpro]", "did you mean 'grpo'"),
        ('order = "shuffled"', 'name = "arithmetics"', "did you mean 'arithmetic'"),
        ("steps = 8", 'steps = "8"', "must be of type int"),
        ("mini_batch = 4", "mini_batch = 3", "not divisible by mini_batch"),
        ("mini_batch = 4", "mini_batch = 0", "mini_batch = 0: must be at least 1"),
        ("seeds = [0]", "group_size = [1]", "compares the rollouts of a group"),
        ("seeds = [0]", "reuse = [3]", "does not divide the 64 samples"),
        ("d_model = 16", "d_model = 18", "multiple of twice heads"),
        ("d_model = 16", "d_model = 400000", "GB of memory"),
        ("d_model = 16", "", "give d_model, layers and heads"),
        ("kl = 0.0", "kl = -1.0", "must be at least 0"),
        ("learning_rate = 1e-3", "learning_rate = 0.0", "must be greater than 0"),
        ("seeds = [0]", "seeds = []", "seeds is empty"),
        ("seeds = [0]", "seeds = [0, 0]", "holds a value twice"),
        ('name = "7k"', 'name = "../../esc"', "a name is no path"),
        ("[task]", "[task", "not TOML"),
    ],
)
def test_wrong_configurations(tiny, old, new, words):
    assert old in TINY
    tiny.write_text(TINY.replace(old, new))
    with pytest.raises(UsageError, match=words):
        read_config(tiny)


def test_only_what_was_chosen_is_hashed(tiny, tmp_path):
    """A default written out changes no hash, so that a knob added later does not orphan old runs; a choice does."""
    text = tiny.read_text()
    same, other = tmp_path / "same.toml", tmp_path / "other.toml"
    same.write_text(text.replace("[grpo]", "[grpo]\nclip_low = 0.2\nentropy = 0.0"))
    other.write_text(text.replace("[grpo]", "[grpo]\nclip_low = 0.1"))
    mine, his, hers = map(read_config, (tiny, same, other))
    assert mine.digest() == his.digest() != hers.digest()
    assert mine.runs()[0].digest() == his.runs()[0].digest() != hers.runs()[0].digest()
    grid = tmp_path / "grid.toml"
    grid.write_text(text.replace("seeds = [0]", "seeds = [0, 1]"))
    assert read_config(grid).digest() == mine.digest()
    assert read_config(grid).runs()[0].digest() == mine.runs()[0].digest() != read_config(grid).runs()[1].digest()


def test_each_seed_can_have_its_own_base_model(tiny, tmp_path):
    """Without it two seeds start from one model, hence from one loss but for sampling; with it they do not."""
    from dataclasses import replace

    from scalefit.runner.policies import make_policy

    config = read_config(tiny)
    task = config.task.make()
    own = replace(config, pretrain=replace(config.pretrain, each_seed=True))
    models = {
        (kind, seed): make_policy(replace(settings.runs()[0], seed=seed), task).model.state_dict()["embed"]
        for kind, settings in (("shared", config), ("own", own))
        for seed in (0, 1)
    }
    assert models["shared", 0].equal(models["shared", 1])
    assert models["shared", 0].equal(models["own", 0])
    assert not models["own", 0].equal(models["own", 1])


def test_wrong_calls(tiny, tmp_path):
    for arguments, words in (
        (("none.toml",), "no such file"),
        ((".",), "a directory"),
        (("tiny.toml", "--out", "runs.csv"), "name it runs.parquet"),
        (("tiny.toml", "--out", "no/runs.parquet"), "no directory"),
    ):
        made = inside(*arguments, cwd=tmp_path)
        assert made.returncode == 2
        assert words in made.stderr
        assert "Traceback" not in made.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.toml"]


@pytest.mark.slow
def test_recipes_are_paired_on_the_problems_that_a_sweep_keeps(tmp_path):
    """Mean pass rates are the losses, and pairs of problems that both answer alike narrow the difference."""
    for advantage in ("grpo", "rloo"):
        text = TINY.replace("samples = 2", "samples = 2\nkeep_problems = true").replace(
            "[grpo]", f"[grpo]\nadvantage = '{advantage}'"
        )
        (tmp_path / f"{advantage}.toml").write_text(text)
        made = run(f"{advantage}.toml", "--out", f"{advantage}.parquet", cwd=tmp_path)
        assert made.returncode == 0, made.stderr
    tables = [sf.read_runs(tmp_path / f"{name}.parquet") for name in ("grpo", "rloo")]
    for table in tables:
        for row in table.frame.itertuples():
            assert 1 - np.mean(row.pass_rates) == pytest.approx(row.loss)
    last = [table.frame.sort_values("step")["pass_rates"].iloc[-1] for table in tables]
    found = paired_problems(*tables, "base", "arithmetic")
    assert found["problems"] == 32
    assert found["difference"] == pytest.approx(np.mean(last[1]) - np.mean(last[0]))
    assert found["se"] == pytest.approx(sem(np.subtract(last[1], last[0])))


LOGIC = TINY.replace(
    'order = "shuffled"\nlevels = [{digits = [1, 1, 1], operations = ["+", "+"]}]', 'name = "logic"\npretrain_depth = 2'
)
LOGIC = LOGIC.replace("seeds = [0]", 'task.fragment = ["implication", "negation"]\ntask.depth = [1, 2]').replace(
    "max_new_tokens = 4", "max_new_tokens = 13"
)


@pytest.mark.slow
def test_depths_and_fragments_are_a_grid(tiny, tmp_path):
    """Each of them a run with its own evaluation and columns, and base models shared by depths."""
    tiny.write_text(LOGIC.replace("steps = 8", "steps = 2").replace("tokens = 60_000", "tokens = 6_000"))
    made = run("tiny.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    table = sf.read_runs(tmp_path / "runs.parquet")
    frame = table.frame.astype({"eval": str})
    seen = {(row.run_id, row.eval, row.fragment, row.depth) for row in frame.itertuples()}
    assert seen == {
        (f"7k-base-{fragment}-h{depth}-g8-r1-s0", f"logic-{fragment}-{depth}", fragment, depth)
        for fragment in ("implication", "negation")
        for depth in (1, 2)
    }
    shown = scalefit("horizon", "runs.parquet", cwd=tmp_path)
    assert (shown.returncode, "the data do not say" in shown.stdout) == (0, True), shown.stderr


def test_a_grid_of_logic_that_cannot_be_is_refused_all_at_once(tiny, tmp_path):
    tiny.write_text(
        LOGIC.replace("depth = [1, 2]", "depth = [1, 40]")
        .replace('"negation"', '"negations"')
        .replace("max_new_tokens = 13", "max_new_tokens = 2")
    )
    refused = inside("tiny.toml", cwd=tmp_path)
    assert refused.returncode == 2
    for said in ("did you mean 'negation'", "depth = 40", "reaches depths from 1 to 12", "max_new_tokens = 2"):
        assert said in refused.stderr, refused.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LOGIC.replace("task.depth", "depth"), r"unknown key 'depth'; a task's own are swept as task.depth"),
        (LOGIC.replace("task.depth", "task.dept"), r"'logic' has no parameter 'dept'; did you mean 'depth'\?"),
        (LOGIC.replace("task.depth = [1, 2]", "task.depth = [2, true]"), "must be of type int, not True"),
        (LOGIC.replace("task.depth = [1, 2]", "task.depth = [2, 2]"), "holds a value twice"),
        (TINY.replace("seeds = [0]", "task.depth = [1, 2]"), "'arithmetic' has no parameter 'depth'"),
        (TINY.replace("seeds = [0]", "task.levels = [[1], [2]]"), "must be text, a number, true or false"),
        (TINY.replace("[task]", "[task]\ndepth = 2"), "unknown key 'depth'"),
    ],
)
def test_only_parameters_of_the_task_are_swept(tiny, text, words):
    tiny.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_config(tiny)


@pytest.mark.parametrize("advantage", ["asymmetric", "power", "fade"])
def test_running_state_survives_a_kill(advantage, tiny, tmp_path):
    """A run killed between checkpoints ends with the rows of one that was not, and pass@k at its ends."""
    settings = f'advantage = "{advantage}"\n[advantage]\nrate = 0.3\n[eval]\npass_at = [1, 2, 6]\nend_samples = 6\nkeep_problems = true'
    tiny.write_text(TINY.replace("[eval]", settings).replace("steps = 8", "steps = 24"))
    spec = read_config(tiny).runs()[0]
    whole = make(spec, tmp_path / "whole")
    folder = parts_of(tmp_path / "runs.parquet") / spec.run_id
    for step in (3, 8, 17):
        make(spec, folder, killed_in=step)
    assert make(spec, folder) == whole
    assert inside("tiny.toml", cwd=tmp_path).returncode == 0
    found = rows(tmp_path / "runs.parquet")
    assert found["pass_at_6"].notna().tolist() == [True, *[False] * (len(found) - 2), True]
    assert found["eval_samples"].tolist() == [6, *[2] * (len(found) - 2), 6]
    assert (1 - found["loss"] - found["pass_at_1"]).abs().max() < 1e-12
    assert found["mass_failure"].iloc[1:].ge(0).all()
    shown = scalefit("sharpening", "runs.parquet", "--k", "1,6", cwd=tmp_path)
    assert (shown.returncode, "pass@k" in shown.stdout) == (0, True), shown.stderr


def test_what_an_evaluation_or_an_engine_cannot_do_is_refused(tiny, tmp_path):
    tiny.write_text(
        TINY.replace("[eval]", 'advantage = "fade"\n[eval]\npass_at = [8]').replace(
            "[task]", 'engine = "trl"\n[task]', 1
        )
    )
    refused = inside("tiny.toml", cwd=tmp_path)
    assert refused.returncode == 2
    for said in ("pass_at = 8 needs as many samples", "TRL has grpo, dr-grpo, rloo"):
        assert said in refused.stderr, refused.stderr


def test_every_fault_of_a_configuration_at_once(tmp_path):
    """Keys, types and values: who mends the file sees all of it."""
    (tmp_path / "bad.toml").write_text(
        '[grpo]\nstpes = 3\nschedule = "linaer"\nkl = -1\nprompts = "8"\n[policy]\nsizs = 1\n'
    )
    found = inside("bad.toml", "--dry-run", cwd=tmp_path)
    assert found.returncode == 2
    for words in (
        "6 faults",
        "did you mean 'steps'",
        "did you mean 'sizes'",
        "prompts]: must be of type int, not '8'",
        "did you mean 'linear'",
        "kl = -1.0: must be at least 0",
        "[[policy.sizes]] is missing",
    ):
        assert words in found.stderr, found.stderr


def test_rules_between_keys_are_silent_where_a_key_is_at_fault(tiny):
    """The default that stands in for a wrong value is nobody's mistake."""
    tiny.write_text(TINY.replace("prompts = 8", "prompts = 0").replace("mini_batch = 4", "mini_batch = 3"))
    with pytest.raises(UsageError, match=r": 1 fault:\n  \[grpo\] prompts = 0: must be at least 1$"):
        read_config(tiny)


def test_a_file_is_checked_without_torch(tiny):
    """Registries name what needs torch, and load it where it is used."""
    words = f"import sys; from scalefit.runner.config_file import read_config; read_config({str(tiny)!r})"
    words += "; assert not {'torch', 'transformers', 'vllm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", words], check=True)


def test_a_configuration_that_was_refused_can_be_put_right(tiny, tmp_path):
    """Too few problems are found when its folder is there already; without a row it binds nobody."""
    tiny.write_text(TINY.replace("problems = 32", "problems = 3200"))
    refused = inside("tiny.toml", cwd=tmp_path)
    assert (refused.returncode, "distinct eval problems" in refused.stderr) == (1, True)
    tiny.write_text(TINY.replace("steps = 8", "steps = 1"))
    done = run("tiny.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
