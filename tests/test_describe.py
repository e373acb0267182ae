"""How well laws describe curves: what is left, whether it is white, and F tests, against closed forms and simulated tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scalefit as sf
from scalefit.errors import FitError
from scalefit.fitting.describe import LAWS, PLAIN, TESTS, describe_laws
from scalefit.fitting.f_test import judge_larger
from scalefit.fitting.fit import fit_data
from scalefit.fitting.left import left_by
from scalefit.fitting.whiteness import LAGS, judge_whiteness
from scalefit.numerics.ar1 import Noise, ar1_noise, autocorrelations
from scalefit.prediction.crossval import COMPARED, compare_laws
from scalefit.table.prepare import prepare

TABLE = {
    "base": (0.0119, 0.0108, 0.0096, 0.0092),
    "instruct": (0.0094, 0.0089, 0.0083, 0.0081),
}
"""rms of the loss about each of `LAWS`, found by an independent fit of the paper's curves in D."""
SIZES = np.array([1e9, 4e9, 2e10])


@pytest.fixture(scope="module")
def paper(runs):
    return {data.series: data for data in prepare(runs, "samples")}


def curves(mean, noise, seeds=1):
    """Return prepared curves of three sizes with a mean (3, T) and noise (seeds, 3, T)."""
    steps = np.arange(1, mean.shape[1] + 1)
    rows = [
        pd.DataFrame(
            {
                "run_id": f"{size:g}-{seed}",
                "series": "s",
                "params": size,
                "seed": seed,
                "step": steps,
                "samples": 500.0 * steps,
                "eval": "e",
                "loss": mean[at] + noise[seed, at],
            }
        )
        for seed in range(seeds)
        for at, size in enumerate(SIZES)
    ]
    return next(iter(prepare(sf.as_runs(pd.concat(rows, ignore_index=True)), "samples")))


def lines(count):
    """Return curves of the published law, k = .1 N/(N + 4e9)."""
    x = 500.0 * np.arange(1, count + 1)
    return 0.9 * (x / 500) ** -(0.1 * SIZES / (SIZES + 4e9))[:, None]


def noise_of(rng, rho, count, seeds=1, sigma=0.005):
    return ar1_noise(rng, Noise(rho, np.full(3, sigma)), (seeds, 3, count))


def test_autocorrelations_are_those_of_the_definition():
    z = np.array([[1.0, 2.0, -1.0, 0.5, 9.0], [1.0, -1.0, 1.0, -1.0, 1.0]])
    present = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], bool)
    found = autocorrelations(z, present, (1, 3, 4))
    np.testing.assert_allclose(found[0, :2], [(2 - 2 - 0.5) / 6.25, 0.5 / 6.25])
    assert np.isnan(found[0, 2])  # the fifth point is not there
    np.testing.assert_allclose(found[1], [-4 / 5, -2 / 5, 1 / 5])


@pytest.mark.parametrize("series", TABLE)
def test_laws_describe_the_paper_as_well_as_was_found_before(paper, series):
    found = describe_laws(paper[series])
    assert tuple(round(one.rms, 4) for one in found.laws) == TABLE[series]
    sizes = len(paper[series].sizes)
    assert [one.parameters for one in found.laws] == [sizes + 2, 2 * sizes, 2 * sizes + 2, 4 * sizes]
    assert [(one.smaller, one.larger) for one in found.tests] == list(TESTS)
    assert [one.size for one in found.of_each] == list(paper[series].sizes)
    assert tuple(one.law for one in found.laws) == LAWS


def test_what_is_left_is_of_the_merged_curves():
    rng = np.random.default_rng(3)
    data = curves(lines(30), noise_of(rng, 0.0, 30, 3), 3)
    assert data.merged
    left = left_by(fit_data("power", data, PLAIN))
    k, E = (np.array([left.fit.params[f"{name}[{size}]"].value for size in ("1B", "4B", "20B")]) for name in ("k", "E"))
    gap = data.loss - 10 ** (E[:, None] - k[:, None] * np.log10(data.resource[0]))
    np.testing.assert_allclose(left.curves, gap * np.sqrt(3), atol=1e-12)  # each point weighs as its three runs
    assert left.rms == pytest.approx(np.sqrt(np.mean(gap**2)))
    # Least squares leaves nothing along the law's own directions.
    np.testing.assert_allclose(left.values @ left.tangent, 0, atol=1e-6)


def test_f_is_the_f_of_two_sums_of_squares():
    rng = np.random.default_rng(4)
    data = curves(lines(30), noise_of(rng, 0.0, 30))
    small, large = (left_by(fit_data(law, data, PLAIN)) for law in ("saturating", "power"))
    found = judge_larger(small, large)
    squares = [np.sum((one.curves) ** 2) for one in (small, large)]
    f = (squares[0] - squares[1]) / (6 - 5) / (squares[1] / (90 - 6))
    assert (found.f, found.dof) == (pytest.approx(f), (1.0, 84.0))
    assert found.p == pytest.approx(stats.f.sf(f, 1, 84))
    white = judge_larger(small, replace_noise(large, Noise(0.0, np.full(3, 0.01))))
    # The two optima are not one, so the smaller law's directions lie only nearly in those of the larger.
    assert (white.f_correlated, white.p_correlated) == pytest.approx((found.f, found.p), rel=1e-3)
    assert white.dof_correlated == pytest.approx(found.dof, rel=1e-3)
    one = judge_larger(*(left_by(fit_data(law, data, PLAIN)) for law in ("power", "sigmoid")), 4e9)
    assert (one.size, one.dof) == (4e9, (2.0, 26.0))
    with pytest.raises(FitError, match="no F test"):
        judge_larger(large, small)


