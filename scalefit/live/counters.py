"""What is spent never falls along a run: counters that begin anew, clocks that go back, and values that are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from scalefit.live.journal import Row
from scalefit.live.values import Tell
from scalefit.table.schema import RESOURCES

ANEW = 0.5
"""A counter that falls below so much of what it was has begun anew; above it, it went back a little and waits."""


class Counters:
    """Keeps the resources of a run's rows from falling."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.before: dict[str, float] = {}
        self._fell: dict[str, tuple[int, float]] = {}

    def settle(self, row: Row, rows: Mapping[tuple[str, int], Row], names: Iterable[str] = RESOURCES) -> None:
        """Put a row's resources between those of its neighbours in step; what is changed is told.

        Parameters
        ----------
        row : dict
            The new row, changed in place.
        rows : mapping
            Those that are there, by evaluation and step.
        names : iterable of str
            The resources.
        """
        mine = {step: other for (name, step), other in rows.items() if name == row["eval"] and step != row["step"]}
        earlier = [mine[step] for step in sorted(mine) if step < row["step"]]
        later = next((mine[step] for step in sorted(mine) if step > row["step"]), None)
        last = earlier[-1] if earlier else {}
        for name in names:
            had = last.get(name)
            if row.get(name) is None:
                if had is not None:
                    row[name] = _at_pace(name, row, earlier)
                    self.tell(
                        f"missing {name}",
                        f"step {row['step']}: {name} is missing; it is taken to grow with the steps as before",
                    )
                continue
            self._take_back(name, row)
            value = row[name] + self.before.get(name, 0.0)
            if had is not None and value < had and later is None:
                value = self._went_back(name, row, value, had)
            if later is not None and later.get(name) is not None:
                value = min(value, later[name])
            row[name] = max(value, had or 0.0)

    def _take_back(self, name: str, row: Row) -> None:
        """Where the next value is where the counter was before it fell, it did not begin anew: that value was amiss."""
        step, fell = self._fell.get(name, (row["step"], 0.0))
        if row["step"] <= step:
            return
        del self._fell[name]
        if row[name] >= fell:
            self.before[name] -= fell
            self.tell(f"amiss {name}", f"step {row['step']}: {name} goes on from {fell:g}, so it had not begun anew")

    def _went_back(self, name: str, row: Row, value: float, had: float) -> float:
        if value < ANEW * had:
            self._fell[name] = row["step"], had - self.before.get(name, 0.0)
            self.before[name] = had
            self.tell(
                f"anew {name}",
                f"step {row['step']}: {name} falls from {had:g} to {value:g}, so it begins anew; it is carried on from {had:g}",
            )
            return had + float(row[name])
        self.tell(
            f"back {name}",
            f"step {row['step']}: {name} goes back from {had:g} to {value:g}; it is kept where it was until it is passed",
        )
        return had


def _at_pace(name: str, row: Row, earlier: list[Row]) -> float:
    """Return a resource at a row's step, by what it grew a step so far."""
    first, last = earlier[0], earlier[-1]
    steps = last["step"] - first["step"]
    begun = first.get(name)
    if not steps or begun is None:
        return float(last[name])
    return float(last[name] + (last[name] - begun) / steps * (row["step"] - last["step"]))
