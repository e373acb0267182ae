"""Whether the tests notice faults: a sample of mutants of `numerics/`, `fitting/` and `prediction/`, each run against its tests.

mutmut writes every mutant and its tests into `mutants/`, a copy that git ignores, so the sources are never touched. Each
mutant is run against those tests that call its function, those of its own room and the quickest first, for `SECONDS` at
most; `[tool.mutmut]` in pyproject.toml says which tests are looked at.
Words for a reader are not mutated here, nor is zip's check of lengths, which tells of our own faults alone: the sample
passes over mutants of literals that hold a blank and of `strict=True`.
"""

import argparse
import fnmatch
import json
import random
import re
import subprocess
import sys
import tomllib
from collections import Counter
from itertools import accumulate
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant

ROOMS = {
    "numerics": ("test_numerics", "test_horizon"),
    "fitting": ("test_hierarchy", "test_fitting", "test_fit_file"),
    "prediction": ("test_prediction", "test_validation"),
}
"""What is mutated, and the files whose tests are of it."""
PROBE = "scalefit.numerics.intervals.x_student__mutmut_1"
"""Run first: on the way all mutants are written and all tests are timed."""
SECONDS = 8.0
"""Of tests that a mutant is run against."""
STATS = Path("mutants/mutmut-stats.json")
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
LITERAL = re.compile(r"""(["'])(?:(?!\1).)* (?:(?!\1).)*\1""")
CHECKED = re.compile(r", *(strict=\w+)?(?=\))")
OUTCOMES = {1: "killed", 3: "killed", 24: "timeout", 36: "timeout", -24: "timeout", 152: "timeout", 255: "timeout"}


def main() -> int:
    """Run a sample and print what survived; 1 where less than the share asked for was killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="mutants in all, a third from each room")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--least", type=float, default=0.9, help="share that must be killed")
    parser.add_argument("--only", default="*", help="pattern of mutants' names, as in *ar1*")
    asked = parser.parse_args()
    _mutmut(PROBE)
    _choose_tests()
    rng = random.Random(asked.seed)
    drawn = [name for room in ROOMS for name in _draw(room, asked.only, asked.count // len(ROOMS), rng)]
    _mutmut(*drawn)
    found = {name: OUTCOMES.get(code, "survived") for name, code in _codes().items() if name in set(drawn)}
    reasons = _equivalent([name for name in drawn if found[name] == "survived"])
    for name in drawn:
        if found[name] == "survived" and name not in reasons:
            print(f"\n{name}\n{_change(name)}")
    for name, why in reasons.items():
        print(f"\nequivalent: {name}: {why}\n{_change(name)}")
    print()
    for room in (*ROOMS, ""):
        told = Counter(found[name] for name in drawn if name not in reasons and name.startswith(f"scalefit.{room}"))
        total = max(sum(told.values()), 1)
        share = (told["killed"] + told["timeout"]) / total
        counts = ", ".join(f"{told[one]} {one}" for one in ("killed", "timeout", "survived"))
        print(f"{room or 'all':12} {share:6.1%}   {counts}")
    return int(share < asked.least)


def _mutmut(*names: str) -> None:
    """Run mutants; what it prints is progress."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "2", *names]
    subprocess.run(command, check=True, stdout=sys.stderr)


def _choose_tests() -> None:
    """Leave each function the quickest of the tests that call it."""
    stats = json.loads(STATS.read_text())
    seconds = stats["duration_by_test"]
    for function, tests in stats["tests_by_mangled_function_name"].items():
        own = ROOMS.get(function.split(".")[1], ())
        order = sorted(tests, key=lambda test, own=own: (Path(test.split("::")[0]).stem not in own, seconds[test]))
        within = [spent <= SECONDS for spent in accumulate(seconds[test] for test in order)]
        stats["tests_by_mangled_function_name"][function] = order[: max(sum(within), 1)]
    STATS.write_text(json.dumps(stats))


def _codes() -> dict[str, int | None]:
    """Return the exit code of every mutant's tests, by its name."""
    files = sorted(Path("mutants/scalefit").rglob("*.meta"))
    return {name: code for file in files for name, code in json.loads(file.read_text())["exit_code_by_key"].items()}


def _draw(room: str, only: str, count: int, rng: random.Random) -> list[str]:
    """Return so many of a room's mutants that change more than words and checks."""
    names = [name for name in _codes() if name.startswith(f"scalefit.{room}.") and fnmatch.fnmatch(name, only)]
    rng.shuffle(names)
    drawn: list[str] = []
    while names and len(drawn) < count:
        name = names.pop()
        was, becomes = _lines(name)
        if CHECKED.sub("", LITERAL.sub("", was)) != CHECKED.sub("", LITERAL.sub("", becomes)):
            drawn.append(name)
    return drawn


def _change(name: str) -> str:
    """Return the lines that a mutant takes away and puts in their place."""
    lines = get_diff_for_mutant(name).splitlines()
    return "\n".join(line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---"))


def _lines(name: str) -> tuple[str, str]:
    changed = _change(name).splitlines()
    return tuple("\n".join(line[1:].strip() for line in changed if line[0] == sign) for sign in "-+")


def _equivalent(survivors: list[str]) -> dict[str, str]:
    """Return those of the survivors that no test could kill, with the reason."""
    known = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8")).get("mutant", [])
    reasons = {(one["was"], one["becomes"]): one["why"] for one in known}
    return {name: reasons[_lines(name)] for name in survivors if _lines(name) in reasons}


if __name__ == "__main__":
    sys.exit(main())
