"""How often `scalefit gate` alarms falsely where it is looked at after every evaluation, and what it saves beside a fixed plan.

Curves of known truth: AR(1) noise, runs with effects of their own. A fixed plan looks once, after so many evaluations, with
what the gate knows: the mean of the difference over its standard deviation, correlation, spread and scatter averaged over
the same likelihood. Its critical values are those of simulated curves without a difference, so that it alarms falsely in 5 %
exactly. Its power at each length is simulated; both are as long as they must be for the same power. Run as `make bench-gate`
(some eight minutes on one core); fixed seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray

from experiments.study import between
from scalefit.numerics.anytime import Evidence
from scalefit.numerics.ar1 import Noise, ar1_noise
from scalefit.numerics.proportions import binomial_interval
from scalefit.numerics.two_groups import LEAST_LOOK, Curves, Scatter, gather_evidence
from scalefit.output import write_text
from scalefit.studies.two_sides import repeats_prior

Array = NDArray[np.float64]
ALPHA, NOISE = 0.05, 0.015
ENOUGH = -np.log(ALPHA)
OUT, PAGE = Path(__file__).with_suffix(".json"), Path(__file__).parents[1] / "docs" / "is-a-better.md"


@dataclass(frozen=True)
class Truth:
    """Curves of two recipes: correlation, evaluations, runs a side, the scatter of runs and whether it is told.

    `white` is the standard deviation of a second noise, which does not stay from one evaluation to the next: with it the
    noise is not AR(1), as the gate takes it to be.
    """

    rho: float
    length: int
    runs: int = 1
    scatter: float = 0.0
    told: bool = True
    distance: float = 0.02
    white: float = 0.0

    def draw(self, rng: np.random.Generator, difference: float) -> Array:
        """Draw curves (2 runs, T), those of the second recipe shifted."""
        noise = ar1_noise(rng, Noise(self.rho, np.full(2 * self.runs, NOISE)), (1, 2 * self.runs, self.length))[0]
        effect = self.scatter * rng.standard_normal(2 * self.runs) + difference * self.side
        curves = noise + effect[:, None]
        return np.asarray(curves + self.white * rng.standard_normal(curves.shape) if self.white else curves)

    @property
    def side(self) -> Array:
        """Which recipe a run is of."""
        return np.repeat([0.0, 1.0], self.runs)

    @property
    def prior(self) -> Scatter:
        """What the gate knows of the scatter."""
        return Scatter.known(self.scatter) if self.told else repeats_prior()


def evidence_of(truth: Truth, drawn: Array, looks: NDArray[np.intp]) -> Evidence:
    """Return the evidence that drawn curves (2 runs, T) hold."""
    curves = Curves.of_runs(drawn[: truth.runs], drawn[truth.runs :], np.arange(1.0, drawn.shape[1] + 1))
    return gather_evidence(curves, scatter=truth.prior, distance=truth.distance, looks=looks)


def look_often(
    truth: Truth, difference: float, count: int, against: Sequence[float] = (0.0,), every: int = 1
) -> tuple[NDArray[np.intp], Array]:
    """Return the looks, and the evidence (count, against, looks) that simulated recipes give against differences."""
    rng = np.random.default_rng([int(1000 * truth.rho), truth.runs, int(1e5 * abs(difference)), 21])
    looks = np.arange(LEAST_LOOK, truth.length + 1, every)
    found = []
    for _ in range(count):
        evidence = evidence_of(truth, truth.draw(rng, difference), looks)
        found.append([evidence.against(at) for at in against])
    return looks, np.array(found)


def share(hits: int, count: int) -> dict[str, Any]:
    """Return a rate with its 95 % interval."""
    low, high = binomial_interval(hits, count)
    return {"rate": hits / count, "low": float(low), "high": float(high), "of": count}


def false_alarms(truth: Truth, count: int) -> dict[str, Any]:
    """Return how often recipes that do not differ are ever told apart."""
    _, evidence = look_often(truth, 0.0, count)
    return asdict(truth) | share(int((evidence[:, 0].max(1) >= ENOUGH).sum()), count)


def looked_once(truth: Truth, difference: float, count: int, lengths: NDArray[np.intp]) -> Array:
    """Return statistics (count, lengths) of the difference: its mean over its standard deviation, all that is unknown averaged."""
    rng = np.random.default_rng([int(1000 * truth.rho), truth.runs, int(1e5 * abs(difference)), 22])
    found = []
    for _ in range(count):
        known = evidence_of(truth, truth.draw(rng, difference), lengths)
        weight = known.base + known.score**2 / (2 * known.information) - np.log(known.information) / 2
        weight = np.exp(weight - weight.max(0))
        weight /= weight.sum(0)
        value = known.score / known.information
        mean = (weight * value).sum(0)
        variance = (weight * (1 / known.information + (value - mean) ** 2)).sum(0)
        found.append(np.abs(mean) / np.sqrt(variance))
    return np.array(found)


def length_for(power: float, reached: Array, lengths: NDArray[np.intp]) -> float | None:
    """Return the length at which a fixed plan has that power; None where no length that was tried has."""
    rising = np.maximum.accumulate(reached)
    return float(np.interp(power, rising, lengths)) if rising[-1] >= power else None


def saving(truth: Truth, count: int) -> list[dict[str, Any]]:
    """Return how many evaluations the gate takes to see a difference of the margin, beside fixed plans of its power.

    The gate goes on at most until it has that power. `plan` errs as seldom as the gate does whatever the correlation, up to
    .95; `knowing plan` only at the true one, which nobody knows.
    """
    looks, evidence = look_often(truth, truth.distance, count, every=max(1, truth.length // 100))
    over = evidence[:, 0] >= ENOUGH
    stop = np.where(over.any(1), looks[over.argmax(1)], np.inf)
    lengths = np.unique(np.geomspace(8, truth.length, 16).astype(int))
    level = [
        np.quantile(looked_once(replace(truth, rho=rho), 0.0, count, lengths), 1 - ALPHA, axis=0)
        for rho in (truth.rho, 0.5, 0.8, 0.95)
    ]
    differing = looked_once(truth, truth.distance, count, lengths)
    rows = []
    for power in POWERS:
        longest = float(np.quantile(stop, power, method="inverted_cdf"))
        plan, knowing = (
            length_for(power, (differing >= critical).mean(0), lengths) for critical in (np.max(level, 0), level[0])
        )
        row: dict[str, Any] = {"power": power, "longest": None, "evaluations": None, "plan": plan}
        if np.isfinite(longest):
            row |= {"longest": longest, "evaluations": float(np.minimum(stop, longest).mean())}
            row["saved"] = plan and 1 - row["evaluations"] / plan
            row |= {"knowing plan": knowing, "saved beside it": knowing and 1 - row["evaluations"] / knowing}
        rows.append(asdict(truth) | row)
    return rows


ALARMS = (
    *(Truth(rho, 200) for rho in (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)),
    Truth(0.95, 400),
    Truth(0.95, 200, runs=1, scatter=0.01),
    Truth(0.95, 200, runs=3, scatter=0.01),
    Truth(0.95, 200, runs=3, scatter=0.01, told=False),
    Truth(0.8, 100, runs=2, scatter=0.006, told=False),
)
BESIDE = (
    Truth(0.98, 200, white=NOISE),
    Truth(0.98, 200, scatter=0.01, white=NOISE),
    Truth(0.98, 200, runs=3, white=NOISE, told=False),
    Truth(0.98, 200, runs=3, scatter=0.01, white=NOISE, told=False),
)
"""Noise of two kinds, one that stays and one that does not: what the gate is not made for."""
SAVINGS = (
    Truth(0.5, 150),
    Truth(0.8, 300),
    Truth(0.8, 300, runs=4, distance=0.01),
    Truth(0.95, 800, runs=4, distance=0.015),
    Truth(0.8, 600, runs=4, scatter=0.002, distance=0.01),
)
POWERS = (0.8, 0.9, 0.95)


def page(found: dict[str, Any]) -> str:
    """Return what was measured as the tables of `docs/is-a-better.md`."""
    lines = ["| false alarms | looks | runs a side | scatter | rate (95 %) |", "|---|---|---|---|---|"]
    for row in (*found["false alarms"], *found["beside"]):
        known = ", ".join(
            [f"{row['scatter']:g}"] * bool(row["scatter"])
            + (["by repeats"] if not row["told"] else ["given"] if row["scatter"] else ["none"])
        )
        looks = row["length"] - LEAST_LOOK + 1
        rate = f"{100 * row['rate']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
        white = " and as much white noise" if row["white"] else ""
        lines.append(f"| correlation {row['rho']:g}{white} | {looks} | {row['runs']} | {known} | {rate} |")
    lines += [
        "",
        "| until a difference is told | difference | power | gate | plan | saved | beside a plan that knows the correlation |",
    ]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in found["saved"]:
        about = f"correlation {row['rho']:g}, {row['runs']} a side" + (
            f", scatter {row['scatter']:g}" if row["scatter"] else ""
        )
        cells = [
            f"{row['distance']:g}",
            f"{row['power']:g}",
            _evaluations(row["evaluations"]),
            _evaluations(row["plan"]),
        ]
        cells += [_share(row.get("saved")), _share(row.get("saved beside it"))]
        lines.append(f"| {about} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _evaluations(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def main() -> None:
    """Measure all and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--count", type=int, default=400)
    asked = parser.parse_args()
    found: dict[str, Any] = {"alpha": ALPHA, "noise": NOISE, "false alarms": [], "beside": [], "saved": []}
    for kind, truths in (("false alarms", ALARMS), ("beside", BESIDE)):
        for truth in truths:
            found[kind].append(false_alarms(truth, asked.count * max(1, truth.length // 200)))
            print(found[kind][-1], flush=True)
    for truth in SAVINGS:
        found["saved"] += saving(truth, asked.count // 2)
        print(found["saved"][-len(POWERS) :], flush=True)
    write_text(asked.out, json.dumps(found, indent=2) + "\n")
    if asked.out == OUT:
        write_text(PAGE, between(PAGE.read_text(encoding="utf-8"), "gate", page(found)))


if __name__ == "__main__":
    main()
