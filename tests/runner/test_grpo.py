"""The update against closed forms and against itself: micro-batches, skipped groups, normalisations."""

import dataclasses
import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from scalefit.errors import ScalefitError, UsageError
from scalefit.numerics.proportions import binomial_interval, pass_at_k
from scalefit.runner.advantage import (
    ADVANTAGES,
    Dynamics,
    asymmetric_advantage,
    centred_advantage,
    fade_advantage,
    fade_schedule,
    group_advantage,
    power_advantage,
)
from scalefit.runner.config import Config, RunSpec
from scalefit.runner.data import training_examples
from scalefit.runner.evaluate import answer_loss, evaluate
from scalefit.runner.loss import clipped_loss, entropy_of, low_variance_kl, token_weight
from scalefit.runner.policies.nano import END, NanoShape
from scalefit.runner.policies.nano_policy import NanoPolicy
from scalefit.runner.sections import (
    AdvantageConfig,
    EvalConfig,
    GrpoConfig,
    Normalisation,
    PolicyConfig,
    PretrainConfig,
    SizeConfig,
    SweepConfig,
)
from scalefit.runner.tasks.arithmetic import Arithmetic
from scalefit.runner.tasks.logic import Logic
from scalefit.runner.tasks.task import Score, distinct
from scalefit.runner.train import Diverged, Run, learning_rate_at
from tests.runner.conftest import make

SIZE = SizeConfig("t", 16, 2, 2)


rewards = st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=16)


SETTINGS = AdvantageConfig()
SEEN = Dynamics(success_rate=0.4, entropy=0.3, first_entropy=1.0)


@given(rewards)
def test_advantages_against_numpy(group):
    r = np.array(group)
    reward = torch.tensor([group])
    found = {name: one.weigh(reward, SEEN, SETTINGS)[0].numpy() for name, one in ADVANTAGES.items()}
    np.testing.assert_allclose(found["grpo"], (r - r.mean()) / (r.std(ddof=1) + 1e-6), atol=1e-5)
    np.testing.assert_allclose(found["dr-grpo"], r - r.mean(), atol=1e-6)
    others = [(r.sum() - x) / (len(r) - 1) for x in r]
    np.testing.assert_allclose(found["rloo"], r - others, atol=1e-5)
    np.testing.assert_allclose(found["power"], (1 - r.mean()) * (r - r.mean()), atol=1e-6)
    # FADE at a success rate of .4 and an entropy .2 below half the first one: alpha 2.25, delta .8.
    centred = r - r.mean()
    fade = (1 - r.mean()) ** 1.25 * np.where(centred >= 0, centred, centred / 0.8)
    np.testing.assert_allclose(found["fade"], fade, atol=1e-5)
    if r.min() < r.max():
        odds = (1 - r.mean()) / r.mean()
        np.testing.assert_allclose(found["asymmetric"], np.where(r == 1, odds**0.9, -(odds**-0.4)), rtol=1e-5)


@pytest.mark.parametrize("name", ADVANTAGES)
@given(group=rewards)
def test_masses_are_those_of_the_weights(name, group):
    """m_S and m_F, written as functions of p, are the sums of the weights that a group really gets."""
    one, G = ADVANTAGES[name], len(group)
    weights = one.weigh(torch.tensor([group]), SEEN, SETTINGS)[0].double()
    success, failure = one.mass(np.array([sum(group) / G]), SEEN, SETTINGS, G)
    assert float(weights.clamp(min=0).sum()) / G == pytest.approx(success[0], abs=1e-4)
    assert -float(weights.clamp(max=0).sum()) / G == pytest.approx(failure[0], abs=1e-4)
    assert torch.isfinite(weights).all()
    if len(set(group)) == 1:
        assert (weights == 0).all()


