"""Forms of one run's curve, fitted at many prefixes and scored on what came after: what a forecast is made of.

Every form is linear in a floor and an amplitude once its shape is given, so each is a grid of shapes, averaged by how
likely they make the run so far (Bayesian linear regression with a wide prior). For a single run the paper's
decomposition and the sigmoid of the pass rate are one form.
Shapes: K shapes of a grid, n points so far, m points to come.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_POINTS = 6
"""Evaluations that a forecast needs."""
EXPONENTS = np.linspace(0.01, 1.2, 40)
SCALES = np.geomspace(0.03, 30.0, 25)
_MIDDLES, _STEEPNESS = (grid.ravel() for grid in np.meshgrid(np.geomspace(0.02, 30.0, 12), np.geomspace(0.35, 3.2, 7)))


@dataclass(frozen=True)
class Form:
    """A family of curves `floor + amplitude * shape(X / X_now)`; without a floor it goes to 0.

    Attributes
    ----------
    shapes : callable (n,) -> (K, n)
        Every shape of the grid at values of X relative to the last one seen.
    """

    name: str
    formula: str
    shapes: Callable[[Array], Array]
    floor: bool


def _powers(u: Array) -> Array:
    return np.asarray(u[None] ** -EXPONENTS[:, None])


def _exponentials(u: Array) -> Array:
    return np.asarray(np.exp(-u[None] / SCALES[:, None]))


def _sigmoids(u: Array) -> Array:
    return np.asarray(1 / (1 + (u[None] / _MIDDLES[:, None]) ** _STEEPNESS[:, None]))


FORMS = (
    Form("power", "L = a X^-k", _powers, False),
    Form("saturating-power", "L = A + a X^-k", _powers, True),
    Form("exponential", "L = A + a exp(-X/s)", _exponentials, True),
    Form("sigmoid", "L = A + a/(1 + (X/X_mid)^b), also the loss decomposition", _sigmoids, True),
)
LAW = Form("law", "L = a X^-k(N), k(N) from the siblings' law", _powers, False)


def _by_clock(clock: Array, now: float) -> Form:
    """Return the form of a run whose siblings tell the half-way point and steepness, rows of `clock` (K, 2)."""
    middle, steepness = clock.T[:, :, None] / np.array([now, 1.0])[:, None, None]
    return Form(
        "clock",
        "L = A + a/(1 + (X/X_mid)^B), X_mid and B from the siblings' clock",
        lambda u: np.asarray(1 / (1 + (u[None] / middle) ** steepness)),
        True,
    )


@dataclass(frozen=True)
class Curve:
    """One run: `x` ascending (n,), `loss` (n,), and what its siblings tell of it, or None.

    `slope` is k(N) of their law (value, error), `clock` their half-way point and steepness.
    """

    name: str
    x: Array
    loss: Array
    slope: tuple[float, float] | None = None
    clock: tuple[float, float] | None = None

    def first(self, count: int) -> Curve:
        """Return its first points."""
        return replace(self, x=self.x[:count], loss=self.loss[:count])

    @property
    def forms(self) -> tuple[Form, ...]:
        """The forms that can be fitted to it."""
        told = [LAW] if self.slope else []
        if self.clock:
            told.append(_by_clock(np.array([self.clock]), float(self.x[-1])))
        return (*FORMS, *told)


@dataclass(frozen=True)
class Ahead:
    """What a form says of points to come: `mean` and `se` of the curve (m,), and the noise of an evaluation."""

    mean: Array
    se: Array
    sigma: float


def look_ahead(curve: Curve, x: Array) -> dict[str, Ahead]:
    """Fit every form to a run so far and predict it at `x` (m,).

    The noise is taken from the residuals of each form's best shape; neighbouring evaluations are correlated, so the
    run counts as n (1 - rho)/(1 + rho) points.
    """
    now = float(curve.x[-1])
    seen, ahead = curve.x / now, x / now
    found = {}
    for form in curve.forms:
        shapes_Kn, shapes_Km = form.shapes(seen), form.shapes(ahead)
        size = shapes_Kn[:, :1]
        prior = np.zeros(len(shapes_Kn))
        if form is LAW and curve.slope is not None:
            prior = -0.5 * ((EXPONENTS - curve.slope[0]) / curve.slope[1]) ** 2
        found[form.name] = _average(shapes_Kn / size, shapes_Km / size, curve.loss, form.floor, prior)
    return found


def _average(shapes_Kn: Array, shapes_Km: Array, loss: Array, floor: bool, log_prior: Array) -> Ahead:
    """Average a grid of shapes; the amplitude is the fall from the first point on."""
    n = shapes_Kn.shape[1]
    # A run that has reached 0 has no level of its own; a tenth of where it began, or a thousandth, keeps the prior proper.
    level = max(float(loss[-max(n // 4, 3) :].mean()), 0.1 * float(loss.max()), 1e-3)
    # Prior: the floor anywhere below the present level, the fall as large as the level itself.
    centre = np.array([0.6, 0.4]) if floor else np.array([1.0])
    width = np.array([0.4, 0.6]) if floor else np.array([1.0])
    precision, pull = np.diag(1 / (width * level) ** 2), centre * level / (width * level) ** 2
    design = np.stack([np.ones_like(shapes_Kn), shapes_Kn], 1) if floor else shapes_Kn[:, None]
    gram, moment = design @ design.swapaxes(1, 2), design @ loss
    ridge = 1e-9 * np.eye(len(centre))
    plain = np.linalg.solve(gram + ridge * n, moment[..., None])[..., 0]
    squares = np.maximum(loss @ loss - 2 * (plain * moment).sum(1) + np.einsum("kp,kpq,kq->k", plain, gram, plain), 0)
    best = int(np.argmin(squares))
    residual = loss - plain[best] @ design[best]
    variance = max(float(residual @ residual) / max(n - len(centre) - 1, 1), 1e-8)
    lag = float(residual[1:] @ residual[:-1]) / max(float(residual @ residual), 1e-12)
    # Few residuals say little of their correlation: half, at the weight of ten points.
    rho = float(np.clip((lag * n + 0.5 * 10) / (n + 10), 0.0, 0.95))
    inflated = variance * (1 + rho) / (1 - rho)
    A = gram / inflated + precision
    b = moment / inflated + pull
    inverse = np.linalg.inv(A)
    mean = (inverse @ b[..., None])[..., 0]
    evidence = 0.5 * (b * mean).sum(1) - 0.5 * np.linalg.slogdet(A)[1] + log_prior
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    later = np.stack([np.ones_like(shapes_Km), shapes_Km], 1) if floor else shapes_Km[:, None]
    each = np.einsum("kp,kpm->km", mean, later)
    inner = np.einsum("kpm,kpq,kqm->km", later, inverse, later)
    average = weight @ each
    spread = weight @ (inner + (each - average) ** 2)
    return Ahead(np.clip(average, 0.0, 1.0), np.sqrt(spread), float(np.sqrt(variance)))


@dataclass(frozen=True)
class Past:
    """What forecasts made earlier were worth: for each point that came later, by form and altogether.

    Attributes
    ----------
    horizon : ndarray, shape (q,)
        log(X / X when it was forecast).
    loss : ndarray, shape (q,)
        What came.
    means, errors : dict of ndarray, shape (q,)
        Each form's prediction and its standard error of a new evaluation.
    """

    name: str
    horizon: Array
    points: Array
    loss: Array
    means: Mapping[str, Array]
    errors: Mapping[str, Array]


def origins(count: int, most: int = 12) -> NDArray[np.intp]:
    """Return prefix lengths at which a run of `count` points is looked at again, spread evenly in their logarithm."""
    if count <= LEAST_POINTS:
        return np.empty(0, np.intp)
    return np.unique(np.geomspace(LEAST_POINTS, count - 1, most).astype(np.intp))


def look_back(curve: Curve) -> Past:
    """Forecast a run from its own prefixes and keep what came."""
    horizon, points, loss = [], [], []
    means: dict[str, list[Array]] = {form.name: [] for form in curve.forms}
    errors: dict[str, list[Array]] = {form.name: [] for form in curve.forms}
    for count in origins(len(curve.x)):
        rest = curve.x[count:]
        for name, ahead in look_ahead(curve.first(int(count)), rest).items():
            means[name].append(ahead.mean)
            errors[name].append(np.sqrt(ahead.se**2 + ahead.sigma**2))
        horizon.append(np.log(rest / curve.x[count - 1]))
        points.append(np.full(len(rest), float(count)))
        loss.append(curve.loss[count:])

    def joined(parts: list[Array]) -> Array:
        return np.concatenate(parts) if parts else np.empty(0)

    return Past(
        curve.name,
        joined(horizon),
        joined(points),
        joined(loss),
        {name: joined(parts) for name, parts in means.items()},
        {name: joined(parts) for name, parts in errors.items()},
    )


def weigh(past: Sequence[Past], names: Sequence[str]) -> dict[str, float]:
    """Weigh forms by the inverse mean squared error of their earlier forecasts, every run counting the same."""
    useful = [one for one in past if len(one.loss)]
    if not useful:
        return dict.fromkeys(names, 1 / len(names))
    score = {}
    for name in names:
        known = [one for one in useful if name in one.means] or useful
        score[name] = float(
            np.mean([np.mean((one.means.get(name, one.means["power"]) - one.loss) ** 2) for one in known])
        )
    inverse = {name: 1 / (value + 1e-12) for name, value in score.items()}
    total = sum(inverse.values())
    return {name: value / total for name, value in inverse.items()}


def combine(
    weights: Mapping[str, float], means: Mapping[str, Array], errors: Mapping[str, Array]
) -> tuple[Array, Array]:
    """Return the weighted mean and its standard error, the disagreement of the forms included."""
    names = [name for name in weights if name in means]
    w = np.array([weights[name] for name in names])
    w = w / w.sum()
    mean = sum((one * means[name] for one, name in zip(w, names, strict=True)), np.zeros(()))
    spread = sum(
        (one * (errors[name] ** 2 + (means[name] - mean) ** 2) for one, name in zip(w, names, strict=True)),
        np.zeros(()),
    )
    return np.asarray(mean), np.sqrt(np.asarray(spread))
