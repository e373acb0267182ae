"""Logs of other tools, written by those tools themselves, come back as the runs that were logged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import TableError, UsageError
from scalefit.table.importers.expression import Expression
from tests.conftest import results

STEPS = 6
FACTS = {"params": "7B", "prompts": "512", "group_size": "8", "series": "base", "flops": "6N"}


def scalefit(*arguments, cwd, **how):
    command = [str(Path(sys.executable).parent / "scalefit"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **how)


def told(**facts):
    return [word for name, value in {**FACTS, **facts}.items() for word in ("--set", f"{name}={value}")]


def truth(step):
    """What the logs below hold of a step."""
    return {"pass": 0.1 + 0.05 * step, "tokens": 1000 * step + 17, "length": 300.0 + step, "reward": 0.2 + 0.01 * step}


def check(frame, *, params=7e9, prompts=512):
    """Compare an imported run with the truth."""
    at = frame.set_index("step").sort_index()
    for step in at.index:
        tokens = sum(truth(before)["tokens"] for before in range(1, step + 1))
        assert at.loc[step, "loss"] == pytest.approx(1 - truth(step)["pass"])
        assert at.loc[step, "samples"] == prompts * step
        assert at.loc[step, "tokens"] == tokens
        assert at.loc[step, "flops"] == pytest.approx(6 * params * tokens)
        if step:
            assert at.loc[step, "response_length"] == pytest.approx(truth(step)["length"])
            assert at.loc[step, "reward"] == pytest.approx(truth(step)["reward"])


# verl: written by verl's own metric and logger functions; no verl training was run.


def verl_metrics(step, problems=40):
    """The metrics of a step, as verl's functions name and compute them."""
    from verl import DataProto
    from verl.trainer.ppo.metric_utils import compute_throughout_metrics, process_validation_metrics

    right = round(truth(step)["pass"] * problems)
    assert right == pytest.approx(truth(step)["pass"] * problems)
    scores = [1.0] * right + [0.0] * (problems - right)
    by_source = process_validation_metrics(
        data_sources=["holdout"] * problems,
        sample_uids=[str(at) for at in range(problems)],
        infos_dict={"acc": scores, "reward": [2 * score - 1 for score in scores]},
    )
    found = {}
    for source, variables in by_source.items():
        for variable, metrics in variables.items():
            for name, value in metrics.items():
                section = "val-core" if variable == "acc" else "val-aux"
                found[f"{section}/{source}/{variable}/{name}"] = value
    if step:
        batch = DataProto(meta_info={"global_token_num": [truth(step)["tokens"] - 17, 17]})
        found |= compute_throughout_metrics(batch, {"step": 2.0}, n_gpus=1)
        found |= {"response_length/mean": truth(step)["length"], "critic/rewards/mean": truth(step)["reward"]}
    return found


@pytest.fixture
def verl_log(tmp_path, monkeypatch):
    from verl.utils.tracking import FileLogger

    monkeypatch.setenv("VERL_FILE_LOGGER_ROOT", str(tmp_path))
    logger = FileLogger("project", "qwen-7b")
    for step in range(STEPS + 1):
        logger.log(verl_metrics(step), step)
    logger.finish()
    return tmp_path / "project" / "qwen-7b.jsonl"


