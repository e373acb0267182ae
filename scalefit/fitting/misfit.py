"""Whether a fitted law describes every size: each size's own slope and bend against those of the law's curve.

The null hypothesis: a size's curve is the law's, each run departs from it by a level and a slope of its own, evaluations have
AR(1) noise. Bends are tested beyond what runs have for themselves (`bends`), slopes and levels where sizes share them
(`steepness`). A size is missed in a way in which the whole table departs, at 5 % divided by the ways tested, and itself does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.fitting.bends import Rows, bends_at, rows_of, weigh_bends
from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.point_fit import make_problem
from scalefit.fitting.problem import Problem
from scalefit.fitting.run_lines import LEAST
from scalefit.fitting.specification import Specification
from scalefit.fitting.steepness import weigh_lines
from scalefit.numerics.ar1 import NO_NOISE, Noise
from scalefit.numerics.intervals import LEVEL
from scalefit.table.fit_data import FitData
from scalefit.units import format_quantity

Array = NDArray[np.float64]
WAYS = ("bend", "slope", "level")
"""In which a size may depart."""
CHANGED = 0.25
"""Change of slope along a curve beyond the law's, as a share of the law's slope, that has a word."""
MOST = 0.5
"""Share of the sizes above which a law that misses them is called a misfit."""
SHOWN = 4
"""Sizes that a sentence names with their numbers."""
LONGEST = 400
"""Evaluations of a run that are looked at, evenly among longer ones: AR(1) noise stays that."""
THIRDS = np.array([-1.0, -1 / 3, 1 / 3, 1.0])
Slopes = tuple[float, float, float]


@dataclass(frozen=True)
class SizeMisfit:
    """How one size's own curve departs from the law's; numbers are nan where they cannot be told.

    Attributes
    ----------
    params : float
        Model size [parameters].
    missed : tuple of str
        In which of bend, slope and level the law misses it.
    bend_p, slope_p, level_p : float
        Chance of a departure as large under the law.
    slope, law_slope : float
        Fall of log10 loss per decade of the resource over the range of its runs: its own and the law's.
    thirds, law_thirds : tuple of float
        The same in the first, middle and last third of the range in the logarithm of the resource.
    away : float
        How far its curve bends away from the law's at most, but for a level and a slope of its own [loss].
    level : float
        Its own loss in the middle of the range over the law's, less 1.
    """

    params: float
    missed: tuple[str, ...]
    bend_p: float
    slope_p: float
    level_p: float
    slope: float
    law_slope: float
    thirds: Slopes
    law_thirds: Slopes
    away: float
    level: float

    @property
    def words(self) -> str:
        """How it departs, for a reader."""
        said = [f"is {self._turn()} ({self._thirds()}; up to {self.away:.1g} in loss)"] if "bend" in self.missed else []
        if "slope" in self.missed:
            steep = "steeper" if self.slope > self.law_slope else "flatter"
            said.append(f"is {steep} than the law (slope {self.slope:.2g}, the law's {self.law_slope:.2g})")
        if "level" in self.missed:
            side = "above" if self.level > 0 else "below"
            said.append(f"lies {100 * abs(self.level):.2g} % {side} the law")
        return f"{format_quantity(self.params)} {' and '.join(said)}"

    def _turn(self) -> str:
        """Return where the curve bends from the law's."""
        early, middle, late = (own - law for own, law in zip(self.thirds, self.law_thirds, strict=True))
        end, centre = late - early, middle - 0.5 * (early + late)
        if max(abs(end), abs(centre)) < CHANGED * abs(self.law_slope):
            return "bent"
        if abs(end) > abs(centre):
            return "flatter at its end than before" if end < 0 else "steeper at its end than before"
        return "steepest in its middle" if centre > 0 else "flattest in its middle"

    def _thirds(self) -> str:
        own, law = ([f"{one:.2g}" for one in slopes] for slopes in (self.thirds, self.law_thirds))
        of_law = law[0] if len({*law}) == 1 else ", ".join(law)
        return f"slope by thirds {', '.join(own)}, the law's {of_law}"


