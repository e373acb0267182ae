"""The shapes that curves of runs take, weighed by how likely they make a run so far.

A shape bends once, from flat to a power law: `(1 + (x / middle)^sharpness)^-power`, a sigmoid where the power is 1 and
nearly a power law where the middle is long past. Given a shape, a run is linear in its floor and its fall, so shapes are a
grid, made finer where the run's own points put it: clean points count for what they are. A run departs from its shape, for
long or for short, and what of it is left at the end is carried on.
Shapes: K shapes, n points so far, m points to come, C kinds of departure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MOST = 48
"""Points of a run that are used apart; more are averaged in groups that grow with the run."""
MIDDLES, SHARPNESS = np.linspace(-4.5, 2.5, 24), np.linspace(-1.0, 1.2, 8)
"""Of ln(middle / X now) and of the logarithm of the sharpness."""
POWERS = np.array([0.4, 1.0, 2.5])
FINER = 13
TAILS, FIRM = 7.0, 1.0
"""Degrees of freedom of the population's tails, and points that the noise of its curves is worth."""


@dataclass(frozen=True)
class Departure:
    """How a run strays from its shape, beside the noise of evaluations: for how long in ln X, and how far in their sd."""

    length: float
    ratio: float


FLOORS = np.array([[0.4, 0.3], [0.85, 0.1], [0.98, 0.02]])
"""Means and standard deviations of the floor as a share of the present loss: of runs that have much to gain, and of others."""
DEPARTURES = (Departure(1.0, 0.0), Departure(0.3, 0.6), Departure(1.5, 0.6), Departure(1.5, 1.5), Departure(1.5, 4.0))


@dataclass(frozen=True)
class Population:
    """A population of curves.

    Attributes
    ----------
    mean, covariance : ndarray, shape (2,), (2, 2)
        Of ln(middle / X now) and of the logarithm of the sharpness.
    powers, departures, floors : ndarray, shape (P,), (C,), (F,)
        How common each power, each departure and each kind of floor is.
    """

    mean: Array
    covariance: Array
    powers: Array
    departures: Array
    floors: Array

    def log_density(self, grid: Grid) -> Array:
        """Return the log of how common shapes are, (K,)."""
        away = grid.numbers - self.mean
        square = (away @ np.linalg.inv(self.covariance) * away).sum(1)
        return np.asarray(-0.5 * (TAILS + 2) * np.log1p(square / TAILS) + np.log(self.powers)[grid.power])

    def log_kinds(self) -> Array:
        """Return the log of how common departures and floors are, (C, F)."""
        return np.asarray(np.log(self.departures)[:, None] + np.log(self.floors))


@dataclass(frozen=True)
class Grid:
    """Shapes: ln(middle / X now) and log sharpness (K, 2), and which power (K,)."""

    numbers: Array
    power: NDArray[np.intp]

    def curves(self, log_x: Array) -> Array:
        """Return every shape at ln(X / X now) (n,), 1 now: (K, n)."""
        middle, sharpness = self.numbers.T[:, :, None]
        bend = np.logaddexp(0, np.exp(sharpness) * (np.append(log_x, 0.0) - middle))
        power = POWERS[self.power][:, None]
        return np.asarray(np.exp(-power * (bend[:, :-1] - bend[:, -1:])))


def _grid(middles: Array, sharpness: Array) -> Grid:
    first, second, power = (
        one.ravel() for one in np.meshgrid(middles, sharpness, np.arange(len(POWERS)), indexing="ij")
    )
    return Grid(np.stack([first, second], 1), power.astype(np.intp))


COARSE = _grid(MIDDLES, SHARPNESS)


@dataclass(frozen=True)
class Thinned:
    """A run of at most `MOST` points: ln(X / X now), loss and how many evaluations each is the mean of."""

    log_x: Array
    loss: Array
    counts: Array

    @property
    def late(self) -> float:
        """Return the loss of the last quarter; a run that has reached 0 has no level of its own."""
        late = float(self.loss[-max(len(self.loss) // 4, 3) :].mean())
        return max(late, 0.1 * float(self.loss.max()), 1e-3)


def thin(x: Array, loss: Array) -> Thinned:
    """Average neighbouring evaluations; groups grow in proportion to how far the run was."""
    count, bend = len(x), 8.0
    edges = np.arange(count + 1)
    if count > MOST:
        warped = np.expm1(np.linspace(0, 1, MOST + 1) * np.log1p(bend)) / bend
        edges = np.unique(np.round(warped * count).astype(int))
    counts = np.diff(edges).astype(float)
    means = [np.add.reduceat(one, edges[:-1]) / counts for one in (np.log(x / x[-1]), loss)]
    return Thinned(means[0], means[1], counts)


def _kernel(departure: Departure, first: Array, second: Array) -> Array:
    return departure.ratio**2 * np.exp(-np.abs(first[:, None] - second) / departure.length)


def _whitener(run: Thinned, departure: Departure) -> Array:
    covariance = np.diag(1 / run.counts) + _kernel(departure, run.log_x, run.log_x)
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)))


@dataclass(frozen=True)
class Told:
    """What a run says of each shape and kind of floor under one departure.

    Attributes
    ----------
    log : ndarray, shape (F, K)
        Log evidence.
    mean, spread : ndarray, shape (2, F, K), (3, F, K)
        Floor and fall; their variances and, between them, the covariance.
    noise : ndarray, shape (K,)
        Variance of an evaluation.
    """

    log: Array
    mean: Array
    spread: Array
    noise: Array


