"""The noise and the loop that every fit shares, against closed forms, certified numbers and scipy."""

import numpy as np
import pytest

from scalefit.numerics.ar1 import Noise, covariance, whiten
from scalefit.numerics.least_squares import Limits, minimise

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


def test_a_held_parameter_stays():
    start = np.array([[250.0, 5e-4]])
    found = minimise(misra, start, (np.zeros(2), np.full(2, np.inf)), held=np.array([False, True]))
    shape = 1 - np.exp(-5e-4 * X)
    np.testing.assert_allclose(found.theta[0], [shape @ Y / (shape @ shape), 5e-4], rtol=1e-8)


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.3])
def test_whitening_undoes_the_covariance(rho):
    noise = Noise(rho, np.array([0.5, 2.0]))
    full = covariance(noise, 6, 1)
    np.testing.assert_allclose(full, 4 * rho ** np.abs(np.subtract.outer(range(6), range(6))), atol=1e-15)
    W = whiten(np.eye(6), rho, 1 / noise.innovation[1]).T
    np.testing.assert_allclose(W @ full @ W.T, np.eye(6), atol=1e-12)
    gone = np.array([True, True, True, True, False, False])
    assert not whiten(np.ones((3, 6)), rho, 1.0, gone)[:, 4:].any()
