"""The end of a run: shapes by Bayes' rule against scipy, kriging by hand, what siblings teach, and how often bands hold."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import scalefit as sf
from benchmarks import forecast_prior
from scalefit.errors import FitError, UsageError
from scalefit.prediction.expected import expect
from scalefit.prediction.forecast import forecast_curve
from scalefit.prediction.outlook import ALONE, FIRM, Outlook, Siblings, learn, look
from scalefit.prediction.prior import HORIZONS, from_record, shipped
from scalefit.prediction.rolling import Curve, trend_of
from scalefit.prediction.shapes import (
    COARSE,
    DEPARTURES,
    FLOORS,
    MOST,
    POWERS,
    Grid,
    Likely,
    Thinned,
    tell,
    thin,
    weigh_shapes,
)

X = 512.0 * np.arange(1, 81)


def sigmoid(x, floor=0.38, fall=0.45, middle=6000, steep=1.2):
    return floor + fall / (1 + (x / middle) ** steep)


def noisy(clean, sigma, seed):
    return np.clip(clean + sigma * np.random.default_rng(seed).standard_normal(len(clean)), 0, 1)


def covariance_of(run, departure):
    apart = np.abs(run.log_x[:, None] - run.log_x)
    return np.diag(1 / run.counts) + departure.ratio**2 * np.exp(-apart / departure.length)


def test_eighty_clean_points_of_a_sigmoid_are_worth_eighty_clean_points():
    """At four times the range, where a fit of the form itself is within .006; the band is narrow, and holds in all but one of ten."""
    missed, held, wide = [], [], []
    truth = sigmoid(4 * X[-1] * np.linspace(0.9, 1, 33)).mean()
    for seed in range(10):
        end = forecast_curve(Curve("r", X, noisy(sigmoid(X), 0.005, seed)), 4 * X[-1])
        missed.append(end["loss"] - truth)
        held.append(end["low95"] <= truth <= end["high95"])
        wide.append(end["high95"] - end["low95"])
    assert np.sqrt(np.mean(np.square(missed))) < 0.012
    assert sum(held) >= 9
    assert np.median(wide) < 0.1


def test_shapes_are_sigmoids_and_power_laws():
    u = np.array([0.5, 1.0, 3.0])
    for power, exponent in enumerate(POWERS):
        grid = Grid(np.array([[-0.7, 0.3], [-4.5, 0.3]]), np.array([power, power]))
        bend = 1 + (u / np.exp(-0.7)) ** np.exp(0.3)
        np.testing.assert_allclose(grid.curves(np.log(u))[0], (bend / bend[1]) ** -exponent)
        np.testing.assert_allclose(grid.curves(np.log(u))[1], u ** (-np.exp(0.3) * exponent), rtol=0.01)
    assert len(COARSE.numbers) == 24 * 8 * 3


@pytest.mark.parametrize("departure", DEPARTURES, ids=str)
def test_floor_and_fall_are_integrated_as_normal_regression_says(departure):
    """Posterior and evidence, given the noise, against the multivariate normal."""
    x = np.geomspace(100, 2000, 15)
    run = thin(x, noisy(0.3 + 0.5 * (x / 100) ** -0.4, 0.01, 0))
    grid = Grid(COARSE.numbers[::97], COARSE.power[::97])
    seen = grid.curves(run.log_x)
    told = tell(run, seen, departure)
    V, late = covariance_of(run, departure), run.late
    rest = []
    for kind, (centre, width) in enumerate(FLOORS * late):
        P0 = np.array([[1 / width**2 + 1 / late**2, 1 / late**2], [1 / late**2, 1 / late**2]])
        m0 = np.array([centre, late - centre])
        for shape in range(len(seen)):
            design, noise = np.stack([np.ones(15), seen[shape]], 1), told.noise[shape]
            white = np.linalg.solve(V, design)
            C = np.linalg.inv(design.T @ white / noise + P0)
            mean = C @ (white.T @ run.loss / noise + P0 @ m0)
            np.testing.assert_allclose(told.mean[:, kind, shape], mean, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(told.spread[:, kind, shape], [C[0, 0], C[0, 1], C[1, 1]], rtol=1e-6, atol=1e-12)
            plain, squares = np.linalg.lstsq(design, run.loss)[0], 0.0
            root = np.linalg.inv(np.linalg.cholesky(V))
            if np.linalg.matrix_rank(root @ design) == 2:
                plain = np.linalg.lstsq(root @ design, root @ run.loss)[0]
            squares = np.sum((root @ (run.loss - design @ plain)) ** 2)
            cover = noise * V + design @ np.linalg.inv(P0) @ design.T
            log = stats.multivariate_normal.logpdf(run.loss, design @ m0, cover)
            rest.append(told.log[kind, shape] - log - 0.5 * squares / noise + 0.5 * np.log(noise))
    # All the same constant: what is compared is right.
    np.testing.assert_allclose(rest, rest[0], rtol=1e-6)


def test_what_is_left_of_a_run_at_its_end_is_carried_on():
    """One shape and one departure: mean and variance of the joint normal, given the points."""
    x = np.geomspace(100, 2000, 12)
    run = thin(x, noisy(0.3 + 0.5 * (x / 100) ** -0.4, 0.02, 1))
    at, ahead = 3, np.log(np.array([1.1, 4.0]))
    grid = Grid(COARSE.numbers[300:301], COARSE.power[300:301])
    told = tuple(tell(run, grid.curves(run.log_x), one) for one in DEPARTURES)
    share = np.zeros((len(DEPARTURES), len(FLOORS), 1))
    share[at, 0] = 1
    mean, se = Likely(run, grid, share, told).ahead(ahead)
    one, departure = told[at], DEPARTURES[at]
    design, later = (np.stack([np.ones(len(u)), grid.curves(u)[0]], 1) for u in (run.log_x, ahead))
    V = covariance_of(run, departure)
    cross = departure.ratio**2 * np.exp(-np.abs(run.log_x[:, None] - ahead) / departure.length)
    carried = np.linalg.solve(V, cross)
    move = later - carried.T @ design
    C = np.array([[one.spread[0, 0, 0], one.spread[1, 0, 0]], [one.spread[1, 0, 0], one.spread[2, 0, 0]]])
    np.testing.assert_allclose(mean, later @ one.mean[:, 0, 0] + carried.T @ (run.loss - design @ one.mean[:, 0, 0]))
    unseen = one.noise[0] * (departure.ratio**2 - (cross * carried).sum(0))
    np.testing.assert_allclose(se**2, np.diag(move @ C @ move.T) + unseen, rtol=1e-6)


def test_long_runs_are_thinned_and_keep_their_mean():
    x = np.arange(1.0, 501)
    found = thin(x, np.log(x))
    assert len(found.loss) <= MOST
    assert found.counts.sum() == 500
    assert (np.diff(found.counts) >= -1).all()
    np.testing.assert_allclose(found.loss @ found.counts / 500, np.log(x).mean())
    np.testing.assert_allclose(found.log_x, found.loss - np.log(500))
    assert isinstance(thin(x[:48], x[:48] / 500), Thinned)
    np.testing.assert_array_equal(thin(x[:48], x[:48] / 500).counts, 1)


def test_a_power_law_goes_on_as_it_was():
    curve = Curve("r", X[:20], 0.8 * (X[:20] / 512) ** -0.2)
    found = trend_of(curve, np.array([2 * X[19]]))
    level = curve.loss[-8:].mean()
    since = np.exp(np.log(X[12:20]).mean())
    on, along = level * (2 * X[19] / since) ** -0.2, 0.8 * (2 * X[19] / 512) ** -0.2
    assert found.level == pytest.approx(level)
    assert found.change[0] == pytest.approx(0.75 * on + 0.25 * along - level)
    assert found.points == 8
    # White noise: the second differences tell it within four standard errors (30 %).
    level = trend_of(Curve("r", X, noisy(np.full(80, 0.5), 0.02, 3)), np.array([4 * X[-1]]))
    assert level.sigma == pytest.approx(0.02, rel=0.5)
    assert abs(level.change[0]) < 0.02


@settings(deadline=None, max_examples=15)
@given(
    start=st.floats(0.05, 1),
    floor=st.floats(0, 0.95),
    sigma=st.floats(0, 0.05),
    scale=st.sampled_from([1e-6, 1.0, 1e18]),
    count=st.integers(6, 60),
    reach=st.floats(1.05, 20),
)
def test_bands_are_nested_and_inside_what_a_loss_can_be_in_any_unit(start, floor, sigma, scale, count, reach):
    x = np.arange(1.0, count + 1)
    loss = noisy(start * (floor + (1 - floor) / np.sqrt(x)), sigma, count)
    end = forecast_curve(Curve("r", scale * x, loss), reach * scale * count)
    assert 0 <= end["low95"] <= end["low50"] <= end["loss"] <= end["high50"] <= end["high95"] <= 1
    plain = forecast_curve(Curve("r", x, loss), reach * count)
    assert {name: end[name] for name in end if name != "x"} == pytest.approx(
        {name: plain[name] for name in plain if name != "x"}, abs=1e-7
    )


def test_an_end_that_is_nearly_there_is_nearly_known():
    """Of 84 evaluations the last tenth are eight, half of them seen."""
    curve = Curve("r", X, noisy(sigmoid(X), 0.01, 5))
    near, far = (forecast_curve(curve, times * X[-1]) for times in (84 / 80, 2.0))
    assert (near["points"], far["points"]) == (8, 16)
    assert near["se"] < 0.6 * far["se"]
    outlook = look(curve, 84 * 512, shipped())
    said = outlook.ahead(512 * np.arange(81.0, 85))
    assert near["loss"] == pytest.approx((curve.loss[-4:].sum() + said.mean.sum()) / 8)
    noise = (shipped().noise * trend_of(curve, X[-1:]).sigma) ** 2 / 4
    assert near["se"] == pytest.approx(0.5 * np.sqrt(said.se.mean() ** 2 + noise))
    assert near["high95"] - near["loss"] == pytest.approx(stats.t.ppf(0.975, outlook.freedom) * near["se"])


def flattening(seed, sigma=0.01):
    """A power law that stops falling at half of its 80 evaluations, which no run can know by then."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.6, 0.9)
    return noisy(start * (np.minimum(X, X[39]) / X[0]) ** -0.12, sigma, seed)


