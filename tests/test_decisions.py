"""Forecast, plan, design, recipes, reuse and rollouts: closed forms, known truth, and the command line."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

import scalefit as sf
from scalefit.errors import FitError, UsageError
from scalefit.fitting.fit import fit_data
from scalefit.prediction.ensemble import average_offsets
from scalefit.prediction.siblings import among_siblings, band
from scalefit.studies.budget import Budget
from scalefit.studies.information import Informer, planned_run
from scalefit.studies.optimal import Candidate, Evidence, variances
from scalefit.studies.resolution import resolve_difference
from scalefit.studies.reuse import effective_data, study_reuse
from scalefit.studies.rollouts import uniform_group
from scalefit.studies.sizes import make_options
from scalefit.table.prepare import prepare
from tests.conftest import PAPER, ROOT, RUNS, results, scalefit

STUDY = ROOT / "data" / "study"


def test_forecast_bands_cover_what_came(runs):
    """Parts of every second run of the paper, as the shipped prior knows them: a new evaluation lies in the 95 % band 90 to 99 % of times."""
    covered = []
    for name in runs.frame["run_id"].unique()[::2]:
        setting = among_siblings(runs, str(name), "samples", "holdout")
        whole = setting.curve
        for count in (12, 25, 50, 75):
            found = band(setting.look(float(whole.x[-1]), whole.first(count)), whole.x[count:])
            rest = whole.loss[count:]
            covered.append(np.mean((rest >= found["eval_low95"]) & (rest <= found["eval_high95"])))
    assert 0.90 <= np.mean(covered) <= 0.99


@pytest.mark.slow
def test_the_frontier_holds_the_optimum(monkeypatch):
    """Thirty tables drawn from a law whose optimum brute force finds; at 95 % coverage 23 or fewer come 1 in 1500 times."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from decisions import frontiers

    assert frontiers("saturating-linear", 30)["covered"] >= 24 / 30


def test_a_design_beats_an_even_spread():
    """By the law's information and by refitted simulations, on the paper's table and on our own study."""
    for path, budget, target in ((RUNS, 1e21, 72e9), (ROOT / "data" / "study" / "e01.parquet", 1e13, 3e6)):
        (found,) = sf.design(sf.read_runs(path), budget, target, where={"series": "base"})
        assert found.width_after < found.width_even < found.width_now
        # 200 simulations of each: the ratio of two such widths is good to a tenth.
        assert found.simulated["ratio"] == pytest.approx(found.ratio, rel=0.15)
        assert found.simulated["after"] == pytest.approx(found.width_after, rel=0.25)
        assert found.spent <= found.budget * (1 + 1e-9)


@given(st.floats(1e-3, 1 - 1e-3), st.integers(2, 64))
def test_uniform_group_is_a_binomial(p, size):
    assert uniform_group(p, size) == pytest.approx(binom.pmf(0, size, p) + binom.pmf(size, size, p), abs=1e-9)


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(0.1, 1e4))
def test_effective_data_is_fresh_at_first_and_never_more_than_all(samples, unique, star):
    found = float(effective_data(np.array([samples]), unique, star)[0])
    assert found <= samples * (1 + 1e-9)
    if samples <= unique:
        assert found == pytest.approx(samples)
    else:
        assert found <= unique * (1 + star) * (1 + 1e-9)


def test_r_star_of_simulated_repeats_is_found():
    """A law in D_eff with R* = 10 and noise .005; 95 % of such intervals hold it, the seed is one of those."""
    rng, frames = np.random.default_rng(1), []
    for tau in (1, 5, 25, 100):
        samples = 512.0 * np.arange(1, 101)
        clean = 10 ** (0.2 - 0.1 * np.log10(effective_data(samples, samples[-1] / tau, 10.0)))
        loss = np.clip(clean + 0.005 * rng.standard_normal(100), 0, 1)
        frames.append(
            pd.DataFrame(
                {
                    "run_id": f"t{tau}",
                    "series": "s",
                    "params": 1e9,
                    "step": range(1, 101),
                    "samples": samples,
                    "reuse": float(tau),
                    "eval": "e",
                    "loss": loss,
                }
            )
        )
    (found,) = study_reuse(sf.as_runs(pd.concat(frames, ignore_index=True)))
    assert found.r_star["low"] <= 10 <= found.r_star["high"]
    assert found.arms[-1]["difference"] > 0.05


