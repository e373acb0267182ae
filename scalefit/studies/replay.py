"""A stopping rule tried on runs that have ended: what it would have saved, and what given up, by how careful it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scalefit.answer import Answer, text_table, warning_lines
from scalefit.errors import FitError
from scalefit.prediction.expected import Expected, expect
from scalefit.prediction.outlook import Siblings
from scalefit.prediction.prior import Prior
from scalefit.prediction.rolling import LEAST_POINTS, Curve
from scalefit.prediction.siblings import curves_of
from scalefit.said import Said
from scalefit.studies.stopping import PATIENCE, Rule, advise
from scalefit.table.io import as_runs
from scalefit.table.resources import choose_resource
from scalefit.table.select import Source

Array = NDArray[np.float64]
LOOKS = 20
"""Evaluations of a run after which it is forecast, spread evenly."""
LEAST = 20
"""Evaluations that a run must have to be replayed."""
RISKS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6)
FEWEST = 5
"""Evaluations whose mean is the level of a run where it is stopped, at the least."""
WANTED = 0.95
"""Share of runs that may give up no more than the tolerance."""


@dataclass(frozen=True)
class Replay:
    """A run that has ended, and the chance at some of its evaluations that going on was worth it.

    Attributes
    ----------
    looks : ndarray of int, shape (k,)
        The evaluations.
    chance, regret : ndarray, shape (k,)
        What the rule said there.
    given_up : ndarray, shape (k,)
        Level there less that of the end, as it came.
    saved : ndarray, shape (k,)
        Share of the resource that was still to be spent.
    """

    run: str
    evaluation: str
    looks: NDArray[np.intp]
    chance: Array
    regret: Array
    given_up: Array
    saved: Array

    def stopped_at(self, risk: float, patience: int = PATIENCE) -> int | None:
        """Return at which of the looks a rule stops the run; None where it never does."""
        in_a_row = 0
        for at, chance in enumerate(self.chance):
            in_a_row = in_a_row + 1 if chance <= risk else 0
            if in_a_row == patience:
                return at
        return None

    def first_within(self, tolerance: float) -> int | None:
        """Return the first look from which on no more than the tolerance was to be gained: what nobody can know then."""
        beyond = np.flatnonzero(self.given_up > tolerance)
        at = int(beyond[-1]) + 1 if len(beyond) else 0
        return at if at < len(self.looks) else None


@dataclass(frozen=True, repr=False)
class TradeOff(Answer):
    """What a stopping rule saves and gives up, by its risk.

    Attributes
    ----------
    by_risk : list of dict
        risk, saved (mean share of the resource), within (share of runs that give up no more than the tolerance),
        given_up (mean) and given_up_95 (of 95 % of runs no more), stopped (share of runs).
    possible : float
        Share that one who knew how each run ends would save within the tolerance in every run.
    stated, came : float
        Expected regret at the stops of the risk in use, and what it was.
    """

    runs: int
    tolerance: float
    risk: float
    by_risk: list[dict[str, float]]
    possible: float
    stated: float
    came: float
    warnings: list[str]

    ROWS: ClassVar[str] = "by_risk"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        at = next(row for row in self.by_risk if row["risk"] == self.risk)
        return (
            f"stopped at a risk of {self.risk:g}, {self.runs} runs save {100 * at['saved']:.0f} % and "
            f"{100 * at['within']:.0f} % of them give up no more than {self.tolerance:g}; "
            f"who knew the end would save {100 * self.possible:.0f} %"
        )

    def summary(self) -> Said:
        """Return the text."""
        rows = [["risk", "saved", "within", "mean given up", "95 % of runs", "stopped"]]
        for row in self.by_risk:
            shares = (f"{100 * row[name]:.0f} %" for name in ("saved", "within"))
            rows.append(
                [
                    f"{row['risk']:g}",
                    *shares,
                    f"{row['given_up']:.4f}",
                    f"{row['given_up_95']:.4f}",
                    f"{100 * row['stopped']:.0f} %",
                ]
            )
        regret = f"  regret where stopped: {self.stated:.4f} stated, {self.came:.4f} came"
        return Said([self.headline, text_table(rows), regret, *warning_lines(self.warnings)])


def replay_runs(
    source: Source,
    *,
    x: str | None = None,
    rule: Rule | None = None,
    looks: int = LOOKS,
    siblings: bool = False,
    prior: Prior | None = None,
) -> list[Replay]:
    """Forecast every run of a table from its beginnings, each as if its end were known.

    Parameters
    ----------
    source : RunTable, path or data frame
        Runs that have ended.
    x : str, optional
        Resource.
    rule : Rule, optional
        Whose tolerance counts.
    looks : int
        Evaluations of each run at which it is forecast.
    siblings : bool
        Whether the other runs of the table are known, whole, rather than each run alone.
    prior : Prior, optional
        What is known of other runs; by default the one that is shipped.

    Returns
    -------
    list of Replay
        Of runs with enough evaluations.
    """
    runs = as_runs(source)
    resource, rule = choose_resource(runs, x), rule or Rule()
    found = []
    for evaluation in map(str, runs.frame["eval"].unique()):
        curves = [curve for curve, _, _ in curves_of(runs, resource, evaluation)]
        known: dict[tuple[str, int, float], tuple[float, float]] = {}
        for curve in curves:
            others = Siblings([one for one in curves if one is not curve] if siblings else (), known)
            if len(curve.x) >= LEAST:
                ask = partial(expect, resource=resource, until=float(curve.x[-1]), siblings=others, prior=prior)
                found.append(_replay(curve, evaluation, looks, ask, rule))
    return found


def _replay(curve: Curve, evaluation: str, looks: int, ask: Callable[[Curve], Expected], rule: Rule) -> Replay:
    loss, count = curve.loss, len(curve.loss)
    at = np.unique(np.linspace(LEAST_POINTS, count - 1, looks).astype(np.intp))
    said = [advise(ask(curve.first(int(seen))), loss[0], rule) for seen in at]
    tail = max(round(count / 10), 1)
    half = max(tail, FEWEST) // 2
    level = np.array([loss[max(seen - 1 - half, 0) : seen + half].mean() for seen in at])
    return Replay(
        run=curve.name,
        evaluation=evaluation,
        looks=at,
        chance=np.array([one.chance for one in said]),
        regret=np.array([one.regret_of_stopping for one in said]),
        given_up=level - loss[-tail:].mean(),
        saved=1 - curve.x[at - 1] / curve.x[-1],
    )


def weigh_rule(replays: Iterable[Replay], *, tolerance: float, risk: float, risks: Sequence[float] = RISKS) -> TradeOff:
    """Return what a rule saves and gives up in runs that were replayed.

    Parameters
    ----------
    replays : iterable of Replay
        What `replay_runs` returns, of one table or several.
    tolerance : float
        Loss that may be given up.
    risk : float
        Of the rule in use.
    risks : sequence of float
        Others to compare it with.

    Raises
    ------
    FitError
        If there are no runs.
    """
    replays = list(replays)
    if not replays:
        raise FitError(f"no run has the {LEAST} evaluations that a replay needs.")
    rows = [_at_risk(replays, one, tolerance) for one in sorted({*risks, risk})]
    first = [(replay, replay.first_within(tolerance)) for replay in replays]
    stops = [(replay, at) for replay in replays if (at := replay.stopped_at(risk)) is not None]
    return TradeOff(
        runs=len(replays),
        tolerance=tolerance,
        risk=risk,
        by_risk=rows,
        possible=float(np.mean([0.0 if at is None else replay.saved[at] for replay, at in first])),
        stated=float(np.mean([replay.regret[at] for replay, at in stops] or [0.0])),
        came=float(np.mean([max(replay.given_up[at] - tolerance, 0.0) for replay, at in stops] or [0.0])),
        warnings=[],
    )


def _at_risk(replays: Sequence[Replay], risk: float, tolerance: float) -> dict[str, float]:
    stops = [replay.stopped_at(risk) for replay in replays]
    saved = [0.0 if at is None else replay.saved[at] for replay, at in zip(replays, stops, strict=True)]
    given = [0.0 if at is None else replay.given_up[at] for replay, at in zip(replays, stops, strict=True)]
    return {
        "risk": risk,
        "saved": float(np.mean(saved)),
        "within": float(np.mean(np.array(given) <= tolerance)),
        "given_up": float(np.mean(given)),
        "given_up_95": float(np.quantile(given, WANTED)),
        "stopped": float(np.mean([at is not None for at in stops])),
    }


def record_of(replay: Replay) -> dict[str, Any]:
    """Return a replay as plain data."""
    return {name: getattr(replay, name) for name in Replay.__dataclass_fields__}
