"""What is spent never falls along a run: counters that begin anew, clocks that go back, and values that are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from scalefit.live.journal import Row
from scalefit.table.schema import RESOURCES

ANEW = 0.5
"""A counter that falls below so much of what it was has begun anew; above it, it went back a little and waits."""
Tell = Callable[[str, str], None]
"""Told a kind, so that each is told once, and a text."""


class Counters:
    """Keeps the resources of a run's rows from falling."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.before: dict[str, float] = {}

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
            value = row[name] + self.before.get(name, 0.0)
            if had is not None and value < had and later is None:
                value = self._went_back(name, row, value, had)
            if later is not None and later.get(name) is not None:
                value = min(value, later[name])
            row[name] = max(value, had or 0.0)

    def _went_back(self, name: str, row: Row, value: float, had: float) -> float:
        if value < ANEW * had:
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
