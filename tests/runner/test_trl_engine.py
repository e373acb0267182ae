"""TRL as the engine: the same file, rows like those of scalefit's own loop, on one process and on two."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalefit.errors import UsageError
from scalefit.runner.advantage import centred_advantage, leave_one_out_advantage
from scalefit.runner.config_file import read_config
from scalefit.runner.engines.trl_launch import dry_run, launch_command, reward_factor, trl_arguments
from scalefit.runner.kept import kept_of
from scalefit.runner.run_folder import parts_of, read_rows
from tests.conftest import results, scalefit
from tests.runner.conftest import TINY, command, inside, run
from tests.runner.test_sweep import wait_for

# Greedy answers, so that two engines can be compared to the last digit before training has begun.
GREEDY = "engine = 'trl'\n" + TINY.replace("samples = 2", "samples = 1\ntemperature = 0.0").replace(
    "seeds = [0]", "seeds = [0]"
)
RUN = "7k-base-g8-r1-s0"
slow = [pytest.mark.slow, pytest.mark.xdist_group("trl")]


def spec_of(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    return read_config(tmp_path / "x.toml").runs()[0]


def table(path):
    return pd.read_parquet(path).set_index("step")


@given(
    updates=st.integers(1, 6), mini=st.integers(1, 12), group=st.integers(2, 16), processes=st.sampled_from([1, 2, 4])
)
def test_batches_add_up(tmp_path_factory, updates, mini, group, processes):
    """An update holds mini_batch x group_size completions and a generation holds the step's, however many share them."""
    if mini * group % processes:
        return
    text = GREEDY.replace("prompts = 8", f"prompts = {mini * updates}").replace(
        "mini_batch = 4", f"mini_batch = {mini}"
    )
    text += f"group_size = [{group}]\n[trl]\nprocesses = {processes}\n"
    spec = spec_of(tmp_path_factory.mktemp("x"), text)
    found = trl_arguments(spec, Path("out"))
    device = found["per_device_train_batch_size"] * processes
    assert device * found["gradient_accumulation_steps"] == mini * group
    assert device * found["steps_per_generation"] == mini * updates * group
    assert found["max_steps"] == updates * spec.config.grpo.steps
    assert found["per_device_eval_batch_size"] % found["num_generations_eval"] == 0


def test_trl_takes_the_arguments(tmp_path):
    """TRL's own configuration accepts what a file amounts to, and holds the same batch."""
    trl = pytest.importorskip("trl")
    spec = spec_of(tmp_path, GREEDY.replace("kl = 0.0", "kl = 1e-3\nwarmup = 2\nclip_high = 0.3"))
    found = trl.GRPOConfig(**trl_arguments(spec, tmp_path), use_cpu=True)
    assert found.generation_batch_size == 8 * spec.group_size
    assert (found.beta, found.epsilon, found.epsilon_high, found.warmup_steps) == (1e-3, 0.2, 0.3, 4)
    assert (found.loss_type, found.scale_rewards) == ("dapo", "group")


@pytest.mark.parametrize(
    ("change", "argument", "value", "said"),
    [
        ("", "loss_type", "dapo", "the tokens of the step / 2 updates"),
        ("[trl]\ndenominator = 'pass'", "loss_type", "bnpo", "by the tokens of its pass"),
        ("[trl]\ndenominator = 'pass'\ndevice_batch = 32", "loss_type", "bnpo", ""),
        ("[trl]\nkl_correction = true", "use_bias_correction_kl", True, "the KL term is multiplied by the ratio"),
        ("[trl]\nvllm = 'colocate'", "vllm_importance_sampling_mode", "sequence_mask", "(sequence_mask, 0 to 3)"),
        (
            "[trl]\nvllm = 'colocate'\nimportance = 'token_truncate'\nimportance_max = 2.0",
            "vllm_importance_sampling_clip_max",
            2.0,
            "(token_truncate, 0 to 2)",
        ),
        ("[trl]\nvllm = 'colocate'\nimportance = 'off'", "vllm_importance_sampling_correction", False, ""),
    ],
)
def test_what_trl_does_otherwise_can_be_chosen_and_is_told(tmp_path, change, argument, value, said):
    """As TRL's own configuration takes it, and in the words of --dry-run; nothing is told that does not differ."""
    trl = pytest.importorskip("trl")
    text = GREEDY.replace("kl = 0.0", "kl = 1e-3").replace("weight_decay = 0.1", "")
    spec = spec_of(tmp_path, text + change)
    arguments = trl_arguments(spec, tmp_path)
    assert arguments[argument] == value
    assert getattr(trl.GRPOConfig(**arguments, use_cpu=True), argument) == value
    told = "\n".join(dry_run(spec, tmp_path / "x.toml", tmp_path)["differences"])
    assert said in told
    words = {"loss_type": "a token counts", "use_bias_correction_kl": "KL term"}.get(argument, "answers are weighed")
    assert (words in told) == bool(said)
    assert ("KL term" in told) == (argument == "use_bias_correction_kl")


