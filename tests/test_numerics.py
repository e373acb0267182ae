"""The noise and the loop that every fit shares, against closed forms, certified numbers and scipy."""

import numpy as np
import pytest

from scalefit.errors import FitError, UsageError
from scalefit.numerics.ar1 import RHO, Noise, ar1_noise, correlate, covariance, effective_points, estimate_noise, whiten
from scalefit.numerics.censored import Censored, equal, fixed, interval, likelihood
from scalefit.numerics.derivative import differentiate
from scalefit.numerics.intervals import holm, loss_ends, student
from scalefit.numerics.least_squares import (
    Limits,
    _Damping,
    _Equations,
    _inside,
    _propose,
    _steep,
    _still_to_gain,
    minimise,
    minimise_between,
)
from scalefit.numerics.linear import Designs, inverse, normal_cells
from scalefit.numerics.mixtures import Mixture, join, weights_of
from scalefit.numerics.projection import eliminate, local_minima, solve_bounded
from scalefit.numerics.proportions import binomial_interval, pass_at_k
from scalefit.numerics.scatter import group_units, spread_prior
from scalefit.numerics.tails import (
    chi_square_quantile,
    chi_square_tail,
    f_tail,
    normal_below,
    normal_quantile,
    student_quantile,
    student_tail,
)

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


def dense_reml(y, X, rho):
    """Restricted log-likelihood of a curve with its variance at its best (up to a constant), and y'Py, by whole matrices."""
    n, p = X.shape
    V = rho ** np.abs(np.subtract.outer(range(n), range(n))) / (1 - rho**2)
    W = np.linalg.inv(V)
    left = y - X @ np.linalg.solve(X.T @ W @ X, X.T @ W @ y)
    square = left @ W @ left
    dets = np.linalg.slogdet(V)[1] + np.linalg.slogdet(X.T @ W @ X)[1]
    return -0.5 * ((n - p) * np.log(square) + dets), square


def drawn_curves(runs, count, p, rho, seed):
    rng = np.random.default_rng(seed)
    basis = np.stack([np.linspace(-1, 1, count) ** power for power in range(p)])
    basis = np.repeat(basis[None], runs, 0) + 0.1 * rng.normal(size=(runs, p, count))
    noise = ar1_noise(rng, Noise(rho, np.linspace(0.5, 1.5, runs)), (1, runs, count))[0]
    return noise, basis, np.ones((runs, count), bool)


@pytest.mark.parametrize(("rho", "p", "seed"), [(0.6, 1, 0), (0.6, 3, 1), (0.9, 2, 2), (-0.2, 2, 3), (0.0, 2, 4)])
def test_the_correlation_of_one_curve_is_that_of_the_restricted_likelihood(rho, p, seed):
    y, basis, present = drawn_curves(1, 25, p, rho, seed)
    found = estimate_noise(y, basis, present)
    log = [dense_reml(y[0], basis[0].T, at)[0] for at in RHO]
    assert found.rho == RHO[np.argmax(log)]
    square = dense_reml(y[0], basis[0].T, found.rho)[1]
    assert found.innovation[0] ** 2 == pytest.approx(square / (25 - p), rel=1e-9)
    assert found.sigma[0] ** 2 == pytest.approx(square / (25 - p) / (1 - found.rho**2), rel=1e-9)


def test_a_curves_variance_is_drawn_to_that_of_all_by_five_degrees_of_freedom():
    """Three curves, one of them shorter, and one with no more points than coordinates, which is given that of all."""
    y, basis, present = drawn_curves(4, 20, 2, 0.5, 5)
    present[1, 12:], present[3, 2:] = False, False
    y[~present] = 99.0
    found = estimate_noise(y, basis, present)
    lengths, able = [20, 12, 20], range(3)
    squares = np.array(
        [dense_reml(y[r, :n], basis[r, :, :n].T, found.rho)[1] for r, n in zip(able, lengths, strict=True)]
    )
    dof = np.array(lengths) - 2
    common = squares.sum() / dof.sum()
    wanted = np.append((squares + 5 * common) / (dof + 5), common)
    np.testing.assert_allclose(found.innovation**2, wanted, rtol=1e-8)

    def minus_two_logs(rho):
        parts = [dense_reml(y[r, :n], basis[r, :, :n].T, rho) for r, n in zip(able, lengths, strict=True)]
        squares = np.array([square for _, square in parts])
        common = squares.sum() / dof.sum()
        rest = sum(-2 * log - (d * np.log(square)) for (log, square), d in zip(parts, dof, strict=True))
        return rest + ((dof + 5) * np.log(squares + 5 * common) - 5 * np.log(common)).sum()

    assert found.rho == RHO[np.argmin([minus_two_logs(rho) for rho in RHO])]


@pytest.mark.parametrize("rho", [0.0, 0.7, -0.4])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_correlating_gives_the_square_in_the_dense_covariance(rho, count):
    z = np.random.default_rng(6).normal(size=(2, 3, count))
    S = covariance(Noise(rho, np.ones(1)), count)
    np.testing.assert_allclose((correlate(z, rho) ** 2).sum(-1), np.einsum("abs,st,abt->ab", z, S, z), rtol=1e-10)
    if count > 2:
        # The transposed inverse of whitening to variance 1.
        W = whiten(np.eye(count), rho, 1 / np.sqrt(1 - rho**2)).T
        np.testing.assert_allclose(correlate(np.eye(count), rho).T, np.linalg.inv(W).T, atol=1e-12)


def test_effective_points_are_those_of_a_mean():
    """n over the sum of all correlations of a long curve; a negative correlation adds none."""
    present = np.array([[True] * 6 + [False] * 2, [True] * 8])
    for rho in (0.0, 0.5, 0.9):
        assert effective_points(present, rho) == pytest.approx(14 * (1 - rho) / (1 + rho))
    assert effective_points(present, -0.5) == 14


