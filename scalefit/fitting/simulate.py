"""Simulate a runs table with known truth: a law, runs that scatter about it, and the noise of evaluations."""

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
    seeds: int = 1,
    slope_sd: float = 0.0,
    level_sd: float = 0.0,
    misfit_sd: float = 0.0,
    seed: int = 0,
    series: str = "simulated",
) -> RunTable:
    """Return a runs table drawn from a law; the loss is clipped to [0, 1].

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
    seeds : int
        Runs of each size.
    slope_sd, level_sd : float
        How runs of one size differ: in slope, as a share of it, about the mean of log10 X, and in level [log10 loss].
    misfit_sd : float
        How a size departs from the law, in slope, as a share of it.
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
    S, T = len(sizes), X.shape[1]
    rng = np.random.default_rng(seed)
    noise = ar1_noise(rng, Noise(rho, np.full(seeds * S, sigma)), (1, seeds * S, T))[0].reshape(seeds, S, T)
    log = np.stack([bound.log_loss(flat, np.full(T, size), X) for size in sizes])
    middle = np.exp(np.log(X).mean(1, keepdims=True))
    centre = np.stack([bound.log_loss(flat, np.array([size]), middle) for size in sizes])
    turned = 1 + misfit_sd * rng.standard_normal((S, 1)) + slope_sd * rng.standard_normal((seeds, S, 1))
    moved = centre + (log - centre) * turned + level_sd * rng.standard_normal((seeds, S, 1))
    loss = np.clip(10.0**moved + noise, 0, 1)
    about = {"series": series, "step": np.arange(1, T + 1), **given, "eval": "simulated"}
    frames = [
        pd.DataFrame(
            {
                "run_id": _name(series, size, which, seeds),
                "params": size,
                "seed": seed + which,
                **about,
                "loss": loss[which, row],
            }
        )
        for row, size in enumerate(sizes)
        for which in range(seeds)
    ]
    return as_runs(pd.concat(frames, ignore_index=True), {"origin": f"simulated from {law.name}"})


def _name(series: str, size: float, which: int, seeds: int) -> str:
    return f"{series}-{size:g}" if seeds == 1 else f"{series}-{size:g}-{which}"
