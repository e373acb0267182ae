"""What `README.md` and `docs/how-far.md` show of `benchmarks/forecast.json`; nothing is computed here.

Run after `benchmarks/forecast.py`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.forecast import OUT, SIMPLE, SPLITS
from experiments.study import between
from scalefit.output import write_text

ROOT = Path(__file__).parents[1]
README, DOCS = ROOT / "README.md", ROOT / "docs" / "how-far.md"
ALONE, TOLD = "ours, alone", "ours, with siblings"
NAMES = {
    "collapse by samples": "ours made to collapse",
    "paper, runs by samples": "the paper's test set, by prompts",
    "paper, runs by flops": "the paper's test set, by FLOPs",
    "paper, reuse by samples": "the paper's repeated prompts",
    "paper, cross_domain by samples": "the paper's other test sets",
}
Row = Mapping[str, Any]


def _error(value: float) -> str:
    return f"{value:.4f}".replace("0.", ".", 1)


def _bias(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1).replace("-.000", "+.000")


def named(family: str) -> str:
    """Return a family as readers are told."""
    return NAMES.get(family, f"our {family.removesuffix(' by samples')}")


def short(report: Row) -> Iterator[str]:
    """Yield the lines of the README's table: the error at the end by family."""
    yield (
        "| the end of a run, RMSE from its first | "
        + " | ".join(f"{share:g}" for share in SPLITS)
        + " | 95 % band holds |"
    )
    yield "|---" * (len(SPLITS) + 2) + "|"
    for family, rows in report["families"].items():
        cells = []
        for share in SPLITS:
            of = {name: one[f"{share:g}"]["rmse"] for name, one in rows.items() if f"{share:g}" in one}
            best = min((of[name] for name in SIMPLE), default=0.0) if of else 0.0
            cells.append(f"{_error(of[ALONE])} / {_error(of[TOLD])} / {_error(best)}" if of else "")
        held = [_held(rows[name]) for name in (ALONE, TOLD)]
        yield f"| {named(family)} | " + " | ".join(cells) + f" | {' / '.join(held)} % |"


def _held(row: Row) -> str:
    forecasts = sum(one["runs"] for one in row.values())
    return f"{100 * sum(one['runs'] * one['cover95'] for one in row.values()) / forecasts:.0f}"


def long(report: Row) -> Iterator[str]:
    """Yield the lines of the guide's tables: every forecaster by family and share, and the tables against simple rules."""
    for family, rows in report["families"].items():
        yield f"{named(family)[0].upper()}{named(family)[1:]}:"
        yield ""
        yield "| RMSE (bias); 95 % band: holds, width | " + " | ".join(f"first {share:g}" for share in SPLITS) + " |"
        yield "|---" * (len(SPLITS) + 1) + "|"
        for name, row in rows.items():
            yield f"| {name} | " + " | ".join(_cell(row.get(f"{share:g}")) for share in SPLITS) + " |"
        yield ""
    yield "Against the best of last value, mean of five and own power law, by table:"
    yield ""
    yield "| table | forecasts | alone | with siblings |"
    yield "|---|---|---|---|"
    for table, row in report["tables"].items():
        against = row["against the best simple rule"]
        yield f"| {table} | {row['forecasts']} | {against[ALONE]:.2f} | {against[TOLD]:.2f} |"


def _cell(one: Row | None) -> str:
    if one is None:
        return ""
    said = f"{_error(one['rmse'])} ({_bias(one['bias'])})"
    return said + (f"; {100 * one['cover95']:.0f} %, {one['width95']:.3f}" if "cover95" in one else "")


def with_report(page: str, lines: Iterator[str]) -> str:
    """Return a page with its part of the report made anew."""
    return between(page, "forecasts", "\n".join(lines))


def main() -> None:
    """Write the tables."""
    report = json.loads(OUT.read_text(encoding="utf-8"))
    for path, lines in ((README, short(report)), (DOCS, long(report))):
        write_text(path, with_report(path.read_text(encoding="utf-8"), lines))


if __name__ == "__main__":
    main()
