"""One GRPO run, top to bottom: sample, score, weigh, update, evaluate, record.

Left out of the papers' recipes, on purpose: no value model, no length penalty, no dynamic resampling of uniform
groups (they are skipped in the update, which leaves the gradient as it is), no replay. Every random draw is decided
by (seed, purpose, step), so a run that resumes from a checkpoint goes on exactly as one that was never stopped.
Shapes: P prompts, G rollouts a prompt, T response tokens.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from scalefit.runner.advantage import Dynamics, find_advantage
from scalefit.runner.config import RunSpec
from scalefit.runner.data import Lengths, evaluation_examples, training_examples
from scalefit.runner.evaluate import evaluate_after
from scalefit.runner.flops import attention_flops, forward_flops, paper_flops
from scalefit.runner.loss import clipped_loss, low_variance_kl, token_weight
from scalefit.runner.memory import telling_shortage
from scalefit.runner.policies.policy import Policy
from scalefit.runner.rollouts import ALL, Rollouts
from scalefit.runner.rows import row_of
from scalefit.runner.run_folder import Row
from scalefit.runner.samplers import make_sampler
from scalefit.runner.scoring import score_groups
from scalefit.runner.sections import GrpoConfig
from scalefit.runner.tasks.task import Example, Task

COUNTERS = ("samples", "tokens", "flops", "flops_generation", "flops_reference", "flops_training")


class Diverged(Exception):
    """The loss or its gradient is no longer finite."""


@dataclass
class RunState:
    """All that a checkpoint must hold beside weights and optimiser."""

    step: int = 0
    totals: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0.0))
    rows: list[Row] = field(default_factory=list)
    dynamics: Dynamics = field(default_factory=Dynamics)


def generator_for(*key: object) -> torch.Generator:
    """Return a generator decided by the key alone."""
    digest = hashlib.blake2b("\x1f".join(map(str, key)).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))


def hash_of(model: nn.Module) -> str:
    """Return a hash of a model's weights as they are now."""
    digest = hashlib.blake2b(digest_size=12)
    for name, weight in model.named_parameters():
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def learning_rate_at(step: int, base: float, config: GrpoConfig) -> float:
    """Return the learning rate of update `step`, counted from 0."""
    if step < config.warmup:
        return base * (step + 1) / config.warmup
    done = (step - config.warmup) / max((config.horizon or config.steps) - config.warmup, 1)
    if config.schedule == "linear":
        return base * (1 - done)
    if config.schedule == "cosine":
        return base * 0.5 * (1 + math.cos(math.pi * done))
    return base


