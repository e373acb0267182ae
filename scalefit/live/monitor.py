"""A run watched from within: its evaluations kept, its end forecast, and whether it is worth going on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError, UsageError
from scalefit.live.counters import Counters
from scalefit.live.forecasting import ask, obstacle, resource_of, siblings_of
from scalefit.live.guard import Guard, to_stderr
from scalefit.live.journal import Journal, Row
from scalefit.live.reports import as_reports, in_use, numbers_of
from scalefit.live.values import Values, number
from scalefit.prediction.outlook import Siblings
from scalefit.runner.run_folder import ROWS
from scalefit.studies.stopping import PATIENCE, Advice, Rule
from scalefit.table.io import FORMATS
from scalefit.table.schema import RESOURCES
from scalefit.table.select import Source
from scalefit.units import parse_quantity

StopWhen = bool | Callable[[Advice], bool]
_OWN = frozenset({"run_id", "series", "params", "eval", "step", "loss"})
DIGITS = 6
"""Decimals of hours."""


class Monitor:
    """Watches one run; made once, told of every evaluation, closed at the end (or used with `with`).

    Parameters
    ----------
    out : str or Path
        Runs table to which the run is added; other runs in it are left alone.
    run : str
        Name of the run. A later process with the same name goes on with it.
    params : float or str
        Model size, as in `"7B"`.
    series : str
        Runs that share one law.
    until : float or str, optional
        Where the run is to end, in the unit of `x`; without it the forecast reaches to twice what is spent.
    x : str, optional
        Resource that `until` is in; by default the first of samples, flops, tokens that is logged, else the steps.
    gpus : float
        GPUs that the run keeps busy: times the hours since the start it makes the `gpu_hours` of the table.
    rule : Rule, optional
        What the rest of the run must be worth.
    stop_when : bool or callable
        Whether `should_stop` may become true: never (the default), when the rule has advised it twice in a row for every
        evaluation of the run, or when a function of the advice says so.
    siblings : path, RunTable or data frame, optional
        Earlier runs on the same evaluation, which tell of this one; read once. A run without any is told of by the
        curves of other families that come with the package.
    to : sequence
        Trackers to which the forecast is sent, anything with `log(step, numbers)`; those that the training uses
        (W&B, Trackio) are found by themselves.
    facts : mapping, optional
        Further columns that are the same in every row: seed, group_size, eval_size, reuse.
    tell : callable
        Takes each line; by default it goes to stderr.

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
        params: float | str,
        series: str = "live",
        until: float | str | None = None,
        x: str | None = None,
        gpus: float = 1.0,
        rule: Rule | None = None,
        stop_when: StopWhen = False,
        siblings: Source | None = None,
        to: Sequence[Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        tell: Callable[[str], None] = to_stderr,
    ) -> None:
        if Path(out).suffix not in FORMATS:
            raise UsageError(f"out={str(out)!r}: a runs table ends in {', '.join(FORMATS)}.")
        if taken := sorted(_OWN & set(facts or {})):
            raise UsageError(f"facts: {', '.join(taken)} is no further column; give it as an argument of its own.")
        if stop_when is not None and not (isinstance(stop_when, bool) or callable(stop_when)):
            raise UsageError(f"stop_when={stop_when!r}: True, False, or a function of the advice.")
        self.guard = Guard(tell)
        self.journal = Journal(Path(out), _named(run, "run"))
        self.values = Values(self.guard.once)
        self.same: Row = {
            "run_id": self.journal.run,
            "series": _named(series, "series"),
            "params": parse_quantity(params, "params"),
            **self.values.take(facts or {}, "facts"),
        }
        self.until = parse_quantity(until, "until") if until is not None else None
        self.x, self.gpus = x, parse_quantity(gpus, "gpus")
        self.rule, self.stop_when = rule or Rule(), stop_when or False
        self.siblings = siblings
        self._siblings: dict[str, Siblings] = {}
        self.trackers = None if to is None else as_reports(to)
        self.counters = Counters(self.guard.once)
        self.advice: Advice | None = None
        self.should_stop = False
        self.lost = 0
        self._began = time.monotonic()
        self._in_a_row: dict[str, int] = {}
        self._hours: float | None = None
        self._said: set[str] = set()
        self._lock = threading.RLock()
        self._columns: dict[str, set[str]] = {}

    def log(self, step: int, loss: float, *, evaluation: str = "eval", **more: Any) -> Advice | None:
        """Take an evaluation.

        Parameters
        ----------
        step : int
            Updates so far.
        loss : float
            1 - pass@1 of the evaluation.
        evaluation : str
            Its name.
        **more
            samples, flops, tokens, hours or gpu_hours so far, and columns of your own.

        Returns
        -------
        Advice or None
            What is to be expected of the rest; None where too little is known, or the run is at its end.
        """
        advice = None
        with self._lock, self.guard.watch(f"the evaluation at step {step} could not be taken", "log"):
            with contextlib.suppress(OSError, ScalefitError):  # told where the row cannot be added
                self.journal.open()
            row = self._row(step, loss, evaluation, more)
            if row is None:
                return None
            self._keep(row)
            advice = self._advise(row)
            if advice is not None:
                self.advice = advice
                self.guard(f"{self.same['run_id']}: step {row['step']}: {advice.headline}")
                self._decide(advice, evaluation)
                self._send(row["step"], advice)
        return advice

    def close(self) -> None:
        """Write what waits and the table, and say what is missing in it."""
        with self._lock, self.guard.watch(f"{self.journal.out} could not be written at the end", "close"):
            self._save("table", self.journal.finish)
            if self.journal.waiting:
                self.guard(
                    f"{len(self.journal.waiting)} evaluations of {self.same['run_id']} were not written; "
                    "they are in no file"
                )
            if self.lost:
                self.guard(
                    f"{self.lost} evaluations of {self.same['run_id']} without a usable step or loss were left out"
                )
        with self.guard.watch("the run could not be let go", "close"):
            self.journal.close()

    def __enter__(self) -> Monitor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _keep(self, row: Row) -> None:
        """Keep an evaluation in memory whatever happens, and on disk as soon as that is possible."""
        step, before = row["step"], self.journal.last_step
        if (row["eval"], step) in self.journal.rows:
            self.guard.once(f"again {step}", f"step {step} of {row['eval']} came again; the later evaluation counts")
        elif step < before:
            self.guard.once(
                "late", f"step {step} came after step {before}; evaluations are put in order of their steps"
            )
        self._save("journal", lambda: self.journal.add(row))
        if self.journal.damaged:
            self.guard.once(
                "damaged", f"{self.journal.folder / ROWS}: {self.journal.damaged} lines cannot be read and do not count"
            )
        self._save("table", self.journal.fold)

    def _save(self, kind: str, write: Callable[[], object]) -> None:
        """Write something; where that fails, say that it waits, and when it is there, that it is."""
        out = self.journal.out
        where = out if kind == "table" else self.journal.folder / ROWS
        with self.guard.watch(f"{where} is not written for now, its evaluations wait in memory", kind):
            try:
                write()
            except BlockingIOError as error:
                if kind == "journal":
                    raise ScalefitError(
                        f"{error.strerror} of the run {self.same['run_id']} already; two writers of one run would mix "
                        "it. Give each a run name of its own"
                    ) from None
                return
            if self.guard.again(kind):
                self.guard(f"{where} is written again, with all that waited")

    def _row(self, step: int, loss: float, evaluation: str, more: Mapping[str, Any]) -> Row | None:
        """Return a row of the table; None, and what is missing told, where it cannot be one."""
        at, value = number(step), number(loss)
        if at is None or at < 0 or at != int(at):
            self.lost += 1
            self.guard.once("step", f"step {step!r:.20} is no whole number from 0 on; such evaluations are left out")
            return None
        step = int(at)
        if value is None or not 0 <= value <= 1:
            self.lost += 1
            what = "no number" if value is None else "not between 0 and 1, so not 1 - pass@1"
            self.guard.once(
                "loss", f"step {step}: the loss of {evaluation} is {loss!r:.20}, {what}; such evaluations are left out"
            )
            return None
        row: Row = {**self.same, "eval": evaluation, "step": step, "loss": value}
        further = {name: given for name, given in more.items() if name not in _OWN}
        taken = self.values.take(further, f"step {step}")
        self._said |= set(taken)
        row |= taken
        if "hours" not in self._said:
            self._add_hours(row)
        said = [name for name in RESOURCES if name != "gpu_hours" or name in self._said]
        self.counters.settle(row, self.journal.rows, said)
        if "gpu_hours" not in self._said and "hours" in row:
            row["gpu_hours"] = round(row["hours"] * self.gpus, DIGITS)
        columns = self._columns.setdefault(evaluation, set())
        if gone := sorted(columns - set(row)):
            self.guard.once(f"gone {gone}", f"step {step}: {', '.join(gone)} is missing; the table has a gap there")
        columns |= set(row)
        return row

    def _add_hours(self, row: Row) -> None:
        """Add the time so far where the training does not say it: that of an earlier process, and this one's."""
        if self._hours is None:
            earlier = [kept for (_, step), kept in self.journal.rows.items() if step < row["step"]]
            self._hours = max((kept.get("hours") or 0.0 for kept in earlier), default=0.0)
        hours = self._hours + (time.monotonic() - self._began) / 3600
        row["hours"] = round(hours, DIGITS)

    def _advise(self, row: Row) -> Advice | None:
        """Return what is to be expected; what is in the way of it is told once."""
        rows = [kept for (name, _), kept in sorted(self.journal.rows.items()) if name == row["eval"]]
        x = resource_of(row, self.x)
        try:
            if (why := obstacle(rows, x, self.until)) is not None:
                self.guard.once(f"obstacle {row['eval']} {why[:20]}", f"no forecast at step {row['step']}: {why}")
                return None
            return ask(rows, x, self.until, self.rule, siblings=self._others(x, row["eval"]))
        except ScalefitError as error:
            self.guard.once("forecast", f"no forecast at step {row['step']}: {error}")
        return None

    def _others(self, x: str, evaluation: str) -> Siblings | None:
        """Return the other runs on an evaluation; without them where they cannot be read, which is told."""
        if self.siblings is None:
            return None
        if evaluation not in self._siblings:
            self._siblings[evaluation] = Siblings()
            with self.guard.watch("the siblings cannot be read, and the run is forecast without them", "siblings"):
                found = self._siblings[evaluation] = siblings_of(self.siblings, self.same["run_id"], x, evaluation)
                if not found.curves:
                    raise ScalefitError(f"no other run in them has evaluations of {evaluation} enough")
        return self._siblings[evaluation]

    def _decide(self, advice: Advice, evaluation: str) -> None:
        """Let the run be stopped where that was asked for; by the rule only where no evaluation is to gain any more."""
        self._in_a_row[evaluation] = self._in_a_row.get(evaluation, 0) + 1 if advice.stop else 0
        if self.stop_when is False or self.should_stop:
            return
        own = callable(self.stop_when)
        with self.guard.watch("stop_when could not be asked, and does not stop the run", "stop_when"):
            advised = min(self._in_a_row.values()) >= PATIENCE
            self.should_stop = bool(self.stop_when(advice)) if callable(self.stop_when) else advised
        if self.should_stop:
            why = "as stop_when says" if own else f"advised {PATIENCE} times in a row"
            self.guard(
                f"{self.same['run_id']}: to be stopped at {advice.resource} {advice.now[advice.resource]:g}, {why}"
            )

    def _send(self, step: int, advice: Advice) -> None:
        """Send the forecast to trackers; one that fails is told and left out."""
        if self.trackers is None:
            self.trackers = in_use()
        for tracker in list(self.trackers):
            name = getattr(tracker, "name", type(tracker).__name__)
            with self.guard.watch(f"the forecast is not sent to {name}", f"tracker {name}"):
                try:
                    tracker.log(step, numbers_of(advice))
                except Exception:
                    self.trackers.remove(tracker)
                    raise


def _named(value: Any, what: str) -> str:
    """Return a name; raises UsageError where the table could not hold it."""
    text = str(value) if isinstance(value, str | int) else ""
    if not text.strip() or not text.isprintable():
        raise UsageError(f"{what}={value!r}: give it a name of printable characters.")
    return text
