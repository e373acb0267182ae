"""Which size and how much data for a budget: the loss of each size there, the compute-optimal frontier, crossovers.

Sizes that were measured are compared by the law with a level of their own each; the frontier between and beyond them
by closed laws and the trend of the sizes, each drawn as often as it weighs in the default prediction. An answer that
changes from draw to draw is reported as one that the data do not give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import UsageError
from scalefit.fitting.once import kept
from scalefit.prediction.ensemble import LEAST_SIZES, average_offsets
from scalefit.said import Said
from scalefit.studies.cost import PAPER, PASSES, find_gpu, flops_of_hours
from scalefit.studies.frontier import frontier
from scalefit.studies.sizes import SURE, crossovers, make_options
from scalefit.studies.spending import ENDS, REFUSED, Budget, Price, Spent, refuse_far, spend
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import Source, Where, select
from scalefit.units import format_amount, format_quantity, say_amount

Array = NDArray[np.float64]
LEAST = 0.025
"""Probability of being best above which a size is named."""


@dataclass(frozen=True, repr=False)
class Plan(Answer):
    """The answer to a budget.

    Attributes
    ----------
    sizes : list of dict
        For each size: loss of the law's mean curve with its 95 % interval (low, high) and that of a new run (run_low,
        run_high), or for a loss the same of the compute; samples, flops, gpu_hours; the probability that its mean curve is
        best, and that one run of it beats one of every other size; and how far outside the range measured for it the
        budget lies (1: inside). None where it lies out of reach.
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
    eval: str
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
        return self.verdict

    @property
    def near_lines(self) -> list[str]:
        """The compute-optimal size with its interval, and what the neighbours of the best size cost more, in sentences."""
        lines, to_loss = [], "loss" in self.budget
        if (front := self.frontier) is not None:
            size, low, high = (format_quantity(front[end]) for end in ("params", "low", "high"))
            lines.append(
                f"were every size to be had, by the laws across sizes: {size} is compute-optimal there (95 % {low} to {high}), "
                f"at loss {front['loss']:.3f}"
            )
        for row in self.one_size_off:
            price = f"{row['price']:+.3f} loss ({row['low']:+.3f} to {row['high']:+.3f})"
            if to_loss:
                price = f"{row['price']:.2f} times the compute ({row['low']:.2f} to {row['high']:.2f})"
            lines.append(f"{format_quantity(row['params'])} instead: {price}")
        return lines

    @property
    def crossing_lines(self) -> list[str]:
        """Where a larger size overtakes the next smaller one, in sentences, and where the data do not say."""
        lines = []
        for row in (row for row in self.crossovers if row["settled"]):
            pair = f"{format_quantity(row['larger'])} overtakes {format_quantity(row['smaller'])}"
            place = "" if row["measured"] else ", outside what both were measured at"
            where, low, high = (format_amount(row[end], "flops") for end in ("flops", "low", "high"))
            lines.append(f"{pair} at {where} FLOPs (95 % {low} to {high}{place})")
        if open_pairs := [row for row in self.crossovers if not row["settled"]]:
            pairs = (f"{format_quantity(row['larger'])} and {format_quantity(row['smaller'])}" for row in open_pairs)
            lines.append(f"where the larger overtakes the smaller the data do not say: {', '.join(pairs)}")
        return lines

    def summary(self) -> str:
        """Return the text that the command prints."""
        to_loss, said = "loss" in self.budget, self.assumptions
        lines = [self.headline, self._table(to_loss)]
        lines += [f"  {line}" for line in (*self.near_lines, *self.crossing_lines)]
        lines.append(
            f"  GPU-hours: {said['peak_flops'] / 1e12:g} TFLOP/s peak at {said['mfu']:.0%}; passes {said['passes']}, twice the paper's 6 N T"
        )
        return Said([*lines, *warning_lines(self.warnings)])

    def _table(self, to_loss: bool) -> str:
        keys = ("flops", *ENDS[True]) if to_loss else ("loss", *ENDS[False], "flops")
        head = ["size", keys[0], "95 % low", "high", "one run low", "high", *keys[5:], "samples"]
        rows = [[*head, f"{self.assumptions['gpu']}-hours", "best", "one run best", "outside"]]
        for row in self.sizes:
            cells = [_cell(row[key], key) for key in keys]
            far = (
                "out of reach" if row["outside"] is None else f"{row['outside']:.2g}x" if row["outside"] > 1.02 else ""
            )
            samples = "" if row["samples"] is None else format_quantity(row["samples"])
            size = format_quantity(row["params"]) + ("" if row["measured"] else " (unseen)")
            best = [f"{row[name]:.2f}" for name in ("probability_best", "probability_best_run")]
            rows.append([size, *cells, samples, _cell(row["gpu_hours"], "gpu_hours"), *best, far])
        return text_table(rows)


