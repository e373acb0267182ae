from dataclasses import replace

import numpy as np
import pytest

import scalefit as sf
from scalefit.errors import LawError
from scalefit.fitting.binding import BoundLaw
from scalefit.fitting.fit import Specification, fit_data
from scalefit.fitting.point_problem import PointProblem
from scalefit.laws import LAWS, get_law
from scalefit.laws.search import _Search
from scalefit.table.prepare import FitData, prepare
from tests.conftest import ROOT, SIZES, whitened_jacobian

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
    "X_mid": 6e3,
    "G": 0.3,
    "g_max": 0.5,
    "N_g": 1.1e10,
    "S0": 0.99,
    "S_log": -0.1,
    "S_g": -0.7,
    "S_sat": -0.35,
    "N_S": 1.3e10,
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


@pytest.mark.parametrize("grid", [{}, {"A": None, "B": None, "beta": None}, {"gamma": None}])
def test_a_basis_that_cannot_be_searched_is_told(grid):
    law = get_law("chinchilla")
    with pytest.raises(LawError, match="may search one or two"):
        replace(law, basis=replace(law.basis, grid=grid))


def test_unknown_law_names_the_nearest():
    with pytest.raises(LawError, match="did you mean 'saturating'"):
        get_law("saturatin")


def final_losses(E, noise):
    """245 final losses of Chinchilla's law with the parameters of Besiroglu et al. 2024 (arXiv:2404.10102)."""
    sizes, tokens = np.geomspace(5e7, 1.6e10, 35), np.geomspace(1e9, 3e11, 7)
    clean = E + 482.01 * sizes[:, None] ** -0.3478 + 2085.43 * tokens[None] ** -0.3658
    loss = clean * np.exp(noise * np.random.default_rng(0).standard_normal(clean.shape))
    resource = np.broadcast_to(tokens, loss.shape)[None].copy()
    return FitData("c", ("samples",), sizes, resource, loss, np.ones_like(loss), np.full(35, np.nan), (1,) * 35, {})


@pytest.mark.parametrize(
    ("table", "huber"),
    [("base", None), ("base", 1e-2), ("instruct", 1e-3), ("finals", None), ("finals", 1e-3), ("no floor", None)],
)
def test_no_start_leads_scipy_below_chinchillas_optimum(runs, table, huber):
    """Ten starts over the whole range of each parameter; on the paper's curves E ends at its bound, and that is told."""
    from scipy.optimize import least_squares

    data = {"finals": final_losses(1.817, 0.05), "no floor": final_losses(0.0, 0.01)}.get(table)
    data = data or prepare(runs, "samples", {"series": table})[0]
    fit = fit_data("chinchilla", data, Specification(noise="independent", huber=huber))
    problem = PointProblem(fit.bound, data, huber=huber)
    low, high = fit.bound.bounds
    first, last = np.array([[np.log(1e-3), 0, 0, 0.05, 0.05], [np.log(3), 8, 8, 1, 1]])
    options = {"x_scale": "jac", "ftol": 1e-13, "xtol": 1e-12, "gtol": 1e-13, "max_nfev": 100}
    if huber is not None:
        options |= {"loss": "huber", "f_scale": huber}
    costs = [
        least_squares(problem.whitened, start, jac=whitened_jacobian(problem), bounds=(low, high), **options).cost
        for start in np.random.default_rng(1).uniform(first, last, (10, 5))
    ]
    assert fit.cost <= min(costs) * (1 + 1e-8)
    at_bound = table != "finals"
    assert fit.status == ("at-bound" if at_bound else "converged")
    assert fit.notes == (("at a bound: E",) if at_bound else ())


@pytest.mark.parametrize("name", ["sigmoid", "exponential", "saturating-power", "broken-power"])
def test_no_start_leads_scipy_below_a_curves_optimum(name):
    """On curves that the law is not true of, a power law's; old starts there led to minima that are not the lowest."""
    from scipy.optimize import least_squares

    theta = {"k_max": 0.14, "N0": 1.3e10, "E0": -0.02, "x0": 1.2}
    samples = 512.0 * np.arange(1, 106)
    runs = sf.simulate("saturating-affine", theta, params=SIZES[2:6], samples=samples, sigma=0.012, rho=0.5, seed=0)
    (data,) = prepare(runs, "samples")
    law, rng = get_law(name), np.random.default_rng(2)
    for size in data.sizes:
        part = data.keep(data.params == size)
        fit = fit_data(name, part, Specification(noise="independent"))
        problem = PointProblem(fit.bound, part)
        low, high = fit.bound.bounds
        spread = np.array([3.0 if one.scale == "log" else 0.3 for one in law.params])
        for _ in range(10):
            start = np.clip(fit.theta + spread * rng.normal(size=len(spread)), low + 1e-6, high - 1e-6)
            options = {"bounds": (low, high), "x_scale": "jac", "ftol": 1e-12, "xtol": 1e-10, "max_nfev": 100}
            theirs = least_squares(problem.whitened, start, jac=whitened_jacobian(problem), **options)
            assert fit.cost <= theirs.cost * (1 + 1e-8)


