"""Simulate a runs table with known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from scalefit.errors import UsageError
from scalefit.fitting.binding import BoundLaw
from scalefit.laws import get_law
from scalefit.laws.law import Law
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.table.io import RunTable, as_runs


def simulate(
    law: Law | str,
    theta: Mapping[str, Any],
    *,
    params: Sequence[float],
    samples: Sequence[float] | None = None,
    flops: Sequence[float] | None = None,
    sigma: float = 0.0,
    rho: float = 0.0,
    seed: int = 0,
    series: str = "simulated",
) -> RunTable:
    """Return a runs table drawn from a law, one run a size; the loss is clipped to [0, 1].

    Parameters
    ----------
    law : Law or str
        A law of one resource (one's own too), or `joint` with both.
    theta : mapping
        Parameter values by name; per-size ones as sequences in the order of `params`.
    params : sequence of float, shape (S,)
        Model sizes, ascending [parameters].
    samples, flops : sequence of float, shape (T,)
        Values of the resource; exactly those the law is to be in.
    sigma, rho : float
        Stationary standard deviation [loss] and lag-1 correlation of AR(1) noise.
    seed : int
        Of numpy's generator.
    """
    law = get_law(law)
    given = {
        name: np.asarray(values, float)
        for name, values in (("flops", flops), ("samples", samples))
        if values is not None
    }
    if len(given) != law.resources:
        raise UsageError(f"law {law.name!r} needs {law.resources} resource(s), {len(given)} given.")
    sizes = np.asarray(params, float)
    if (np.diff(sizes) <= 0).any():
        raise UsageError("params must ascend, each size once.")
    bound = BoundLaw(law, sizes)
    flat = bound.internal(dict(theta))
    X = np.stack(list(given.values()))
    T = X.shape[1]
    noise = ar1_noise(np.random.default_rng(seed), Noise(rho, np.full(len(sizes), sigma)), (1, len(sizes), T))[0]
    clean = np.stack([10.0 ** bound.log_loss(flat, np.full(T, size), X) for size in sizes])
    loss = np.clip(clean + noise, 0, 1)
    about = {"series": series, "seed": seed, "step": np.arange(1, T + 1), **given, "eval": "simulated"}
    frames = [
        pd.DataFrame({"run_id": f"{series}-{size:g}", "params": size, **about, "loss": loss[row]})
        for row, size in enumerate(sizes)
    ]
    return as_runs(pd.concat(frames, ignore_index=True), {"origin": f"simulated from {law.name}"})
