"""The noise and the loop that every fit shares, against closed forms, certified numbers and scipy."""

import numpy as np
import pytest

from scalefit.numerics.ar1 import Noise, covariance, whiten
from scalefit.numerics.least_squares import Limits, minimise, minimise_between
from scalefit.numerics.projection import eliminate, local_minima, solve_bounded

# NIST StRD, Misra1a: y = b1 (1 - exp(-b2 x)); certified to 11 digits.
X = np.array([77.6, 114.9, 141.1, 190.8, 239.9, 289.0, 332.8, 378.4, 434.8, 477.3, 536.8, 593.1, 689.1, 760.0])
Y = np.array([10.07, 14.73, 17.94, 23.93, 29.61, 35.18, 40.02, 44.82, 50.76, 55.05, 61.01, 66.40, 75.47, 81.78])
CERTIFIED, SQUARES = np.array([2.3894212918e02, 5.5015643181e-04]), 1.2455138894e-01
STARTS = np.array([[500.0, 1e-4], [250.0, 5e-4]])


def misra(theta):
    decay = np.exp(-theta[:, 1:] * X)
    J = np.stack([1 - decay, theta[:, :1] * X * decay], 1)
    r = Y - theta[:, :1] * (1 - decay)
    return 0.5 * (r**2).sum(1), (J @ r[..., None])[..., 0], J @ J.swapaxes(1, 2)


@pytest.mark.parametrize("patient", [False, True])
def test_both_of_nists_starts_give_its_certified_numbers(patient):
    found = minimise(misra, STARTS, (np.zeros(2), np.full(2, np.inf)), limits=Limits(tolerance=1e-16, patient=patient))
    assert found.converged.all()
    np.testing.assert_allclose(found.theta, [CERTIFIED] * 2, rtol=1e-8)
    np.testing.assert_allclose(2 * found.cost, SQUARES, rtol=1e-9)


@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize("high", [(200.0, 1.0), (1e3, 5e-4)])
def test_a_bound_is_where_scipy_ends_too(patient, high):
    from scipy.optimize import least_squares

    def residual(b):
        return Y - b[0] * (1 - np.exp(-b[1] * X))

    theirs = least_squares(residual, [150.0, 3e-4], bounds=(0, high), x_scale=[100, 1e-4], xtol=1e-14, gtol=1e-14)
    found = minimise(misra, np.array([[150.0, 3e-4]]), (np.zeros(2), np.array(high)), limits=Limits(patient=patient))
    assert found.converged.all()
    np.testing.assert_allclose(found.theta[0], theirs.x, rtol=1e-5)
    assert np.isclose(found.theta[0], high).any()


def test_a_minimum_between_two_ends_is_found_across_kinks_of_the_curvature():
    """(x - a)^2 / 2 to the left of 0 and a hundred times as curved to its right: Newton's steps from the left overshoot."""
    a = np.array([-0.5, 0.02, 0.5, 3.0])[:, None]

    def normal(x):
        steep = np.where(x > 0, 100.0, 1.0)
        cost = 0.5 * steep * (x - a) ** 2 + np.where(x > 0, 0.5 * (a**2 - 100 * a**2) + 99 * a * x, 0.0)
        return cost[:, 0] + 1, steep * (a - x) - np.where(x > 0, 99 * a, 0.0), steep[..., None]

    ends = np.full((4, 1), -2.0), np.full((4, 1), 2.0)
    found = minimise_between(normal, np.full((4, 1), -1.0), ends, Limits(iterations=40, tolerance=1e-15))
    # To the right the slope is a - 100 x.
    np.testing.assert_allclose(found.theta[:, 0], [-0.5, 0.0002, 0.005, 0.03], atol=1e-7)
    assert found.converged.all()


def test_a_held_parameter_stays():
    start = np.array([[250.0, 5e-4]])
    found = minimise(misra, start, (np.zeros(2), np.full(2, np.inf)), held=np.array([False, True]))
    shape = 1 - np.exp(-5e-4 * X)
    np.testing.assert_allclose(found.theta[0], [shape @ Y / (shape @ shape), 5e-4], rtol=1e-8)


