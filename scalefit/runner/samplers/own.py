"""`torch`: the policy samples by itself, so its weights are never out of date."""

from __future__ import annotations

from scalefit.runner.policies.policy import Policy


class OwnSampler:
    """A policy as its own sampler."""

    def __init__(self, policy: Policy) -> None:
        self.sample = policy.sample

    def refresh(self) -> None:
        """Do nothing: there is no copy."""

    def close(self) -> None:
        """Do nothing: there is no engine."""
