"""What the decisions' results share: their rows as a pandas frame, and a view for notebooks."""

from __future__ import annotations

from html import escape
from typing import Any, ClassVar

import pandas as pd


class Answer:
    """A result with rows, a headline and warnings.

    Attributes
    ----------
    ROWS : str
        Name of the attribute whose list of dictionaries is the table.
    """

    ROWS: ClassVar[str]
    warnings: list[str]

    @property
    def headline(self) -> str:
        """The answer in a sentence."""
        raise AssertionError("each result says its own")

    @property
    def frame(self) -> pd.DataFrame:
        """The rows, one column a quantity; nested ones as `name_part`."""
        rows: list[dict[str, Any]] = getattr(self, self.ROWS)
        return pd.json_normalize(rows, sep="_")

    def _repr_html_(self) -> str:
        said = "".join(f"<li>{escape(text)}</li>" for text in self.warnings)
        notes = f"<ul>{said}</ul>" if said else ""
        table: str = self.frame.to_html(index=False, float_format="{:.4g}".format, na_rep="", border=0)
        return f"<p><b>{escape(self.headline)}</b></p>{table}{notes}"