def test_rloo_is_carried_by_the_rewards(tmp_path):
    spec = spec_of(tmp_path, GREEDY.replace("kl = 0.0", "kl = 0.0\nadvantage = 'rloo'"))
    reward = torch.tensor([[1.0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1]])
    torch.testing.assert_close(centred_advantage(reward_factor(spec) * reward), leave_one_out_advantage(reward))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("engine = 'trI'", "did you mean 'trl'"),
        ("engine = 'trl'\n[policy]\nsampler = 'vllm'", r"\[trl\] vllm = 'colocate' or 'server'"),
        ("engine = 'trl'\n[trl]\nprocesses = 3", "3 processes cannot share the 32 completions"),
        ("engine = 'trl'\n[trl]\nvllm = 'server'", "host:port"),
        ("engine = 'trl'\n[trl]\nstrategy = 'fsdp'", "did you mean 'fsdp2'"),
        (
            "engine = 'trl'\n[trl]\nimportance = 'token_mask'\nimportance_min = 4.0",
            "must be less than importance_max = 3",
        ),
        ("engine = 'trl'\n[trl]\nimportance = 'token_truncate'\nimportance_max = 0.0", "needs importance_min or"),
        ("[trl]\nprocesses = 2", 'add engine = "trl"'),
    ],
)
def test_contradictions_are_told(tmp_path, change, words):
    with pytest.raises(UsageError, match=words):
        spec_of(tmp_path, change + "\n" + TINY.replace("[task]", "[task]", 1))
    with pytest.raises(UsageError, match=r"\[eval\] answer_loss: TRL's evaluation samples answers alone"):
        spec_of(tmp_path, GREEDY.replace("samples = 1", "samples = 1\nanswer_loss = true"))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero2", "zero3"])
def test_dry_run_prints_a_launch_for_a_cluster_and_writes_nothing(tmp_path, strategy):
    (tmp_path / "x.toml").write_text(
        GREEDY.replace("d_model = 16\nlayers = 2\nheads = 2", 'model = "org/model"').replace(
            "[task]", '[policy]\nkind = "hf"\n[task]'
        )
        + f"[trl]\nstrategy = '{strategy}'\nprocesses = 8\nnodes = 2\nvllm = 'server'\nserver = 'head:8000'\nprecision = 'bf16'\n".replace(
            "processes = 8", "processes = 4"
        )
    )
    found = inside("x.toml", "--dry-run", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    (one,) = results(found)
    assert one["processes"] == 8
    assert "vllm-serve --model org/model --host head --port 8000" in one["server"]
    words = shlex.split(one["command"])
    assert "$RANK" in words
    world = words[words.index("--nproc_per_node" if strategy == "ddp" else "--num_processes") + 1]
    assert world == ("4" if strategy == "ddp" else "8")
    assert one["arguments"]["vllm_server_base_url"] == "http://head:8000"
    assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]
    plain = inside("x.toml", "--dry-run", cwd=tmp_path)
    assert one["command"] in plain.stdout
    if strategy == "ddp":
        launched = run("x.toml", cwd=tmp_path)
        assert launched.returncode == 1
        assert "--dry-run" in launched.stderr


def test_accelerate_knows_the_launch_options(tmp_path):
    """Every option of the printed command is one of the launcher's own."""
    parser = pytest.importorskip("accelerate.commands.launch").launch_command_parser()
    for strategy in ("fsdp2", "zero2", "zero3"):
        spec = spec_of(tmp_path, GREEDY + f"[trl]\nstrategy = '{strategy}'\nprocesses = 2\n")
        words = launch_command(spec, Path("x.toml"), Path("out"))[3:]
        given = parser.parse_args(words)
        assert given.num_processes == 2
        assert given.use_fsdp == (strategy == "fsdp2")
        assert given.training_script_args[0] == "x.toml" or given.training_script == "x.toml" or given.module


