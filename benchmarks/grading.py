"""What judging costs: answers a second of ordinary kinds and of hostile ones, and what one kill costs.

Cases of the tests are ordinary; hostile are towers, factorials, nests, and expressions that pass the bounds and have to be
killed. Times are of the clock on this machine, one judge beside one reader.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from scalefit.runner.tasks.answers import final_answer
from scalefit.runner.tasks.grade import grade
from scalefit.runner.tasks.judge import Judge

CASES = Path(__file__).parents[1] / "tests" / "runner" / "grading_cases.jsonl"
HOSTILE = (
    "10^{10^{10}}",
    "9^{9^{9^9}}",
    "99999999!",
    "(5!)!",
    "x^{x^{x^{x}}}",
    "(x+1)^{9999}",
    "2^{10^9}",
    r"\sum_{i=1}^{10^9} i",
    "(" * 300 + "x" + ")" * 300,
    r"\sqrt{" * 100 + "2" + "}" * 100,
    r"\binom{10^9}{10^8}",
    "9" * 900,
    "x+" * 400 + "x",
)
"""As a policy may write them, in a box."""
PAST_THE_BOUNDS = "(a+b+c+d+e+f)^{40}"
"""Put to the judge itself, so that it has to be killed."""


def measure(turns: int = 3) -> dict[str, float]:
    """Measure; medians of several turns."""
    rows = [json.loads(line) for line in CASES.read_text(encoding="utf-8").splitlines()]
    judge = Judge()
    begin = time.perf_counter()
    judge.ask(kind="math", gold="x", answer="y")
    start = time.perf_counter() - begin
    asked = 0

    def ask(gold: str, answer: str) -> bool | None:
        nonlocal asked
        asked += 1
        return judge.ask(kind="math", gold=gold, answer=answer)

    pairs = [(final_answer(row["gold"]), row["response"]) for row in rows]
    ordinary = statistics.median(_rate(pairs, ask) for _ in range(turns))
    to_judge = asked / turns / len(pairs)
    hostile = [(gold, rf"\boxed{{{text}}}") for gold in (r"\sqrt{2}", "x^2+1", "7") for text in HOSTILE]
    asked = 0
    refused = statistics.median(_rate(hostile, ask) for _ in range(turns))
    hostile_to_judge = asked / turns
    kills = []
    for _ in range(turns):
        begin = time.perf_counter()
        judge.ask(kind="math", gold=r"\sqrt{2}", answer=PAST_THE_BOUNDS)
        judge.ask(kind="math", gold=r"\sqrt{2}", answer=r"\sqrt{3}")
        kills.append(time.perf_counter() - begin)
    found = {
        "ordinary answers a second": ordinary,
        "of these, share sent to the judge": to_judge,
        "hostile answers a second": refused,
        "of these, sent to the judge": hostile_to_judge,
        "one kill and the next verdict [s]": statistics.median(kills),
        "answers killed": float(judge.killed),
        "start of a judge [s]": start,
        "network within reach (0: no)": float(bool(judge.network)),
    }
    judge.close()
    for name, value in found.items():
        print(f"{name:55s} {value:12.4g}", flush=True)
    return found


def _rate(pairs: list[tuple[str, str]], ask) -> float:  # type: ignore[no-untyped-def]
    begin = time.perf_counter()
    for gold, response in pairs:
        grade(gold, final_answer(response), ask)
    return len(pairs) / (time.perf_counter() - begin)


if __name__ == "__main__":
    measure()
