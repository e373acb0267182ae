"""Explorers in a page: what a budget buys, how many rollouts, what repeats are worth, to be moved by whoever reads it.

The page carries the draws and results that the commands rest on, `web/explorer.js` does the arithmetic of `Spent`, and a test
holds what a browser shows against Python.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from scalefit.plotting.page import Page, as_script
from scalefit.studies.budget import Plan
from scalefit.studies.cost import GPUS, PAPER, PASSES
from scalefit.studies.reuse import Reuse
from scalefit.studies.rollouts import Rollouts
from scalefit.studies.sizes import SURE, Options
from scalefit.studies.spending import REFUSED
from scalefit.units import format_quantity

MOST_BYTES = 1.1e6
"""What the draws of all series may take in a page."""
PRICE = 2
"""Price of a GPU-hour that the explorer begins with, in whatever currency; the reader's to set."""
UNIQUE = 1000
"""Distinct prompts that the explorer of reuse begins with."""
NAMES = ("k", "E", "run_k", "run_E")


def add_plan(page: Page, plans: Sequence[tuple[Plan, Options]]) -> None:
    """Add the explorer of budgets and sizes, of as many series as the page can carry."""
    carried, size = [], 0.0
    for plan, options in plans:
        size += 4 / 3 * sum(getattr(options, name).nbytes for name in NAMES)
        if size <= MOST_BYTES:
            carried.append((plan, options))
    if left := [plan.series for plan, _ in plans[len(carried) :]]:
        page.text(f"Not carried in this page: {', '.join(left)}; ask `scalefit plan` for them.", "soft")
    if not carried:
        return
    data = {
        "series": [_series(plan, options) for plan, options in carried],
        "gpus": {name: gpu.peak for name, gpu in GPUS.items()},
        "passes": sum(PASSES.values()) / PAPER,
        "refused": REFUSED,
        "sure": SURE,
    }
    first = carried[0][0].assumptions
    series = _select("series", "series", [(str(at), plan.series) for at, (plan, _) in enumerate(carried)])
    unit = _select("unit", "budget in", [("flops", "FLOPs"), ("hours", "GPU-hours"), ("price", "price")])
    gpu = _select("gpu", "GPU", [(name, name.upper()) for name in GPUS], first["gpu"])
    note = f"Move the budget and the size. A size that was not measured is as the default prediction has it; nothing is shown beyond {REFUSED:g} times what was measured."
    controls = (
        f'<p class="soft">{note}</p><div class="row">{series}{unit}<label>amount<input class="short" name="amount" inputmode="decimal"></label></div>'
        f'<div class="row"><label class="wide">budget<input type="range" name="budget"></label>'
        f'<label class="wide">model size<input type="range" name="size" min="0" step="1"></label></div>'
        f'<div class="row">{gpu}<label>share of peak reached<input class="short" name="mfu" type="number" min="0.01" max="1" step="0.01" value="{first["mfu"]:g}"></label>'
        f'<label>price of a GPU-hour<input class="short" name="price" type="number" min="0.01" step="any" value="{PRICE:g}"></label></div>'
    )
    head = (
        "model size",
        "loss",
        "solved of 100",
        "mean curve, 95 %",
        "a new run, 95 %",
        "prompts",
        "chance that it is best of these",
    )
    columns = "".join(f'<th scope="col">{name}</th>' for name in head)
    table = f'<div class="scroll"><table><caption>What this budget buys, by size</caption><thead><tr>{columns}</tr></thead><tbody></tbody></table></div>'
    charts = '<div class="chart-box" style="position:relative"></div>' * 2
    _add(page, "plan", "Budget explorer", data, f"{controls}<output aria-live='polite'></output>{table}{charts}")


def _series(plan: Plan, options: Options) -> dict[str, Any]:
    packed = {name: _pack(getattr(options, name)) for name in NAMES}
    chosen = int(np.argmin(np.abs(options.sizes - plan.best["params"])))
    return {
        "name": plan.series,
        "sizes": options.sizes.tolist(),
        "measured": options.measured.tolist(),
        "known": options.known.tolist(),
        "flops_a_sample": options.flops_a_sample.tolist(),
        "start": plan.budget["flops"],
        "chosen": chosen,
        **packed,
    }


def _pack(values: Any) -> str:
    """Return doubles as text, every bit of them, row by row."""
    return base64.b64encode(np.ascontiguousarray(values, "<f8").tobytes()).decode("ascii")


def add_rollouts(page: Page, found: Rollouts) -> None:
    """Add the explorer of group sizes: what was compared, budget by budget."""
    budgets = {name: rows for name, rows in found.frontier.items() if rows}
    if not budgets:
        return
    first = next(iter(budgets.values()))
    data = {"budgets": budgets, "write": {name: name for name in budgets}}
    named = [(name, {"samples": "prompts", "flops": "FLOPs"}.get(name, name)) for name in budgets]
    controls = (
        f'<div class="row">{_select("resource", "budget in", named)}'
        f'<label class="wide">budget<input type="range" name="budget" min="0" max="{len(first) - 1}" step="1" value="{len(first) - 1}"></label>'
        f'<label class="wide">rollouts a prompt<input type="range" name="group" min="0" max="{len(first[0]["arms"]) - 1}" step="1" value="0"></label></div>'
    )
    title = f"Rollout explorer, {found.series} {format_quantity(found.params)}"
    _add(page, "rollouts", title, data, f"{controls}<output aria-live='polite'></output>")


def add_reuse(page: Page, found: Reuse) -> None:
    """Add the explorer of reuse: how many fresh prompts repeats are worth, by the R* of these runs."""
    largest = max(arm["tau"] for arm in found.arms)
    data = {"r_star": found.r_star, "largest": largest, "refused": REFUSED}
    top = round(1000 * np.log10(1.4 * REFUSED * largest))
    controls = (
        f'<div class="row"><label>distinct prompts<input class="short" name="unique" inputmode="decimal" value="{UNIQUE}"></label>'
        f'<label class="wide">times each is seen, τ<input type="range" name="tau" min="0" max="{top}" step="1" value="{round(1000 * np.log10(largest))}"></label></div>'
    )
    title = f"Reuse explorer, {found.series} {format_quantity(found.params)}"
    _add(page, "reuse", title, data, f"{controls}<output aria-live='polite'></output>")


def _add(page: Page, kind: str, title: str, data: Any, inside: str) -> None:
    page.scripts.add("explorer.js")
    page.pictures += 1
    name = f"explorer-{page.pictures}"
    page.raw(
        f'<section class="explorer" data-explorer="{kind}" data-numbers="{name}" aria-label="{escape(title)}"><h3>{escape(title)}</h3>{inside}'
        f'<script type="application/json" id="{name}">{as_script(data)}</script></section>'
    )


def _select(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str = "") -> str:
    inside = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(text)}</option>'
        for value, text in options
    )
    return f'<label>{escape(label)}<select name="{name}">{inside}</select></label>'
