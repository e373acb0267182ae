"""What enters from a log is the loss, or is refused by name: formats, values, damage, restarts, many runs."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scalefit as sf
from scalefit.errors import TableError, UsageError
from scalefit.table.importers.dialects import DIALECTS, Dialect
from scalefit.table.importers.facts import propose
from scalefit.table.importers.log import number
from scalefit.table.importers.values import Rewards
from tests.log_files import CURVE, FORMATS, array, events, lines, trackio

FACTS = {"params": "7B", "prompts": "64", "group_size": "8", "series": "base", "flops": "none"}
SET = [word for name, value in FACTS.items() for word in ("--set", f"{name}={value}")]


def scalefit(*arguments, cwd):
    command = [str(Path(sys.executable).parent / "scalefit"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def losses(found, evaluation=None):
    frame = found.runs.frame
    if evaluation is not None:
        assert set(frame["eval"]) == {evaluation}
    return dict(zip(frame["step"].astype(int), frame["loss"], strict=True))


def is_curve(found, evaluation=None):
    assert losses(found, evaluation) == {step: pytest.approx(1 - right) for step, right in CURVE.items()}


# Formats: each is written as its tool writes it, and recognised without being named.


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_is_recognised_and_read(tmp_path, name):
    write, evaluation = FORMATS[name]
    found = sf.import_runs(None, write(tmp_path), FACTS)
    if name == "TRL console":
        assert losses(found, evaluation) == {10: 0.625, 20: 0.5}
        assert list(found.runs.frame["tokens"]) == [1000, 2000]
    else:
        is_curve(found, evaluation)


def test_what_a_database_says_of_its_runs_is_used(tmp_path):
    given = {name: value for name, value in FACTS.items() if name != "group_size"}
    frame = sf.import_runs(None, trackio(tmp_path), given).runs.frame
    assert set(frame["group_size"]) == {8}
    assert set(frame["seed"]) == {5}
    assert set(frame["run_id"]) == {"sunny"}


@pytest.mark.slow
def test_the_command_line_needs_no_kind(tmp_path):
    path = FORMATS["Tinker"][0](tmp_path)
    for arguments in ((path,), ("tinker", path), (path, "--kind", "tinker")):
        found = scalefit("import", *arguments, *SET, "--out", "runs.parquet", cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        is_curve(type("Found", (), {"runs": sf.read_runs(tmp_path / "runs.parquet")}))
        (tmp_path / "runs.parquet").unlink()
    for wrong, words in (("tinkr", "did you mean 'tinker'"), ("nothere.jsonl", "no such file")):
        found = scalefit("import", wrong, path, *SET, cwd=tmp_path)
        assert found.returncode in (1, 2)
        assert words in found.stderr
        assert "Traceback" not in found.stderr


def test_a_console_without_steps_asks_for_them(tmp_path):
    text = ""
    for at in range(1, 5):
        text += f"{{'loss': '0.0', 'reward': '0.5', 'epoch': '{at}'}}\n"
        if at % 2 == 0:
            text += f"{{'eval_rewards/acc/mean': '{CURVE[5 * at]}', 'epoch': '{at}'}}\n"
    (tmp_path / "out.log").write_text(text)
    with pytest.raises(UsageError, match="--set logging_steps="):
        sf.import_runs(None, tmp_path / "out.log", FACTS)
    found = sf.import_runs(None, tmp_path / "out.log", {**FACTS, "logging_steps": "5"})
    assert losses(found) == {10: 0.625, 20: 0.5}


def test_tokens_of_old_verl_come_from_lengths(tmp_path):
    rows = [
        {"step": step, "prompt_length/mean": 100.0, "response_length/mean": 50.0 * step, "val-core/a/acc/mean@1": 0.5}
        for step in (1, 2, 3)
    ]
    found = sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), {**FACTS, "flops": "6N"})
    per_step = [(100 + 50 * step) * 64 * 8 for step in (1, 2, 3)]
    assert list(found.runs.frame["tokens"]) == list(np.cumsum(per_step))
    assert list(found.runs.frame["flops"]) == pytest.approx(list(6 * 7e9 * np.cumsum(per_step)))


def test_tokens_of_tinker_are_observations_and_actions(tmp_path):
    rows = [
        {"step": s, "test/env/all/correct": 0.5, "env/all/total_ob_tokens": 10, "env/all/total_ac_tokens": 5}
        for s in (1, 2)
    ]
    assert list(sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), FACTS).runs.frame["tokens"]) == [15, 30]


# Values: a metric is pass@1 over the whole run and beside its own range, or refused by name.


def two(metric, first, second, **beside):
    return [{"step": 1, metric: first, **beside}, {"step": 2, metric: second, **beside}]


VERL = "val-core/b/reward/mean@1"
TRL = "eval_rewards/acc/mean"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (two(VERL, -0.3, 0.42), r"goes from -0.3 to 0.42 over the run.*--scale -1:1"),
        (two(VERL, 0.42, 2.1), r"goes from 0.42 to 2.1.*--scale 0:3"),
        (two(VERL, 0.2, 0.4, **{"critic/score/min": -1, "critic/score/max": 1}), r"rewards that go from -1 to 1.*critic/score/max.*--scale -1:1"),
        (two(VERL, 0.2, 0.4, **{"critic/score/min": 0, "critic/score/max": 3}), "--scale 0:3"),
        (two("val/ce", 4.1, 2.9), "a loss in nats is no pass@1"),
        (two("val-core/b/acc/mean@1", 31.0, 0.9), r"per cent\? say so with --scale 0:100"),
        (two(TRL, 0.2, 0.4, **{"rewards/acc/mean": 1.4}), r"go from 1.4 to 1.4.*--scale 0:2"),
        (two(TRL, 0.2, 0.4, **{"rewards/acc/mean": 0.4, "rewards/acc/std": 0.8}), r"paying about 2, .*--scale 0:2"),
    ],
)  # fmt: skip
def test_scores_are_refused_by_name_with_the_way_out(tmp_path, rows, words):
    path = lines(tmp_path / "run.jsonl", rows)
    name = next(name for name in rows[0] if name != "step")
    for metric in (None, name) if name != "val/ce" else (name,):
        with pytest.raises(UsageError, match=words) as error:
            sf.import_runs(None, path, FACTS, metric=metric)
        assert name in str(error.value)


@pytest.mark.parametrize(
    ("rows", "scale", "right"),
    [
        (two(VERL, -0.5, 0.5), "-1:1", [0.25, 0.75]),
        (two(VERL, 0.0, 1.5), "0:3", [0.0, 0.5]),
        (two(VERL, 0.2, 0.4, **{"critic/score/min": -1, "critic/score/max": 1}), "-1:1", [0.6, 0.7]),
        (two("val-core/b/acc/mean@1", 25.0, 50.0), "0:100", [0.25, 0.5]),
        (two(TRL, 0.2, 0.4, **{"rewards/acc/mean": 0.4, "rewards/acc/std": 0.8}), "0:2", [0.1, 0.2]),
    ],
)
def test_a_scale_makes_shares_of_scores(tmp_path, rows, scale, right):
    path = lines(tmp_path / "run.jsonl", rows)
    name = next(name for name in rows[0] if name != "step")
    found = sf.import_runs(None, path, FACTS, metric=name, scale=scale)
    assert list(found.runs.frame["loss"]) == pytest.approx([1 - share for share in right])
    assert f"where an answer pays {scale}" in found.runs.metadata["loss_convention"]
    assert any("where an answer pays" in str(warning) for warning in found.runs.warnings)


def test_a_scale_that_does_not_hold_what_was_seen_is_refused(tmp_path):
    path = lines(tmp_path / "run.jsonl", two(VERL, -0.5, 1.5))
    with pytest.raises(UsageError, match="beyond it"):
        sf.import_runs(None, path, FACTS, scale="-1:1")
    for wrong in ("1", "1:0", "a:b", "0:inf", "nan:1"):
        with pytest.raises(UsageError, match="LOW:HIGH"):
            sf.import_runs(None, path, FACTS, scale=wrong)
    with pytest.raises(UsageError, match="has no score among"):
        sf.import_runs(None, lines(tmp_path / "b.jsonl", two("val-core/a/acc/mean@1", 0.1, 0.2)), FACTS, scale="0:2")


def test_one_score_among_accuracies_is_told_and_left_out(tmp_path):
    rows = [{**row, "val-core/a/acc/mean@4": 0.5} for row in two(VERL, -0.3, 0.1)]
    found = sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), FACTS)
    assert set(found.runs.frame["eval"]) == {"a"}
    assert any(VERL in note and "left out" in note for note in found.notes)


def test_a_reward_that_pays_one_is_taken(tmp_path):
    """Rewards of 0 and 1: the spread is that of right and wrong answers, nothing has to be said."""
    rows = [
        {"step": step, TRL: p, "rewards/acc/mean": p, "rewards/acc/std": np.sqrt(p * (1 - p) * 64 / 63)}
        for step, p in ((1, 0.02), (2, 0.3), (3, 0.6))
    ]
    found = sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), FACTS)
    assert not [note for note in found.notes if "pass@1" in note]
    assert "loss_convention" not in found.runs.metadata


@given(st.floats(0.05, 0.95), st.floats(0.1, 10))
def test_what_a_right_answer_pays_comes_from_mean_and_spread(p, pays):
    """Closed form: of rewards 0 and R with share p, mean pR and variance p(1-p)R^2 give back R."""
    rewards = Rewards(moments=[(p * pays, float(np.sqrt(p * (1 - p))) * pays)])
    assert rewards.pays == pytest.approx(pays)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rewards/acc/mean", "a reward over training rollouts"),
        ("reward", "a reward over training rollouts"),
        ("rewards/acc/std", "a spread"),
        ("eval_loss", "is a loss"),
        ("eval_rewards/acc", "did you mean 'eval_rewards/acc/mean'"),
    ],
)
def test_training_metrics_spreads_and_losses_are_no_evaluations(tmp_path, name, words):
    rows = two(TRL, 0.2, 0.4, **{"rewards/acc/mean": 0.3, "rewards/acc/std": 0.4583, "reward": 0.3, "eval_loss": 0.1})
    with pytest.raises(UsageError, match=words) as error:
        sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), FACTS, metric=name)
    assert "std" not in str(error.value).partition(":")[2].replace(name, "")


@pytest.mark.parametrize("name", ["val-core/a/acc/best@4/mean", "val-core/a/acc/maj@4/mean", "val-core/a/acc/std@4"])
def test_best_and_majority_are_never_taken_for_means(tmp_path, name):
    rows = two("val-core/a/acc/mean@4", 0.2, 0.4, **{name: 0.9})
    path = lines(tmp_path / "run.jsonl", rows)
    assert list(sf.import_runs(None, path, FACTS).runs.frame["loss"]) == pytest.approx([0.8, 0.6])
    if "std" not in name:
        with pytest.raises(UsageError, match="did you mean 'val-core/a/acc/mean@4'"):
            sf.import_runs(None, path, FACTS, metric=name)


@pytest.mark.slow
def test_a_training_reward_is_used_when_said_and_every_command_says_so(tmp_path):
    rows = [{"step": step, "rewards/acc/mean": 0.1 + 0.02 * step, "rewards/fmt/mean": 1.0} for step in range(1, 21)]
    lines(tmp_path / "run.jsonl", rows)
    with pytest.raises(TableError, match="--training-metric"):
        sf.import_runs(None, tmp_path / "run.jsonl", FACTS)
    made = scalefit(
        "import", "run.jsonl", *SET, "--training-metric", "rewards/acc/mean", "--scale", "0:2", cwd=tmp_path
    )
    assert made.returncode == 0, made.stderr
    runs = sf.read_runs(tmp_path / "runs.parquet")
    assert runs.frame["loss"].iloc[0] == pytest.approx(1 - 0.12 / 2)
    assert set(runs.frame["eval"]) == {"training"}
    for size in ("3B", "14B", "32B"):
        given = ("--set", f"run_id={size}", "--set", f"params={size}")
        again = ("--training-metric", "rewards/acc/mean", "--scale", "0:2", "--add")
        assert scalefit("import", "run.jsonl", *SET, *given, *again, cwd=tmp_path).returncode == 0
    commands = [
        "check R",
        "fit R",
        "predict --params 70B",
        "forecast R --run run",
        "plan R --samples 1000",
        "crossval R --mode prefix",
    ]
    for line in commands:
        said = scalefit(*line.replace("R", "runs.parquet").split(), cwd=tmp_path)
        assert "training reward rewards/acc/mean" in said.stdout + said.stderr, line
        assert "no evaluation" in said.stdout + said.stderr
    mixed = scalefit(
        "import", "run.jsonl", *SET, "--set", "run_id=b", "--training-metric", "rewards/fmt/mean", "--add", cwd=tmp_path
    )
    assert mixed.returncode == 1
    assert "loss_convention" in mixed.stderr


def test_any_trainer_given_the_metric(tmp_path):
    path = events(tmp_path / "tb", tag="my/accuracy_on_gsm")
    several = lines(tmp_path / "several.jsonl", two("my/accuracy_on_gsm", 0.1, 0.2, other=1.0))
    with pytest.raises(TableError, match=r"my/accuracy_on_gsm.*--metric"):
        sf.import_runs(None, several, FACTS)
    is_curve(sf.import_runs(None, path, FACTS, metric="my/accuracy_on_gsm"), "my/accuracy_on_gsm")


def test_a_dialect_is_one_block(tmp_path, monkeypatch):
    block = Dialect(
        name="mine", about="a stranger's", steps=("it",), accuracies=(r"solved/(?P<eval>.+)",), tokens=("tok",)
    )
    monkeypatch.setitem(DIALECTS, "mine", block)
    path = lines(tmp_path / "run.jsonl", [{"it": at, "solved/x": right, "tok": 5} for at, right in CURVE.items()])
    for kind in (None, "mine"):
        is_curve(sf.import_runs(kind, path, FACTS), "x")
    with pytest.raises(UsageError, match="did you mean 'solved/x'"):
        sf.import_runs(None, path, FACTS, metric="solved/y")


# Damage: what is whole is kept, the rest is counted and named.

GOOD = [json.dumps({"step": step, "val-core/a/acc/mean@1": 0.5}) for step in range(4)]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ('{"step": 9, "val-core/a/acc/mean@1": 0.', "is cut or no JSON object"),
        ("[" * 5000, "is cut or no JSON object"),
        ('{"step": ' + "9" * 5000 + ', "val-core/a/acc/mean@1": 0.5}', "is cut or no JSON object"),
        ('{"step": 1.5, "val-core/a/acc/mean@1": 0.5}', "has step 1.5, which is no count of updates"),
        ('{"step": -1, "val-core/a/acc/mean@1": 0.5}', "has step -1, which is no count"),
        ('{"step": "2026-11-25", "val-core/a/acc/mean@1": 0.5}', "has step '2026-11-25', which is no count"),
        ('{"step": true, "val-core/a/acc/mean@1": 0.5}', "which is no count"),
        ('{"val-core/a/acc/mean@1": 0.5}', "has no step"),
        ('{"step": 9, "val-core/a/acc/mean@1": "31%"}', "holds '31%' for val-core/a/acc/mean@1, which is no number"),
        ('{"step": 9, "val-core/a/acc/mean@1": NaN}', "has no finite number for val-core/a/acc/mean@1"),
        ('{"step": 9, "val-core/a/acc/mean@1": 1e400}', "has no finite number"),
        ("\x00\x00\x00", "is cut or no JSON object"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_told_and_the_others_kept(tmp_path, broken, words):
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join([*GOOD[:2], broken, *GOOD[2:]]) + "\n")
    found = sf.import_runs(None, path, FACTS)
    assert list(found.runs.frame["step"]) == [0, 1, 2, 3]
    (note,) = [note for note in found.notes if "left out" in note]
    assert words in note
    assert "line 3" in note
    path.write_text("\n".join([broken, *GOOD, broken, broken]) + "\n")
    assert any("3 places (" in note for note in sf.import_runs(None, path, FACTS).notes)


@pytest.mark.parametrize("value", ["tensor(0.5)", "np.float64(0.5)", "tensor(0.5, device='cuda:0')", "0.5", "5e-01"])
def test_numbers_in_any_dress(tmp_path, value):
    (tmp_path / "run.log").write_text(f"step:0 - val-core/a/acc/mean@1:{value}\x1b[0m\n")
    assert losses(sf.import_runs(None, tmp_path / "run.log", FACTS)) == {0: 0.5}


@pytest.mark.parametrize(
    "value", [".", "1.2.3", "0x1", "1_000", "--1", "(0.5", "tensor(", "9" * 5000, "five", "31%", "9.5e", "9.5e-0"]
)
def test_what_is_no_number_is_told(tmp_path, value):
    (tmp_path / "run.log").write_text(f"step:0 - val-core/a/acc/mean@1:0.25\nstep:1 - val-core/a/acc/mean@1:{value}\n")
    found = sf.import_runs(None, tmp_path / "run.log", FACTS)
    assert losses(found) == {0: 0.75}
    assert any("line 2 (step 1)" in note for note in found.notes)


@settings(deadline=None, max_examples=200)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back(value):
    assert number(value) == number(repr(value)) == number(f"np.float64({value!r})") == value


def test_a_number_that_was_cut_is_never_taken(tmp_path):
    """Every prefix of a console log: an evaluation is the true one, or is not there, or is told as taken on trust."""
    truth = {0: 0.3125, 10: 0.40625, 20: 0.046875}
    text = "".join(
        f"step:{s} - perf/x:1.0 - val-core/a/acc/mean@1:{v} - val-core/b/acc/mean@1:{v}\n" for s, v in truth.items()
    )
    first = text.index("\n") + 1
    for end in range(first, len(text)):
        (tmp_path / "run.log").write_text(text[:end])
        found = sf.import_runs(None, tmp_path / "run.log", FACTS)
        trusted = any("is taken as whole" in note for note in found.notes)
        for _, row in found.runs.frame.iterrows():
            right = row["loss"] == 1 - truth[row["step"]]
            assert right or trusted, (text[:end][-40:], row.to_dict())


def test_lines_capped_at_one_length_lose_their_last_value_and_it_is_told(tmp_path):
    padding = " - ".join(f"timing/{at}:{at + 0.123456789}" for at in range(60))
    whole = [
        f"step:{10 * at} - {padding} - val-core/a/acc/mean@1:0.{31 + at}51 - val-core/b/acc/mean@1:0.5"
        for at in range(4)
    ]
    cap = whole[0].index("51 - val-core/b")
    (tmp_path / "run.log").write_text("\n".join([whole[0], *(line[: cap + 1] for line in whole[1:])]) + "\n")
    found = sf.import_runs(None, tmp_path / "run.log", FACTS)
    assert list(found.runs.frame["step"]) == [0, 0]
    assert any("3 places" in note and "val-core/a/acc/mean@1 and all after it" in note for note in found.notes)
    (tmp_path / "run.log").write_text("\n".join(line[:cap] for line in whole) + "\n")
    with pytest.raises((TableError, UsageError)):
        sf.import_runs(None, tmp_path / "run.log", FACTS)


def test_ragged_rows_are_told(tmp_path):
    (tmp_path / "h.csv").write_text("_step,val-core/a/acc/mean@1\n0,0.5\n1,0.5,7\n2\n3,0.5\n")
    found = sf.import_runs(None, tmp_path / "h.csv", FACTS)
    assert list(found.runs.frame["step"]) == [0, 3]
    assert any("line 3 has 3 fields where the header has 2" in note for note in found.notes)
    (tmp_path / "h.csv").write_text("_step,val-core/a/acc/mean@1,val-core/a/acc/mean@1\n0,0.5,0.4\n")
    with pytest.raises(TableError, match="stands twice"):
        sf.import_runs(None, tmp_path / "h.csv", FACTS)


def flipped(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 0x10
    path.write_bytes(bytes(raw))


def test_a_flipped_bit_in_an_event_file_costs_one_event(tmp_path):
    events(tmp_path, curve={step: 0.5 for step in range(50)})
    (path,) = tmp_path.glob("*tfevents*")
    flipped(path, path.stat().st_size // 2)
    found = sf.import_runs(None, tmp_path, FACTS)
    assert len(found.runs.frame) >= 25
    assert any("broken" in note for note in found.notes)
    raw = path.read_bytes()
    path.write_bytes(raw[:-5])
    assert any("from byte" in note and "cut or broken" in note for note in sf.import_runs(None, tmp_path, FACTS).notes)


# Restarted, resumed, several runs.


def test_event_files_follow_one_another_in_time_not_by_name(tmp_path):
    import os

    first = events(tmp_path / "r", curve={0: 0.25, 10: 0.375, 20: 0.9}, filename_suffix=".z")
    (early,) = first.glob("*tfevents*")
    os.rename(early, first / "events.out.tfevents.z")
    events(tmp_path / "r", curve={20: 0.5}, filename_suffix=".a")
    found = sf.import_runs(None, tmp_path / "r", FACTS)
    is_curve(found)
    assert any("step 20 is followed by another value of validation/accuracy" in note for note in found.notes)


def test_two_runs_in_one_folder_are_no_restart(tmp_path):
    events(tmp_path, filename_suffix=".a")
    events(tmp_path, curve={0: 0.75, 10: 0.9}, filename_suffix=".b")
    with pytest.raises(TableError, match="two runs in one folder"):
        sf.import_runs(None, tmp_path, FACTS)
    (one,) = tmp_path.glob("*.a")
    is_curve(sf.import_runs(None, one, FACTS))


def test_folders_of_event_files_are_runs(tmp_path):
    events(tmp_path / "small" / "tb")
    events(tmp_path / "large" / "tb", curve={0: 0.75})
    found = sf.import_runs(None, tmp_path, FACTS)
    assert set(found.runs.frame["run_id"]) == {"small-tb", "large-tb"}
    assert any("all 2 runs were given the same params" in note for note in found.notes)


def state(path, history, step):
    path.mkdir(parents=True, exist_ok=True)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step, "log_history": history}))


def history(last):
    return [{"step": step, TRL: right} for step, right in CURVE.items() if step <= last]


def test_the_state_that_goes_farthest_counts(tmp_path):
    state(tmp_path / "checkpoint-10", history(10), 10)
    state(tmp_path / "checkpoint-9", [{"step": 9, TRL: 0.0}], 9)
    state(tmp_path / "checkpoint-best", [{"step": 0, TRL: 0.0}], 0)
    assert losses(sf.import_runs(None, tmp_path, FACTS)) == {0: 0.75, 10: 0.625}
    state(tmp_path, history(20), 20)
    found = sf.import_runs("trl", tmp_path, FACTS)
    is_curve(found)
    assert any("checkpoint-best" in note for note in found.notes)


def test_a_count_of_tokens_that_begins_anew_is_carried_on(tmp_path):
    rows = [{"step": step, "num_tokens": tokens, TRL: 0.5} for step, tokens in ((1, 100), (2, 200), (3, 100), (4, 200))]
    found = sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), FACTS)
    assert list(found.runs.frame["tokens"]) == [100, 200, 300, 400]
    assert any("begins anew at step 3" in note for note in found.notes)


def test_a_late_evaluation_is_no_restart(tmp_path):
    """Asynchronous trainers log the evaluation of a step after later training steps."""
    rows = [
        {"step": 1, "progress/total_tokens": 10},
        {"step": 2, "progress/total_tokens": 20},
        {"step": 1, "eval/a/avg@4": 0.5},
    ]
    found = sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), FACTS)
    assert list(found.runs.frame["tokens"]) == [10]
    assert not any("restart" in note for note in found.notes)


# Many runs, and what must be known of each.


def test_a_manifest_gives_each_run_its_facts(tmp_path):
    for name in ("base-1.5B", "base-7B"):
        (tmp_path / "logs").mkdir(exist_ok=True)
        FORMATS["Tinker"][0](tmp_path / "logs").rename(tmp_path / "logs" / f"{name}.jsonl")
    FORMATS["prime-rl"][0](tmp_path).rename(tmp_path / "other.jsonl")
    (tmp_path / "runs.toml").write_text(
        'paths = ["logs/*.jsonl"]\npattern = "{series}-{params}"\n'
        '[common]\nprompts = 64\ngroup_size = 8\nflops = "none"\n'
        '[runs.mine]\npath = "other.jsonl"\nparams = "32B"\nseries = "instruct"\n'
    )
    made = scalefit("import", "runs.toml", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    frame = sf.read_runs(tmp_path / "runs.parquet").frame
    found = {
        run: (part["params"].iloc[0], str(part["series"].iloc[0]))
        for run, part in frame.groupby("run_id", observed=True)
    }
    assert found == {"base-1.5B": (1.5e9, "base"), "base-7B": (7e9, "base"), "mine": (3.2e10, "instruct")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path = 3", "did you mean 'paths'"),
        ("paths = 3", "must be a list of texts"),
        ('paths = ["none*.jsonl"]', "no such file"),
        ('paths = ["a.jsonl"]\npattern = "{serie}"', "did you mean 'series'"),
        ('paths = ["a.jsonl"]\npattern = 4', "must be a text"),
        ('paths = ["a.jsonl"]\npattern = "x-{series}"', "neither the path"),
        ("runs = 4", r"\[runs\] must hold a table a run"),
        ("[runs.a]\nparams = 3", "give it a path"),
        ('[runs.a]\npath = "a.jsonl"\nparms = 3', "did you mean 'params'"),
        ('[runs.a]\npath = "a.jsonl"\nparams = [1]', "must be a text or a number"),
        ("[common", "not TOML"),
        ("", "no runs in it"),
    ],
)
def test_a_wrong_manifest_is_told(tmp_path, text, words):
    FORMATS["Tinker"][0](tmp_path).rename(tmp_path / "a.jsonl")
    (tmp_path / "runs.toml").write_text(text)
    with pytest.raises((UsageError, TableError), match=words):
        sf.import_runs(None, tmp_path / "runs.toml", FACTS)


def test_the_runs_of_one_chart_take_their_sizes_from_their_names(tmp_path):
    names = [f"qwen-{size} - val-core/gsm8k/acc/mean@1" for size in ("1.5B", "7B")]
    header = ",".join(["Step", *(f"{name}{end}" for name in names for end in ("", "__MIN", "__MAX"))])
    rows = "".join(f"{at}," + ",".join([str(right)] * 6) + "\n" for at, right in CURVE.items())
    (tmp_path / "chart.csv").write_text(f"{header}\n{rows}")
    (tmp_path / "runs.toml").write_text('paths = ["chart.csv"]\npattern = "qwen-{params}"')
    given = {name: value for name, value in FACTS.items() if name != "params"}
    frame = sf.import_runs(None, tmp_path / "runs.toml", given).runs.frame
    assert dict(zip(frame["run_id"].astype(str), frame["params"], strict=True)) == {"qwen-1.5B": 1.5e9, "qwen-7B": 7e9}


def test_what_differs_between_the_runs_of_a_folder_is_asked_for_in_a_manifest(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        FORMATS["Tinker"][0](tmp_path / "logs" / name)
    many = scalefit("import", "logs", cwd=tmp_path)
    one = scalefit("import", "logs/a", cwd=tmp_path)
    assert (many.returncode, one.returncode) == (2, 2)
    assert "of 2 runs, what differs between them, such as their size, is said in a manifest" in many.stderr
    assert "--set params=..." in one.stderr
    assert "manifest" not in one.stderr


def test_folders_and_patterns_are_many_runs(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "logs" / name).mkdir(parents=True)
        FORMATS["Tinker"][0](tmp_path / "logs" / name)
    for path in ("logs", "logs/*/metrics.jsonl"):
        found = scalefit("import", path, *SET, "--json", cwd=tmp_path)
        assert found.returncode == 0, found.stderr
        assert set(sf.read_runs(tmp_path / "runs.parquet").frame["run_id"]) == {"a", "b"}
        (tmp_path / "runs.parquet").unlink()
    clash = scalefit("import", "logs", *SET, "--set", "run_id=x", cwd=tmp_path)
    assert clash.returncode == 2
    assert "there are 2 runs" in clash.stderr


@pytest.mark.parametrize(
    ("model", "proposed"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", {"params": "7B", "series": "instruct"}),
        ("/data/Qwen2.5-0.5B/", {"params": "0.5B"}),
        ("meta-llama/Llama-3.1-8B-Base", {"params": "8B", "series": "base"}),
        ("google/gemma-2-2b-it", {"params": "2B", "series": "instruct"}),
        ("SmolLM2-135M", {"params": "135M"}),
        ("gpt2", {}),
    ],
)
def test_a_models_name_proposes(model, proposed):
    assert propose(model) == proposed


def with_config(folder, config):
    path = trackio(folder)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE configs SET config = ?", (json.dumps(config),))
    return path


def test_a_proposal_is_never_taken_silently(tmp_path):
    path = with_config(tmp_path, {"model_name_or_path": "Qwen/Qwen2.5-7B-Instruct", "num_generations": 16})
    given = {"prompts": "64", "flops": "none"}
    with pytest.raises(UsageError, match=r"--set params=7B(.|\n)*--set series=instruct(.|\n)*--yes takes them"):
        sf.import_runs(None, path, given)
    found = sf.import_runs(None, path, given, yes=True)
    assert set(found.runs.frame["params"]) == {7e9}
    assert any("taken from the model's name" in note for note in found.notes)
    told = sf.import_runs(None, path, {**given, "params": "70B", "series": "x", "group_size": "8"})
    assert any("--set group_size=8, but the log's own configuration says 16" in note for note in told.notes)
    assert any("--set params=70B" in note for note in told.notes)


def test_missing_facts_are_asked_for_before_a_log_is_read(tmp_path):
    """A pipe that nobody fills further: whoever reads on after the first rows waits for ever."""
    with open(tmp_path / "run.jsonl", "w") as file:
        for step in range(200_000):
            file.write(json.dumps({"step": step, "val-core/a/acc/mean@1": 0.5}) + "\n")
    read = []
    with pytest.raises(UsageError, match="--set params="):
        sf.import_runs(None, tmp_path / "run.jsonl", {}, progress=lambda done, total: read.append(done))
    assert max(read, default=0) < (tmp_path / "run.jsonl").stat().st_size / 10


WAYS = (
    "import project/qwen-7b.jsonl --out runs.parquet --set params=7B --set prompts=512 --set group_size=8 --set series=base --set flops=6N",
    "import out/ --out runs.parquet --add --set ...",
    "import runs.toml --out runs.parquet",
    "import scores.jsonl --metric val-core/math/reward/mean@4 --scale -1:1 --set ...",
    "import mine.csv --map map.toml --out runs.parquet",
)
"""A file, a folder added to it, a manifest, a score and a map; the pages' own commands are run as the site is built."""


