"""Arithmetic on columns, as a map writes it: `1 - accuracy`, `step * 512`, `` `val/acc` / 100 ``.

Computed in floats, element by element, in a bounded number of steps: no power, however tall, takes longer than another.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalefit.errors import UsageError

Array = NDArray[np.float64]
_LONGEST, _DEEPEST = 2000, 100
_SHOWN = 40
"""Characters of a part that is no arithmetic."""
_OPERATORS: dict[type[ast.AST], Any] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
}


class Expression:
    """Arithmetic on columns: `Expression("1 - accuracy")({"accuracy": array})`.

    Attributes
    ----------
    names : list of str
        The columns it needs.

    Raises
    ------
    UsageError
        If it is too long, too deep, or anything but arithmetic.
    """

    def __init__(self, text: str) -> None:
        self.text, self.quoted = text, {}
        if len(text) > _LONGEST:
            raise self._error(f"has {len(text)} characters, the most are {_LONGEST}")
        for at, name in enumerate(dict.fromkeys(re.findall(r"`([^`]+)`", text))):
            self.quoted[f"_quoted_{at}"] = name
            text = text.replace(f"`{name}`", f"_quoted_{at}")
        self._source = text.strip()
        try:
            self.tree = ast.parse(self._source, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._error(
                "is no expression; write arithmetic on columns, as in 1 - accuracy or `val/acc` / 100"
            ) from None
        self._check()
        self.names = [self._name(node) for node in ast.walk(self.tree) if isinstance(node, ast.Name)]

    def __call__(self, columns: Mapping[str, Array]) -> Array | np.float64:
        """Return the value, one a row; a constant where there is no column in it. What is not finite stays so."""
        with np.errstate(all="ignore"):
            return self._evaluate(self.tree, columns)

    @property
    def column(self) -> str | None:
        """The column that this is, where it is nothing else."""
        return self._name(self.tree) if isinstance(self.tree, ast.Name) else None

    def _error(self, what: str) -> UsageError:
        shown = self.text if len(self.text) <= 60 else f"{self.text[:60]}..."
        return UsageError(f"{shown!r} {what}.")

    def _name(self, node: ast.Name) -> str:
        return self.quoted.get(node.id, node.id)

    def _check(self) -> None:
        """Walk the tree level by level, without recursion: its depth is not known yet."""
        level: list[ast.AST] = [self.tree]
        for _ in range(_DEEPEST):
            level = [inner for node in level for inner in self._parts(node)]
            if not level:
                return
        raise self._error(f"is nested deeper than {_DEEPEST} operations; add columns up before, or split the map")

    def _parts(self, node: ast.AST) -> tuple[ast.AST, ...]:
        if isinstance(node, ast.Name):
            return ()
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            try:
                float(node.value)
            except OverflowError:
                raise self._error("holds a number beyond a float") from None
            return ()
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return (node.left, node.right)
        if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
            return (node.operand,)
        raise self._error(f"is not arithmetic on columns (+ - * / **, numbers, brackets): it holds {self._told(node)}")

    def _told(self, node: ast.AST) -> str:
        """Return a part that is no arithmetic as it was written, with what to write instead where that is known."""
        written = ast.get_source_segment(self._source, node) or self._source
        for made, name in self.quoted.items():
            written = written.replace(made, f"`{name}`")
        shown = written if len(written) <= _SHOWN else f"{written[:_SHOWN]}..."
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
            return f"{shown}; write ** for a power"
        if isinstance(node, ast.Attribute):
            return f"{shown}; a column's name with dots stands in backticks"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return f"{shown}; a column's name stands in backticks or as it is, not in quotes"
        if isinstance(node, ast.Call):
            return f"{shown}; there are no functions"
        return shown

    def _evaluate(self, node: Any, columns: Mapping[str, Array]) -> Any:
        if isinstance(node, ast.Constant):
            return np.float64(node.value)  # type: ignore[arg-type]  # checked to be a number
        if isinstance(node, ast.Name):
            return columns[self._name(node)]
        operator = _OPERATORS[type(node.op)]
        if isinstance(node, ast.BinOp):
            return operator(self._evaluate(node.left, columns), self._evaluate(node.right, columns))
        return operator(self._evaluate(node.operand, columns))
