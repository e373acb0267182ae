"""The horizon law: crossings with their intervals, censoring, and the order of classes, on simulated truth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalefit as sf
from scalefit.errors import FitError, UsageError
from scalefit.numerics.censored import Censored, equal, interval, likelihood
from scalefit.studies.crossing import compute_to_target, crossing, rising
from scalefit.studies.horizon import study_horizon
from tests.conftest import results, scalefit

DEPTHS = (1, 2, 4, 8)


def simulated(gammas, rng, *, ends=np.inf, start=2.0, sigma=0.1, seeds=3, points=60, problems=500):
    """A runs table: accuracy rises along 1 - exp(-(x/scale)), reaching .9 at T = 10^start h^gamma; runs end at `ends`."""
    rows = []
    for name, gamma in gammas.items():
        for depth in DEPTHS:
            for seed in range(seeds):
                reached = 10 ** (start + gamma * np.log10(depth) + sigma * rng.standard_normal())
                x = np.linspace(0, min(2.5 * reached, ends), points)
                accuracy = 1 - 0.1 ** (x / reached)
                rows += [
                    {
                        "run_id": f"{name}-{depth}-{seed}",
                        "series": "s",
                        "params": 1e5,
                        "seed": seed,
                        "step": step,
                        "samples": at,
                        "eval": f"logic-{name}-{depth}",
                        "eval_size": problems,
                        "fragment": name,
                        "depth": depth,
                        "loss": 1 - rng.binomial(problems, rate) / problems,
                    }
                    for step, (at, rate) in enumerate(zip(x, accuracy, strict=True))
                ]
    return sf.as_runs(pd.DataFrame(rows))


def line(rng, slope, sigma, cut=np.inf, seeds=3):
    """Observations of 3 + slope log10 h of which those above `cut` are censored."""
    x = np.repeat(np.log10(DEPTHS), seeds)
    y = 3 + slope * x + sigma * rng.standard_normal(len(x))
    return Censored(np.stack([np.ones_like(x), x], 1), np.minimum(y, cut), (y > cut).astype(int))


def test_without_censoring_it_is_the_t_interval():
    """Against the textbook's least squares."""
    data = line(np.random.default_rng(0), 1.5, 0.1)
    beta, squares, *_ = np.linalg.lstsq(data.design, data.value, rcond=None)
    se = np.sqrt(squares[0] / data.dof * np.linalg.inv(data.design.T @ data.design)[1, 1])
    t = 2.2281388519649385  # quantile .975 of Student's t with 10 degrees of freedom, from tables
    assert data.dof == 10
    found = interval(data, np.array([0.0, 1.0]))
    assert found == pytest.approx((beta[1], beta[1] - t * se, beta[1] + t * se), abs=1e-4)


def test_likelihood_against_a_general_optimiser():
    """The Tobit likelihood written out, maximised by scipy from many starts."""
    from scipy.optimize import minimize
    from scipy.stats import norm

    data = line(np.random.default_rng(1), 2.0, 0.15, cut=4.4)
    assert 0 < (data.side == 1).sum() < 6

    def cost(w):
        mean, sigma = data.design @ w[:2], np.exp(w[2])
        known = data.side == 0
        return (
            -norm.logpdf(data.value[known], mean[known], sigma).sum()
            - norm.logsf(data.value[~known], mean[~known], sigma).sum()
        )

    best = min(
        (
            minimize(cost, [3, g, -2], method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-8, "fatol": 1e-10})
            for g in (1, 2, 3)
        ),
        key=lambda r: r.fun,
    )
    top, found = likelihood(data)
    np.testing.assert_allclose(found[:2] / found[2], best.x[:2], atol=1e-3)
    assert 1 / found[2] == pytest.approx(np.exp(best.x[2]), rel=1e-3)
    assert -best.fun == pytest.approx(top - 0.5 * data.known * np.log(2 * np.pi), abs=1e-4)


