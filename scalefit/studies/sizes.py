"""What each size does for a compute: its own line where it was measured, else the default prediction's with its held-out error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import FitError
from scalefit.fitting.fit import fit_data
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.prediction.ensemble import LEAST_SIZES, Ensemble
from scalefit.prediction.misses import DOF
from scalefit.studies.frontier import DRAWS
from scalefit.table.fit_data import FitData
from scalefit.table.io import RunTable
from scalefit.units import format_quantity

Array = NDArray[np.float64]
SURE = 0.95
"""Share of draws from which an order is told."""


@dataclass(frozen=True)
class Options:
    """What one can have, by size (S,): draws of k and E (B, S) of the law's mean curves and of one new run each, FLOPs a sample (S,), measured compute (S, 2)."""

    sizes: Array
    k: Array
    E: Array
    run_k: Array
    run_E: Array
    flops_a_sample: Array
    measured: Array
    known: NDArray[np.bool_]

    def log_loss(self, flops: Array, *, run: bool = False) -> Array:
        """Return draws of log10 L at a compute for each size (S,), of mean curves or runs, (B, S), wider outside the measured range."""
        k, E = (self.run_k, self.run_E) if run else (self.k, self.E)
        log = E - k * np.log10(flops)
        centre = np.median(log, axis=0)
        return np.asarray(np.minimum(centre + (log - centre) * (1 + np.log10(self.outside(flops))), 0.0))

    def outside(self, flops: Array) -> Array:
        """Return how many times a compute lies outside what was measured for each size, 1 inside."""
        return np.maximum.reduce([flops / self.measured[:, 1], self.measured[:, 0] / flops, np.ones(len(self.sizes))])


def flops_a_sample(runs: RunTable, data: FitData, sizes: Array) -> Array:
    """Return FLOPs a prompt at each size (S,), from each size's last point, between sizes linear in logarithms."""
    frame = runs.frame[(runs.frame["series"] == data.series) & (runs.frame["eval"] == data.record["eval"])]
    if "samples" not in frame or "flops" not in frame:
        raise FitError(f"{runs.path}: a plan needs both samples and flops, to turn one into the other.")
    last = frame[frame["samples"] > 0].sort_values("samples").groupby("params").tail(1).sort_values("params")
    ratio = (last["flops"] / last["samples"]).to_numpy(float)
    mine = np.log(last["params"].to_numpy(float))
    # Beyond the ends a sample costs in proportion to the size.
    at = np.clip(np.log(sizes), mine[0], mine[-1])
    return np.asarray(np.exp(np.interp(at, mine, np.log(ratio)) + np.log(sizes) - at))


def make_options(runs: RunTable, data: FitData, sizes: Array, ensemble: Ensemble | None, seed: int = 0) -> Options:
    """Draw the line of every size: its own where it was measured, else the default prediction's with its held-out error."""
    rng = np.random.default_rng(seed)
    found = fit_data("saturating", data).evidence
    if not isinstance(found, Hierarchy):
        raise FitError(
            f"series {data.series!r}: its runs have too few evaluations for a line each, which a plan rests on."
        )
    k, E, dk, dE = np.empty((4, DRAWS, len(sizes)))
    at = np.array([int(np.argmin(np.abs(data.sizes - size))) for size in sizes])
    known = np.isclose(data.sizes[at], sizes, rtol=1e-6)
    if known.any():
        k[:, known], E[:, known] = found.draw_lines(data.sizes[at[known]], DRAWS, rng)
    measured, C = np.empty((len(sizes), 2)), data.resource[0]
    for s, size in enumerate(sizes):
        rows = data.params == data.sizes[at[s]]
        seen = C[rows][data.present[rows]] * (1.0 if known[s] else size / data.sizes[at[s]])
        measured[s] = seen.min(), seen.max()
        x = np.geomspace(measured[s, 0], measured[s, 1], 3)
        if known[s]:
            dk[:, s], dE[:, s] = _depart(found.weight, found.between_runs(size, np.log10(x)), x, DRAWS, rng)
            continue
        if ensemble is None:
            raise FitError(
                f"size {format_quantity(size)} was not measured, and an unseen size needs {LEAST_SIZES} measured ones; "
                f"choose among {', '.join(map(format_quantity, data.sizes))}."
            )
        k[:, s], E[:, s], dk[:, s], dE[:, s] = _draw_unseen(ensemble, float(size), x, rng)
    return Options(sizes, k, E, k + dk, E + dE, flops_a_sample(runs, data, sizes), measured, known)