@pytest.mark.slow
def test_every_way_of_importing_ends_well(tmp_path):
    """On files as the commands name them."""
    (tmp_path / "project").mkdir()
    rows = [{"step": step, "data": {"val-core/a/acc/mean@1": 0.5, "perf/total_num_tokens": 10}} for step in range(3)]
    lines(tmp_path / "project" / "qwen-7b.jsonl", rows)
    state(tmp_path / "out" / "checkpoint-20", [{"num_tokens": 9, **entry} for entry in history(20)], 20)
    (tmp_path / "runs.toml").write_text(f'[runs.again]\npath = "project/qwen-7b.jsonl"\n{as_toml(FACTS)}')
    lines(tmp_path / "scores.jsonl", two("val-core/math/reward/mean@4", -0.5, 0.5))
    (tmp_path / "mine.csv").write_text("step,accuracy\n1,0.25\n2,0.5\n")
    (tmp_path / "map.toml").write_text(
        '[columns]\nstep = "step"\nloss = "1 - accuracy"\nsamples = "step * 512"\n'
        '[constants]\nseries = "base"\nparams = 7e9\neval = "mine"\n'
    )
    facts = {**FACTS, "flops": "6N"}
    told = " ".join(f"--set {name}={value}" for name, value in facts.items())
    for line in WAYS:
        arguments = line.replace("--set ...", told).split()
        if "--add" not in arguments:
            (tmp_path / "runs.parquet").unlink(missing_ok=True)
        found = scalefit(*arguments, cwd=tmp_path)
        assert found.returncode == 0, (line, found.stderr)


