"""Evaluations among the metrics that a trainer logs, found by the dialects of `scalefit import`."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from scalefit.errors import UsageError, nearest
from scalefit.live.guard import Guard, to_stderr
from scalefit.live.monitor import Monitor
from scalefit.live.reports import Sends
from scalefit.table.importers.assemble import rows_of
from scalefit.table.importers.choose import choose_metrics
from scalefit.table.importers.collect import Choice, Collected
from scalefit.table.importers.dialects import OTHER, Dialect, find_dialect, meaning, recognise
from scalefit.table.importers.facts import resolve
from scalefit.table.importers.log import STEP, Log, Row, flat
from scalefit.table.importers.values import parse_scale

LATE = 3.0
"""Usual distances between two evaluations after which one is missed."""
ASSUMED = {"flops": "none", "series": "live"}
_SAME = ("group_size", "eval_size", "seed", "reuse")
_OWN = frozenset({"run_id", "step", "eval", "loss"})


def check_options(out: str | Path, run: str, options: Mapping[str, Any]) -> None:
    """Refuse what the monitor that is made at the first evaluation would not take; raises UsageError."""
    known = inspect.signature(Monitor).parameters.keys() - {"out", "run", "params", "series"}
    for name in options:
        if name not in known:
            raise UsageError(f"{name}=: {nearest(name, known)}")
    Monitor(out, run=run, params=1, **options)  # which touches nothing before an evaluation


class Tracker:
    """Takes every metric of a run as verl's and prime-rl's loggers do, and tells a `Monitor` of the evaluations.

    Parameters
    ----------
    out : str or Path
        Runs table.
    run : str
        Name of the run.
    kind : str, optional
        What names the metrics (verl, prime-rl, trl, ...); recognised by them where it is not said.
    facts : mapping, optional
        What `scalefit import` asks for: params and prompts, and series, group_size, seed, eval_size; over `config`.
    config : mapping, optional
        The run's configuration, which may say some of it.
    metric, training_metric, scale : str, optional
        As for `scalefit import`: the metric that is pass@1, or a training reward for want of one, and what answers pay.
    tell : callable
        Takes each line.
    **monitor
        until, x, gpus, rule, stop_when, siblings and to of `Monitor`.

    Raises
    ------
    UsageError
        If an argument makes no sense. Nothing is raised later.
    """

    def __init__(
        self,
        out: str | Path = "runs.parquet",
        *,
        run: str,
        kind: str | None = None,
        facts: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        metric: str | None = None,
        training_metric: str | None = None,
        scale: str | None = None,
        tell: Callable[[str], None] = to_stderr,
        **monitor: Any,
    ) -> None:
        self.out, self.run, self.options = out, run, {"tell": tell, **monitor}
        check_options(out, run, self.options)
        self.guard = Guard(tell)
        self.dialect: Dialect | None = find_dialect(kind) if kind else None
        self.choice = Choice(metric, training_metric, parse_scale(scale) if scale else None)
        self.facts = {name: str(value) for name, value in (facts or {}).items()}
        self.source = Log(run, run, config=flat(config or {}, {}))
        self.monitor: Monitor | None = None
        self.collected: Collected | None = None
        self._known: dict[str, Any] = {}
        self._waiting: list[Row] = []
        self._evaluated: list[int] = []
        self._metrics: set[str] = set()
        self._lock = threading.RLock()

    @property
    def should_stop(self) -> bool:
        """Whether the run is to be stopped; never where `stop_when` was not given."""
        return self.monitor is not None and self.monitor.should_stop

    def log(self, data: Mapping[str, Any], step: int | None = None, **rest: Any) -> None:
        """Take the metrics of a step.

        Parameters
        ----------
        data : mapping
            Names and values.
        step : int, optional
            Updates so far; by default what the metrics say.
        """
        with self._lock, self.guard.watch("metrics could not be taken", "log"):
            values = flat(data, {})
            if step is not None:
                values[STEP] = step
            self._take(Row(f"step {values.get(STEP)}", values))

    def attach(self, logger: Any) -> Tracker:
        """Be told of all that verl's `Tracking` or prime-rl's `MultiMonitor` logs, and send the forecast to the others.

        Returns
        -------
        Tracker
            This one.
        """
        with self.guard.watch("the tracker could not be attached", "attach"):
            if isinstance(others := getattr(logger, "logger", None), dict):
                others["scalefit"] = self
                backends = [name for name in others if name != "scalefit"]
                self.options["to"] = [Sends(lambda numbers, step: logger.log(numbers, step, backend=backends))]
            else:
                logger.monitors.append(self)
                self.options["to"] = [
                    Sends(lambda numbers, step, other=other: other.log(numbers, step))  # type: ignore[misc]
                    for other in logger.monitors
                    if other is not self
                ]
        return self

    def close(self) -> None:
        """Write what waits and the table."""
        if self.monitor is not None:
            self.monitor.close()

    def finish(self, *arguments: Any, **options: Any) -> None:
        """Close, in the words of verl's loggers."""
        self.close()

    def save_final_summary(self, *arguments: Any, **options: Any) -> None:
        """Close, in the words of prime-rl's monitors."""
        self.close()

    def _nothing(self, *arguments: Any, **options: Any) -> None:
        """Take what a logger offers beside metrics and is not needed."""

    log_samples = log_distributions = log_eval_samples = log_final_samples = log_final_distributions = _nothing

    def _take(self, row: Row) -> None:
        """Take a row; what comes before the metrics' dialect is known waits."""
        if self.collected is None:
            self._waiting.append(row)
            dialect = self.dialect or recognise(name for one in self._waiting for name in one.values)
            if dialect is None and self.choice.name in row.values:
                dialect = OTHER
            if dialect is None:
                return
            self.collected = Collected(self.source, dialect, self.choice)
            for one in self._waiting:
                self._collect(one)
            self._waiting = []
        else:
            self._collect(row)

    def _collect(self, row: Row) -> None:
        assert self.collected is not None
        collected = self.collected
        collected.add(row)
        step = collected.last
        names = {name for name in row.values if self._is_evaluation(name)}
        if not names or step not in collected.steps:
            self._miss(step)
            self._tell_notes()
            return
        if gone := self._metrics - names:
            self.guard.once(f"gone {gone}", f"step {step}: {', '.join(sorted(gone))} is not among the metrics any more")
        self._metrics |= names
        self._evaluated.append(step)
        self._tell_monitor(collected, step)

    def _tell_monitor(self, collected: Collected, step: int) -> None:
        """Hand on the evaluations of a step."""
        if not self._known:
            self._known = resolve(self.source, collected.dialect, self.facts, assumed=ASSUMED)
        found = choose_metrics(collected)
        self._tell_notes()
        if self.monitor is None:
            same = {name: self._known[name] for name in _SAME if name in self._known}
            known = {name: self._known[name] for name in ("params", "series")}
            self.monitor = Monitor(self.out, run=self.run, **known, facts=same, **self.options)
        for row in rows_of(collected, found, self._known):
            if row["step"] == step:
                more = {name: value for name, value in row.items() if name not in _OWN}
                self.monitor.log(step, row["loss"], evaluation=row["eval"], **more)

    def _tell_notes(self) -> None:
        """Tell what was mended or left out, each kind once."""
        for kind, note in {**dict.fromkeys(self.source.notes), **self.source.left_out_notes()}.items():
            self.guard.once(kind, note or kind)

    def _is_evaluation(self, name: str) -> bool:
        if name == self.choice.name:
            return True
        assert self.collected is not None
        found = meaning(self.collected.dialect, name)
        return found is not None and found[0] in ("accuracy", "score")

    def _miss(self, step: int) -> None:
        """Say where evaluations have stopped coming."""
        apart = [late - early for early, late in zip(self._evaluated, self._evaluated[1:], strict=False)]
        if len(apart) >= 2 and step - self._evaluated[-1] > LATE * median(apart):
            names = ", ".join(sorted(self._metrics))
            self.guard.once(
                "missed", f"step {step}: {names} has not come since step {self._evaluated[-1]}; no forecast without it"
            )
