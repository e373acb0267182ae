"""F tests between laws fitted to the same curves, for independent noise and for noise that is correlated along them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalefit.errors import FitError
from scalefit.fitting.left import Left
from scalefit.numerics.ar1 import Noise, covariance
from scalefit.numerics.tails import f_tail


@dataclass(frozen=True)
class FTest:
    """Whether a law with more parameters describes the curves better than chance would let it.

    Attributes
    ----------
    size : float or None
        The model size whose curves are asked, with their own residual variance; None for all curves.
    f, dof, p : float, (float, float), float
        As for independent noise of one spread.
    rho : float
        AR(1) correlation of what the larger law leaves, by restricted likelihood.
    f_correlated, dof_correlated, p_correlated : float, (float, float), float
        The same with that correlation, and a spread of each curve's own, in the noise.
    """

    smaller: str
    larger: str
    size: float | None
    f: float
    dof: tuple[float, float]
    p: float
    rho: float
    f_correlated: float
    dof_correlated: tuple[float, float]
    p_correlated: float


def judge_larger(smaller: Left, larger: Left, size: float | None = None) -> FTest:
    """Test a law against one of more parameters, which holds it; near its optimum each is linear in its parameters.

    Where noise is correlated, the sums of squares are quadratic forms of it, with degrees of freedom of their own
    (Box 1954, Ann. Math. Stat. 25, 290, theorem 3.1).

    Where the smaller law is no case of the larger, as a power law is none of a sigmoid within its bounds, F still says what
    the parameters buy, and p is a yardstick and no chance.

    Raises
    ------
    FitError
        If the larger law has no more parameters, or no points are left over.
    """
    if size is not None:
        smaller, larger = smaller.of_size(size), larger.of_size(size)
    few, many, n = smaller.tangent.shape[1], larger.tangent.shape[1], len(larger.values)
    names = smaller.fit.law.name, larger.fit.law.name
    if not few < many < n:
        raise FitError(
            f"{names[1]!r} moves {n} points in {many} directions and {names[0]!r} in {few}: no F test; "
            "give the law of more parameters second, and more points than it has."
        )
    gain, rest = smaller.squares - larger.squares, larger.squares
    dof = float(many - few), float(n - many)
    noise = larger.noise
    traces = _traces(smaller, larger, noise)
    own = tuple(first**2 / second for first, second in traces)
    f, allowed = ((gain / a) / (rest / b) for a, b in (dof, (traces[0][0], traces[1][0])))
    return FTest(
        *names, size, f, dof, _beyond(f, *dof), noise.rho, allowed, (own[0], own[1]), _beyond(allowed, own[0], own[1])
    )


def _beyond(f: float, first: float, second: float) -> float:
    return float(f_tail(first, second, max(f, 0.0)))


def _traces(smaller: Left, larger: Left, noise: Noise) -> list[tuple[float, float]]:
    """Return the traces of AS and of (AS)^2 for what the larger law takes more and for what it leaves; S is the noise's covariance."""
    few, many = smaller.tangent.shape[1], larger.tangent.shape[1]
    directions = np.concatenate([smaller.tangent, larger.tangent], 1)
    moved, whole, square, at = np.empty_like(directions), 0.0, 0.0, 0
    for row, count in enumerate(larger.present.sum(1)):
        block = covariance(noise, int(count), row)
        moved[at : at + count] = block @ directions[at : at + count]
        whole, square, at = whole + float(np.trace(block)), square + float((block**2).sum()), at + count
    inner = directions.T @ moved
    small, large, cross = inner[:few, :few], inner[few:, few:], inner[:few, few:]
    taken = float(np.trace(large) - np.trace(small))
    of_taken = float((large**2).sum() - 2 * (cross**2).sum() + (small**2).sum())
    left = whole - float(np.trace(large))
    of_left = square - 2 * float((moved[:, few:] ** 2).sum()) + float((large**2).sum())
    assert many == len(large)
    return [(taken, of_taken), (left, of_left)]