def _cell(value: float | None, name: str) -> str:
    if value is None:
        return ""
    if "flops" in name:
        return format_amount(value, name)
    return f"{value:.3g}" if name == "gpu_hours" else f"{value:.3f}"


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
) -> Answers[Plan]:
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
    price = Price(gpu.lower(), kind, mfu)
    asked = {data.name: partial(_plan, runs, data, budget, sizes, price, seed) for data in prepare(runs, "flops")}
    with kept():  # the frontier weighs the forms anew, on the same folds
        return answer_each(asked)


def _plan(
    runs: RunTable, data: FitData, budget: Budget, sizes: Sequence[float] | None, price: Price, seed: int
) -> Plan:
    ensemble = average_offsets(data) if len(data.sizes) >= LEAST_SIZES else None
    able = np.sort(np.asarray(data.sizes if sizes is None else sizes, float))
    spent = spend(make_options(runs, data, able, ensemble, seed), budget)
    refuse_far(spent, data.series)
    rows = [spent.row(s, price) for s in range(len(able))]
    best = int(np.argmax(spent.chance))
    warnings = _tell_far(rows)
    front = None
    if ensemble is None:
        warnings.append(f"{len(data.sizes)} sizes: a frontier between them needs {LEAST_SIZES}")
    elif budget.samples is None:
        front = frontier(data, float(spent.flops[best]), seed)
        if front["at_edge"] > 0.05:
            warnings.append(
                "the frontier runs into the end of the search: the optimum may lie beyond four times the largest size"
            )
    return Plan(
        data.series,
        str(data.record["eval"]),
        {name: value for name, value in vars(budget).items() if value is not None},
        price.assumptions,
        rows,
        rows[best],
        front,
        crossovers(spent.options),
        _one_size_off(spent, best),
        _verdict(rows, best, budget, data),
        warnings,
    )


def _tell_far(rows: list[dict[str, Any]]) -> list[str]:
    warnings = []
    if lost := [format_quantity(row["params"]) for row in rows if row["outside"] is None]:
        warnings.append(f"out of reach, more than {REFUSED:g} times outside what was measured: {', '.join(lost)}")
    outer = [row for row in rows if (row["outside"] or 0) > 1.02]
    if far := ", ".join(f"{format_quantity(row['params'])} {row['outside']:.2g} times" for row in outer):
        warnings.append(f"outside the compute measured for {far}: the lines are drawn on, with wider intervals")
    return warnings


def _one_size_off(spent: Spent, best: int) -> list[dict[str, float]]:
    """Return what the neighbours of the best size cost more: loss, or how many times the compute for a loss."""
    found, score, times = [], spent.score, spent.budget.loss is not None
    for s in (best - 1, best + 1):
        if 0 <= s < score.shape[1]:
            gap = score[:, s] - score[:, best] if times else 10.0 ** score[:, s] - 10.0 ** score[:, best]
            middle, low, high = (float(10**end if times else end) for end in np.percentile(gap, [50, 2.5, 97.5]))
            found.append({"params": float(spent.options.sizes[s]), "price": middle, "low": low, "high": high})
    return found


def _verdict(rows: list[dict[str, Any]], best: int, budget: Budget, data: FitData) -> str:
    """Say which size, or between which ones these runs do not say; and where one run of it ends."""
    chosen = rows[best]
    if budget.loss is not None:
        asked = f"For a loss of {budget.loss:g} the cheapest"
    elif budget.samples is not None:
        asked = f"With {say_amount(budget.samples, 'samples')} the best"
    else:
        asked = f"At {say_amount(budget.flops or 0.0, 'flops')} the best"
    asked += f" size of {data.series} on {data.record['eval']} is"
    if chosen["probability_best"] >= SURE:
        said = f"{asked} {format_quantity(chosen['params'])} (probability {chosen['probability_best']:.2f})"
    else:
        ranked = sorted(rows, key=lambda row: -row["probability_best"])
        likely = ranked[: max(2, sum(row["probability_best"] > LEAST for row in rows))]
        *first, last = (format_quantity(row["params"]) for row in likely)
        odds = " : ".join(f"{100 * row['probability_best']:.0f}" for row in likely)
        said = f"{asked} {', '.join(first)} or {last}; these runs do not say which (chances {odds})"
    if chosen["outside"] is None:
        return f"{said}."
    if budget.loss is not None:
        low, high = (say_amount(chosen[f"run_flops_{end}"], "flops") for end in ("low", "high"))
        ends = f"would take {low} to {high}"
    else:
        ends = f"would end at loss {chosen['run_low']:.3f} to {chosen['run_high']:.3f}"
    return f"{said}. One run of {format_quantity(chosen['params'])} {ends} (95 %)."
