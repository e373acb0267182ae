"""A nano model with its character vocabulary, as a policy."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from scalefit.errors import UsageError
from scalefit.runner.draw import heat, log_prob_of
from scalefit.runner.loss import entropy_of
from scalefit.runner.policies.export import export_llama, llama_weights
from scalefit.runner.policies.nano import ALPHABET_AT, END, MAX_LENGTH, PAD, Nano, NanoShape
from scalefit.runner.policies.nano_sample import sample_nano
from scalefit.runner.policies.policy import Scored, before_stop, left_padded, plain_text
from scalefit.runner.rollouts import Rollouts
from scalefit.runner.tasks.task import Prompt


class NanoPolicy:
    """Characters of the alphabet are tokens 2, 3, ...; 0 pads and 1 ends.

    Weights are drawn on the processor whatever the device, so that a seed is the same model everywhere.
    """

    splits_from = 8

    def __init__(
        self,
        shape: NanoShape,
        alphabet: str,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> None:
        self.alphabet = alphabet
        self.model = Nano(shape, len(alphabet) + ALPHABET_AT, MAX_LENGTH, generator).to(device)
        self.params = shape.params
        self.matrix_params = shape.matrix_params
        self.head_params = self.model.embed.numel()
        self.layers, self.channels = shape.layers, shape.d_model
        self.ends, self.max_length = [END], MAX_LENGTH
        self.pretrained: dict[str, float] = {}
        self._token = {character: ALPHABET_AT + at for at, character in enumerate(alphabet)}
        self.halt_at(())

    def halt_at(self, stop: Sequence[str]) -> None:
        """Let answers end where they hold one of some strings; raises UsageError where it cannot be written."""
        self.stop, self.stop_tokens = tuple(stop), [self.encode(text) for text in stop]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.turn.device

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text.

        Raises
        ------
        UsageError
            If a character is not in the alphabet.
        """
        try:
            return [self._token[character] for character in text]
        except KeyError as error:
            raise UsageError(
                f"{error.args[0]!r} in the text {text!r:.80} is not in the task's alphabet ({self.alphabet!r:.100}); add it there where the "
                "task is your own, or use [policy] kind = 'hf'."
            ) from None

    def pack(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Return prompts left-padded to one length (P, S) and their padding (P,)."""
        rows = [self.encode(plain_text(prompt)) for prompt in prompts]
        return left_padded(rows, PAD)

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
        tokens, pad = self.pack(prompts)
        if tokens.shape[1] + max_new_tokens > MAX_LENGTH:
            raise UsageError(
                f"a prompt of {tokens.shape[1]} characters; nano models read {MAX_LENGTH}, of which [grpo] max_new_tokens = "
                f"{max_new_tokens} are for the answer: use shorter prompts, or [policy] kind = 'hf'."
            )
        return sample_nano(
            self.model,
            tokens,
            pad,
            group_size,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            end_token=END,
            generator=generator,
            stop=self.stop_tokens,
        )

    def response_of(self, text: str) -> list[int]:
        """Return the tokens of a response that says a text and ends."""
        return [*self.encode(text), END]

    def texts(self, rollouts: Rollouts) -> list[list[str]]:
        """Return the responses as text up to the end token or a stop string, prompts x group."""
        letters = ["", "", *self.alphabet]
        kept = torch.where(rollouts.mask_PGT, rollouts.response_PGT, PAD).tolist()
        return [[before_stop("".join(letters[token] for token in row), self.stop) for row in group] for group in kept]

    def response_logits(self, rollouts: Rollouts) -> Tensor:
        """Return the logits that predict each response token, (P, G, T, V)."""
        return self.model.response_logits(rollouts.prompt_PS, rollouts.pad_P, rollouts.response_PGT)

    def score(self, rollouts: Rollouts, temperature: float, *, entropy: bool = False) -> Scored:
        """Return the log-probabilities of the responses at a temperature, with the entropy where asked for."""
        logits = heat(self.response_logits(rollouts), temperature)
        log_prob = log_prob_of(logits, rollouts.response_PGT.to(logits.device))
        return Scored(log_prob, entropy_of(logits) if entropy else None)

    def frozen(self) -> NanoPolicy:
        """Return the policy as it is now, which later updates leave alone."""
        return copy.deepcopy(self)

    def forward_tokens(self, rollouts: Rollouts) -> int:
        """Return how many tokens `response_logits` processes."""
        P, G, T = rollouts.response_PGT.shape
        return rollouts.prompt_PS.numel() + P * G * (T - 1)

    def training_passes(self, rollouts: Rollouts) -> tuple[int, int]:
        """Return how many forward passes of the layers and of the output layer a training pass amounts to."""
        return 3, 3

    def export(self, folder: Path, head_sizes: Sequence[int] = ()) -> None:
        """Write a checkpoint in transformers' Llama form; heads are padded to the next of `head_sizes`."""
        export_llama(self.model, self.alphabet, folder, self._wide(head_sizes))

    def exported_weights(self, head_sizes: Sequence[int] = ()) -> Iterator[tuple[str, Tensor]]:
        """Yield the checkpoint's weights by name as they are now."""
        return llama_weights(self.model, self._wide(head_sizes))

    def _wide(self, head_sizes: Sequence[int]) -> int:
        own = self.model.head_channels
        return min((size for size in head_sizes if size >= own), default=own)
