"""Which size and how much data for a budget: the loss of each size there, the compute-optimal frontier, crossovers.

Sizes that were measured are compared by the law with a level of their own each; the frontier between and beyond them
by the closed-offset laws, each drawn as often as its held-out score weighs. An answer that changes from draw to draw is
reported as one that the data do not give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer
from scalefit.errors import FitError, UsageError
from scalefit.fitting.fit import fit_data
from scalefit.prediction.ensemble import LEAST_SIZES, Ensemble, average_offsets
from scalefit.studies.cost import PAPER, PASSES, Gpu, find_gpu, flops_of_hours, full_flops, gpu_hours
from scalefit.studies.frontier import DRAWS, draw_theta, frontier
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import Source, Where, select
from scalefit.units import format_quantity

Array = NDArray[np.float64]
REFUSED = 30.0
"""A budget so many times outside every size's measured range is refused."""
SURE = 0.95


@dataclass(frozen=True)
class Plan(Answer):
    """The answer to a budget.

    Attributes
    ----------
    sizes : list of dict
        For each size: loss with its 95 % interval, samples, flops, gpu_hours, probability of being best, and how far
        outside the range measured for it the budget lies (1: inside); None where it lies out of reach.
    best : dict
        Of `sizes`, the most probable.
    frontier : dict or None
        The compute-optimal size N*(C) at the budget: value, low, high; None without enough sizes.
    crossovers : list of dict
        Compute at which the larger of two neighbouring sizes becomes the better one.
    one_size_off : list of dict
        Loss, or compute for the target loss, that the next smaller or larger size costs more.
    verdict : str
        The answer in a sentence, "the data do not say" included.
    """

    series: str
    budget: dict[str, float]
    assumptions: dict[str, Any]
    sizes: list[dict[str, Any]]
    best: dict[str, Any]
    frontier: dict[str, float] | None
    crossovers: list[dict[str, Any]]
    one_size_off: list[dict[str, float]]
    verdict: str
    warnings: list[str]

    ROWS: ClassVar[str] = "sizes"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        return f"{self.series}: {self.verdict}"


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
class Options:
    """What one can have, by size (S,): draws of k and E (B, S), FLOPs a sample (S,), measured compute (S, 2)."""

    sizes: Array
    k: Array
    E: Array
    flops_a_sample: Array
    measured: Array
    known: NDArray[np.bool_]

    def log_loss(self, flops: Array) -> Array:
        """Return draws of log10 L at a compute for each size (S,), shape (B, S), wider outside the measured range."""
        log = self.E - self.k * np.log10(flops)
        centre = np.median(log, axis=0)
        return np.asarray(np.minimum(centre + (log - centre) * (1 + np.log10(self.outside(flops))), 0.0))

    def outside(self, flops: Array) -> Array:
        """Return how many times a compute lies outside what was measured for each size, 1 inside."""
        return np.maximum.reduce([flops / self.measured[:, 1], self.measured[:, 0] / flops, np.ones(len(self.sizes))])


def flops_a_sample(runs: RunTable, data: FitData, sizes: Array) -> Array:
    """Return FLOPs a prompt at each size (S,), from each size's last point, between sizes linear in logarithms."""
    frame = runs.frame[(runs.frame["series"] == data.series) & (runs.frame["eval"] == data.record["eval"])]
    if "samples" not in frame or "flops" not in frame:
        raise FitError(f"{runs.path}: a plan needs both samples and flops, to turn one into the other.")
    last = frame[frame["samples"] > 0].sort_values("samples").groupby("params").tail(1).sort_values("params")
    ratio = (last["flops"] / last["samples"]).to_numpy(float)
    mine = np.log(last["params"].to_numpy(float))
    # Beyond the ends a sample costs in proportion to the size.
    at = np.clip(np.log(sizes), mine[0], mine[-1])
    return np.asarray(np.exp(np.interp(at, mine, np.log(ratio)) + np.log(sizes) - at))


def make_options(runs: RunTable, data: FitData, sizes: Array, ensemble: Ensemble | None, seed: int = 0) -> Options:
    """Draw the line of every size: its own where it was measured, else the closed offsets' with their held-out error."""
    rng = np.random.default_rng(seed)
    fit = fit_data("saturating", data)
    theta = draw_theta(fit, DRAWS, rng)
    values = fit.bound.values(theta)
    k, E = np.empty((DRAWS, len(sizes))), np.empty((DRAWS, len(sizes)))
    measured, known = np.empty((len(sizes), 2)), np.zeros(len(sizes), bool)
    C = data.resource[0]
    for s, size in enumerate(sizes):
        at = int(np.argmin(np.abs(data.sizes - size)))
        known[s] = bool(np.isclose(data.sizes[at], size, rtol=1e-6))
        rows = data.params == data.sizes[at]
        scale = 1.0 if known[s] else size / data.sizes[at]
        seen = C[rows][data.present[rows]] * scale
        measured[s] = seen.min(), seen.max()
        k[:, s] = values["k_max"][:, 0] * size / (size + values["N0"][:, 0])
        if known[s]:
            E[:, s] = values["E"][:, at]
            continue
        if ensemble is None:
            raise FitError(
                f"size {format_quantity(size)} was not measured, and an unseen size needs {LEAST_SIZES} measured ones; "
                f"choose among {', '.join(map(format_quantity, data.sizes))}."
            )
        ends = np.geomspace(float(measured[s, 0]), float(measured[s, 1]), 2)
        log = ensemble.member_curves(size, ends[None])
        member = rng.choice(len(ensemble.members), DRAWS, p=ensemble.weights)
        line = log[member]
        k[:, s] = -(line[:, 1] - line[:, 0]) / np.log10(ends[1] / ends[0])
        E[:, s] = line[:, 0] + k[:, s] * np.log10(ends[0]) + ensemble.error * rng.standard_t(ensemble.dof, DRAWS)
    return Options(sizes, k, E, flops_a_sample(runs, data, sizes), measured, known)