def test_siblings_teach_that_runs_of_this_table_stop_falling():
    runs = [Curve(str(seed), X, flattening(seed)) for seed in range(8)]
    errors = []
    for run in runs[:4]:
        siblings = Siblings([one for one in runs if one is not run])
        seen = run.first(40)
        alone, told = (look(seen, X[-1], shipped(), given) for given in (Siblings(), siblings))
        errors.append([one.end(X[-1])[0] - run.loss[-8:].mean() for one in (alone, told)])
        assert told.lessons.kept < -0.4
        assert told.freedom == pytest.approx(alone.freedom + 7)
    alone, told = np.abs(errors).mean(0)
    assert told < 0.5 * alone


def test_the_share_kept_is_the_mean_of_normal_siblings():
    """Normal between tables and between runs: the posterior by hand, from the rows that each sibling gives."""
    from scalefit.prediction.outlook import _of

    prior = replace(shipped(), wander=0.0)
    runs = [Curve(str(seed), X, flattening(seed)) for seed in range(4)]
    seen, until = runs[0].first(40), float(X[-1])
    found = learn(seen, until, prior, Siblings(runs[1:]))
    between, within = (float(prior.at(name, np.log(until / seen.x[-1]))) for name in ("between", "within"))
    change, missed, noise, near = np.array([_of(one, seen, until, prior) for one in runs[1:]]).T
    np.testing.assert_allclose(near, 1)
    variance = noise**2 + (within * change) ** 2
    wanted = 1 / (1 / between**2 + (change**2 / variance).sum())
    assert found.variance == pytest.approx(wanted)
    assert found.kept == pytest.approx(wanted * (change * missed / variance).sum())
    left = np.maximum((missed - found.kept * change) ** 2 - noise**2, 0) / variance
    assert found.within == pytest.approx((FIRM + left.sum()) / (FIRM + 3))
    assert found.runs == 3


