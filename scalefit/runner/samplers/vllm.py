"""`vllm`: rollouts and answers by vLLM, in this process, with weights refreshed in place after every update.

A refresh can go wrong without an error: an engine that is not given `lm_head.weight` keeps the old one of a model whose
embedding is tied to it. So the first rollouts after every refresh are compared with torch before anything is learnt
from them. Shapes: P prompts, G rollouts a prompt, T response tokens.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scalefit.errors import ScalefitError
from scalefit.extras import install_hint
from scalefit.runner.policies.policy import Policy
from scalefit.runner.rollouts import Rollouts
from scalefit.runner.sections import VllmConfig
from scalefit.runner.tasks.task import Prompt

HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256)
"""Channels a head that vLLM's attention on CPUs takes."""
AT_ONCE = 1024
"""Most sequences in a batch."""
BATCH_TOKENS = 8192
"""Prompt tokens in a batch, where a single prompt is not longer."""
CHECKED = 64
"""Response tokens of each compared rollout that are looked at."""
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
"""In this process, so that weights are handed over without a copy on disk; quiet, and asking nobody."""


class VllmSampler:
    """An engine with a copy of a policy's weights.

    Parameters
    ----------
    policy : Policy
        What is trained.
    settings : VllmConfig
        Section [vllm] of the experiment file.
    at_once : int
        Sequences that are asked for at a time.

    Raises
    ------
    ScalefitError
        If vLLM is not installed or refuses the model.
    """

    def __init__(self, policy: Policy, settings: VllmConfig, at_once: int) -> None:
        self.policy, self.settings = policy, settings
        for name, value in {**ENVIRONMENT, "VLLM_CPU_KVCACHE_SPACE": str(settings.cache_gib)}.items():
            os.environ.setdefault(name, value)
        try:
            with _quiet():
                from vllm import LLM
        except ImportError as error:
            raise ScalefitError(
                f"sampler = 'vllm' needs vLLM ({error}); install it with: {install_hint('vllm')}, "
                "on a machine without a GPU as docs/training.md says."
            ) from None
        longest = settings.max_length or policy.max_length
        with tempfile.TemporaryDirectory(prefix="scalefit-vllm-") as folder:
            policy.export(Path(folder), HEAD_SIZES)
            try:
                # float32, or probabilities would not be those that are trained; processed: those that are drawn from.
                with _quiet():
                    self.engine: Any = LLM(
                        folder,
                        dtype="float32",
                        enforce_eager=True,
                        skip_tokenizer_init=not policy.stop,
                        logprobs_mode="processed_logprobs",
                        max_model_len=longest,
                        # A prompt cut in two draws a token that is taken back, which seeds on a CPU do not allow.
                        enable_chunked_prefill=False,
                        max_num_batched_tokens=max(longest, BATCH_TOKENS),
                        max_num_seqs=min(at_once, AT_ONCE),
                        gpu_memory_utilization=settings.gpu_share,
                        disable_log_stats=True,
                        seed=0,
                    )
            except (ValueError, RuntimeError, NotImplementedError) as error:
                raise ScalefitError(f"vLLM cannot serve this model: {_first_line(error)}") from error
        self.unchecked = True

    def refresh(self) -> None:
        """Give the engine the policy's weights as they are now; the next rollouts are compared with torch."""
        self.engine.collective_rpc("reload_weights", kwargs={"weights_iterator": self._weights()})
        self.engine.reset_prefix_cache()
        self.unchecked = True

    def _weights(self) -> Any:
        return self.policy.exported_weights(HEAD_SIZES)

    def sample(
        self,
        prompts: Sequence[Prompt],
        group_size: int,
        *,
        max_new_tokens: int,
        temperature: float,
        generator: torch.Generator,
    ) -> Rollouts:
        """Draw responses, each prompt from a seed of its own.

        The entropy is estimated by the mean of -log p over the tokens drawn: the distributions themselves stay in the
        engine. Every rollout's prompt is counted as processed, though the engine shares whole blocks of it.

        Raises
        ------
        ScalefitError
            If, after a refresh, log-probabilities differ from torch's.
        """
        from vllm import SamplingParams

        prompt_PS, pad_P = self.policy.pack(prompts)
        seeds = torch.randint(2**31, (len(prompts),), generator=generator).tolist()
        asked = [
            SamplingParams(
                n=group_size,
                temperature=temperature,
                max_tokens=max_new_tokens,
                stop_token_ids=list(self.policy.ends),
                logprobs=0,
                seed=seed,
                # What completes a stop string is kept among the tokens, as where torch samples; its text is cut by the policy.
                stop=list(self.policy.stop) or None,
                detokenize=bool(self.policy.stop),
            )
            for seed in seeds
        ]
        rows = [{"prompt_token_ids": row[int(pad) :].tolist()} for row, pad in zip(prompt_PS, pad_P, strict=True)]
        try:
            outputs = self.engine.generate(rows, asked, use_tqdm=False)
        except ValueError as error:
            raise ScalefitError(f"vLLM refuses a prompt: {_first_line(error)} See [vllm] max_length.") from error
        found = _rollouts(outputs, prompt_PS, pad_P, group_size, max_new_tokens)
        if self.unchecked:
            self._compare(found, temperature)
            self.unchecked = False
        return found

    @torch.no_grad()
    def _compare(self, rollouts: Rollouts, temperature: float) -> None:
        """Stop where the first prompt's rollouts have another probability in torch."""
        some = rollouts.pick(torch.arange(1))
        some = dataclasses.replace(
            some,
            **{name: getattr(some, name)[:, :, :CHECKED] for name in ("response_PGT", "mask_PGT", "old_log_prob_PGT")},
        )
        own = self.policy.score(some, temperature).log_prob_PGT.cpu()
        # The mean, since rounding alone takes one token in hundreds above 1e-5; stale weights move every token.
        apart = float((own - some.old_log_prob_PGT)[some.mask_PGT].abs().mean())
        if not apart <= self.settings.tolerance:
            raise ScalefitError(
                f"vLLM's log-probabilities differ from torch's by {apart:.2g} a token after a refresh of the weights; "
                f"[vllm] tolerance is {self.settings.tolerance:g}. The run was stopped, since it would have learnt from "
                "another model than it trains."
            )

    def close(self) -> None:
        """Let the engine go, so that another can be made in this process."""
        from vllm.distributed import cleanup_dist_env_and_memory

        with contextlib.suppress(AttributeError):
            self.engine.llm_engine.engine_core.shutdown()
        del self.engine
        cleanup_dist_env_and_memory()


