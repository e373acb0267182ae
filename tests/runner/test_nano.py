"""The nano transformer against another implementation, and what sharing prompts must not change."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scalefit.errors import UsageError
from scalefit.runner.flops import attention_flops, forward_flops
from scalefit.runner.policies.nano import Nano, NanoShape
from scalefit.runner.policies.nano_policy import END, NanoPolicy
from scalefit.runner.policies.nano_sample import sample_nano

SHAPE = NanoShape("t", 32, 2, 4)
VOCABULARY = 20


def model(seed=0):
    made = Nano(SHAPE, VOCABULARY, 64, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for block in made.blocks:
            block.norm_attention.uniform_(0.5, 1.5)
            block.norm_feed.uniform_(0.5, 1.5)
        made.embed.normal_(0, 0.5)
    return made


# torch's counter knows baddbmm, not its form in place.
IN_PLACE = {torch.ops.aten.baddbmm_: lambda _, a, b, **k: 2 * a[0] * a[1] * a[2] * b[2]}


def batch(P=3, S=5, G=4, T=6, seed=1):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randint(2, VOCABULARY, shape, generator=g)  # noqa: E731
    return draw(P, S), torch.zeros(P, dtype=torch.long), draw(P, G, T)


def test_is_llama():
    """The same weights in transformers' LlamaForCausalLM give the same logits (rotary pairs in its order)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    mine = model()
    H, K, C = SHAPE.heads, SHAPE.d_model // SHAPE.heads, SHAPE.d_model
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=C,
            intermediate_size=SHAPE.hidden,
            num_hidden_layers=SHAPE.layers,
            num_attention_heads=H,
            rms_norm_eps=1e-6,
            rope_theta=10000.0,
            tie_word_embeddings=True,
            max_position_embeddings=64,
        )
    )
    halves = torch.cat((torch.arange(0, K, 2), torch.arange(1, K, 2)))

    def turned(weight):
        return weight.view(H, K, C)[:, halves].reshape(C, C)

    with torch.no_grad():
        theirs.model.embed_tokens.weight.copy_(mine.embed)
        theirs.model.norm.weight.copy_(mine.norm)
        for layer, block in zip(theirs.model.layers, mine.blocks, strict=True):
            q, k, v = block.qkv.chunk(3)
            layer.self_attn.q_proj.weight.copy_(turned(q))
            layer.self_attn.k_proj.weight.copy_(turned(k))
            layer.self_attn.v_proj.weight.copy_(v)
            layer.self_attn.o_proj.weight.copy_(block.out)
            gate, up = block.gate_up.chunk(2)
            layer.mlp.gate_proj.weight.copy_(gate)
            layer.mlp.up_proj.weight.copy_(up)
            layer.mlp.down_proj.weight.copy_(block.down)
            layer.input_layernorm.weight.copy_(block.norm_attention)
            layer.post_attention_layernorm.weight.copy_(block.norm_feed)
    tokens = torch.randint(0, VOCABULARY, (3, 17), generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(mine(tokens), theirs(tokens).logits, atol=1e-4, rtol=1e-4)


def plain_logits(net, prompt, response):
    P, G, T = response.shape
    rows = torch.cat((prompt[:, None].expand(P, G, -1), response), 2).flatten(0, 1)
    return net(rows)[:, prompt.shape[1] - 1 : -1].view(P, G, T, -1)


def test_sharing_prompts_changes_neither_logits_nor_gradient():
    prompt, pad, response = batch()
    net = model()
    found, grads = [], []
    for logits in (net.response_logits(prompt, pad, response), plain_logits(net, prompt, response)):
        net.zero_grad()
        logits.log_softmax(-1).gather(-1, response[..., None]).mean().backward()
        found.append(logits.detach())
        grads.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)
    assert (grads[0] - grads[1]).norm() / grads[1].norm() < 1e-6 * 5


