"""Does k(N) saturate? The evidence, and one honest sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalefit.fitting.binding import law_resource, own_unit
from scalefit.fitting.fit import Fit
from scalefit.fitting.hierarchy import Hierarchy
from scalefit.fitting.weigh_runs import find_likeliest
from scalefit.laws import get_law
from scalefit.units import format_quantity

RIVALS = ("power-k", "log-k")
FORMS = {
    "saturating-linear": "a k(N) that saturates",
    "power-k-linear": "a power of N",
    "log-k-linear": "a logarithm of N",
}
"""Closed laws that are held against the largest size, and what they are in words."""


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
        Twice the log-likelihood lost against the saturating law with E per size (positive: worse), the scatter of runs
        being integrated over.
    N0 : tuple of float
        95 % interval [parameters].
    N0_without_largest : float
        N0 fitted without the largest size; nan where there are too few.
    missed : tuple of float
        Sizes that the law misses in slope, or all that it misses where these are most, on which no verdict can rest
        [parameters].
    sentence : str
        All of it for a reader.
    """

    verdict: str
    held_out: dict[str, float]
    criterion: dict[str, float]
    N0: tuple[float, float]
    N0_without_largest: float
    missed: tuple[float, ...]
    sentence: str

    @property
    def in_sample(self) -> str:
        """What fits to all sizes say, in likelihoods."""
        said = "in sample, twice the log-likelihood of saturation lies " + " and ".join(
            f"{value:+.1f} from that of {name}" for name, value in self.criterion.items()
        )
        return said + (
            f"; N0 without the largest size {format_quantity(self.N0_without_largest)}" if self.held_out else ""
        )


def weigh_saturation(fit: Fit) -> Saturation | None:
    """Weigh held-out score, likelihood, the interval of N0 and the effect of the largest size.

    Nothing is settled where the law misses the slope of a size, or most sizes in any way: a k(N) that does not describe them
    says nothing of how it goes on. A few curves that bend are no such thing, as slopes of like ranges are compared.
    None where the law, too few sizes or runs without lines of their own leave nothing to weigh.
    """
    data, found = fit.data, fit.evidence
    if fit.law.name != "saturating" or len(data.sizes) <= 2 or not isinstance(found, Hierarchy):
        return None
    top = data.sizes[-1]
    N0 = fit.intervals.get("N0", (0.0, float("inf")))
    held_out: dict[str, float] = {}
    without = float("nan")
    if len(data.sizes) >= 4:
        here = data.keep(data.params == top)
        X, loss = here.resource[:, here.present], here.loss[here.present]
        below = found.lines.keep(found.lines.params != top)
        for name in FORMS:
            law = get_law(name)
            # A closed law sees compute per parameter: the same line, its centre elsewhere.
            part = below.in_unit(own_unit(law, data, below.params))
            x = np.log10(law_resource(law, data, X, np.full(X.shape[1], top))[0])
            log = find_likeliest(law, part).curve(top, x)
            held_out[name] = float(np.sqrt(np.mean((10.0**log - loss) ** 2)))
        without = float(find_likeliest(fit.law, below).values[0])
    best = find_likeliest(fit.law, found.lines).log_likelihood
    criterion = {name: 2 * (best - find_likeliest(get_law(name), found.lines).log_likelihood) for name in RIVALS}
    saturates = min(criterion.values()) > 6
    grows = min(criterion.values()) < -6
    bounded = np.isfinite(N0[1]) and N0[1] < top
    ahead = min(held_out, key=lambda name: held_out[name]) if held_out else "saturating-linear"
    missed = fit.misfit.missed if fit.misfit.most else fit.misfit.of("slope")
    verdict = "undecided"
    if missed:
        pass
    elif saturates and bounded and ahead.startswith("saturating"):
        verdict = "saturating"
    elif grows and not ahead.startswith("saturating"):
        verdict = "growing"
    scores = ", ".join(f"{value:.3f} with {FORMS[name]}" for name, value in held_out.items())
    upper = format_quantity(N0[1]) if np.isfinite(N0[1]) else "no upper limit"
    opening = {
        "saturating": "The data prefer a k(N) that saturates",
        "growing": "The data prefer a k(N) that goes on growing",
        "undecided": "The data do not settle whether k(N) saturates",
    }[verdict]
    if missed:
        opening += f", as the law misses {', '.join(map(format_quantity, missed))}"
    sentence = f"{opening}: N0 lies in {format_quantity(N0[0])} to {upper} (largest size {format_quantity(top)})"
    if held_out:
        sentence += f"; left out, the largest size is missed by {scores}"
    return Saturation(verdict, held_out, criterion, N0, without, missed, sentence + ".")