@pytest.mark.parametrize("loss", [np.maximum(0.5 - 0.05 * np.arange(1, 41), 0), np.zeros(40), np.ones(40)])
def test_a_run_at_its_end_is_forecast_to_stay(loss):
    """A run that has reached 0, or never leaves 0 or 1: finite numbers, and no fall or rise is made up."""
    frame = pd.DataFrame(
        {
            "run_id": "r",
            "series": "s",
            "params": 1e9,
            "step": range(1, 41),
            "samples": 512.0 * np.arange(1, 41),
            "eval": "e",
            "loss": loss,
        }
    )
    found = sf.forecast(sf.as_runs(frame), "r", loss=0.3, min_gain=0.001)
    assert np.isfinite(found.frame.to_numpy(float)).all()
    assert found.frame["loss"].iloc[-1] == pytest.approx(loss[-1], abs=0.02)
    assert found.chance["probability"] == pytest.approx(float(loss[-1] < 0.3), abs=0.02)


def test_a_run_with_several_evaluations_asks_which(tmp_path, runs):
    frame = runs.frame.astype({"eval": str})
    pd.concat([frame, frame.assign(eval="other", loss=0.9 * frame["loss"])]).to_csv(tmp_path / "two.csv", index=False)
    found, typo, other = (
        scalefit("forecast", "two.csv", "--run", "base-7B", *more, cwd=tmp_path)
        for more in ((), ("--eval", "othr"), ("--eval", "other", "--json"))
    )
    assert (found.returncode, "choose one with --eval: holdout, other" in found.stderr) == (2, True), found.stderr
    assert "did you mean 'other'" in typo.stderr
    alone = sf.forecast(sf.as_runs(frame.assign(eval="other", loss=0.9 * frame["loss"])), "base-7B")
    assert results(other)[0]["curve"][-1]["loss"] == pytest.approx(alone.curve[-1]["loss"])


