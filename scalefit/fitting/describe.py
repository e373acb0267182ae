"""How well laws describe the curves they were fitted to: rms, whether what they leave is white, F tests between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scalefit.fitting.f_test import FTest, judge_larger
from scalefit.fitting.fit import fit_data
from scalefit.fitting.left import Left, left_by
from scalefit.fitting.specification import Specification
from scalefit.fitting.whiteness import Whiteness, judge_whiteness
from scalefit.laws.law import Law
from scalefit.table.fit_data import FitData

LAWS = ("saturating", "power", "clock", "sigmoid")
"""The published law, a power law of each size, one clock for all sizes, a sigmoid of each size."""
TESTS = {
    ("saturating", "power"): True,
    ("clock", "sigmoid"): True,
    ("saturating", "clock"): False,
    ("power", "clock"): False,
    ("power", "sigmoid"): False,
}
"""Laws that are tested against each other, and whether the first is a case of the second.

A power law is the limit of a sigmoid whose start is unbounded, beyond the bounds of both it and the clock.
"""
OF_EACH = ("power", "sigmoid")
"""Laws of each size alone, which are tested within each."""
PLAIN = Specification(noise="independent")


@dataclass(frozen=True)
class Description:
    """How well a law describes the curves it was fitted to by least squares of points.

    Attributes
    ----------
    parameters : int
    rms : float
        Root mean square of loss minus law, over the points of the merged curves.
    """

    law: str
    status: str
    parameters: int
    rms: float
    whiteness: Whiteness


@dataclass(frozen=True)
class Account:
    """How well several laws describe the curves of a series, each fitted by least squares of points.

    Attributes
    ----------
    tests, of_each : tuple of FTest
        Over all curves; of the laws of each size alone within each.
    left : dict
        What each law leaves, by name.
    """

    laws: tuple[Description, ...]
    tests: tuple[FTest, ...]
    of_each: tuple[FTest, ...]
    left: dict[str, Left]


def describe_laws(data: FitData, laws: Sequence[Law | str] = LAWS) -> Account:
    """Fit laws by least squares of points and say how well each describes the curves.

    Raises
    ------
    FitError
        If a law cannot be fitted to them.
    """
    fits = [fit_data(law, data, PLAIN) for law in laws]
    left = {fit.law.name: left_by(fit) for fit in fits}
    told = [
        Description(
            fit.law.name, fit.status, len(fit.theta), left[fit.law.name].rms, judge_whiteness(left[fit.law.name])
        )
        for fit in fits
    ]
    tests = [judge_larger(left[one], left[other]) for one, other in TESTS if {one, other} <= set(left)]
    within = []
    if set(OF_EACH) <= set(left):
        smaller, larger = (left[law] for law in OF_EACH)
        within = [judge_larger(smaller, larger, size) for size in data.sizes.tolist()]
    return Account(tuple(told), tuple(tests), tuple(within), left)
