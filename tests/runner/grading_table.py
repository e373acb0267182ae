"""The table of docs/grading.md, measured: false refusals and acceptances by kind, ours beside two usual rules.

`python -m tests.runner.grading_table` writes it anew.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from scalefit.runner.tasks.answers import last_number
from scalefit.runner.tasks.literals import number
from scalefit.runner.tasks.problems import Problems
from scalefit.runner.tasks.task import Example

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "grading.md"
CASES, HELD_OUT = HERE / "grading_cases.jsonl", HERE / "grading_cases_held_out.jsonl"
BEGIN, END = "<!-- table: python -m tests.runner.grading_table -->", "<!-- end of table -->"
Rule = Callable[[str, str], bool]


def cases(path: Path = CASES) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ours(problems: Problems) -> Rule:
    from scalefit.runner.tasks.answers import final_answer

    return lambda gold, response: bool(problems.score(response, Example("q", final_answer(gold), 0.0)).reward)


def bare_math_verify(gold: str, response: str) -> bool:
    """The library by itself: the whole response, its default extraction."""
    from math_verify import parse, verify

    wanted = parse(f"${gold}$", parsing_timeout=None) or parse(gold, parsing_timeout=None)
    return bool(verify(wanted, parse(response, parsing_timeout=None), timeout_seconds=None))


def last_number_rule(gold: str, response: str) -> bool:
    """The flexible rule of evaluation harnesses: the last number is the answer."""
    wanted, given = number(re.sub(r"[\\$,!]", "", gold)), last_number(response)
    return wanted is not None and bool(given) and number(given) == wanted


def count(rows: Iterable[dict], rules: list[Rule]) -> dict[str, list[int]]:
    """Return for each kind: right cases, refusals by each rule, wrong cases, acceptances by each rule."""
    found: dict[str, list[int]] = defaultdict(lambda: [0] * (2 + 2 * len(rules)))
    for row in rows:
        for kind in (row["kind"], "all"):
            found[kind][0 if row["right"] else 1 + len(rules)] += 1
        for at, rule in enumerate(rules):
            if rule(row["gold"], row["response"]) != row["right"]:
                for kind in (row["kind"], "all"):
                    found[kind][1 + at if row["right"] else 2 + len(rules) + at] += 1
    return {**{kind: row for kind, row in found.items() if kind != "all"}, "all": found["all"]}


def table(counts: dict[str, list[int]]) -> str:
    names = ("scalefit", "math-verify", "last number")
    head = [
        "kind",
        "right",
        *(f"refused by {name}" for name in names),
        "wrong",
        *(f"accepted by {name}" for name in names),
    ]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    lines += [f"| {kind} | {' | '.join(map(str, row))} |" for kind, row in counts.items()]
    return "\n".join(lines)


def measured(problems: Problems) -> str:
    rules = [ours(problems), bare_math_verify, last_number_rule]
    both = count(cases(), rules)
    both["held out"] = count(cases(HELD_OUT), rules)["all"]
    return table(both)


def on_page() -> str:
    return PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


if __name__ == "__main__":
    import logging
    import tempfile

    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        one = Path(folder) / "one.jsonl"
        one.write_text('{"question": "q", "answer": "1"}\n')
        new = measured(Problems(str(one)))
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.partition(BEGIN)[0] + f"{BEGIN}\n{new}\n{END}" + text.partition(END)[2], encoding="utf-8")
    print(new)
