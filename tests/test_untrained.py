"""Offsets and gains that read the untrained model, and slopes at equal start: laws by hand, tables whose truth is known, what is said of too little."""

import json

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import FitError, UsageError
from scalefit.laws import get_law
from scalefit.laws.untrained import reading_clock, reading_offset
from scalefit.numerics.derivative import differentiate
from scalefit.numerics.intervals import ratio_ends
from scalefit.prediction.scores import score_held_out
from scalefit.studies.judge_reading import judge_reading
from scalefit.studies.left_out import Folds, Gains, Offsets
from scalefit.studies.level_parts import left_at_equal_start, within_sizes
from scalefit.studies.rises import Arm
from scalefit.studies.untrained import read_untrained
from scalefit.table.prepare import prepare
from tests.conftest import ROOT, results, scalefit

STUDY = ROOT / "data" / "study"
SIZES = 1e4 * np.geomspace(1, 100, 5)
SAMPLES = np.geomspace(200, 2e4, 10)


def table(seed, *, sizes=4, seeds=2, related=True, wander=0.3, curve=0.0, noise=0.004, scatter=0.02, crossing=0.0):
    """Runs whose E(N) is read from pass@64 of the untrained model, or from something else that wanders as much; pass@1 tells nothing."""
    rng = np.random.default_rng(seed)
    params = 1e4 * np.geomspace(1, 100, sizes)
    u = np.log10(params / 1e5)
    line = -0.5 - 0.25 * u
    wrong, other = line + wander * rng.standard_normal((2, sizes))
    start = 10 ** np.minimum(-0.1 - 0.08 * u + 0.2 * wander * rng.standard_normal(sizes), -0.01)
    k = 0.15 * params / (params + 5e4)
    E = -0.15 + 0.1 * u + 0.3 * ((wrong if related else other) + 0.5) + curve * u**2 + crossing * k
    rows = []
    for s in range(sizes):
        for which in range(seeds):
            slope = k[s] * (1 + scatter * rng.standard_normal())
            log = E[s] - k[s] * 3.3 + 0.2 * scatter * rng.standard_normal() - slope * (np.log10(SAMPLES) - 3.3)
            loss = np.clip(10**log + noise * rng.standard_normal(len(log)), 0.001, 1)
            about = {
                "run_id": f"{s}-{which}",
                "series": "s",
                "params": params[s],
                "seed": which,
                "eval": "e",
                "eval_size": 1000,
            }
            told = {"pass_at_64": 1 - 10 ** wrong[s]}
            rows.append({**about, "step": 0, "samples": 0.0, "loss": start[s], **told})
            rows += [{**about, "step": t + 1, "samples": SAMPLES[t], "loss": loss[t]} for t in range(len(loss))]
    return sf.as_runs(pd.DataFrame(rows))


def judged(runs, kind=Offsets, top=1):
    """What is judged of a table, its points told by least squares rather than by the whole prediction."""
    (data,) = prepare(runs, "samples")
    side = kind(read_untrained(runs, data), Folds(data.sizes, data.sizes[-top:]))
    forms = side.forms(side.values())
    missed = side.misses([form.law.name for form in forms], np.ones(len(side.index), bool))
    names = ("top", "left_out")
    return judge_reading(
        side,
        [
            {"law": form.law.name, "reads": form.reads, **dict(zip(names, map(float, one), strict=True))}
            for form, one in zip(forms, missed, strict=True)
        ],
    )


def test_a_reading_offset_by_hand():
    law = reading_offset("r", "c", SIZES, np.arange(5.0), of_gain=True)
    p = {name: np.array(value) for name, value in {"k_max": 0.2, "N0": 1e5, "E0": 0.1, "b": -0.3, "x0": 2.0}.items()}
    k = 0.2 * SIZES / (SIZES + 1e5)
    wanted = 0.1 - 0.3 * np.arange(5) + 2 * k - 3 * k
    assert law.log_loss(p, SIZES, np.full((1, 5), 1e3)) == pytest.approx(wanted)
    between = np.sqrt(SIZES[1] * SIZES[2])
    assert law.line(p, np.array([between]))[1] == pytest.approx(0.1 - 0.3 * 1.5 + 2 * 0.2 * between / (between + 1e5))