def test_verl_file_log(verl_log, tmp_path):
    found = scalefit("import", "verl", verl_log, *told(eval_size=40), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    runs = sf.read_runs(tmp_path / "runs.parquet")
    assert set(runs.frame["eval"]) == {"holdout"}
    assert set(runs.frame["run_id"]) == {"qwen-7b"}
    assert list(runs.frame["step"]) == list(range(STEPS + 1))
    assert runs.metadata["flops_convention"].startswith("6 N x all tokens")
    check(runs.frame)


def test_verl_console_log(tmp_path):
    from verl.utils.logger.aggregate_logger import concat_dict_to_str

    said = ["Training Progress:   0%|", "noise: step 3 of something"]
    said += [f"(TaskRunner pid=7) {concat_dict_to_str(verl_metrics(step), step)}" for step in range(STEPS + 1)]
    (tmp_path / "train.log").write_text("\n".join(said) + "\n")
    check(sf.import_runs("verl", tmp_path / "train.log", FACTS).runs.frame)


def test_a_cut_log_keeps_what_is_whole_and_says_where(verl_log, tmp_path):
    raw = verl_log.read_bytes()
    verl_log.write_bytes(raw[:-200])
    found = scalefit("import", "verl", verl_log, *told(), "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    (said,) = results(found)
    assert said["rows"] == STEPS
    assert f"line {STEPS + 1} is cut" in said["notes"][0]
    check(sf.read_runs(tmp_path / "runs.parquet").frame)


def test_a_restart_keeps_the_later_attempt(verl_log):
    lines = verl_log.read_text().splitlines()
    early = [json.loads(line) for line in lines[4:]]
    for entry in early:
        entry["data"] = {name: 0.5 for name in entry["data"]}
    verl_log.write_text("\n".join([*lines[:4], *map(json.dumps, early), *lines[4:]]))
    found = sf.import_runs("verl", verl_log, FACTS)
    assert found.notes == ("steps 4-6 came again after a restart at step 4; the later attempt is kept",)
    check(found.runs.frame)


def test_tokens_that_do_not_start_at_the_first_step_are_not_summed(verl_log):
    lines = verl_log.read_text().splitlines()
    verl_log.write_text("\n".join(lines[3:]))
    found = sf.import_runs("verl", verl_log, FACTS)
    assert "no tokens and no FLOPs" in found.notes[0]
    assert not {"tokens", "flops"} & set(found.runs.frame)


def test_what_is_missing_is_asked_for_by_name(verl_log, tmp_path):
    found = scalefit("import", "verl", verl_log, "--set", "params=7B", cwd=tmp_path)
    assert found.returncode == 2
    for name in ("prompts", "group_size", "series", "flops"):
        assert f"--set {name}=" in found.stderr
    assert "--set params" not in found.stderr
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"parms": "7B"}, UsageError, "did you mean 'params'"),
        ({"params": "large"}, UsageError, "not a quantity"),
        ({"flops": "8N"}, UsageError, "did you mean '6N'"),
        ({"seed": "first"}, UsageError, "whole number"),
    ],
)
def test_wrong_facts(verl_log, change, error, words):
    with pytest.raises(error, match=words):
        sf.import_runs("verl", verl_log, {**FACTS, **change})


def test_wrong_metric_kind_and_path(verl_log, tmp_path):
    with pytest.raises(UsageError, match="no such evaluation; did you mean 'val-core/holdout/acc/mean@1'"):
        sf.import_runs("verl", verl_log, FACTS, metric="val-core/holdout/acc/mean@2")
    with pytest.raises(UsageError, match="did you mean 'verl'"):
        sf.import_runs("verI", verl_log, FACTS)
    with pytest.raises(TableError, match="no such file"):
        sf.import_runs("verl", tmp_path / "none.jsonl", FACTS)
    verl_log.write_text('{"step": 1, "data": {"critic/rewards/mean": 0.5}}\n')
    with pytest.raises(TableError, match=r"no evaluation in it. Its metrics: critic/rewards/mean"):
        sf.import_runs("verl", verl_log, FACTS)
    (tmp_path / "noise.log").write_text("nothing\n")
    with pytest.raises(TableError, match="no record of a step"):
        sf.import_runs("verl", tmp_path / "noise.log", FACTS)


@pytest.mark.slow
def test_several_runs_in_one_table(verl_log, tmp_path):
    assert scalefit("import", "verl", verl_log, *told(), cwd=tmp_path).returncode == 0
    again = scalefit("import", "verl", verl_log, *told(), cwd=tmp_path)
    assert again.returncode == 2
    assert "add the run to it with --add" in again.stderr
    twice = scalefit("import", "verl", verl_log, *told(), "--add", cwd=tmp_path)
    assert twice.returncode == 1
    assert "already has a run 'qwen-7b'" in twice.stderr
    other = scalefit("import", "verl", verl_log, *told(params="14B", run_id="qwen-14b"), "--add", cwd=tmp_path)
    assert other.returncode == 0, other.stderr
    frame = sf.read_runs(tmp_path / "runs.parquet").frame
    assert set(frame["run_id"]) == {"qwen-7b", "qwen-14b"}
    check(frame[frame["run_id"] == "qwen-14b"], params=14e9)
    uncounted = scalefit("import", "verl", verl_log, *told(run_id="x", flops="none"), "--add", cwd=tmp_path)
    assert uncounted.returncode == 1
    assert "flops_convention" in uncounted.stderr


# W&B and TensorBoard: written by their own libraries.

WANDB = """
import os, json, sys
os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=sys.argv[1])
import wandb
run = wandb.init(project="p", name="my-run", config=json.loads(sys.argv[3]))
for step, metrics in enumerate(json.loads(sys.argv[2])):
    run.log(metrics, step=step)
run.finish()
"""
CONFIG = {"data": {"train_batch_size": 512, "seed": 3}, "actor_rollout_ref": {"rollout": {"n": 8}}}


