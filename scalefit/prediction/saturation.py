"""Does k(N) saturate? The evidence, and one honest sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalefit.fitting.fit import Fit, Specification, fit_data
from scalefit.fitting.profile import profile_interval
from scalefit.units import format_quantity

RIVALS = ("power-k", "log-k")


@dataclass(frozen=True)
class Saturation:
    """Evidence on saturation.

    Attributes
    ----------
    verdict : str
        saturating, growing or undecided.
    held_out : dict
        RMSE of the loss on the largest size, fitted without it, by closed law.
    criterion : dict
        Twice the log-likelihood lost against the saturating law with E per size (positive: worse).
    N0 : tuple of float
        95 % profile interval [parameters].
    N0_without_largest : float
        N0 fitted without the largest size; nan where there are too few.
    sentence : str
        All of it for a reader.
    """

    verdict: str
    held_out: dict[str, float]
    criterion: dict[str, float]
    N0: tuple[float, float]
    N0_without_largest: float
    sentence: str


def weigh_saturation(fit: Fit) -> Saturation:
    """Weigh held-out score, information criterion, the profile of N0 and the effect of the largest size."""
    data = fit.data
    top = data.sizes[-1]
    N0 = profile_interval(fit, "N0")
    noise = Specification(noise="independent")
    held_out: dict[str, float] = {}
    without = float("nan")
    if len(data.sizes) >= 4:
        train, here = data.keep(data.params != top), data.keep(data.params == top)
        X, loss = here.resource[:, here.present], here.loss[here.present]
        for name in ("saturating-linear", "power-k-linear", "log-k-linear"):
            log, _ = fit_data(name, train, noise).log_curve(np.full(X.shape[1], top), X)
            held_out[name] = float(np.sqrt(np.mean((10.0**log - loss) ** 2)))
        without = fit_data("saturating", train).params["N0"].value
    n = data.points
    reference = fit_data("saturating", data, noise)
    criterion = {}
    for name in RIVALS:
        rival = fit_data(name, data, noise)
        # Effective points, since neighbouring evaluations are not independent.
        criterion[name] = float(rival.dof + len(rival.theta)) * float(np.log(rival.cost / reference.cost)) if n else 0.0
    effective = (1 - max(fit.noise.rho, 0)) / (1 + max(fit.noise.rho, 0))
    criterion = {name: value * effective for name, value in criterion.items()}
    saturates = min(criterion.values()) > 6
    grows = min(criterion.values()) < -6
    bounded = np.isfinite(N0[1]) and N0[1] < top
    best = min(held_out, key=lambda name: held_out[name]) if held_out else "saturating-linear"
    verdict = "undecided"
    if saturates and bounded and best.startswith("saturating"):
        verdict = "saturating"
    elif grows and not best.startswith("saturating"):
        verdict = "growing"
    scores = ", ".join(f"{name.split('-')[0]} {value:.3f}" for name, value in held_out.items())
    upper = format_quantity(N0[1]) if np.isfinite(N0[1]) else "no upper limit"
    opening = {
        "saturating": "The data prefer a k(N) that saturates",
        "growing": "The data prefer a k(N) that goes on growing",
        "undecided": "The data do not settle whether k(N) saturates",
    }[verdict]
    sentence = f"{opening}: N0 lies in {format_quantity(N0[0])} to {upper} (largest size {format_quantity(top)})"
    sentence += "; in sample, log-likelihood x2 against " + " and ".join(
        f"{name} {value:+.1f}" for name, value in criterion.items()
    )
    if held_out:
        sentence += f"; error on the largest size when left out: {scores}"
        sentence += f"; N0 without it {format_quantity(without)}"
    return Saturation(verdict, held_out, criterion, N0, without, sentence + ".")