@given(rewards.filter(lambda group: len(set(group)) == 2))
def test_advantages_agree_where_they_should(group):
    reward, G = torch.tensor([group]), len(group)
    centred = centred_advantage(reward)
    torch.testing.assert_close(fade_advantage(reward, 1.0, 1.0), centred)
    torch.testing.assert_close(power_advantage(reward, 1.0), centred)
    # GRPO is the symmetric case of AsymGRPO, but for n - 1 in its standard deviation.
    scale = (1 - 1 / G) ** 0.5
    torch.testing.assert_close(
        scale * asymmetric_advantage(reward, 0.5, 0.5), group_advantage(reward), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(("rate", "alpha"), [(0.5, 1.5), (0.2, 3.0), (0.0, 3.0), (1.0, 1.0), (0.6, 1.0), (0.4, 2.25)])
def test_fade_turns_to_hard_problems_while_few_are_solved(rate, alpha):
    assert fade_schedule(Dynamics(rate, 1.0, 1.0))[0] == pytest.approx(alpha)


@pytest.mark.parametrize(("entropy", "delta"), [(1.0, 1.0), (0.5, 1.0), (0.2, 0.7), (0.0, 0.5)])
def test_fade_pushes_failures_harder_as_entropy_falls(entropy, delta):
    assert fade_schedule(Dynamics(0.5, entropy, 1.0))[1] == pytest.approx(delta)
    assert fade_schedule(Dynamics(0.5, entropy, 9.0))[1] == 0.3


@pytest.mark.parametrize("entropy", [None, float("nan"), float("inf")])
def test_fade_refuses_an_entropy_that_is_no_number(entropy):
    with pytest.raises(ScalefitError, match="finite numbers"):
        fade_schedule(Dynamics(0.5, entropy, 1.0))


def test_running_means_by_hand():
    state = Dynamics().after_sampling(2.0, 0.02).after_scoring(1.0, 0.02)
    assert state == Dynamics(pytest.approx(0.51), 2.0, 2.0)
    assert state.after_sampling(1.0, 0.02) == Dynamics(pytest.approx(0.51), pytest.approx(1.98), 2.0)


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(case):
    """Against every subset of k answers, counted."""
    n, right, k = case
    answers = [True] * right + [False] * (n - right)
    subsets = list(itertools.combinations(answers, k))
    assert pass_at_k(np.array([right / n]), n, [k])[0, 0] == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_is_unbiased():
    """20 000 draws of 8 answers at a pass rate of .2: the mean is 1 - .8^4 within four standard errors (false alarm 6e-5)."""
    right = np.random.default_rng(0).binomial(8, 0.2, 20_000)
    found = pass_at_k(right / 8, 8, [4])
    assert found.mean() == pytest.approx(1 - 0.8**4, abs=4 * found.std() / 20_000**0.5)
    with pytest.raises(UsageError, match="there are 8"):
        pass_at_k(right / 8, 8, [9])


def test_clipping_by_hand():
    old = torch.zeros(1, 2, 2)
    log_prob = torch.log(torch.tensor([[[1.5, 0.5], [1.5, 0.5]]]))
    advantage = torch.tensor([[1.0, -1.0]])
    # A > 0: the ratio counts up to 1.3; A < 0: it counts down to .8.
    assert clipped_loss(log_prob, old, advantage, 0.2, 0.3).flatten().tolist() == pytest.approx([-1.3, -0.5, 1.5, 0.8])


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8))
def test_kl_estimate_is_never_negative_and_unbiased(logits):
    p = torch.tensor([*logits, 0.0], dtype=torch.float64).log_softmax(-1)
    q = torch.tensor([0.0, *logits], dtype=torch.float64).log_softmax(-1)
    estimate = low_variance_kl(p, q)
    assert (estimate >= -1e-12).all()
    # Its mean under the policy is the divergence itself.
    assert float((p.exp() * estimate).sum()) == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-9)
    assert float(entropy_of(p)) == pytest.approx(float(-(p.exp() * p).sum()))


def test_normalisations_by_hand():
    mask = torch.tensor([[[1, 1, 1, 0], [1, 0, 0, 0]]]).bool()
    assert token_weight(mask, "token", 4)[0, :, 0].tolist() == pytest.approx([1 / 4, 1 / 4])
    assert token_weight(mask, "sequence", 4)[0, :, 0].tolist() == pytest.approx([1 / 6, 1 / 2])
    assert token_weight(mask, "dr-grpo", 4)[0, :, 0].tolist() == pytest.approx([1 / 8, 1 / 8])


def a_run(task=None, **changes):
    grpo = GrpoConfig(
        **{"steps": 4, "prompts": 8, "mini_batch": 8, "micro_batch": 8, "kl": 0.0, "max_new_tokens": 4, **changes}
    )
    config = Config(policy=PolicyConfig(sizes=(SIZE,)), grpo=grpo, eval=EvalConfig(problems=16), sweep=SweepConfig())
    policy = NanoPolicy(NanoShape("t", 16, 2, 2), Arithmetic().alphabet, torch.Generator().manual_seed(1))
    return Run(RunSpec(config, SIZE, "base", 0, 4, 1), task or FirstDigit(), policy)


class FirstDigit(Arithmetic):
    """Half of what an untrained model writes is right: groups with and without spread."""

    def score(self, response, example):
        return Score(float(response[:1] in "01234+"), True)


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.policy.model.parameters()])


