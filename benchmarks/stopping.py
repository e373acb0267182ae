"""The stopping rule tried on every committed curve: what it saves, what it gives up, and what nobody could save.

Each run is forecast from its beginnings, alone (and with --siblings among the other runs of its table), by a prior that never saw its
family, and is stopped where the rule says so; what it gave up is known, since it went on. Compute is the share of the run's prompts. Writes
`stopping.json`, and the picture and table of docs/live.md.

Run as `make bench-stopping`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from benchmarks.forecast_prior import family_of, tables, whole
from experiments.study import between
from scalefit.output import write_file, write_json, write_text
from scalefit.prediction.prior import Prior
from scalefit.studies.replay import LOOKS, Replay, TradeOff, record_of, replay_runs, weigh_rule
from scalefit.studies.stopping import RISK, TOLERANCE

OUT = Path(__file__).with_suffix(".json")
DOCS = Path(__file__).parents[1] / "docs"
PICTURE, PAGE = DOCS / "stopping.png", DOCS / "live.md"
ALONE, SIBLINGS = "alone", "with the other runs of its table"
BESIDE = ("cross_domain", "reuse")
"""Tables of curves beside those of the main runs: other evaluations of the same runs, and means over repeats."""


def replay_all(looks: int, only: list[str] | None, priors: dict[str, Prior], siblings: bool) -> dict[str, list[Replay]]:
    """Return every committed run replayed, by table or study, each by a prior without its family."""
    found: dict[str, list[Replay]] = {}
    for name, frame in tables().items():
        shown = "paper" if name == "runs" else name if name in BESIDE else name.partition("_")[0]
        if only and shown not in only:
            continue
        for evaluation, part in frame.groupby("eval", observed=True):
            family = family_of(name, str(evaluation))
            if family not in priors:
                priors[family] = whole(family)
            part = part.reset_index(drop=True)
            if part.groupby("run_id", observed=True).size().max() > 1:
                found.setdefault(shown, []).extend(
                    replay_runs(part, x="samples", looks=looks, siblings=siblings, prior=priors[family])
                )
        print(f"{name}: {len(found.get(shown, []))} runs", flush=True)
    return {name: every for name, every in found.items() if every}


def read(path: Path) -> dict[str, dict[str, list[Replay]]]:
    """Return the replays that an earlier call made."""

    def made(one: dict[str, Any]) -> Replay:
        return Replay(**{name: np.array(value) if isinstance(value, list) else value for name, value in one.items()})

    content = json.loads(path.read_text(encoding="utf-8"))
    return {
        way: {name: [made(one) for one in every] for name, every in content[way]["replays"].items()} for way in content
    }


def weigh(replays: dict[str, list[Replay]]) -> tuple[dict[str, TradeOff], dict[str, TradeOff]]:
    """Return the rule's trade-off over the main runs and every curve, and over each study."""

    def of(*names: str) -> TradeOff:
        return weigh_rule([one for name in names for one in replays[name]], tolerance=TOLERANCE, risk=RISK)

    main_runs = [name for name in replays if name not in BESIDE] or [*replays]
    return {"runs": of(*main_runs), "every curve": of(*replays)}, {name: of(name) for name in replays}


def with_table(text: str, content: dict[str, Any]) -> str:
    """Return docs/live.md with what was found at the risk in use."""
    rows = ["| curves | forecast | runs | saved | give up no more than .01 | regret stated, came | who knew the end |"]
    rows.append("|---|---|---|---|---|---|---|")
    for way, found in content.items():
        for name, one in {**found, **found["studies"]}.items():
            if name in ("studies", "replays") or (name in found["studies"] and way != ALONE):
                continue
            at = next(row for row in one["by_risk"] if row["risk"] == RISK)
            shares = [f"{100 * share:.0f} %" for share in (at["saved"], at["within"])]
            regret = f"{one['stated']:.4f}, {one['came']:.4f}"
            rows.append(
                f"| {name} | {way} | {one['runs']} | {shares[0]} | {shares[1]} | {regret} | {100 * one['possible']:.0f} % |"
            )
    return between(text, "replayed", "\n".join(rows))


def main() -> None:
    """Replay, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--looks", type=int, default=LOOKS, help="evaluations of a run at which it is forecast")
    parser.add_argument("--only", nargs="*", help="studies")
    parser.add_argument("--siblings", action="store_true", help="also each run with the others of its table")
    parser.add_argument("--again", action="store_true", help="weigh the rule on the forecasts that are there")
    given = parser.parse_args()
    if given.again:
        replays = read(given.out)
    else:
        priors: dict[str, Prior] = {}
        ways = (ALONE, SIBLINGS) if given.siblings else (ALONE,)
        replays = {way: replay_all(given.looks, given.only, priors, way == SIBLINGS) for way in ways}
    content: dict[str, Any] = {}
    for way, some in replays.items():
        whole_tables, studies = weigh(some)
        print(f"{way}\n" + "\n".join(found.summary() for found in whole_tables.values()))
        print("\n".join(f"  {name}: {found.headline}" for name, found in studies.items()), flush=True)
        content[way] = {
            **{name: found.record() for name, found in whole_tables.items()},
            "studies": {name: found.record() for name, found in studies.items()},
            "replays": {name: [record_of(one) for one in every] for name, every in some.items()},
        }
        if way == ALONE:
            figure = whole_tables["runs"].plot()
            picture = PICTURE if given.out == OUT else given.out.with_suffix(".png")
            write_file(picture, lambda part, figure=figure: figure.savefig(part, format="png", dpi=160))
    write_json(given.out, content, 4)
    if given.out == OUT:
        write_text(PAGE, with_table(PAGE.read_text(encoding="utf-8"), content))


if __name__ == "__main__":
    main()
