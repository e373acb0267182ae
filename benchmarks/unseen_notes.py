"""What `experiments/paper/notes.md` shows of `benchmarks/unseen.json`.

Run after `benchmarks/unseen.py`; nothing is computed here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.unseen import BEFORE, CHOSEN, FIRST, OUT, POOLS, SHARES, TRUTHS, WEIGHTS
from experiments.study import between
from scalefit.output import write_text

NOTES = Path(__file__).parents[1] / "experiments" / "paper" / "notes.md"
Row = Mapping[str, Any]


def whole(report: Row) -> str:
    """Return the part of the notes that is made of the report."""
    parts = (
        _candidates(report),
        _trends(report["choice"]["trends"]),
        _anchored(report["anchored"]),
        _bands(report["bands"]),
    )
    return "\n\n".join("\n".join(part) for part in (*parts, _misses(report)))


def find(rows: Sequence[Row], wanted: Row) -> Row:
    """Return the row with these settings."""
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    yield from ("| " + " | ".join(row) + " |" for row in rows)


def _error(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _held(row: Row) -> str:
    return f"{100 * row['cover50']:.0f} / {100 * row['cover95']:.0f}"


def _candidates(report: Row) -> Iterator[str]:
    rows = report["choice"]["candidates"]
    named = {"as it is": CHOSEN, "as it was": BEFORE, "first choice": FIRST}
    changes = (("pool", POOLS), ("trend", SHARES), ("weights", WEIGHTS))
    around = [{**CHOSEN, name: value} for name, values in changes for value in values if value != CHOSEN[name]]
    shown = [*((name, find(rows, one)) for name, one in named.items()), *(("", find(rows, one)) for one in around)]
    best = [(f"least {name}", min(rows, key=lambda row, name=name: row[name])) for name in ("measured", "both")]
    measured = [name for name in rows[0]["families"] if name not in TRUTHS]
    sums = ("measured", "simulated", "both")
    place = 1 + sum(row["both"] < find(rows, CHOSEN)["both"] for row in rows)
    yield f"Of {len(rows)} candidates the chosen is number {place} by both; {report['tables of each truth']} tables of each truth."
    yield ""
    lines = []
    for name, row in (*shown, *best):
        errors = [*(row["families"][one] for one in measured), *(row[one] for one in sums)]
        lines.append([name, row["pool"], f"{row['trend']:g}", row["weights"], *map(_error, errors)])
    yield from _table(["", "laws", "trend's part", "weights by", *measured, *sums], lines)


def _trends(rows: Sequence[Row]) -> Iterator[str]:
    ways = sorted({row["way"] for row in rows})
    yield "The trend, as part of the chosen (measured / simulated), by how far it goes:"
    yield ""
    lines = []
    for scale, nearest in dict.fromkeys((row["scale"], row["nearest"]) for row in rows):
        cells = [find(rows, {"scale": scale, "nearest": nearest, "way": way}) for way in ways]
        pairs = [f"{_error(cell['measured'])} / {_error(cell['simulated'])}" for cell in cells]
        lines.append([scale, f"{nearest} sizes", *pairs])
    yield from _table(["along", "through", *(f"{way:g} of the way" for way in ways)], lines)


def _anchored(found: Row) -> Iterator[str]:
    families = list(next(iter(found["steps"].values()))["families"])
    yield "With ten points of the size itself, the rest of it; beside sizes from smaller ones (measured), each size from all others:"
    yield ""
    lines = []
    for how, row in found["steps"].items():
        errors = [*(row["families"][one] for one in families), row["measured"], found["gaps"][how]["measured"]]
        lines.append([how, *map(_error, errors)])
    yield from _table(["what is done with the points", *families, "measured", "from all others"], lines)


def _bands(bands: Row) -> Iterator[str]:
    yield "Evaluations in the bands of one evaluation, in percent (50 % band / 95 % band), of the prediction as it is:"
    yield ""
    lines = []
    for kind, hows in bands.items():
        for how, row in hows.items():
            by = "; ".join(f"{name} {_held(one)}" for name, one in row["families"].items())
            lines.append([kind, how, str(row["folds"]), _held(row), by])
    yield from _table(["tables", "sizes", "folds", "50 / 95", "by family"], lines)


def _misses(report: Row) -> Iterator[str]:
    mean = report["misses"]["mean"]
    yield (
        f"Mean miss of a size left out at a way of 1, over families: {mean['level']:.3f} in level and {mean['slope']:.3f} a decade "
        "in slope [log10 loss], which is what other tables count for in the bands."
    )


def with_report(page: str, report: Row) -> str:
    """Return the notes with their part of the report made anew."""
    return between(page, "unseen", f"\n{whole(report)}\n")


def main() -> None:
    """Write the notes' tables."""
    report = json.loads(OUT.read_text(encoding="utf-8"))
    write_text(NOTES, with_report(NOTES.read_text(encoding="utf-8"), report))


if __name__ == "__main__":
    main()