def test_siblings_that_have_not_been_there_teach_nothing():
    short = Curve("s", X[:7], flattening(1)[:7])
    assert learn(Curve("r", X[:40], flattening(0)[:40]), X[-1], shipped(), Siblings([short])) == ALONE


def test_siblings_of_another_size_are_met_by_what_a_sample_costs_them():
    """In FLOPs a run of twice the size is as far at twice the FLOPs."""
    run, twice = Curve("r", X[:40], flattening(0)[:40]), Curve("s", 2 * X, flattening(1), unit=2.0)
    same = learn(run, X[-1], shipped(), Siblings([Curve("s", X, flattening(1))]))
    assert vars(learn(run, X[-1], shipped(), Siblings([twice]))) == pytest.approx(vars(same))
    assert same.runs == 1


def test_bands_of_the_end_hold_as_often_as_they_say():
    """Sixty runs drawn anew after half of their way; with .95 the chance of fewer than 52 is 6e-4, of fewer than 18 with .5 3e-4."""
    rng = np.random.default_rng(20)
    held = []
    for seed in range(60):
        start = rng.uniform(0.5, 1)
        floor = start * rng.uniform(0.3, 0.9)
        middle, steep = X[-1] * np.exp(rng.normal(-2, 0.6)), np.exp(rng.normal(0.35, 0.25))
        loss = noisy(
            sigmoid(X, floor, start - floor, middle, steep), np.exp(rng.uniform(np.log(0.005), np.log(0.02))), seed
        )
        end = forecast_curve(Curve("r", X[:40], loss[:40]), X[-1])
        held.append([end[f"low{p}"] <= loss[-8:].mean() <= end[f"high{p}"] for p in (95, 50)])
    often, half = np.sum(held, 0)
    assert often >= 52
    assert half >= 18


