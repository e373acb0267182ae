"""A run watched from outside: a log that grows, is cut, replaced or begun anew, read again whenever it has changed."""

from __future__ import annotations

import glob
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from scalefit.answer import Answer, text_table, warning_lines
from scalefit.errors import ScalefitError, TableError, UsageError
from scalefit.live.forecasting import ask, obstacle
from scalefit.live.guard import Guard
from scalefit.live.journal import Row
from scalefit.said import Said
from scalefit.studies.stopping import PATIENCE, Advice, Rule
from scalefit.table.importers import import_runs
from scalefit.table.importers.choose import NoMetric
from scalefit.table.io import FORMATS, RunTable, read_runs
from scalefit.table.load import open_table
from scalefit.table.schema import KEY
from scalefit.table.select import select
from scalefit.units import format_quantity

ASSUMED = {"flops": "none", "series": "watched", "group_size": "1", "prompts": "1", "params": "1"}
"""Facts that no forecast of a lone run in its steps depends on."""
X = "step"
RUNS, ENDED, TO_STOP = "runs", "has ended", "should stop"
KIND = 6
"""Last words of a note, which say of what kind it is; places and counts stand before them, and grow with the log."""
_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60


@dataclass(frozen=True)
class Asked:
    """What is asked of a log.

    Attributes
    ----------
    path : str
        File, folder or pattern, as for `import`; or a runs table.
    until : float, optional
        Step at which the run ends.
    reading : mapping
        Arguments of `import_runs`: given, metric, training_metric, scale, map_path.
    where : mapping
        Which run and evaluation, where there are several.
    gpus : float
        GPUs that the run keeps busy.
    every, idle : float
        Seconds between two looks, and after which a log that does not grow has ended.
    """

    path: str
    until: float | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    where: Mapping[str, Any] = field(default_factory=dict)
    rule: Rule = field(default_factory=Rule)
    gpus: float = 1.0
    every: float = 5.0
    idle: float = 1800.0

    def __post_init__(self) -> None:
        """Refuse times that are none; raises UsageError."""
        for name in ("every", "idle"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds > 0):
                raise UsageError(f"--{name} {seconds:g}: seconds, finite and greater than 0.")


@dataclass(frozen=True, repr=False)
class View(Answer):
    """How a watched run stands.

    Attributes
    ----------
    state : str
        "runs", "has ended" or "should stop".
    advice : Advice or None
        None before there are enough evaluations, and at the end.
    recent : list of dict
        step and loss of its evaluations.
    """

    run: str
    evaluation: str
    state: str
    step: int
    loss: float
    advice: Advice | None
    recent: list[dict[str, float]]
    why: str
    warnings: list[str]

    ROWS: ClassVar[str] = "recent"

    @property
    def headline(self) -> str:
        """How it stands, in a line."""
        said = f"{self.run} {self.state} at step {self.step}, loss {self.loss:.3f} on {self.evaluation}"
        said += f" ({self.why})" if self.why else ""
        return said if self.advice is None else f"{said}; {self.advice.headline}"

    def record(self) -> dict[str, Any]:
        """Return the view as plain data; of the evaluations the last alone, the others having been told before."""
        advice = None if self.advice is None else self.advice.record()
        return {**super().record(), "advice": advice, "recent": self.recent[-1:]}

    def summary(self) -> Said:
        """Return the screen."""
        lines = [self.headline, f"  loss {sparkline([one['loss'] for one in self.recent])}"]
        if self.advice is not None:
            lines += self.advice.summary().parts[1:]
        else:
            rows = [["step", "loss"], *([f"{one['step']:g}", f"{one['loss']:.4f}"] for one in self.recent[-5:])]
            lines.append(text_table(rows))
        return Said([*lines, *warning_lines(self.warnings)])


def sparkline(values: list[float]) -> str:
    """Return values as a line of bars, thinned to what fits."""
    shown = values[:: math.ceil(len(values) / _WIDTH)]
    low, high = min(shown), max(shown)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in shown)