def plan(
    runs: Source,
    *,
    flops: float | None = None,
    samples: float | None = None,
    loss: float | None = None,
    hours: float | None = None,
    sizes: Sequence[float] | None = None,
    gpu: str = "h100",
    mfu: float = 0.35,
    where: Where | None = None,
    seed: int = 0,
) -> list[Plan]:
    """Answer a budget for every series of a table; give one of flops, samples, loss and hours.

    Parameters
    ----------
    runs : RunTable, path or data frame
        Runs of at least two sizes with samples and flops.
    flops : float, optional
        Compute by the table's count, 6 N T [FLOPs].
    samples : float, optional
        Data [prompts].
    loss : float, optional
        The loss to reach.
    hours : float, optional
        GPU-hours, every pass counted.
    sizes : sequence of float, optional
        Sizes that one can have [parameters]; by default those measured.
    gpu, mfu : str, float
        What turns FLOPs into GPU-hours: a kind of `GPUS`, and the share of its bf16 peak that is reached.
    where : mapping, optional
        Column to value.

    Raises
    ------
    UsageError
        If not exactly one budget is given, or the GPU is not known.
    FitError
        If the table cannot support a plan, or the budget lies too far outside every measured range.
    """
    kind = find_gpu(gpu)
    if hours is not None:
        if flops is not None:
            raise UsageError("give one budget: --flops or --gpu-hours, not both.")
        flops = flops_of_hours(hours, kind, mfu) * PAPER / sum(PASSES.values())
    budget = Budget(flops, samples, loss)
    runs = select(runs, where)
    return [_plan(runs, data, budget, sizes, kind, gpu.lower(), mfu, seed) for data in prepare(runs, "flops")]


def _plan(
    runs: RunTable,
    data: FitData,
    budget: Budget,
    sizes: Sequence[float] | None,
    gpu: Gpu,
    gpu_name: str,
    mfu: float,
    seed: int,
) -> Plan:
    ensemble = average_offsets(data) if len(data.sizes) >= LEAST_SIZES else None
    options = make_options(
        runs, data, np.sort(np.asarray(sizes if sizes is not None else data.sizes, float)), ensemble, seed
    )
    warnings: list[str] = []
    if budget.loss is not None:
        with np.errstate(over="ignore", divide="ignore"):
            needed = (options.E - np.log10(budget.loss)) / np.where(options.k > 0, options.k, np.nan)
        needed = np.where(np.isfinite(needed), np.minimum(needed, 60.0), 60.0)
        flops = 10.0 ** np.median(needed, axis=0)
        score = needed
    else:
        flops = (
            np.full(len(options.sizes), budget.flops)
            if budget.flops
            else options.flops_a_sample * float(budget.samples or 0)
        )
        score = options.log_loss(flops)
    outside = options.outside(flops)
    if outside.min() > REFUSED:
        at = int(np.argmin(outside))
        low, high = options.measured[at]
        raise FitError(
            f"series {data.series!r}: the budget lies {outside.min():.3g} times outside what was measured for any size; nearest is "
            f"{format_quantity(options.sizes[at])}, measured from {format_quantity(low)} to {format_quantity(high)} FLOPs, asked for "
            f"{format_quantity(flops[at])}. Nothing supports an answer beyond {REFUSED:g} times."
        )
    first = np.argmin(score, axis=1)
    chance = np.bincount(first, minlength=len(options.sizes)) / len(first)
    log = options.log_loss(flops)
    rows = []
    for s, size in enumerate(options.sizes):
        ends = np.percentile(log[:, s], [2.5, 97.5])
        row: dict[str, Any] = {
            "params": float(size),
            "measured": bool(options.known[s]),
            "probability_best": float(chance[s]),
        }
        if budget.loss is None:
            row |= {
                "loss": float(10 ** np.median(log[:, s])),
                "low": float(10 ** ends[0]),
                "high": float(10 ** ends[1]),
            }
        else:
            spread = 10.0 ** np.percentile(needed[:, s], [2.5, 97.5])
            row |= {"loss": budget.loss, "flops_low": float(spread[0]), "flops_high": float(spread[1])}
        row |= {
            "flops": float(flops[s]),
            "samples": float(flops[s] / options.flops_a_sample[s]),
            "gpu_hours": gpu_hours(full_flops(float(flops[s])), gpu, mfu),
            "outside": float(outside[s]),
        }
        rows.append(row)
    best = int(np.argmax(chance))
    for row in rows:
        if row["outside"] > REFUSED:
            # Nothing supports these: a number would be taken for one.
            row |= dict.fromkeys(
                ("loss", "low", "high", "flops", "flops_low", "flops_high", "samples", "gpu_hours") & row.keys()
            )
            row["outside"] = None
    lost = [format_quantity(row["params"]) for row in rows if row["outside"] is None]
    if lost:
        warnings.append(f"out of reach, more than {REFUSED:g} times outside what was measured: {', '.join(lost)}")
    far = [
        f"{format_quantity(row['params'])} {row['outside']:.2g} times" for row in rows if (row["outside"] or 0) > 1.02
    ]
    if far:
        warnings.append(
            f"outside the compute measured for {', '.join(far)}: the lines are drawn on, with wider intervals"
        )
    front = None
    if ensemble is None:
        warnings.append(f"{len(data.sizes)} sizes: a frontier between them needs {LEAST_SIZES}")
    elif budget.samples is None:
        front = frontier(data, ensemble, float(flops[best]), seed)
        if front["at_edge"] > 0.05:
            warnings.append(
                "the frontier runs into the end of the search: the optimum may lie beyond four times the largest size"
            )
    return Plan(
        data.series,
        {name: value for name, value in vars(budget).items() if value is not None},
        {
            "gpu": gpu_name,
            "peak_flops": gpu.peak,
            "mfu": mfu,
            "passes": "generation 2, old 2, reference 2, training 6 (N T)",
        },
        rows,
        rows[best],
        front,
        crossovers(data, options),
        _one_size_off(options, score, best, budget),
        _verdict(rows, best, budget),
        warnings,
    )


