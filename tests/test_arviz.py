"""Draws for ArviZ: each is a law of its own, and together they have the fit's intervals."""

import sys

import numpy as np
import pytest

import scalefit as sf
from scalefit.errors import FitError, ScalefitError

arviz = pytest.importorskip("arviz")
BASE = {"series": "base"}
SIZES = np.array([0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 72e9])


@pytest.fixture(scope="module")
def drawn(runs):
    fit = sf.fit(runs, where=BASE)
    return fit, fit.to_arviz(20_000, seed=1)


def test_every_draw_is_a_saturating_law(drawn):
    """k(N) = k_max/(1 + N0/N) of the same draw (Tan et al. 2025, equation 2)."""
    posterior = drawn[1].posterior
    by_law = posterior.k_max.values[..., None] / (1 + posterior.N0.values[..., None] / SIZES)
    np.testing.assert_allclose(posterior.k.values, by_law, rtol=1e-9)


def test_draws_have_the_intervals_of_the_fit(drawn):
    """20,000 draws know a 2.5 % quantile of a normal variable to .02 of its sd; three times that is allowed for."""
    fit, found = drawn
    for name, draws in (("k_max", found.posterior.k_max), ("k", found.posterior.k.sel(size="72B"))):
        known = fit.params["k_max"] if name == "k_max" else fit.k("72B")
        ends = np.quantile(draws.values, [0.025, 0.975])
        np.testing.assert_allclose(ends, [known.low, known.high], atol=0.06 * known.se + 0.02 * known.se)


def test_arviz_itself_reads_it(drawn):
    table = arviz.summary(drawn[1], kind="stats")
    assert {"k[72B]", "E[500M]", "k_max", "N0", "slope_scatter"} <= set(table.index)
    assert drawn[1].observed_data.loss.size == 732
    assert drawn[1].attrs["law"] == "saturating"


def test_a_law_of_points_is_drawn_from_its_covariance(runs):
    fit = sf.fit(runs, law="clock", where=BASE)
    draws = fit.to_arviz(20_000).posterior
    rate = np.log(draws.X_mid.values).std()
    at = fit.fit.bound.columns["X_mid"].start
    assert rate == pytest.approx(np.sqrt(fit.fit.covariance[at, at]), rel=0.03)
    assert draws.L0.dims == ("chain", "draw", "size")


def test_the_same_seed_gives_the_same_draws(runs):
    fit = sf.fit(runs, where=BASE)
    first, again, other = (fit.to_arviz(50, seed=seed).posterior.k_max.values for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()


def test_what_is_open_is_not_drawn():
    """A sigmoid through six points of a straight line: the data leave its end open."""
    frame = sf.load_example("one_run").frame
    fit = sf.fit(sf.as_runs(frame[frame["step"] <= 12]), law="sigmoid")
    if np.isfinite(fit.fit.covariance).all():
        pytest.fail("the sigmoid is told by these points; choose others")
    with pytest.raises(FitError, match="nothing to draw from"):
        fit.to_arviz()


def test_without_arviz_it_says_what_to_install(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz", None)
    with pytest.raises(ScalefitError, match=r"pip install .*\[arviz\]"):
        sf.fit(runs, where=BASE).to_arviz()
