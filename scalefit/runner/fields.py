"""What a section of an experiment file is made of: strict types, ranges and closed choices, said on the fields.

A section refuses other keys and other types; `scalefit.runner.config_file` tells all that it refuses, in words.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from scalefit.errors import nearest

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def section(kind: type[T]) -> type[T]:
    """Make a class a section: a frozen dataclass whose values are checked whenever one is made."""
    return cast("type[T]", dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))(kind))


def one_of(known: Collection[str]) -> AfterValidator:
    """Return what holds a word against those of a registry."""

    def check(value: str) -> str:
        if value not in known:
            raise PydanticCustomError("choice", "{hint}", {"hint": nearest(value, known)})
        return value

    return AfterValidator(check)


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float):
        raise PydanticCustomError("scalar", "must be text, a number, true or false")
    return value


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("twice", "holds a value twice")
    return values


Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1)]
Scalar = Annotated[Any, AfterValidator(_scalar)]
Grid = Annotated[tuple[T, ...], Field(min_length=1), AfterValidator(_distinct)]
"""Values of a sweep: at least one, each once."""