@pytest.fixture(scope="module")
def offline_run(tmp_path_factory):
    place = tmp_path_factory.mktemp("wandb")
    metrics = json.dumps([verl_metrics(step) for step in range(STEPS + 1)])
    subprocess.run(
        [sys.executable, "-c", WANDB, str(place), metrics, json.dumps(CONFIG)], check=True, cwd=place, timeout=120
    )
    (run,) = place.glob("wandb/offline-run-*")
    return run


def test_wandb_offline_run_brings_its_configuration(offline_run):
    given = {name: FACTS[name] for name in ("params", "series", "flops")}
    frame = sf.import_runs("wandb", offline_run, given).runs.frame
    check(frame)
    assert set(frame["run_id"]) == {"my-run"}
    assert set(frame["group_size"]) == {8}
    assert set(frame["seed"]) == {3}


def test_a_cut_offline_run(offline_run, tmp_path):
    (source,) = offline_run.glob("*.wandb")
    whole = source.read_bytes()
    (tmp_path / "cut.wandb").write_bytes(whole[: len(whole) * 2 // 3])
    found = sf.import_runs("wandb", tmp_path / "cut.wandb", FACTS)
    assert any("breaks off at byte" in note for note in found.notes)
    assert 0 < len(found.runs.frame) <= STEPS
    check(found.runs.frame)
    (tmp_path / "other.wandb").write_bytes(b"something else")
    with pytest.raises(TableError, match="not an offline run"):
        sf.import_runs("wandb", tmp_path / "other.wandb", FACTS)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_wandb_exports(tmp_path, kind):
    frame = pd.DataFrame([{"_step": step, **verl_metrics(step)} for step in range(STEPS + 1)])
    path = tmp_path / f"export.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_json(path, orient="records", lines=True)
    check(sf.import_runs("wandb", path, FACTS).runs.frame)


def test_tensorboard(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path / "events"))
    for step in range(STEPS + 1):
        for name, value in verl_metrics(step).items():
            writer.add_scalar(name, value, step)
    writer.add_text("note", "no scalar")
    writer.close()
    frame = sf.import_runs("tensorboard", tmp_path / "events", FACTS).runs.frame
    np.testing.assert_allclose(frame["loss"], [1 - truth(step)["pass"] for step in frame["step"]], rtol=1e-6)
    assert list(frame["tokens"]) == [sum(truth(b)["tokens"] for b in range(1, step + 1)) for step in frame["step"]]
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match=r"no events\.out\.tfevents"):
        sf.import_runs("tensorboard", tmp_path / "empty", FACTS)


def test_metrics_of_an_unknown_tool_are_told(tmp_path):
    (tmp_path / "history.jsonl").write_text('{"_step": 1, "val_loss": 2.0}\n')
    with pytest.raises(TableError, match=r"are none that verl, trl.* write; name the one that is pass@1 with --metric"):
        sf.import_runs("wandb", tmp_path / "history.jsonl", FACTS)


# TRL: a real run of its trainer.

TRL = """
import sys
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer
words = {word: at for at, word in enumerate(["[PAD]", "[EOS]", *"0123456789+="])}
core = Tokenizer(models.WordLevel(words, unk_token="[EOS]")); core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", eos_token="[EOS]")
model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
    num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64, eos_token_id=1, pad_token_id=0))
def correct(completions, **kwargs):
    return [float("5" in text) for text in completions]
data = Dataset.from_list([{"prompt": f"{a}+{b}="} for a in range(8) for b in range(8)])
arguments = GRPOConfig(output_dir=sys.argv[1], per_device_train_batch_size=8, num_generations=4, max_completion_length=4, max_steps=4,
    learning_rate=1e-3, logging_steps=1, eval_strategy="steps", eval_steps=2, per_device_eval_batch_size=8, save_strategy="steps", save_steps=4,
    use_cpu=True, bf16=False, report_to=[], disable_tqdm=True, seed=0)
GRPOTrainer(model=model, reward_funcs=correct, args=arguments, train_dataset=data, eval_dataset=data.select(range(8)), processing_class=tokenizer).train()
"""