@pytest.mark.slow
@pytest.mark.xdist_group("trl")
@pytest.mark.parametrize(
    ("mini_batch", "kl", "kinds"),
    [
        (8, 0.0, "generation training"),
        (4, 0.0, "generation old_log_prob training"),
        (4, 0.1, "generation old_log_prob reference training"),
    ],
)
def test_passes_are_counted_where_trl_makes_them(tmp_path, monkeypatch, mini_batch, kl, kinds):
    """Held against torch's own count of matrix products; norms, which are no products, and the last token are the rest."""
    flop_counter = pytest.importorskip("torch.utils.flop_counter")
    from scalefit.runner.policies import make_policy

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    from scalefit.runner.engines.trl_process import Trainer

    text = GREEDY.replace("mini_batch = 4", f"mini_batch = {mini_batch}").replace("kl = 0.0", f"kl = {kl}")
    spec = spec_of(tmp_path, text.replace("steps = 8", "steps = 3").replace("d_model = 16", "d_model = 48"))
    task = spec.task.make()
    (tmp_path / "start").mkdir()
    make_policy(spec, task).export(tmp_path / "start")
    trainer = Trainer(spec, task, tmp_path, str(tmp_path / "start"), False)
    trainer.evaluate = lambda *arguments, **options: {}
    with flop_counter.FlopCounterMode(display=False) as counter:
        trainer.train()
    measured = sum(counter.get_flop_counts()["Global"].values())
    spent = dict(trainer.passes.spent)
    assert sum(spent.values()) == pytest.approx(measured, rel=0.02)
    del trainer.evaluate
    trainer.evaluate()
    (row,) = read_rows(tmp_path)
    assert {name: row[name] for name in spent} == spent, "an evaluation is none of them"
    assert row["flops_full"] == sum(spent.values())
    assert [name for name, flops in spent.items() if flops] == [f"flops_{kind}" for kind in kinds.split()]


