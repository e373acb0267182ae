"""What the training loop asks of a policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from scalefit.errors import UsageError
from scalefit.runner.rollouts import Rollouts
from scalefit.runner.tasks.task import Prompt


def plain_text(prompt: Prompt) -> str:
    """Return a prompt as text; the turns of a chat follow one another without their roles."""
    return prompt if isinstance(prompt, str) else "\n".join(content for _, content in prompt)


def chat_turns(prompt: Prompt, instruction: str) -> list[dict[str, str]]:
    """Return a prompt as the turns of a chat; the instruction ends the last of them."""
    turns = (("user", prompt),) if isinstance(prompt, str) else prompt
    *before, (role, content) = turns
    last = f"{content}\n{instruction}" if instruction else content
    return [{"role": role, "content": content} for role, content in (*before, (role, last))]


def left_padded(rows: Sequence[Sequence[int]], pad_token: int) -> tuple[Tensor, Tensor]:
    """Return prompts left-padded to one length (P, S) and their padding (P,); raises UsageError where one has no token."""
    longest = max(map(len, rows))
    if not min(map(len, rows)):
        raise UsageError("a prompt is empty, and the model has no token to begin with; give it at least one character.")
    pad = [longest - len(row) for row in rows]
    tokens = torch.tensor([[pad_token] * extra + [*row] for extra, row in zip(pad, rows, strict=True)])
    return tokens, torch.tensor(pad)


def before_stop(text: str, stop: Sequence[str]) -> str:
    """Return a text up to the first of some strings."""
    return text[: min((at for one in stop if (at := text.find(one)) >= 0), default=len(text))]


@dataclass(frozen=True)
class Scored:
    """What a policy says of given responses.

    Attributes
    ----------
    log_prob_PGT : Tensor
        Log-probability of each response token.
    entropy_PGT : Tensor or None
        Entropy of the distribution it was drawn from [nats], where asked for.
    """

    log_prob_PGT: Tensor
    entropy_PGT: Tensor | None


class Sampler(Protocol):
    """What draws responses; a policy does so itself, an engine with a copy of its weights."""

    def sample(
        self,
        prompts: Sequence[Prompt],
        group_size: int,
        *,
        max_new_tokens: int,
        temperature: float,
        generator: torch.Generator,
    ) -> Rollouts:
        """Draw responses."""
        ...


class Policy(Sampler, Protocol):
    """A language model that samples answers and gives their log-probabilities.

    Rollouts lie in the processor's memory; what is said of them lies on the policy's device.
    """

    @property
    def model(self) -> nn.Module:
        """The module that is trained."""
        ...

    params: int
    """Non-embedding parameters N."""
    matrix_params: int
    """Parameters that multiply every token."""
    head_params: int
    """Parameters of the output layer."""
    layers: int
    channels: int
    """Width of the stream between layers."""

    splits_from: int
    """A group is split between passes where it has more than so many times the tokens that a pass aims at."""

    ends: list[int]
    """Tokens that end a response."""
    stop: tuple[str, ...]
    """Strings that end a response."""
    max_length: int
    """Longest prompt and response together [tokens]."""
    pretrained: dict[str, float]
    """What rows say of its pre-training, where that stopped at a target."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        ...

    def pack(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Return prompts left-padded to one length (P, S) and their padding (P,)."""
        ...

    def response_of(self, text: str) -> list[int]:
        """Return the tokens of a response that says a text and ends."""
        ...

    def texts(self, rollouts: Rollouts) -> list[list[str]]:
        """Return the responses as text up to the end token or a stop string, prompts x group."""
        ...

    def response_logits(self, rollouts: Rollouts) -> Tensor:
        """Return the logits that predict each response token, (P, G, T, V)."""
        ...

    def score(self, rollouts: Rollouts, temperature: float, *, entropy: bool = False) -> Scored:
        """Return the log-probabilities of the responses at a temperature, with the entropy where asked for."""
        ...

    def frozen(self) -> Policy:
        """Return the policy as it is now, which later updates leave alone."""
        ...

    def forward_tokens(self, rollouts: Rollouts) -> int:
        """Return how many tokens `response_logits` processes."""
        ...

    def training_passes(self, rollouts: Rollouts) -> tuple[int, int]:
        """Return how many forward passes of the layers and of the output layer a training pass amounts to.

        Three, and one more where what the gradient needs is computed a second time.
        """
        ...

    def export(self, folder: Path, head_sizes: Sequence[int] = ()) -> None:
        """Write a checkpoint that other engines read; `head_sizes` are the channels a head that the engine can take."""
        ...

    def exported_weights(self, head_sizes: Sequence[int] = ()) -> Iterator[tuple[str, Tensor]]:
        """Yield the checkpoint's weights by name as they are now, `lm_head.weight` included where it is tied."""
        ...
