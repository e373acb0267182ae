"""A law of one's own goes wherever a name goes: fitted, cross-validated, simulated, saved and loaded again."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

import scalefit as sf
from scalefit.errors import FitError, LawError
from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.fit import Specification, fit_data
from scalefit.laws import LAWS, get_law, name_of
from scalefit.numerics.derivative import differentiate
from scalefit.table.prepare import prepare
from tests.conftest import RUNS, SIZES, scalefit

OLS = Specification(noise="independent")
MODULE = """
import numpy as np
import scalefit as sf

DECAY = sf.law(
    lambda X, A, L0, X_scale: A + (L0 - A) * np.exp(-X / X_scale),
    bounds={"A": (0, 1), "L0": (0, 2), "X_scale": (1, 1e8)},
)
CLOSED = sf.law(lambda X, N, k1, gamma, E: 10 ** E * X ** (-k1 * (N / 1e9) ** gamma), name="closed", start={"k1": 0.05})
THREE = 3
"""


@pytest.fixture(scope="module")
def base(runs):
    (data,) = prepare(runs, "samples", {"series": "base"})
    return data


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with `mylaws.py`, from which nothing stays imported."""
    (tmp_path / "mylaws.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("mylaws", None)


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_a_gradient_is_optional(law, runs):
    """The Jacobian without it is the analytic one: at each law's own start on the paper's curves."""
    (data,) = prepare(runs, "samples", {"series": "base"}, both=law.resources == 2)
    bound = BoundLaw(law, data.sizes)
    theta, N = bound.start(data), np.repeat(data.params, data.loss.shape[1])
    X = data.resource.reshape(law.resources, -1)
    exact = bound.jacobian(theta, N, X)
    found = BoundLaw(replace(law, gradient=None), data.sizes).jacobian(theta, N, X)
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-12)


def test_where_complex_numbers_fail_differences_are_taken():
    """|x| drops the imaginary part, `float` refuses it: the derivative of |a| x^b is that of a x^b all the same."""
    N, X = np.ones(5), np.linspace(1, 3, 5)[None]
    values = {"a": np.array([2.0]), "b": np.array([0.7])}
    expected = {"a": X[0] ** 0.7, "b": 2 * X[0] ** 0.7 * np.log(X[0])}
    for form in (
        lambda p, N, X: np.abs(p["a"]) * X[0] ** p["b"],
        lambda p, N, X: np.abs(p["a"]) ** 0.5 * p["a"] ** 0.5 * X[0] ** p["b"],
        lambda p, N, X: float(p["a"][0]) * X[0] ** float(p["b"][0]),
    ):
        found = differentiate(form, values, N, X)
        for name, slope in expected.items():
            np.testing.assert_allclose(found[name], slope, rtol=1e-8)


def test_a_plain_function_finds_the_optimum_of_the_built_in_law(base):
    """Without gradient and without start, three parameters a size."""
    mine = sf.law(
        lambda X, A, L0, X_scale: A + (L0 - A) * np.exp(-X / X_scale),
        bounds={"A": (0, 1), "L0": (0, 2), "X_scale": (1e-6, 1e40)},
    )
    found, wanted = fit_data(mine, base, OLS), fit_data("exponential", base, OLS)
    assert mine.per_size == ("A", "L0", "X_scale")
    assert found.status == wanted.status == "converged"
    assert found.cost == pytest.approx(wanted.cost, rel=1e-10)
    np.testing.assert_allclose(found.theta, wanted.theta, rtol=1e-6)
    np.testing.assert_allclose(found.covariance, wanted.covariance, rtol=1e-5, atol=1e-12)


def test_a_lambda_without_bounds_is_fitted_and_predicts(runs):
    fit = sf.fit(runs, sf.law(lambda X, a, b: a * X**-b), "samples", {"series": "base"}, noise="independent")
    power = sf.fit(runs, "power", "samples", {"series": "base"}, noise="independent")
    assert fit.status == "misfit"
    assert fit.params["b[7B]"].value == pytest.approx(power.params["k[7B]"].value, rel=1e-5)
    mine, theirs = (one.predict("7B", samples=[1e4, 5e4]) for one in (fit, power))
    np.testing.assert_allclose(mine[["loss", "low", "high"]], theirs[["loss", "low", "high"]], rtol=1e-4)
    with pytest.raises(LawError, match="into a module"):
        fit.save("never.json")


def test_a_law_of_size_is_simulated_fitted_and_held_out():
    truth = {"k1": 0.02, "gamma": 0.4, "E": -0.02}
    law = sf.law(lambda X, N, k1, gamma, E: E - k1 * (N / 1e9) ** gamma * np.log10(X), log=True)
    assert law.per_size == ()
    table = sf.simulate(law, truth, params=SIZES, samples=512.0 * np.arange(1, 60), sigma=0.003, seed=1)
    fit = sf.fit(table, law)
    # Four standard errors: a false alarm in 16,000 draws.
    for name, value in truth.items():
        assert fit.params[name].value == pytest.approx(value, abs=4 * fit.params[name].se)
    scores = sf.cross_validate(table, law)
    assert {*scores["law"]} == {law.name}
    assert scores["rmse"].max() < 0.005


