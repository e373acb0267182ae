"""What `docs/intervals.md` shows of `benchmarks/coverage.json`, and its picture of the three bands.

Run after `make bench-coverage`, of which it is the second half; nothing of the table is computed here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from matplotlib.axes import Axes

from benchmarks.coverage import ASKED, NAMES, OUT, PARTS, Case, draw, outside
from experiments.study import between
from scalefit.fitting.bands import BANDS
from scalefit.fitting.fit import fit_data
from scalefit.output import write_file, write_text
from scalefit.plotting.style import LOSS, log_ticks, new_figure, styled
from scalefit.table.prepare import prepare

PAGE = Path(__file__).parents[1] / "docs" / "intervals.md"
PICTURE = PAGE.with_name("bands.png")
SHOWN = {"": 0.5, "run_": 0.3, "eval_": 0.18}
"""How dark each band is."""


def whole(report: Mapping[str, Any]) -> str:
    """Return the part of the page that is made of the report: what is summed up, the table, and what lies outside."""
    cases = report["cases"]
    lines = [_summary(cases), "", *_table(cases), "", *_outside(report)]
    return "\n".join(lines)


def _bands(case: Mapping[str, Any], part: str) -> str:
    """Return the shares of the three bands, and of how many tables where they are not all."""
    if part not in case:
        return ""
    which = "seen" if part == "law" else part
    held = " / ".join(_share(case[part], f"{which} {NAMES[prefix]}") for prefix in BANDS)
    return held if part == "law" else f"{held} ({case[part]['tables']})"


def _share(row: Mapping[str, float], name: str) -> str:
    return f"{100 * row[name]:.0f}" if name in row else ""


def _table(cases: Mapping[str, Any]) -> Iterator[str]:
    heads = [
        "drawn from",
        "tables",
        "k(2N) 95 / 50",
        "k_max",
        "N0",
        "largest size: mean curve / new run / one evaluation",
        "unseen size (of so many tables)",
        "the same by averaged offsets",
        "width of k(2N)",
        "converged",
    ]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for name, case in cases.items():
        law = case["law"]
        pairs = [f"{_share(law, f'{one} 95')} / {_share(law, f'{one} 50')}" for one in ("k", "k_max", "N0")]
        bands = [_bands(case, part) for part in PARTS]
        width = "no bound" if law["width of k"] is None else f"{law['width of k']:.3f}"
        cells = [name, str(law["tables"]), *pairs, *bands, width, f"{_share(law, 'converged')} %"]
        yield "| " + " | ".join(cells) + " |"


def _summary(cases: Mapping[str, Any]) -> str:
    laws = [case["law"] for case in cases.values()]
    told = "width of k by width without scatter"
    ratios = sorted(law[told] for law in laws if told in law)
    endless = sum(law["converged and endless"] * law["tables"] for law in laws)
    far = max(law["k further away than the width"] for law in laws)
    return (
        f"{len(cases)} cases, {sum(law['tables'] for law in laws)} tables. Where runs do not scatter the interval of k is "
        f"{cases['no scatter']['law'][told]:.2f} times as wide as one that is told so ({ratios[0]:.2f} to {ratios[-1]:.2f} by "
        "case): the price of not knowing. k lies further outside its interval than the interval is wide in at most "
        f"{100 * far:.0f} % of the tables of a case. Fits that have converged and an interval without an end: {endless:.0f}."
    )


def _outside(report: Mapping[str, Any]) -> Iterator[str]:
    asked = {level: " to ".join(f"{100 * end:.0f}" for end in ends) for level, ends in ASKED.items()}
    found: dict[str, list[str]] = {}
    for name, quantity, share, tables in outside(report):
        found.setdefault(name, []).append(f"{_words(quantity)} {100 * share:.0f} % of {tables}")
    head = f"Outside of what is asked, {asked['95']} % of 95 % intervals and {asked['50']} % of 50 % ones"
    yield f"{head}:" if found else f"{head}: no case."
    if found:
        yield ""
    for name, some in found.items():
        yield f"- {name}: {'; '.join(some)}"


def _words(quantity: str) -> str:
    first, _, rest = quantity.partition(" ")
    sizes = {
        "seen": "the largest size's",
        "unseen": "the unseen size's",
        "averaged": "by averaged offsets, the unseen size's",
    }
    return f"{sizes[first]} {rest}" if first in sizes else f"{first} at {rest} %:"


def with_report(page: str, report: Mapping[str, Any]) -> str:
    """Return the page with its part of the report made anew."""
    return between(page, "coverage", f"\n{whole(report)}\n")


def _draw_bands(axes: Axes, case: Case, seed: int) -> None:
    """Draw the largest size of a table with the bands of its fit, the law's curve, and new runs that the fit has not seen."""
    (data,) = prepare(draw(case, seed).runs)
    fit = fit_data("saturating", data)
    size = case.sizes[-1]
    at = np.geomspace(2e3, data.resource.max(), 60)
    bands = fit.bands(size, at[None]).columns()
    colour = "C0"
    for prefix in reversed(BANDS):
        axes.fill_between(
            at,
            bands[prefix + "low"],
            bands[prefix + "high"],
            color=colour,
            alpha=SHOWN[prefix],
            linewidth=0,
            label=BANDS[prefix],
        )
    k, E = case.line(size)
    axes.plot(at, 10 ** (E - k * np.log10(at)), color="black", linestyle="--", linewidth=1, label="the law drawn from")
    mine = data.each.params == size
    for row in np.flatnonzero(mine):
        there = data.each.present[row] & (data.each.resource[0, row] >= at[0])
        axes.plot(
            data.each.resource[0, row, there],
            data.each.loss[row, there],
            ".",
            color="0.25",
            markersize=2,
            label="evaluations fitted" if row == np.flatnonzero(mine)[0] else None,
        )
    log_ticks(axes, "x", at)
    axes.set(xlabel="samples D", title=f"{case.seeds} run{'s' if case.seeds > 1 else ''} of each size")


@styled()
def draw_picture(path: Path) -> None:
    """Draw the bands of one table with one run a size and with three."""
    figure, panels = new_figure(2, sharey=True)
    for axes, seeds in zip(panels, (1, 3), strict=True):
        _draw_bands(axes, Case(slope=0.1, level=0.01, seeds=seeds), 0)
    panels[0].set_ylabel(LOSS)
    handles, names = panels[0].get_legend_handles_labels()
    panels[1].legend(handles[::-1], names[::-1], frameon=False)
    write_file(path, partial(figure.savefig, format="png", metadata={"Software": "scalefit"}))


def main() -> None:
    """Write the page's table and its picture."""
    report = json.loads(OUT.read_text(encoding="utf-8"))
    write_text(PAGE, with_report(PAGE.read_text(encoding="utf-8"), report))
    draw_picture(PICTURE)


if __name__ == "__main__":
    main()
