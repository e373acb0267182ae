"""Intervals of quantities of a least-squares fit by leaving out each run in turn, one step of least squares.

Source: Bell and McCaffrey 2002, Surv. Methodol. 28, 169 (the jackknife form, CR3, and degrees of freedom).
Shapes: n points, R runs, P parameters, U ways in which a run may be off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalefit.numerics.intervals import student

Array = NDArray[np.float64]
STILL = 1e-9
"""Share of a parameter's information that other runs must have for it to be told without one."""
RIDGE = 1e-11
"""Of directions in which no other run tells anything, as a share."""
SMALL = 1e-4
"""Step of a derivative, as a share of what a run off by one standard deviation does."""


@dataclass(frozen=True)
class Without:
    """What leaving out each run does to the parameters (P,).

    Attributes
    ----------
    steps : ndarray, shape (R, P)
        As the runs are; not a number where no other run tells a parameter.
    tried : ndarray, shape (R, U, P)
        As it would be if each run were off in each way, alike in root mean square.
    """

    theta: Array
    steps: Array
    tried: Array

    def spread(self, of: Callable[[Array], Array]) -> tuple[Array, Array, float]:
        """Return quantities of the parameters (q,), their covariance (q, q), and its degrees of freedom.

        These are of the runs that they rest on: (sum v)^2 / sum v^2 - 1, v the variance that each would add; the fewest of
        the q.
        """
        value, R = np.asarray(of(self.theta)), len(self.steps)
        others = np.array([of(self.theta + step) for step in self.steps])
        if not np.isfinite(others).all():
            return value, np.full((len(value),) * 2, np.inf), 1.0
        away = others - others.mean(0)
        slopes = np.array([[of(self.theta + SMALL * step) - value for step in some] for some in self.tried])
        added = (slopes**2).sum(1)
        dof = added.sum(0) ** 2 / np.maximum((added**2).sum(0), 1e-300) - 1
        return value, (R - 1) / R * away.T @ away, float(dof.min())

    def estimate(self, of: Callable[[Array], float]) -> dict[str, float]:
        """Return a quantity of the parameters with its 95 % interval; without ends where it rests on one run."""
        value, covariance, dof = self.spread(lambda theta: np.array([of(theta)]))
        width = student(0.95, dof) * float(np.sqrt(covariance[0, 0]))
        return {"value": float(value[0]), "low": float(value[0]) - width, "high": float(value[0]) + width}


def leave_each_out(theta: Array, residual: Array, J: Array, run: NDArray[np.intp], shapes: Array) -> Without:
    """Return what leaving out each run does to a fit.

    Parameters
    ----------
    residual, J : ndarray, shapes (n,) and (n, P)
        Data minus law at the fit, and the law's derivatives, weighed.
    run : ndarray of int, shape (n,)
    shapes : ndarray, shape (n, U)
        How a run may be off as a whole, in the residual.
    """
    scale = np.sqrt((J**2).sum(0)) + 1e-300
    J = J / scale
    whole, found, tried = J.T @ J, [], []
    for one in range(run.max() + 1):
        mine = run == one
        left = whole - J[mine].T @ J[mine]
        alike = shapes[mine] / (np.sqrt((shapes[mine] ** 2).mean(0)) + 1e-300)
        moved = J[mine].T @ np.column_stack([residual[mine], alike])
        told = np.diag(left) > STILL
        ridge = RIDGE * np.eye(int(told.sum()))
        steps = np.full(moved.shape, np.nan)
        steps[told] = -np.linalg.solve(left[np.ix_(told, told)] + ridge, moved[told]) / scale[told, None]
        found.append(steps[:, 0])
        tried.append(steps[:, 1:].T)
    return Without(theta, np.array(found), np.array(tried))