def _rollouts(outputs: Any, prompt_PS: Tensor, pad_P: Tensor, G: int, T: int) -> Rollouts:
    """Return what the engine drew: G responses of at most T tokens to each prompt."""
    P = len(prompt_PS)
    response = torch.zeros(P, G, T, dtype=torch.long)
    log_prob = torch.zeros(P, G, T)
    mask = torch.zeros(P, G, T, dtype=torch.bool)
    ended = torch.zeros(P, G, dtype=torch.bool)
    for p, output in enumerate(outputs):
        for g, one in enumerate(output.outputs):
            drawn = len(one.token_ids)
            response[p, g, :drawn] = torch.tensor(list(one.token_ids))
            log_prob[p, g, :drawn] = torch.tensor(
                [by[token].logprob for by, token in zip(one.logprobs, one.token_ids, strict=True)]
            )
            mask[p, g, :drawn] = True
            ended[p, g] = one.finish_reason == "stop"
    count = int(mask.sum())
    found = Rollouts(
        prompt_PS, pad_P, response, mask, log_prob, ended, -float(log_prob.sum()) / max(count, 1), 0, count
    )
    return dataclasses.replace(found, forward_tokens=found.tokens - P * G)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what an engine prints while it starts, on stderr's own descriptor too, off the terminal."""
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