def test_gradients_agree_with_finite_differences():
    net = model().double()
    net.turn = net.turn.to(torch.complex128)
    prompt, pad, response = batch(P=2, S=3, G=2, T=3)
    for name, weight in net.named_parameters():
        direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))

        def loss(step, weight=weight, direction=direction):
            with torch.no_grad():
                weight.add_(step * direction)
                value = net.response_logits(prompt, pad, response).log_softmax(-1).gather(-1, response[..., None]).sum()
                weight.sub_(step * direction)
            return float(value)

        net.zero_grad()
        net.response_logits(prompt, pad, response).log_softmax(-1).gather(-1, response[..., None]).sum().backward()
        # Central differences in double precision: error of order 1e-10 over the step.
        assert float((weight.grad * direction).sum()) == pytest.approx(
            (loss(1e-5) - loss(-1e-5)) / 2e-5, rel=1e-5, abs=1e-6
        ), name


def test_padding_changes_nothing():
    prompt, pad, response = batch()
    net = model()
    padded = torch.cat((torch.zeros(3, 4, dtype=torch.long), prompt), 1)
    torch.testing.assert_close(
        net.response_logits(padded, pad + 4, response), net.response_logits(prompt, pad, response), atol=1e-5, rtol=1e-5
    )


def test_sampler_records_the_policys_log_probabilities():
    policy = NanoPolicy(SHAPE, "0123456789+-=", torch.Generator().manual_seed(0))
    with torch.no_grad():
        policy.model.embed.normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    prompts = ["1+1=", "12+345=", "9=", "77-8="]
    for temperature in (1.0, 0.7):
        drawn = policy.sample(
            prompts, 16, max_new_tokens=8, temperature=temperature, generator=torch.Generator().manual_seed(4)
        )
        assert drawn.ended_PG.any()
        logits = policy.response_logits(drawn) / temperature
        again = logits.log_softmax(-1).gather(-1, drawn.response_PGT[..., None])[..., 0]
        torch.testing.assert_close(again[drawn.mask_PGT], drawn.old_log_prob_PGT[drawn.mask_PGT], atol=2e-5, rtol=1e-5)
        some = drawn.pick(torch.tensor([2, 0]))
        logits = policy.response_logits(some) / temperature
        again = logits.log_softmax(-1).gather(-1, some.response_PGT[..., None])[..., 0]
        torch.testing.assert_close(again[some.mask_PGT], some.old_log_prob_PGT[some.mask_PGT], atol=2e-5, rtol=1e-5)


def test_an_answer_ends_at_a_stop_string():
    """While nobody has ended, the draws are those without one: the text is cut at the first character that completes it."""
    policy = NanoPolicy(SHAPE, "0123456789+-=", torch.Generator().manual_seed(0))

    def sample(stop, tokens):
        policy.halt_at(stop)
        return policy.sample(
            ["1+1=", "12+345="], 32, max_new_tokens=tokens, temperature=1.0, generator=torch.Generator().manual_seed(4)
        )

    plain = sample((), 3)
    whole = policy.texts(plain)
    cut = sample(("7", "+1", "++"), 3)
    stopped = 0
    for p, group in enumerate(policy.texts(cut)):
        for g, text in enumerate(group):
            if not plain.response_PGT[p, g, : plain.lengths_PG[p, g]].all():
                continue  # padding, which only an untrained model draws, is no character
            ends = [at + len(one) for one in ("7", "+1", "++") if (at := whole[p][g].find(one)) >= 0]
            stopped += bool(ends)
            assert cut.lengths_PG[p, g] == min([*ends, int(plain.lengths_PG[p, g])])
            assert cut.ended_PG[p, g] == (bool(ends) or bool(plain.ended_PG[p, g]))
            assert text == min((whole[p][g].split(one)[0] for one in ("7", "+1", "++")), key=len)
    assert 3 < stopped < 60
    again = policy.score(cut, 1.0).log_prob_PGT
    torch.testing.assert_close(again[cut.mask_PGT], cut.old_log_prob_PGT[cut.mask_PGT], atol=2e-5, rtol=1e-5)
    assert not cut.old_log_prob_PGT[~cut.mask_PGT].any()
    with pytest.raises(UsageError, match="not in the task's alphabet"):
        policy.halt_at(("\n",))


