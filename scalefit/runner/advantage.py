"""Advantages: pure functions from the rewards of a group and the state of the run to one weight a rollout.

`reward_PG` is prompts x group, rewards in [0, 1]; the result has the same shape. Each says which gradient mass it gives
to successes and failures (Decugis et al. 2026, arXiv:2607.01490): of a group of which a share p is right, m_S is p times
the weight of a right rollout, m_F is 1 - p times that of a wrong one without its sign. To add one, write its two functions
and a block in `ADVANTAGES`; one outside of scalefit is an `Advantage` that is named `module:NAME`, or that a package
offers as an entry point of the group `scalefit.advantages`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import ScalefitError
from scalefit.named import find_named

if TYPE_CHECKING:
    from torch import Tensor

    from scalefit.runner.sections import AdvantageConfig

Array = NDArray[np.float64]
Masses = tuple[Array, Array]
EPS = 1e-6


@dataclass(frozen=True)
class Dynamics:
    """What an advantage may know of the run so far; part of every checkpoint.

    Attributes
    ----------
    success_rate : float
        Running mean of the groups' mean reward, a step an observation; one half before the first.
    entropy : float or None
        Running mean of the policy's entropy over response tokens [nats].
    first_entropy : float or None
        Its first value.
    """

    success_rate: float = 0.5
    entropy: float | None = None
    first_entropy: float | None = None

    def after_sampling(self, entropy: float, rate: float) -> Dynamics:
        """Return the state with a step's entropy taken in."""
        if self.entropy is None:
            return replace(self, entropy=entropy, first_entropy=entropy)
        return replace(self, entropy=self.entropy + rate * (entropy - self.entropy))

    def after_scoring(self, reward: float, rate: float) -> Dynamics:
        """Return the state with a step's mean reward taken in."""
        return replace(self, success_rate=self.success_rate + rate * (reward - self.success_rate))


@dataclass(frozen=True)
class Advantage:
    """One way to weigh rollouts.

    Attributes
    ----------
    formula, source : str
        What it computes, and where that is from.
    weigh : callable
        (reward_PG, dynamics, settings) to weights, prompts x group.
    mass : callable
        (share right, dynamics, settings, group size) to (m_S, m_F); the group size may be infinite.
    """

    formula: str
    source: str
    weigh: Callable[[Tensor, Dynamics, AdvantageConfig], Tensor]
    mass: Callable[[Array, Dynamics, AdvantageConfig, float], Masses]


def group_advantage(reward_PG: Tensor, eps: float = EPS) -> Tensor:
    """Centre and scale rewards within a prompt's group; a tied group gives zeros.

    Source: Shao et al. 2024 (arXiv:2402.03300), section 4.1.2 (sample standard deviation).
    """
    return centred_advantage(reward_PG) / (reward_PG.std(1, keepdim=True) + eps)


def centred_advantage(reward_PG: Tensor) -> Tensor:
    """Centre rewards within a prompt's group, without scaling. Source: Dr. GRPO, Liu et al. 2025 (arXiv:2503.20783)."""
    return reward_PG - reward_PG.mean(1, keepdim=True)


def leave_one_out_advantage(reward_PG: Tensor) -> Tensor:
    """Subtract the mean of the other rollouts. Source: RLOO, Ahmadian et al. 2024 (arXiv:2402.14740)."""
    group = reward_PG.shape[1]
    return centred_advantage(reward_PG) * (group / (group - 1))


def asymmetric_advantage(reward_PG: Tensor, positive: float, negative: float) -> Tensor:
    """Weigh successes by ((1 - p)/p)^positive and failures by -(p/(1 - p))^negative, p the group's mean reward.

    Both exponents one half is GRPO with the population's standard deviation; a tied group gives zeros.
    Source: AsymGRPO, Gu et al. 2026 (arXiv:2604.04894).
    """
    mean_P1 = reward_PG.mean(1, keepdim=True)
    odds_P1 = (1 - mean_P1).clamp(min=0) / mean_P1.clamp(min=EPS)
    untied_P1 = (reward_PG != reward_PG[:, :1]).any(1, keepdim=True)
    failure_PG = -(1 / odds_P1.clamp(min=EPS)).pow(negative).expand_as(reward_PG)
    return odds_P1.pow(positive).expand_as(reward_PG).where(reward_PG >= mean_P1, failure_PG) * untied_P1


def power_advantage(reward_PG: Tensor, power: float) -> Tensor:
    """Centre rewards and multiply by (1 - p)^(power - 1), which turns to hard problems as the power grows.

    Source: the difficulty axis of Decugis et al. 2026 (arXiv:2607.01490); FADE with its alpha fixed and no sign axis.
    """
    return _hardness(reward_PG, power) * centred_advantage(reward_PG)


