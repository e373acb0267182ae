"""`hf`: any causal language model of transformers, from a directory, a GGUF file or a hub name.

The same loop as nano's, without its sharing of prompts in training. Shapes: P prompts, G rollouts a prompt,
S prompt tokens (left-padded), T response tokens, V vocabulary.
"""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scalefit.errors import ScalefitError, UsageError
from scalefit.extras import install_hint
from scalefit.output import write_file
from scalefit.runner.memory import SAMPLE_BYTES, shape_of, telling_shortage
from scalefit.runner.policies.head import chunk_of, score_tokens
from scalefit.runner.policies.hf_lora import add_adapter, merged_weights, without_adapter
from scalefit.runner.policies.hf_sample import Order, sample_hf
from scalefit.runner.policies.policy import Scored, before_stop, chat_turns, left_padded, plain_text
from scalefit.runner.rollouts import Rollouts
from scalefit.runner.sections import HfConfig
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
    settings : HfConfig
        Section [hf] of the experiment file.
    device : torch.device
        Where it computes.
    stop : sequence of str
        Strings that end an answer.
    seed : int
        From which an adapter is drawn.
    fits : callable
        Refuses a model by its configuration and tokeniser, before its weights are read.
    """

    splits_from = 1

    def __init__(
        self,
        source: str,
        chat: bool,
        instruction: str = "",
        *,
        settings: HfConfig = HfConfig(),  # noqa: B008
        device: torch.device | str = "cpu",
        stop: Sequence[str] = (),
        seed: int = 0,
        fits: Callable[[Any, Any], None] = lambda config, tokenizer: None,
    ) -> None:
        self.source, self.settings, self.instruction, self.stop = source, settings, instruction, tuple(stop)
        self.tokenizer, model = _load(source, fits)
        self.chat = chat and self.tokenizer.chat_template is not None
        model.eval()  # no dropout: the ratio to the sampler's probabilities starts at one
        inner, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        tables = inner.numel() + (0 if head is inner else head.numel())
        self.params = sum(weight.numel() for weight in model.parameters()) - tables
        self.matrix_params = self.params
        self.head_params, self.vocabulary = head.numel(), len(head)
        config = model.config
        self.layers, self.channels = config.num_hidden_layers, config.hidden_size
        self.max_length = config.max_position_embeddings
        ends = model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self.ends: list[int] = sorted({end for end in (*ends, self.tokenizer.eos_token_id) if end is not None})
        self.pretrained: dict[str, float] = {}
        # A token is a byte at least, but for what a special one may add at the border.
        self._stop_tokens = max((len(text.encode()) for text in stop), default=0) + 4
        self._bare = False
        if settings.lora.rank:
            add_adapter(model, settings.lora, seed)
        self._plain_head = has_plain_head(model)
        if settings.gradient_checkpointing:
            _checkpoint_layers(source, model)
        with telling_shortage(f"putting {source} on {device}", "choose a smaller model"):
            self.model: Any = model.to(device)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

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
        return left_padded(rows, 0)

    def sample(
        self,
        prompts: Sequence[Prompt],
        group_size: int,
        *,
        max_new_tokens: int,
        temperature: float,
        generator: torch.Generator,
    ) -> Rollouts:
        """Draw responses, so many sequences at a time as some memory holds."""
        prompt_PS, pad_P = self.pack(prompts)
        length = prompt_PS.shape[1] + max_new_tokens
        order = Order(
            max_new_tokens,
            temperature,
            torch.tensor(self.ends),
            self._halts if self.stop else None,
            max(1, int(self._sample_bytes() / shape_of(self.model.config).sequence_bytes(length))),
        )
        with self._computing():
            return sample_hf(self.model, prompt_PS, pad_P, group_size, order, generator)

    def _sample_bytes(self) -> float:
        """Return what sampling may take beside the model: on a GPU half of what it has free."""
        return torch.cuda.mem_get_info(self.device)[0] / 2 if self.device.type == "cuda" else SAMPLE_BYTES

    def _halts(self, response: Tensor) -> bool:
        """Say whether a response holds a stop string; it was looked at a token ago, so the last few are enough."""
        text = self.tokenizer.decode(response[-self._stop_tokens :], skip_special_tokens=True)
        return any(stop in text for stop in self.stop)

    def response_of(self, text: str) -> list[int]:
        """Return the tokens of a response that says a text and ends; a model that knows no end has none."""
        said: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        end = self.tokenizer.eos_token_id
        return [*said, *(self.ends[:1] if end is None else [end])]

    def texts(self, rollouts: Rollouts) -> list[list[str]]:
        """Return the responses as text without special tokens and up to a stop string, prompts x group."""
        return [
            [
                before_stop(self.tokenizer.decode(row[kept], skip_special_tokens=True), self.stop)
                for row, kept in zip(group, mask, strict=True)
            ]
            for group, mask in zip(rollouts.response_PGT, rollouts.mask_PGT, strict=True)
        ]

    def response_logits(self, rollouts: Rollouts) -> Tensor:
        """Return the logits that predict each response token, (P, G, T, V)."""
        P, G, T = rollouts.response_PGT.shape
        with self._computing():
            logits: Tensor = self.model(**self._rows(rollouts), logits_to_keep=T).logits
        return logits.view(P, G, T, -1)

    def score(self, rollouts: Rollouts, temperature: float, *, entropy: bool = False) -> Scored:
        """Return the log-probabilities of the responses at a temperature, with the entropy where asked for."""
        token = rollouts.response_PGT.to(self.device)
        T = token.shape[2]
        if self._plain_head:
            with self._computing():
                hidden = self.model.base_model(**self._rows(rollouts)).last_hidden_state[:, -T:].flatten(0, 1)
                head, chunk = self.model.get_output_embeddings(), chunk_of(self.vocabulary)
                found = score_tokens(
                    hidden, token.flatten(), head, chunk=chunk, temperature=temperature, entropy=entropy
                )
        else:
            logits = self.response_logits(rollouts).flatten(0, 2)
            found = score_tokens(
                logits, token.flatten(), lambda same: same, chunk=len(logits), temperature=temperature, entropy=entropy
            )
        log_prob, of_each = (None if one is None else one.view(token.shape) for one in found)
        assert log_prob is not None
        return Scored(log_prob, of_each)

    def _rows(self, rollouts: Rollouts) -> dict[str, Any]:
        """Return prompts and responses but for their last token as rows that the model takes."""
        G, T = rollouts.response_PGT.shape[1:]
        prompt = rollouts.prompt_PS.repeat_interleave(G, 0)
        rows = torch.cat((prompt, rollouts.response_PGT.flatten(0, 1)[:, : T - 1]), 1)
        seen = (torch.arange(rows.shape[1]) >= rollouts.pad_P.repeat_interleave(G)[:, None]).long()
        place = (seen.cumsum(1) - 1).clamp(min=0)
        found = {"input_ids": rows, "attention_mask": seen, "position_ids": place}
        return {**{name: one.to(self.device) for name, one in found.items()}, "use_cache": False}

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        """Compute in the precision asked for, without the adapter where this is the model that training started from."""
        with contextlib.ExitStack() as held:
            if self.settings.precision == "bf16":
                held.enter_context(torch.autocast(self.device.type, torch.bfloat16))
            if self._bare:
                held.enter_context(without_adapter(self.model))
            yield

    def frozen(self) -> HfPolicy:
        """Return the policy as it is now, which later updates leave alone; with an adapter it shares the weights."""
        other = copy.copy(self)
        if self.settings.lora.rank:
            other._bare = True
        else:
            other.model = copy.deepcopy(self.model).requires_grad_(False)
        return other

    def training_passes(self, rollouts: Rollouts) -> tuple[int, int]:
        """Return how many forward passes of the layers and of the output layer a training pass amounts to."""
        chunked = self._plain_head and rollouts.response_PGT.numel() > chunk_of(self.vocabulary)
        return 3 + self.settings.gradient_checkpointing, 3 + chunked

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
        weights = {name: weight.cpu().contiguous() for name, weight in self.exported_weights() if name != tied}
        write_file(folder / "model.safetensors", lambda part: save_file(weights, part, metadata={"format": "pt"}))

    def exported_weights(self, head_sizes: Sequence[int] = ()) -> Iterator[tuple[str, Tensor]]:
        """Yield the checkpoint's weights by name as they are now."""
        yield from merged_weights(self.model) if self.settings.lora.rank else self.model.state_dict().items()