@pytest.mark.slow
def test_gamma_is_recovered_and_its_interval_covers():
    """300 simulations with about a fifth censored: mean within .05, 95 % intervals cover 92 to 98 % (false alarm 2 %)."""
    rng, estimates, covered, censored = np.random.default_rng(2), [], 0, 0
    for _ in range(300):
        data = line(rng, 2.0, 0.12, cut=4.6)
        value, low, high = interval(data, np.array([0.0, 1.0]))
        estimates.append(value)
        censored += (data.side == 1).sum() / len(data.side) / 300
        covered += (low is None or low <= 2.0) and (high is None or high >= 2.0)
    assert 0.15 < censored < 0.3
    assert np.mean(estimates) == pytest.approx(2.0, abs=0.05)
    assert 0.92 <= covered / 300 <= 0.98


def test_equal_slopes_are_rejected_as_often_as_said():
    """400 simulations of two equal classes, with censoring: 5 % rejected, within 2.5 to 8 % (false alarm 1 %)."""
    rng, rejected = np.random.default_rng(3), 0
    for _ in range(400):
        one, two = line(rng, 1.5, 0.1, cut=4.3), line(rng, 1.5, 0.1, cut=4.3)
        zero = np.zeros_like(one.design)
        both = Censored(
            np.block([[one.design, zero], [zero, two.design]]),
            np.concatenate([one.value, two.value]),
            np.concatenate([one.side, two.side]),
        )
        rejected += equal(both, np.array([[0.0, 1.0, 0.0, -1.0]])) < 0.05
    assert 0.025 <= rejected / 400 <= 0.08


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_rising_curve_is_the_nearest_one(values):
    """Against the min-max formula of isotonic regression."""
    y = np.array(values)
    n = len(y)
    mean = [[y[a : b + 1].mean() if b >= a else np.nan for b in range(n)] for a in range(n)]
    wanted = [max(min(mean[a][b] for b in range(at, n)) for a in range(at + 1)) for at in range(n)]
    np.testing.assert_allclose(rising(y), wanted, atol=1e-9)


def test_the_crossing_is_where_it_was_put_and_its_interval_covers():
    """200 noisy curves that cross .9 at 1000: median within 3 %, 95 % intervals cover at least 90 %."""
    rng, found, covered = np.random.default_rng(4), [], 0
    x = np.linspace(0, 2500, 60)
    for _ in range(200):
        accuracy = rng.binomial(500, 1 - 0.1 ** (x / 1000)) / 500
        at = crossing(x, accuracy, 500)
        found.append(at["value"])
        covered += at["low"] <= 1000 and (at["high"] is None or at["high"] >= 1000)
    assert np.median(found) == pytest.approx(1000, rel=0.03)
    assert covered / 200 >= 0.9


def test_any_table_can_be_asked(runs):
    """The paper's curves: 7B base passes a pass rate of .2 within its run, 0.5B does not."""
    found = compute_to_target(runs, target=0.2, x="samples", where={"series": "base"}).set_index("params")
    assert found.loc[0.5e9, "status"] == "censored"
    assert found.loc[0.5e9, "value"] == runs.frame["samples"].max()
    seven = runs.frame[(runs.frame["params"] == 7e9) & (runs.frame["series"] == "base")].sort_values("samples")
    low, high = found.loc[7e9, ["low", "high"]]
    assert seven["samples"].min() <= low <= found.loc[7e9, "value"] <= high <= seven["samples"].max()
    assert (1 - np.interp(found.loc[7e9, "value"], seven["samples"], seven["loss"])) == pytest.approx(0.2, abs=0.03)


