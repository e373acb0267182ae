"""The gate: the likelihood behind it, its error when it is asked after every evaluation, what it takes, and its exit codes."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import binom, multivariate_normal, norm

import scalefit as sf
from scalefit.errors import FitError, UsageError
from scalefit.numerics import anytime, two_groups
from scalefit.numerics.anytime import Evidence
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.numerics.two_groups import LEAST_LOOK, Curves, Scatter, gather_evidence
from scalefit.studies.gate import decide
from scalefit.studies.two_sides import repeats_prior
from tests.conftest import ROOT, scalefit

NOISE, MARGIN = 0.015, 0.02
PARAMS = 25_000.0


def table(level, seeds=(0,), length=40, *, scatter=0.0, rho=0.5, draw=0, shared=0.0, falls=0.3, **columns):
    """A runs table of one recipe: a curve that falls, noise, and what each run and each seed adds."""
    rng = np.random.default_rng(draw)
    rows = []
    for seed in seeds:
        own = np.random.default_rng(1000 + seed).standard_normal() * shared + rng.standard_normal() * scatter
        noise = ar1_noise(rng, Noise(rho, np.array([NOISE])), (1, 1, length))[0, 0]
        for at in range(length):
            x = 64.0 * (at + 1)
            loss = 0.5 + falls * x**-0.2 + level + own + noise[at]
            rows.append({"run_id": f"r{seed}", "seed": seed, "step": at, "samples": x, "loss": loss})
    fixed = {"series": "base", "params": PARAMS, "group_size": 8, "eval": "test", "eval_size": 500, "reuse": 1.0}
    return pd.DataFrame(rows).assign(**fixed | columns)


@pytest.fixture
def write(tmp_path):
    def put(name, frame):
        sf.write_runs(sf.as_runs(frame), tmp_path / f"{name}.parquet")
        return f"{name}.parquet"

    return put


def draw(rng, rho, length, runs, *, scatter=0.0, difference=0.0):
    noise = ar1_noise(rng, Noise(rho, np.full(2 * runs, NOISE)), (1, 2 * runs, length))[0]
    side = np.repeat([0.0, 1.0], runs)
    curves = noise + (scatter * rng.standard_normal(2 * runs) + difference * side)[:, None]
    return Curves.of_runs(curves[:runs], curves[runs:], np.arange(1.0, length + 1))


def evidence_against(curves, difference, scatter, every=1):
    looks = np.arange(LEAST_LOOK, curves.values.shape[1] + 1, every)
    found = gather_evidence(curves, scatter=scatter, distance=MARGIN, looks=looks)
    return looks, found.against(difference)


# --- the mathematics


def test_evidence_is_a_ratio_of_integrals():
    """By scipy's quadrature, over the mixture of nuisances and of the differences that are held against one."""
    base, score, information = np.array([[0.0], [-1.0]]), np.array([[40.0], [15.0]]), np.array([[3000.0], [900.0]])
    found = Evidence(base, score, information, 0.02)

    def likelihood(d):
        return sum(np.exp(b[0] + d * s[0] - d * d * i[0] / 2) for b, s, i in zip(base, score, information, strict=True))

    null = 0.01
    distances, weights = anytime._distances(0.02)
    assert distances[-1] >= 1
    total = 0.0
    for distance, weight in zip(distances, weights, strict=True):
        for sign in (-1, 1):
            middle, wide = null + sign * distance, anytime.SHARPNESS * distance

            def integrand(d, middle=middle, wide=wide):
                return likelihood(d) * norm.pdf(d, middle, wide)

            part = quad(integrand, middle - 9 * wide, middle + 9 * wide, points=[0.01, 0.02, middle], limit=400)[0]
            total += weight * part / 2
    assert found.against(null)[0] == pytest.approx(np.log(total / likelihood(null)), rel=1e-6)