class Run:
    """A run in progress; `advance` makes one step, `evaluate` one row."""

    def __init__(self, spec: RunSpec, task: Task, policy: Policy) -> None:
        self.spec, self.task, self.policy, self.config = spec, task, policy, spec.config.grpo
        self.lengths = Lengths(spec, lambda example: prompt_tokens(policy, example))
        self.examples = training_examples(task, spec, self.lengths)
        self.held_out = evaluation_examples(task, spec.config.eval.problems)
        self.weights = [weight for weight in policy.model.parameters() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.weights,
            lr=spec.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        self.reference = policy.frozen() if self.config.kl else None
        whole = all(weight.requires_grad for weight in policy.model.parameters())
        self.start = "" if whole and self.reference is None else hash_of(policy.model)
        self.sampler = make_sampler(spec, policy)
        self.state = RunState()
        self.diagnostics: Row = {}
        self.last_step: Row = {}
        self.seconds: dict[str, float] = dict.fromkeys(("generate", "score", "train", "evaluate"), 0.0)

    def go(self, after_row: Callable[[Run], None], after_step: Callable[[Run], None] = lambda run: None) -> str:
        """Run to the end from wherever the state is; return finished or diverged."""
        if not self.state.rows:
            self.evaluate()
            after_row(self)
        while self.state.step < self.config.steps:
            due = self.spec.due(self.state.step + 1)
            try:
                self.advance()
                if due and not all(torch.isfinite(weight).all() for weight in self.weights):
                    raise Diverged
            except Diverged:
                return "diverged"
            if due:
                self.evaluate()
                after_row(self)
            after_step(self)
        return "finished"

    def reopen(self) -> None:
        """Where the run went on to be longer, make what was its last row the one of a run that passes there."""
        rows, step = self.state.rows, self.state.step
        if not rows or step == self.config.steps:
            return
        if not self.spec.due(step):
            rows.pop()
        elif step and (rows[-1]["eval_samples"] != self.spec.eval_samples(step) or rows[-1].get("answer_loss")):
            rows.pop()
            self.evaluate()

    def advance(self) -> None:
        """Make one step: rollouts for a batch of prompts, then one update a mini-batch."""
        config, step, policy = self.config, self.state.step, self.policy
        batch = self.examples[step * config.prompts : (step + 1) * config.prompts]
        begin = time.perf_counter()
        with telling_shortage("sampling rollouts", "lower [grpo] prompts or max_new_tokens, or [sweep] group_size"):
            rollouts = self.sampler.sample(
                [example.shown for example in batch],
                self.spec.group_size,
                max_new_tokens=config.max_new_tokens,
                temperature=config.temperature,
                generator=generator_for(self.spec.seed, "sample", step),
            )
        if not math.isfinite(rollouts.entropy):
            raise Diverged
        sampled = time.perf_counter()
        scores = score_groups(self.task, batch, policy.texts(rollouts))
        reward_PG = torch.tensor([[score.reward for score in group] for group in scores])
        scored = time.perf_counter()
        settings = self.spec.config.advantage
        dynamics = self.state.dynamics.after_sampling(rollouts.entropy, settings.rate)
        advantage_PG = find_advantage(config.advantage).weigh(reward_PG, dynamics, settings)
        self.state.dynamics = dynamics.after_scoring(float(reward_PG.mean()), settings.rate)
        with telling_shortage("training", "lower [grpo] micro_batch, pass_tokens or max_new_tokens"):
            found = self._train(rollouts, advantage_PG)
        self.sampler.refresh()
        trained = time.perf_counter()
        for name, spent in (("generate", sampled - begin), ("score", scored - sampled), ("train", trained - scored)):
            self.seconds[name] += spent
        self.state.step += 1
        self._count("samples", config.prompts)
        self._count("tokens", rollouts.tokens)
        self._count("flops", paper_flops(policy.params, rollouts.tokens))
        self._count_pass("flops_generation", rollouts, tokens=rollouts.forward_tokens, logits=rollouts.logit_tokens)
        self.diagnostics = {
            "reward": float(reward_PG.mean()),
            "entropy": rollouts.entropy,
            "uniform_groups": float((reward_PG == reward_PG[:, :1]).all(1).float().mean()),
            "mass_success": float(advantage_PG.clamp(min=0).mean()),
            "mass_failure": float(-advantage_PG.clamp(max=0).mean()),
            "train_unparsed": sum(not score.parsed for group in scores for score in group) / reward_PG.numel(),
            **{name: sum(row[name] for row in found) / len(found) for name in found[0]},
        }
        self.last_step = {
            **self.diagnostics,
            **step_numbers(rollouts),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
        }

    def _train(self, rollouts: Rollouts, advantage_PG: Tensor) -> list[Row]:
        """Make the updates of a step."""
        config, reference_PGT = self.config, None
        if self.reference is not None:
            reference_PGT = self._reference_log_prob(self.reference, rollouts)
            self._count_pass("flops_reference", rollouts)
        rate = learning_rate_at(self.state.step, self.spec.learning_rate, config)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        parts = torch.arange(config.prompts).split(config.mini_batch)
        return [self._update(rollouts, part, advantage_PG, reference_PGT) for part in parts]

    def _passes(self, rollouts: Rollouts, used: Tensor) -> list[tuple[Tensor, Tensor | slice]]:
        """Return which prompts, and which of their rollouts, go through the model together.

        Larger passes than some thousands of tokens fall out of a processor's cache.
        """
        config, a_prompt = self.config, self.policy.forward_tokens(rollouts) / len(rollouts.prompt_PS)
        if config.micro_batch or a_prompt <= self.policy.splits_from * config.pass_tokens:
            at_once = config.micro_batch or max(1, round(config.pass_tokens / a_prompt))
            return [(micro, ALL) for micro in used.split(at_once)] if len(used) else []
        at_once = max(1, int(rollouts.lengths_PG.shape[1] * self.policy.splits_from * config.pass_tokens / a_prompt))
        return [
            (prompt, columns)
            for prompt in used.split(1)
            for columns in rollouts.lengths_PG[prompt[0]].argsort(stable=True).split(at_once)
        ]

    @torch.no_grad()
    def _reference_log_prob(self, reference: Policy, rollouts: Rollouts) -> Tensor:
        """Return the reference policy's log-probabilities of the responses, shape (P, G, T)."""
        out_PGT = torch.zeros_like(rollouts.old_log_prob_PGT)
        for prompts, columns in self._passes(rollouts, torch.arange(len(out_PGT))):
            some = rollouts.pick(prompts, columns)
            found = reference.score(some, self.config.temperature).log_prob_PGT.to("cpu", out_PGT.dtype)
            part = out_PGT[prompts]
            part[:, columns, : found.shape[2]] = found
            out_PGT[prompts] = part
        return out_PGT

    def _count(self, name: str, amount: float) -> None:
        self.state.totals[name] += amount

    def _count_pass(
        self,
        name: str,
        rollouts: Rollouts,
        *,
        tokens: int | None = None,
        logits: int | None = None,
        times: tuple[int, int] = (1, 1),
    ) -> None:
        """Count a pass over rollouts, so many times of the layers and of the output layer."""
        policy = self.policy
        tokens = policy.forward_tokens(rollouts) if tokens is None else tokens
        logits = rollouts.mask_PGT.numel() if logits is None else logits
        amount = forward_flops(times[0] * policy.matrix_params, tokens, times[1] * policy.head_params, logits)
        if self.config.count_attention:
            amount += times[0] * attention_flops(policy.layers, policy.channels, rollouts.attention_pairs)
        self._count(name, amount)

    def _update(self, rollouts: Rollouts, part: Tensor, advantage_PG: Tensor, reference_PGT: Tensor | None) -> Row:
        """Make one optimiser step on the prompts `part`, in micro-batches that add up to its gradient."""
        config, policy = self.config, self.policy
        weight_PGT = torch.zeros_like(rollouts.old_log_prob_PGT)
        weight_PGT[part] = token_weight(rollouts.mask_PGT[part], config.normalisation, config.max_new_tokens)
        used = part
        if config.skip_uniform and not config.kl and not config.entropy:
            # A group without spread has no advantage, hence no gradient: leaving it out changes nothing.
            used = part[(advantage_PG[part] != 0).any(1)]
        # Groups of like length share a micro-batch, so that little of it is padding.
        used = used[rollouts.lengths_PG[used].amax(1).argsort(stable=True)]
        self.optimiser.zero_grad(set_to_none=False)
        kl_sum = clipped = 0.0
        for prompts, columns in self._passes(rollouts, used):
            some = rollouts.pick(prompts, columns)
            T = some.response_PGT.shape[2]

            def here(whole: Tensor, prompts: Tensor = prompts, columns: Tensor | slice = columns) -> Tensor:
                return whole[prompts][:, columns].to(policy.device)

            weight, old, advantage = (
                here(weight_PGT)[..., :T],
                here(rollouts.old_log_prob_PGT)[..., :T],
                here(advantage_PG),
            )
            scored = policy.score(some, config.temperature, entropy=bool(config.entropy))
            log_prob = scored.log_prob_PGT
            loss_PGT = clipped_loss(log_prob, old, advantage, config.clip_low, config.clip_high)
            if reference_PGT is not None:
                divergence = low_variance_kl(log_prob, here(reference_PGT)[..., :T])
                loss_PGT = loss_PGT + config.kl * divergence
                kl_sum += float((divergence.detach() * weight).sum())
            if scored.entropy_PGT is not None:
                loss_PGT = loss_PGT - config.entropy * scored.entropy_PGT
            loss = (loss_PGT * weight).sum()
            if not torch.isfinite(loss):
                raise Diverged
            loss.backward()
            with torch.no_grad():
                ratio = (log_prob - old).exp()
                outside = (ratio < 1 - config.clip_low) | (ratio > 1 + config.clip_high)
                clipped += float((outside * weight).sum())
            self._count_pass("flops_training", some, times=policy.training_passes(some))
        norm = float(torch.nn.utils.clip_grad_norm_(self.weights, config.gradient_clip))
        if not math.isfinite(norm):
            raise Diverged
        self.optimiser.step()
        return {"gradient_norm": norm, "clipped": clipped, **({"kl": kl_sum} if reference_PGT is not None else {})}

    def evaluate(self) -> None:
        """Evaluate and add a row."""
        begin = time.perf_counter()
        spec, state = self.spec, self.state
        with telling_shortage("sampling answers to the evaluation", "lower [eval] samples or [grpo] max_new_tokens"):
            found = evaluate_after(
                state.step,
                spec,
                self.policy,
                self.sampler,
                self.task,
                examples=self.held_out,
                generator=generator_for(spec.seed, "evaluate", state.step),
            )
        state.rows.append(
            row_of(
                spec,
                self.task,
                state.step,
                found,
                params=float(self.policy.params),
                totals=state.totals,
                diagnostics={**self.policy.pretrained, **self.diagnostics},
            )
        )
        self.seconds["evaluate"] += time.perf_counter() - begin


def prompt_tokens(policy: Policy, example: Example) -> int:
    """Return the tokens of a problem's prompt as the policy sees it."""
    tokens, pad = policy.pack([example.shown])
    return tokens.shape[1] - int(pad[0])


def step_numbers(rollouts: Rollouts) -> Row:
    """Return what the log says of a step's rollouts beside a row's diagnostics."""
    lengths = rollouts.lengths_PG.float()
    return {
        "response_length": float(lengths.mean()),
        "response_length_max": float(lengths.max()),
        "truncated": float((~rollouts.ended_PG).float().mean()),
    }