def as_toml(facts):
    return "".join(f'{name} = "{value}"\n' for name, value in facts.items())


@pytest.mark.slow
def test_four_processes_that_add_at_once_end_with_all_runs(tmp_path):
    for at in range(4):
        FORMATS["Tinker"][0](tmp_path).rename(tmp_path / f"run{at}.jsonl")
    command = [str(Path(sys.executable).parent / "scalefit"), "import"]
    for round_ in range(3):
        (tmp_path / "runs.parquet").unlink(missing_ok=True)
        made = [
            subprocess.Popen([*command, f"run{at}.jsonl", *SET, "--add"], cwd=tmp_path, stderr=subprocess.PIPE)
            for at in range(4)
        ]
        assert [process.wait(120) for process in made] == [0] * 4, [process.stderr.read() for process in made]
        found = sf.read_runs(tmp_path / "runs.parquet").frame["run_id"]
        assert set(found) == {f"run{at}" for at in range(4)}, round_
        for process in made:
            process.stderr.close()
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


# What a tester who meant harm had found.


def table(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_last_row_cut_inside_a_number_is_left_out(tmp_path, name):
    mark = "," if name.endswith("csv") else "\t"
    text = "step,eval/acc\n0,0.3123\n10,0.3543\n20,0.4123".replace(",", mark)
    for end in range(len(text) - 5, len(text)):
        found = sf.import_runs(None, table(tmp_path / name, text[:end]), FACTS, metric="eval/acc")
        assert list(found.runs.frame["step"]) == [0, 10]
        assert any("line 4" in note for note in found.notes), found.notes
    assert len(sf.import_runs(None, table(tmp_path / name, text), FACTS, metric="eval/acc").runs.frame) == 3


@pytest.mark.parametrize(
    ("text", "steps", "right"),
    [
        ('step,eval/acc\n"1,000",0.31\n"2,000",0.35\n', [1000, 2000], [0.31, 0.35]),
        ("step;eval/acc\n1.000;0,31\n2.000;0,33\n10.000;0,36\n", [1000, 2000, 10000], [0.31, 0.33, 0.36]),
        ("step;eval/acc\n1;0,31\n2;0,331\n", [1, 2], [0.31, 0.331]),
    ],
)
def test_thousands_and_decimal_commas(tmp_path, text, steps, right):
    frame = sf.import_runs(None, table(tmp_path / "a.csv", text), FACTS, metric="eval/acc").runs.frame
    assert list(frame["step"]) == steps
    assert list(frame["loss"]) == pytest.approx([1 - share for share in right])


def test_a_quote_that_is_never_closed_costs_its_line(tmp_path):
    text = 'step,eval/acc,note\n0,.25,"oops\n10,.375,x\n20,.5,"a\nb"\n'
    found = sf.import_runs(None, table(tmp_path / "a.csv", text), FACTS, metric="eval/acc")
    assert losses(found) == {10: 0.625, 20: 0.5}
    assert any("line 2 opens a quote that is never closed" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("val-aux/aime/acc/std@32", "a spread"),
        ("eval/aime/cons@64", "a spread"),
        ("eval/pass_at_8", "a spread"),
        ("eval/majority_vote", "a spread"),
        ("eval/error_rate", "a share of wrong answers"),
        ("val/wer", "a share of wrong answers"),
        ("mean_reward", "a reward over training rollouts"),
        ("objective/rlhf_reward", "a reward over training rollouts"),
    ],
)
def test_names_that_are_no_pass_rate(tmp_path, name, words):
    path = lines(tmp_path / "run.jsonl", two(name, 0.2, 0.3, **{"val-core/aime/acc/mean@32": 0.5}))
    with pytest.raises(UsageError, match=words):
        sf.import_runs(None, path, FACTS, metric=name)


