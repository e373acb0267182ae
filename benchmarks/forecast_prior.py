"""Fit the prior of forecasts on the committed tables and on curves drawn: `scalefit/prediction/prior.json`.

Families weigh the same, whatever their number of curves: each is fitted apart, and what differs between them is the spread
that a run of yet another is told. `fit_prior` without one family is what the benchmark of forecasts holds that family against.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from scalefit.output import write_json
from scalefit.prediction.outlook import ALONE, LAST, Outlook
from scalefit.prediction.prior import HORIZONS, Prior
from scalefit.prediction.rolling import LEAST_POINTS, Curve, trend_of
from scalefit.prediction.shapes import COARSE, POWERS, Population, log_evidence, thin

Array = NDArray[np.float64]
ROOT = Path(__file__).parents[1]
OUT = ROOT / "scalefit" / "prediction" / "prior.json"
LEAST_CURVE, MOST_CURVES = 12, 40
SHARES = (0.12, 0.25, 0.35, 0.5, 0.7, 0.85)
"""Of a run, after which its end is forecast."""
COLLAPSES, THEIR_TASK = "collapse", "arithmetic"
"""The family of runs that were made to collapse (e08), which are no example of what runs do and are left out of every prior, and the
task that they are of."""
DRAWN = ("drawn sigmoids", "drawn power laws")


def tables() -> dict[str, pd.DataFrame]:
    """Return the committed tables of runs by name."""
    paths = [*sorted((ROOT / "data" / "paper").glob("*.parquet")), *sorted((ROOT / "data" / "study").glob("*.parquet"))]
    frames = {path.stem: pd.read_parquet(path) for path in paths}
    return {name: frame for name, frame in frames.items() if {"run_id", "eval", "samples", "loss"} <= set(frame)}


def family_of(name: str, evaluation: str) -> str:
    """Return the family of a run: the paper, the task of our own studies, or a table that is not committed."""
    if (ROOT / "data" / "paper" / f"{name}.parquet").exists():
        return "paper"
    if name.startswith("e08"):
        return COLLAPSES
    return evaluation.split("-")[0] if (ROOT / "data" / "study" / f"{name}.parquet").exists() else name


def curves_by_family(frames: Mapping[str, pd.DataFrame]) -> dict[str, list[tuple[str, Curve]]]:
    """Return every run that is long enough with the name of its table, each once, whatever tables it stands in."""
    found: dict[str, list[tuple[str, Curve]]] = {}
    known = set()
    for name, frame in frames.items():
        for (run, evaluation), rows in frame[frame["samples"] > 0].groupby(
            ["run_id", "eval"], observed=True, sort=True
        ):
            rows = rows.sort_values("step")
            curve = Curve(str(run), rows["samples"].to_numpy(float), rows["loss"].to_numpy(float))
            family = family_of(name, str(evaluation))
            mark = (family, str(evaluation), curve.loss.round(6).tobytes())
            if len(curve.x) >= LEAST_CURVE and mark not in known:
                known.add(mark)
                found.setdefault(family, []).append((name, curve))
    return found


def drawn(kind: str, count: int = 40) -> list[Curve]:
    """Return curves of a known form: sigmoids above a floor, run for three to thirty times their middle, or power laws."""
    rng = np.random.default_rng(DRAWN.index(kind))
    found = []
    for at in range(count):
        x = 512.0 * np.arange(1, int(rng.choice([30, 60, 100])) + 1)
        start, noise = rng.uniform(0.5, 1), np.exp(rng.uniform(np.log(0.005), np.log(0.02)))
        if kind == "drawn sigmoids":
            floor, middle = start * rng.uniform(0.3, 0.9), x[-1] * np.exp(rng.normal(-2, 0.6))
            clean = floor + (start - floor) / (1 + (x / middle) ** np.exp(rng.normal(0.35, 0.25)))
        else:
            clean = start * (x / x[0]) ** -np.exp(rng.normal(np.log(0.1), 0.7))
        found.append(Curve(f"{kind} {at}", x, np.clip(clean + noise * rng.standard_normal(len(x)), 0, 1)))
    return found


def some(curves: Sequence[Any], most: int = MOST_CURVES) -> list[Any]:
    """Return so many of a list, evenly."""
    return [curves[at] for at in np.unique(np.linspace(0, len(curves) - 1, min(most, len(curves))).round().astype(int))]


def population(curves: Sequence[Curve], rounds: int = 25) -> Population:
    """Return the population of a family by expectation and maximisation over the grid of shapes; worth two curves before."""
    told = np.stack([log_evidence(thin(one.x, one.loss), COARSE)[0] for one in curves])
    n, start, spread = len(curves), np.array([-1.5, 0.1]), np.array([1.0, 0.4])
    found = Population(start, np.diag(2 * spread) ** 2, *(np.full(k, 1 / k) for k in (len(POWERS), *told.shape[1:3])))
    for _ in range(rounds):
        log = told + found.log_kinds()[None, :, :, None] + found.log_density(COARSE)
        share = np.exp(log - log.max((1, 2, 3), keepdims=True))
        share = (share / share.sum((1, 2, 3), keepdims=True)).mean(0)
        shape = share.sum((0, 1))
        mean = (n * (shape @ COARSE.numbers) + 2 * start) / (n + 2)
        away = COARSE.numbers - mean
        covariance = (n * ((shape[:, None] * away).T @ away) + 2 * np.diag(spread) ** 2) / (n + 2)
        common = (np.bincount(COARSE.power, shape, len(POWERS)), share.sum((1, 2)), share.sum((0, 2)))
        found = Population(mean, covariance, *((n * one + 1) / (n + len(one)) for one in common))
    return found


def pooled(populations: Sequence[Population]) -> Population:
    """Return the population that a run of yet another family is drawn from, at any part of its way."""
    means = np.array([one.mean for one in populations])
    away = means - means.mean(0)
    covariance = np.mean([one.covariance for one in populations], 0)
    covariance = covariance + away.T @ away / (len(means) - 1) * (1 + 1 / len(means))
    # A forecast is asked for at some part of the way, over which the middle is that much later.
    covariance[0, 0] += 0.3
    common = [np.mean([getattr(one, name) for one in populations], 0) for name in ("powers", "departures", "floors")]
    even = [(len(means) * one + 1 / len(one)) / (len(means) + 1) for one in common]
    return Population(means.mean(0) + np.array([0.5, 0.0]), covariance, *even)


def ends(curve: Curve) -> list[tuple[Curve, Array, float]]:
    """Return a run at several parts of its way, where its last evaluations lie, and their mean."""
    points = max(round(LAST * len(curve.x)), 1)
    seen = [curve.until(share * float(curve.x[-1])) for share in SHARES]
    kept = {len(one.x): one for one in seen if LEAST_POINTS <= len(one.x) <= len(curve.x) - points}
    return [(one, curve.x[-points:], float(curve.loss[-points:].mean())) for one in kept.values()]


@dataclass(frozen=True)
class Rows:
    """Forecasts of ends by the runs' own power laws: horizon, change, what came beside the level, noise and size of a coin."""

    horizon: Array
    change: Array
    came: Array
    noise: Array
    coin: Array