@pytest.mark.slow
def test_trl_run(tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    made = subprocess.run(
        [sys.executable, "-c", TRL, str(tmp_path / "run")], env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr[-2000:]
    state = json.loads((tmp_path / "run" / "checkpoint-4" / "trainer_state.json").read_text())
    facts = {**FACTS, "params": "10k", "prompts": "2", "group_size": "4"}
    frame = sf.import_runs("trl", tmp_path / "run", facts).runs.frame.set_index("step")
    assert list(frame.index) == [2, 4]
    history = {name: {} for name in ("train", "eval")}
    for entry in state["log_history"]:
        if "eval_reward" in entry:
            history["eval"][entry["step"]] = entry
        elif "reward" in entry:
            history["train"][entry["step"]] = entry
    for step, row in frame.iterrows():
        assert row["loss"] == pytest.approx(1 - history["eval"][step]["eval_reward"])
        assert row["tokens"] == history["train"][step]["num_tokens"]
        assert row["flops"] == pytest.approx(6 * 1e4 * row["tokens"])
        assert row["samples"] == 2 * step
    # TRL counts the prompt once a rollout: 8 rollouts a step of at least 4 prompt tokens and one of the answer.
    assert history["train"][4]["num_tokens"] >= 4 * 8 * 5
    assert sf.import_runs(None, tmp_path, facts).runs.frame["run_id"].unique() == ["run"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match=r"no trainer_state.json"):
        sf.import_runs("trl", tmp_path / "empty", facts)
    cut = tmp_path / "trainer_state.json"
    cut.write_text((tmp_path / "run" / "checkpoint-4" / "trainer_state.json").read_text()[:300])
    with pytest.raises(TableError, match="cut at line"):
        sf.import_runs("trl", cut, facts)


# Plain columns.

MAP = """
[columns]
step = "iteration"
samples = "iteration * 512"
loss = "1 - `val/accuracy` / 100"
[constants]
run_id = "mine"
series = "base"
params = 7e9
eval = "holdout"
[metadata]
flops_convention = "none"
"""


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_plain_columns(tmp_path, kind):
    frame = pd.DataFrame({"iteration": [1, 2, 2, 3], "val/accuracy": [10.0, 20.0, 25.0, None], "other": list("abcd")})
    path = tmp_path / f"log.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_json(path, orient="records", lines=True)
    (tmp_path / "map.toml").write_text(MAP)
    found = scalefit("import", "columns", path, "--map", "map.toml", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert results(found)[0]["notes"] == [
        "1 rows without a loss are left out",
        "1 rows came again for the same run, evaluation and step; the later ones are kept",
    ]
    runs = sf.read_runs(tmp_path / "runs.parquet").frame
    assert list(runs["loss"]) == pytest.approx([0.9, 0.75])
    assert list(runs["samples"]) == [512, 1024]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("val/accuracy", "val/acuracy", "did you mean 'val/accuracy'"),
        ("loss =", "los =", "did you mean 'loss'"),
        ("[constants]", "[constant]", "did you mean 'constants'"),
        ('"iteration * 512"', '"iteration *"', "is no expression"),
        ('"iteration * 512"', "\"__import__('os')\"", "is not arithmetic"),
        ("params = 7e9", "params = ", "Invalid value"),
    ],
)
def test_wrong_maps(tmp_path, old, new, words):
    pd.DataFrame({"iteration": [1], "val/accuracy": [10.0]}).to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "map.toml").write_text(MAP.replace(old, new))
    found = scalefit("import", "columns", "log.csv", "--map", "map.toml", cwd=tmp_path)
    assert found.returncode in (1, 2)
    assert words in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("text", ["a + 2 * b", "-(a - b) / 4", "2 ** a - 1e-3", "`a` * `b`"])
def test_expressions_are_arithmetic(text):
    frame = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 5.0])}
    np.testing.assert_allclose(Expression(text)(frame), eval(text.replace("`", ""), {}, frame))


@pytest.mark.slow
def test_a_large_log_streams(verl_log, tmp_path):
    """200 MB of it, so that the 1 GB that is promised costs no more than its rows; peak memory below 500 MB."""
    entry = json.loads(verl_log.read_text().splitlines()[1])
    entry["data"] |= {f"padding/{at}": 1.0 / (at + 1) for at in range(300)}
    large = tmp_path / "large.jsonl"
    with open(large, "w") as file:
        step = 0
        while file.tell() < 200 << 20:
            step += 1
            file.write(json.dumps({"step": step, "data": entry["data"]}) + "\n")
    code = (
        "from scalefit.cli.main import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "print('peak', open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    made = subprocess.run(
        [sys.executable, "-c", code, "import", "verl", str(large), *told()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(made.stdout.split("peak")[1]) / 1024 < 500
    assert "of 200 MiB" in made.stderr
    assert len(sf.read_runs(tmp_path / "runs.parquet").frame) == step