def test_a_wider_question_adds_its_variance():
    """An estimate of variance 1/I is one of variance 1/I + v; held against quadrature of the added error."""
    found = Evidence(np.array([[0.3]]), np.array([[40.0]]), np.array([[3000.0]]), 0.02).widened(0.0004)
    for d in (-0.02, 0.0, 0.03):
        value = quad(lambda e, d=d: np.exp(0.3 + (d + e) * 40 - (d + e) ** 2 * 1500) * norm.pdf(e, 0, 0.02), -0.3, 0.3)[
            0
        ]
        said = found.base + d * found.score - d**2 * found.information / 2
        assert said[0, 0] == pytest.approx(np.log(value), abs=1e-6)
    assert found.information[0, 0] == pytest.approx(1 / (1 / 3000 + 0.0004))


@pytest.mark.parametrize("paired", [False, True])
def test_cells_are_the_likelihood_of_what_tells_recipes_apart(paired, monkeypatch):
    """Against scipy's normal density of contrasts between runs: AR(1) noise, one effect a run, whatever they share gone."""
    monkeypatch.setattr(two_groups, "RHO", np.array([0.3, 0.8]))
    monkeypatch.setattr(two_groups, "SPREADS", np.array([0.0]))
    rng, length, runs, tau = np.random.default_rng(3), 7, 2, 0.02
    first, second = rng.normal(0, NOISE, (2, runs, length))
    curves = Curves.of_runs(first, second, np.arange(1.0, length + 1), paired=paired)
    found = gather_evidence(
        curves, scatter=Scatter(np.array([1e-9, tau]), np.ones(2)), distance=MARGIN, looks=np.array([length])
    )
    time, z = np.arange(length), curves.values
    keep = np.eye(len(z)) if paired else np.linalg.svd(np.eye(len(z)) - 1 / len(z))[0][:, : len(z) - 1].T

    said, true = [], []
    for at, rho in enumerate(two_groups.RHO):
        noise = rho ** np.abs(np.subtract.outer(time, time)) / (1 - rho**2)
        for cell, sd in enumerate((1e-9, tau)):
            row = 2 * at + cell
            # The spread of the cell, from what it knows where runs have no effect of their own.
            h = np.r_[np.sqrt(1 - rho**2), np.full(length - 1, 1 - rho)]
            unit = (len(z) if paired else runs / 2) * (h @ h)
            sigma = np.sqrt(unit / found.information[2 * at, 0])
            cov = np.kron(keep @ keep.T, sigma**2 * noise) + sd**2 * np.kron(keep @ keep.T, np.ones((length, length)))
            rest = _about_trend(curves, noise * sigma**2)
            for d in (-0.02, 0.01):
                gap = keep @ (z - d * curves.side[:, None])
                true.append(multivariate_normal.logpdf(gap.ravel(), cov=cov) + rest)
                said.append(float(found.base[row, 0] + d * found.score[row, 0] - d**2 * found.information[row, 0] / 2))
    np.testing.assert_allclose(np.diff(said), np.diff(true), atol=1e-6)


def _about_trend(curves, cov):
    """REML's likelihood of what the curves share, by contrasts that are free of a cubic in log X."""
    basis = np.vander(np.log(curves.x), 4)
    free = np.linalg.svd(basis)[0][:, 4:].T
    return multivariate_normal.logpdf(free @ curves.common, cov=free @ cov @ free.T)


def test_intervals_hold_what_is_not_excluded():
    curves = draw(np.random.default_rng(5), 0.5, 60, 2, difference=0.03)
    looks = np.array([20, 60])
    found = gather_evidence(curves, scatter=Scatter.known(0.0), distance=MARGIN, looks=looks)
    interval = found.sequence(0.05)
    for limit, inside in ((interval.low, 1e-4), (interval.high, -1e-4)):
        assert np.all(found.against(limit + inside) < np.log(20))
        assert np.all(found.against(limit - inside) >= np.log(20))
    assert np.all(np.diff(interval.high - interval.low) < 0)