def rows_of(curves: Sequence[Curve]) -> Rows:
    """Return what came of every part of every run."""
    found = []
    for seen, x, loss in (one for curve in curves for one in ends(curve)):
        trend, horizon = trend_of(seen, x), float(np.log(x / seen.x[-1]).mean())
        noise = trend.sigma * np.sqrt(1 / trend.points + 1 / len(x))
        coin = np.sqrt(max(trend.level * (1 - trend.level), 0.01))
        found.append((horizon, float(trend.change.mean()), loss - trend.level, noise, coin))
    return Rows(*np.array(found).T)


def fading(curves: Sequence[Curve]) -> tuple[Array, Array, float, float]:
    """Return the share of their power law that runs keep and its spread at each horizon, the wandering and the noise.

    By the likelihood of Student's t of four, worth a run or two before.
    """
    rows, many = rows_of(curves), len(HORIZONS)
    start = np.concatenate([np.full(many, 0.85), np.full(many, np.log(0.2)), [np.log(0.02), 0.2]])

    def cost(at: Array) -> float:
        kept, within = (np.interp(rows.horizon, HORIZONS, one) for one in (at[:many], np.exp(at[many : 2 * many])))
        wander, noise = np.exp(at[-2:])
        variance = (noise * rows.noise) ** 2 + (within * rows.change) ** 2 + (wander * rows.coin * rows.horizon) ** 2
        square = (rows.came - kept * rows.change) ** 2 / variance
        likely = (0.5 * np.log(variance) + 2.5 * np.log1p(square / 4)).mean() * len(curves)
        return float(likely + (((at - start) / np.repeat([0.3, 1.0, 0.7], [many, many, 2])) ** 2).sum())

    best = minimize(cost, start, method="L-BFGS-B").x
    return best[:many], np.exp(best[many : 2 * many]), float(np.exp(best[-2])), float(np.exp(best[-1]))


