"""Tables of one evaluation a run: final losses of many runs, the commonest published ones."""

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import FitError
from scalefit.fitting.fit import fit_data
from scalefit.prediction.beyond import begun
from scalefit.prediction.groups import MANY, group_sizes
from scalefit.prediction.roads import leave_size_out
from scalefit.table.prepare import prepare
from tests.conftest import results, scalefit

E, A, B, ALPHA, BETA = 0.28, 70.0, 68.0, 0.34, 0.28


@pytest.fixture(scope="module")
def finals():
    """Seven sizes of six numbers of tokens each, every one a run of its own at step 1, by chinchilla's law."""
    rng = np.random.default_rng(1)
    N, D = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e8, 1e10, 7), np.geomspace(1e9, 3e11, 6)))
    loss = (E + A * N**-ALPHA + B * D**-BETA) * (1 + 0.002 * rng.standard_normal(N.size))
    names = [f"r{at}" for at in range(N.size)]
    frame = pd.DataFrame(
        {"run_id": names, "series": "g", "params": N, "step": 1, "tokens": D, "eval": "v", "loss": loss}
    )
    return sf.as_runs(frame)


def test_every_point_is_kept_and_the_law_is_found(finals):
    (data,) = prepare(finals)
    assert (data.points, len(data.params), data.resources) == (42, 42, ("tokens",))
    fit = sf.fit(finals, "chinchilla", noise="independent")
    # The errors of this design at .2 % noise are 3 % of either exponent.
    assert fit.params["alpha"].value == pytest.approx(ALPHA, rel=0.1)
    assert fit.params["beta"].value == pytest.approx(BETA, rel=0.1)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["check", "t.csv"], "one evaluation a run"),
        (["fit", "t.csv", "--law", "chinchilla", "--noise", "independent"], "chinchilla in tokens, 7 sizes, 42 points"),
        (["fit", "t.csv"], "saturating in tokens"),
        (["crossval", "t.csv", "--law", "chinchilla"], "leave one out"),
        (
            ["compare", "t.csv", "--law", "chinchilla", "--law", "saturating-linear"],
            "chinchilla predicts sizes left out best",
        ),
        (["report", "t.csv"], "written: report.html"),
        (["figures", "t.csv"], "drawn: figures/law_g_tokens.png"),
    ],
)
def test_commands_run_through(words, answer, finals, tmp_path):
    sf.write_runs(finals, tmp_path / "t.csv")
    found = scalefit(*words, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert answer in found.stdout
    assert "nan" not in found.stdout.lower()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["forecast", "t.csv", "--run", "r3"], "has 1 evaluations after its start"),
        (["crossval", "t.csv", "--mode", "prefix"], "nothing to predict; --mode zero-shot holds out whole sizes"),
        (["crossval", "t.csv", "--mode", "anchored"], "no run is longer than the 10 anchor points"),
        (["plan", "t.csv", "--flops", "1e20"], "has no flops, which is asked for"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(words, why, finals, tmp_path):
    sf.write_runs(finals, tmp_path / "t.csv")
    found = scalefit(*words, cwd=tmp_path)
    assert found.returncode in (1, 2)
    assert why in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_a_prediction_rests_on_the_points(finals, tmp_path):
    sf.write_runs(finals, tmp_path / "t.csv")
    scalefit("fit", "t.csv", "--law", "chinchilla", "--noise", "independent", cwd=tmp_path)
    (found,) = results(scalefit("predict", "--params", "20B", "--at", "1e11", "--json", cwd=tmp_path))
    (point,) = found["curve"]
    truth = E + A * 2e10**-ALPHA + B * 1e11**-BETA
    assert point["loss"] == pytest.approx(truth, rel=0.01)
    assert point["tokens"] == 1e11


def test_many_sizes_are_held_out_in_groups():
    sizes = np.geomspace(1, 1e3, 245)
    assert [len(some) for some in group_sizes(sizes[:12])] == [1] * 12
    assert [len(some) for some in group_sizes(sizes[:30], MANY)] == [1] * 30
    groups = group_sizes(sizes, MANY)
    assert sorted({len(some) for some in groups}) == [20, 21]
    np.testing.assert_array_equal(np.concatenate(groups), sizes)
    assert len(groups) == len(group_sizes(sizes)) == 12


@pytest.fixture(scope="module")
def scattered():
    """Forty final losses, each of a size of its own."""
    rng = np.random.default_rng(2)
    N, D = np.geomspace(1e8, 1e10, 40), np.exp(rng.uniform(np.log(1e9), np.log(3e11), 40))
    loss = (E + A * N**-ALPHA + B * D**-BETA) * (1 + 0.002 * rng.standard_normal(40))
    columns = {
        "run_id": [f"r{at}" for at in range(40)],
        "series": "g",
        "params": N,
        "step": 1,
        "tokens": D,
        "eval": "v",
    }
    return sf.as_runs(pd.DataFrame({**columns, "loss": loss}))


def test_an_unseen_size_is_as_uncertain_as_groups_left_out(scattered, monkeypatch):
    """Each twelfth of the sizes by the law of the others, and for a larger one by the smaller alone; nothing else is fitted."""
    fit = sf.fit(scattered, "chinchilla").fit
    data, counts = fit.data, []
    groups = np.array_split(data.sizes, 12)

    def missed(some, rows):
        law = fit_data(begun(fit), data.keep(rows), fit.specification)
        held = data.keep(np.isin(data.params, some))
        log, _ = law.log_curve(held.params, held.resource[:, :, 0])
        return np.mean((log - np.log10(held.loss[:, 0])) ** 2)

    every = [missed(some, ~np.isin(data.params, some)) for some in groups]
    upward = [*(missed(some, data.params < some[0]) for some in groups[3:-1]), every[-1]]
    wanted = {2e9: (np.mean(every), 12), 2e10: (max(np.mean(every), np.mean(upward)), 9)}
    monkeypatch.setattr("scalefit.prediction.roads.fit_data", lambda *args: counts.append(1) or fit_data(*args))
    for size, (square, folds) in wanted.items():
        counts.clear()
        unseen = leave_size_out(fit, size)
        assert (unseen.error, unseen.folds) == (pytest.approx(square**0.5), folds)
        assert len(counts) == (12 if folds == 12 else 20)
    # What is known of the noise of an evaluation is no misfit.
    assert leave_size_out(fit, 2e9).misfit < 0.5 * np.mean(every) ** 0.5


def test_many_sizes_are_cross_validated_in_groups_and_it_is_said(scattered, tmp_path):
    sf.write_runs(scattered, tmp_path / "t.csv")
    found = scalefit("crossval", "t.csv", "--law", "chinchilla", cwd=tmp_path).stdout
    assert "40 sizes are held out in 12 groups of neighbours" in found
    assert sum(" to " in line for line in found.splitlines()) == 14
    folds = sf.cross_validate(scattered, "chinchilla")
    assert (folds["params"] < folds["params_high"]).all()
    assert folds["cover95"].mean() > 0.8
    ranked = scalefit("compare", "t.csv", "--law", "chinchilla", cwd=tmp_path).stdout
    assert "held out in 12 groups" in ranked
    assert "chinchilla predicts sizes left out best" in ranked


def test_a_law_with_a_level_a_size_points_to_one_of_all_sizes(scattered):
    with pytest.raises(FitError, match=r"40 points for the 42 parameters of 'saturating'.*'chinchilla'"):
        sf.fit(scattered)


@pytest.mark.parametrize("seed", range(4))
def test_beyond_its_tokens_the_band_holds_the_truth_and_says_something(seed, scattered):
    """Four times the tokens measured; of 100 such sets of four tables 81 are all held."""
    rng, frame = np.random.default_rng(seed), scattered.frame
    truth = E + A * frame["params"] ** -ALPHA + B * frame["tokens"] ** -BETA
    fit = sf.fit(frame.assign(loss=truth * (1 + 0.002 * rng.standard_normal(40))), "chinchilla")
    size, most = fit.data.sizes[20], float(frame["tokens"].max())
    near, far = fit.predict_size(size, at=[most]), fit.predict_size(size, at=[4 * most])
    assert not near.warnings
    assert "given less" in far.warnings[-1]
    (point,) = far.curve
    assert point["low"] < E + A * size**-ALPHA + B * (4 * most) ** -BETA < point["high"]
    assert point["high"] - point["low"] < 0.1
