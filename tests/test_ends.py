"""End levels and differences: closed forms, coverage with and without pairs, and what one run each may say."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scalefit as sf
from scalefit.errors import FitError
from scalefit.studies.differences import Difference, Measured, difference, mean_difference, scatter
from scalefit.studies.ends import end_level, mean_weights, single_runs
from scalefit.studies.reuse import _against_arms
from tests.conftest import PAPER, ROOT

E03 = ROOT / "data" / "study" / "e03.parquet"


def table(curves, **columns):
    """A runs table of curves {run: (samples, loss)}, each with its columns."""
    frames = [
        pd.DataFrame(
            {
                "run_id": name,
                "series": "s",
                "params": 1e9,
                "step": range(1, len(x) + 1),
                "samples": x,
                "eval": "e",
                "loss": loss,
                **{column: values[name] for column, values in columns.items()},
            }
        )
        for name, (x, loss) in curves.items()
    ]
    return sf.as_runs(pd.concat(frames, ignore_index=True))


def runs_of(values, seeds=True):
    return [Measured(at if seeds else None, float(value), 0.001) for at, value in enumerate(values)]


def test_the_end_is_the_mean_over_the_last_fifth_wherever_evaluations_lie():
    """A line in log X: its mean from .8 U to U is a + b (log U + log(.8)/2), from 7 points or from 90."""
    for x in (np.geomspace(10, 1000, 7), np.linspace(10, 1000, 90)):
        runs = table({"r": (x, 0.9 - 0.05 * np.log(x))})
        ((one,),) = single_runs(runs, "samples").values()
        for until in (1000.0, 300.0):
            wanted = 0.9 - 0.05 * (np.log(until) + np.log(0.8) / 2)
            assert end_level(one, until).value == pytest.approx(wanted, abs=1e-9)
    assert mean_weights(np.arange(6.0), 3.0, 5.0) == pytest.approx([0, 0, 0, 0.25, 0.5, 0.25])


@pytest.mark.slow
def test_the_error_of_an_end_is_what_ar1_noise_leaves():
    """80 curves with noise .02 and correlation .6: the spread of their ends is the error told, to 20 % (its own sd 8 %)."""
    law = {"k": [0.05], "E": [0.05]}
    found = []
    for seed in range(80):
        runs = sf.simulate(
            "power", law, params=[7e9], samples=512.0 * np.arange(1, 101), sigma=0.02, rho=0.6, seed=seed
        )
        ((one,),) = single_runs(runs, "samples").values()
        found.append(end_level(one, 51_200.0))
    told = np.sqrt(np.mean([one.se**2 for one in found]))
    assert np.std([one.value for one in found]) == pytest.approx(told, rel=0.2)


def cover(first, second, paired, count=1500, seed=0):
    """How often the interval of equal arms holds 0; (runs, spread) each, and what a seed adds to both."""
    rng, held = np.random.default_rng(seed), 0
    for _ in range(count):
        shared = 3 * rng.standard_normal(5) if paired else np.zeros(5)
        arms = [runs_of(shared[:n] + sd * rng.standard_normal(n), seeds=paired) for n, sd in (first, second)]
        low, high = difference(*arms).interval()
        held += low <= 0 <= high
    return held / count


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_pairs_cover_as_often_as_said(n, spread):
    """95 %, within three standard deviations of 1500 draws (false alarm .3 %)."""
    assert cover((n, 1.0), (n, spread), paired=True) == pytest.approx(0.95, abs=0.017)


@pytest.mark.slow
def test_unpaired_runs_cover_about_as_often_as_said():
    """Welch's with 2 to 5 runs of equal and of thrice the spread: 95 % in all (sd .5 %), two such runs against five 88 %."""
    counts, spreads = ((2, 2), (2, 3), (3, 3), (3, 5), (5, 5)), (1.0, 1 / 3, 3.0)
    found = [cover((m, 1.0), (n, sd), paired=False, count=150) for m, n in counts for sd in spreads]
    assert np.mean(found) == pytest.approx(0.95, abs=0.015)
    assert min(found) >= 0.87
    assert cover((2, 3.0), (5, 1.0), paired=False, count=300) >= 0.82


def test_unpaired_runs_are_welchs():
    a, b = [0.1, 0.2, 0.5], [0.3, 0.35]
    found, wanted = difference(runs_of(a, False), runs_of(b, False)), stats.ttest_ind(a, b, equal_var=False)
    assert found.interval() == pytest.approx(tuple(wanted.confidence_interval()))