def off(families: Mapping[str, Sequence[Curve]], prior: Prior, what: str) -> Array:
    """Return how large errors are in units of their standard errors at each horizon, in the middle of the families.

    No error counts for more than 4, and one family that no shape describes is not what another is like.
    """
    squares = []
    for curves in families.values():
        found = [_missed(one, prior, what) for curve in some(curves, 12) for one in ends(curve)]
        horizon, z = np.array(found).T
        near = np.exp(-0.5 * ((horizon[:, None] - HORIZONS) / 0.35) ** 2)
        squares.append((1 + (near * np.minimum(z**2, 16)[:, None]).sum(0)) / (1 + near.sum(0)))
    return np.asarray(np.sqrt(np.median(squares, 0)))


def _missed(one: tuple[Curve, Array, float], prior: Prior, what: str) -> tuple[float, float]:
    seen, x, loss = one
    outlook = Outlook(seen, prior, ALONE)
    said = outlook.by_shapes(x) if what == "shapes" else outlook.ahead(x)
    noise = prior.noise * trend_of(seen, x).sigma / np.sqrt(len(x))
    error = np.hypot(said.se.mean(), noise)
    return float(np.log(x / seen.x[-1]).mean()), float((said.mean.mean() - loss) / error)


def fit_prior(families: Mapping[str, Sequence[Curve]]) -> Prior:
    """Fit the prior on the curves of families."""
    given = {name: some(curves) for name, curves in families.items()}
    shapes = pooled([population(curves) for curves in given.values()])
    kept, within, wander, noise = (np.array(one) for one in zip(*(fading(one) for one in given.values()), strict=True))
    one = np.ones(len(HORIZONS))
    prior = Prior(
        families=tuple(given),
        population=shapes,
        kept=kept.mean(0),
        between=np.sqrt(kept.var(0, ddof=1) * (1 + 1 / len(given)) + 0.1**2),
        within=np.exp(np.log(within).mean(0)),
        wander=float(np.exp(np.log(wander).mean())),
        noise=float(np.exp(np.log(noise).mean())),
        shapes_off=one,
        off=one,
    )
    prior = replace(prior, shapes_off=np.maximum(off(given, prior, "shapes"), 0.8))
    return replace(prior, off=np.maximum(off(given, prior, "all"), 0.8))


def whole(without: str | None = None) -> Prior:
    """Fit the prior on everything committed, or on all but a family."""
    families = {name: [curve for _, curve in rows] for name, rows in curves_by_family(tables()).items()}
    families |= {name: drawn(name) for name in DRAWN}
    left_out = {without, COLLAPSES, THEIR_TASK if without == COLLAPSES else without}
    return fit_prior({name: curves for name, curves in families.items() if name not in left_out})


def record(prior: Prior) -> dict[str, Any]:
    """Return a prior as the JSON object that the package ships."""
    return {name: vars(value) if isinstance(value, Population) else value for name, value in vars(prior).items()}


def main() -> None:
    """Write the prior."""
    write_json(OUT, record(whole()), 5)


if __name__ == "__main__":
    main()
