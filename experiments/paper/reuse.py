"""Is repeated data free? An equivalence test for tau up to 25, and what 50 and 100 cost; 7B, one run an arm.

A final loss is the mean of the last LAST steps. Two tests at 5 % (two one-sided tests, so a 90 % interval within the
margin): each arm against tau = 1 with the noise within runs, AR(1) around the arm's own power law; and the trend over the
arms in log tau, whose scatter also holds what differs from run to run.
Source: Schuirmann 1987, J. Pharmacokinet. Biopharm. 15, 657 (two one-sided tests).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from record import SERIES, paper_runs, published, save
from scipy.stats import norm
from scipy.stats import t as student

from scalefit.fitting.fit import fit_data
from scalefit.studies.ends import MARGIN, mean_variance
from scalefit.table.prepare import prepare

LAST = 20


def final_loss(series: str, tau: float) -> dict[str, float]:
    """Return an arm's mean loss over the last steps, with the standard error that AR(1) noise leaves to it."""
    (data,) = prepare(paper_runs("reuse"), "samples", {"series": series, "reuse": tau})
    noise = fit_data("power", data).noise
    loss = data.loss[0, data.present[0]][-LAST:]
    se = np.sqrt(mean_variance(noise, len(loss)))
    return {"tau": tau, "loss": loss.mean(), "se": se, "rho": noise.rho, "sigma": noise.sigma[0]}


def interval90(gap: float, se: float) -> tuple[float, float]:
    """Return the 90 % interval whose ends are the two one-sided tests at 5 %."""
    width = float(norm.ppf(0.95)) * se
    return gap - width, gap + width


def within_margin(low: float, high: float) -> bool:
    """Return whether an interval lies within the margin."""
    return bool(-MARGIN < low and high < MARGIN)


def report(series: str) -> dict[str, Any]:
    """Return arms, tests of equivalence up to the largest free tau, and the cost beyond it."""
    free = published()["paper"]["reuse_free_up_to"]
    taus = sorted(set(paper_runs("reuse").frame["reuse"]))
    arms = [final_loss(series, tau) for tau in taus]
    once, few = arms[0], [arm for arm in arms if arm["tau"] <= free]
    for arm in arms[1:]:
        gap, se = arm["loss"] - once["loss"], float(np.hypot(arm["se"], once["se"]))
        low, high = interval90(gap, se)
        arm |= {"difference": gap, "low90": low, "high90": high, "equivalent": within_margin(low, high)}
    x, y = np.log([arm["tau"] for arm in few]), np.array([arm["loss"] for arm in few])
    slope, level = np.polyfit(x, y, 1)
    spread = np.sqrt(np.sum((y - level - slope * x) ** 2) / (len(x) - 2) / np.sum((x - x.mean()) ** 2))
    rise, width = slope * np.log(free), student.ppf(0.95, len(x) - 2) * spread * np.log(free)
    trend = {"rise": rise, "low90": rise - width, "high90": rise + width}
    beyond = []
    for arm in arms[len(few) :]:
        gap = arm["loss"] - y.mean()
        se = y.std(ddof=1) * np.sqrt(1 + 1 / len(y))
        width = student.ppf(0.975, len(y) - 1) * se
        p = float(student.sf(gap / se, len(y) - 1))
        beyond.append({"tau": arm["tau"], "difference": gap, "low95": gap - width, "high95": gap + width, "p": p})
    equal = {
        "trend": trend | {"equivalent": within_margin(trend["low90"], trend["high90"])},
        "sd_of_arms": y.std(ddof=1),
    }
    return {"arms": arms, **equal, "beyond": beyond}


def main() -> None:
    """Write `results/reuse.json`."""
    save("reuse", {"margin": MARGIN, "last_steps": LAST, **{series: report(series) for series in SERIES}})


if __name__ == "__main__":
    main()