@pytest.mark.parametrize(
    "beside",
    [
        {"val-aux/m/reward/worst@8/mean": -0.8},
        {"val-core/m/reward/best@8/mean": 1.6},
    ],
)
def test_the_worst_and_the_best_answer_say_what_a_reward_can_be(tmp_path, beside):
    path = lines(tmp_path / "run.jsonl", two("val-core/m/reward/mean@8", 0.3, 0.4, **beside))
    with pytest.raises(UsageError, match="is the mean of rewards that go from"):
        sf.import_runs(None, path, FACTS)


def test_the_page_of_wandb_says_what_lies_behind_a_value(tmp_path):
    name = "a - val-core/m/reward/mean@1"
    text = f'"Step","{name}","{name}__MIN","{name}__MAX"\n"1","0.3","-0.5","0.4"\n"2","0.4","0.1","0.6"\n'
    with pytest.raises(UsageError, match=r"goes from -0\.5 to 0\.6"):
        sf.import_runs(None, table(tmp_path / "page.csv", text), FACTS)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_a_column_of_runs_is_several_runs(tmp_path, kind):
    rows = [
        {"run_name": run, "step": at, "eval/acc": right}
        for run in ("base-3B", "base-7B")
        for at, right in CURVE.items()
    ]
    path = tmp_path / f"runs.{kind}"
    if kind == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text(json.dumps(rows) if kind == "json" else "".join(json.dumps(row) + "\n" for row in rows))
    frame = sf.import_runs(None, path, FACTS, metric="eval/acc").runs.frame
    assert frame.groupby("run_id", observed=True).size().to_dict() == {"base-3B": 3, "base-7B": 3}
    late = [{"run": "a", "step": at, "eval/acc": 0.5} for at in range(2000)] + [
        {"run": "b", "step": 0, "eval/acc": 0.5}
    ]
    with pytest.raises(TableError, match="names another run, 'b' after 'a'"):
        sf.import_runs(None, lines(tmp_path / "late.jsonl", late), FACTS, metric="eval/acc")