def tell(run: Thinned, seen_Kn: Array, departure: Departure) -> Told:
    """Integrate floor and fall over their normal prior: of the loss now anything, of the floor what its kind says."""
    late, n = run.late, len(run.loss)
    root = _whitener(run, departure)
    ones, white, loss = root.sum(1), seen_Kn @ root.T, root @ run.loss
    a, b, d = np.full(len(seen_Kn), ones @ ones), white @ ones, (white * white).sum(1)
    first, second, whole = ones @ loss, white @ loss, loss @ loss
    # Least squares; shapes that do not move leave what a level does.
    volume = a * d - b**2
    moves = volume > 1e-9 * a * d
    fall = np.where(moves, (a * second - b * first) / np.where(moves, volume, 1.0), 0.0)
    least = np.maximum(whole - first**2 / a - fall * (second - b * first / a), 0)
    share = np.clip(late, 0.02, 0.98)
    noise = (FIRM * 0.02**2 * share * (1 - share) + least) / (max(n - 2, 1) + FIRM)
    centre, width = (late * FLOORS.T)[:, :, None]
    p, q, r = a / noise + width**-2 + late**-2, b / noise + late**-2, d / noise + late**-2
    pull, push = first / noise + centre / width**2 + 1 / late, second / noise + 1 / late
    volume = p * r - q**2
    floor, fall = (r * pull - q * push) / volume, (p * push - q * pull) / volume
    left = whole - 2 * (floor * first + fall * second) + floor**2 * a + 2 * floor * fall * b + fall**2 * d
    away = ((floor - centre) / width) ** 2 + ((floor + fall - late) / late) ** 2
    log = -0.5 * ((n + FIRM) * np.log(noise) + (left - least) / noise + away + np.log(volume) + 2 * np.log(width))
    log += np.log(np.diag(root)).sum()
    return Told(log, np.stack([floor, fall]), _spread(p, q, r, volume), noise)


@dataclass(frozen=True)
class Likely:
    """Shapes and how likely a run makes them: `share` (C, F, K) sums to 1; of each departure what the run tells."""

    run: Thinned
    grid: Grid
    share: Array
    told: tuple[Told, ...]

    @property
    def sigma(self) -> float:
        """Return the standard deviation of an evaluation about its run."""
        return float(np.sqrt(sum(share @ one.noise for share, one in zip(self.share.sum(1), self.told, strict=True))))

    def ahead(self, log_x: Array) -> tuple[Array, Array]:
        """Return mean and standard error of the run's curve, its departure and all, at ln(X / X now) (m,)."""
        kept = self.share.max((0, 1)) > 1e-4 * self.share.max()
        grid = Grid(self.grid.numbers[kept], self.grid.power[kept])
        later_Km, seen_Kn = grid.curves(log_x), grid.curves(self.run.log_x)
        share_CFK = self.share[:, :, kept] / self.share[:, :, kept].sum()
        mean, square = np.zeros((2, len(log_x)))
        for departure, one, share in zip(DEPARTURES, self.told, share_CFK, strict=True):
            root, cross_nm = _whitener(self.run, departure), _kernel(departure, self.run.log_x, log_x)
            carried_nm = root.T @ (root @ cross_nm)
            base_m, move_Km = 1 - carried_nm.sum(0), later_Km - seen_Kn @ carried_nm
            floor, fall = one.mean[:, :, kept, None]
            each = floor * base_m + fall * move_Km + self.run.loss @ carried_nm
            unseen = np.maximum(departure.ratio**2 - (cross_nm * carried_nm).sum(0), 0)
            first, both, second = one.spread[:, :, kept, None]
            spread = (
                first * base_m**2 + 2 * both * base_m * move_Km + second * move_Km**2 + one.noise[kept, None] * unseen
            )
            mean += np.einsum("fk,fkm->m", share, each)
            square += np.einsum("fk,fkm->m", share, each**2 + spread)
        return mean, np.sqrt(np.maximum(square - mean**2, 1e-12))


def _spread(p: Array, q: Array, r: Array, volume: Array) -> Array:
    """Return the inverse of symmetric matrices of two rows: its diagonal and, between, the other."""
    return np.stack([one / volume for one in np.broadcast_arrays(r, -q, p)])


def weigh_shapes(run: Thinned, population: Population) -> Likely:
    """Return how likely a run makes the shapes of a grid about those that it makes likely of a coarse one."""
    share = _weigh(run, COARSE, population).share.sum((0, 1))
    middle = share @ COARSE.numbers
    spread = np.sqrt(share @ (COARSE.numbers - middle) ** 2)
    steps = [grid[1] - grid[0] for grid in (MIDDLES, SHARPNESS)]
    reach = [np.linspace(-1, 1, FINER) * max(3 * one, 0.9 * step) for one, step in zip(spread, steps, strict=True)]
    return _weigh(run, _grid(middle[0] + reach[0], middle[1] + reach[1]), population)


def log_evidence(run: Thinned, grid: Grid) -> tuple[Array, tuple[Told, ...]]:
    """Return what a run says of every departure, kind of floor and shape, whatever is common: (C, F, K)."""
    seen = grid.curves(run.log_x)
    told = tuple(tell(run, seen, one) for one in DEPARTURES)
    return np.stack([one.log for one in told]), told


def _weigh(run: Thinned, grid: Grid, population: Population) -> Likely:
    log, told = log_evidence(run, grid)
    log = log + population.log_kinds()[:, :, None] + population.log_density(grid)
    share = np.exp(log - log.max())
    return Likely(run, grid, share / share.sum(), told)