def fade_advantage(reward_PG: Tensor, alpha: float, delta: float) -> Tensor:
    """Centre rewards, multiply by (1 - p)^(alpha - 1), and divide what is below the mean by delta.

    Source: FADE, Decugis et al. 2026 (arXiv:2607.01490); `fade_schedule` gives alpha and delta.
    """
    centred_PG = centred_advantage(reward_PG)
    return _hardness(reward_PG, alpha) * centred_PG.where(centred_PG >= 0, centred_PG / delta)


def _hardness(reward_PG: Tensor, power: float) -> Tensor:
    return (1 - reward_PG.mean(1, keepdim=True)).clamp(min=0).pow(power - 1)


def fade_schedule(dynamics: Dynamics) -> tuple[float, float]:
    """Return FADE's alpha = clip(3 (1 - p)/(2 p), 1, 3) and delta = clip(1 + H - H*, .3, 1), H* half the first entropy.

    Raises
    ------
    ScalefitError
        If the running success rate or entropy is not a finite number.
    """
    rate, entropy, first = dynamics.success_rate, dynamics.entropy, dynamics.first_entropy
    if entropy is None or first is None or not all(map(math.isfinite, (rate, entropy, first))):
        raise ScalefitError(
            f"advantage 'fade' steers by the running success rate ({rate}) and entropy ({entropy}, at first {first}), which must be "
            "finite numbers; a policy that gives others has diverged: lower [grpo] learning_rate."
        )
    alpha = 3.0 if rate <= 0 else min(max(1.5 * (1 - rate) / rate, 1.0), 3.0)
    return alpha, min(max(1 + entropy - first / 2, 0.3), 1.0)


def _root_mass(p: Array, dynamics: Dynamics, settings: AdvantageConfig, group: float) -> Masses:
    mass = np.sqrt(p * (1 - p) * (1 - 1 / group))
    return mass, mass


def _centred_mass(p: Array, dynamics: Dynamics, settings: AdvantageConfig, group: float) -> Masses:
    return p * (1 - p), p * (1 - p)


def _leave_one_out_mass(p: Array, dynamics: Dynamics, settings: AdvantageConfig, group: float) -> Masses:
    mass = p * (1 - p) / (1 - 1 / group)
    return mass, mass


def _asymmetric_mass(p: Array, dynamics: Dynamics, settings: AdvantageConfig, group: float) -> Masses:
    untied = (p > 0) & (p < 1)
    inside = np.where(untied, p, 0.5)
    odds = (1 - inside) / inside
    success, failure = inside * odds**settings.positive, (1 - inside) * odds**-settings.negative
    return np.where(untied, success, 0.0), np.where(untied, failure, 0.0)


def _power_mass(p: Array, dynamics: Dynamics, settings: AdvantageConfig, group: float) -> Masses:
    return p * (1 - p) ** settings.power, p * (1 - p) ** settings.power


def _fade_mass(p: Array, dynamics: Dynamics, settings: AdvantageConfig, group: float) -> Masses:
    alpha, delta = fade_schedule(dynamics)
    return p * (1 - p) ** alpha, p * (1 - p) ** alpha / delta


ADVANTAGES: dict[str, Advantage] = {
    "grpo": Advantage(
        "(r - mean)/sd",
        "Shao et al. 2024, arXiv:2402.03300",
        lambda reward_PG, dynamics, settings: group_advantage(reward_PG),
        _root_mass,
    ),
    "dr-grpo": Advantage(
        "r - mean",
        "Liu et al. 2025, arXiv:2503.20783",
        lambda reward_PG, dynamics, settings: centred_advantage(reward_PG),
        _centred_mass,
    ),
    "rloo": Advantage(
        "r - mean of the others",
        "Ahmadian et al. 2024, arXiv:2402.14740",
        lambda reward_PG, dynamics, settings: leave_one_out_advantage(reward_PG),
        _leave_one_out_mass,
    ),
    "asymmetric": Advantage(
        "((1 - p)/p)^positive if right, -(p/(1 - p))^negative if wrong",
        "AsymGRPO, Gu et al. 2026, arXiv:2604.04894",
        lambda reward_PG, dynamics, settings: asymmetric_advantage(reward_PG, settings.positive, settings.negative),
        _asymmetric_mass,
    ),
    "power": Advantage(
        "(1 - mean)^(power - 1) (r - mean)",
        "Decugis et al. 2026, arXiv:2607.01490, the difficulty axis alone",
        lambda reward_PG, dynamics, settings: power_advantage(reward_PG, settings.power),
        _power_mass,
    ),
    "fade": Advantage(
        "(1 - mean)^(alpha - 1) (r - mean, divided by delta if negative), alpha by success rate, delta by entropy",
        "FADE, Decugis et al. 2026, arXiv:2607.01490",
        lambda reward_PG, dynamics, settings: fade_advantage(reward_PG, *fade_schedule(dynamics)),
        _fade_mass,
    ),
}


def find_advantage(name: str) -> Advantage:
    """Return the advantage that is called so, ours, a package's or `module:NAME`; raises UsageError with a hint."""
    return find_named(name, ADVANTAGES, Advantage, "scalefit.advantages")