def test_runs_that_never_reach_it_or_begin_above_it_are_kept():
    x = np.linspace(0, 1000, 21)
    assert crossing(x, 0.5 + 0.3 * x / 1000, 500)["status"] == "censored"
    above = crossing(x, np.full(21, 0.95), 500)
    assert (above["status"], above["value"], above["high"]) == ("from the start", 50.0, 50.0)
    # Between the start and the first evaluation anything is possible, whatever a straight line says.
    early = crossing(x, np.concatenate([[0.3], np.full(20, 0.97)]), 500)
    assert (early["status"], early["low"], early["high"]) == ("from the start", 0.0, 50.0)
    late = crossing(x, np.concatenate([[0.3, 0.4, 0.5], np.full(18, 0.99)]), 10**6)
    assert (late["status"], late["low"], late["high"]) == ("reached", 100.0, 150.0)
    # A run that learns and then collapses has learnt.
    accuracy = np.concatenate([np.linspace(0, 1, 12), np.zeros(9)])
    found = crossing(x, accuracy, 500)
    assert (found["status"], found["value"]) == ("reached", pytest.approx(495, rel=0.05))


def test_three_classes_in_order():
    """The published exponents, runs cut at 10^4.2: recovered within .05 where most is seen, and the order shown."""
    gammas = {"implication": 1.04, "disjunction": 1.8, "quantifiers": 2.6}
    runs = simulated(gammas, np.random.default_rng(5), ends=10**4.2, sigma=0.04, seeds=4)
    (found,) = study_horizon(runs)
    for row in found.classes:
        assert row["low"] <= gammas[row["class"]] <= row["high"], row
        assert row["gamma"] == pytest.approx(gammas[row["class"]], abs=0.05)
    assert found.p_equal < 1e-6
    assert found.verdict == "gamma rises from implication to disjunction to quantifiers."
    assert sum(row["status"] == "censored" for row in found.crossings) >= 4
    (other,) = study_horizon(runs, order=["quantifiers", "disjunction", "implication"])
    assert "does not rise in this order" in other.verdict


def test_all_censored_is_an_answer(tmp_path):
    runs = simulated({"a": 1.0, "b": 2.0}, np.random.default_rng(6), ends=20)
    (found,) = study_horizon(runs)
    assert found.verdict == "the data do not say."
    assert len(found.warnings) == 2
    assert all("no crossing of 0.9 is seen" in text for text in found.warnings)
    assert all(row["gamma"] is None for row in found.classes)
    sf.write_runs(runs, tmp_path / "runs.parquet")
    shown = scalefit("horizon", "runs.parquet", cwd=tmp_path)
    assert (shown.returncode, "not determined" in shown.stdout) == (0, True)
    assert "nan" not in shown.stdout.lower()
    results(scalefit("horizon", "runs.parquet", "--json", cwd=tmp_path))


def test_where_deeper_runs_never_arrive_the_exponent_has_no_upper_limit():
    runs = simulated({"a": 3.0}, np.random.default_rng(7), ends=600)
    (found,) = study_horizon(runs)
    (row,) = found.classes
    assert {one["depth"] for one in found.crossings if one["status"] == "reached"} <= {1.0, 2.0}
    assert row["low"] is not None
    assert row["low"] <= 3.0 <= (row["high"] or np.inf)
    assert (row["gamma"] is None) == (row["high"] is None)


def test_a_class_that_never_arrives_is_named_in_the_answer():
    runs = simulated({"a": 1.0, "b": 1.0}, np.random.default_rng(9))
    frame = runs.frame.assign(loss=np.where(runs.frame["fragment"] == "b", 0.5, runs.frame["loss"]))
    (found,) = study_horizon(sf.as_runs(frame))
    assert "of b the data do not say" in found.verdict


def test_questions_that_make_no_sense(tmp_path, runs):
    with pytest.raises(FitError, match="needs a column 'depth'"):
        study_horizon(runs)
    table = simulated({"a": 1.0}, np.random.default_rng(8), seeds=1)
    with pytest.raises(UsageError, match="no class"):
        study_horizon(table, order=["A"])
    with pytest.raises(UsageError, match="an accuracy between 0 and 1"):
        study_horizon(table, target=90)
    with pytest.raises(UsageError, match="no flops"):
        study_horizon(table, x="flops")