# --- how often it errs, and what it takes


@pytest.mark.parametrize(
    ("runs", "length", "count", "scatter", "prior", "every"),
    [
        (1, 150, 150, 0.0, Scatter.known(0.0), 1),
        (3, 60, 80, 0.01, repeats_prior(), 2),
        (1, 60, 80, 0.02, Scatter.known(0.02), 1),
    ],
    ids=["these two runs", "scatter from repeats", "scatter that is given"],
)
def test_equal_recipes_are_seldom_told_apart(runs, length, count, scatter, prior, every):
    """Correlation .95, looked at along the whole run: at most 5 %. A gate of 5 % exactly fails here once in a thousand."""
    rng = np.random.default_rng(21)
    hits = 0
    for _ in range(count):
        _, found = evidence_against(draw(rng, 0.95, length, runs, scatter=scatter), 0.0, prior, every)
        hits += found.max() >= np.log(20)
    assert hits <= binom.ppf(0.999, count, 0.05)


def test_a_quarter_fewer_evaluations_than_a_fixed_plan(monkeypatch):
    """A difference of the margin, correlation .8 and known to both. In closed form a plan that looks once has a power of .95
    where the information is (1.960 + 1.645)^2 / difference^2; of AR(1) noise it is (1 + rho + (T - 1)(1 - rho)) / (1 + rho).
    """
    monkeypatch.setattr(two_groups, "RHO", np.array([0.8]))
    rho, count = 0.8, 100
    needed = (norm.ppf(0.975) + norm.ppf(0.95)) ** 2 * 2 * NOISE**2 / MARGIN**2
    plan = 1 + ((1 + rho) * needed - 1 - rho) / (1 - rho)
    rng, stops = np.random.default_rng(22), []
    for _ in range(count):
        looks, found = evidence_against(draw(rng, rho, 180, 1, difference=MARGIN), 0.0, Scatter.known(0.0))
        stops.append(looks[np.argmax(found >= np.log(20))] if found.max() >= np.log(20) else np.inf)
    longest = np.quantile(stops, 0.95, method="inverted_cdf")
    assert np.isfinite(longest)
    assert np.minimum(stops, longest).mean() <= 0.75 * plan


def test_the_benchmark_says_what_is_promised():
    """At most 5 % false alarms at correlations up to .95, within the error of the simulation, and a quarter fewer evaluations
    than one look of the same guarantee at a power of .95.
    """
    found = json.loads((ROOT / "benchmarks" / "gate.json").read_text())
    assert max(row["rate"] for row in found["false alarms"] if row["rho"] <= 0.95) <= 0.05
    assert {(row["rho"], row["runs"]) for row in found["false alarms"]} >= {(0.95, 1), (0.95, 3)}
    saved = [row["saved"] for row in found["saved"] if row["power"] == 0.95]
    assert min(saved) >= 0.25
    # Noise of two kinds: not beyond what the simulation can tell from 5 % where scatter is known, and said where it is not.
    beside = {(row["runs"], row["scatter"], row["told"]): row for row in found["beside"]}
    assert beside.pop((1, 0.0, True))["rate"] > 0.5
    assert max(row["low"] for row in beside.values()) <= 0.05


# --- what it says


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.03, -0.01, "better"),
        (-0.015, -0.01, "equivalent"),
        (-0.019, 0.019, "equivalent"),
        (-0.03, 0.019, "no worse"),
        (0.01, 0.03, "worse"),
        (-0.03, 0.03, "go on"),
        (-0.01, 0.02, "go on"),
    ],
)
def test_verdicts(low, high, verdict):
    assert decide(low, high, 0.02) == verdict


def test_a_look_says_what_one_would_have_been_told_then():
    """The evidence at an evaluation is that of the table which ends there."""
    first, second = table(0.0, (0, 1), draw=1), table(-0.02, (0, 1), draw=2)
    (whole,) = sf.gate(first, second, scatter=0.01)
    row = next(row for row in whole.looks if row["evaluations"] == 20)
    (then,) = sf.gate(*(frame[frame["samples"] <= row["x"]] for frame in (first, second)), scatter=0.01)
    assert then.looks[-1] == pytest.approx(row, abs=1e-5)


