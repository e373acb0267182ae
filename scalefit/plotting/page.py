"""A page of HTML being written, one file that asks the network for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd

from scalefit.plotting import interactive
from scalefit.units import format_quantity

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2733; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin-top: 2.4rem; border-bottom: 1px solid #d5dce3; } h3 { margin-top: 1.6rem; }
.lead { background: #eef3f8; padding: .8rem 1rem; border-left: 4px solid #3b6ea5; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e4e9ee; } th:first-child, td:first-child { text-align: left; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; color: #41525f; } .warn { color: #8a3b12; } code { font-size: .9em; }
dt { font-weight: 600; margin-top: .5rem; } dd { margin-left: 1rem; overflow-wrap: anywhere; }
@media print { body { max-width: none; font-size: 11pt; } figure, table { break-inside: avoid; } .modebar { display: none; } }
"""


@dataclass
class Page:
    """A page being written: pieces of HTML, and how many pictures it has."""

    pieces: list[str] = field(default_factory=list)
    pictures: int = 0

    def heading(self, level: int, text: str) -> None:
        """Add a heading."""
        self.pieces.append(f"<h{level}>{escape(text)}</h{level}>")

    def text(self, text: str, kind: str = "") -> None:
        """Add a paragraph."""
        self.pieces.append(f'<p class="{kind}">{escape(text)}</p>')

    def points(self, texts: Sequence[str], kind: str = "") -> None:
        """Add a list."""
        if texts:
            inside = "".join(f"<li>{escape(text)}</li>" for text in texts)
            self.pieces.append(f'<ul class="{kind}">{inside}</ul>')

    def table(self, frame: pd.DataFrame) -> None:
        """Add a table that scrolls where it is wider than the page."""
        inside = frame.to_html(index=False, border=0, na_rep="", float_format=number)
        self.pieces.append(f'<div class="scroll">{inside}</div>')

    def picture(self, figure: Any, caption: str) -> None:
        """Add a picture with its caption, which is its accessible name."""
        self.pictures += 1
        name = f"picture-{self.pictures}"
        inside = interactive.as_html(figure, name)
        self.pieces.append(
            f'<figure role="group" aria-labelledby="{name}-caption"><div role="img" aria-labelledby="{name}-caption">{inside}</div>'
            f'<figcaption id="{name}-caption">{escape(caption)}</figcaption></figure>'
        )

    def html(self, title: str) -> str:
        """Return the whole page."""
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style><script>{interactive.script()}</script></head>'
            f"<body><main>{''.join(self.pieces)}</main></body></html>"
        )


def number(value: float) -> str:
    """Return a number as pages show it."""
    return format_quantity(value) if abs(value) >= 1e4 else f"{value:.4g}"