@pytest.mark.slow
@pytest.mark.xdist_group("trl")
@pytest.mark.parametrize(("offline", "said"), [("offline = true\n", True), ("", False)])
def test_the_network_is_left_alone_where_the_user_wants_it(tmp_path, monkeypatch, offline, said):
    """A model that is not here: told with the reason that the network was not asked, where that is so."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    text = GREEDY.replace("d_model = 16\nlayers = 2\nheads = 2\npretrain_learning_rate = 0.01", 'model = "org/model"')
    (tmp_path / "x.toml").write_text(offline + text.replace("[task]", '[policy]\nkind = "hf"\n[task]', 1))
    found = run("x.toml", cwd=tmp_path)
    assert found.returncode == 1
    (line,) = [line for line in found.stderr.splitlines() if "TRL's trainer ended with code 1: OSError" in line]
    assert ("nothing was asked of the network: `offline = true`" in line) == said


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The same experiment by scalefit's own loop."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "x.toml").write_text(GREEDY.replace("engine = 'trl'\n", ""))
    made = run("x.toml", cwd=folder)
    assert made.returncode == 0, made.stderr
    return table(folder / "runs.parquet")


@pytest.mark.parametrize("processes", [pytest.param(n, marks=slow) for n in (1, 2)])
def test_rows_are_those_of_scalefit(tmp_path, own, processes):
    """The start is the same model on the same problems, and samples, tokens and FLOPs are counted the same way."""
    (tmp_path / "x.toml").write_text(GREEDY + (f"[trl]\nprocesses = {processes}\n" if processes > 1 else ""))
    made = run("x.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    found = table(tmp_path / "runs.parquet")
    assert list(found.index) == list(own.index) == [0, 2, 4, 6, 8]
    for column in ("loss", "response_length", "truncated", "params", "eval_size", "eval"):
        assert found.loc[0, column] == own.loc[0, column], column
    assert (found["samples"] == own["samples"]).all()
    # Answers differ from draw to draw: their tokens agree within the few by which lengths vary.
    assert found.loc[8, "tokens"] == pytest.approx(own.loc[8, "tokens"], rel=0.05)
    pd.testing.assert_series_equal(found["flops"], 6 * found["params"] * found["tokens"], check_names=False)
    assert found.loc[2:, ["reward", "entropy", "gradient_norm"]].notna().all().all()
    assert (found["status"] == "finished").all()
    again = inside("x.toml", "--json", cwd=tmp_path)
    assert results(again)[0]["skipped"] == [RUN]


@pytest.mark.slow
@pytest.mark.xdist_group("trl")
def test_it_learns(tmp_path):
    """On sums of two digits the rewards of ten steps, 640 rollouts, rise well beyond their binomial error of .02."""
    text = (
        GREEDY.replace("steps = 8", "steps = 60")
        .replace("digits = [1, 1, 1]", "digits = [1, 1]")
        .replace('["+", "+"]', '["+"]')
    )
    text = text.replace("every = 2", "every = 10").replace("problems = 32", "problems = 8") + "reuse = [12]\n"
    (tmp_path / "x.toml").write_text(text.replace("learning_rate = 1e-3", "learning_rate = 3e-3"))
    made = run("x.toml", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    reward = pd.read_parquet(tmp_path / "runs.parquet")["reward"]
    assert reward.iloc[-1] > reward.iloc[1] + 0.1


LONG = GREEDY.replace("steps = 8", "steps = 14") + "reuse = [8]\n"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A run that nothing disturbed: its rows, and the steps of its log."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "x.toml").write_text(LONG)
    assert run("x.toml", cwd=folder).returncode == 0
    return pd.read_parquet(folder / "runs.parquet"), log_of(folder / "runs.parquet")


def log_of(out):
    """The log of a run without what depends on the time."""
    frame = pd.read_json(parts_of(out) / "7k-base-g8-r8-s0" / "log.jsonl", lines=True)
    return frame[[name for name in frame if "second" not in name]]


@pytest.mark.slow
@pytest.mark.xdist_group("trl")
@pytest.mark.parametrize("victim", ["trainer", "worker"])
def test_killed_goes_on_from_its_checkpoint(tmp_path, victim, undisturbed):
    """Once, by itself, to the rows and the log of a run that nothing disturbed."""
    (tmp_path / "x.toml").write_text(LONG)
    process = subprocess.Popen(command("x.toml"), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    folder = parts_of(tmp_path / "runs.parquet") / "7k-base-g8-r8-s0"
    wait_for(folder / "rows.jsonl", 4)
    os.kill(process_of(folder, victim), signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert "Traceback" not in said
    assert process.returncode == 0, said
    assert "its process was killed by SIGKILL; it goes on from its last checkpoint" in said
    rows, log = undisturbed
    found = pd.read_parquet(tmp_path / "runs.parquet")
    assert list(found["step"]) == list(range(0, 16, 2))
    pd.testing.assert_frame_equal(found, rows, check_exact=True)
    assert list(log["step"]) == list(range(15))
    pd.testing.assert_frame_equal(log_of(tmp_path / "runs.parquet"), log, check_exact=True)
    assert [kept.step for kept in kept_of(folder)] == [14]


@pytest.mark.slow
@pytest.mark.xdist_group("trl")
def test_a_longer_run_is_the_undisturbed_one_and_its_weights_are_kept(tmp_path):
    """It goes on from an end that is no evaluation of the longer run; what it keeps answers as its last row says."""
    text = GREEDY.replace('"shuffled"', '"drawn"')
    short, long = (tmp_path / name for name in ("short", "long"))
    for folder, lengths in ((short, (3, 6)), (long, (6,))):
        folder.mkdir()
        for steps in lengths:
            (folder / "x.toml").write_text(text.replace("steps = 8", f"steps = {steps}"))
            made = run("x.toml", cwd=folder)
            assert made.returncode == 0, made.stderr
    rows = pd.read_parquet(long / "runs.parquet")
    assert list(rows["step"]) == [0, 2, 4, 6]
    pd.testing.assert_frame_equal(pd.read_parquet(short / "runs.parquet"), rows, check_exact=True)
    again = results(scalefit("evaluate", "runs.parquet", "--json", cwd=short))[0]
    assert again["step"] == 6
    assert again["loss"] == pytest.approx(rows["loss"].iloc[-1], abs=0.05), "greedy answers, but for rounding"


def process_of(folder, victim):
    """The trainer holds the run's lock for trainers, and its parent is the worker."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            if "scalefit.runner.engines.trl_process" in words and str(folder) in words:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                return int(entry.name) if victim == "trainer" else parent
    raise AssertionError("no trainer")


@pytest.mark.slow
@pytest.mark.xdist_group("trl")
def test_too_few_processes_are_refused(tmp_path):
    """What a launcher that starts one process without a word would do."""
    pytest.importorskip("trl")
    spec = spec_of(tmp_path, GREEDY + "[trl]\nprocesses = 2\n")
    folder = tmp_path / "one"
    from scalefit.runner.policies import make_policy

    (folder / "start").mkdir(parents=True)
    make_policy(spec, spec.config.task.make()).export(folder / "start")
    inner = dry_run(spec, tmp_path / "x.toml", folder)["command"].split(" -m ")[-1]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"}
    found = subprocess.run(
        [sys.executable, "-m", *shlex.split(inner)], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert "1 processes were started, [trl] asks for 2" in found.stderr


def test_a_missing_engine_names_its_extra(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from scalefit.cli.main import app

    (tmp_path / "x.toml").write_text(GREEDY)
    there = __import__("importlib.util").util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "trl" else there(name, *rest))
    found = CliRunner().invoke(app, ["run", str(tmp_path / "x.toml"), "--out", str(tmp_path / "runs.parquet")])
    assert "[runner,trl]" in str(found.exception)
