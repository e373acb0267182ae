"""A real run of TRL's trainer, on a CPU, that is watched and stops itself."""

import pytest

import scalefit as sf

torch = pytest.importorskip("torch")
trl = pytest.importorskip("trl")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trl")]

from datasets import Dataset  # noqa: E402
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from scalefit.live import Rule, callback  # noqa: E402
from scalefit.runner.policies.export import export_llama  # noqa: E402
from scalefit.runner.policies.nano import ALPHABET_AT, MAX_LENGTH, Nano, NanoShape  # noqa: E402

ALPHABET = "0123456789"
STEPS = 120


@pytest.fixture
def model(tmp_path):
    """A model of 7k parameters that has learned nothing, in transformers' form."""
    shape = NanoShape("7k", d_model=16, layers=2, heads=2)
    model = Nano(shape, len(ALPHABET) + ALPHABET_AT, MAX_LENGTH, torch.Generator().manual_seed(0))
    folder = tmp_path / "model"
    folder.mkdir()
    export_llama(model, ALPHABET, folder, 8)
    return str(folder)


def begins_low(completions, **rest):
    """Score 1 where an answer's first character is one of the lower half: learned within a few steps."""
    return [float(text[:1] in ("0", "1", "2", "3", "4")) for text in completions]


def trainer_of(model, tmp_path, watcher, steps=STEPS, report_to=()):
    prompts = [f"{one}{other}" for one in ALPHABET for other in ALPHABET]
    arguments = trl.GRPOConfig(
        output_dir=str(tmp_path / "out"),
        run_name="mine",
        max_steps=steps,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=32,
        num_generations=8,
        max_completion_length=2,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="no",
        report_to=list(report_to),
        use_cpu=True,
        seed=5,
        disable_tqdm=True,
    )
    rows = [{"prompt": one} for one in prompts]
    return trl.GRPOTrainer(
        model=model,
        reward_funcs=begins_low,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows[:16]),
        callbacks=[watcher],
    )


def test_a_run_of_trl_stops_itself(model, tmp_path):
    """It learns what there is to learn, and ends long before its last step; the table says what it did."""
    told = []
    watcher = callback(tmp_path / "runs.parquet", stop_when=True, rule=Rule(tolerance=0.02, risk=0.5), tell=told.append)
    trainer = trainer_of(model, tmp_path, watcher, report_to=["tensorboard"])
    trainer.train()
    assert any("to be stopped at" in line for line in told), told
    assert 12 <= trainer.state.global_step < STEPS
    found = sf.read_runs(tmp_path / "runs.parquet").frame
    logged = [entry for entry in trainer.state.log_history if "eval_rewards/begins_low/mean" in entry]
    assert list(found["step"]) == [entry["step"] for entry in logged]
    assert list(found["loss"]) == pytest.approx([1 - entry["eval_rewards/begins_low/mean"] for entry in logged])
    assert found["loss"].iloc[-1] < found["loss"].iloc[0] - 0.2
    assert set(found["run_id"]) == {"mine"}
    assert set(found["group_size"]) == {8}
    assert set(found["seed"]) == {5}
    assert list(found["samples"]) == [4 * step for step in found["step"]]
    (folder,) = (tmp_path / "out" / "runs").iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"scalefit/end", "eval/rewards/begins_low/mean"} <= set(events.Tags()["scalars"]), "one run in TensorBoard"
    assert events.Scalars("scalefit/stop")[-1].value == 1
    assert set(found["params"]) == {float(sum(weight.numel() for weight in trainer.model.parameters()))}


def test_a_watcher_that_breaks_stops_nothing(model, tmp_path, monkeypatch):
    """Neither its own fault nor a folder that cannot be written reaches the trainer."""
    from scalefit.live import tracker

    def broken(*arguments, **options):
        raise RuntimeError("ours")

    monkeypatch.setattr(tracker, "choose_metrics", broken)
    told = []
    trainer = trainer_of(model, tmp_path, callback("/proc/runs.parquet", tell=told.append), steps=3)
    trainer.train()
    assert trainer.state.global_step == 3
    assert sum("training goes on. RuntimeError: ours" in line for line in told) == 1