def test_variance_of_a_line_is_the_textbook_one():
    """Straight line through n points of unit noise: Var at x is 1/n + (x - mean)^2/S."""
    x = np.linspace(0, 3, 12)
    design = np.stack([np.ones_like(x), x], 1)
    at = np.array([1.0, 5.0])
    wanted = 1 / 12 + (5 - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
    assert variances((design.T @ design)[None], at)[0] == pytest.approx(wanted, rel=1e-6)


def test_problems_needed_by_hand():
    """At loss .5 a difference of .1 with 80 % needs 2 (1.96 + .842)^2 .25/.01 = 392 problems."""
    table = {row["problems"]: row["seeds"] for row in resolve_difference(0.1, 0.5).table}
    assert table[250] is None
    assert table[500] == 1


@pytest.mark.parametrize("given", [{}, {"flops": 1e19, "loss": 0.4}])
def test_a_plan_has_one_budget(given):
    with pytest.raises(UsageError, match="give one budget"):
        Budget(**given)


@pytest.mark.parametrize(
    "words",
    [
        ("forecast", RUNS, "--run", "base-7B", "--loss", "0.6", "--min-gain", "0.002"),
        ("plan", RUNS, "--gpu-hours", "100", "--sizes", "7B,14B,20B", "--where", "series=base"),
    ],
    ids=lambda words: " ".join(map(str, words[:1])),
)
def test_commands_answer(tmp_path, words):
    """Beside the examples of their help, which `test_cli_face` runs."""
    plain = scalefit(*words, cwd=tmp_path)
    assert plain.returncode == 0, plain.stderr
    assert plain.stdout
    found = scalefit(*words, "--json", cwd=tmp_path)
    assert results(found)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("forecast", RUNS, "--run", "base-7b"), 2, "did you mean 'base-7B'"),
        (("forecast", RUNS, "--run", "base-7B", "--until", "1k"), 2, "already"),
        (("plan", RUNS, "--flops", "1e24"), 1, "times outside"),
        (("plan", RUNS, "--flops", "1e20", "--loss", "0.4"), 2, "give one budget"),
        (("plan", RUNS, "--flops", "2x"), 2, "not a quantity"),
        (("plan", RUNS, "--flops", "1e20", "--gpu", "h10"), 2, "h100"),
        (("design", RUNS, "--budget", "1", "--target", "72B"), 1, "does not pay for any run"),
        (("reuse", RUNS), 1, "does not vary"),
        (("rollouts", RUNS), 1, "does not vary"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_wrong_questions_are_told(tmp_path, words, code, said):
    found = scalefit(*words, cwd=tmp_path)
    assert (found.returncode, said in found.stderr) == (code, True), found.stderr
    assert "Traceback" not in found.stderr


def test_recipes_without_a_common_size_are_refused(runs):
    from scalefit.studies.recipes import compare_recipes

    study = sf.read_runs(ROOT / "data" / "study" / "e03.parquet")
    with pytest.raises(FitError, match=r"in common .base on holdout, 500M; .* against base on arithmetic, \d+k"):
        compare_recipes(runs, study)


def test_results_show_themselves_in_a_notebook(runs):
    base = {"series": "base"}
    found = [
        runs,
        sf.fit(runs, where=base),
        sf.forecast(runs, "base-7B"),
        *sf.plan(runs, flops=2e19, where=base),
        *sf.design(runs, 1e21, 72e9, where=base),
        *sf.study_reuse(sf.read_runs(PAPER / "reuse.parquet"), where=base),
    ]
    for one in found:
        assert "<table" in one._repr_html_()
        assert isinstance(one.frame, pd.DataFrame)
        assert len(one.frame)


BASE = ("--where", "series=base")
ASKED = {
    ("reuse", PAPER / "reuse.parquet"): lambda: sf.study_reuse(PAPER / "reuse.parquet"),
    ("rollouts", STUDY / "e03.parquet"): lambda: sf.study_rollouts(STUDY / "e03.parquet"),
    ("clocks", STUDY / "e03.parquet", "--by", "group_size"): lambda: sf.study_clocks(
        STUDY / "e03.parquet", by="group_size"
    ),
    ("joint", STUDY / "e03.parquet", STUDY / "e02.parquet"): lambda: sf.study_joint(
        STUDY / "e03.parquet", STUDY / "e02.parquet"
    ),
    ("compare-recipes", STUDY / "e04_grpo_token.parquet", STUDY / "e04_rloo_token.parquet"): lambda: sf.compare_recipes(
        STUDY / "e04_grpo_token.parquet", STUDY / "e04_rloo_token.parquet", names=("e04_grpo_token", "e04_rloo_token")
    ),
    ("plan", RUNS, "--flops", "2e19", *BASE): lambda: sf.plan(RUNS, flops=2e19, where={"series": "base"}),
    ("plan", RUNS, "--loss", "0.5", *BASE): lambda: sf.plan(RUNS, loss=0.5, where={"series": "base"}),
    ("design", RUNS, "--budget", "1e21", "--target", "72B", *BASE): lambda: sf.design(
        RUNS, 1e21, 72e9, where={"series": "base"}
    ),
    ("difference", "0.02"): lambda: resolve_difference(0.02, 0.5),
    ("horizon", STUDY / "e06.parquet"): lambda: sf.study_horizon(STUDY / "e06.parquet"),
    ("sharpening", STUDY / "e05_fade.parquet", "--k", "1,64"): lambda: sf.study_sharpening(
        STUDY / "e05_fade.parquet", k=[1, 64]
    ),
    ("systems", PAPER / "systems.csv", "--benchmark", "gsm8k"): lambda: sf.rank_systems(PAPER / "systems.csv", "gsm8k"),
}


@pytest.mark.parametrize("words", ASKED, ids=lambda words: " ".join(map(str, words[:1])))
def test_a_summary_is_what_the_command_prints(words, tmp_path):
    """Beside it a short repr, a table for a notebook, and rows."""
    found, printed = ASKED[words](), scalefit(*words, cwd=tmp_path).stdout
    assert printed.startswith(found.summary() + "\n")
    assert words[0] == "systems" or printed == found.summary() + "\n"
    assert "<table" in found._repr_html_()
    assert len(found.frame)
    answers = found if hasattr(found, "unanswered") else [found]
    for one in answers:
        assert repr(one) == f"<{type(one).__name__} {one.headline}>"
        assert one.summary().count("\n") > 2
    assert len(repr(found)) < 1000 * len(answers)


def test_a_series_that_cannot_be_answered_does_not_refuse_the_rest(runs):
    """A series of one size beside the paper's."""
    frame = runs.frame.astype({"run_id": str, "series": str})
    lone = frame[frame["params"] == 7e9].assign(series="lone", run_id=lambda rows: "l-" + rows["run_id"])
    lone = lone[lone["run_id"] == lone["run_id"].iloc[0]]
    table = pd.concat([frame[frame["series"] == "base"], lone])
    for found in (sf.plan(table, flops=2e19), sf.design(table, 1e21, 72e9)):
        assert [one.series for one in found] == ["base"]
        assert list(found.unanswered) == ["lone on holdout"]
        assert "size" in found.unanswered["lone on holdout"]
        assert "lone on holdout: not answered: " in found.summary()
        assert "lone on holdout" in found._repr_html_()
    with pytest.raises(FitError, match="size"):
        sf.plan(lone, flops=2e19)
    with pytest.raises(UsageError, match="h100"):
        sf.plan(table, flops=2e19, gpu="h10")
    found = sf.compare_recipes(table, frame[frame["series"] == "base"])
    assert found.unanswered == {"lone on holdout, 7B": "B has no run of it"}


def test_information_of_runs_is_that_of_their_dense_covariance(runs):
    """Two runs of a size and one of another, by J' S^-1 J with S written out: AR(1) noise, runs' own lines, sizes' departures."""
    (data,) = prepare(runs, "samples", {"series": "base"})
    informer = Informer(fit_data("saturating-linear", data), run_sd=0.03)
    informer.__dict__["spreads"] = np.array([0.2, 0.03, 0.1, 0.02])
    fit, longest = informer.fit, 5e4
    made = [
        planned_run(fit, 7e9, 1e4, longest),
        planned_run(fit, 7e9, longest, longest),
        planned_run(fit, 3e9, longest, longest),
    ]
    evidence = Evidence(np.array([3e9, 7e9]), np.zeros((2, len(fit.theta) + 2, len(fit.theta) + 2)))
    evidence = evidence.moved([Candidate(run.params, 0, 0, informer.inform(run)) for run in made])
    weighed, ends = [informer.weigh(run) for run in made], np.cumsum([0, *(len(run.samples) for run in made)])
    S, J = np.zeros((ends[-1], ends[-1])), np.zeros((ends[-1], len(fit.theta)))
    for at, (run, one) in enumerate(zip(made, weighed, strict=True)):
        here, slope = slice(*ends[at : at + 2]), np.log(10) * 10**one.log
        J[here] = fit.log_curve(np.full(len(run.samples), run.params), run.samples[None])[1] * slope[:, None]
        S[here, here] += run.sigma**2 * fit.noise.rho ** np.abs(np.subtract.outer(*2 * [np.arange(len(slope))]))
        S[here, here] += (one.own * slope).T @ (one.own * slope)
    sizes = np.concatenate([one.size * np.log(10) * 10**one.log for one in weighed], 1)
    same = np.equal.outer(*2 * [np.repeat([run.params for run in made], np.diff(ends))])
    S += same * (sizes.T @ sizes)
    wanted = J.T @ np.linalg.solve(S, J)
    found = evidence.with_each([Candidate(3e9, 0, 0, np.zeros_like(evidence.told[0]))])[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9 * np.abs(wanted).max())
    # A run's line falls by as many decades as its departure says, and turns about a point within it.
    fall = weighed[1].own[0] / 0.2
    assert np.ptp(fall) == pytest.approx(fit.k(7e9).value * np.log10(made[1].samples[-1] / made[1].samples[0]))
    assert fall[0] > 0 > fall[-1]


@pytest.mark.parametrize(("spreads", "worth"), [((0.3, 0.0, 0.0, 0.0), True), ((0.0, 0.0, 0.3, 0.02), False)])
def test_seeds_are_worth_what_the_scatter_says(runs, spreads, worth):
    """Where only runs differ, ten of a size narrow what one leaves; where only sizes do, hardly."""
    (data,) = prepare(runs, "samples", {"series": "base"})
    informer = Informer(fit_data("saturating-linear", data))
    informer.__dict__["spreads"] = np.array(spreads)
    gradient = informer.fit.log_curve(np.array([72e9]), np.array([[5e4]]))[1][0]
    known = informer.known(data.sizes)
    more = [
        Candidate(s, 0, 0, informer.inform(planned_run(informer.fit, s, 5e4, 5e4)))
        for s in data.sizes
        for _ in range(9)
    ]
    ratio = known.moved(more).variance(gradient) / known.variance(gradient)
    assert (ratio < 0.2) if worth else (ratio > 0.8)


def test_plans_of_two_evaluations_and_of_other_budgets_say_what_they_are_of(runs):
    base = runs.frame[runs.frame["series"] == "base"]
    two = sf.as_runs(pd.concat([base, base.assign(eval="other")], ignore_index=True))
    told = [one.headline for one in sf.plan(two, samples=20_000)]
    assert [line.partition(" is ")[0] for line in told] == [
        f"With 20k prompts the best size of base on {name}" for name in ("holdout", "other")
    ]
    (dear,) = sf.plan(runs, loss=0.5, where={"series": "base"})
    low, high = (f"{dear.best[f'run_flops_{end}']:.2e}".replace("e+", "e") for end in ("low", "high"))
    assert dear.headline.startswith("For a loss of 0.5 the cheapest size of base on holdout is ")
    assert dear.headline.endswith(f" would take {low} FLOPs to {high} FLOPs (95 %).")


def test_a_plan_tells_a_mean_curve_from_a_run(runs):
    """The bands of the sizes measured are those of the fit, to the sampling of 1000 draws (an end to a sixth of the half width, 4 sd)."""
    where, flops = {"series": "base"}, 2e19
    (found,) = sf.plan(runs, flops=flops, where=where)
    fit = sf.fit(runs, x="flops", where=where).fit
    for row in (row for row in found.sizes if row["outside"] == 1):
        bands = fit.bands(row["params"], np.array([[flops]]))
        for prefix in ("", "run_"):
            low, high = (float(getattr(bands, prefix + end)[0]) for end in ("low", "high"))
            drawn = np.log10([row[prefix + "low"], row[prefix + "high"]])
            np.testing.assert_allclose(drawn, [low, min(high, 0.0)], atol=(high - low) / 12)
        assert row["run_low"] < row["low"] < row["high"] < row["run_high"]
    for name in ("probability_best", "probability_best_run"):
        assert sum(row[name] for row in found.sizes) == pytest.approx(1)
    assert max(row["probability_best_run"] for row in found.sizes) < found.best["probability_best"]
    size = f"{found.best['params'] / 1e9:g}B"
    assert found.headline.startswith(f"At 2e19 FLOPs the best size of base on holdout is {size} or ")
    chances = sorted((100 * row["probability_best"] for row in found.sizes), reverse=True)
    assert f"these runs do not say which (chances {chances[0]:.0f} : {chances[1]:.0f})" in found.headline
    assert (
        f"One run of {size} would end at loss {found.best['run_low']:.3f} to {found.best['run_high']:.3f}"
        in found.headline
    )
    (found,) = sf.plan(runs, loss=0.5, where=where)
    assert (
        found.best["run_flops_low"] < found.best["flops_low"] < found.best["flops_high"] < found.best["run_flops_high"]
    )


def test_a_run_of_an_unseen_size_departs_as_the_average_says(runs):
    """Draws of a run about its mean curve have the variance that the members give, 1000 draws being good to a fifth (4 sd)."""
    (data,) = prepare(runs, "flops", {"series": "base"})
    ensemble = average_offsets(data)
    options = make_options(runs, data, np.array([20e9]), ensemble)
    at = np.sqrt(np.prod(options.measured[0]))
    away = options.log_loss(np.array([at]), run=True) - options.log_loss(np.array([at]))
    weight, between = ensemble.between_runs(20e9, np.array([[at]]))
    assert weight.sum() == pytest.approx(1)
    assert np.var(away) == pytest.approx(float(weight @ between[:, 0]), rel=0.2)
