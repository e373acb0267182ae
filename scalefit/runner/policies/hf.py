"""`hf`: any causal language model of transformers, from a directory, a GGUF file or a hub name.

The same loop as nano's, without its sharing of prompts in training. Shapes: P prompts, G rollouts a prompt,
S prompt tokens (left-padded), T response tokens, V vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalefit.errors import ScalefitError, UsageError
from scalefit.output import write_file
from scalefit.runner.draw import draw
from scalefit.runner.memory import BYTES_A_WEIGHT, shortage
from scalefit.runner.policies.policy import chat_turns, plain_text
from scalefit.runner.rollouts import Rollouts
from scalefit.runner.tasks.task import Prompt


class HfPolicy:
    """A model with its tokeniser; prompts go through the chat template where `chat` is set and there is one.

    Parameters
    ----------
    source : str
        Directory, GGUF file or hub name.
    chat : bool
        Whether prompts are a user's turn (instruct models) or plain text (base models).
    instruction : str
        Put after every prompt, on a line of its own.
    """

    def __init__(self, source: str, chat: bool, instruction: str = "") -> None:
        try:
            import transformers
        except ImportError as error:
            raise ScalefitError(
                f"policies of kind 'hf' need transformers ({error}); install it with: pip install 'scalefit-rl[hf]'."
            ) from None
        where, options = _place(source)
        try:
            config = transformers.AutoConfig.from_pretrained(where, **options)
            tokenizer: Any = transformers.AutoTokenizer.from_pretrained(where, padding_side="left", **options)
            _check_memory(source, config)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **options)
        except (OSError, ValueError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UsageError(
                f"[[policy.sizes]] model {source!r}: transformers cannot load it ({reason}). "
                "Give a directory with config.json, tokeniser and weights, a GGUF file, or a hub name that can be reached."
            ) from None
        self.source, self.tokenizer, self.model = source, tokenizer, model
        model.eval()  # no dropout: the ratio to the sampler's probabilities starts at one
        self.chat = chat and self.tokenizer.chat_template is not None
        self.instruction = instruction
        inner, head = self.model.get_input_embeddings().weight, self.model.get_output_embeddings().weight
        tables = inner.numel() + (0 if head is inner else head.numel())
        self.params = sum(weight.numel() for weight in self.model.parameters()) - tables
        self.matrix_params = self.params
        self.head_params = head.numel()
        self.layers, self.channels = config.num_hidden_layers, config.hidden_size
        self.max_length = config.max_position_embeddings
        ends = self.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self.ends: list[int] = sorted({end for end in (*ends, self.tokenizer.eos_token_id) if end is not None})

    def _text(self, prompt: Prompt) -> str:
        if not self.chat:
            text = plain_text(prompt)
            return f"{text}\n{self.instruction}" if self.instruction else text
        turns = chat_turns(prompt, self.instruction)
        found: str = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return found

    def pack(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Return prompts left-padded to one length (P, S) and their padding (P,)."""
        rows = self.tokenizer([self._text(prompt) for prompt in prompts], add_special_tokens=not self.chat)["input_ids"]
        longest = max(map(len, rows))
        pad = [longest - len(row) for row in rows]
        tokens = torch.tensor([[0] * extra + row for extra, row in zip(pad, rows, strict=True)])
        return tokens, torch.tensor(pad)

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[Prompt],
        group_size: int,
        *,
        max_new_tokens: int,
        temperature: float,
        generator: torch.Generator,
    ) -> Rollouts:
        """Draw responses: one prefill a prompt, its cache repeated for the rollouts, then one token at a time."""
        prompt_PS, pad_P = self.pack(prompts)
        P, S = prompt_PS.shape
        G, T = group_size, max_new_tokens
        logits, cache = self._prefill(prompt_PS, pad_P, G)
        seen = (torch.arange(S) >= pad_P[:, None]).long().repeat_interleave(G, 0)
        position = (S - pad_P).repeat_interleave(G)
        response = torch.zeros(P * G, T, dtype=torch.long)
        log_prob, mask = torch.zeros(P * G, T), torch.zeros(P * G, T, dtype=torch.bool)
        alive = torch.ones(P * G, dtype=torch.bool)
        ends = torch.tensor(self.ends)
        entropy_sum, forward, rows_sampled = 0.0, P * S, P
        for t in range(T):
            token, chosen, p_log_p = draw(logits, temperature, generator)
            response[:, t] = torch.where(alive, token, 0)
            log_prob[:, t] = torch.where(alive, chosen, 0.0)
            mask[:, t] = alive
            entropy_sum -= float(p_log_p.nansum(-1)[alive].sum())
            alive = alive & ~torch.isin(token, ends)
            if t == T - 1 or not alive.any():
                break
            seen = torch.cat((seen, torch.ones(P * G, 1, dtype=torch.long)), 1)
            forward, rows_sampled = forward + P * G, rows_sampled + P * G
            logits = self.model(
                token[:, None],
                attention_mask=seen,
                position_ids=position[:, None] + t,
                past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]
        return Rollouts(
            prompt_PS,
            pad_P,
            response.view(P, G, T),
            mask.view(P, G, T),
            log_prob.view(P, G, T),
            ~alive.view(P, G),
            entropy_sum / max(int(mask.sum()), 1),
            forward,
            rows_sampled,
        )

    def _prefill(self, prompt_PS: Tensor, pad_P: Tensor, copies: int) -> tuple[Tensor, Any]:
        """Return the logits of every rollout's first token (P copies, V), and the cache, repeated for the rollouts."""
        from transformers import DynamicCache

        seen = (torch.arange(prompt_PS.shape[1]) >= pad_P[:, None]).long()
        cache = DynamicCache(config=self.model.config)
        out = self.model(
            prompt_PS,
            attention_mask=seen,
            position_ids=(seen.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache.batch_repeat_interleave(copies)
        return out.logits[:, -1].repeat_interleave(copies, 0), cache

    def texts(self, rollouts: Rollouts) -> list[list[str]]:
        """Return the responses as text without special tokens, prompts x group."""
        return [
            [self.tokenizer.decode(row[kept], skip_special_tokens=True) for row, kept in zip(group, mask, strict=True)]
            for group, mask in zip(rollouts.response_PGT, rollouts.mask_PGT, strict=True)
        ]

    def response_logits(self, rollouts: Rollouts) -> Tensor:
        """Return the logits that predict each response token, (P, G, T, V)."""
        P, G, T = rollouts.response_PGT.shape
        prompt = rollouts.prompt_PS.repeat_interleave(G, 0)
        rows = torch.cat((prompt, rollouts.response_PGT.flatten(0, 1)[:, : T - 1]), 1)
        seen = (torch.arange(rows.shape[1]) >= rollouts.pad_P.repeat_interleave(G)[:, None]).long()
        logits: Tensor = self.model(
            rows,
            attention_mask=seen,
            position_ids=(seen.cumsum(1) - 1).clamp(min=0),
            use_cache=False,
            logits_to_keep=T,
        ).logits
        return logits.view(P, G, T, -1)

    def forward_tokens(self, rollouts: Rollouts) -> int:
        """Return how many tokens `response_logits` processes."""
        P, G, T = rollouts.response_PGT.shape
        return P * G * (rollouts.prompt_PS.shape[1] + T - 1)

    def export(self, folder: Path, head_sizes: Sequence[int] = ()) -> None:
        """Write the model and its tokeniser.

        Raises
        ------
        UsageError
            If its heads are none of `head_sizes`: only a nano model's are padded.
        """
        config = self.model.config
        own = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        if head_sizes and own not in head_sizes:
            raise UsageError(
                f"{self.source!r} has {own} channels a head, and the engine takes {', '.join(map(str, head_sizes))}; "
                "use [policy] sampler = 'torch' for it."
            )
        from safetensors.torch import save_file

        # Not save_pretrained, which refuses what was read from a GGUF file, though its weights are float32 by now.
        plain = copy.deepcopy(config)
        if hasattr(plain, "quantization_config"):
            del plain.quantization_config
        plain.save_pretrained(folder)
        self.model.generation_config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        tied = "lm_head.weight" if config.tie_word_embeddings else ""
        weights = {name: weight.contiguous() for name, weight in self.exported_weights() if name != tied}
        write_file(folder / "model.safetensors", lambda part: save_file(weights, part, metadata={"format": "pt"}))

    def exported_weights(self, head_sizes: Sequence[int] = ()) -> Iterator[tuple[str, Tensor]]:
        """Yield the checkpoint's weights by name as they are now."""
        yield from self.model.state_dict().items()


def _place(source: str) -> tuple[str, dict[str, Any]]:
    """Return what transformers calls the model and the options that it takes."""
    path = Path(source)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UsageError(f"[[policy.sizes]] model {source!r}: no such file.")
        return str(path.parent), {"gguf_file": path.name}
    return source, {}


def _check_memory(source: str, config: Any) -> None:
    """Refuse a model whose training cannot fit, before its weights are read."""
    import transformers

    with torch.device("meta"):
        empty = transformers.AutoModelForCausalLM.from_config(config)
    short = shortage(BYTES_A_WEIGHT * sum(weight.numel() for weight in empty.parameters()))
    if short:
        raise UsageError(f"[[policy.sizes]] model {source!r}: {short}; choose a smaller model.")
