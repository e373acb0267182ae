"""What every result shares: a sentence, a frame, a summary, a picture, and how it looks in a notebook and as JSON.

A result is a frozen dataclass (with `repr=False`) that inherits `Answer`, names the rows of its table in `ROWS`, and says
its `headline` and `summary`; the command that makes it prints the summary. Pictures are in `scalefit.plotting.pictures`,
which is found by name when one is asked for, so that nothing here depends on matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

from scalefit.errors import FitError
from scalefit.progress import steps
from scalefit.said import Said, Table

if TYPE_CHECKING:
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
        import pandas as pd

        rows: list[dict[str, Any]] = getattr(self, self.ROWS)
        return pd.json_normalize(rows, sep="_")

    def summary(self) -> str:
        """Return the text that the command prints."""
        return Said([self.headline, frame_text(self.frame), *warning_lines(self.warnings)])

    @property
    def details(self) -> Said:
        """What `--verbose` prints after the summary: how the answer came about; of many there is no more to say."""
        return Said([])

    def plot(self) -> Any:
        """Draw the result and return the matplotlib figure.

        Raises
        ------
        ScalefitError
            If matplotlib is not installed, or there is nothing to draw.
        """
        return import_module("scalefit.plotting.pictures").draw(self)

    def record(self) -> dict[str, Any]:
        """Return the result as plain data, with its headline: what `--json` prints."""
        assert is_dataclass(self)
        return {"headline": self.headline, **{entry.name: getattr(self, entry.name) for entry in fields(self)}}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.headline}>"

    def _repr_html_(self) -> str:
        table: str = self.frame.to_html(index=False, float_format="{:.4g}".format, na_rep="", border=0)
        return f"<p><b>{escape(self.headline)}</b></p>{table}{html_list(self.warnings)}"


Kind = TypeVar("Kind", bound=Answer)


class Answers(Sequence[Kind], Generic[Kind]):
    """Several answers of one question, one a series or size; a sequence that shows itself like one answer.

    Attributes
    ----------
    unanswered : dict
        What could not be answered, by name, with the reason.
    """

    def __init__(self, answers: Sequence[Kind], unanswered: Mapping[str, str] | None = None) -> None:
        self._answers = tuple(answers)
        self.unanswered = dict(unanswered or {})

    @overload
    def __getitem__(self, at: int) -> Kind: ...
    @overload
    def __getitem__(self, at: slice) -> Answers[Kind]: ...
    def __getitem__(self, at: int | slice) -> Kind | Answers[Kind]:
        """Return one answer, or some of them."""
        return Answers(self._answers[at]) if isinstance(at, slice) else self._answers[at]

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._answers)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows of all, with what tells the answers apart (series, eval, params) before them."""
        import pandas as pd

        parts = []
        for one in self:
            part = one.frame
            for name in ("params", "eval", "series"):
                if hasattr(one, name) and name not in part:
                    part.insert(0, name, getattr(one, name))
            parts.append(part)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @property
    def warnings(self) -> list[str]:
        """Those of all, each once."""
        return list(dict.fromkeys(text for one in self for text in one.warnings))

    @property
    def headline(self) -> str:
        """The headlines, a line each."""
        return "\n".join([*(one.headline for one in self), *self.open])

    @property
    def open(self) -> list[str]:
        """What could not be answered, a line each."""
        return [f"{name}: not answered: {why}" for name, why in self.unanswered.items()]

    def summary(self) -> str:
        """Return the text that the command prints."""
        return Said([*(one.summary() for one in self), *self.open])

    def plot(self) -> list[Any]:
        """Draw each; return the matplotlib figures."""
        return [one.plot() for one in self]

    def __repr__(self) -> str:
        return "\n".join([*map(repr, self), *self.open]) or "<no answers>"

    def _repr_html_(self) -> str:
        return "".join(one._repr_html_() for one in self) + html_list(self.open)


def answer_each(
    questions: Mapping[str, Callable[[], Kind]], unanswered: Mapping[str, str] | None = None
) -> Answers[Kind]:
    """Ask each question, by its name; what cannot be answered is named with its reason and does not refuse the rest.

    Parameters
    ----------
    questions : mapping
        Name to what answers it or raises FitError.
    unanswered : mapping, optional
        What could not even be asked, with its reason.

    Raises
    ------
    FitError
        Of the first, if none can be answered.
    """
    answers, errors = [], {}
    for name, ask in steps(questions.items(), lambda one: one[0]):
        try:
            answers.append(ask())
        except FitError as error:
            errors[name] = error
    if errors and not answers:
        raise next(iter(errors.values()))
    return Answers(answers, {**{name: str(error) for name, error in errors.items()}, **(unanswered or {})})


def text_table(rows: Sequence[Sequence[str]]) -> Table:
    """Return a table; the first row is the head."""
    return Table(rows)


def frame_text(frame: pd.DataFrame) -> Table:
    """Return a frame as `text_table` lays it out, numbers with four digits."""
    cells = frame.map(lambda value: f"{value:.4g}" if isinstance(value, float) else str(value))
    return text_table([list(map(str, frame.columns)), *cells.to_numpy().tolist()])


def warning_lines(warnings: Sequence[str]) -> list[str]:
    """Return a line a warning."""
    return [f"  warning: {text}" for text in warnings]


def html_list(texts: Sequence[str]) -> str:
    """Return texts as an HTML list; nothing for none."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>" if texts else ""