def test_a_reading_clock_by_hand():
    start, read = np.linspace(0.9, 0.5, 5), np.linspace(0, 1, 5)
    law = reading_clock("r", "g", SIZES, start, {"g0": np.ones(5), "g_c": read})
    p = {name: np.array(value) for name, value in {"X_mid": 100.0, "B": 2.0, "g0": 0.1, "g_c": 0.5}.items()}
    wanted = np.log10(start * (1 - (0.1 + 0.5 * read) * 0.8))
    assert law.log_loss(p, SIZES, np.full((1, 5), 200.0)) == pytest.approx(wanted)


@pytest.mark.parametrize("of_gain", [False, True])
def test_gradients_match_the_complex_step(of_gain):
    read, X = np.linspace(-1, 0, 5), np.geomspace(10, 1e4, 5)[None]
    line = reading_offset("r", "c", SIZES, read, of_gain=of_gain)
    clock = reading_clock("g", "g", SIZES, np.linspace(0.9, 0.5, 5), {"g0": np.ones(5), "g_c": read})
    values = {"k_max": 0.2, "N0": 1e5, "E0": 0.1, "b": -0.3, "x0": 2.0, "X_mid": 300.0, "B": 1.2, "g0": 0.5, "g_c": 0.2}
    for law in (line, clock):
        p = {param.name: np.array(values[param.name]) for param in law.params}
        wanted = differentiate(law.log_loss, p, SIZES, X)
        found = law.gradient(p, SIZES, X)
        for name in p:
            assert np.broadcast_to(found[name], (5,)) == pytest.approx(wanted[name], rel=1e-8, abs=1e-12), name


def test_step_0_is_read_run_by_run():
    """Means over the runs of a size, whatever the order of rows; kept pass rates stand for columns of pass@k."""
    frame = table(0, seeds=3).frame
    zero = frame["step"] == 0
    by_hand = np.log10(frame[zero].groupby("params")["loss"].mean())
    mixed = sf.as_runs(frame.sample(frac=1, random_state=1))
    (data,) = prepare(mixed, "samples")
    found = read_untrained(mixed, data)
    assert found.readings[0].of_sizes(found.data.each.size_index) == pytest.approx(by_hand.to_numpy())
    names = dict(zip(found.run_ids, found.start, strict=True))
    assert names == pytest.approx(frame[zero].set_index("run_id")["loss"].to_dict())
    assert [one.name for one in found.readings] == ["pass@1", "pass@64"]
    rates = frame.drop(columns="pass_at_64").assign(
        pass_rates=[[0.0, 0.5] if first else None for first in zero], eval_samples=8
    )
    (data,) = prepare(kept := sf.as_runs(rates), "samples")
    one = read_untrained(kept, data).readings[1]
    # Of two problems one is never solved, the other always within eight tries of which four are right.
    assert (one.name, one.each) == ("pass@8", pytest.approx(np.full(12, 0.5)))


def test_the_loss_on_right_answers_is_read_as_it_is():
    frame = table(0).frame
    runs = sf.as_runs(frame.assign(answer_loss=np.where(frame["step"] == 0, 2.5, np.nan)))
    (data,) = prepare(runs, "samples")
    assert read_untrained(runs, data).readings[-1].of_sizes(data.each.size_index) == pytest.approx(np.full(4, 2.5))


def test_an_offset_that_is_read_is_found():
    found = sf.study_offsets(table(3, seeds=3), "samples")[0]
    assert found.offset["says"] == "yes"
    assert found.offset["reads"] == "pass@64"
    assert found.offset["high"] < 1
    assert found.offset["p"] <= 0.05
    assert found.offset["orders"] == 24
    assert found.verdict.startswith("the level E(N) is read from pass@64 of the untrained model")
    assert set(found.frame["of"]) == {"offset", "gain", "nothing", "default", "level known"}
    # Closed offsets are scored as everywhere.
    folds = sf.cross_validate(table(3, seeds=3), "saturating-linear", "samples")
    one = folds[folds["fold"] == "leave one out"]
    row = found.frame.set_index("law").loc["saturating-linear"]
    assert row["top"] == pytest.approx(one["rmse"].iloc[-1])
    assert row["left_out"] == pytest.approx(np.sqrt((one["rmse"] ** 2).mean()))


