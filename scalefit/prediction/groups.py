"""Which sizes are held out together where there are too many to leave out one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
GROUPS = 12
"""Groups that sizes are held out in."""
MANY = 30
"""Sizes up to which each is held out alone where every one is scored."""


def group_sizes(sizes: Array, alone: int = GROUPS) -> list[Array]:
    """Return ascending sizes as each alone, or beyond `alone` of them in groups of neighbours, evenly many each."""
    return np.array_split(sizes, GROUPS if len(sizes) > max(alone, GROUPS) else len(sizes))
