"""Pass@k and entropy: laws against closed forms, fits against truth, and the verdict on tables whose truth is known."""

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import FitError, UsageError
from scalefit.fitting.fit_relation import fit_entropy, fit_pass_at_k
from scalefit.laws import RELATIONS
from scalefit.studies.sharpening import study_sharpening
from tests.conftest import results, scalefit


def table(before, after, *, samples=32, problems=400, seeds=2, steps=11, entropy=True, rng=None, **extra):
    """Runs whose problems have the given chances before and after, between them a straight line."""
    rng = rng or np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        for step in range(steps):
            share = step / (steps - 1)
            rates = rng.binomial(samples, before(problems) * (1 - share) + after(problems) * share) / samples
            rows.append(
                {
                    "run_id": f"r{seed}",
                    "series": "s",
                    "params": 1e6,
                    "seed": seed,
                    "step": step,
                    "samples": 64.0 * step,
                    "eval": "e",
                    "eval_size": problems,
                    "eval_samples": samples,
                    "loss": 1 - rates.mean(),
                    "pass_rates": rates.tolist(),
                    "entropy": 1 - 0.8 * share if entropy and step else None,
                    **extra,
                }
            )
    return sf.as_runs(pd.DataFrame(rows))


def half(low, high):
    """Half of the problems with one chance of a right answer, half with another."""
    return lambda n: np.repeat([low, high], n // 2)


def test_relations_by_hand():
    assert RELATIONS["pass-at-k"].value({"a": np.log(0.5), "b": -1.0}, np.array([1.0, 2.0])) == pytest.approx(
        [0.5, 0.5**0.5]
    )
    assert RELATIONS["entropy"].value({"a": 0.1, "b": 0.8}, np.array([0.0, np.log(2)])) == pytest.approx([0.7, 0.6])
    assert RELATIONS["horizon"].value({"a": 3.0, "gamma": 2.0}, np.array([1.0, 4.0])) == pytest.approx([3, 48])
    wanted = {"pass-at-k": {"a", "b"}, "entropy": {"a", "b"}, "horizon": {"a", "gamma"}}
    assert {name: {param.name for param in one.params} for name, one in RELATIONS.items()} == wanted


def test_pass_at_k_is_fitted_as_scipy_does():
    """Exact curves give back their coefficients; noisy ones agree with scipy's least squares."""
    from scipy.optimize import curve_fit

    k = 2.0 ** np.arange(8)
    truth = np.array([[-2.6, -0.66], [-0.7, -0.53], [-0.05, -0.3]])
    exact = np.exp(truth[:, :1] * k ** truth[:, 1:])
    np.testing.assert_allclose(fit_pass_at_k(k, exact), truth, rtol=1e-6)
    noisy = np.clip(exact + 0.01 * np.random.default_rng(0).standard_normal(exact.shape), 0.001, 0.999)
    for found, curve in zip(fit_pass_at_k(k, noisy), noisy, strict=True):
        wanted, _ = curve_fit(lambda k, a, b: np.exp(a * k**b), k, curve, p0=found)
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_curves_that_determine_nothing_give_nothing():
    k = np.array([1.0, 8.0])
    assert np.isnan(fit_pass_at_k(k, np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 1.0]]))).all()


def test_entropy_law_and_its_ceiling_cover():
    """400 simulations of 2 runs with noise of correlation .6: the 95 % interval of the ceiling covers 91 to 98 % (false alarm 3 %)."""
    rng, covered = np.random.default_rng(1), 0
    H = np.stack([np.linspace(1.2, 0.3, 40), np.linspace(1.1, 0.35, 40)])
    for _ in range(400):
        noise = np.zeros((2, 40))
        for t in range(40):
            noise[:, t] = 0.6 * noise[:, t - 1] * (t > 0) + 0.02 * rng.standard_normal(2) * (0.8 if t else 1)
        fit = fit_entropy(H, 0.9 - 0.15 * np.exp(H) + noise, np.ones((2, 40), bool))
        _, low, high = fit.ceiling()
        covered += low <= 0.75 <= high
    assert 0.91 <= covered / 400 <= 0.98


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        # Hard problems stay out of reach, the others become sure.
        (half(0.3, 0.0), half(0.9, 0.0), "only sharpening"),
        # Half the problems are given up for a sure answer to the others.
        (half(0.3, 0.1), half(0.9, 0.0), "at the cost of coverage"),
        # What was out of reach comes into it.
        (half(0.3, 0.0), half(0.5, 0.1), "more than sharpening"),
        (half(0.3, 0.1), half(0.3, 0.1), "the data do not say"),
    ],
)
def test_the_verdict_is_the_truth_of_the_table(before, after, word):
    (found,) = study_sharpening(table(before, after, seeds=4))
    assert word in found.verdict
    first = found.passes[0]
    assert first["after"] - first["before"] == pytest.approx(float((after(2) - before(2)).mean()), abs=0.03)
    assert [row["k"] for row in found.passes] == [1, 2, 4, 8, 16, 32]
    # The chance that one of k answers is right, by closed form.
    for row in found.passes:
        assert row["before"] == pytest.approx(float((1 - (1 - before(2)) ** row["k"]).mean()), abs=0.04)