def test_a_forecast_is_of_the_end_and_of_the_curve_there():
    runs = sf.as_runs(
        pd.DataFrame(
            {"run_id": "r", "series": "s", "params": 1e9, "seed": 0, "step": np.arange(80), "eval": "e"}
        ).assign(samples=X, loss=noisy(sigmoid(X), 0.01, 7))
    )
    said = sf.forecast(runs, "r", until=2 * X[-1], loss=0.45, min_gain=0.001)
    outlook = Outlook(Curve("r", X, noisy(sigmoid(X), 0.01, 7)), shipped(), ALONE)
    grid = np.array([point["samples"] for point in said.curve])
    assert (len(grid), grid[0]) == (25, pytest.approx(X[-1]))
    np.testing.assert_allclose([point["loss"] for point in said.curve], outlook.ahead(grid).mean)
    wide, sigma = stats.t.ppf(0.975, outlook.freedom), outlook.likely.sigma
    se = outlook.ahead(grid).se
    np.testing.assert_allclose([one["high95"] for one in said.curve], outlook.ahead(grid).mean + wide * se)
    np.testing.assert_allclose(
        [one["eval_low95"] for one in said.curve], outlook.ahead(grid).mean - wide * np.hypot(se, sigma)
    )
    assert said.end["samples"] == 2 * X[-1]
    assert said.end["points"] == 16
    assert set(said.end) == {"samples", "points", "loss", "low50", "high50", "low95", "high95", "se"}
    gain = outlook.ahead(np.array([X[-1], 1.1 * X[-1]])).mean
    assert said.stop["gain_now"] == pytest.approx(gain[0] - gain[1])
    assert sum(said.weights.values()) == pytest.approx(1)
    assert said.calibrated_on == f"as wrong as such forecasts were of {len(shipped().families)} families of curves"


def test_the_shipped_prior_is_what_the_script_writes():
    """The record survives; families are those of the committed tables and the drawn, without collapses; spreads are spreads."""
    prior = shipped()
    assert (
        from_record(json.loads(json.dumps(forecast_prior.record(prior), default=np.ndarray.tolist))).kept.tolist()
        == prior.kept.tolist()
    )
    committed = forecast_prior.curves_by_family(forecast_prior.tables())
    assert {*prior.families} == {*committed, *forecast_prior.DRAWN} - {forecast_prior.COLLAPSES}
    assert (np.linalg.eigvalsh(prior.population.covariance) > 0).all()
    for name in ("powers", "departures", "floors"):
        assert getattr(prior.population, name).sum() == pytest.approx(1, abs=1e-3)
    for name in ("kept", "between", "within", "shapes_off", "off"):
        assert len(getattr(prior, name)) == len(HORIZONS)
    assert prior.at("kept", np.array([0.0, 9.0])) == pytest.approx(prior.kept[[0, -1]])
    assert Path(forecast_prior.OUT).stat().st_size < 200_000


