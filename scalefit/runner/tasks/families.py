"""The generators of reasoning-gym, by name; both the task and the judge's process draw from them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from scalefit.errors import ScalefitError, UsageError, nearest
from scalefit.extras import install_hint

ITEMS = 1 << 31
"""Items of every family; a seed and a place name one."""


@lru_cache(maxsize=64)
def dataset(family: str) -> Any:
    """Return a family's generator.

    Raises
    ------
    ScalefitError, UsageError
        If reasoning-gym is not installed or has no such family.
    """
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ScalefitError(
            f"the task 'reasoning-gym' needs reasoning-gym ({error}); install it with: {install_hint('tasks')}."
        ) from None
    if family not in DATASETS:
        raise UsageError(f"[task] families: reasoning-gym has no family {family!r}; {nearest(family, DATASETS)}")
    try:
        return reasoning_gym.create_dataset(family, size=ITEMS, seed=0)
    except Exception as error:  # some families count their problems beforehand
        raise UsageError(
            f"[task] families: {family!r} cannot be drawn from without end ({error}); leave it out."
        ) from None
