import numpy as np
import pytest

from scalefit.errors import LawError
from scalefit.fitting.binding import BoundLaw
from scalefit.laws import LAWS, get_law
from tests.conftest import SIZES

N = np.repeat(np.array(SIZES), 5)
X = np.stack([np.tile(np.geomspace(1e3, 1e5, 5), len(SIZES)), np.tile(np.geomspace(3e2, 6e4, 5)[::-1], len(SIZES))])
TYPICAL = {
    "k_max": 0.14,
    "N0": 1.3e10,
    "E": 0.1,
    "E0": 0.05,
    "E_log": 0.08,
    "x0": 1.2,
    "r": 0.3,
    "E_sat": 0.2,
    "N_E": 2e10,
    "X_bend": 3e4,
    "k": 0.1,
    "k1": 0.05,
    "gamma": 0.4,
    "k_log": 0.05,
    "R0": 0.1,
    "A": 0.6,
    "C_mid": 5e3,
    "B": 1.3,
    "L0": 0.9,
    "X_scale": 1e4,
    "k_late": 0.05,
    "X_break": 2e4,
    "alpha": 0.4,
    "beta": 0.7,
    "L_inf": 0.1,
    "lam": 0.3,
    "D0": 4e3,
    "k_C": 0.05,
    "N0_C": 1e10,
    "k_D": 0.08,
    "N0_D": 2e10,
    "D": 3.0,
}


def typical(law):
    values = {param.name: np.array([TYPICAL[param.name]]) for param in law.params}
    if law.name == "chinchilla":
        values.update(A=np.array([400.0]), B=np.array([2000.0]), E=np.array([1.8]))
    if law.name == "saturating-power":
        values.update(B=np.array([0.4]))
    if law.name == "decomposition":
        values.update(N0=np.array([1e8]))
    return values


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_gradient_matches_complex_step(law):
    values = typical(law)
    gradient = law.gradient(values, N, X[: law.resources])
    assert set(gradient) == {param.name for param in law.params}
    for name, value in values.items():
        step = 1e-30 * abs(value)
        moved = {**values, name: value + 1j * step}
        expected = law.log_loss(moved, N, X[: law.resources]).imag / step
        np.testing.assert_allclose(
            np.broadcast_to(gradient[name], N.shape), expected, rtol=1e-9, atol=1e-12 / abs(value[0])
        )


@pytest.mark.parametrize("law", [law for law in LAWS.values() if law.line], ids=lambda law: law.name)
def test_line_coordinates_are_the_law(law):
    values = typical(law)
    k, E, _ = law.line(values, N)
    # Curves that bend are lines in X / (1 + X / X_bend).
    seen = X[0] / (1 + X[0] / values["X_bend"]) if law.bends else X[0]
    np.testing.assert_allclose(law.log_loss(values, N, X[:1]), E - k * np.log10(seen), rtol=1e-12)


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_a_law_says_what_it_is(law):
    assert law.formula
    assert law.source
    assert all(param.unit for param in law.params)
    assert len(BoundLaw(law, np.array(SIZES)).names) == sum(7 if p.per_size else 1 for p in law.params)


def test_bend_flattens_far_beyond_it():
    law = get_law("saturating-linear-bend")
    far = law.log_loss(typical(law), np.array([7e9]), np.array([[1e9]]))
    farther = law.log_loss(typical(law), np.array([7e9]), np.array([[1e12]]))
    np.testing.assert_allclose(far, farther, atol=1e-4)


def test_unknown_law_names_the_nearest():
    with pytest.raises(LawError, match="did you mean 'saturating'"):
        get_law("saturatin")
