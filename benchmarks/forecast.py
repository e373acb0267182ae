"""Who forecasts the end of a run best? Every family's runs by a prior that never saw the family; writes `forecast.json`.

Run as `make bench-forecast`, two minutes on one core. A forecaster is a function from a `Task` to the mean and standard
error of the run's last tenth; to add one, write it and put it into `FORECASTERS`. The splits are frozen: each run (`some`
of a table) after a quarter, a half and .7 of its way; its siblings are the other runs of its table, whole.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.forecast_prior import family_of, some, tables, whole
from scalefit.numerics.intervals import student
from scalefit.output import write_json
from scalefit.prediction.outlook import ALONE, LAST, Outlook, Siblings, look
from scalefit.prediction.prior import Prior
from scalefit.prediction.rolling import LEAST_POINTS, Curve, trend_of
from scalefit.prediction.siblings import curves_of
from scalefit.table.io import as_runs

Array = NDArray[np.float64]
ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "forecast.json"
SPLITS = (0.25, 0.5, 0.7)
MOST_RUNS, LEAST_RUN = 18, 12
Found = tuple[float, float | None, float]
"""Mean, standard error where there is one, and degrees of freedom."""


@dataclass(frozen=True)
class Task:
    """A run as far as it was, where its end lies (m,) and what it was, its siblings and a prior without its family."""

    family: str
    table: str
    share: float
    seen: Curve
    x: Array
    loss: float
    siblings: Siblings
    prior: Prior


def _ours(outlook: Outlook, task: Task) -> Found:
    mean, se, _ = outlook.end(float(task.x[-1]))
    return mean, se, outlook.freedom


def ours_alone(task: Task) -> Found:
    """Forecast from the run and the prior."""
    return _ours(Outlook(task.seen, task.prior, ALONE), task)


def ours(task: Task) -> Found:
    """Forecast from the run, its siblings and the prior."""
    return _ours(look(task.seen, float(task.x[-1]), task.prior, task.siblings), task)


def shapes(task: Task) -> Found:
    """Forecast by the shapes alone."""
    said = Outlook(task.seen, task.prior, ALONE).by_shapes(task.x)
    return float(said.mean.mean()), float(said.se.mean()), len(task.prior.families)


def fading_trend(task: Task) -> Found:
    """Forecast by the power law, as far as families keep to theirs."""
    said = Outlook(task.seen, task.prior, ALONE).by_trend(task.x)
    return float(said.mean.mean()), float(said.se.mean()), len(task.prior.families)


def last(task: Task) -> Found:
    """Forecast the last evaluation."""
    return float(task.seen.loss[-1]), None, np.inf


def five(task: Task) -> Found:
    """Forecast the mean of the last five."""
    return float(task.seen.loss[-5:].mean()), None, np.inf


def power(task: Task) -> Found:
    """Forecast by a line through log loss and log X."""
    line = np.polyfit(np.log(task.seen.x), np.log(np.maximum(task.seen.loss, 1e-3)), 1)
    return float(np.exp(np.polyval(line, np.log(task.x))).mean()), None, np.inf


def slope(task: Task, part: float) -> Found:
    """Forecast the level of the last eight points and a part of the own slope in log X."""
    log_x, level = np.log(task.seen.x), trend_of(task.seen, task.x).level
    since = log_x[-min(8, len(log_x) // 2 + 1) :].mean()
    return level + part * float(np.polyfit(log_x, task.seen.loss, 1)[0] * (np.log(task.x) - since).mean()), None, np.inf


def sigmoid(task: Task) -> Found:
    """Forecast by the best sigmoid above a floor, floor and fall between 0 and the first loss, by least squares."""
    from scipy.optimize import curve_fit

    u, y = task.seen.x / task.seen.x[-1], task.seen.loss

    def curve(at: Array, floor: float, fall: float, middle: float, steep: float) -> Array:
        return np.asarray(floor + fall / (1 + (at / np.exp(middle)) ** np.exp(steep)))

    bounds = ([0, 0, -6, -1.5], [1, 1, 3, 1.5])
    try:
        best = curve_fit(curve, u, y, [0.6 * y[-1] + 1e-3, 0.5 * y[0] + 1e-3, -1, 0.2], bounds=bounds)[0]
    except RuntimeError:
        return five(task)
    return float(curve(task.x / task.seen.x[-1], *best).mean()), None, np.inf


def siblings_only(task: Task) -> Found:
    """Forecast the fall that the siblings had from there on, in parts of their loss."""
    falls = []
    for one in task.siblings.curves:
        now, end = (
            one.until(float(task.seen.x[-1]) * one.unit / task.seen.unit),
            one.until(float(task.x[-1]) * one.unit / task.seen.unit),
        )
        if len(now.x) >= LEAST_POINTS:
            falls.append(
                float(end.loss[-max(round(LAST * len(end.x)), 1) :].mean()) / max(float(now.loss[-5:].mean()), 1e-3)
            )
    level = float(task.seen.loss[-5:].mean())
    return level * (float(np.mean(falls)) if falls else 1.0), None, np.inf


FORECASTERS: dict[str, Callable[[Task], Found]] = {
    "ours, alone": ours_alone,
    "ours, with siblings": ours,
    "shapes only": shapes,
    "fading power law only": fading_trend,
    "siblings only": siblings_only,
    "last value": last,
    "mean of five": five,
    "own power law": power,
    "sigmoid": sigmoid,
    "level and .8 of the slope": lambda task: slope(task, 0.8),
    "level and .6 of the slope": lambda task: slope(task, 0.6),
}
SIMPLE = ("last value", "mean of five", "own power law")


def tasks(family: str, table: str, curves: Sequence[Curve], prior: Prior) -> Iterator[Task]:
    """Return every split of the runs of a table."""
    known: dict[tuple[str, int, float], tuple[float, float]] = {}
    for curve in some([one for one in curves if len(one.x) >= LEAST_RUN], MOST_RUNS):
        points = max(round(LAST * len(curve.x)), 1)
        siblings = Siblings([one for one in curves if one.name != curve.name], known)
        for share in SPLITS:
            seen = curve.until(share * float(curve.x[-1]))
            if LEAST_POINTS <= len(seen.x) <= len(curve.x) - points:
                x = curve.x[-points:]
                yield Task(family, table, share, seen, x, float(curve.loss[-points:].mean()), siblings, prior)


def score(errors: Sequence[tuple[float, float | None, float]]) -> dict[str, float]:
    """Return RMSE and bias, and where there are bands how often they hold and how wide they are."""
    miss = np.array([one[0] for one in errors])
    found = {"runs": len(miss), "rmse": float(np.sqrt((miss**2).mean())), "bias": float(miss.mean())}
    if errors[0][1] is not None:
        half = {
            level: np.array([student(level, one[2]) * float(one[1] or 0) for one in errors]) for level in (0.5, 0.95)
        }
        found |= {f"cover{100 * level:.0f}": float((np.abs(miss) <= wide).mean()) for level, wide in half.items()}
        found["width95"] = float(2 * half[0.95].mean())
    return found


def collect(every: Sequence[Task]) -> pd.DataFrame:
    """Return the error of every forecaster on every task, a row each."""
    rows = []
    for task in every:
        for name, forecaster in FORECASTERS.items():
            mean, se, freedom = forecaster(task)
            rows.append((task.family, task.table, task.share, name, (mean - task.loss, se, freedom)))
    return pd.DataFrame(rows, columns=["family", "table", "share", "forecaster", "error"])


def leaderboard(errors: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of every forecaster by family and share, and by table."""
    report: dict[str, Any] = {}
    for family, rows in errors.groupby("family", sort=False):
        report[str(family)] = {
            name: {f"{share:g}": score(list(some_rows["error"])) for share, some_rows in mine.groupby("share")}
            for name, mine in rows.groupby("forecaster", sort=False)
        }
    by_table = {}
    for table, rows in errors.groupby("table", sort=False):
        rmse = {name: score(list(mine["error"]))["rmse"] for name, mine in rows.groupby("forecaster", sort=False)}
        best = min(rmse[name] for name in SIMPLE)
        against = {name: rmse[name] / best for name in ("ours, alone", "ours, with siblings")}
        by_table[str(table)] = {
            "forecasts": len(rows) // len(FORECASTERS),
            "rmse": rmse,
            "against the best simple rule": against,
        }
    return {"families": report, "tables": by_table}