def test_what_a_seed_adds_to_both_sides_drops_out():
    args = {"seeds": (0, 1, 2), "shared": 0.2, "scatter": 0.003}
    first, second = table(0.0, draw=1, **args), table(-0.12, draw=2, **args)
    (paired,) = sf.gate(first, second)
    assert (paired.paired, paired.verdict) == (True, "better")
    (apart,) = sf.gate(first, second.assign(seed=second["seed"] + 10))
    assert (apart.paired, apart.verdict) == (False, "go on")


def test_scatter_that_is_given_is_of_a_run_paired_or_not():
    """A mean of n pairs and a difference of means of n runs have the same variance, 2 scatter^2 / n."""
    first, second = table(0.0, (0, 1), draw=1), table(0.0, (0, 1), draw=2)
    widths = []
    for other in (second, second.assign(seed=second["seed"] + 10)):
        (found,) = sf.gate(first, other, scatter=0.05)
        widths.append(found.looks[-1]["high"] - found.looks[-1]["low"])
    assert widths[0] == pytest.approx(widths[1], rel=0.1)


def test_a_run_that_goes_on_counts_as_far_as_it_is():
    """Its last evaluation, an outlier here, counts once and not until the others' end."""
    first, second = table(0.0, (0, 1, 2), draw=1), table(0.08, (3, 4, 5), draw=2)
    young = second[(second["seed"] != 5) | (second["samples"] <= 64 * 12)].copy()
    young.loc[(young["seed"] == 5) & (young["samples"] == 64 * 12), "loss"] += 0.1
    (found,) = sf.gate(first, young, scatter=0.005)
    assert found.looks[-1]["evaluations"] == 40
    assert found.looks[-1]["difference"] == pytest.approx(0.08, abs=0.01)
    assert found.verdict == "worse"
    (without,) = sf.gate(first, second[second["seed"] != 5], scatter=0.005)
    assert found.looks[-1]["high"] - found.looks[-1]["low"] < without.looks[-1]["high"] - without.looks[-1]["low"]


def test_scatter_of_other_sizes_stands_in():
    """One run a side at the size asked about; three each at another size say how far runs differ."""
    many = [table(0.0, (0, 1, 2), draw=n, scatter=0.005, params=1e5) for n in (1, 2)]
    one = [table(level, (0,), draw=n) for n, level in ((3, 0.0), (4, 0.3))]
    many = [frame.assign(run_id="m" + frame["run_id"]) for frame in many]
    found = sf.gate(*(pd.concat(pair) for pair in zip(many, one, strict=True)))
    small = next(answer for answer in found if answer.params == PARAMS)
    assert (small.scatter, small.runs, small.verdict) == ("other sizes", (1, 1), "worse")
    assert small.alpha == pytest.approx(0.025)


def test_problems_in_pairs_ask_about_others_of_their_kind():
    rng = np.random.default_rng(9)
    hard = rng.uniform(size=500)
    frames = []
    for at, level in enumerate((0.0, -0.05)):
        frame = table(level, (0, 1), draw=at, scatter=0.002)
        rates = [(rng.uniform(size=(4, 500)) > np.clip(hard + level, 0, 1)).mean(0).tolist() for _ in range(len(frame))]
        frames.append(frame.assign(pass_rates=rates))
    (found,) = sf.gate(*frames, scatter=0.004)
    last, problems = found.looks[-1], found.problems
    assert problems["se"] < problems["se_unpaired"]
    assert problems["high"] - problems["low"] > last["high"] - last["low"]
    (without,) = sf.gate(*(frame.drop(columns="pass_rates") for frame in frames), scatter=0.004)
    assert without.problems is None
    assert without.looks[-1] == pytest.approx(last, abs=1e-9)