def replace_noise(left, noise):
    """Return what is left with noise that is given rather than estimated."""
    other = replace(left)
    other.__dict__["noise"] = noise
    return other


def test_a_size_is_asked_with_its_own_variance():
    rng = np.random.default_rng(5)
    noise = noise_of(rng, 0.0, 30)
    noise[:, 2] *= 20
    data = curves(lines(30), noise)
    fits = [left_by(fit_data(law, data, PLAIN)) for law in ("power", "sigmoid")]
    apart = [left_by(fit_data(law, data.keep(data.params == 1e9), PLAIN)) for law in ("power", "sigmoid")]
    assert judge_larger(*fits, 1e9).f == pytest.approx(judge_larger(*apart).f, rel=1e-3)


def test_correlated_noise_alone_does_not_make_a_larger_law_true():
    """At 5 %, noise correlated by .6: F as for white noise is wrong far more often, that which allows for it is not.

    Of 200 draws more than 23 are wrong by chance in 1 of 2000 where 5 % is right.
    """
    rng, plain, allowed = np.random.default_rng(6), 0, 0
    mean = lines(60)
    for noise in (noise_of(rng, 0.6, 60) for _ in range(200)):
        data = curves(mean, noise)
        found = judge_larger(*(left_by(fit_data(law, data, PLAIN)) for law in ("saturating", "power")))
        plain, allowed = plain + (found.p < 0.05), allowed + (found.p_correlated < 0.05)
    assert allowed <= 23 < 36 < plain


def test_white_noise_is_called_white_and_misfit_is_not():
    """At 5 % under the law more than 23 of 200 are wrong in 1 of 2000; a power law through sigmoids is told nearly always."""
    rng = np.random.default_rng(7)
    mean = lines(40)
    wrong = sum(
        judge_whiteness(left_by(fit_data("power", curves(mean, noise_of(rng, 0.0, 40)), PLAIN))).p <= 0.05
        for _ in range(200)
    )
    assert wrong <= 23
    x = 500.0 * np.arange(1, 41)
    bent = 0.9 - np.array([0.1, 0.2, 0.3])[:, None] / (1 + (4000 / x) ** 2)
    told = [judge_whiteness(left_by(fit_data("power", curves(bent, noise_of(rng, 0.0, 40)), PLAIN))) for _ in range(20)]
    assert all(one.p <= 0.002 and one.autocorrelation[0] > 0.3 for one in told)


def test_fitted_parameters_are_counted():
    """Residuals of n white points about p fitted directions have a mean lag-1 autocorrelation of tr(shift M)/tr M."""
    rng = np.random.default_rng(8)
    data = curves(lines(20), noise_of(rng, 0.0, 20)).keep(np.array([True, False, False]))
    left = left_by(fit_data("power", data, PLAIN))
    M = np.eye(20) - left.tangent @ left.tangent.T
    expected = np.trace(np.eye(20, k=1) @ M) / np.trace(M)
    found = judge_whiteness(left)
    # A ratio of means for the mean of a ratio, and 999 draws: .2/sqrt(999) = .006.
    assert found.if_white[0] == pytest.approx(expected, abs=0.02)
    assert found.if_white[0] < -0.08


def test_many_points_take_the_limit_of_long_curves(monkeypatch):
    rng = np.random.default_rng(9)
    left = left_by(fit_data("power", curves(lines(300), noise_of(rng, 0.03, 300)), PLAIN))
    drawn = judge_whiteness(left)
    monkeypatch.setattr("scalefit.fitting.whiteness.MANY", 900)
    limit = judge_whiteness(left)
    assert limit.autocorrelation == drawn.autocorrelation
    assert limit.p == pytest.approx(drawn.p, abs=0.06)


def test_short_curves_and_curves_without_noise_are_not_judged():
    rng = np.random.default_rng(10)
    short = judge_whiteness(left_by(fit_data("power", curves(lines(8), noise_of(rng, 0.0, 8)), PLAIN)))
    assert np.isfinite(short.autocorrelation[: LAGS.index(10)]).all()
    assert np.isnan(short.autocorrelation[-1])
    assert 0 < short.p <= 1
    exact = judge_whiteness(left_by(fit_data("power", curves(lines(30), np.zeros((1, 3, 30))), PLAIN)))
    assert np.isnan(exact.p)


def test_compare_shows_what_is_left_of_every_law_that_is_fitted():
    theta = {"k_max": 0.17, "N0": 8e9, "E0": 0.05, "E_log": 0.03}
    sizes, x = [5e8, 2e9, 7e9, 2e10, 7e10], np.geomspace(500, 5e4, 12)
    (small,) = prepare(sf.simulate("saturating-linear", theta, params=sizes, samples=x, sigma=0.004, seed=1), "samples")
    found = compare_laws(small, ("saturating-linear", "average", "clock-linear")).set_index("law")
    assert found.loc["average", ["left_lag1", "white_p"]].isna().all()
    for law in ("saturating-linear", "clock-linear"):
        white = judge_whiteness(left_by(fit_data(law, small, PLAIN)))
        assert tuple(found.loc[law, ["left_lag1", "white_p"]]) == (white.autocorrelation[0], white.p)
    assert {"clock-linear", "clock-affine", "clock-saturating"} < set(COMPARED)