@dataclass(frozen=True)
class Misfit:
    """Whether a law describes the sizes it was fitted on.

    Attributes
    ----------
    p : float
        Chance, under the law, of departures as large in the whole table, allowing for the ways tested; nan where nothing can
        be tested.
    bend_p, slope_p, level_p : float
        Of each way alone.
    rho : float
        Correlation of evaluations about the runs' own lines and bends: what of the fit's is noise. nan where no run can bend.
    sizes : tuple of SizeMisfit
        Every fitted size.
    """

    p: float
    bend_p: float
    slope_p: float
    level_p: float
    rho: float
    sizes: tuple[SizeMisfit, ...]

    @property
    def missed(self) -> tuple[float, ...]:
        """The sizes that the law misses [parameters]."""
        return tuple(one.params for one in self.sizes if one.missed)

    @property
    def most(self) -> bool:
        """Whether the law misses most of its sizes."""
        return len(self.missed) > MOST * len(self.sizes)

    def of(self, way: str) -> tuple[float, ...]:
        """Return the sizes that the law misses in one of `WAYS` [parameters]."""
        return tuple(one.params for one in self.sizes if way in one.missed)

    @property
    def sentence(self) -> str:
        """All of it for a reader."""
        if np.isnan(self.p):
            return "whether the law describes its sizes was not tested: it has as much freedom as they have, or runs are too short"
        chance = f"p = {self.p:.2g}" if self.p >= 1e-3 else "p < .001"
        found = [one for one in self.sizes if one.missed]
        if not found:
            return f"no size departs from the law beyond noise and the scatter of runs ({chance})"
        some = f"{len(found)} of {len(self.sizes)} sizes" if len(self.sizes) > 1 else "the size"
        # Those it misses by most are named with their numbers.
        worst = sorted(found, key=lambda one: min(getattr(one, f"{way}_p") for way in one.missed))[:SHOWN]
        named = "; ".join(one.words for one in sorted(worst, key=lambda one: one.params))
        rest = [format_quantity(one.params) for one in found if one not in worst]
        more = f"; also {', '.join(rest[:SHOWN])}{' and others' if len(rest) > SHOWN else ''}" if rest else ""
        return f"the law misses {some} ({chance}): {named}{more}"

    @property
    def brief(self) -> str:
        """The sentence without the slopes of its sizes."""
        return briefly(self.sentence)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentence where a size is missed."""
        return (self.sentence,) if self.missed else ()

    def correlation(self, rho: float) -> str:
        """Return in words how far a fit's evaluations go together, and how much of it is noise where curves bend."""
        if not self.of("bend"):
            return f"noise correlation {rho:.2f}"
        return f"correlation of residuals {rho:.2f}, of the noise about the sizes' own bends {self.rho:.2f}"

    def record(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "sentence": self.sentence}


def briefly(sentence: str) -> str:
    """Return a sentence about sizes that a law misses without the numbers of each."""
    return re.sub(r" \((?:slope|slope by thirds) [^()]*\)", "", sentence)