def test_a_law_that_does_not_hold_is_told():
    """Problems of one and the same chance p: pass@k is 1 - (1 - p)^k, which no exp(a k^b) is."""
    same = half(0.1, 0.1)
    (found,) = study_sharpening(table(same, same))
    assert found.law["before"]["misfit"] > 0.05
    assert any("not a law to extrapolate with" in text for text in found.warnings)


def test_no_change_is_called_a_change_as_rarely_as_said(monkeypatch):
    """150 tables of one run where nothing changes: at most 16 % call pass@1 or pass@32 changed (two tests of 5 %; false alarm 1 %)."""
    monkeypatch.setattr("scalefit.studies.sharpening.DRAWS", 2)  # the law's intervals are not asked for
    same = half(0.3, 0.05)
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(150):
        (found,) = study_sharpening(table(same, same, seeds=1, steps=2, problems=200, rng=rng))
        ends = found.passes[0], found.passes[-1]
        wrong += any(not row["low"] <= 0 <= row["high"] for row in ends)
    assert wrong / 150 <= 0.16


def test_tables_that_only_have_columns_are_asked_too(tmp_path):
    """pass_at_k of other tools: differences from seed to seed, and what is missing is said."""
    runs = table(half(0.3, 0.0), half(0.9, 0.0))
    rates = np.stack(list(runs.frame["pass_rates"]))
    frame = runs.frame.drop(columns="pass_rates").assign(
        pass_at_1=rates.mean(1), pass_at_8=1 - ((1 - rates) ** 8).mean(1)
    )
    (found,) = study_sharpening(sf.as_runs(frame))
    assert [row["k"] for row in found.passes] == [1, 8]
    assert any("no pass_rates" in text for text in found.warnings)
    one = frame[frame["seed"] == 0]
    (alone,) = study_sharpening(sf.as_runs(one))
    assert alone.passes[0]["low"] is None
    assert "the data do not say" in alone.verdict


def test_entropy_that_is_no_number_is_left_out_and_told(tmp_path):
    runs = table(half(0.3, 0.0), half(0.9, 0.0), entropy=False)
    (found,) = study_sharpening(runs)
    assert found.entropy is None
    assert any("finite entropy" in text for text in found.warnings)
    frame = runs.frame.assign(entropy=np.where(runs.frame["step"] < 5, np.inf, 0.5))
    sf.write_runs(sf.as_runs(frame), tmp_path / "runs.parquet")
    shown = scalefit("sharpening", "runs.parquet", cwd=tmp_path)
    assert (shown.returncode, "the entropy is the same" in shown.stdout) == (0, True), shown.stderr
    assert "nan" not in shown.stdout.lower()
    results(scalefit("sharpening", "runs.parquet", "--json", cwd=tmp_path))


def test_questions_that_make_no_sense(tmp_path, runs):
    with pytest.raises(FitError, match="keep_problems"):
        study_sharpening(runs)
    with pytest.raises(UsageError, match="there are 32"):
        study_sharpening(table(half(0.3, 0.0), half(0.9, 0.0)), k=[64])
    sf.write_runs(table(half(0.3, 0.0), half(0.9, 0.0)), tmp_path / "runs.parquet")
    told = scalefit("sharpening", "runs.parquet", "--k", "1,x", cwd=tmp_path)
    assert (told.returncode, "whole numbers with commas" in told.stderr) == (2, True)
