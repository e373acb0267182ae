"""The report of whole systems: which is better as far as the data tell, what that is worth, and how benchmarks go together."""

from __future__ import annotations

from typing import Any

import pandas as pd

from scalefit.plotting import interactive
from scalefit.plotting.evidence import trust_line
from scalefit.plotting.page import Page
from scalefit.provenance import versions
from scalefit.studies.systems import ALL, Ranking, rank_systems, study_transfer
from scalefit.studies.trust import trust_ranking
from scalefit.table.systems import SystemTable, as_systems
from scalefit.units import format_quantity

FIRST = 4
"""Benchmarks whose best system the first screen names beside that of all."""


def make_systems_report(table: Any, *, source: str = "") -> str:
    """Return the report of a table of systems, a page of HTML.

    Parameters
    ----------
    table : SystemTable, path or data frame
        What `as_systems` takes.
    source : str
        Where it came from, for the methods.

    Raises
    ------
    FitError
        If nowhere are there two systems.
    """
    found = as_systems(table)
    ranked, transfers = rank_systems(found), study_transfer(found)
    page = Page()
    page.heading(1, f"What {len(found.systems)} systems on {len(found.benchmarks)} benchmarks say")
    page.text(_describe(found), "about")
    first = sorted(ranked, key=lambda one: one.benchmark != ALL)
    for one in first[: 1 + FIRST]:
        page.text(f"{one.headline}.", "lead")
    page.raw(trust_line(trust_ranking(first[0])))
    page.contents()
    page.question("Which system is better?")
    for one in first:
        _ranking(page, one)
    page.points(ranked.open, "warn")
    _against(page, found)
    if len(transfers):
        page.question("Does a score on one benchmark carry over to another?")
        for transfer in transfers:
            page.text(f"{transfer.headline[0].upper()}{transfer.headline[1:]}.")
            page.points(transfer.warnings, "warn")
    page.points(transfers.open, "warn")
    page.question("How was this made?")
    page.text(
        "Intervals of scores are exact binomial ones, 95 %. Two systems are told apart where the difference of their scores is significant at 5 % "
        "after Holm's correction over all pairs of a benchmark; errors are taken as independent, which is cautious where systems answered the same problems."
    )
    page.text(
        f"Table: {source or found.path}. Versions: {', '.join(f'{name} {version}' for name, version in versions('pandas').items())}."
    )
    return page.html(f"{len(found.systems)} systems on {len(found.benchmarks)} benchmarks")


def _describe(found: SystemTable) -> str:
    problems = found.frame["n"]
    return f"{len(found.frame)} scores of {problems.min():g} to {problems.max():g} problems each."


def _ranking(page: Page, one: Ranking) -> None:
    page.heading(3, "The mean of all benchmarks" if one.benchmark == ALL else one.benchmark)
    page.text(f"{one.headline}; {one.separated} of {one.pairs} pairs are told apart.")
    page.points(one.warnings, "warn")
    trust = trust_ranking(one)
    page.raw(trust_line(trust))
    keep = ["system", "rank_low", "rank_high", "score", "low", "high", "tied_with"]
    with page.fold(f"All {len(one.rows)} systems"):
        page.table(pd.DataFrame(one.rows)[keep], f"{one.benchmark}, best first")


def _against(page: Page, found: SystemTable) -> None:
    """Add scores against size and cost, where systems have one."""
    for x, name in (("params", "size"), ("cost", "cost")):
        rows = found.frame[found.frame[x].notna()]
        if rows[x].nunique() < 2:
            continue
        page.question(f"How do scores go with {name}?")
        for benchmark, part in rows.groupby("benchmark", sort=False):
            listed = [
                {str(name): value for name, value in row.items()} for row in part.sort_values(x).to_dict("records")
            ]
            ends = [f"{row['system']} {row['score']:.2f}" for row in (listed[0], listed[-1])]
            page.picture(
                interactive.draw_scores(listed, x),
                f"{benchmark}: score by {name}, with exact 95 % intervals.",
                f"Scores on {benchmark} by {name}, from {ends[0]} to {ends[1]}; {name}s from "
                f"{format_quantity(listed[0][x])} to {format_quantity(listed[-1][x])}.",
            )
