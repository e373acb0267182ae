"""A budget spent on every size: what each would reach, by the law's mean curve and by one new run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError, UsageError
from scalefit.studies.cost import Gpu, full_flops, gpu_hours
from scalefit.studies.sizes import Options
from scalefit.units import format_amount, format_quantity

Array = NDArray[np.float64]
ENDS = {
    False: ("low", "high", "run_low", "run_high"),
    True: ("flops_low", "flops_high", "run_flops_low", "run_flops_high"),
}
"""Names of the ends of a row's intervals, of the mean curve and of a new run, without and with a loss to reach."""
REFUSED = 30.0
"""A budget so many times outside every size's measured range is refused."""


@dataclass(frozen=True)
class Budget:
    """Exactly one of: compute by the paper's count [FLOPs], prompts, a loss to reach."""

    flops: float | None = None
    samples: float | None = None
    loss: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("flops", "samples", "loss") if getattr(self, name) is not None]
        if len(given) != 1:
            raise UsageError(
                f"give one budget: --flops, --samples, --loss or --gpu-hours, not {' and '.join(given) or 'none'}."
            )
        if self.loss is not None and not 0 < self.loss < 1:
            raise UsageError(f"--loss {self.loss:g}: a loss is 1 - pass@1, between 0 and 1.")


@dataclass(frozen=True)
class Price:
    """What turns FLOPs into GPU-hours."""

    name: str
    gpu: Gpu
    mfu: float

    @property
    def assumptions(self) -> dict[str, Any]:
        """What was assumed, for a reader."""
        passes = "generation 2, old 2, reference 2, training 6 (N T)"
        return {"gpu": self.name, "peak_flops": self.gpu.peak, "mfu": self.mfu, "passes": passes}


@dataclass(frozen=True)
class Spent:
    """A budget spent on each size: its compute (S,), and draws of what is to be least, (B, S).

    That is log10 of the loss, or of the compute that reaches the loss asked for: `score` of the law's mean curves, `runs`
    of one new run each.
    """

    options: Options
    budget: Budget
    flops: Array
    score: Array
    runs: Array

    @cached_property
    def outside(self) -> Array:
        """How many times outside what was measured, (S,)."""
        return self.options.outside(self.flops)

    @cached_property
    def chance(self) -> Array:
        """Probability that a mean curve is best, (S,)."""
        return _share_best(self.score)

    @cached_property
    def chance_of_run(self) -> Array:
        """Probability that one run beats one of every other size, (S,)."""
        return _share_best(self.runs)

    def row(self, s: int, price: Price) -> dict[str, Any]:
        """Return what a size does; where nothing supports a number there is none, which would be taken for one."""
        options, flops = self.options, float(self.flops[s])
        row: dict[str, Any] = {"params": float(options.sizes[s]), "measured": bool(options.known[s])}
        row |= {"probability_best": float(self.chance[s]), "probability_best_run": float(self.chance_of_run[s])}
        middle, *ends = (10 ** np.percentile(self.score[:, s], [50, 2.5, 97.5])).tolist()
        ends += (10 ** np.percentile(self.runs[:, s], [2.5, 97.5])).tolist()
        names = ENDS[self.budget.loss is not None]
        row |= {"loss": self.budget.loss or middle, **dict(zip(names, ends, strict=True))}
        row |= {"flops": flops, "samples": flops / float(options.flops_a_sample[s])}
        row |= {"gpu_hours": gpu_hours(full_flops(flops), price.gpu, price.mfu), "outside": float(self.outside[s])}
        if self.outside[s] > REFUSED:
            row |= dict.fromkeys(row.keys() - {"params", "measured", "probability_best", "probability_best_run"})
        return row


def spend(options: Options, budget: Budget) -> Spent:
    """Spend a budget on each size."""
    if budget.loss is None:
        flops = options.flops_a_sample * budget.samples if budget.samples else np.full(len(options.sizes), budget.flops)
        return Spent(options, budget, flops, options.log_loss(flops), options.log_loss(flops, run=True))
    needed, runs = (_needed(k, E, budget.loss) for k, E in ((options.k, options.E), (options.run_k, options.run_E)))
    return Spent(options, budget, 10.0 ** np.median(needed, axis=0), needed, runs)


def _needed(k: Array, E: Array, loss: float) -> Array:
    """Return log10 of the compute at which lines reach a loss, (B, S); no more than 60."""
    with np.errstate(over="ignore", divide="ignore"):
        needed = (E - np.log10(loss)) / np.where(k > 0, k, np.nan)
    return np.where(np.isfinite(needed), np.minimum(needed, 60.0), 60.0)


def _share_best(score: Array) -> Array:
    return np.bincount(np.argmin(score, axis=1), minlength=score.shape[1]) / len(score)


def refuse_far(spent: Spent, series: str) -> None:
    """Raise FitError for a budget far from what was measured for any size."""
    if spent.outside.min() > REFUSED:
        at = int(np.argmin(spent.outside))
        low, high = spent.options.measured[at]
        raise FitError(
            f"series {series!r}: the budget lies {spent.outside.min():.3g} times outside what was measured for any size; nearest is "
            f"{format_quantity(spent.options.sizes[at])}, measured from {format_amount(low, 'flops')} to {format_amount(high, 'flops')} FLOPs, asked for "
            f"{format_amount(spent.flops[at], 'flops')}. Nothing supports an answer beyond {REFUSED:g} times."
        )