def tasks_of(name: str, frame: pd.DataFrame, priors: dict[str, Prior], x: str = "samples") -> Iterator[Task]:
    """Return the tasks of a table, every evaluation apart."""
    for evaluation, rows in frame.groupby("eval", observed=True):
        family = family_of(name, str(evaluation))
        if family not in priors:
            priors[family] = whole(family)
        # The paper's test set is what a reader asks of; its other tables are of the same runs or one size.
        shown = f"{family}, {name}" if family == "paper" else family
        curves = [one[0] for one in curves_of(as_runs(rows), x, str(evaluation))]
        yield from tasks(f"{shown} by {x}", f"{name} by {x}", curves, priors[family])


def show(report: dict[str, Any]) -> None:
    """Print the scores."""
    for family, rows in report["families"].items():
        for name, shares in rows.items():
            print(
                f"{family:32s}{name:28s}",
                *(f"{s}: {' '.join(f'{v:+.4f}' for v in one.values())} |" for s, one in shares.items()),
            )
    for table, row in report["tables"].items():
        print(
            table,
            row["forecasts"],
            {name: round(value, 2) for name, value in row["against the best simple rule"].items()},
        )


def main() -> None:
    """Forecast, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--only", default="", help="the tables whose name begins so")
    parser.add_argument("tables", nargs="*", type=Path, help="tables beside the committed ones, as CSV")
    given = parser.parse_args()
    frames = tables() | {path.stem: pd.read_csv(path) for path in given.tables}
    asked = [(name, "samples") for name in frames] + [("runs", "flops")]
    priors: dict[str, Prior] = {}
    parts = []
    for name, x in asked:
        if name.startswith(given.only):
            parts.append(collect(list(tasks_of(name, frames[name], priors, x))))
            print(name, x, len(parts[-1]), file=sys.stderr, flush=True)
    report = leaderboard(pd.concat(parts, ignore_index=True))
    write_json(given.out, report, 4)
    show(report)


if __name__ == "__main__":
    main()