@pytest.mark.parametrize("normalisation", get_args(Normalisation))
def test_micro_batches_add_up_to_the_mini_batch(normalisation):
    whole, parts = a_run(normalisation=normalisation), a_run(normalisation=normalisation, micro_batch=3)
    for run in (whole, parts):
        run.advance()
    gradients = [torch.cat([p.grad.flatten() for p in run.policy.model.parameters()]) for run in (whole, parts)]
    assert gradients[0].norm() > 0
    assert (gradients[0] - gradients[1]).norm() / gradients[0].norm() < 1e-5


def test_skipping_uniform_groups_leaves_the_gradient_as_it_is():
    skipping, full = a_run(), a_run(skip_uniform=False)
    for run in (skipping, full):
        run.advance()
    assert 0 < skipping.diagnostics["uniform_groups"] < 1
    gradients = [torch.cat([p.grad.flatten() for p in run.policy.model.parameters()]) for run in (skipping, full)]
    assert (gradients[0] - gradients[1]).norm() / gradients[1].norm() < 1e-5
    assert skipping.state.totals["flops_training"] < full.state.totals["flops_training"]


def test_first_gradient_is_the_policy_gradient():
    """With ratio 1 and one mini-batch the gradient is that of -sum A log p / tokens."""
    run = a_run()
    model = run.policy.model
    rollouts = {}
    sample = run.sampler.sample

    def remember(*args, **kwargs):
        rollouts["drawn"] = sample(*args, **kwargs)
        return rollouts["drawn"]

    run.sampler.sample = remember
    before = {name: value.clone() for name, value in model.state_dict().items()}
    run.config = dataclasses.replace(run.config, gradient_clip=1e9)
    run.advance()
    found = torch.cat([p.grad.flatten() for p in model.parameters()])
    model.load_state_dict(before)
    drawn = rollouts["drawn"]
    reward = torch.tensor([[run.task.score(text, None).reward for text in group] for group in run.policy.texts(drawn)])
    advantage = group_advantage(reward)
    model.zero_grad()
    log_prob = run.policy.response_logits(drawn).log_softmax(-1).gather(-1, drawn.response_PGT[..., None])[..., 0]
    (-(advantage[..., None] * log_prob * drawn.mask_PGT).sum() / drawn.mask_PGT.sum()).backward()
    wanted = torch.cat([p.grad.flatten() for p in model.parameters()])
    assert (found - wanted).norm() / wanted.norm() < 1e-4


def test_reward_rises_where_it_can():
    """Twenty steps on a reward that the first digit decides; chance alone would leave it near a half."""
    run = a_run(steps=20, prompts=16, mini_batch=8, learning_rate=1e-2)
    run.advance()
    first = run.diagnostics["reward"]
    while run.state.step < 20:
        run.advance()
    assert run.diagnostics["reward"] > max(0.9, first)


def test_kl_holds_the_policy_back():
    free, held = (a_run(steps=10, kl=kl, learning_rate=1e-2) for kl in (0.0, 10.0))
    start = weights(free)
    for run in (free, held):
        while run.state.step < 10:
            run.advance()
    assert held.diagnostics["kl"] < 0.1
    assert held.state.totals["flops_reference"] > 0
    assert (weights(held) - start).norm() < (weights(free) - start).norm()


@pytest.mark.parametrize("spoil", ["weights", "logits"])
def test_what_is_not_finite_stops_the_run(spoil, monkeypatch):
    run = a_run()
    if spoil == "weights":
        with torch.no_grad():
            next(iter(run.policy.model.blocks)).down.fill_(float("nan"))
    else:
        right = run.policy.response_logits
        monkeypatch.setattr(run.policy, "response_logits", lambda rollouts: right(rollouts) * float("nan"))
    before = len(run.state.rows)
    with pytest.raises(Diverged):
        run.advance()
    assert len(run.state.rows) == before


def test_attention_is_counted_when_asked():
    """By hand, from every row's own lengths: 4 channels-products a pair and layer, three passes' worth in training."""
    plain, full = a_run(skip_uniform=False), a_run(skip_uniform=False, count_attention=True)
    for run in (plain, full):
        run.advance()
    drawn = full.policy.sample(
        [example.prompt for example in full.examples[:8]],
        4,
        max_new_tokens=4,
        temperature=1.0,
        generator=torch.Generator().manual_seed(0),
    )
    pairs = 0
    for pad, group in zip(drawn.pad_P.tolist(), drawn.lengths_PG.tolist(), strict=True):
        prompt = drawn.prompt_PS.shape[1] - pad
        pairs += sum(range(1, prompt + 1)) + sum(prompt + t for length in group for t in range(1, length))
    assert drawn.attention_pairs == pairs
    gap = {name: full.state.totals[name] - plain.state.totals[name] for name in full.state.totals}
    assert gap["flops_training"] == pytest.approx(3 * gap["flops_generation"])
    assert gap["flops_generation"] > 0
    assert gap["flops"] == gap["flops_reference"] == 0