@pytest.mark.parametrize(
    ("name", "noise", "solver", "searched"),
    [
        ("chinchilla", "independent", 5, 20),
        ("sigmoid", "independent", 10, 20),
        ("exponential", "independent", 10, 20),
        ("saturating-power", "independent", 10, 20),
        ("saturating-power", "ar1", 40, 40),
        ("joint", "ar1", 40, 40),
    ],
)
def test_the_search_leaves_the_solver_next_to_nothing(runs, monkeypatch, name, noise, solver, searched):
    """Steps in all parameters crawl along valleys, Gauss and Newton's overshoot across them: five times as many of each."""
    counted = {PointProblem: [], _Search: []}
    by_size, normal = PointProblem._by_size, _Search._normal
    monkeypatch.setattr(PointProblem, "_by_size", lambda *a: counted[PointProblem].append(1) or by_size(*a))
    monkeypatch.setattr(_Search, "_normal", lambda *a: counted[_Search].append(1) or normal(*a))
    for series in ("base", "instruct"):
        (data,) = prepare(runs, "samples", {"series": series}, both=name == "joint")
        for calls in counted.values():
            calls.clear()
        assert fit_data(name, data, Specification(noise=noise)).status != "stopped"
        assert len(counted[PointProblem]) <= solver
        assert len(counted[_Search]) <= searched


def test_a_break_under_correlated_noise_is_no_crawl(monkeypatch):
    """Weighed by its noise, a power law's curve leaves the broken one a valley that a thousand steps did not end."""
    counted = []
    by_size = PointProblem._by_size
    monkeypatch.setattr(PointProblem, "_by_size", lambda *a: counted.append(1) or by_size(*a))
    theta = {"k_max": 0.14, "N0": 1.3e10, "E0": -0.02, "x0": 1.2}
    samples = 512.0 * np.arange(1, 106)
    runs = sf.simulate("saturating-affine", theta, params=SIZES, samples=samples, sigma=0.012, rho=0.5, seed=0)
    assert fit_data("broken-power", prepare(runs, "samples")[0]).status == "at-bound"
    assert len(counted) <= 100


@pytest.mark.parametrize("name", ["chinchilla", "sigmoid", "joint"])
def test_a_search_holds_so_much_at_once_however_many_sizes_and_steps(name, monkeypatch):
    """Its largest array stays small; of a law per size no matrix of all sizes' parameters is built."""
    held = []
    linear = _Search._gram

    def gram(self, rows, lead, count):
        def seen(part):
            points = (part.stop - part.start) * self.points.goal.shape[1]
            held.append(int(np.prod(lead)) * count * points)
            return rows(part)

        return linear(self, seen, lead, count)

    monkeypatch.setattr(_Search, "_gram", gram)
    law = get_law(name)
    if all(param.per_size for param in law.params):
        monkeypatch.setattr(PointProblem, "normal", None)
    sizes, x = np.geomspace(1e8, 1e11, 60), np.geomspace(512, 1e6, 2000)
    loss = 0.1 + 0.5 * (sizes[:, None] / 1e7) ** -0.2 + 0.3 / (1 + x / 2e4)
    resource = np.broadcast_to(x, (law.resources, *loss.shape)).copy()
    resource[-1] *= np.geomspace(1, 3, 2000) ** 2
    names = ("flops", "samples") if law.resources == 2 else ("samples",)
    data = FitData("s", names, sizes, resource, loss, np.ones_like(loss), np.full(60, np.nan), (1,) * 60, {})
    bound = BoundLaw(law, sizes)
    problem = PointProblem(bound, data)
    assert problem.solve(bound.start(data)[None]).converged.all()
    # 16 MiB.
    assert max(held) <= 2**21


def test_a_closed_clock_begins_with_a_loss_where_bounds_would_leave_none():
    """A line through these starts meets a gain of 0 at 9, and 5 is the most: cut there the curves would be below 0, and flat."""
    runs = sf.read_runs(ROOT / "data" / "study" / "e01.parquet")
    (data,) = prepare(runs, "samples", {"series": "instruct"})
    fit = fit_data("clock-affine", data.keep(data.params > data.sizes[0]), Specification(noise="independent"))
    assert fit.status == "converged"
    assert fit.r2 > 0.8


@pytest.mark.parametrize("seed", [2, 4, 9])
def test_a_clock_ends_in_the_optimum_within_its_bounds(seed):
    """Next to a straight line in log X the free optimum starts above 2; cut there alone, it lay below 0 and led nowhere."""
    optimize = pytest.importorskip("scipy.optimize")
    sizes, x = np.array([5e8, 5.66e9, 6.4e10]), 4480.0 * np.arange(1, 13)
    clean = np.array([[0.9], [0.6], [0.3]]) - np.array([[0.01], [0.02], [0.03]]) * np.log(x / x.mean())
    loss = clean + 0.01 * np.random.default_rng(seed).standard_normal(clean.shape)
    resource = np.broadcast_to(x, (1, *loss.shape)).copy()
    data = FitData("s", ("samples",), sizes, resource, loss, np.ones_like(loss), np.full(3, np.nan), (1,) * 3, {})
    fit = fit_data("clock", data, Specification(noise="independent"))

    def squares(at):
        share = 1 / (1 + (np.exp(at[0]) / x) ** np.exp(at[1]))
        columns = np.stack([np.ones_like(share), -share], 1)
        return sum(2 * optimize.lsq_linear(columns, one, ([0, -2], [2, 3])).cost for one in loss)

    least = min(
        optimize.minimize(
            squares, (middle, steepness), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12}
        ).fun
        for middle in np.log([0.01, 1, 100, 5e3, 1e5])
        for steepness in (-2, -1, 0)
    )
    assert 2 * fit.cost <= least * (1 + 1e-6)