def crossovers(data: FitData, options: Options) -> list[dict[str, Any]]:
    """Return, for neighbouring measured sizes, the compute at which their lines cross, with a 95 % interval.

    `settled` says whether nearly all draws have the larger size gain on the smaller and the interval spans less than
    two decades; otherwise the data do not say.
    """
    found = []
    for s in range(len(options.sizes) - 1):
        if not options.known[s : s + 2].all():
            continue
        steeper = options.k[:, s + 1] - options.k[:, s]
        gains = float(np.mean(steeper > 0))
        where = (options.E[:, s + 1] - options.E[:, s]) / np.where(steeper > 0, steeper, np.nan)
        row: dict[str, Any] = {
            "smaller": float(options.sizes[s]),
            "larger": float(options.sizes[s + 1]),
            "share_that_cross": gains,
        }
        if gains >= SURE:
            middle, low, high = np.nanpercentile(np.clip(where, -300, 300), [50, 2.5, 97.5])
            both = (
                max(options.measured[s, 0], options.measured[s + 1, 0]),
                min(options.measured[s, 1], options.measured[s + 1, 1]),
            )
            row |= {"flops": float(10**middle), "low": float(10**low), "high": float(10**high)}
            row |= {"settled": bool(high - low < 2), "measured": bool(both[0] <= 10**middle <= both[1])}
        else:
            row |= {"flops": None, "low": None, "high": None, "settled": False, "measured": False}
        found.append(row)
    return found


def _one_size_off(options: Options, score: Array, best: int, budget: Budget) -> list[dict[str, float]]:
    """Return what the neighbours of the best size cost more: loss, or decades of compute for a loss."""
    found = []
    for s in (best - 1, best + 1):
        if 0 <= s < len(options.sizes):
            gap = (
                score[:, s] - score[:, best]
                if budget.loss is not None
                else 10.0 ** score[:, s] - 10.0 ** score[:, best]
            )
            middle, low, high = np.percentile(gap, [50, 2.5, 97.5])
            if budget.loss is not None:
                middle, low, high = 10**middle, 10**low, 10**high
            found.append(
                {"params": float(options.sizes[s]), "price": float(middle), "low": float(low), "high": float(high)}
            )
    return found


def _verdict(rows: list[dict[str, Any]], best: int, budget: Budget) -> str:
    """Say which size, or that the data do not say."""
    what = "cheapest for this loss" if budget.loss is not None else "best"
    chosen = rows[best]
    if chosen["probability_best"] >= SURE:
        return f"{format_quantity(chosen['params'])} is {what} (probability {chosen['probability_best']:.2f})."
    others = sorted(rows, key=lambda row: -row["probability_best"])
    named = ", ".join(
        f"{format_quantity(row['params'])} {row['probability_best']:.2f}"
        for row in others
        if row["probability_best"] > 0.025
    )
    return f"The data do not say which size is {what}: probabilities {named}."