def test_schedules():
    config = GrpoConfig(steps=10, warmup=2, schedule="linear")
    assert [learning_rate_at(s, 1.0, config) for s in (0, 1, 2, 6)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert learning_rate_at(6, 1.0, dataclasses.replace(config, schedule="cosine")) == pytest.approx(0.5)
    assert learning_rate_at(9, 1.0, dataclasses.replace(config, schedule="constant")) == 1.0


@pytest.mark.parametrize(("reuse", "order"), [(1, "curriculum"), (4, "curriculum"), (8, "shuffled")])
def test_reuse_repeats_whole_passes(reuse, order):
    run = a_run(steps=16)
    config = dataclasses.replace(run.spec.config, task=dataclasses.replace(run.spec.config.task, order=order))
    examples = training_examples(Arithmetic(), dataclasses.replace(run.spec, config=config, reuse=reuse))
    assert len(examples) == 128
    unique = 128 // reuse
    passes = [{e.prompt for e in examples[at : at + unique]} for at in range(0, 128, unique)]
    assert all(len(one) == unique for one in passes)
    assert all(one == passes[0] for one in passes)
    if order == "curriculum":
        hard = [e.difficulty for e in examples[:unique]]
        assert hard == sorted(hard)


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (7, 20), (20, 20), (250, 512)])
def test_exact_interval_is_scipys(hits, trials):
    from scipy.stats import binomtest

    wanted = binomtest(hits, trials).proportion_ci(method="exact")
    assert binomial_interval(hits, trials) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_evaluation_counts():
    run = a_run()
    found = evaluate(
        run.policy,
        run.sampler,
        run.task,
        distinct(run.task, "eval", 100),
        samples=3,
        max_new_tokens=4,
        temperature=1.0,
        generator=torch.Generator(),
    )
    assert found.pass_rate.shape == (100,)
    assert found.low <= found.loss <= found.high
    assert 0 <= found.truncated <= 1


@pytest.mark.parametrize("pass_tokens", [1, 60, 4096])
def test_the_loss_on_right_answers_is_that_of_each_text_by_itself(pass_tokens):
    """A plain pass over prompt, worked solution and end, one problem at a time without padding."""
    task = Logic("implication", depth=3, pretrain_depth=3)
    policy = NanoPolicy(NanoShape("t", 16, 2, 2), task.alphabet, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in policy.model.parameters():
            weight.mul_(3)  # far from uniform
    examples = [task.draw("eval", at) for at in range(12)]
    wanted = []
    for example in examples:
        assert example.worked
        prompt, said = policy.encode(example.prompt), [*policy.encode(example.worked), END]
        logits = policy.model(torch.tensor([prompt + said]))[0, len(prompt) - 1 : -1]
        wanted.append(float(F.cross_entropy(logits.detach(), torch.tensor(said))))
    assert max(wanted) > min(wanted) + 0.1
    assert answer_loss(policy, examples, pass_tokens) == pytest.approx(sum(wanted) / len(wanted), abs=1e-5)


def test_the_loss_on_right_answers_stands_where_a_run_begins_and_ends(tmp_path):
    """Asking for it moves nothing else; without it there is no such column, and the run is the one that it was."""
    grpo = GrpoConfig(steps=2, prompts=4, mini_batch=2, max_new_tokens=4, kl=0.0)
    text = PretrainConfig(tokens=2000, base_tokens=0)
    plain = Config(policy=PolicyConfig(sizes=(SIZE,)), grpo=grpo, eval=EvalConfig(every=1, problems=16), pretrain=text)
    asked = dataclasses.replace(plain, eval=EvalConfig(every=1, problems=16, answer_loss=True))
    assert (
        dataclasses.replace(asked, eval=EvalConfig(every=1, problems=16, answer_loss=False)).digest() == plain.digest()
    )
    before, rows = (make(config.runs()[0], tmp_path / name) for name, config in (("plain", plain), ("asked", asked)))
    said = [row.pop("answer_loss") for row in rows]
    assert rows == before
    assert said[1] is None
    assert min(said[0], said[2]) > 0
