"""Relations between two measured quantities that are not a loss over a resource: pass@k, entropy, horizon.

To add one, write its block and a line in `RELATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scalefit.laws.law import Array, Param, Values


@dataclass(frozen=True)
class Relation:
    """One relation y = f(x).

    Attributes
    ----------
    x, y : str
        What is related, with units.
    value : callable (p, x) -> y
        `p` maps names to arrays that broadcast with x.
    """

    name: str
    formula: str
    source: str
    x: str
    y: str
    params: tuple[Param, ...]
    value: Callable[[Values, Array], Array]


def _pass_at_k(p: Values, k: Array) -> Array:
    return np.asarray(np.exp(p["a"] * k ** p["b"]))


def _entropy(p: Values, H: Array) -> Array:
    return np.asarray(-p["a"] * np.exp(H) + p["b"])


def _horizon(p: Values, h: Array) -> Array:
    return np.asarray(p["a"] * h ** p["gamma"])


PASS_AT_K = Relation(
    "pass-at-k",
    "pass@k = exp(a k^b), a and b negative",
    "Brown et al. 2024, arXiv:2407.21787, eq. 2",
    "samples a problem",
    "share of problems solved by at least one",
    (Param("a", "1", (-np.inf, 0)), Param("b", "1", (-np.inf, 0))),
    _pass_at_k,
)
ENTROPY = Relation(
    "entropy",
    "R = -a exp(H) + b",
    "Cui et al. 2025, arXiv:2505.22617, eq. 1",
    "policy entropy [nats]",
    "pass rate",
    (Param("a", "pass rate"), Param("b", "pass rate")),
    _entropy,
)
HORIZON = Relation(
    "horizon",
    "T = a h^gamma",
    "Wang et al. 2026, arXiv:2605.06638",
    "proof depth [steps]",
    "samples or FLOPs until the target accuracy",
    (Param("a", "resource", (0, np.inf), "log"), Param("gamma", "1")),
    _horizon,
)
RELATIONS = {relation.name: relation for relation in (PASS_AT_K, ENTROPY, HORIZON)}
