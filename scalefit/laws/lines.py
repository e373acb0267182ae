"""Laws that are straight in log10 X within a size: `log10 L = E(N) - k(N) log10 X`.

A law here is a slope form k(N) and an offset form E(N); all are built by `line_law`.
The saturating slope with an offset per size is Tan et al. 2025 (arXiv:2509.25300), eq. 1-2.
The closed offsets and the bend are this project's, so that the law speaks about unseen sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from scalefit.laws.law import BILLION, Array, Law, Line, LinearForm, Param, SizeLines, Values, bend

PAPER = "Tan et al. 2025, arXiv:2509.25300, eq. 1-2"
Derivatives = dict[str, Array]


Basis = list[Array]
"""Columns in which a form is linear, each (G, S): at G values of what enters otherwise, for S sizes."""


def _no_grid(N: Array) -> Array:
    return np.zeros(1)


_SHARES = np.linspace(0, 1, 33)


def _saturation_grid(N: Array) -> Array:
    return np.asarray(N[0] / 30 * (900 * N[-1] / N[0]) ** _SHARES)


@dataclass(frozen=True)
class SlopeForm:
    """A form of k(N).

    Attributes
    ----------
    value : callable (p, N) -> k and its derivatives
    nonlinear : str or None
        The parameter in which k is not linear.
    grid : callable N -> ndarray, shape (G,)
        Values of it among which the start is sought.
    basis : callable (N, its values (G, 1)) -> list of ndarray, or None
        What the other parameters multiply; None where each size has its own k.
    """

    formula: str
    params: tuple[Param, ...]
    value: Callable[[Values, Array], tuple[Array, Derivatives]]
    nonlinear: str | None = None
    grid: Callable[[Array], Array] = _no_grid
    basis: Callable[[Array, Array], Basis] | None = None


def _saturating(p: Values, N: Array) -> tuple[Array, Derivatives]:
    share = N / (N + p["N0"])
    return p["k_max"] * share, {"k_max": share, "N0": -p["k_max"] * share / (N + p["N0"])}


def _power_of_size(p: Values, N: Array) -> tuple[Array, Derivatives]:
    scaled = (N / BILLION) ** p["gamma"]
    return p["k1"] * scaled, {"k1": scaled, "gamma": p["k1"] * scaled * np.log(N / BILLION)}


def _log_of_size(p: Values, N: Array) -> tuple[Array, Derivatives]:
    size = np.log10(N / BILLION)
    return p["k1"] + p["k_log"] * size, {"k1": np.ones_like(size), "k_log": size}


def _free_slope(p: Values, N: Array) -> tuple[Array, Derivatives]:
    return p["k"] + 0 * N, {"k": np.ones_like(N)}


SATURATING = SlopeForm(
    "k(N) = k_max N/(N + N0)",
    (Param("k_max", "1", (0, 2)), Param("N0", "parameters", (1.0, 1e15), "log")),
    _saturating,
    "N0",
    _saturation_grid,
    lambda N, N0: [N / (N + N0)],
)
POWER_OF_SIZE = SlopeForm(
    "k(N) = k1 (N/1e9)^gamma",
    (Param("k1", "1", (0, 1e6)), Param("gamma", "1", (-2, 3))),
    _power_of_size,
    "gamma",
    lambda N: np.linspace(-0.5, 2, 26),
    lambda N, gamma: [(N / BILLION) ** gamma],
)
LOG_OF_SIZE = SlopeForm(
    "k(N) = k1 + k_log log10(N/1e9)",
    (Param("k1", "1", (-2, 2)), Param("k_log", "1", (-2, 2))),
    _log_of_size,
    basis=lambda N, none: [np.ones_like(N * none), np.log10(N / BILLION) * np.ones_like(N * none)],
)
FREE_SLOPE = SlopeForm("k per size", (Param("k", "1", (-2, 5), per_size=True),), _free_slope)


@dataclass(frozen=True)
class OffsetForm:
    """A form of E(N).

    Attributes
    ----------
    value : callable (p, N, k) -> E, its own derivatives, and dE/dk
    grid, basis : callable
        As of a slope form; the basis also sees the last column of k's. None where each size has its own E.
    parameters : callable (coefficients, coefficient of k's last column, grid value) -> dict
        The parameters that the coefficients of the basis stand for.
    nonlinear : str or None
        The parameter in which E is not linear, given k.
    direct : tuple of str
        The parameters that are the first coefficients of the basis themselves.
    """

    formula: str
    params: tuple[Param, ...]
    value: Callable[[Values, Array, Array], tuple[Array, Derivatives, Array]]
    grid: Callable[[Array], Array] = _no_grid
    basis: Callable[[Array, Array, Array], Basis] | None = None
    parameters: Callable[[Array, float, float], dict[str, object]] | None = None
    nonlinear: str | None = None
    direct: tuple[str, ...] = ("E0",)


def _offset_per_size(p: Values, N: Array, k: Array) -> tuple[Array, Derivatives, Array]:
    return p["E"] + 0 * N, {"E": np.ones_like(N)}, np.zeros_like(k)


def _offset_linear(p: Values, N: Array, k: Array) -> tuple[Array, Derivatives, Array]:
    size = np.log10(N / BILLION)
    return p["E0"] + p["E_log"] * size, {"E0": np.ones_like(size), "E_log": size}, np.zeros_like(k)


def _offset_affine(p: Values, N: Array, k: Array) -> tuple[Array, Derivatives, Array]:
    return p["E0"] + p["x0"] * k, {"E0": np.ones_like(N), "x0": k}, p["x0"] + 0 * k


def _offset_saturating(p: Values, N: Array, k: Array) -> tuple[Array, Derivatives, Array]:
    share = N / (N + p["N_E"])
    return (
        p["E0"] + p["E_sat"] * share,
        {"E0": np.ones_like(N), "E_sat": share, "N_E": -p["E_sat"] * share / (N + p["N_E"])},
        np.zeros_like(k),
    )


def _offset_crossing(p: Values, N: Array, k: Array) -> tuple[Array, Derivatives, Array]:
    size = np.log10(N / BILLION)
    shift = p["x0"] + p["r"] * size
    return p["E0"] + k * shift, {"E0": np.ones_like(N), "x0": k, "r": k * size}, shift


_E0 = Param("E0", "log10 loss", (-20, 20))
PER_SIZE = OffsetForm("E per size", (Param("E", "log10 loss", (-20, 20), per_size=True),), _offset_per_size)
OFFSETS = {
    "linear": OffsetForm(
        "E(N) = E0 + E_log log10(N/1e9)",
        (_E0, Param("E_log", "log10 loss per decade of N", (-20, 20))),
        _offset_linear,
        basis=lambda N, none, top: [np.ones_like(top), np.log10(N / BILLION) * np.ones_like(top)],
        parameters=lambda c, k, at: {"E0": c[0], "E_log": c[1]},
        direct=("E0", "E_log"),
    ),
    "affine": OffsetForm(
        "E(N) = E0 + x0 k(N)",
        (_E0, Param("x0", "log10 X", (-60, 60))),
        _offset_affine,
        basis=lambda N, none, top: [np.ones_like(top), top],
        parameters=lambda c, k, at: {"E0": c[0], "x0": c[1] / k},
    ),
    "saturating": OffsetForm(
        "E(N) = E0 + E_sat N/(N + N_E)",
        (_E0, Param("E_sat", "log10 loss", (-20, 20)), Param("N_E", "parameters", (1.0, 1e15), "log")),
        _offset_saturating,
        lambda N: _saturation_grid(N)[::2],
        lambda N, N_E, top: [np.ones_like(top), N / (N + N_E)],
        lambda c, k, at: {"E0": c[0], "E_sat": c[1], "N_E": at},
        "N_E",
        ("E0", "E_sat"),
    ),
    "crossing": OffsetForm(
        "E(N) = E0 + k(N) (x0 + r log10(N/1e9))",
        (_E0, Param("x0", "log10 X", (-60, 60)), Param("r", "1", (-20, 20))),
        _offset_crossing,
        basis=lambda N, none, top: [np.ones_like(top), top, top * np.log10(N / BILLION)],
        parameters=lambda c, k, at: {"E0": c[0], "x0": c[1] / k, "r": c[2] / k},
    ),
}


def line_law(name: str, slope: SlopeForm, offset: OffsetForm, source: str, *, bends: bool = False) -> Law:
    """Build a law from a slope form and an offset form."""
    closed = offset.basis is not None
    params = slope.params + offset.params
    if bends:
        params += (Param("X_bend", "resource" + (" per parameter for flops" if closed else ""), (1, 1e40), "log"),)

    def line(p: Values, N: Array) -> Line:
        k, dk = slope.value(p, N)
        E, dE, by_k = offset.value(p, N, k)
        found: dict[str, tuple[Array | float, Array]] = {key: (value, by_k * value) for key, value in dk.items()}
        found.update({key: (0.0, value) for key, value in dE.items()})
        return k, E, found

    def log_loss(p: Values, N: Array, X: Array) -> Array:
        k, E, _ = line(p, N)
        h = np.log10(X[0])
        if bends:
            h, _ = bend(h, np.log10(p["X_bend"]))
        return E - k * h

    def gradient(p: Values, N: Array, X: Array) -> dict[str, Array]:
        h = np.log10(X[0])
        k, _, by = line(p, N)
        found: dict[str, Array] = {}
        if bends:
            h, by_bend = bend(h, np.log10(p["X_bend"]))
            found["X_bend"] = -k * by_bend / p["X_bend"]
        for key, (dk, dE) in by.items():
            found[key] = dE - dk * h
        return found

    form = _linear_form(slope, offset)

    def start(lines: SizeLines) -> dict[str, object]:
        values = _start(form, lines)
        if bends:
            values["X_bend"] = 10.0 ** (lines.deepest + 0.3)
        return values

    described = "log10 L = E(N) - k(N) log10 X, " + slope.formula + ", " + offset.formula
    if bends:
        described += ", X -> X/(1 + X/X_bend)"
    return Law(
        name,
        described,
        source,
        params,
        log_loss,
        gradient,
        start,
        line=line,
        linear=form,
        bends=bends,
        intensive=closed,
    )


def _linear_form(slope: SlopeForm, offset: OffsetForm) -> LinearForm:
    """Return what a law of these forms is linear in."""
    nonlinear = tuple(form.nonlinear for form in (slope, offset) if form.nonlinear)
    linear = [param.name for param in slope.params if param.name != slope.nonlinear]

    def grids(N: Array) -> list[Array]:
        return [form.grid(N) for form in (slope, offset) if form.nonlinear]

    def columns(N: Array, values: Array) -> tuple[Array | None, Array | None]:
        if slope.basis is None:
            return None, None
        first = values[:, :1] if slope.nonlinear else np.zeros((len(values), 1))
        shapes = slope.basis(N, first)
        if offset.basis is None:
            return np.stack(shapes, -1), None
        offsets = offset.basis(N, values[:, -1:], shapes[-1])
        both = np.zeros((2, *shapes[0].shape, len(shapes) + len(offsets)))
        for at, one in enumerate([*shapes, *offsets]):
            both[int(at >= len(shapes)), ..., at] = one
        return both[0], both[1]

    def parameters(coefficients: Array, values: Array) -> dict[str, object]:
        found: dict[str, object] = dict(zip(linear, coefficients, strict=False))
        if slope.nonlinear:
            found[slope.nonlinear] = values[0]
        if offset.parameters is not None:
            top = float(coefficients[len(linear) - 1])
            top = top if abs(top) > 1e-9 else 1e-9
            found.update(offset.parameters(coefficients[len(linear) :], top, float(values[-1]) if len(values) else 0.0))
        return found

    direct = {name: at for at, name in enumerate(linear)} if slope.basis else {}
    if offset.basis:
        direct.update({name: len(linear) + at for at, name in enumerate(offset.direct)})
    return LinearForm(nonlinear, grids, columns, parameters, direct)


def _start(form: LinearForm, lines: SizeLines) -> dict[str, object]:
    """Variable projection: a grid over what enters nonlinearly, least squares for the rest, all at once."""
    N, k_seen = lines.params, -lines.slope
    values = (
        np.stack([one.ravel() for one in np.meshgrid(*form.grids(N), indexing="ij")], -1)
        if form.nonlinear
        else np.zeros((1, 0))
    )
    slopes, offsets = form.columns(N, values)
    if slopes is None:
        return {"k": k_seen, "E": lines.level + k_seen * lines.centre}
    if offsets is None:
        columns, target, root = slopes, k_seen, np.sqrt(lines.spread)
    else:
        columns = np.concatenate([slopes, offsets - slopes * lines.centre[:, None]], 1)
        target = np.concatenate([k_seen, lines.level])
        root = np.sqrt(np.concatenate([lines.spread, lines.count]))
    solution, error = _least_squares(columns, target, root)
    best = int(np.argmin(error))
    found = form.parameters(solution[best], values[best])
    if offsets is None:
        found["E"] = lines.level + (slopes[best] @ solution[best]) * lines.centre
    return found


def _least_squares(columns: Array, target: Array, root: Array) -> tuple[Array, Array]:
    """Solve a least-squares problem at each of G grid points; `columns` of shape (G, n, c); return (G, c), (G,)."""
    goal = target * root
    if columns.shape[2] == 1:
        only = columns[:, :, 0] * root
        square, product = (only * only).sum(1), only @ goal
        return (product / square)[:, None], goal @ goal - product**2 / square
    design = columns * root[:, None]
    length = np.maximum(np.sqrt((design**2).sum(1)), 1e-150)
    unit = design / length[:, None, :]
    transposed = unit.swapaxes(1, 2)
    normal = transposed @ unit + 1e-12 * np.eye(unit.shape[2])
    solution = np.linalg.solve(normal, transposed @ goal[:, None])[..., 0]
    error = ((unit @ solution[..., None])[..., 0] - goal) ** 2
    return solution / length, error.sum(1)


_OURS = "scalefit: closed-offset relative of " + PAPER
CLOSED = tuple(line_law(f"saturating-{name}", SATURATING, offset, _OURS) for name, offset in OFFSETS.items())
BENT = tuple(
    line_law(f"saturating-{name}-bend", SATURATING, offset, _OURS, bends=True) for name, offset in OFFSETS.items()
)
LINES = (
    line_law("saturating", SATURATING, PER_SIZE, PAPER),
    *CLOSED,
    *BENT,
    line_law("power", FREE_SLOPE, PER_SIZE, "a power law per size, no model of k(N)"),
    line_law("power-k", POWER_OF_SIZE, PER_SIZE, "scalefit: k(N) without saturation"),
    line_law("log-k", LOG_OF_SIZE, PER_SIZE, "scalefit: k(N) without saturation"),
    line_law("power-k-linear", POWER_OF_SIZE, OFFSETS["linear"], "scalefit: k(N) without saturation, closed offset"),
    line_law("log-k-linear", LOG_OF_SIZE, OFFSETS["linear"], "scalefit: k(N) without saturation, closed offset"),
)
__all__ = ["BENT", "CLOSED", "LINES"]