def test_a_console_that_was_resumed_goes_back(tmp_path):
    records = [{"loss": 0.0, "reward": 0.5, "epoch": at / 100} for at in range(1, 11)]
    records += [{"loss": 0.0, "reward": 0.5, "epoch": at / 100} for at in range(6, 21)]
    text = "".join(f"{record}\n" for record in records) + "{'eval_rewards/acc/mean': 0.5, 'epoch': 0.2}\n"
    found = sf.import_runs(None, table(tmp_path / "o.log", text), {**FACTS, "logging_steps": "1"})
    assert losses(found) == {20: 0.5}
    cut = table(tmp_path / "o.log", text + "{'eval_rewards/acc/mean': 0.4")
    assert any(
        "is a record that is cut" in note for note in sf.import_runs(None, cut, {**FACTS, "logging_steps": "1"}).notes
    )


def test_a_log_that_counts_from_zero_pays_after_it_evaluates(tmp_path):
    rows = [
        {"step": step, "prompt_length/mean": 10.0, "response_length/mean": 5.0, "val-core/a/acc/mean@1": 0.5}
        for step in range(3)
    ]
    frame = sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), FACTS).runs.frame
    assert list(frame["samples"]) == [0, 64, 128]
    assert list(frame["tokens"]) == [0, 15 * 512, 30 * 512]