def test_the_multiplier_is_by_the_curves_own_slope():
    """L = 2 X^-.2, and B at 1.1 times the loss: it needs 1.1^5 times the samples."""
    first = table(0.0, (0, 1, 2), draw=1)
    x = first["samples"].to_numpy()
    rng = np.random.default_rng(0)
    first, second = (first.assign(loss=2 * factor * x**-0.2 + rng.normal(0, 0.002, len(x))) for factor in (1.0, 1.1))
    (found,) = sf.gate(first, second, since=64 * 20)
    middle = (2 * (64 * np.arange(20, 41.0)) ** -0.2).mean()
    end = np.mean(2 * np.linspace(0.8 * 2560, 2560, 50) ** -0.2)
    assert found.multiplier["value"] == pytest.approx((1 + 0.1 * middle / end) ** 5, rel=0.03)
    assert found.multiplier["low"] < 1.1**5 < found.multiplier["high"]


# --- the command


def test_exit_codes_for_ci(write, tmp_path):
    write("a", table(0.0, (0, 1, 2), draw=1, scatter=0.003))
    write("worse", table(0.1, (0, 1, 2), draw=2, scatter=0.003))
    write("same", table(0.0, (0, 1, 2), draw=3, scatter=0.003))
    write("short", table(0.0, (0, 1, 2), 7, draw=3, scatter=0.003))
    for name, code, verdict in (("worse", 3, "worse"), ("same", 0, "equivalent"), ("short", 4, "go on")):
        found = scalefit("gate", "a.parquet", f"{name}.parquet", "--json", "--margin", "0.03", cwd=tmp_path)
        assert (found.returncode, found.stderr) == (code, "")
        content = json.loads(found.stdout)
        assert (content["command"], content["results"][0]["verdict"]) == ("gate", verdict)
    better = scalefit("gate", "worse.parquet", "a.parquet", cwd=tmp_path)
    assert (better.returncode, "a is better than worse" in better.stdout) == (0, True)
    said = " ".join(scalefit("gate", "--help", cwd=tmp_path).stdout.split())
    assert "0 where B passes" in said


def test_one_seed_a_side_says_what_it_can_show(write, tmp_path):
    write("a", table(0.0, draw=1))
    write("b", table(0.15, draw=2))
    alone = scalefit("gate", "a.parquet", "b.parquet", cwd=tmp_path)
    assert alone.returncode == 4
    assert "this run of b is worse" in alone.stdout
    assert "--scatter" in alone.stdout
    for scatter, code in (("0", 3), ("0.01", 3), ("0.2", 4)):
        assert scalefit("gate", "a.parquet", "b.parquet", "--scatter", scatter, cwd=tmp_path).returncode == code
    assert (
        "of these runs alone, b is worse"
        in scalefit("gate", "a.parquet", "b.parquet", "--scatter", "0", cwd=tmp_path).stdout
    )
    assert "seeds a side" in scalefit("gate", "a.parquet", "b.parquet", "--scatter", "0.2", cwd=tmp_path).stdout


def test_two_sizes_share_the_error_and_the_worst_decides(write, tmp_path):
    """One is worse, the other open."""
    sides = {}
    for at, name in enumerate(("a", "b")):
        small = table(0.0, (0, 1, 2), 7, draw=at, scatter=0.02)
        large = table(0.3 * at, (0, 1, 2), draw=at + 2, scatter=0.002, params=1e5)
        sides[name] = pd.concat([small, large.assign(run_id="m" + large["run_id"])])
        write(name, sides[name])
    found = scalefit("gate", "a.parquet", "b.parquet", "--json", cwd=tmp_path)
    assert found.returncode == 3
    entries = json.loads(found.stdout)["results"]
    assert [(one["alpha"], one["code"]) for one in entries] == [(0.025, 4), (0.025, 3)]