def _load(source: str, fits: Callable[[Any, Any], None]) -> tuple[Any, Any]:
    """Return the tokeniser and the model, in float32."""
    try:
        import transformers
    except ImportError as error:
        raise ScalefitError(
            f"policies of kind 'hf' need transformers ({error}); install it with: {install_hint('hf')}."
        ) from None
    where, options = _place(source)
    try:
        config = transformers.AutoConfig.from_pretrained(where, **options)
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, padding_side="left", **options)
        fits(config, tokenizer)
        return tokenizer, transformers.AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **options)
    except (OSError, ValueError, ImportError) as error:
        if isinstance(error, ScalefitError):
            raise
        reason = str(error).strip().splitlines()[0]
        raise UsageError(
            f"[[policy.sizes]] model {source!r}: transformers cannot load it ({reason}). "
            "Give a directory with config.json, tokeniser and weights, a GGUF file, or a hub name that can be reached."
        ) from None


def _place(source: str) -> tuple[str, dict[str, Any]]:
    """Return what transformers calls the model and the options that it takes."""
    path = Path(source)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UsageError(f"[[policy.sizes]] model {source!r}: no such file.")
        return str(path.parent), {"gguf_file": path.name}
    return source, {}


def _checkpoint_layers(source: str, model: Any) -> None:
    """Let each layer keep its input alone for the gradient; transformers does so in training mode only, with dropout."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise UsageError(
            f"[hf] gradient_checkpointing: transformers has none for {source!r} ({type(model).__name__}); leave it out."
        )
    for layer in layers:
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)


@torch.no_grad()
def has_plain_head(model: Any) -> bool:
    """Return whether logits are the output layer of the last channels and nothing more (some models scale or cap them)."""
    if model.device.type == "meta":
        return True
    tokens = torch.tensor([[0, 1]], device=model.device)
    hidden = model.base_model(tokens, use_cache=False).last_hidden_state
    return torch.allclose(
        model.get_output_embeddings()(hidden), model(tokens, use_cache=False).logits, rtol=1e-4, atol=1e-4
    )
