"""The default prediction: closed laws, the trend of the sizes, and bands as wide as sizes left out were missed."""

import numpy as np
import pytest
from scipy import special, stats

import scalefit as sf
from scalefit.errors import FitError
from scalefit.fitting.fit import fit_data
from scalefit.fitting.run_lines import fit_run_lines
from scalefit.fitting.specification import Specification
from scalefit.laws import ANCHORED, AVERAGED, get_law
from scalefit.prediction.ensemble import Anchor, _hold_out, _occasions, average_offsets, first_points
from scalefit.prediction.members import make_member
from scalefit.prediction.misses import Miss, Misses, miss_of, way_to
from scalefit.prediction.predict import predict_size
from scalefit.prediction.started import Started, on_one_clock
from scalefit.prediction.trend import Trend, from_odds, odds, shares
from scalefit.table.prepare import prepare
from tests.conftest import results, scalefit

FIVE = np.array([1e9, 3e9, 7e9, 2e10, 5e10])
X12 = np.geomspace(1000, 50_000, 12)
FORMS = (get_law("saturating-linear"), get_law("saturating-affine"))
CLOCKED = {"X_mid": 6e3, "B": 1.2, "g_max": 0.5, "N_g": 1.1e10, "S0": 0.99, "S_g": -0.6}
FAR = np.array([[2000.0, 40_000.0]])


def drawn(seeds=1):
    table = sf.simulate(
        "saturating-linear",
        {"k_max": 0.17, "N0": 8e9, "E0": 0.05, "E_log": 0.03},
        params=FIVE,
        samples=X12,
        sigma=0.004,
        rho=0.3,
        seeds=seeds,
        slope_sd=0.05,
        level_sd=0.004,
        seed=2,
    )
    (data,) = prepare(table, "samples")
    return data


@pytest.fixture(scope="module")
def small():
    return drawn()


@pytest.fixture(scope="module")
def average(small):
    return average_offsets(small, FORMS)


def voices(data, lines, fitted):
    part, own = data.keep(fitted(data.params)), lines.keep(fitted(lines.params))
    return [make_member(form, part, own) for form in FORMS], Trend(part, own)


def lines_of(data):
    return fit_run_lines(FORMS[0], data.each, Specification())


# The trend.


def test_between_sizes_the_trend_is_a_straight_line_in_log_size():
    sizes = np.array([1e9, 4e9, 1.6e10])
    np.testing.assert_allclose(shares(sizes, 2e9), [0.5, 0.5, 0], atol=1e-12)
    np.testing.assert_allclose(shares(sizes, 4e9 * 4**0.25), [0, 0.75, 0.25], atol=1e-12)
    for row, size in enumerate(sizes):
        np.testing.assert_allclose(shares(sizes, size), np.eye(3)[row], atol=1e-12)


@pytest.mark.parametrize("way", [1, -1])
def test_beyond_the_sizes_it_goes_half_way_to_the_line_through_the_nearest_three(way):
    """Against numpy's straight line; the fourth size says nothing."""
    sizes = np.array([1e9, 3e9, 1e10, 5e10])
    target = 2e11 if way > 0 else 2e8
    near = sizes[1:] if way > 0 else sizes[:3]
    value = np.array([0.3, -0.2, 0.5, 1.1])
    line = np.polyval(np.polyfit(np.log(near), value[1:] if way > 0 else value[:3], 1), np.log(target))
    nearest = value[-1] if way > 0 else value[0]
    found = shares(sizes, target)
    assert found @ value == pytest.approx(0.5 * line + 0.5 * nearest)
    assert found.sum() == pytest.approx(1)
    assert found[0 if way > 0 else -1] == 0


def test_log_odds_of_a_log_loss():
    loss = np.array([0.01, 0.3, 0.9])
    np.testing.assert_allclose(odds(np.log10(loss)), special.logit(loss))
    np.testing.assert_allclose(from_odds(odds(np.log10(loss))), np.log10(loss))
    assert odds(np.array([0.2])) == odds(np.array([-1e-3]))