@pytest.mark.parametrize("high", [np.inf, 0.4])
def test_bounded_coefficients_are_scipys(high):
    """Fifty problems at once, most with a coefficient or two at a bound."""
    from scipy.optimize import lsq_linear

    rng = np.random.default_rng(0)
    columns, goal = rng.normal(size=(50, 30, 3)), rng.normal(size=(50, 30))
    columns[:, :, 2] = columns[:, :, 1] + 1e-3 * columns[:, :, 2]
    z = np.concatenate([columns, goal[..., None]], 2)
    low, upper = np.array([0.0, 0.0, -1.0]), np.array([np.inf, high, high])
    found, squares = solve_bounded(z.swapaxes(1, 2) @ z, low, upper)
    assert ((found >= low) & (found <= upper)).all()
    assert (found[:, :2] == low[:2]).any(0).all()
    for one, y, mine, left in zip(columns, goal, found, squares, strict=True):
        theirs = lsq_linear(one, y, (low, upper), method="bvls", tol=1e-14)
        assert left == pytest.approx(2 * theirs.cost, rel=1e-9)
        np.testing.assert_allclose(one @ mine, one @ theirs.x, atol=1e-6)


def test_what_is_eliminated_is_regressed_on():
    rng = np.random.default_rng(1)
    z = rng.normal(size=(20, 4))
    free = np.array([True, False])
    left = z[:, 2:] - z[:, :1] @ np.linalg.lstsq(z[:, :1], z[:, 2:], rcond=None)[0]
    np.testing.assert_allclose(eliminate(z.T @ z, 2, free), left.T @ left, atol=1e-10)
    left = z[:, 2:] - z[:, :2] @ np.linalg.lstsq(z[:, :2], z[:, 2:], rcond=None)[0]
    np.testing.assert_allclose(eliminate(z.T @ z, 2), left.T @ left, atol=1e-10)


def test_minima_of_a_grid_are_found_at_its_edges_too():
    cost = np.array([[1.0, 5, 6, 2], [5, 7, 8, 7], [9, 8, 0, 5]])
    np.testing.assert_array_equal(local_minima(cost, 2), [10, 0])
    np.testing.assert_array_equal(local_minima(cost, 9), [10, 0, 3])


@pytest.mark.parametrize("held", [False, True])
def test_sizes_solved_each_by_itself_give_the_solution_of_all_at_once(held, monkeypatch):
    """Fifty sizes of two parameters each beside three shared ones; no system of all of them is solved."""
    rng = np.random.default_rng(3)
    S, k, s = 50, 2, 3
    P = S * k + s
    own = np.arange(S)[:, None] + np.array([s, s + S])
    design = np.zeros((S * 6, P))
    design[:, :s] = rng.normal(size=(S * 6, s))
    for at, row in enumerate(own):
        design[6 * at : 6 * at + 6, row] = rng.normal(size=(6, k))
    goal = rng.normal(size=len(design))

    def normal(x):
        left = goal - x @ design.T
        return 0.5 * (left**2).sum(1), left @ design, np.repeat((design.T @ design)[None], len(x), 0)

    fixed = np.zeros(P, bool)
    fixed[[0, s + 4]] = held
    solved = []
    solve = np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda M, v: solved.append(M.shape[-1]) or solve(M, v))
    ends = np.full(P, -np.inf), np.full(P, np.inf)
    found = minimise(normal, np.zeros((1, P)), ends, held=fixed, own=own, limits=Limits(patient=True, tolerance=1e-20))
    wanted = np.zeros(P)
    wanted[~fixed] = np.linalg.lstsq(design[:, ~fixed], goal)[0]
    np.testing.assert_allclose(found.theta[0], wanted, atol=1e-9)
    assert max(solved) == s


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.3])
def test_whitening_undoes_the_covariance(rho):
    noise = Noise(rho, np.array([0.5, 2.0]))
    full = covariance(noise, 6, 1)
    np.testing.assert_allclose(full, 4 * rho ** np.abs(np.subtract.outer(range(6), range(6))), atol=1e-15)
    W = whiten(np.eye(6), rho, 1 / noise.innovation[1]).T
    np.testing.assert_allclose(W @ full @ W.T, np.eye(6), atol=1e-12)
    gone = np.array([True, True, True, True, False, False])
    assert not whiten(np.ones((3, 6)), rho, 1.0, gone)[:, 4:].any()