def test_a_hole_in_the_tokens_is_filled_and_told(tmp_path):
    rows = [{"step": s, "val-core/a/acc/mean@1": 0.5, "perf/total_num_tokens": 100} for s in range(1, 41)]
    del rows[20]["perf/total_num_tokens"]
    found = sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), {**FACTS, "flops": "6N"})
    assert list(found.runs.frame["tokens"]) == [100.0 * step for step in range(1, 41)]
    assert any("1 of 40 steps tell no tokens (21)" in note for note in found.notes)


def test_console_logs_begin_with_anything(tmp_path):
    config = {
        "actor_rollout_ref": {"model": {"path": "Qwen/Qwen2.5-7B-Instruct"}, "rollout": {"n": 16}},
        "data": {"train_batch_size": 1024},
    }
    import pprint

    said = "".join(f"(TaskRunner pid=1) {line}\n" for line in pprint.pformat(config, width=40).splitlines())
    body = "".join(f"step:{at} - val-core/a/acc/mean@1:{right}\n" for at, right in CURVE.items())
    text = (
        "[2025-11-01 10:00:00,123] [INFO] [real_accelerator.py:203] Setting ds_accelerator to cuda\n"
        + said
        + "\x00\n"
        + body
    )
    path = table(tmp_path / "run.log", text)
    with pytest.raises(UsageError, match=r"--set params=7B(.|\n)*--yes takes them"):
        sf.import_runs(None, path, {"flops": "none"})
    found = sf.import_runs(None, path, {"flops": "none"}, yes=True)
    is_curve(found, "a")
    assert set(found.runs.frame["group_size"]) == {16}
    assert list(found.runs.frame["samples"]) == [1024 * at for at in CURVE]
    told = sf.import_runs(None, path, {"flops": "none", "group_size": "8", "series": "x"}, yes=True)
    assert any("--set group_size=8, but the log's own configuration says 16" in note for note in told.notes)