class Outside:
    """What has been seen of a run; a log that loses what it held, by rotation or a cut, takes nothing away.

    Attributes
    ----------
    rows : dict
        Evaluations by step.
    """

    def __init__(self, asked: Asked, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.asked, self.guard, self.clock = asked, Guard(tell), clock
        self.rows: dict[int, Row] = {}
        self.changed = clock()
        self._seen: Any = None
        self._first: tuple[float, int] | None = None

    def look(self) -> bool:
        """Read the log where it has changed; return whether there is anything new in the run.

        Raises
        ------
        ScalefitError
            At the first look, where the log makes no sense; later that is told, and the log looked at again.
        """
        signature = _signature(self.asked.path)
        if signature == self._seen:
            return False
        self._seen, self.changed = signature, self.clock()
        try:
            found = self._read()
        except (TableError, NoMetric, OSError) as error:
            self.guard.once(str(error), f"waiting: {error}")
            return False
        except UsageError as error:
            if not self.rows:
                raise
            self.guard.once(str(error), f"what was added is not understood: {error}")
            return False
        before = dict(self.rows)
        # What a log no longer holds stays; from where it begins anew, what it holds now counts.
        self.rows = {step: row for step, row in self.rows.items() if step < min(found)} | found
        if self._first is None:
            self._first = self.clock(), max(self.rows)
        return self.rows != before

    def view(self, state: str = RUNS, why: str = "") -> View:
        """Return how the run stands."""
        rows = self.ordered
        advice = self.advise(rows) if state != ENDED else None
        last = rows[-1]
        return View(
            run=last["run_id"],
            evaluation=last["eval"],
            state=state,
            step=last["step"],
            loss=last["loss"],
            advice=advice,
            recent=[{"step": float(row["step"]), "loss": row["loss"]} for row in rows],
            why=why,
            warnings=[],
        )

    @property
    def ordered(self) -> list[Row]:
        """The evaluations by step."""
        return [self.rows[step] for step in sorted(self.rows)]

    def advise(self, rows: list[Row]) -> Advice | None:
        """Return what is to be expected after some evaluations; what is in the way is told once."""
        try:
            if (why := obstacle(rows, X, self.asked.until)) is not None:
                self.guard.once(why[:20], f"no forecast at step {rows[-1]['step']}: {why}")
                return None
            return ask(rows, X, self.asked.until, self.asked.rule, per=self._hours_a_step())
        except ScalefitError as error:
            self.guard.once("forecast", f"no forecast at step {rows[-1]['step']}: {error}")
        return None

    def should_stop(self) -> bool:
        """Say whether the last evaluations all advise to stop."""
        rows = self.ordered
        found = [self.advise(rows[: len(rows) - back]) for back in range(min(PATIENCE, len(rows)))]
        return len(found) == PATIENCE and all(one is not None and one.stop for one in found)

    def _hours_a_step(self) -> float | None:
        """Return GPU-hours a step as watched."""
        if self._first is None or max(self.rows) <= self._first[1]:
            return None
        hours = (self.clock() - self._first[0]) / 3600
        return self.asked.gpus * hours / (max(self.rows) - self._first[1])

    def _read(self) -> dict[int, Row]:
        """Return the evaluations of the run that is meant, by step."""
        path = Path(self.asked.path)
        if _holds_runs(path):
            runs = read_runs(path)
        else:
            found = import_runs(None, self.asked.path, assumed=ASSUMED, **self.asked.reading)
            runs = found.runs
            for note in found.notes:
                self.guard.once(" ".join(note.split()[-KIND:]), note)
        frame = self._one(select(runs, self.asked.where) if self.asked.where else runs).frame
        names = [name for name in ("run_id", "series", "params", "eval", X, "loss", "gpu_hours") if name in frame]
        rows = frame[names].astype({"run_id": str, "series": str, "eval": str}).to_dict("records")
        return {int(row[X]): {str(name): value for name, value in row.items()} for row in rows}

    def _one(self, runs: RunTable) -> RunTable:
        """Return the table of one run and evaluation; raises UsageError where it has several."""
        for column in ("run_id", "eval"):
            names = list(map(str, runs.frame[column].unique()))
            if len(names) > 1:
                shown = ", ".join(names[:10])
                raise UsageError(f"{self.asked.path} has several; choose one with --where {column}=...: {shown}.")
        return runs


def watch(
    asked: Asked,
    *,
    until_stop: bool = False,
    tell: Callable[[str], None] = lambda said: None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[View]:
    """Yield how a run stands whenever its log has more to say, the last time when it has ended or should stop.

    Parameters
    ----------
    asked : Asked
        What is watched.
    until_stop : bool
        Whether to end where the rule advises to stop, twice in a row.
    tell : callable
        Takes notes on the log.
    sleep, clock : callable
        Of time.

    Raises
    ------
    ScalefitError
        If there is no such log, or it makes no sense.
    """
    if not glob.has_magic(asked.path) and not Path(asked.path).exists():
        raise TableError(f"{asked.path}: no such file or folder.")
    outside = Outside(asked, tell, clock)
    while True:
        began = clock()
        news = outside.look()
        if news and asked.until is not None and max(outside.rows) >= asked.until:
            yield outside.view(ENDED)
            return
        if clock() - outside.changed >= asked.idle:
            if not outside.rows:
                raise TableError(f"{asked.path}: no evaluation in it after {asked.idle:g} s; is it the right log?")
            yield outside.view(ENDED, f"its log has not grown for {format_quantity(asked.idle)} s")
            return
        if news:
            stop = until_stop and outside.should_stop()
            yield outside.view(TO_STOP if stop else RUNS)
            if stop:
                return
        # A log that takes long to read is read less often.
        sleep(max(asked.every, 5 * (clock() - began)))


def _holds_runs(path: Path) -> bool:
    """Say whether a file is a runs table, by its columns."""
    if path.suffix not in FORMATS or not path.is_file():
        return False
    try:
        source, parts = open_table(path, None, ())
        next(iter(parts), None)
    except ScalefitError:
        return False
    return {*KEY, "loss"} <= set(source.names)


def _signature(path: str) -> Any:
    """Return what changes when a log does: of each file its place on disk, size and time."""
    place = Path(path)
    if place.is_dir():
        files = sorted(one for one in place.rglob("*") if one.is_file())
    else:
        files = [Path(one) for one in sorted(glob.glob(path))] if glob.has_magic(path) else [place]
    found = []
    for one in files:
        try:
            state = one.stat()
        except OSError:  # between two files of a rotation
            found.append((str(one), 0, 0, 0))
        else:
            found.append((str(one), state.st_ino, state.st_size, state.st_mtime_ns))
    return found