def test_the_trend_continues_the_sizes_own_lines(small):
    """Its curve and its variance, by hand from the fitted power laws; the draws have both."""
    trend = Trend(small, lines_of(small))
    part, own = shares(FIVE, 1e11), fit_data("power", small)
    logs = np.stack([own.log_curve(np.full(2, s), FAR)[0] for s in FIVE])
    found = trend.mean_curve(1e11, FAR)
    np.testing.assert_allclose(10**found.centre, special.expit(part @ special.logit(10**logs)), rtol=2e-3)
    x = np.log10(FAR[0])
    cells = [trend.found.curve(size, x) for size in FIVE]
    step = 1e-5
    by = [
        (from_odds(part @ odds(logs + step * np.eye(5)[i][:, None])) - from_odds(part @ odds(logs))) / step
        for i in range(5)
    ]
    variance = sum((by[i] * cells[i].sd) ** 2 for i in range(5))
    np.testing.assert_allclose(found.sd**2, variance, rtol=0.05)
    many = trend.draw(np.full(2, 1e11), FAR, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(many.std(0), found.spread, rtol=0.08)
    assert (np.abs(many.mean(0) - found.centre) < 0.1 * found.spread).all()


def test_the_trend_sees_compute_per_parameter():
    """FLOPs of 6 N a sample: the same curves, so the same prediction at the same samples."""
    theta = {"k_max": 0.17, "N0": 8e9, "E0": 0.05, "E_log": 0.03}
    table = sf.simulate("saturating-linear", theta, params=FIVE, samples=X12, sigma=0.002, seed=1).frame
    table["flops"] = 6 * table["params"] * table["samples"]
    by = {}
    for x in ("samples", "flops"):
        (data,) = prepare(sf.as_runs(table), x)
        at = FAR if x == "samples" else 6 * 1e11 * FAR
        by[x] = Trend(data, lines_of(data)).mean_curve(1e11, at).centre
    np.testing.assert_allclose(by["samples"], by["flops"], rtol=1e-3)


# What was missed.


def test_how_far_a_size_is_from_those_fitted():
    sizes = np.array([1e9, 4e9, 1.6e10])
    assert way_to(sizes, 6.4e10) == pytest.approx(np.log(4))
    assert way_to(sizes, 5e8) == pytest.approx(np.log(2))
    assert way_to(sizes, 8e9) == pytest.approx(np.log(2) / 2)
    assert way_to(sizes, 4.01e9) == way_to(sizes, 4e9) == way_to(sizes, 1.61e10) == 0.1


def test_a_miss_is_a_level_and_a_slope():
    """A line that is .02 too high in the middle and .03 a decade too flat, and runs that turn about their middle."""
    x = np.linspace(3, 4.5, 7)
    off = 0.02 + 0.03 * (x - x.mean())
    predicted = np.full(7, -0.3)
    loss = 10**predicted * (1 - off * np.log(10))
    between = 4e-4 + 9e-4 * (x - x.mean()) ** 2
    found = miss_of(predicted, loss, x, 0.7, between)
    assert (found.level, found.slope, found.way) == pytest.approx((0.02, 0.03, 0.7))
    assert found.scatter == pytest.approx((4e-4, 9e-4))
    one = miss_of(predicted[:1], loss[:1], x[:1], 0.7, between[:1])
    assert (one.level, one.slope) == pytest.approx((off[0], 0.0))


def test_bands_are_as_wide_as_sizes_were_missed():
    """By hand: mean absolute misses at a way of 1, with one that counts twice from elsewhere, of Student's t of 2."""
    each = (Miss(0.02, -0.04, 0.5, (1e-4, 0.0)), Miss(-0.05, 0.01, 2.0, (2e-4, 3e-4)))
    misses = Misses(each, 3.5, 1.0)
    grown = np.array([0.5, 2.0]) ** 0.75
    level = (np.sum(np.array([0.02, 0.05]) / grown) + 2 * 0.03) / 4 / np.sqrt(2)
    slope = (np.sum(np.array([0.04, 0.01]) / grown) + 2 * 0.025) / 4 / np.sqrt(2)
    x = np.array([3.5, 4.5])
    np.testing.assert_allclose(misses.variance(1.0, x), level**2 + slope**2 * np.array([0, 1]))
    np.testing.assert_allclose(misses.variance(2.0, x[:1]), [(level * 2**0.75) ** 2])
    # Beyond the longest way that was tried it grows faster.
    np.testing.assert_allclose(misses.variance(4.0, x[:1]), [(level * 4**0.75 * 2) ** 2])
    less = level**2 - np.mean(np.array([1e-4, 2e-4]) / grown**2)
    np.testing.assert_allclose(misses.variance(1.0, x[:1], mean_curve=True), [max(less, level**2 / 2)])
    all_scatter = Misses((Miss(0.02, 0.0, 1.0, (1.0, 1.0)),), 3.5, 1.0)
    np.testing.assert_allclose(
        all_scatter.variance(1.0, x, mean_curve=True), 0.5 * all_scatter.variance(1.0, x), rtol=1e-12
    )
    # The mean absolute value of Student's t of two degrees of freedom.
    assert stats.t(2).expect(abs) == pytest.approx(np.sqrt(2), rel=1e-3)


# The whole.


def test_members_are_weighed_by_their_error_on_the_sizes_left_out(small, average):
    """Every size once, fitted on all others, and the fourth with those below it too; the trend has half."""
    lines, squares = lines_of(small), []
    for size, fitted in [*((s, lambda N, s=s: s != N) for s in FIVE), (FIVE[3], lambda N: N < FIVE[3])]:
        members, trend = voices(small, lines, fitted)
        here = small.keep(small.params == size)
        curves = [one.mean_curve(float(size), here.resource[:, 0]).centre for one in (*members, trend)]
        squares.append([np.mean((10.0**log - here.loss[0]) ** 2) for log in curves])
    np.testing.assert_allclose(average.held_out, np.sqrt(np.mean(squares, 0)), rtol=1e-9)
    inverse = 1 / (np.mean(squares, 0)[:2] + 1e-12)
    np.testing.assert_allclose(average.weights, [*(0.5 * inverse / inverse.sum()), 0.5], rtol=1e-9)
    assert len(average.misses.each) == 6
    assert average.anchor_points == 0


def test_a_size_is_missed_with_weights_in_which_it_had_no_part(small, average):
    """The fourth size was predicted twice; neither square of its own is in its weights."""
    lines, folds = lines_of(small), []
    for sizes, fitted in _occasions(small):
        folds.append(_hold_out(small, voices(small, lines, fitted), float(sizes[0]), 0))
    squares = np.array([np.mean((10**f.predicted - f.loss) ** 2, 1) for f in folds])
    for fold, found in zip(folds, average.misses.each, strict=True):
        others = np.array([f.params != fold.params for f in folds])
        inverse = 1 / (squares[others, :2].mean(0) + 1e-12)
        log = np.array([*(0.5 * inverse / inverse.sum()), 0.5]) @ fold.predicted
        off = (10**log - fold.loss) / (10**log * np.log(10))
        assert found.level == pytest.approx(off.mean(), rel=1e-9)
        assert found.slope == pytest.approx(np.polyfit(fold.x, off, 1)[0], rel=1e-9)


def test_large_sizes_are_also_predicted_from_those_below(runs):
    (data,) = prepare(runs, "samples", {"series": "base"})
    pairs = [(size, tuple(data.sizes[fitted(data.sizes)])) for size, fitted in _occasions(data)]
    everyone = tuple(data.sizes)
    assert pairs[:7] == [(size, tuple(one for one in everyone if one != size)) for size in everyone]
    assert pairs[7:] == [(7e9, everyone[:3]), (14e9, everyone[:4]), (32e9, everyone[:5])]


def test_the_average_is_of_voices_and_its_bands_are_what_was_missed(small, average):
    curves = np.stack([one.mean_curve(1e11, FAR).centre for one in (*average.members, average.trend)])
    said = average.predict(1e11, FAR, level=0.8)
    log = average.weights @ curves
    np.testing.assert_allclose(np.log10(said["loss"]), log)
    np.testing.assert_allclose(said["spread"], np.sqrt(average.weights @ (curves - log) ** 2))
    way, x = np.log(2), np.log10(FAR[0])
    inner = average.misses.variance(way, x, mean_curve=True)
    whole, noise = average.misses.variance(way, x), average.alone.evaluation_noise(1e11, log)
    t, z = stats.t.ppf(0.9, 2), stats.norm.ppf(0.9)
    for name, missed, more in (("", inner, 0), ("run_", whole, 0), ("eval_", whole, noise)):
        half = np.sqrt(t**2 * missed + z**2 * more)
        np.testing.assert_allclose(np.log10(said[name + "low"]), log - half)
        np.testing.assert_allclose(np.log10(said[name + "high"]), log + half)
    np.testing.assert_allclose(average.error(1e11, FAR), np.sqrt(inner))


def test_one_run_scatters_more_than_the_means_that_were_missed():
    """Of three seeds a third of the scatter is in what was missed; a new run has the other two beside it."""
    data = drawn(seeds=3)
    average = average_offsets(data, FORMS)
    assert average.misses.run_share == pytest.approx(1 / 3)
    said = average.predict(1e11, FAR, level=0.8)
    way, x = np.log(2), np.log10(FAR[0])
    weight, between = average.between_runs(1e11, FAR)
    missed, scatter = average.misses.variance(way, x), 2 / 3 * (weight @ between)
    half = np.sqrt(stats.t.ppf(0.9, 2) ** 2 * missed + stats.norm.ppf(0.9) ** 2 * scatter)
    np.testing.assert_allclose(np.log10(said["run_high"] / said["loss"]), half)


def test_an_anchored_average_is_moved_by_the_mean_ratio_of_its_anchor(small):
    found = average_offsets(small.keep(small.params < FIVE[4]), FORMS, anchor_points=4)
    anchor, x = first_points(small, FIVE[4], 4), small.resource[:, 4, 4:]
    np.testing.assert_allclose(anchor.resource[0], X12[:4])
    np.testing.assert_allclose(anchor.loss, small.loss[4, :4])
    curves = []
    for member in found.members:
        there, log = (member.mean_curve(FIVE[4], at).centre for at in (anchor.resource, x))
        curves.append(log + np.log10(anchor.loss.sum() / (10**there).sum()))
    said = found.predict(FIVE[4], x, level=0.8, anchor=anchor)
    log = found.weights[:2] @ np.array(curves)
    assert found.weights[2] == 0
    np.testing.assert_allclose(np.log10(said["loss"]), log, rtol=1e-9)
    half = stats.t.ppf(0.9, 2) * np.sqrt(found.misses.variance(np.log(2.5), np.log10(x[0])))
    for name in ("", "run_"):
        np.testing.assert_allclose(np.log10(said[name + "high"] / said["loss"]), half)
    nothing = first_points(small, FIVE[4], 4)
    nothing.loss[:] = 0
    there = found.members[0].mean_curve(FIVE[4], anchor.resource).centre
    wanted = found.members[0].mean_curve(FIVE[4], x).centre + np.log10(1e-6 / (10**there).sum())
    np.testing.assert_allclose(found.curves(FIVE[4], x, nothing)[0], wanted, rtol=1e-9)


def test_an_anchor_is_so_many_first_points_and_the_rest_is_scored(small):
    """The points that set the offset are not among those that the weights rest on."""
    lines = lines_of(small)
    parts = voices(small, lines, lambda N: FIVE[2] != N)
    plain, moved = _hold_out(small, parts, FIVE[2], 0), _hold_out(small, parts, FIVE[2], 4)
    np.testing.assert_allclose(plain.loss, small.loss[2])
    np.testing.assert_allclose(moved.loss, small.loss[2, 4:])
    for own, free, tied in zip((*parts[0], parts[1]), plain.predicted, moved.predicted, strict=True):
        np.testing.assert_allclose(free, own.mean_curve(FIVE[2], small.resource[:, 2]).centre)
        ratio = small.loss[2, :4].sum() / (10.0 ** free[:4]).sum()
        np.testing.assert_allclose(tied, free[4:] + np.log10(ratio), rtol=1e-9)
    assert _hold_out(small, parts, FIVE[2], 12) is None
    assert len(_hold_out(small, parts, FIVE[2], 11).loss) == 1
    assert (plain.runs, moved.way) == (1, pytest.approx(way_to(FIVE[[0, 1, 3, 4]], 7e9)))


def test_who_is_averaged(small):
    """Lines and clocks without an anchor, lines and lines that bend with one."""
    plain = average_offsets(small)
    assert [one.law.name for one in plain.members] == [law.name for law in AVERAGED]
    assert plain.weights[-1] == 0.5
    anchored = average_offsets(small, anchor_points=3)
    assert [one.law.name for one in anchored.members] == [law.name for law in ANCHORED]
    assert anchored.weights[-1] == 0
    assert [anchored.weights.sum(), plain.weights.sum()] == pytest.approx([1, 1])


def test_a_search_that_begins_near_finds_what_one_from_nowhere_finds(small):
    lines = lines_of(small)
    below = small.keep(small.params < FIVE[4])
    law = get_law("clock-affine")
    whole = make_member(law, small, lines)
    cold, warm = make_member(law, below, lines), make_member(law, below, lines, whole.near)
    x = np.array([[1000.0, 10_000.0, 50_000.0]])
    for size in FIVE:
        np.testing.assert_allclose(cold.mean_curve(size, x).centre, warm.mean_curve(size, x).centre, atol=1e-4)
    assert make_member(FORMS[0], small, lines).near is None


# The start of a size.


@pytest.fixture(scope="module")
def clocked():
    """Curves of a clock law without noise, whose gains and starts are a law of size."""
    table = sf.simulate("clock-affine", CLOCKED, params=FIVE, samples=X12, sigma=0.0005, seed=1)
    (data,) = prepare(table, "samples")
    return data


def test_a_start_is_told_by_the_clock_of_the_others(clocked):
    """At the truth's own clock: L = start (1 - g s), the gain half way to the line through the nearest three."""
    begun = Started(clocked, 0.7)
    g = 0.5 * FIVE / (FIVE + 1.1e10)
    gain = shares(FIVE, 1e11) @ g
    assert begun.gain(1e11) == pytest.approx(gain, abs=0.01)
    share = 1 / (1 + (6e3 / FAR[0]) ** 1.2)
    np.testing.assert_allclose(10 ** begun.mean_curve(1e11, FAR).centre, 0.7 * (1 - gain * share), rtol=0.01)
    average = average_offsets(clocked)
    told = average.started(0.7)
    plain, curve = average.predict(1e11, FAR), begun.mean_curve(1e11, FAR).centre
    log = 0.75 * np.log10(plain["loss"]) + 0.25 * curve
    found = told.predict(1e11, FAR)
    np.testing.assert_allclose(np.log10(found["loss"]), log)
    np.testing.assert_allclose(np.log10(found["high"] / found["loss"]), np.log10(plain["high"] / plain["loss"]))


def test_an_anchor_at_nothing_is_the_untrained_model(clocked):
    start = Anchor(1e11, np.zeros((1, 2)), np.array([0.6, 0.8]))
    assert start.untrained
    fit = fit_data("saturating", clocked)
    said = predict_size(fit, 1e11, FAR[0], anchor=start)
    wanted = average_offsets(clocked).started(0.7).predict(1e11, FAR)
    assert [point["loss"] for point in said.curve] == pytest.approx(list(wanted["loss"]))
    last = said.members[-1]
    assert (last["law"], last["weight"], last["held_out_rmse"]) == ("clock from its start", 0.25, None)
    assert "not scored" in said.details
    with pytest.raises(FitError, match="1B was fitted: where it starts its own runs say"):
        predict_size(fit, 1e9, FAR[0], anchor=start)


def test_a_start_is_given_on_the_command_line(clocked, tmp_path):
    table = sf.simulate("clock-affine", CLOCKED, params=FIVE, samples=X12, sigma=0.0005, seed=1)
    sf.write_runs(table, tmp_path / "runs.parquet")
    assert scalefit("fit", "runs.parquet", cwd=tmp_path).returncode == 0
    asked = ("predict", "--params", "100B", "--samples", "40000", "--json")
    (found,) = results(scalefit(*asked, "--start", "0.7", cwd=tmp_path))
    wanted = average_offsets(clocked).started(0.7).predict(1e11, FAR)["loss"][1]
    assert found["curve"][0]["loss"] == pytest.approx(wanted, rel=1e-6)
    row = table.frame.iloc[:1].assign(params=1e11, run_id="new", step=0, samples=0.0, loss=0.7)
    row.to_csv(tmp_path / "start.csv", index=False)
    (same,) = results(scalefit(*asked, "--anchor", "start.csv", cwd=tmp_path))
    assert same["curve"] == found["curve"]
    for wrong, words in (
        (("--start", "1.2"), "above 0 and at most 1"),
        (("--start", "0.7", "--anchor", "start.csv"), "--anchor"),
    ):
        refused = scalefit(*asked, *wrong, cwd=tmp_path)
        assert refused.returncode == 2
        assert words in refused.stderr


def test_all_sizes_on_one_clock(clocked):
    """At the truth every size's share of its gain is the clock's; a curve is shown by at most twenty points and its own all."""
    found = on_one_clock(clocked)
    assert (found["X_mid"], found["B"]) == (pytest.approx(6e3, rel=0.1), pytest.approx(1.2, rel=0.1))
    assert [curve["params"] for curve in found["curves"]] == list(FIVE)
    for curve in found["curves"]:
        np.testing.assert_allclose(curve["x"], X12)
        if curve["params"] > 5e9:
            np.testing.assert_allclose(curve["share"], 1 / (1 + (6e3 / X12) ** 1.2), atol=0.03)
    line = found["line"]
    np.testing.assert_allclose(line["share"], 1 / (1 + (found["X_mid"] / line["x"]) ** found["B"]))
    long = sf.simulate("clock-affine", CLOCKED, params=FIVE, samples=np.geomspace(1e3, 5e4, 45), seed=1)
    (data,) = prepare(long, "samples")
    (first, *_) = on_one_clock(data)["curves"]
    # Pairs of neighbours, the odd one left.
    np.testing.assert_allclose(first["x"], np.sqrt(np.geomspace(1e3, 5e4, 45)[:44].reshape(22, 2).prod(1)))
