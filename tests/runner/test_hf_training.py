"""How an `hf` policy samples and trains: in parts that add up, with adapters, in bfloat16, to a stop string."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from scalefit.errors import ScalefitError, UsageError
from scalefit.runner import memory
from scalefit.runner.checkpoint import load_checkpoint, save_checkpoint
from scalefit.runner.draw import draw_at
from scalefit.runner.flops import attention_flops, forward_flops
from scalefit.runner.policies import head, hf
from scalefit.runner.policies.hf import HfPolicy, has_plain_head
from scalefit.runner.sections import HfConfig, LoraConfig
from scalefit.runner.train import generator_for
from tests.runner.test_devices import a_run
from tests.runner.test_hf import make_llama

PROMPTS = ["1+2=", "10+20+3=", "7=", "5-4+3-2="]


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return str(make_llama(tmp_path_factory.mktemp("llama"), 32, tied=True))


def sample(policy, *, group=3, tokens=6, temperature=1.0, seed=0):
    return policy.sample(
        PROMPTS, group, max_new_tokens=tokens, temperature=temperature, generator=generator_for("hf", seed)
    )


def slope(model):
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad])


@pytest.mark.parametrize("settings", [HfConfig(), HfConfig(gradient_checkpointing=True)])
@pytest.mark.parametrize("chunk", [1 << 24, 7 * 21])
def test_parts_of_the_logits_add_up_to_the_whole(llama, settings, chunk, monkeypatch):
    """Log-probabilities, entropies and gradient are those of torch's own softmax over all logits, to rounding in float64."""
    monkeypatch.setattr(head, "LOGITS_AT_ONCE", chunk)
    policy = HfPolicy(llama, chat=False, settings=settings)
    policy.model.double()
    rollouts = sample(policy)
    weight = torch.randn(rollouts.mask_PGT.shape, dtype=torch.float64, generator=generator_for("weight"))
    found = policy.score(rollouts, 0.7, entropy=True)
    (weight * (found.log_prob_PGT + 0.1 * found.entropy_PGT)).sum().backward()
    mine = slope(policy.model)
    policy.model.zero_grad()
    spread = torch.distributions.Categorical(logits=policy.response_logits(rollouts) / 0.7)
    wanted = spread.log_prob(rollouts.response_PGT), spread.entropy()
    (weight * (wanted[0] + 0.1 * wanted[1])).sum().backward()
    for own, other in zip((found.log_prob_PGT, found.entropy_PGT), wanted, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-12)
    assert (mine - slope(policy.model)).norm() / mine.norm() < 1e-12


@pytest.mark.parametrize("changes", [{}, {"kl": 0.1, "entropy": 0.01}, {"normalisation": "sequence"}])
def test_parts_of_a_group_add_up_to_the_mini_batch(llama, changes):
    """At 20 tokens a pass a group of four is split; the gradient is that of one pass over the whole mini-batch."""
    gradients = []
    for tokens in (20, 10**6):
        run = a_run(
            HfPolicy(llama, chat=False),
            "hf",
            **{"pass_tokens": tokens, "kl": 0.0, "mini_batch": 4, "steps": 1, **changes},
        )
        run.policy.model.double()
        if run.reference is not None:
            run.reference.model.double()
        passes = run._passes(sample(run.policy, group=4), torch.arange(4))
        assert (len(passes) > 4) == (tokens == 20)
        run.advance()
        gradients.append(slope(run.policy.model))
    assert gradients[0].norm() > 0
    assert (gradients[0] - gradients[1]).norm() / gradients[1].norm() < 1e-6


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_what_is_sampled_does_not_depend_on_how_many_are_sampled_together(llama, rows, monkeypatch):
    policy = HfPolicy(llama, chat=False)
    whole = sample(policy, group=3, tokens=12)
    one = memory.shape_of(policy.model.config).sequence_bytes(whole.prompt_PS.shape[1] + 12)
    monkeypatch.setattr(hf, "SAMPLE_BYTES", rows * one)
    parts = sample(policy, group=3, tokens=12)
    assert parts.forward_tokens != whole.forward_tokens
    assert torch.equal(parts.response_PGT, whole.response_PGT)
    assert torch.equal(parts.mask_PGT, whole.mask_PGT)
    assert torch.equal(parts.ended_PG, whole.ended_PG)
    torch.testing.assert_close(parts.old_log_prob_PGT, whole.old_log_prob_PGT, rtol=0, atol=2e-6)
    assert parts.entropy == pytest.approx(whole.entropy, rel=1e-6)