def misfit_of(record: Mapping[str, Any]) -> Misfit:
    """Rebuild it from its record."""

    def number(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(value) if value and isinstance(value[0], str) else tuple(map(number, value))
        return np.nan if value is None else value

    sizes = tuple(SizeMisfit(**{name: number(value) for name, value in one.items()}) for one in record["sizes"])
    numbers = {name: number(record[name]) for name in ("p", *(f"{way}_p" for way in WAYS), "rho")}
    return Misfit(**numbers, sizes=sizes)


def check_sizes(bound: BoundLaw, data: FitData, specification: Specification, theta: Array, noise: Noise) -> Misfit:
    """Hold every size's own curve against a fitted law's.

    Parameters
    ----------
    bound : BoundLaw
        The law, bound to the sizes of the data.
    data : FitData
        What was fitted.
    theta : ndarray, shape (P,)
        Parameters on the fitted scale.
    noise : Noise
        Of the fit; used where runs are too short to tell a bend.
    """
    runs = _thinned(data.each)
    long = np.flatnonzero((runs.present & (runs.loss > 0)).sum(1) >= LEAST)
    each, table = np.full((len(WAYS), len(bound.sizes)), np.nan), np.full(len(WAYS), np.nan)
    if not long.size:
        return _judge(bound, (table, each), np.full((len(bound.sizes), 10), np.nan), np.nan)
    order = long[np.argsort(runs.params[long], kind="stable")]
    problem = make_problem(bound, runs.keep(order), replace(specification, huber=None))
    rows = rows_of(problem, theta)
    bends = weigh_bends(rows, problem)
    spread = np.full(len(order), float(np.median(noise.sigma)))
    if bends is not None:
        noise, spread = bends.noise, np.full(len(order), float(np.median(bends.noise.sigma)))
        spread[rows.bent > 0] = bends.noise.sigma
        table[0] = bends.p
        tested = np.unique(problem.size_of_curve[rows.bent > 0])
        each[0, tested] = bends.each[tested]
    problem.weigh(Noise(noise.rho, np.maximum(spread, NO_NOISE)))
    for at, found in enumerate(weigh_lines(problem, theta, rows), 1):
        table[at], each[at] = found.p, found.each
    return _judge(bound, (table, each), _describe(problem, rows), noise.rho if bends else np.nan)


def _thinned(runs: FitData) -> FitData:
    """Return runs with so many evaluations that more would say nothing else."""
    step = -(-runs.loss.shape[1] // LONGEST)
    if step == 1:
        return runs
    loss = runs.loss[:, ::step]
    return replace(
        runs,
        resource=runs.resource[..., ::step],
        loss=loss,
        weight=runs.weight[:, ::step],
        run_loss=loss,
    )


def _describe(problem: Problem, rows: Rows) -> Array:
    """Return of each size its slopes and the law's over all and by thirds, how far it bends, and its level, (S, 10)."""
    out = np.full((len(problem.bound.sizes), 10), np.nan)
    take = [0, 1, *range(rows.own, rows.own + rows.bends), -1]
    parts = problem.whiten(rows.rows[:, take], rows=True)
    gram = parts @ parts.swapaxes(1, 2)
    for s in np.unique(problem.size_of_curve):
        mine = np.flatnonzero(problem.size_of_curve == s)
        normal = gram[mine].sum(0)
        scale = np.sqrt(np.maximum(np.diag(normal)[:-1], 1e-300))
        found = (
            np.linalg.pinv(normal[:-1, :-1] / np.outer(scale, scale), rcond=1e-10) @ (normal[:-1, -1] / scale) / scale
        )
        found[:2] += rows.line[mine].mean(0)
        one = mine[int(np.argmax(problem.present[mine].sum(1)))]
        here = np.flatnonzero(problem.present[one])
        here = here[np.argsort(rows.z[one, here], kind="stable")]
        z, log = rows.z[one, here], rows.log[one, here]
        law = np.interp(THIRDS, z, log)
        own = law + found[:2] @ np.stack([np.ones(4), THIRDS]) + found[2:] @ bends_at(THIRDS)
        for at, line in enumerate((own, law)):
            falls = -np.diff(line) / rows.half[one]
            out[s, 4 * at], out[s, 4 * at + 1 : 4 * at + 4] = falls.sum() / 2, 1.5 * falls
        bent = found[2:] @ bends_at(z)
        line = np.stack([np.ones_like(z), z], 1)
        bent = bent - line @ np.linalg.lstsq(line, bent, rcond=None)[0]
        out[s, 8] = np.max(np.abs(10.0**log * (10.0**bent - 1)))
        out[s, 9] = 10.0 ** (found[0] + found[2:] @ bends_at(np.zeros(1))[:, 0]) - 1
    return out


def _judge(bound: BoundLaw, chances: tuple[Array, Array], shape: Array, rho: float) -> Misfit:
    """Say which sizes are missed: those that depart in a way in which the whole table does."""
    table, each = chances
    ways = int(np.isfinite(table).sum())
    wrong = (table[:, None] * ways < LEVEL) & (each < LEVEL)
    sizes = []
    for params, own, row, missed in zip(
        bound.sizes.tolist(), each.T.tolist(), shape.tolist(), wrong.T.tolist(), strict=True
    ):
        slope, early, middle, late, law_slope, law_early, law_middle, law_late, away, level = row
        bend, steep, high = own
        sizes.append(
            SizeMisfit(
                params=params,
                missed=tuple(way for way, off in zip(WAYS, missed, strict=True) if off),
                bend_p=bend,
                slope_p=steep,
                level_p=high,
                slope=slope,
                law_slope=law_slope,
                thirds=(early, middle, late),
                law_thirds=(law_early, law_middle, law_late),
                away=away,
                level=level,
            )
        )
    p = min(1.0, ways * float(np.nanmin(table))) if ways else np.nan
    bend, steep, high = table.tolist()
    return Misfit(p, bend, steep, high, rho, tuple(sizes))