NULLS = {"another": {}, "wanders little": {"wander": 0.1}, "smooth": {"wander": 0.03, "curve": 0.04}}


@pytest.mark.parametrize("kind", NULLS)
def test_an_offset_of_something_else_is_not_found(kind):
    """Of eight tables of fixed seeds, where at most 5 % are to be found: three or more would be seen in .6 % of times."""
    says = [judged(table(seed, related=False, **NULLS[kind])).says for seed in range(8)]
    assert says.count("yes") <= 2


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "sizes"), list(zip(NULLS, (4, 5, 4), strict=True)))
def test_false_alarms(kind, sizes):
    """At most 5 %: of 40 tables six or more would be seen in 1.4 % of times."""
    says = [judged(table(seed, sizes=sizes, related=False, **NULLS[kind])).says for seed in range(40)]
    assert says.count("yes") <= 5


@pytest.mark.slow
def test_power():
    """Five sizes of three runs, and an offset that is read: more tables than not say so (12 of these)."""
    says = [judged(table(seed, sizes=5, seeds=3)).says for seed in range(20)]
    assert says.count("yes") > 10


def gaining(seed, *, related):
    """Runs on one clock whose gain is a line in pass@64 of the start, or wanders by itself."""
    rng = np.random.default_rng(100 + seed)
    frame = table(seed, sizes=5).frame
    sizes = sorted(frame["params"].unique())
    zero = frame[frame["step"] == 0].groupby("params")
    read = np.log10(1 - zero["pass_at_64"].first().loc[sizes].to_numpy())
    gain = 0.3 - 0.3 * (read + 0.5) if related else rng.uniform(0.1, 0.7, 5)
    at = np.searchsorted(sizes, frame["params"])
    share = 1 / (1 + (2e3 / np.maximum(frame["samples"], 1e-9)) ** 1.5)
    loss = zero["loss"].first().loc[sizes].to_numpy()[at] * (1 - gain[at] * share)
    return sf.as_runs(frame.assign(loss=loss + 0.002 * rng.standard_normal(len(loss))))


def test_a_gain_that_is_read_is_found():
    """And of eight whose gain is something else, where at most 5 % are to be found, at most two: .6 % of times more are."""
    found = judged(gaining(0, related=True), Gains)
    assert (found.says, found.reads) == ("yes", "pass@64")
    assert [judged(gaining(seed, related=False), Gains).says for seed in range(8)].count("yes") <= 2


@pytest.mark.slow
def test_false_alarms_of_gains():
    """At most 5 %: of 40 tables six or more would be seen in 1.4 % of times."""
    assert [judged(gaining(seed, related=False), Gains).says for seed in range(40)].count("yes") <= 5


def test_the_interval_is_that_of_a_jackknife_within_sizes():
    from scipy import stats

    runs = table(3, seeds=3)
    found = judged(runs)
    (data,) = prepare(runs, "samples")
    side = Offsets(read_untrained(runs, data), Folds(data.sizes, data.sizes[-1:]))
    others = [form.law.name for form in side.forms(side.values()) if not form.reads]
    logs = []
    for out in range(12):
        missed = side.misses([found.law, *others], np.arange(12) != out)[:, 1]
        logs.append(np.log(missed[0] / missed[1:].min()))
    variance = sum(2 / 3 * np.sum((np.array(part) - np.mean(part)) ** 2) for part in np.split(np.array(logs), 4))
    assert np.log(found.high / found.ratio) == pytest.approx(stats.t.ppf(0.975, 8) * np.sqrt(variance))


def test_one_run_a_size_has_no_interval():
    found = judged(table(3, seeds=1))
    assert (found.low, found.high, found.says) == (None, None, "open")


def test_top_sizes_are_held_out_together():
    runs = table(1, sizes=5, seeds=1)
    found = sf.study_offsets(runs, hold_out=["1M", "316k"])[0]
    (data,) = prepare(runs, "samples")
    top = data.sizes[-2:]
    together = score_held_out(get_law("saturating-linear"), data.keep(data.params < top[0]), data, top, 0)
    row = found.frame.set_index("law").loc["saturating-linear"]
    assert row["top"] == pytest.approx(together["rmse"])
    assert "offset of pass@64 and k(N)" not in set(found.frame["law"])  # three sizes, three parameters
    with pytest.raises(UsageError, match="name the largest"):
        sf.study_offsets(runs, hold_out=["10k"])
    with pytest.raises(FitError, match="needs three"):
        sf.study_offsets(runs, hold_out=["1M", "316k", "100k"])