def _draw_unseen(ensemble: Ensemble, size: float, x: Array, rng: np.random.Generator) -> Array:
    """Return draws of k and E of a size that was not measured, by its line through the ends of x (3,), with what the average was wrong by, and a new run's departures from both: (4, B)."""
    counts, ends, drawn = rng.multinomial(DRAWS, ensemble.weights), x[[0, -1]], []
    for voice, count in zip(ensemble.sources, counts.tolist(), strict=True):
        line = voice.draw(np.full(2, size), ends[None], count, rng)
        k = -(line[:, 1] - line[:, 0]) / np.log10(ends[1] / ends[0])
        drawn.append(np.stack([k, line[:, 0] + k * np.log10(ends[0])]))
    k, E = rng.permutation(np.concatenate(drawn, 1), axis=1)
    weight, between = ensemble.between_runs(size, x[None])
    error = ensemble.error(size, x[None, 1:2])[0]
    return np.stack([k, E + error * rng.standard_t(DOF, DRAWS), *_depart(weight, between, x, DRAWS, rng)])


def _depart(weight: Array, between: Array, x: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return draws of how a new run's k and E depart from the mean curve's, (count,) each.

    `between` (G, 3) is the variance of its log10 L at x (3,): that of a slope, about some centre, and of a level there.
    """
    cell = rng.choice(len(weight), count, p=weight)
    square, rise, rest = np.polyfit(np.log10(x), between.T, 2)
    # Without a scatter of slopes there is no centre.
    turns = square > 1e-12
    centre = np.where(turns, -rise / np.where(turns, square, 1.0) / 2, 0.0)
    square = np.where(turns, square, 0.0)
    level = np.maximum(rest - square * centre**2, 0)
    k = np.sqrt(square[cell]) * rng.standard_normal(count)
    return k, k * centre[cell] + np.sqrt(level[cell]) * rng.standard_normal(count)


def crossovers(options: Options) -> list[dict[str, Any]]:
    """Return, for neighbouring measured sizes, the compute at which their lines cross, with a 95 % interval.

    `settled` says whether nearly all draws have the larger size gain on the smaller and the interval spans less than
    two decades; otherwise the data do not say.
    """
    found = []
    for s in range(len(options.sizes) - 1):
        if not options.known[s : s + 2].all():
            continue
        steeper = options.k[:, s + 1] - options.k[:, s]
        gains = float(np.mean(steeper > 0))
        where = (options.E[:, s + 1] - options.E[:, s]) / np.where(steeper > 0, steeper, np.nan)
        row: dict[str, Any] = {
            "smaller": float(options.sizes[s]),
            "larger": float(options.sizes[s + 1]),
            "share_that_cross": gains,
        }
        if gains >= SURE:
            middle, low, high = np.nanpercentile(np.clip(where, -300, 300), [50, 2.5, 97.5])
            both = (
                max(options.measured[s, 0], options.measured[s + 1, 0]),
                min(options.measured[s, 1], options.measured[s + 1, 1]),
            )
            row |= {"flops": float(10**middle), "low": float(10**low), "high": float(10**high)}
            row |= {"settled": bool(high - low < 2), "measured": bool(both[0] <= 10**middle <= both[1])}
        else:
            row |= {"flops": None, "low": None, "high": None, "settled": False, "measured": False}
        found.append(row)
    return found