def test_a_family_is_described_by_its_own_curves():
    """Sigmoids of one middle and steepness, which a later middle with a higher power resembles; power laws keep to themselves."""
    rng = np.random.default_rng(4)
    curves = [Curve(str(at), X, noisy(sigmoid(X, 0.3, 0.5, X[-1] * np.exp(-2), 1.5), 0.01, at)) for at in range(20)]
    found = forecast_prior.population(curves)
    assert found.mean[0] == pytest.approx(-2, abs=1)
    assert found.mean[1] == pytest.approx(np.log(1.5), abs=0.5)
    kept, within, *_ = forecast_prior.fading(
        [Curve(str(at), X, noisy(rng.uniform(0.5, 0.9) * (X / 512) ** -0.1, 0.003, at)) for at in range(20)]
    )
    np.testing.assert_allclose(kept[1:4], 1, atol=0.12)
    assert within[2] < 0.25
    assert weigh_shapes(thin(X, curves[0].loss), found).share.sum() == pytest.approx(1)


def test_a_run_by_itself_is_forecast_as_in_a_table_of_its_own():
    """Without a table and with one: the same end, level and warnings of none."""
    rng = np.random.default_rng(3)
    loss = 0.3 + 0.4 * (1 + np.arange(1, 41) / 5) ** -0.5 + 0.005 * rng.standard_normal(40)
    frame = pd.DataFrame({"run_id": "r", "series": "s", "params": 1e9, "step": np.arange(1, 41), "eval": "e"})
    frame = frame.assign(samples=64.0 * frame["step"], loss=loss)
    table = sf.forecast(frame, "r", until=5000)
    lone = expect(Curve("r", frame["samples"].to_numpy(), loss), "samples", 5000.0)
    assert lone.end == pytest.approx(table.end)
    assert lone.now == pytest.approx(table.now)
    assert lone.points == table.points
    at = [point["samples"] for point in lone.curve]
    said = np.interp(at, [point["samples"] for point in table.curve], [point["loss"] for point in table.curve])
    np.testing.assert_allclose([point["loss"] for point in lone.curve], said, atol=2e-4)


def run_at(samples, **columns):
    """Return a run of a power law that was evaluated there."""
    step = np.arange(len(samples))
    same = {"run_id": "r", "series": "s", "params": 1e9, "eval": "e", "loss": 0.3 + 0.4 * (1.0 + step) ** -0.5}
    return pd.DataFrame({"step": step, "samples": samples, **same, **columns})


def test_two_evaluations_at_one_amount_are_one():
    """Their mean; a run that was evaluated twice is forecast as if once, and a run that stands still is not."""
    once = run_at(64.0 * np.arange(1, 21))
    twice = pd.concat(
        [once.assign(loss=once["loss"] + shift, step=2 * once["step"] + at) for at, shift in enumerate((0.01, -0.01))]
    )
    said, again = sf.forecast(once, "r"), sf.forecast(twice, "r")
    assert again.end == {**said.end, "loss": pytest.approx(said.end["loss"])} | {
        name: pytest.approx(said.end[name]) for name in ("low50", "high50", "low95", "high95", "se")
    }
    with pytest.raises(FitError, match="has 1 evaluations after its start"):
        sf.forecast(pd.concat([run_at(np.full(20, 64.0)), once.assign(run_id="other")]), "r", x="samples")


def test_a_sibling_that_stands_still_tells_nothing():
    runs = pd.concat([run_at(64.0 * np.arange(1, 21)), run_at(np.full(40, 1e4)).assign(run_id="other")])
    assert sf.forecast(runs, "r").end == sf.forecast(runs[runs["run_id"] == "r"], "r").end


@pytest.mark.parametrize("per", [29.1 * 1280, 1e12])
def test_more_than_a_forecast_reaches_is_not_asked_for(per):
    runs = run_at(64.0 * np.arange(1, 21))
    with pytest.raises(UsageError, match=r"--per .* nothing supports a forecast beyond 30 times"):
        sf.forecast(runs, "r", min_gain=0.01, per=per)
    assert sf.forecast(runs, "r", min_gain=0.01, per=28.9 * 1280).stop is not None