def test_what_is_too_little_is_said():
    runs = table(0)
    with pytest.raises(FitError, match="no row at step 0"):
        sf.study_offsets(runs.frame[runs.frame["step"] > 0])
    with pytest.raises(FitError, match="4 are needed"):
        sf.study_offsets(runs, where={"params": sorted(runs.frame["params"].unique())[:3]})
    bare = sf.study_offsets(runs.frame.drop(columns="pass_at_64"))[0]
    assert any("[eval] pass_at = [1, 8, 64] with end_samples = 64" in text for text in bare.warnings)


def test_ends_of_a_ratio():
    """Where the denominator is known exactly, its interval is Student's; at both ends the difference is just told from 0."""
    assert ratio_ends(3.0, 2.0, np.diag([0.04, 0.0]), 2.0) == pytest.approx((1.3, 1.7))
    covariance = np.array([[0.04, 0.01], [0.01, 0.09]])
    for end in ratio_ends(3.0, 2.0, covariance, 1.5):
        away = np.array([1, -end])
        assert abs(3 - end * 2) == pytest.approx(1.5 * np.sqrt(away @ covariance @ away))
    assert ratio_ends(1.0, 0.1, np.eye(2), 2.0) == (-np.inf, np.inf)


def arm(rng, start, *, size=0.05, level=-0.3, sd=0.012, seeds=(5, 5, 5, 5, 2), within=0.02, relative=False, noise=0.0):
    """Runs whose k rises by `size` a decade of N and by `level` a decade of loss at the start."""
    index = np.repeat(np.arange(5), seeds)
    at = np.asarray(start)[index] + within * rng.standard_normal(len(index))
    k = 0.1 + size * np.log10(SIZES / 1e4)[index] + level * (at + 0.1)
    k = k + sd * rng.standard_normal(len(k)) * (k / k.mean() if relative else 1)
    seen = at + np.sqrt(noise) * rng.standard_normal(len(at))
    return Arm("a", SIZES[index], k, seen, np.full(len(at), noise))


EQUAL, OTHER = np.linspace(-0.08, -0.09, 5), np.linspace(-0.06, -0.25, 5)


def test_parts_of_a_slope_without_noise():
    """What is put in comes out, starts that are not quite equal included; the rise is that of numpy's line."""
    rng = np.random.default_rng(0)
    equal, other = (arm(rng, start, sd=0.0) for start in (EQUAL, OTHER))
    means = [[one.slope[one.params == size].mean() for size in SIZES] for one in (equal, other)]
    assert other.rise(other.slope) == pytest.approx(2 * np.polyfit(np.log10(SIZES), means[1], 1)[0])
    share = 2 * 0.05 / other.rise(other.slope)
    assert left_at_equal_start(equal, other)["share"] == pytest.approx(share)
    inside = within_sizes(other)
    assert inside["coefficient"] == pytest.approx(-0.3)
    assert inside["share"] == pytest.approx(1 - share)


def test_the_coefficient_within_sizes_is_that_of_least_squares():
    from scipy import stats

    one = arm(np.random.default_rng(1), OTHER)
    design = np.concatenate([np.eye(5)[one.index], one.start[:, None]], 1)
    held, (left,), *_ = np.linalg.lstsq(design, one.slope, rcond=None)
    dof = len(one.slope) - 6
    half = stats.t.ppf(0.975, dof) * np.sqrt(left / dof * np.linalg.inv(design.T @ design)[-1, -1])
    found = within_sizes(one)
    assert (found["coefficient"], found["high"]) == pytest.approx((held[-1], held[-1] + half))


TRUTHS = ((0.05, -0.3), (0.0, -0.5), (0.08, 0.0))