def test_draws_follow_the_distribution():
    """20 000 draws of 12 tokens: chi-square of 11 degrees of freedom, above 40 once in 28,000 seeds. One never happens."""
    logits = torch.randn(12, generator=generator_for("logits"))
    logits[[0, 5, 11]] = float("-inf")
    count = 20_000
    place = 1 - torch.rand(count, dtype=torch.float64, generator=generator_for("place"))
    token, log_prob, entropy = draw_at(place, logits.expand(count, -1), 0.8)
    wanted = (logits / 0.8).softmax(-1)
    seen = torch.bincount(token, minlength=12) / count
    possible = wanted > 0
    assert float((count * (seen - wanted)[possible] ** 2 / wanted[possible]).sum()) < 40
    assert (seen[~possible] == 0).all()
    torch.testing.assert_close(log_prob, wanted.log()[token])
    assert float(entropy[0]) == pytest.approx(float(torch.distributions.Categorical(probs=wanted).entropy()))
    ends = torch.tensor([1.0, 2.0**-53], dtype=torch.float64)
    assert possible[draw_at(ends, logits.expand(2, -1), 0.8)[0]].all()


def test_an_output_layer_that_does_more_is_left_to_the_model(llama):
    """Gemma 2 caps its logits; what is scored is what the model says, not its last product."""
    import transformers

    config = transformers.Gemma2Config(
        vocab_size=21,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        final_logit_softcapping=0.1,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    policy = HfPolicy(llama, chat=False)
    assert has_plain_head(policy.model)
    torch.manual_seed(0)
    policy.model = transformers.Gemma2ForCausalLM(config).eval()
    assert not has_plain_head(policy.model)
    policy._plain_head = False
    rollouts = sample(policy)
    torch.testing.assert_close(
        policy.score(rollouts, 1.0).log_prob_PGT[rollouts.mask_PGT], rollouts.old_log_prob_PGT[rollouts.mask_PGT]
    )


def test_checkpointing_counts_the_pass_it_adds(llama):
    """By torch's own counter: the layers' forward pass four times, the output layer's three."""
    policy = HfPolicy(llama, chat=False, settings=HfConfig(gradient_checkpointing=True))
    policy.model.set_attn_implementation("eager")  # the counter knows no fused attention of processors
    rollouts = sample(policy)
    assert policy.training_passes(rollouts) == (4, 3)
    with FlopCounterMode(display=False) as counter:
        policy.score(rollouts, 1.0).log_prob_PGT.sum().backward()
    P, G, T = rollouts.response_PGT.shape
    length = rollouts.prompt_PS.shape[1] + T - 1
    matrices = sum(w.numel() for n, w in policy.model.named_parameters() if w.ndim == 2 and "embed" not in n)
    wanted = forward_flops(4 * matrices, P * G * length, 3 * policy.head_params, P * G * T)
    wanted += 4 * attention_flops(policy.layers, policy.channels, P * G * length**2)
    # What comes last in a layer, the product with 64 x 32 weights, need not be computed again.
    assert counter.get_total_flops() == wanted - forward_flops(2 * 64 * 32, P * G * length)


def test_an_adapter_is_trained_alone_and_switched_off_is_the_reference(llama):
    plain, run = (
        HfPolicy(llama, chat=False),
        a_run(HfPolicy(llama, chat=False, settings=HfConfig(lora=LoraConfig(4))), "hf", kl=0.1, steps=2),
    )
    policy = run.policy
    assert policy.params == plain.params
    assert run.reference.model is policy.model
    rollouts = sample(plain)
    start = plain.score(rollouts, 1.0).log_prob_PGT.detach()
    torch.testing.assert_close(policy.score(rollouts, 1.0).log_prob_PGT, start)
    while run.state.step < 2:
        run.advance()
    assert run.diagnostics["kl"] > 0
    now = policy.score(rollouts, 1.0).log_prob_PGT.detach()
    assert (now - start).abs().max() > 1e-3
    torch.testing.assert_close(run.reference.score(rollouts, 1.0).log_prob_PGT, start)
    # Rank 4 on every linear layer: 4 (in + out) each.
    shapes = [(32, 32), (32, 16), (32, 16), (32, 32), (32, 64), (32, 64), (64, 32)]
    assert sum(weight.numel() for weight in run.weights) == 2 * 4 * sum(map(sum, shapes))


def test_a_checkpoint_written_out_holds_what_the_adapter_adds(llama, tmp_path):
    run = a_run(
        HfPolicy(llama, chat=False, settings=HfConfig(lora=LoraConfig(4, 8, ("q_proj", "down_proj")))), "hf", steps=1
    )
    run.advance()
    run.policy.export(tmp_path)
    rollouts = sample(run.policy)
    again = HfPolicy(str(tmp_path), chat=False)
    torch.testing.assert_close(
        again.score(rollouts, 1.0).log_prob_PGT, run.policy.score(rollouts, 1.0).log_prob_PGT, rtol=0, atol=1e-5
    )
    with pytest.raises(UsageError, match="linear layers are down_proj"):
        HfPolicy(llama, chat=False, settings=HfConfig(lora=LoraConfig(4, 8, ("nothing",))))


@pytest.mark.parametrize("lora", [0, 4])
def test_a_resumed_run_is_the_one_that_was_not_stopped(llama, tmp_path, lora):
    """Bit by bit, though the checkpoint holds neither the reference nor what lies under an adapter."""
    settings = HfConfig(lora=LoraConfig(lora))
    make = lambda: a_run(HfPolicy(llama, chat=False, settings=settings), "hf", kl=0.1, steps=3)  # noqa: E731
    whole, first, second = make(), make(), make()
    for run in (whole, first):
        run.advance()
    save_checkpoint(first, tmp_path)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert "reference" not in content
    assert all("lora" in name for name in content["model"]) == bool(lora)
    assert load_checkpoint(second, tmp_path) is None
    for run in (whole, second):
        while run.state.step < 3:
            run.advance()
    assert all(torch.equal(*pair) for pair in zip(whole.weights, second.weights, strict=True))
    assert whole.diagnostics == second.diagnostics
    # Other weights at the source are not taken for those that the run began with.
    with torch.no_grad():
        other = HfPolicy(llama, chat=False, settings=settings)
        other.model.get_input_embeddings().weight[3, 3] += 1e-6
    with pytest.raises(ScalefitError, match="begun from other weights of t"):
        load_checkpoint(a_run(other, "hf", kl=0.1, steps=3), tmp_path)


def test_bfloat16_is_for_products_only(llama):
    run = a_run(HfPolicy(llama, chat=False, settings=HfConfig(precision="bf16")), "hf", kl=0.0, steps=1)
    rollouts = sample(run.policy)
    with torch.no_grad():
        plain = HfPolicy(llama, chat=False).score(rollouts, 1.0).log_prob_PGT
        found = run.policy.score(rollouts, 1.0).log_prob_PGT
    assert found.dtype == torch.float32
    # bfloat16 keeps 8 bits: of log-probabilities of about -3 errors of a hundredth are expected, and some.
    assert 0 < float((found - plain).abs().max()) < 0.05
    run.advance()
    assert {weight.dtype for weight in run.weights} == {weight.grad.dtype for weight in run.weights} == {torch.float32}
    assert {value.dtype for state in run.optimiser.state.values() for value in state.values()} == {torch.float32}


def test_an_answer_ends_at_a_stop_string(llama):
    """By the same draws without one: cut after the first token with which the text holds it, masked from there on."""
    stops = ("7", "+ 1")  # the tokeniser puts a space between characters
    plain, stopping = HfPolicy(llama, chat=False), HfPolicy(llama, chat=False, stop=stops)
    whole, cut = (sample(policy, group=8, tokens=20) for policy in (plain, stopping))
    stopped = 0
    for p, group in enumerate(plain.texts(whole)):
        for g, text in enumerate(group):
            kept = int(whole.mask_PGT[p, g].sum())
            texts = [
                plain.tokenizer.decode(whole.response_PGT[p, g, :t], skip_special_tokens=True) for t in range(kept + 1)
            ]
            holding = [t for t, one in enumerate(texts) if any(stop in one for stop in stops)]
            kept = holding[0] if holding else kept
            stopped += bool(holding)
            assert cut.ended_PG[p, g] == (whole.ended_PG[p, g] or bool(holding))
            assert stopping.texts(cut)[p][g] == min((text.split(stop)[0] for stop in stops), key=len)
            assert cut.lengths_PG[p, g] == kept
            assert torch.equal(cut.response_PGT[p, g, :kept], whole.response_PGT[p, g, :kept])
            assert not cut.response_PGT[p, g, kept:].any()
            assert not cut.old_log_prob_PGT[p, g, kept:].any()
    assert 5 < stopped < 32
    assert cut.tokens < whole.tokens
