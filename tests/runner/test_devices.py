"""Where a policy computes: a device that is not there is told, one that is computes what the processor does."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scalefit.errors import UsageError
from scalefit.runner import device as placement
from scalefit.runner import pretrain
from scalefit.runner.config import Config, RunSpec
from scalefit.runner.config_file import read_config
from scalefit.runner.policies import attention
from scalefit.runner.policies.hf import HfPolicy
from scalefit.runner.policies.nano import NanoShape
from scalefit.runner.policies.nano_policy import NanoPolicy
from scalefit.runner.sections import EvalConfig, GrpoConfig, HfConfig, LoraConfig, PolicyConfig, SizeConfig
from scalefit.runner.tasks.arithmetic import Arithmetic
from scalefit.runner.train import Run, generator_for
from tests.runner import fake_device
from tests.runner.conftest import TINY, inside
from tests.runner.test_grpo import FirstDigit
from tests.runner.test_hf import make_llama
from tests.runner.test_nano import batch, model


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return str(make_llama(tmp_path_factory.mktemp("llama"), 32, tied=True))


def a_run(policy, kind="nano", **changes):
    size = SizeConfig("t", 16, 2, 2)
    grpo = GrpoConfig(
        **{"steps": 2, "prompts": 4, "mini_batch": 2, "max_new_tokens": 5, "learning_rate": 1e-2, **changes}
    )
    config = Config(
        policy=PolicyConfig(kind=kind, sizes=(size,)), grpo=grpo, eval=EvalConfig(every=1, problems=8, samples=2)
    )
    return Run(RunSpec(config, size, "base", 0, 4, 1), FirstDigit(), policy)


SETTINGS = {
    "nano": None,
    "hf": HfConfig(),
    "lora": HfConfig(lora=LoraConfig(4)),
    "checkpointed": HfConfig(gradient_checkpointing=True),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_on_another_device_is_the_run_on_the_processor(name, llama, monkeypatch):
    """Two steps and three evaluations with a reference, bit by bit; a tensor made at the wrong place is refused there."""
    if name == "nano":
        kind, make = "nano", lambda: NanoPolicy(NanoShape("t", 16, 2, 2), Arithmetic().alphabet, generator_for("nano"))
    else:
        kind, make = "hf", lambda: HfPolicy(llama, chat=False, settings=SETTINGS[name])
    # AdamW keeps a list of devices that its one kernel knows.
    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda weight: None)
    here, there = make(), make()
    if kind == "hf":
        for policy in (here, there):  # torch has other kernels of its own attention for each kind of device
            policy.model.set_attn_implementation("eager")
    with fake_device.device() as away:
        there.model.to(away)
        assert there.device == away
        here, there = (a_run(policy, kind, entropy=0.01) for policy in (here, there))
        for run in (here, there):
            run.go(lambda run: None)
        weights = [torch.cat([one.detach().cpu().flatten() for one in run.weights]) for run in (here, there)]
    assert torch.equal(*weights)
    assert here.state.rows == there.state.rows
    assert here.diagnostics["gradient_norm"] > 0


def test_pre_training_on_another_device_is_that_on_the_processor(monkeypatch):
    monkeypatch.setattr(sys.modules["torch.optim.adam"], "_device_dtype_check_for_fused", lambda weight: None)
    stage, shape = pretrain._Stage(2_000, 0.3, 1e-2), NanoShape("t", 16, 2, 2)
    with fake_device.device() as away:
        made = [NanoPolicy(shape, Arithmetic().alphabet, generator_for("nano"), at) for at in ("cpu", away)]
        before = made[0].model.embed.detach().clone()
        for policy in made:
            pretrain._train(policy, Arithmetic(), stage, 16, 0, lambda text: None)
        here, there = (torch.cat([w.detach().cpu().flatten() for w in policy.model.parameters()]) for policy in made)
    assert torch.equal(here, there)
    assert not torch.equal(made[0].model.embed.detach(), before)


def test_the_device_that_is_not_there_would_be_told():
    """What the test above rests on: a tensor left on the processor does not pass."""
    with fake_device.device() as away:
        there = torch.ones(2, device=away)
        assert (there.sum() * torch.tensor(2.0)).item() == 4.0
        with pytest.raises(RuntimeError, match="tensors on"):
            there + torch.ones(2)


@pytest.mark.parametrize("padding", [0, 4])
def test_fused_attention_is_our_own(padding, monkeypatch):
    prompt, pad, response = batch()
    prompt, pad = torch.cat((torch.zeros(3, padding, dtype=torch.long), prompt), 1), pad + torch.tensor([padding, 0, 0])
    net = model()
    found = []
    for fused in (set(), {"cpu"}):
        monkeypatch.setattr(attention, "FUSED_ON", fused)
        net.zero_grad()
        logits = net.response_logits(prompt, pad, response)
        logits.log_softmax(-1).gather(-1, response[..., None]).sum().backward()
        found.append([logits.detach(), net(prompt).detach(), *(weight.grad.clone() for weight in net.parameters())])
    for own, other in zip(*found, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5 * float(own.abs().max()), rtol=0)


def test_a_device_that_is_not_there_is_told_before_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "tiny.toml").write_text(TINY + '[policy]\ndevice = "cuda"\n')
    found = inside("tiny.toml", "--out", "runs.parquet", cwd=tmp_path)
    assert found.returncode == 2
    assert "device = 'cuda'" in found.stderr
    assert "it has cpu" in found.stderr
    assert not (tmp_path / "runs.parts").exists()
    monkeypatch.setattr(placement, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert placement.device_name("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert placement.device_name("auto") == "cuda"


def test_threads_are_a_share_of_the_machine(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(placement, "cores", lambda: 8)
    nano = Config()
    hf = dataclasses.replace(nano, policy=PolicyConfig(kind="hf"))
    assert placement.threads_of(nano) == 1
    assert placement.threads_of(hf) == 8
    assert placement.threads_of(dataclasses.replace(hf, threads=3)) == 3
    for name, value in placement.share_of_cores(3).items():
        monkeypatch.setenv(name, value)
    assert placement.threads_of(hf) == 2


def test_one_thread_was_the_default_and_keeps_its_digest():
    size = SizeConfig("t", 16, 2, 2)
    for threads in (0, 1):
        config = Config(policy=PolicyConfig(sizes=(size,)), threads=threads)
        assert (config.digest(), config.runs()[0].digest()) == (
            Config(policy=PolicyConfig(sizes=(size,))).digest(),
            Config(policy=PolicyConfig(sizes=(size,))).runs()[0].digest(),
        )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('[hf]\nprecision = "bf16"', "the policy is not of that kind"),
        ('[policy]\nkind = "hf"\n[hf.lora]\nalpha = 8', "without a rank"),
        ('[policy]\ndevice = "tpu"', "did you mean 'cpu'"),
        ('[policy]\nstop = [""]', "at least 1 character"),
    ],
)
def test_what_makes_no_sense_is_told(more, told, tmp_path):
    path = tmp_path / "a.toml"
    path.write_text(TINY + more)
    with pytest.raises(UsageError, match=told):
        read_config(path)


@pytest.mark.slow
def test_the_benchmark_of_gpus_runs_through_on_a_processor():
    script = str(Path(__file__).parents[2] / "benchmarks" / "gpu.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, script, "--device", "cpu", "--quick"]
    found = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
    assert "tokens drawn alike: 1" in found.stdout
    assert "SmolLM2-135M " in found.stdout
    # Where there is none, it says so.
    if not torch.cuda.is_available():
        found = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, env=environment)
        assert found.returncode == 1
        assert found.stderr.startswith("There is no GPU here")