def test_pairs_are_the_paired_t_test_and_pool_over_sizes():
    rng = np.random.default_rng(1)
    a, b, c, d = rng.standard_normal((4, 4))
    found = difference(runs_of(a), runs_of(b))
    assert found.interval() == pytest.approx(tuple(stats.ttest_rel(a, b).confidence_interval()))
    known = scatter([[runs_of(a), runs_of(b)], [runs_of(c), runs_of(d)]])
    pooled = (np.var(a - b, ddof=1) + np.var(c - d, ddof=1)) / 2
    assert difference(runs_of(a), runs_of(b), known).se == pytest.approx(np.sqrt(pooled / 4))
    both = mean_difference([difference(runs_of(a), runs_of(b), known), difference(runs_of(c), runs_of(d), known)])
    assert (both.se, both.dof, both.pairs) == (pytest.approx(np.sqrt(pooled / 8)), 6, 8)


def test_three_arms_in_pairs_are_the_two_way_analysis():
    """Residual of runs by arm and seed, written out: variance of a difference is 2 s^2/n with (A - 1)(S - 1) degrees."""
    y = np.random.default_rng(2).standard_normal((3, 4))
    rest = y - y.mean(1)[:, None] - y.mean(0)[None] + y.mean()
    found = difference(runs_of(y[0]), runs_of(y[1]), scatter([list(map(runs_of, y))]))
    assert (found.se, found.dof) == (pytest.approx(np.sqrt(2 * (rest**2).sum() / 6 / 4)), 6)


def test_runs_without_a_seed_or_of_one_seed_are_no_pairs():
    twice = [Measured(0, 0.1, 0.01), Measured(0, 0.3, 0.01)]
    for arm in (runs_of([0.1, 0.3], seeds=False), twice):
        found = difference(arm, arm)
        assert (found.pairs, found.runs_differ, found.se > 0) == (0, True, True)


def test_a_run_by_itself_has_the_scatter_of_the_others():
    known = scatter([[runs_of([0.1, 0.2, 0.3], False), runs_of([0.5], False)]])
    found = difference(runs_of([0.5], False), runs_of([0.1, 0.2, 0.3], False), known)
    assert (found.se, found.dof) == (pytest.approx(0.1 * np.sqrt(1 + 1 / 3)), 2)


@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_one_run_each_is_never_better_nor_equivalent(gap):
    found = difference(runs_of([0.5]), runs_of([0.5 + gap]))
    assert not found.runs_differ
    assert not found.equivalent()
    assert found.sign == 0
    verdict = found.verdict("A", "B")
    assert verdict.startswith("the data do not say")
    assert "one run each" in verdict


def test_equivalence_at_the_edge_of_the_margin_is_as_rare_as_said():
    """Three pairs whose true difference is the margin: at most 5 % are called equivalent (+3 sd of 1000 draws)."""
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(1000):
        shared, noise = rng.standard_normal(3), 0.004 * rng.standard_normal((2, 3))
        false += difference(runs_of(shared + noise[0] + 0.02), runs_of(shared + noise[1])).equivalent(0.02)
    assert false / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


TAUS = (1.0, 2.0, 5.0, 20.0, 25.0, 50.0, 100.0)


def arms(rng, cost=0.0, sd=0.005):
    y = 0.7 + cost * np.log(TAUS) / np.log(TAUS[-1]) + sd * rng.standard_normal(len(TAUS))
    return dict(zip(TAUS, y, strict=True))


def test_one_run_an_arm_is_judged_by_the_scatter_of_arms():
    """Seven free arms: the last is said to cost in at most 6 % of 1000 tables, any in at most 12 % (2.5 % a step asked)."""
    rng, last, some = np.random.default_rng(4), 0, 0
    for _ in range(1000):
        found, _ = _against_arms(arms(rng), 0.02)
        last += found[-1]["costs"]
        some += any(arm["costs"] for arm in found)
    assert last / 1000 <= 0.06
    assert some / 1000 <= 0.12
    # A cost of ten times the scatter is seen, and equivalence at the edge of the margin is not (5 %, +3 sd).
    assert all(_against_arms({**arms(rng), 100.0: 0.76}, 0.02)[0][-1]["costs"] for _ in range(100))
    edge = sum(_against_arms(arms(rng, cost=0.02), 0.02)[0][-1]["equivalent"] for _ in range(1000))
    assert edge / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_the_trend_over_arms_is_linear_regression():
    levels = arms(np.random.default_rng(5))
    _, trend = _against_arms(levels, 0.02)
    x, y = np.array([(np.log(tau), level) for tau, level in levels.items() if tau <= trend["tau"]]).T
    line = stats.linregress(x, y)
    assert trend["rise"] == pytest.approx(line.slope * x[-1])
    assert trend["high90"] - trend["rise"] == pytest.approx(stats.t.ppf(0.95, len(x) - 2) * line.stderr * x[-1])