def test_drawn_noise_is_stationary_and_white_once_whitened():
    noise = Noise(0.8, np.array([0.1, 3.0]))
    drawn = ar1_noise(np.random.default_rng(7), noise, (4, 2, 9))
    white = whiten(drawn, 0.8, 1 / noise.innovation[:, None])
    np.testing.assert_allclose(white, np.random.default_rng(7).standard_normal((4, 2, 9)), rtol=1e-10)
    plain = ar1_noise(np.random.default_rng(7), Noise(0.0, noise.sigma), (4, 2, 9))
    np.testing.assert_allclose(plain / noise.sigma[:, None], np.random.default_rng(7).standard_normal((4, 2, 9)))


def some_mixture():
    rng = np.random.default_rng(8)
    weight = rng.dirichlet(np.ones(6))
    return Mixture(weight, rng.normal(size=(6, 3)) * np.array([1, 10, 0.1]), rng.uniform(0.01, 2, (6, 3)))


@pytest.mark.parametrize("share", [0.001, 0.025, 0.5, 0.9, 0.999])
def test_quantiles_of_a_mixture_are_brents(share):
    from scipy.optimize import brentq
    from scipy.stats import norm

    one = some_mixture()
    found = one.quantiles([0.3, share])
    assert found.shape == (2, 3)
    for at, here in enumerate(found[1]):

        def off(x, at=at):
            return one.weight @ norm.cdf(x, one.mean[:, at], one.sd[:, at]) - share

        # The share is right to 1e-6; where the density is low that is more in x.
        assert off(here) == pytest.approx(0, abs=1.1e-6)
        assert here == pytest.approx(brentq(off, -1e3, 1e3), abs=1e-2)
    np.testing.assert_allclose(one.interval(0.95), one.quantiles([0.025, 0.975]))


def test_quantiles_step_over_a_gap_between_parts():
    far = Mixture(np.array([0.5, 0.5]), np.array([[0.0], [1000.0]]), np.array([[1e-3], [1e-3]]))
    from scipy.stats import norm

    np.testing.assert_allclose(far.quantiles([0.25, 0.75])[:, 0], [0, 1000], atol=1e-5)
    np.testing.assert_allclose(far.quantiles([0.05])[0], 1e-3 * norm.ppf(0.1), rtol=1e-3)


def test_a_part_without_spread_is_a_step():
    point = Mixture(np.array([0.2, 0.8]), np.array([[1.0, 0.0], [2.0, 0.0]]), np.zeros((2, 2)))
    np.testing.assert_allclose(point.quantiles([0.1, 0.5]), [[1, 0], [2, 0]], atol=1e-9)


def test_moments_of_a_mixture():
    from scipy.stats import norm

    one = some_mixture()
    x = np.linspace(-60, 60, 40_001)[:, None]
    for at in range(3):
        share = norm.pdf(x, one.mean[:, at], one.sd[:, at]) @ one.weight * (x[1] - x[0])
        mean = share @ x[:, 0]
        assert one.centre[at] == pytest.approx(mean, abs=1e-6)
        assert one.spread[at] == pytest.approx(np.sqrt(share @ (x[:, 0] - mean) ** 2), rel=1e-6)
    wide = one.widened(np.array([1.0, 4.0, 0.0]))
    np.testing.assert_allclose(wide.spread**2, one.spread**2 + np.array([1, 4, 0]))
    np.testing.assert_allclose(wide.centre, one.centre)
    both = join([one, wide], np.array([0.25, 0.75]))
    assert both.weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(both.spread**2, one.spread**2 + 0.75 * np.array([1, 4, 0]))


def test_a_spread_without_end_has_an_interval_without_ends():
    one = Mixture(np.ones(2) / 2, np.zeros((2, 2)), np.array([[1.0, 1.0], [1.0, np.inf]]))
    low, high = one.interval(0.95)
    np.testing.assert_allclose([low[0], high[0]], [-1.959964, 1.959964], atol=1e-4)
    assert (low[1], high[1]) == (-np.inf, np.inf)


def test_few_parts_stand_for_themselves_and_many_for_their_neighbours():
    kept, weight = weights_of(np.array([0.0, np.log(3.0)]) + 500)
    np.testing.assert_array_equal(kept, [0, 1])
    np.testing.assert_allclose(weight, [0.25, 0.75])
    log = np.append(np.zeros(20_000), np.log(20_000.0))
    kept, weight = weights_of(log)
    assert kept[0] == 20_000
    assert weight[0] == pytest.approx(0.5)
    # Half of the weight is light; 300 of 600 shares stand for it, evenly along the order.
    assert len(kept) == 301
    np.testing.assert_allclose(weight[1:], 0.5 / 300)
    np.testing.assert_allclose(np.diff(kept[1:]), 20_000 / 300, atol=1)
    assert weight @ kept == pytest.approx(0.5 * 20_000 + 0.5 * 9_999.5, abs=40)


def test_the_prior_of_a_spread_is_half_normal_beside_a_quarter_of_none():
    from scipy.stats import halfnorm

    spread, log_mass = spread_prior(0.2, 0.002)
    mass = np.exp(log_mass)
    assert spread[0] == 0
    assert mass[0] == pytest.approx(0.25)
    assert mass.sum() == pytest.approx(1)
    assert len(spread) == 14
    np.testing.assert_allclose(spread[[1, -1]], [0.001, 1.2])
    np.testing.assert_allclose(np.diff(np.log(spread[1:])), np.log(1200) / 12)
    wanted = halfnorm.pdf(spread[1:], scale=0.2) * np.gradient(spread[1:])
    np.testing.assert_allclose(mass[1:] / 0.75, wanted / wanted.sum(), rtol=1e-9)
    # The grid begins no lower than a ten-thousandth of the scale, no higher than a 25th.
    assert spread_prior(0.2, 0.0)[0][1] == pytest.approx(2e-5)
    assert spread_prior(0.2, 9.0)[0][1] == pytest.approx(0.008)
    assert len(spread_prior(0.2, 0.1, 4)[0]) == 5