def test_sizes_and_defaults_of_a_function():
    law = sf.law(lambda X, params, a=0.5, b=0.1, c=2.0: a * X**-b + c / params, per_size=["c"], bounds={"b": (1e-4, 1)})
    assert [(one.name, one.start, one.scale, one.per_size) for one in law.params] == [
        ("a", 0.5, "linear", False),
        ("b", 0.1, "log", False),
        ("c", 2.0, "linear", True),
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sf.law(lambda X: X), "names its resource first"),
        (lambda: sf.law(lambda X, **p: X), "names its resource first"),
        (lambda: sf.law(lambda X, a: a, bounds={"b": (0, 1)}), "bounds: no parameter 'b'"),
        (lambda: sf.law(lambda X, a: a, bounds={"a": (1, 0)}), "bounds 1 to 0"),
        (lambda: sf.law(lambda X, a: a, bounds={"a": (0, 1)}, start={"a": 2}), "start 2"),
        (lambda: get_law("mylaws:NINE"), "did you mean 'CLOSED'|DECAY"),
        (lambda: get_law("mylaws:THREE"), "which is no Law"),
        (lambda: get_law("nolaws:MINE"), "put nolaws.py into the current folder"),
        (lambda: get_law("my laws:MINE"), "module:NAME"),
    ],
)
def test_what_is_no_law_is_told(make, words, folder):
    with pytest.raises(LawError, match=words):
        make()


def test_a_module_that_fails_is_named(folder):
    (folder / "broken_laws.py").write_text("1 / 0")
    with pytest.raises(LawError, match="importing broken_laws fails: ZeroDivisionError"):
        get_law("broken_laws:MINE")


def test_a_fit_is_saved_by_the_place_of_its_law(folder, runs, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    import mylaws

    assert name_of(mylaws.DECAY) == "mylaws:DECAY"
    assert name_of(get_law("mylaws:CLOSED")) == "mylaws:CLOSED"
    fit = sf.fit(runs, mylaws.DECAY, "samples", {"series": "base"})
    fit.save("fit.json")
    again = sf.load_fit("fit.json")
    np.testing.assert_array_equal(again.theta, fit.theta)
    at = {"params": "7B", "samples": [1e4, 9e4]}
    np.testing.assert_array_equal(again.predict(**at), fit.predict(**at))
    again.save("again.json")
    assert (
        json.loads((folder / "again.json").read_text())["fits"] == json.loads((folder / "fit.json").read_text())["fits"]
    )


def test_a_law_that_is_gone_or_changed_is_told(folder, runs, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import mylaws

    sf.fit(runs, mylaws.DECAY, "samples", {"series": "base"}).save("fit.json")
    for text, words in [
        (MODULE.replace("np.exp(-X / X_scale)", "np.exp(-2 * X / X_scale)"), "it was changed after the fit"),
        (MODULE.replace("DECAY", "FALL"), "mylaws holds no such name"),
    ]:
        (folder / "mylaws.py").write_text(text)
        del sys.modules["mylaws"]
        with pytest.raises(FitError, match=words):
            sf.load_fit("fit.json")
    (folder / "mylaws.py").unlink()
    del sys.modules["mylaws"]
    with pytest.raises(FitError, match=r"put mylaws.py into the current folder or into one that PYTHONPATH names$"):
        sf.load_fit("fit.json")


def test_the_command_line_takes_a_law_of_ones_own(folder):
    found = scalefit("fit", RUNS, "--law", "mylaws:CLOSED", "--where", "series=base", cwd=folder)
    assert found.returncode == 0, found.stderr
    assert "closed in samples" in found.stdout
    found = scalefit("predict", "--params", "7B", "--samples", "50k", cwd=folder)
    assert found.returncode == 0, found.stderr
    found = scalefit("fit", RUNS, "--law", "mylaws:OPEN", cwd=folder)
    assert found.returncode != 0
    assert "CLOSED" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_law_of_ones_own_is_told_by_its_name_and_ranked_beside_the_shipped_ones(folder, runs):
    """Of four sizes the average cannot be held out; the shipped laws can. A lambda is called what the module calls it."""
    few = runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] < 1e10) & (runs.frame["step"] % 5 == 0)]
    sf.write_runs(few, folder / "few.parquet", runs.metadata)
    (folder / "mylaws.py").write_text(MODULE.replace(', name="closed"', ""))
    found = scalefit("compare", "few.parquet", "--law", "mylaws:CLOSED", cwd=folder)
    assert found.returncode == 0, found.stderr
    names = [line.split()[0] for line in found.stdout.splitlines()[2:] if line.startswith("  ")]
    assert {"CLOSED", "saturating-linear", "clock-linear"} < set(names)
    assert "average is not compared, which needs 5 sizes" in found.stdout
    one = scalefit("compare", "few.parquet", "--law", "mylaws:CLOSED", "--law", "saturating-linear", cwd=folder)
    assert one.returncode == 0, one.stderr
    assert len(one.stdout.splitlines()) == 4
    fitted = scalefit("fit", "few.parquet", "--law", "mylaws:CLOSED", cwd=folder)
    assert fitted.stdout.startswith("base on holdout: CLOSED in samples")
    assert sf.load_fit(folder / "fit.json").fit.law.name == "CLOSED"