def test_reuse_of_the_paper_is_not_called_equivalent():
    """One run an arm: the same word as on the paper's page."""
    base, instruct = sf.study_reuse(PAPER / "reuse.parquet")
    assert base.trend["tau"] == 25
    assert base.equivalent_up_to is instruct.equivalent_up_to is None
    assert [arm["tau"] for arm in base.arms if arm["costs"]] == [50, 100]
    assert "no cost is shown and none is excluded" in base.advice


def test_few_arms_of_one_run_say_nothing_of_other_seeds():
    runs = sf.read_runs(PAPER / "reuse.parquet")
    for one in sf.study_reuse(runs, where={"reuse": [1, 100]}):
        assert not any(arm["equivalent"] or arm["costs"] for arm in one.arms)
        assert "the data do not say for tau 100" in one.advice


def test_rollouts_with_one_run_each_name_no_best():
    several, alone = (sf.study_rollouts(E03, where=where)[0] for where in (None, {"seed": 0}))
    assert "G = 32 is best" in several.verdict
    assert "is best (" not in alone.verdict
    assert "with one run each" in alone.verdict


@pytest.mark.slow
def test_a_size_of_one_run_an_arm_takes_the_scatter_of_another_size():
    runs = sf.read_runs(E03).frame.astype({"run_id": str})
    more = runs[runs["seed"] == 0].assign(params=1e6, run_id=lambda rows: "b" + rows["run_id"])
    small, large = sf.study_rollouts(pd.concat([runs, more]))
    assert large.params == 1e6
    half = [one.frontier["samples"][-1]["arms"][0] for one in (small, large)]
    assert half[1]["se"] == pytest.approx(half[0]["se"] * np.sqrt(3))


def test_a_size_that_cannot_be_compared_refuses_itself_alone():
    """One run an arm looks to the other sizes for their scatter; one of them is too short to have any."""
    runs = sf.read_runs(E03).frame.astype({"run_id": str})
    alone = runs[runs["seed"] == 0].assign(params=1e6, run_id=lambda rows: "b" + rows["run_id"])
    short = runs[runs["step"] <= runs["step"].min() + 3].assign(params=2e6, run_id=lambda rows: "c" + rows["run_id"])
    found = sf.study_rollouts(pd.concat([runs, alone, short]))
    assert [one.params for one in found] == [runs["params"].iloc[0], 1e6]
    assert list(found.unanswered) == ["base on arithmetic, 2M"]


def test_arms_that_end_apart_are_compared_where_all_have_been():
    """Equal compute: the dearer arm by its level half-way through, between its evaluations."""
    x = np.linspace(64, 6400, 100)
    curves = {"a": (x, 0.9 - 0.05 * np.log(x)), "b": (2 * x[::20], 0.88 - 0.05 * np.log(2 * x[::20]))}
    (found,) = sf.study_reuse(table(curves, reuse={"a": 1.0, "b": 2.0}))
    assert found.arms[0]["difference"] == pytest.approx(-0.02, abs=1e-6)


def test_a_verdict_names_the_lower_arm_better():
    assert Difference(-0.1, 0.01, 10, 3, True).verdict("A", "B") == "A is better than B"
    assert Difference(0.1, 0.01, 10, 3, True).verdict("A", "B") == "B is better than A"
    assert Difference(0.0, 0.001, 10, 3, True).verdict("A", "B") == "A and B are equivalent within 0.02"


def test_what_cannot_be_answered_does_not_refuse_the_rest():
    """A size with one tau, and one whose run is too short, are named; the others are answered."""
    runs = sf.read_runs(PAPER / "reuse.parquet").frame.astype({"run_id": str, "series": str})
    mine = runs[runs["series"] == "base"]
    short = mine[mine["step"] <= mine["step"].min() + 3].assign(
        series="short", run_id=lambda rows: "s" + rows["run_id"]
    )
    alone = mine[mine["reuse"] == 1].assign(series="alone", run_id=lambda rows: "a" + rows["run_id"])
    found = sf.study_reuse(pd.concat([mine, short, alone]))
    assert [one.series for one in found] == ["base"]
    assert found.unanswered["alone on holdout, 7B"] == "reuse does not vary"
    assert "a comparison needs 5" in found.unanswered["short on holdout, 7B"]
    assert "short on holdout, 7B: not answered" in found.summary()
    with pytest.raises(FitError, match="does not vary"):
        sf.study_reuse(alone)