def test_refusals_are_one_sentence(write, tmp_path):
    write("a", table(0.0, draw=1))
    write("other", table(0.0, draw=1, eval="another"))
    write("few", table(0.0, length=5, draw=1))
    back = table(0.0, draw=1)
    back.loc[7, "samples"] = 1.0
    back.to_parquet(tmp_path / "back.parquet")
    table(0.0, draw=1).assign(loss=np.nan).to_parquet(tmp_path / "none.parquet")
    for name, words in (
        ("other", "nothing|no series, evaluation and size in common"),
        ("few", "5 evaluations at equal samples"),
        ("back", "goes backwards within a run"),
        ("none", "not a finite number"),
    ):
        found = scalefit("gate", "a.parquet", f"{name}.parquet", cwd=tmp_path)
        assert (found.returncode, found.stdout) == (1, "")
        assert any(part in found.stderr for part in words.split("|"))
        assert "Traceback" not in found.stderr
    with pytest.raises(FitError, match="from 2400 on"):
        sf.gate(table(0.0, draw=1), table(0.0, draw=2), since=2_400)
    for option in (
        {"margin": 0.0},
        {"margin": 1.0},
        {"margin": np.inf},
        {"scatter": -0.1},
        {"scatter": np.inf},
        {"alpha": 1.0},
    ):
        with pytest.raises(UsageError, match=f"--{next(iter(option))}"):
            sf.gate(table(0.0, draw=1), table(0.0, draw=2), **option)


def test_tables_called_alike_are_told_by_their_folders(tmp_path):
    """As those of a CI job are: baseline/runs.parquet and candidate/runs.parquet."""
    for draw_of, (name, shift) in enumerate((("baseline", 0.0), ("candidate", 0.15)), start=1):
        (tmp_path / name).mkdir()
        table(shift, draw=draw_of).to_parquet(tmp_path / name / "runs.parquet")
    sides = ("baseline/runs.parquet", "candidate/runs.parquet")
    assert "candidate is worse than baseline" in scalefit("gate", *sides, "--scatter", "0", cwd=tmp_path).stdout
    early = table(0.0, length=20, draw=1), table(0.15, length=20, draw=2)
    assert any("do not tell how long noise stays" in said for said in sf.gate(*early, scatter=0.0)[0].warnings)
    alike = scalefit("gate", sides[0], sides[0], "--scatter", "0", cwd=tmp_path).stdout
    assert "; B minus A " in alike


def test_a_multiple_beyond_all_sense_is_told_as_that(tmp_path):
    """One of a difference that is hardly known yet."""
    sides = (str(ROOT / "data" / "study" / f"e04_{name}_token.parquet") for name in ("grpo", "rloo"))
    call = ("gate", *sides, "--alpha", "1e-30")
    found = json.loads(scalefit(*call, "--json", cwd=tmp_path).stdout)
    assert found["results"][0]["multiplier"]["high"] > 1000
    assert "to more than 1000, at the slope of its own curve" in scalefit(*call, cwd=tmp_path).stdout


def test_what_only_one_table_has_is_open(write, tmp_path):
    """A candidate that was not evaluated on all that the baseline was does not pass by that."""
    first, second = (table(0.0, (0, 1, 2), draw=n, scatter=0.003) for n in (1, 3))
    write("a", pd.concat([first, first.assign(eval="another")]))
    write("b", second)
    words = ("gate", "a.parquet", "b.parquet", "--margin", "0.03")
    assert scalefit(*words, cwd=tmp_path).returncode == 4
    assert scalefit(*words, "--where", "eval=test", cwd=tmp_path).returncode == 0


def test_rows_in_any_order_are_one_table():
    first, second = table(0.0, (0, 1), draw=1), table(0.05, (0, 1), draw=2)
    (found,) = sf.gate(first, second)
    (mixed,) = sf.gate(first.sample(frac=1, random_state=0), second)
    assert mixed.looks == found.looks