def restricted(y, V, X, reference=None):
    """Means, their covariance and the restricted log-likelihood of y = X b + noise of covariance V, up to a constant."""
    W = np.linalg.inv(V)
    inner = np.linalg.inv(X.T @ W @ X)
    b = inner @ X.T @ W @ y
    left = y - X @ b
    log = -0.5 * (np.linalg.slogdet(V)[1] - np.linalg.slogdet(inner)[1] + left @ W @ left)
    if reference is not None:
        log += 0.5 * np.linalg.slogdet(X.T @ np.diag(1 / reference) @ X)[1]
    return b, inner, log


def test_units_are_pooled_by_generalised_least_squares():
    rng = np.random.default_rng(9)
    first, size = np.array([0, 3, 4]), np.array([0, 0, 0, 1, 2, 2])
    value, variance = rng.normal(size=6), rng.uniform(0.5, 2, (4, 6))
    found = group_units(value, variance, first)
    X = np.eye(3)[size]
    for a in range(4):
        mean, inner, log = restricted(value, np.diag(variance[a]), X)
        np.testing.assert_allclose(found.mean[a], mean, rtol=1e-10)
        np.testing.assert_allclose(found.variance[a], np.diag(inner), rtol=1e-10)
        assert found.within[a] == pytest.approx(log, rel=1e-10)


@pytest.mark.parametrize("c", [1, 2, 3])
@pytest.mark.parametrize("same", [False, True])
def test_cells_are_solved_as_by_whole_matrices(c, same):
    """Means, covariances and restricted likelihood; columns of very unequal units."""
    rng = np.random.default_rng(10)
    G, rows, n = 3, 7, 4
    design = rng.normal(size=(G, rows, c)) * 10.0 ** np.array([0, 5, -4])[:c]
    target, variance = rng.normal(size=(1 if same else n, rows)), rng.uniform(0.2, 3, (n, rows))
    reference = rng.uniform(0.5, 1, rows)
    found = normal_cells(design, target, variance, reference)
    for i in range(n):
        for g in range(G):
            y = target[0 if same else i]
            mean, inner, log = restricted(y, np.diag(variance[i]), design[g], reference)
            means, covariances = found.coefficients(np.array([i]), np.array([g]))
            np.testing.assert_allclose(means[0], mean, rtol=1e-7)
            np.testing.assert_allclose(covariances[0], inner, rtol=1e-7)
            assert found.log[i, g] == pytest.approx(log, rel=1e-8)


def test_many_cells_are_weighed_as_few_and_a_column_that_others_make_up_explains_nothing():
    rng = np.random.default_rng(13)
    design, y, variance = rng.normal(size=(40, 6, 2)), rng.normal(size=(1, 6)), rng.uniform(0.5, 2, (300, 6))
    found = normal_cells(design, y, variance, variance[0]).log
    np.testing.assert_allclose(found[250:], normal_cells(design, y, variance[250:], variance[0]).log, rtol=1e-12)
    twice = Designs(np.concatenate([design, design @ np.array([[2.0], [-3.0]])], 2))
    pivots, left = twice.reduce(y, 1 / variance[:1])
    np.testing.assert_allclose(left, Designs(design).reduce(y, 1 / variance[:1])[1], rtol=1e-9)
    assert (pivots > 0).all()


def test_cells_are_the_integral_over_the_coefficients():
    """Against the marginal density with coefficients of a wide normal prior, whose own density is taken out."""
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(11)
    design, y = rng.normal(size=(1, 5, 2)), rng.normal(size=(1, 5))
    variance = rng.uniform(0.5, 2, (3, 5))
    found = normal_cells(design, y, variance, variance[0]).log[:, 0]
    wide = 1e8 * design[0] @ design[0].T
    direct = np.array([multivariate_normal.logpdf(y[0], np.zeros(5), wide + np.diag(v)) for v in variance])
    np.testing.assert_allclose(found - found[0], direct - direct[0], atol=1e-4)


def test_the_inverse_of_a_normal_matrix_knows_directions_of_no_effect():
    rng = np.random.default_rng(12)
    X = rng.normal(size=(9, 3)) * np.array([1.0, 1e6, 1e-5])
    np.testing.assert_allclose(
        inverse(X.T @ X) * np.outer(*[np.array([1.0, 1e6, 1e-5])] * 2),
        np.linalg.inv((X / [1.0, 1e6, 1e-5]).T @ (X / [1.0, 1e6, 1e-5])),
        rtol=1e-8,
    )
    blind = np.diag([4.0, 0.0])
    found = inverse(blind)
    assert found[0, 0] == pytest.approx(0.25)
    assert found[1, 1] > 1e20
    nothing = np.diag(inverse(np.zeros((2, 2))))
    assert (np.isfinite(nothing) & (nothing > 1e100)).all()
    twins = inverse(np.ones((2, 2)))
    assert twins[0, 0] > 1e10
    assert twins[0, 0] + twins[0, 1] == pytest.approx(0.5, abs=1e-2)


def test_students_quantile_is_scipys_with_a_degree_of_freedom_at_least():
    from scipy.stats import t

    for level, dof in ((0.95, 4.0), (0.5, 11.5)):
        assert student(level, dof) == pytest.approx(t.ppf((1 + level) / 2, dof))
    assert student(0.95, 0.1) == pytest.approx(t.ppf(0.975, 1))
    assert student(0.95, np.inf) == pytest.approx(1.959964, abs=1e-6)