def test_per_cent_of_a_known_accuracy_needs_the_scale_alone(tmp_path):
    path = lines(tmp_path / "run.jsonl", two("val-core/m/acc/mean@1", 25.0, 50.0))
    assert list(sf.import_runs(None, path, FACTS, scale="0:100").runs.frame["loss"]) == pytest.approx([0.75, 0.5])


def test_other_files_of_a_runs_folder_are_no_runs(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    FORMATS["Tinker"][0](run)
    (run / "config.json").write_text(json.dumps({"model_name": "Qwen/Qwen3-8B", "group_size": 16}))
    (run / "logs.log").write_text("step:0 - other/thing:1\n")
    given = {name: value for name, value in FACTS.items() if name != "group_size"}
    found = sf.import_runs(None, tmp_path, given)
    assert set(found.runs.frame["run_id"]) == {"run"}
    assert set(found.runs.frame["group_size"]) == {16}
    lines(run / "metrics.jsonl", two("eval/acc", 0.25, 0.5))
    assert list(sf.import_runs(None, tmp_path, FACTS, metric="eval/acc").runs.frame["loss"]) == [0.75, 0.5]


def test_the_last_line_of_ms_swift_holds_a_history(tmp_path):
    path = FORMATS["ms-swift"][0](tmp_path)
    path.write_text(path.read_text() + json.dumps({"log_history": [], "best_metric": None}) + "\n")
    is_curve(sf.import_runs(None, path, FACTS), "eval")


def test_a_run_of_wandb_that_was_resumed_is_one(tmp_path):
    pytest.importorskip("wandb")
    from tests.fuzz_inputs import offline_file

    for at, steps in enumerate(([0, 10], [10, 20])):
        place = tmp_path / f"offline-run-2025110{at}_100000-abc123"
        place.mkdir()
        rows = [{"_step": step, "val-core/a/acc/mean@1": CURVE[step]} for step in steps]
        (place / "run-abc123.wandb").write_bytes(offline_file(rows))
    is_curve(sf.import_runs(None, tmp_path, FACTS), "a")
    is_curve(sf.import_runs(None, str(tmp_path / "offline-run-*"), FACTS), "a")


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for series in ("base", "instruct"):
        (tmp_path / "x" / series / "0.5B").mkdir(parents=True)
        FORMATS["Tinker"][0](tmp_path / "x" / series / "0.5B")
    (tmp_path / "runs.toml").write_text('paths = ["x"]\npattern = "{series}/{params}/metrics"\n')
    given = {name: FACTS[name] for name in ("prompts", "group_size", "flops")}
    frame = sf.import_runs(None, tmp_path / "runs.toml", given).runs.frame
    assert set(frame["run_id"]) == {"base-0.5B", "instruct-0.5B"}
    assert set(frame["series"]) == {"base", "instruct"}


def test_damage_does_not_cost_what_is_whole(tmp_path):
    whole = array(tmp_path).read_text()
    (tmp_path / "history.json").write_text(whole[:-20])
    found = sf.import_runs(None, tmp_path / "history.json", FACTS)
    assert losses(found) == {0: 0.75, 10: 0.625}
    assert any("what follows entry 1 is cut or broken" in note for note in found.notes)
    state(tmp_path / "t" / "checkpoint-10", history(10), 10)
    state(tmp_path / "t" / "checkpoint-20", history(20), 20)
    broken = tmp_path / "t" / "checkpoint-20" / "trainer_state.json"
    broken.write_text(broken.read_text()[:50])
    found = sf.import_runs(None, tmp_path / "t", FACTS)
    assert losses(found) == {0: 0.75, 10: 0.625}
    assert any("checkpoint-20/trainer_state.json is cut or broken" in note for note in found.notes)


def test_messages_say_what_is_the_matter(tmp_path):
    path = lines(tmp_path / "run.jsonl", [{"eval/acc": 0.3, "eval/format_reward": 0.9}])
    with pytest.raises(TableError, match=r"has it, but no value of it is a number at a step(.|\n)*line 1 has no step"):
        sf.import_runs(None, path, FACTS, metric="eval/acc")
    with pytest.raises(UsageError, match="did you mean 'eval/acc'"):
        sf.import_runs(None, path, FACTS, metric="eval/ac")
    with pytest.raises(TableError, match="eval/acc"):
        sf.import_runs(
            None, lines(tmp_path / "run.jsonl", two("eval/acc", 0.3, 0.4, **{"eval/format_reward": 0.9})), FACTS
        )
    (tmp_path / "README.md").write_text("# A project\n")
    with pytest.raises(TableError, match="no record of a step in it"):
        sf.import_runs(None, tmp_path / "README.md", {})
    (tmp_path / "wide.log").write_bytes("step:0 - a:1\n".encode("utf-16"))
    with pytest.raises(TableError, match="it is UTF-16"):
        sf.import_runs(None, tmp_path / "wide.log", FACTS)
    (tmp_path / "long.log").write_text("step:0 - val-core/a/acc/mean@1:0.5\nstep:1 - " + 100_000 * ":" + "\n")
    assert max(map(len, sf.import_runs(None, tmp_path / "long.log", FACTS).notes), default=0) < 1000
    frame = pd.DataFrame(
        {"run_id": "a", "series": "b", "params": 7e9, "step": [1, 2], "samples": 1, "eval": "e", "loss": 0.5}
    )
    frame.to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(TableError, match="a runs table, it seems"):
        sf.import_runs(None, tmp_path / "runs.csv", FACTS)


def test_flops_that_could_not_be_counted_are_not_claimed(tmp_path):
    rows = two("val-core/a/acc/mean@1", 0.25, 0.5)
    found = sf.import_runs(None, lines(tmp_path / "run.jsonl", rows), {**FACTS, "flops": "6N"})
    assert found.runs.metadata["flops_convention"] == "not counted"
    assert any("no tokens and no FLOPs" in note for note in found.notes)
    assert not sf.import_runs(None, tmp_path / "run.jsonl", FACTS).notes


def test_a_flipped_bit_in_a_wandb_file_costs_one_record(tmp_path):
    pytest.importorskip("wandb")
    from tests.fuzz_inputs import offline_file

    raw = bytearray(offline_file([{"_step": step, "val-core/a/acc/mean@1": 0.5} for step in range(20)]))
    raw[len(raw) // 2] ^= 0x10
    (tmp_path / "run.wandb").write_bytes(bytes(raw))
    found = sf.import_runs(None, tmp_path / "run.wandb", FACTS)
    assert len(found.runs.frame) == 19
    assert any("is broken (its checksum does not fit)" in note for note in found.notes)


def test_folders_without_a_record_are_left_out(tmp_path):
    """As torch's `add_hparams` makes one beside a run's own events."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path / "x"))
    for step, right in CURVE.items():
        writer.add_scalar("validation/accuracy", right, step)
    writer.add_hparams({"rate": 1e-3}, {"hparam/none": 0.0})
    writer.close()
    found = sf.import_runs(None, tmp_path, FACTS)
    is_curve(found)
    assert any("left out" in note for note in found.notes)
