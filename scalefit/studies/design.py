"""What to run next: the runs that narrow a prediction most for a budget.

A run's information is J' S^-1 J of its evaluations under AR(1) noise, a slope and a level of its own that another seed
would change, and a size's departure from the law that no seed changes; the runs are chosen so that the variance of the prediction at the target is least (c-optimal). Source: Fedorov
1972, Theory of Optimal Experiments, for the exchange of design points; the information adds over runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, Answers, answer_each, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.fitting.fit import Fit, fit_data
from scalefit.laws import OFFSET_FORMS
from scalefit.laws.law import LN10
from scalefit.said import Said
from scalefit.studies.information import Informer, planned_run
from scalefit.studies.optimal import Candidate, Search, even_spread
from scalefit.studies.sizes import flops_a_sample
from scalefit.table.io import RunTable
from scalefit.table.prepare import FitData, prepare
from scalefit.table.select import Source, Where, select
from scalefit.units import format_amount, format_quantity, say_amount

Array = NDArray[np.float64]
LENGTHS = (0.1, 0.25, 0.5, 1.0)
"""Lengths of candidate runs, as shares of the longest run measured."""
SPREADS = ("slope", "level", "slope_misfit", "level_misfit")
WORTH = 0.9
"""Of the width without them, what further seeds of a size have to leave to be worth their money."""


@dataclass(frozen=True, repr=False)
class Design(Answer):
    """Runs to make next.

    Attributes
    ----------
    runs : list of dict
        params, samples, count (seeds) and flops together.
    scatter : dict
        How far runs of one size lie apart in slope (relative) and level [log10 loss], and sizes from the law: slope,
        level, slope_misfit, level_misfit.
    width_now, width_after, width_once, width_even : float
        Width of the 95 % interval of the loss at the target: as things stand, with the design, with the best one of at
        most one new run a size, and with the same budget spread evenly over sizes at full length, by the law's information.
    ratio : float
        width_after / width_even.
    simulated : dict
        The same widths and their ratio from refitted simulations, with the number of them.
    """

    series: str
    law: str
    target: dict[str, float]
    budget: float
    spent: float
    scatter: dict[str, float]
    runs: list[dict[str, float]]
    width_now: float
    width_after: float
    width_once: float
    width_even: float
    ratio: float
    simulated: dict[str, float]
    warnings: list[str]

    ROWS: ClassVar[str] = "runs"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        where = format_quantity(self.target["params"])
        widths = f"from {self.width_now:.4f} to {self.width_after:.4f} wide (spread evenly: {self.width_even:.4f})"
        return f"To predict {where} of {self.series}, train {self._wanted}: its 95 % interval goes {widths}"

    @property
    def _wanted(self) -> str:
        """The runs in words, as in `2 runs of 7B to 13k prompts and 1 run of 14B to 54k prompts`."""
        said = [
            f"{run['count']:g} run{'s' if run['count'] > 1 else ''} of {format_quantity(run['params'])} "
            f"to {say_amount(run['samples'], 'samples')}"
            for run in self.runs
        ]
        return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)

    @property
    def seeds(self) -> str:
        """Whether further seeds of a size are worth their money, and how far runs lie apart."""
        slope, level, bent, _ = self.scatter.values()
        apart = f"runs differ by {100 * slope:.2g} % in slope and {100 * (10**level - 1):.2g} % in level"
        if bent > 0:
            apart += f" (and sizes from the law by {100 * bent:.2g} % in slope, which no seed mends)"
        counts: Counter[float] = Counter()
        for run in self.runs:
            counts[run["params"]] += int(run["count"])
        if max(counts.values()) < 2:
            return f"{apart}: no size is worth a second new run at this budget"
        worth = "are worth their money" if self.width_after < WORTH * self.width_once else "are worth little"
        return (
            f"{apart}: several runs of a size {worth}; the best of one new run a size would leave {self.width_once:.4f}"
        )

    def summary(self) -> str:
        """Return the text that the command prints."""
        goal, simulated = self.target, self.simulated
        rows = [["size", "samples", "runs", "flops"]]
        for run in self.runs:
            size, length = format_quantity(run["params"]), format_quantity(run["samples"])
            rows.append([size, length, f"{run['count']:g}", format_amount(run["flops"], "flops")])
        lines = [
            self.headline,
            f"  to predict {format_quantity(goal['params'])} at {format_quantity(goal['samples'])} samples by {self.law}, "
            f"{format_amount(self.spent, 'flops')} of {format_amount(self.budget, 'flops')} FLOPs",
            text_table(rows),
            f"  width of the 95 % interval of the loss: now {self.width_now:.4f}, with these runs {self.width_after:.4f}, "
            f"the same budget spread evenly {self.width_even:.4f} (ratio {self.ratio:.2f})",
            f"  simulated {simulated['simulations']:g} times: {simulated['after']:.4f} against {simulated['even']:.4f} "
            f"(ratio {simulated['ratio']:.2f})",
            f"  {self.seeds}",
        ]
        return Said([*lines, *warning_lines(self.warnings)])


def design(
    runs: Source,
    budget: float,
    target: float,
    *,
    samples: float | None = None,
    where: Where | None = None,
    sizes: Sequence[float] | None = None,
    run_sd: float | None = None,
    seed: int = 0,
) -> Answers[Design]:
    """Design the next runs for every series of a table.

    Parameters
    ----------
    runs : RunTable, path or data frame
        What there is, with samples and flops.
    budget : float
        Compute by the table's count [FLOPs].
    target : float
        Size whose loss is to be predicted [parameters].
    samples : float, optional
        Where it is to be predicted; by default the longest run measured [prompts].
    where : mapping, optional
        Column to value.
    sizes : sequence of float, optional
        Sizes that can be run; by default those measured, but for the target.
    run_sd : float, optional
        Spread of a run's level over seeds [log10 loss]; by default what the table's runs say, as of their slopes.

    Raises
    ------
    FitError
        If the table cannot support a closed-offset law, or no run fits the budget.
    """
    runs = select(runs, where)
    aim = _Aim(float(budget), float(target), samples, None if sizes is None else np.asarray(sizes, float), run_sd, seed)
    return answer_each({data.name: partial(_design, runs, data, aim) for data in prepare(runs, "samples")})


@dataclass(frozen=True)
class _Aim:
    """What is asked for; None is found out from the table."""

    budget: float
    target: float
    samples: float | None
    sizes: Array | None
    run_sd: float | None
    seed: int


def _design(runs: RunTable, data: FitData, aim: _Aim) -> Design:
    fit, warnings = _plainest(data), []
    longest = float(data.resource[0][data.present].max())
    at, informer = aim.samples or longest, Informer(fit, aim.run_sd)
    able = data.sizes[data.sizes != aim.target] if aim.sizes is None else aim.sizes
    candidates = _candidates(informer, able, flops_a_sample(runs, data, able), longest)
    cheapest = min(candidates, key=lambda one: one.flops)
    if cheapest.flops > aim.budget:
        raise FitError(
            f"--budget {format_amount(aim.budget, 'flops')} FLOPs does not pay for any run; the cheapest, {format_quantity(cheapest.params)} for "
            f"{format_quantity(cheapest.samples)} samples, costs {format_amount(cheapest.flops, 'flops')}."
        )
    log, J = fit.log_curve(np.array([aim.target]), np.array([[at]]))
    loss = float(10.0 ** log[0])
    search = Search(informer.known(able), candidates, J[0], aim.budget)
    chosen, once = search.choose(), replace(search, most=1).choose()
    even = even_spread(candidates, aim.budget)
    scale = float(2 * fit.quantile * LN10 * loss)
    now, after, single, evenly = (scale * search.variance(some) ** 0.5 for some in ([], chosen, once, even))
    if aim.target > 3 * data.sizes[-1]:
        warnings.append(
            f"{format_quantity(aim.target)} is {aim.target / data.sizes[-1]:.2g} times the largest size: the width is the law's own, not what a wrong form costs"
        )
    counted = Counter((one.params, one.samples) for one in chosen)
    price = {(one.params, one.samples): one.flops for one in candidates}
    made = [
        {"params": size, "samples": length, "count": count, "flops": count * price[size, length]}
        for (size, length), count in sorted(counted.items())
    ]
    return Design(
        series=data.series,
        law=fit.law.name,
        target={"params": aim.target, "samples": at, "loss": loss},
        budget=aim.budget,
        spent=float(sum(one.flops for one in chosen)),
        scatter=dict(zip(SPREADS, informer.spreads.tolist(), strict=True)),
        runs=made,
        width_now=now,
        width_after=after,
        width_once=single,
        width_even=evenly,
        ratio=after / evenly,
        simulated=informer.simulate({"after": chosen, "even": even}, (aim.target, at), longest, aim.seed),
        warnings=warnings,
    )


def _plainest(data: FitData) -> Fit:
    """Return the plain closed offset with the fewest parameters: a design needs a law that is determined."""
    if len(data.sizes) < 3:
        raise FitError(
            f"series {data.series!r} has {len(data.sizes)} size(s); a design for an unseen size starts from 3."
        )
    fits = [fit_data(law, data) for law in OFFSET_FORMS]
    settled = [one for one in fits if one.status == "converged"]
    if not settled:
        raise FitError(
            f"series {data.series!r}: no closed-offset law converges on it; more sizes are needed before a design."
        )
    return min(settled, key=lambda one: (len(one.theta), one.cost))


def _candidates(informer: Informer, sizes: Array, prices: Array, longest: float) -> list[Candidate]:
    """Return the runs that could be made, of each size and length."""
    found = []
    for (size, price), share in product(zip(sizes.tolist(), prices.tolist(), strict=True), LENGTHS):
        told = informer.inform(planned_run(informer.fit, size, share * longest, longest))
        found.append(Candidate(size, share * longest, price * share * longest, told))
    return found