def test_samples_follow_the_distribution():
    net = model()
    prompt, pad, _ = batch(P=1)
    count = 20000
    drawn = sample_nano(
        net,
        prompt,
        pad,
        count,
        max_new_tokens=1,
        temperature=1.0,
        end_token=END,
        generator=torch.Generator().manual_seed(0),
    )
    wanted = net(prompt)[0, -1].softmax(-1).detach()
    seen = torch.bincount(drawn.response_PGT.flatten(), minlength=VOCABULARY) / count
    # Chi-square of 19 degrees of freedom: above 50 once in 7,000 seeds.
    assert float((count * (seen - wanted) ** 2 / wanted).sum()) < 50


def test_temperature_zero_is_greedy():
    net = model()
    prompt, pad, _ = batch(P=2)
    drawn = sample_nano(
        net, prompt, pad, 3, max_new_tokens=1, temperature=0.0, end_token=-1, generator=torch.Generator()
    )
    assert (drawn.response_PGT[:, :, 0] == net(prompt)[:, -1].argmax(-1)[:, None]).all()


def test_flops_are_those_torch_counts():
    prompt, pad, response = batch(P=4, S=7, G=5, T=6)
    net = model()
    P, S, G, R = 4, 7, 5, 5
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        loss = net.response_logits(prompt, pad, response).sum()
    pairs = P * S * S + P * G * R * (S + R)
    head = net.embed.numel()
    wanted = forward_flops(SHAPE.matrix_params, P * S + P * G * R, head, P * G * (R + 1))
    wanted += attention_flops(SHAPE.layers, SHAPE.d_model, pairs)
    assert counter.get_total_flops() == pytest.approx(wanted, rel=1e-9)
    with FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        loss.backward()
    # The backward pass costs twice the forward one; attention recomputes its scores, and norm weights are folded in.
    assert counter.get_total_flops() == pytest.approx(2 * wanted, rel=0.05)


def test_sampling_flops_are_those_torch_counts():
    net = model()
    prompt, pad, _ = batch(P=4, S=7)
    P, S, G, T = 4, 7, 5, 6
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        drawn = sample_nano(
            net, prompt, pad, G, max_new_tokens=T, temperature=1.0, end_token=-1, generator=torch.Generator()
        )
    assert drawn.forward_tokens == P * S + P * G * (T - 1)
    wanted = forward_flops(SHAPE.matrix_params, drawn.forward_tokens, net.embed.numel(), drawn.logit_tokens)
    assert drawn.logit_tokens == P + P * G * (T - 1)
    pairs = P * S * S + P * G * sum(S + t + 1 for t in range(T - 1))
    assert counter.get_total_flops() == pytest.approx(
        wanted + attention_flops(SHAPE.layers, SHAPE.d_model, pairs), rel=1e-9
    )


def test_parameter_count():
    net = model()
    assert sum(p.numel() for p in net.parameters()) == SHAPE.params + net.embed.numel()


def test_sizes_read_the_same_text_which_is_made_once(monkeypatch):
    """The weights are those of text that was made for them."""
    from scalefit.runner import pretrain
    from scalefit.runner.tasks.arithmetic import Arithmetic

    drawn = []
    monkeypatch.setattr(
        Arithmetic, "draw", lambda self, split, at, draw=Arithmetic.draw: drawn.append(at) or draw(self, split, at)
    )

    def trained(d_model, noise=0.3):
        policy = NanoPolicy(NanoShape("a", d_model, 1, 1), Arithmetic().alphabet, torch.Generator().manual_seed(0))
        pretrain._train(policy, Arithmetic(), pretrain._Stage(3000, noise, 1e-2), 16, 5, lambda text: None)
        return torch.cat([weight.flatten() for weight in policy.model.parameters()])

    trained(8)
    once = len(drawn)
    beside = trained(12)
    assert len(drawn) == once > 0
    trained(8, noise=0.2)
    assert len(drawn) == 2 * once
    pretrain._LAST.clear()
    assert torch.equal(trained(12), beside)
