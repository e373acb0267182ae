"""A page of HTML being written, one file that asks the network for nothing: the answer first, contents, questions, folded evidence.

How it looks is in `web/page.css`, what draws its pictures in `web/page.js`; light and dark, on a phone and on paper.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scalefit.output import as_plain
from scalefit.plotting.words import column_words, number, range_words, ranges

WEB = Path(__file__).with_name("web")
SIZES = 9
"""Colours of sizes, from the smallest to the largest; of more sizes, neighbours share one."""
VIRIDIS = ("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725")
"""Source: matplotlib's viridis, at ninths."""
LONG = 24
"""Letters from which a cell is text, which is broken into lines."""
DIGITS = 5
"""Significant digits of numbers that are drawn."""


@dataclass
class Page:
    """A page being written: pieces of HTML, its questions, and how many pictures it has."""

    pieces: list[str] = field(default_factory=list)
    questions: list[tuple[str, str]] = field(default_factory=list)
    pictures: int = 0
    scripts: set[str] = field(default_factory=lambda: {"page.js"})

    def heading(self, level: int, text: str) -> None:
        """Add a heading."""
        self.pieces.append(f"<h{level}>{escape(text)}</h{level}>")

    def question(self, text: str) -> None:
        """Begin a section, which the contents name."""
        name = f"q{len(self.questions) + 1}"
        self.questions.append((name, text))
        self.pieces.append(f'<h2 id="{name}">{escape(text)}</h2>')

    def contents(self) -> None:
        """Put the contents here; they name the questions that follow."""
        self.pieces.append("<!--contents-->")

    def text(self, text: str, kind: str = "") -> None:
        """Add a paragraph, or several where the text has several lines."""
        for line in text.split("\n"):
            self.pieces.append(f'<p class="{kind}">{escape(line)}</p>' if kind else f"<p>{escape(line)}</p>")

    def points(self, texts: Sequence[str], kind: str = "") -> None:
        """Add a list; of warnings, each once on the page's section."""
        if texts:
            inside = "".join(f"<li>{escape(text)}</li>" for text in dict.fromkeys(texts))
            self.pieces.append(f'<ul class="{kind}">{inside}</ul>')

    def raw(self, html: str) -> None:
        """Add HTML as it is."""
        self.pieces.append(html)

    @contextmanager
    def fold(self, summary: str) -> Iterator[None]:
        """Fold what is added within; paper shows it unfolded."""
        self.pieces.append(f"<details><summary>{escape(summary)}</summary>")
        yield
        self.pieces.append("</details>")

    def table(self, frame: pd.DataFrame, caption: str = "", *, stack: bool = False) -> None:
        """Add a table, columns in words, the first one the rows' names.

        Where it is wider than the page it scrolls, or on a phone each row is stacked, every cell with its column's words.
        """
        if not len(frame):
            return
        names = list(map(str, frame.columns))
        pairs = ranges(names)
        kept = [name for name in names if name not in pairs.values()]
        words = [range_words(name, names) if name in pairs else column_words(name) for name in kept]
        head = "".join(f'<th scope="col">{escape(one)}</th>' for one in words)
        rows = []
        for row in frame.set_axis(names, axis=1).to_dict("records"):
            first, *rest = (escape(_cell(row, name, pairs.get(name))) for name in kept)
            rows.append(f'<tr><th scope="row">{first}</th>{"".join(map(_data, rest, words[1:]))}</tr>')
        said = f"<caption>{escape(caption)}</caption>" if caption else ""
        kind = ' class="stack"' if stack else ""
        self.pieces.append(
            f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption or "table")}">'
            f"<table{kind}>{said}<thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(rows)}</tbody></table></div>"
        )

    def picture(self, spec: Mapping[str, Any], caption: str, alt: str) -> None:
        """Add a picture: what to draw, what is under it, and in words what it shows for who does not see it."""
        self.pictures += 1
        name = f"picture-{self.pictures}"
        legend = "".join(map(_legend_entry, spec.get("legend", ())))
        self.pieces.append(
            f'<figure><div data-chart="{name}" data-alt="{escape(alt)}"></div><ul class="legend">{legend}</ul>'
            f"<figcaption>{escape(caption)}</figcaption>"
            f'<script type="application/json" id="{name}">{as_script(rounded(spec))}</script></figure>'
        )

    def html(self, title: str) -> str:
        """Return the whole page."""
        links = "".join(f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text in self.questions)
        contents = f'<nav aria-label="Contents"><h2>Contents</h2><ol>{links}</ol></nav>' if links else ""
        scripts = "".join(f"<script>{_asset(name)}</script>" for name in sorted(self.scripts, reverse=True))
        body = "".join(self.pieces).replace("<!--contents-->", contents)
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{style()}</style>{scripts}</head>'
            f"<body><main>{body}</main><noscript>The pictures of this page are drawn by a script in it; the numbers are in its tables.</noscript></body></html>"
        )


def _data(cell: str, words: str) -> str:
    kind = ' class="text"' if len(cell) > LONG else ""
    return f'<td{kind} data-words="{escape(words)}">{cell}</td>'


def _cell(row: Mapping[Any, Any], name: str, high: str | None) -> str:
    """Return a cell, of an interval both its ends."""
    ends = [number(row[one], name) for one in (name, high) if one is not None]
    return " to ".join(dict.fromkeys(ends)) if all(ends) else ""


def _legend_entry(entry: Mapping[str, Any]) -> str:
    colour, mark = f"var(--{entry['colour']})", entry["mark"]
    drawn = {
        "dot": f'<circle cx="11" cy="6" r="4" style="fill:{colour}"/>',
        "line": f'<path d="M1 6H21" style="stroke:{colour};stroke-width:2"/>',
        "dash": f'<path d="M1 6H21" style="stroke:{colour};stroke-width:2" stroke-dasharray="6 4"/>',
        "band": f'<rect x="1" y="1" width="20" height="10" style="fill:{colour};fill-opacity:{entry.get("dark", 0.3)}"/>',
    }[mark]
    return f'<li><svg viewBox="0 0 22 12" aria-hidden="true">{drawn}</svg>{escape(entry["label"])}</li>'


def rounded(value: Any) -> Any:
    """Return numbers with as many digits as can be drawn; those that are not finite are None."""
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value


def as_script(value: Any) -> str:
    """Return plain data as JSON that can stand within a script element."""
    return json.dumps(as_plain(value), separators=(",", ":")).replace("<", "\\u003c")


@cache
def _asset(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


@cache
def style() -> str:
    """Return the style sheet with the colours of sizes: dark ones on light ground, light ones on dark."""
    light, dark = (_colours(*ends) for ends in ((0.56, 0.0), (0.35, 1.0)))
    return _asset("page.css").replace("LIGHT_SIZES", light).replace("DARK_SIZES", dark)


def _colours(first: float, last: float) -> str:
    found = []
    for at, share in enumerate(np.linspace(first, last, SIZES)):
        place = float(share) * (len(VIRIDIS) - 1)
        low = min(int(place), len(VIRIDIS) - 2)
        pair = [np.array([int(VIRIDIS[i][j : j + 2], 16) for j in (1, 3, 5)]) for i in (low, low + 1)]
        red, green, blue = (pair[0] + (place - low) * (pair[1] - pair[0])).round().astype(int).tolist()
        found.append(f"--s{at}: #{red:02x}{green:02x}{blue:02x};")
    return " ".join(found)
