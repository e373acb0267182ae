"""Tables of one evaluation a run: final losses of many runs, the commonest published ones."""

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
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
        (["compare", "t.csv", "--law", "chinchilla", "--law", "saturating-linear"], "ranked by the error"),
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
        (["crossval", "t.csv", "--mode", "anchored"], "too few evaluations for a line each"),
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