def test_ends_of_a_loss_are_no_more_than_1():
    low, high = loss_ends(np.array([-1.0, -0.1]), np.array([0.2, 0.2]))
    np.testing.assert_allclose(low, 10 ** np.array([-1.2, -0.3]))
    np.testing.assert_allclose(high, [10**-0.8, 1.0])


def test_holms_steps_are_those_of_his_paper():
    """Each p against level / hypotheses left; the first that fails ends it."""
    np.testing.assert_array_equal(holm(np.array([0.03, 0.01, 0.9, 0.016])), [False, True, False, True])
    np.testing.assert_array_equal(holm(np.array([0.05])), [True])
    np.testing.assert_array_equal(holm(np.array([0.02, 0.026, 0.001]), 0.05), [True, True, True])
    np.testing.assert_array_equal(holm(np.array([0.02, 0.06]), 0.05), [True, False])
    np.testing.assert_array_equal(holm(np.array([0.03, 0.04]), 0.05), [False, False])


def test_a_share_has_the_exact_interval():
    from scipy.stats import binomtest

    for level in (0.95, 0.5):
        low, high = binomial_interval([0, 1, 7, 20], 20, level)
        wanted = [binomtest(right, 20).proportion_ci(level, "exact") for right in (0, 1, 7, 20)]
        np.testing.assert_allclose(low, [one.low for one in wanted], atol=1e-12)
        np.testing.assert_allclose(high, [one.high for one in wanted], atol=1e-12)
    assert binomial_interval(3, 10)[0] == pytest.approx(binomtest(3, 10).proportion_ci(0.95, "exact").low)


def test_pass_at_k_counts_the_draws_that_miss():
    from math import comb

    rates = np.array([0.0, 0.1, 0.7, 1.0])
    found = pass_at_k(rates, 10, [1, 3, 10])
    wanted = [[1 - comb(10 - round(10 * rate), k) / comb(10, k) for k in (1, 3, 10)] for rate in rates]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    for k in (0, 11):
        with pytest.raises(UsageError, match=f"pass@{k} needs at least {k} samples a problem, there are 10"):
            pass_at_k(rates, 10, [k])


@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.parametrize("unit", [1e-12, 1e12])
def test_the_unit_of_a_parameter_does_not_matter_to_the_steps(patient, unit):
    """As many steps lead as near; damping is a share of each parameter's own effect."""

    def scaled(theta):
        cost, g, A = misra(theta / unit)
        return cost, g / unit, A / unit**2

    ends = np.zeros(2), np.full(2, np.inf)
    for steps in (4, 12):
        limits = Limits(iterations=steps, tolerance=1e-16, patient=patient)
        one, other = minimise(misra, STARTS, ends, limits=limits), minimise(scaled, STARTS * unit, ends, limits=limits)
        np.testing.assert_allclose(other.theta / unit, one.theta, rtol=1e-6)


def test_a_step_reaches_no_further_than_asked():
    """A line: a Newton step would be there at once."""

    def normal(x):
        return 0.5 * ((x - 10.0) ** 2).sum(1) + 1, 10.0 - x, np.ones((len(x), 1, 1))

    ends = np.full(1, -np.inf), np.full(1, np.inf)
    for steps, at in ((1, 3.0), (2, 6.0), (3, 9.0), (9, 10.0)):
        found = minimise(normal, np.zeros((1, 1)), ends, reach=np.array([3.0]), limits=Limits(iterations=steps))
        assert found.theta[0, 0] == pytest.approx(at, abs=1e-6)
        assert found.converged[0] == (steps == 9)


def test_a_gain_below_the_ground_is_rounding():
    """A quartic without a rest of cost creeps on for ever; with a ground it ends where no more is to be had."""

    def normal(x):
        return 0.5 * (x[:, 0] ** 4), -2 * x**3, (4 * x**2)[..., None]

    ends = np.full(1, -np.inf), np.full(1, np.inf)
    start = np.ones((2, 1))
    far = minimise(normal, start, ends, ground=np.array([0.0, 1e-8]), limits=Limits(iterations=500, tolerance=0.0))
    assert far.cost[1] < 1e-7
    assert far.cost[0] < 1e-30


def test_a_run_of_the_whole_batch_is_that_of_each_alone():
    starts = np.array([[500.0, 1e-4], [250.0, 5e-4], [100.0, 1e-3]])
    ends = np.zeros(2), np.full(2, np.inf)
    for patient in (False, True):
        limits = Limits(tolerance=1e-10, patient=patient)
        together = minimise(misra, starts, ends, limits=limits)
        for row, start in enumerate(starts):
            alone = minimise(misra, start[None], ends, limits=limits)
            np.testing.assert_allclose(together.theta[row], alone.theta[0], rtol=1e-12)
            assert together.converged[row] == alone.converged[0]


def tobit():
    """Thirty points about a line, those above a bound only known to be there, and some only below one."""
    rng = np.random.default_rng(13)
    x = np.linspace(0, 3, 30)
    y = 1 + 0.7 * x + 0.3 * rng.standard_normal(30)
    side = np.where(y > 2.6, 1, np.where(y < 1.0, -1, 0))
    return Censored(np.stack([np.ones(30), x], 1), np.clip(y, 1.0, 2.6), side)