def covered(draws, *, size, level, **given):
    """How often the intervals of both shares hold the truth."""
    rng = np.random.default_rng(1)
    rise = 2 * size + level * (OTHER[-1] - OTHER[0])
    hits = []
    for _ in range(draws):
        equal, other = (arm(rng, start, size=size, level=level, **given) for start in (EQUAL, OTHER))
        left, inside = left_at_equal_start(equal, other), within_sizes(other)
        if left["low"] is not None and inside["share_low"] is not None:
            part = 2 * size / rise
            hits.append((left["low"] <= part <= left["high"], inside["share_low"] <= 1 - part <= inside["share_high"]))
    assert len(hits) > 0.95 * draws
    return np.mean(hits, axis=0)


@pytest.mark.parametrize(("size", "level"), TRUTHS)
def test_shares_are_covered(size, level):
    """95 % of 200 draws, less three standard errors of that: .90; the first is wide where runs scatter alike."""
    assert (covered(200, size=size, level=level) >= 0.9).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "relative", "noise"),
    [((5, 5, 5, 5, 2), True, 0.0), ((5, 5, 5, 5, 2), False, 1e-4), ((3,) * 5, True, 1e-4)],
)
@pytest.mark.parametrize(("size", "level"), TRUTHS)
def test_shares_are_covered_whatever_scatters(size, level, seeds, relative, noise):
    """Of 600 draws at least 95 %, less three standard errors of that: .923."""
    found = covered(600, size=size, level=level, seeds=seeds, relative=relative, noise=noise)
    assert (found >= 0.923).all(), found


def learning(name, start, *, size, level, seed, sd=0.004):
    """A table whose runs have slopes made of their size and their start."""
    rng = np.random.default_rng(seed)
    rows = []
    for s, params in enumerate(SIZES):
        for which in range(3):
            at = start[s] + 0.01 * rng.standard_normal()
            k = 0.1 + size * s / 2 + level * (at + 0.1) + sd * rng.standard_normal()
            about = {"run_id": f"{name}{s}-{which}", "series": name, "params": params, "seed": which, "eval": "e"}
            about |= {"eval_size": 1000, "eval_samples": 64}
            rows.append({**about, "step": 0, "samples": 0.0, "loss": 10**at})
            rows += [
                {**about, "step": t + 1, "samples": x, "loss": 10 ** (at - k * np.log10(x / 100))}
                for t, x in enumerate(SAMPLES)
            ]
    return pd.DataFrame(rows)


def test_two_arms_tell_level_from_size():
    for size, level, wanted in ((0.06, 0.0, "size"), (0.0, -0.6, "level")):
        equal, other = (
            learning(name, start, size=size, level=level, seed=seed)
            for seed, (name, start) in enumerate({"equal": EQUAL, "tokens": OTHER}.items())
        )
        (found,) = sf.study_level(equal, other, "samples")
        assert found.verdict.startswith(f"most of the difference in slope is {wanted}")
        (same,) = sf.study_level(pd.concat([equal, other]), arms=["equal", "tokens"])
        assert same.left == found.left
        (alone,) = sf.study_level(other)
        assert alone.left is None
        assert alone.between[0]["level"] is None  # start and log N are on a line
        assert "sizes alone cannot tell them apart" in alone.verdict
    with pytest.raises(UsageError, match="no series 'token'"):
        sf.study_level(pd.concat([equal, other]), arms=["equal", "token"])
    swapped = sf.study_level(other, equal)[0]
    assert "too much alike" in swapped.verdict


def test_noise_of_evaluating_starts_is_said():
    found = sf.study_level(learning("s", OTHER, size=0.05, level=0.0, seed=0).assign(eval_size=10))[0]
    assert "noise of evaluating them" in found.within[0]["says"]
    assert found.verdict.startswith("the data do not say")


def test_commands(tmp_path):
    found = scalefit("level", STUDY / "e05_grpo.parquet", "--x", "samples", "--json", cwd=tmp_path)
    (one,) = results(found)
    assert one["between"][0]["r"] == pytest.approx(-0.93, abs=0.01)
    assert one["between"][0]["level"] is None
    assert json.loads(found.stdout)["verdict"] == one["headline"]
    found = scalefit("offsets", STUDY / "e02.parquet", cwd=tmp_path)
    assert "4 are needed" in found.stderr
