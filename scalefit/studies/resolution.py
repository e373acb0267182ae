"""How many evaluation problems and seeds show a difference of loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scalefit.answer import Answer, text_table
from scalefit.errors import UsageError
from scalefit.numerics.tails import normal_quantile
from scalefit.said import Said


@dataclass(frozen=True, repr=False)
class Resolution(Answer):
    """How small a difference of final loss can be seen.

    Attributes
    ----------
    table : list of dict
        For each number of problems: `seeds` an arm that suffice, None where no number does.
    """

    difference: float
    power: float
    loss: float
    run_sd: float
    pairing: float
    table: list[dict[str, float | None]]
    warnings: list[str]

    ROWS: ClassVar[str] = "table"

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        enough = [row for row in self.table if row["seeds"] is not None]
        least = (
            f"{enough[0]['problems']:g} problems and {enough[0]['seeds']:g} seeds an arm" if enough else "more problems"
        )
        return f"a difference of {self.difference:g} at loss {self.loss:g} takes {least}"

    def summary(self) -> str:
        """Return the text that the command prints."""
        rows = [["problems", "seeds an arm"]]
        for row in self.table:
            seeds = row["seeds"]
            rows.append([f"{row['problems']:g}", "no number of seeds" if seeds is None else f"{seeds:g}"])
        about = (
            f"  seen with chance {self.power:.0%} (two-sided 5 %), where seeds spread by {self.run_sd:g} and arms are "
            f"correlated by {self.pairing:g} on a problem"
        )
        return Said([self.headline, about, text_table(rows)])


def resolve_difference(
    difference: float,
    loss: float,
    *,
    run_sd: float = 0.0,
    pairing: float = 0.0,
    power: float = 0.8,
    level: float = 0.05,
) -> Resolution:
    """Return how many evaluation problems and seeds are needed to see a difference of loss between two arms.

    The difference of two arms' means has variance `2 s^2/seeds + 2 L (1 - L) (1 - r)/problems`: runs differ by `s`, and
    the same problems serve every seed, so seeds do not lessen their error; pairing arms on them does, by r.

    Parameters
    ----------
    difference, loss : float
        Of the loss 1 - pass@1; the level at which it is to be seen.
    run_sd : float
        Standard deviation of the final loss over seeds [loss].
    pairing : float
        Correlation of the two arms' outcomes on a problem, in [0, 1).
    power, level : float
        Chance to see it; two-sided false alarm.

    Notes
    -----
    Source: the normal-theory sample size, (z_level/2 + z_power)^2 variance / difference^2.
    """
    if not 0 < difference < 1 or not 0 < loss < 1:
        raise UsageError("difference and --loss lie between 0 and 1.")
    if not 0 <= pairing < 1:
        raise UsageError(f"--pairing {pairing:g}: a correlation in [0, 1).")
    if not 0 < power < 1:
        raise UsageError(f"--power {power:g}: a probability between 0 and 1.")
    allowed = (difference / float(normal_quantile(1 - level / 2) + normal_quantile(power))) ** 2
    table: list[dict[str, float | None]] = []
    for problems in (100, 250, 500, 1000, 2000, 5000, 10_000, 20_000):
        left = allowed - 2 * loss * (1 - loss) * (1 - pairing) / problems
        seeds: float | None = None
        if left > 0:
            seeds = float(max(np.ceil(2 * run_sd**2 / left), 1))
        table.append({"problems": float(problems), "seeds": seeds})
    return Resolution(difference, power, loss, run_sd, pairing, table, [])