def test_a_censored_line_maximises_tobins_likelihood():
    from scipy.optimize import minimize
    from scipy.stats import norm

    data = tobit()
    assert (data.known, data.dof) == ((data.side == 0).sum(), (data.side == 0).sum() - 2)

    def minus_log(w):
        z = (data.value - data.design @ w[:2]) / np.exp(w[2])
        log = np.where(data.side == 0, norm.logpdf(z) - w[2], np.where(data.side == 1, norm.logsf(z), norm.logcdf(z)))
        return -log.sum()

    theirs = minimize(
        minus_log, [1.0, 0.5, -1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    )
    log, found = likelihood(data)
    np.testing.assert_allclose([*found[:2] / found[2], 1 / found[2]], [*theirs.x[:2], np.exp(theirs.x[2])], rtol=1e-4)
    # The constant of the normal density is left out.
    assert log == pytest.approx(-theirs.fun + 0.5 * data.known * np.log(2 * np.pi), abs=1e-5)
    # Its profile: the same with the slope held.
    held = minimize(
        lambda w: minus_log([w[0], 0.5, w[1]]),
        [1.0, -1.0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12},
    )
    log_held, at = likelihood(data, fixed(np.array([0.0, 1.0]), 0.5))
    assert log_held == pytest.approx(-held.fun + 0.5 * data.known * np.log(2 * np.pi), abs=1e-5)
    assert at[1] / at[2] == pytest.approx(0.5)
    middle, low, high = interval(data, np.array([0.0, 1.0]))
    assert middle == pytest.approx(theirs.x[1], rel=1e-4)
    from scipy.stats import t

    allowed = 0.5 * data.known * np.log1p(t.ppf(0.975, data.dof) ** 2 / data.dof)
    for end in (low, high):
        lost = log - likelihood(data, fixed(np.array([0.0, 1.0]), end))[0]
        assert lost == pytest.approx(allowed, abs=1e-6)
    assert low < middle < high


def test_where_nothing_is_censored_interval_and_test_are_students_and_fishers():
    from scipy.stats import f, linregress, t

    rng = np.random.default_rng(14)
    x = np.linspace(0, 3, 12)
    y = 1 + 0.2 * x + 0.5 * rng.standard_normal(12)
    data = Censored(np.stack([np.ones(12), x], 1), y, np.zeros(12, int))
    theirs = linregress(x, y)
    for level in (0.95, 0.8):
        half = t.ppf(0.5 + level / 2, 10) * theirs.stderr
        wanted = theirs.slope, theirs.slope - half, theirs.slope + half
        np.testing.assert_allclose(interval(data, np.array([0.0, 1.0]), level), wanted, rtol=1e-6)
    assert equal(data, np.array([[0.0, 1.0]])) == pytest.approx(theirs.pvalue, rel=1e-6)
    rest, total = np.sum((y - theirs.intercept - theirs.slope * x) ** 2), np.sum(y**2)
    both = equal(data, np.eye(2))
    assert both == pytest.approx(f.sf((total - rest) / 2 / (rest / 10), 2, 10), rel=1e-6)
    few = Censored(data.design[:3], y[:3], np.array([0, 0, 1]))
    with pytest.raises(FitError, match="2 crossings are known exactly, for 2 coefficients"):
        likelihood(few)


def test_a_slope_that_nothing_bounds_has_no_end():
    """Two groups of which one is only known to lie above: how far it lies above is open."""
    design = np.array([[1.0, 0]] * 5 + [[1.0, 1]] * 3)
    data = Censored(design, np.array([0.0, 0.1, -0.1, 0.05, -0.05, 2.0, 2.0, 2.0]), np.array([0] * 5 + [1] * 3))
    _, low, high = interval(data, np.array([0.0, 1.0]))
    assert low is not None
    assert low > 1
    assert high is None


def test_derivatives_are_those_of_the_formula():
    """By a complex step where a function takes one, by differences where it does not; both held to the closed form."""
    N, X = np.array([1.0, 2.0, 5.0]), np.array([[1.0, 3.0, 4.0]])
    values = {"a": np.array([2.0]), "b": np.array([0.5, 0.7, 0.9])}

    def smooth(p, N, X):
        return p["a"] * X[0] ** -p["b"] + N * np.exp(-p["b"])

    def real(p, N, X):
        return np.asarray(p["a"].real * X[0] ** -p["b"].real + N * np.exp(-p["b"].real), float)

    def dropping(p, N, X):
        return smooth({"a": np.real(p["a"]) + 0j, "b": p["b"]}, N, X)

    wanted = {"a": X[0] ** -values["b"], "b": -2 * X[0] ** -values["b"] * np.log(X[0]) - N * np.exp(-values["b"])}
    for function, near in ((smooth, 1e-14), (real, 1e-8), (dropping, 1e-8)):
        found = differentiate(function, values, N, X)
        for name, slope in wanted.items():
            np.testing.assert_allclose(found[name], slope, rtol=near, atol=near)
    big = differentiate(lambda p, N, X: np.asarray(p["a"].real ** 2 + 0 * N), {"a": np.array([3e6])}, N, X)
    np.testing.assert_allclose(big["a"], 6e6, rtol=1e-8)
    none = differentiate(lambda p, N, X: np.sqrt(p["a"]) + 0 * N, {"a": np.array([0.0])}, N, X)
    np.testing.assert_array_equal(none["a"], 0.0)


# The parts of the loop, each by hand.

A2 = np.array([[[2.0, 1.0], [1.0, 2.0]]])


def test_damping_of_a_near_start_eases_by_ten_and_tightens_by_thirty():
    damping = _Damping(2, patient=False)
    np.testing.assert_array_equal(damping.size, [1e-8, 1e-8])
    np.testing.assert_allclose(damping.of(np.repeat(A2, 2, 0)), np.full((2, 2), 2e-8))
    cost = np.ones(2)
    better = np.array([True, False])
    damping.adapt(better, cost, cost, cost)
    np.testing.assert_allclose(damping.size, [1e-9, 1e-6])
    for _ in range(4):
        damping.adapt(better, cost, cost, cost)
    np.testing.assert_allclose(damping.size, [1e-12, 1e-6 * 30**4])
    # A step that changed so little settles it, unless it was all but none.
    steps = np.array([1.0 - 1e-10, 1.0 - 3e-9, 1.0 + 1e-10])
    damping.size = np.full(3, 1e-2)
    np.testing.assert_array_equal(damping.settles(np.ones(3), steps, np.ones(3), 1e-9), [True, False, False])
    damping.size = np.array([1.1e-2, 1e-2, 1e-3])
    np.testing.assert_array_equal(damping.settles(np.ones(3), np.ones(3), np.ones(3), 0.0), [False, True, True])
    # Rounding of the cost is no worsening.
    assert damping.settles(np.full(3, 1e3), np.full(3, 1e3 * (1 + 5e-16)), np.ones(3), 1e-9)[1]


def test_damping_of_a_far_start_is_nielsens_and_keeps_what_lost_its_effect():
    damping = _Damping(1, patient=True)
    assert damping.size[0] == 1e-2
    wide = np.diag([4.0, 1e-20])[None]
    np.testing.assert_allclose(damping.main(wide), [[4.0, 4e-12]])
    np.testing.assert_allclose(damping.main(np.diag([1.0, 2.0])[None]), [[4.0, 2.0]])
    np.testing.assert_allclose(damping.of(np.diag([1.0, 1.0])[None]), [[0.04, 0.02]])
    cost, yes, no = np.ones(1), np.array([True]), np.array([False])
    # All, half and three quarters of the promised gain: 1 - (2 share - 1)^3, at least a tenth.
    for share, factor in ((1.0, 0.1), (0.5, 1.0), (0.75, 0.875), (0.0, 2.0)):
        damping.size = np.array([0.5])
        damping.adapt(yes, cost, cost - 0.2 * share, np.array([0.2]))
        assert damping.size[0] == pytest.approx(0.5 * factor, rel=1e-9)
    for factor in (2, 8, 64):
        damping.adapt(no, cost, cost + 1, np.array([0.2]))
        assert damping.size[0] == pytest.approx(factor)
    assert damping.growth[0] == 16
    damping.adapt(yes, cost, cost - 0.1, np.array([0.2]))
    assert (damping.size[0], damping.growth[0]) == (pytest.approx(64), 2)
    # As much again is promised as rounding hides, and nothing seen: half of the gain.
    damping.size = np.array([0.5])
    damping.adapt(yes, cost, cost, np.array([1e-13]))
    assert damping.size[0] == pytest.approx(0.5)
    damping.size = np.array([1e-9])
    damping.adapt(no, cost, cost + 1, np.array([0.2]))
    assert damping.size[0] == 1e-6


def test_eight_steps_in_a_row_that_change_nothing_settle_what_could_gain_next_to_nothing():
    damping = _Damping(2, patient=True)
    cost, gain = np.full(2, 2.0), np.array([2e-9, 3e-9])
    for step in range(1, 9):
        assert not damping.stands.any()
        found = damping.settles(cost, cost * (1 - 0.9e-13), gain, 1e-14)
        np.testing.assert_array_equal(damping.still, [step, step])
        np.testing.assert_array_equal(found, [step == 8, False])
        if step == 7:
            np.testing.assert_array_equal(damping.stands, [True, True])
            break
    found = damping.settles(cost, cost, gain, 1e-14)
    np.testing.assert_array_equal(found, [True, False])
    damping.settles(cost, cost * (1 - 2e-13), gain, 1e-14)
    np.testing.assert_array_equal(damping.still, [0, 0])


def test_where_no_step_helps_the_angle_tells_whether_it_is_a_minimum():
    """The cosine of residual and slope: |g| against the roots of twice the cost and of the diagonal."""
    A = np.diag([4.0, 9.0])[None]
    for right, steep in (
        ([1e-5 * 4 * 1.01, 0.0], True),
        ([-1e-5 * 4 * 1.01, 0.0], True),
        ([1e-5 * 4 * 0.99, 1e-5 * 6 * 0.99], False),
        ([0.0, -1e-5 * 6 * 1.01], True),
        ([0.0, 0.0], False),
    ):
        assert _steep(A, np.array([right]), np.array([2.0]))[0] == steep
    assert not _steep(A, np.zeros((1, 2)), np.zeros(1))[0]


def test_a_step_solves_the_damped_equations_of_what_is_free():
    equations = _Equations(A2, np.array([[4.0, 1.0]]), None)
    free, extra = np.zeros((1, 2), bool), np.array([[1.0, 0.5]])
    step, right = equations.step(free, extra)
    np.testing.assert_allclose(step[0], np.linalg.solve([[3, 1], [1, 2.5]], [4, 1]))
    np.testing.assert_array_equal(right, [[4, 1]])
    step, right = equations.step(np.array([[True, False]]), extra)
    np.testing.assert_allclose(step, [[0.0, 1 / 2.5]])
    np.testing.assert_array_equal(right, [[0, 1]])
    step, right = equations.step(np.array([[True, False]]), extra, np.array([[1.0, 0.0]]))
    # The first moves by 1, and the second knows of it.
    np.testing.assert_allclose(step, [[1.0, (1 - 1) / 2.5]])
    step, _ = equations.step(np.array([[True, False]]), extra, np.array([[3.0, 0.0]]))
    np.testing.assert_allclose(step, [[3.0, (1 - 3) / 2.5]])
    np.testing.assert_array_equal(equations.A, A2)


def test_a_matrix_without_an_inverse_is_solved_by_least_squares_and_what_overflows_stays():
    twins = np.concatenate([np.ones((1, 2, 2)), A2])
    g = np.array([[1.0, 1.0], [4.0, 1.0]])
    step, _ = _Equations(twins, g, None).step(np.zeros((2, 2), bool), np.zeros((2, 2)))
    np.testing.assert_allclose(step, [[0.5, 0.5], np.linalg.solve(A2[0], [4, 1])])
    blind = np.diag([2.0, 0.0])[None]
    with np.errstate(over="ignore"):
        step, _ = _Equations(blind, np.array([[4.0, 1e10]]), None).step(np.zeros((1, 2), bool), np.zeros((1, 2)))
    np.testing.assert_array_equal(step, [[0.0, 0.0]])


def test_a_step_out_of_bounds_goes_to_them_and_the_others_know_of_it():
    equations = _Equations(A2, np.array([[4.0, 1.0]]), None)
    free, none = np.zeros((1, 2), bool), np.zeros((1, 2))
    whole = np.linalg.solve(A2[0], [4.0, 1.0])[None]
    far = np.full((1, 2), -9.0), np.full((1, 2), 9.0)
    step, cut = _inside(equations, free, none, whole, far)
    np.testing.assert_allclose(step, whole)
    assert not cut[0]
    tight = np.array([[-9.0, -9.0]]), np.array([[1.5, 9.0]])
    step, cut = _inside(equations, free, none, whole, tight)
    np.testing.assert_allclose(step, [[1.5, (1 - 1.5) / 2]])
    assert cut[0]
    both = np.array([[-9.0, -0.1]]), np.array([[1.5, 9.0]])
    np.testing.assert_allclose(_inside(equations, free, none, whole, both)[0], [[1.5, -0.1]])
    found = _propose(equations, free, none, None)
    np.testing.assert_allclose(found[0], whole)
    assert found[2][0] == found[3][0] == pytest.approx((whole @ [4.0, 1.0])[0])
    step, right, gain, promised = _propose(equations, free, none, tight)
    wanted = step[0] @ [4.0, 1.0] - 0.5 * step[0] @ A2[0] @ step[0]
    np.testing.assert_array_equal(right, [[4.0, 1.0]])
    assert (promised[0], gain[0]) == (pytest.approx(wanted), pytest.approx(2 * wanted))
    # Cut against the slope, it promises a loss, and a shorter one may still gain.
    back = np.array([[-9.0, -9.0]]), np.array([[9.0, -3.0]])
    step, _, gain, promised = _propose(equations, free, none, back)
    assert step[0, 1] == -3
    assert (gain[0] == np.inf) == (promised[0] < 0)


def test_what_could_be_gained_is_asked_without_damping_and_only_where_asked():
    equations = _Equations(np.repeat(A2, 2, 0), np.array([[4.0, 1.0]] * 2), None)
    free, room = np.zeros((2, 2), bool), (np.full((2, 2), -9.0), np.full((2, 2), 9.0))
    damping = _Damping(2, patient=True)
    damping.size[:] = 1e6
    found = _still_to_gain(equations, free, damping, room, np.array([True, False]))
    whole = np.linalg.solve(A2[0], [4.0, 1.0])
    assert found[0] == pytest.approx(whole @ [4.0, 1.0], rel=1e-8)
    assert found[1] == np.inf
    assert (_still_to_gain(equations, free, damping, room, np.zeros(2, bool)) == np.inf).all()


@pytest.mark.parametrize("patient", [False, True])
def test_the_last_step_is_taken_unseen_only_from_a_near_start(patient):
    seen = []

    def normal(theta):
        seen.append(theta.copy())
        return misra(theta)

    ends = np.zeros(2), np.full(2, np.inf)
    found = minimise(normal, np.array([[250.0, 5e-4]]), ends, limits=Limits(tolerance=1e-6, patient=patient))
    assert any((one == found.theta).all() for one in seen) == patient
    assert found.converged[0]
    if patient:
        np.testing.assert_array_equal(found.cost, misra(found.theta)[0])


@pytest.mark.parametrize(("patient", "slope", "settled"), [(False, 1.0, True), (True, 1.0, False), (True, 1e-7, True)])
def test_where_the_slope_lies_no_step_helps_and_it_is_told(patient, slope, settled):
    """A cost that rises whichever way, with a slope that says otherwise: what is looked at patiently and is steep has not converged."""

    def normal(x):
        return 1.0 + np.abs(x[:, 0]), np.full_like(x, slope), np.ones((len(x), 1, 1))

    ends = np.full(1, -np.inf), np.full(1, np.inf)
    found = minimise(normal, np.zeros((1, 1)), ends, limits=Limits(iterations=500, tolerance=0.0, patient=patient))
    # What rounding hides of the cost is not seen.
    assert abs(found.theta[0, 0]) < 1e-12
    assert found.cost[0] == pytest.approx(1, abs=1e-12)
    assert found.converged[0] == settled
    few = minimise(normal, np.zeros((1, 1)), ends, limits=Limits(iterations=3, tolerance=0.0, patient=patient))
    assert not few.converged[0]


def test_what_was_given_up_early_stays_lost_when_another_is_given_up_later():
    """The first is stuck from the start; the second walks to its kink, where its slope lies as well."""
    kink = np.array([0.0, 30.0])

    def normal(x):
        return 1.0 + np.abs(x[:, 0] - kink), np.ones_like(x), np.ones((len(x), 1, 1))

    ends = np.full(1, -np.inf), np.full(1, np.inf)
    limits = Limits(iterations=500, tolerance=0.0, patient=True)
    found = minimise(normal, np.zeros((2, 1)), ends, limits=limits)
    assert abs(found.theta[0, 0]) < 1e-9
    assert found.theta[1, 0] == pytest.approx(30, abs=0.1)
    np.testing.assert_array_equal(found.converged, [False, False])


def test_what_pushes_against_a_bound_is_left_out_and_what_pulls_away_is_not():
    """A quadratic whose free minimum is outside: from the bound itself, and from a start at the other one."""
    goal = np.array([3.0, -1.0])

    def normal(x):
        off = goal - x
        return 0.5 * np.einsum("bi,ij,bj->b", off, A2[0], off), off @ A2[0], np.repeat(A2, len(x), 0)

    for patient in (False, True):
        for start in ([[2.0, 0.0]], [[0.0, -2.0]], [[2.0, -2.0]]):
            limits = Limits(tolerance=1e-14, patient=patient)
            found = minimise(normal, np.array(start), (np.array([0.0, -2.0]), np.array([2.0, 0.0])), limits=limits)
            # With the first at 2 the second's slope is off by half of what it lacks.
            np.testing.assert_allclose(found.theta, [[2.0, -0.5]], atol=1e-6)


def test_a_minimum_between_ends_is_there_in_a_step_of_newton():
    steps = []

    def normal(x):
        steps.append(float(x[0, 0]))
        return 0.5 * 4 * (x[:, 0] - 1) ** 2 + 1, 4 * (1 - x), np.full((len(x), 1, 1), 4.0)

    ends = np.full((1, 1), -8.0), np.full((1, 1), 8.0)
    found = minimise_between(normal, np.full((1, 1), -3.0), ends, Limits(iterations=9, tolerance=1e-9))
    assert steps == [-3.0, 1.0, 1.0]
    assert (found.theta[0, 0], found.cost[0], found.normal[0, 0, 0]) == (1.0, 1.0, 4.0)
    assert found.converged[0]
    short = minimise_between(normal, np.full((1, 1), -3.0), ends, Limits(iterations=1, tolerance=1e-9))
    assert not short.converged[0]
    assert short.theta[0, 0] == 1.0
    # The minimum beyond an end: halves lead there.
    close = np.full((1, 1), -8.0), np.full((1, 1), 0.5)
    at_end = minimise_between(normal, np.full((1, 1), -3.0), close, Limits(iterations=60, tolerance=1e-9))
    assert at_end.theta[0, 0] == pytest.approx(0.5, abs=1e-6)


def test_a_narrow_interval_is_found_as_well():
    """Of a line with next to no noise: Student's, a hundredth wide."""
    from scipy.stats import linregress, t

    rng = np.random.default_rng(15)
    x = np.linspace(0, 3, 12)
    y = 1 + 0.2 * x + 0.005 * rng.standard_normal(12)
    theirs = linregress(x, y)
    half = t.ppf(0.975, 10) * theirs.stderr
    assert half < 0.01
    found = interval(Censored(np.stack([np.ones(12), x], 1), y, np.zeros(12, int)), np.array([0.0, 1.0]))
    np.testing.assert_allclose(found, [theirs.slope, theirs.slope - half, theirs.slope + half], rtol=1e-6)


def test_a_function_that_warns_of_something_else_is_stepped_all_the_same():
    import warnings

    def loud(p, N, X):
        warnings.warn("slow", UserWarning, stacklevel=2)
        return np.exp(p["a"]) + 0 * N

    with pytest.warns(UserWarning, match="slow"):
        found = differentiate(loud, {"a": np.array([1.0])}, np.ones(3), np.ones((1, 3)))
    np.testing.assert_allclose(found["a"], np.full(3, np.e), rtol=1e-14)


DOFS = (1, 1.5, 2, 3, 7.3, 30, 722, 2e4)


@pytest.mark.parametrize("dof", DOFS)
def test_student_is_scipys(dof):
    """The logarithms of gamma functions, of which differences are taken, have sixteen digits: eleven are left at 1e4."""
    from scipy.special import stdtr, stdtrit

    for level in (0.5, 0.9, 0.95, 0.99, 0.999):
        assert student_quantile(1 - level, dof) == pytest.approx(stdtrit(dof, 0.5 + level / 2), rel=1e-10)
    for t in (1e-6, 0.1, 1.0, -2.0, 5.0, 30.0):
        assert student_tail(t, dof) == pytest.approx(2 * stdtr(dof, -abs(t)), rel=1e-10)


def test_student_at_its_ends():
    assert student_quantile(0.05, np.inf) == pytest.approx(1.959963984540054, rel=1e-14)
    assert student_tail(1.959963984540054, 1e10) == pytest.approx(0.05, rel=1e-12)
    assert (student_tail(0.0, 5), student_tail(np.inf, 5)) == (1.0, 0.0)
    assert (student_quantile(0.0, 5), student_quantile(1.0, 5)) == (np.inf, 0.0)
    assert np.isnan(student_tail(np.nan, 5))


def test_f_and_chi_square_are_scipys():
    from scipy.special import chdtrc, chdtri, fdtrc

    n, x = np.array([1, 2, 3, 5, 8, 20, 101])[:, None], np.array([1e-8, 0.1, 1, 3, 10, 50, 300, 1300])
    np.testing.assert_allclose(chi_square_tail(n, x), chdtrc(n, x), rtol=1e-12)
    tail = np.array([1e-300, 1e-100, 1e-9, 0.01, 0.3, 0.9, 0.9999])
    np.testing.assert_allclose(chi_square_quantile(n, tail), chdtri(n, tail), rtol=1e-11)
    dof = np.array([1.0, 1.5, 4, 30, 730])[:, None, None]
    np.testing.assert_allclose(f_tail(n, dof, x), fdtrc(n, dof, x), rtol=1e-10)
    np.testing.assert_allclose(f_tail(2.5, 7.3, [0.0, np.inf]), [1.0, 0.0])


def test_the_normal_distribution_is_scipys():
    from scipy.special import ndtr, ndtri

    z, share = np.linspace(-37, 10, 500), np.linspace(0, 1, 201)
    np.testing.assert_allclose(normal_below(z), ndtr(z), rtol=1e-12)
    many = np.resize(z, (3, 20_000))  # so many that they are scipy's own
    assert (normal_below(many) == ndtr(many)).all()
    np.testing.assert_allclose(normal_quantile(share), ndtri(share), rtol=1e-13, atol=1e-15)
