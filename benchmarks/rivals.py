"""What others use for the same fits: scipy, CMA-ES as the paper did, simple-scaling-laws from PyPI."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]


def by_scipy(problem: Any, start: Any, **options: Any) -> float:
    """Return half the sum of squares that scipy's trust region ends at."""
    from scipy.optimize import least_squares

    low, high = problem.bound.bounds
    start = np.clip(start, low + 1e-9, high - 1e-9)
    options |= {"bounds": (low, high), "x_scale": "jac"}
    return float(least_squares(problem.whitened, start, jac=_jacobian(problem), **options).cost)


def _jacobian(problem: Any) -> Any:
    """Return the derivative of the whitened residuals, (n, P), from each curve's own parameters."""

    def jac(theta: Any) -> Any:
        slopes = problem.whiten(problem.by_curve(theta), rows=True)
        out = np.zeros((*problem.present.shape, len(theta)))
        for row, at in enumerate(problem.bound.flat_index[problem.size_of_curve]):
            out[row][:, at] = -slopes[row].T
        return out[problem.present]

    return jac


def by_cma(problem: Any, seed: int, quick: bool) -> tuple[float, float]:
    """Fit the same objective with CMA-ES as the paper did; return time [s] and half the sum of squares."""
    import cma

    low, high = np.array([0.0, 1e8] + [-10.0] * 7), np.array([2.0, 1e11] + [10.0] * 7)

    def cost(unit: Any) -> float:
        theta = low + (high - low) * np.asarray(unit)
        theta[1] = np.log(theta[1])
        return float(problem.cost(theta[None])[0])

    begin = time.perf_counter()
    options = {"popsize": 20, "maxiter": 50 if quick else 1600, "bounds": [0, 1], "seed": seed, "verbose": -9}
    result = cma.fmin2(cost, [0.5] * 9, 0.25, options)[1]
    return time.perf_counter() - begin, float(result.result.fbest)


THEIRS = """
import json, sys, time, numpy as np, polars as pl
from simple_scaling_laws import fit
held = np.load(sys.argv[1])
names = ("model_size__n_params", "dataset_size__n_tokens", "test_loss__nats")
table = pl.DataFrame({"training_run_id": [f"r{i}" for i in range(len(held["N"]))]} | dict(zip(names, map(held.get, "NDL"))))
def call():
    begin = time.perf_counter()
    model = fit(table, law="separable-power", n_draws=1, seed=0)
    return time.perf_counter() - begin, model
call()
seconds, model = min((call() for _ in range(3)), key=lambda one: one[0])
fitted = model.law.evaluate(model.fits[names[2]].params, model.fitting_predictors(model.prepare_points(table)))
print(json.dumps({"seconds": seconds, "cost": 0.5 * float(np.sum((fitted - held["L"]) ** 2))}))
"""


def simple_scaling_laws(data: Any, ours: float, cost: float) -> dict[str, float]:
    """Run simple-scaling-laws on the same losses, with the fewest bootstrap draws it takes, in its own environment."""
    python = _python_with_it()
    if python is None:
        return {}
    N, D = np.broadcast_to(data.params[:, None], data.loss.shape), data.resource[0]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.npz"
        np.savez(table, N=N.ravel(), D=D.ravel(), L=data.loss.ravel())
        called = subprocess.run([python, "-c", THEIRS, str(table)], capture_output=True, text=True, check=False)
    if called.returncode:
        print(f"simple-scaling-laws left out: {called.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return {}
    said = json.loads(called.stdout.splitlines()[-1])
    return {
        "chinchilla, simple-scaling-laws (one draw) / ours, time": said["seconds"] / ours,
        "chinchilla, objective, simple-scaling-laws / ours - 1": said["cost"] / cost - 1,
    }


def _python_with_it() -> str | None:
    """Return a Python that has simple-scaling-laws; where this one is too old for it, of an environment made for it."""
    if importlib.util.find_spec("simple_scaling_laws"):
        return sys.executable
    spec = importlib.util.spec_from_file_location("pythons", ROOT / ".ci" / "pythons.py")
    assert spec is not None
    assert spec.loader is not None
    pythons = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pythons)
    python = pythons.interpreter("3.12") or pythons.interpreter("3.13")
    folder = ROOT / ".venv-rival"
    there = folder / "bin" / "python"
    if python and not there.exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
    if python:
        install = [str(there), "-m", "pip", "install", "--quiet", "simple-scaling-laws>=0.2"]
        if subprocess.run(install, capture_output=True, check=False).returncode == 0:
            return str(there)
    print("simple-scaling-laws left out: it needs Python 3.12 and cannot be installed here", file=sys.stderr)
    return None
