"""From Arrow's tables to one frame: text as categories, numbers of several kinds as floats."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pandas as pd


def as_frame(parts: Iterable[Any], text: Collection[str]) -> pd.DataFrame:
    """Return the parts as one frame: text columns as categories, numbers of several kinds as floats."""
    import pyarrow as pa

    parts = list(parts)
    names = dict.fromkeys(name for part in parts for name in part.column_names)
    rows = [part.num_rows for part in parts]
    found = {}
    for name in names:
        chunks = []
        for at, part in enumerate(parts):
            column = part.column(name) if name in part.column_names else pa.chunked_array([pa.nulls(rows[at])])
            chunks += [_plain_kind(chunk, name in text) for chunk in column.chunks]
            if name in part.column_names:
                parts[at] = part.drop_columns([name])
        found[name] = _one_kind(chunks)
    return pd.DataFrame({name: values.to_pandas() for name, values in found.items()}, copy=False)


def _plain_kind(chunk: Any, text: bool) -> Any:
    """Return an array of a kind that pandas knows: text as a dictionary where asked, decimals and halves as floats."""
    import pyarrow as pa

    kind = chunk.type
    if isinstance(kind, pa.BaseExtensionType):
        chunk, kind = chunk.storage, chunk.storage.type
    if pa.types.is_dictionary(kind):
        if text and pa.types.is_string(kind.value_type):
            return chunk
        # Arrow has no kernel that decodes a dictionary of string views.
        view = pa.types.is_string_view(kind.value_type)
        chunk = pa.array(chunk.to_pylist(), pa.string()) if view else chunk.dictionary_decode()
        kind = chunk.type
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return chunk.cast(pa.float64())
    if pa.types.is_large_string(kind):
        chunk, kind = chunk.cast(pa.string()), pa.string()
    if pa.types.is_string_view(kind):
        # The oldest Arrow admitted has no kernel that casts them.
        chunk, kind = pa.array(chunk.to_pylist(), pa.string()), pa.string()
    if text and pa.types.is_string(kind):
        return chunk.dictionary_encode()
    if text and (pa.types.is_integer(kind) or pa.types.is_null(kind)):
        return chunk.cast(pa.string()).dictionary_encode()
    return chunk


def _one_kind(chunks: list[Any]) -> Any:
    """Return chunks as one column, as floats where they are numbers of several kinds and as text where nothing else serves."""
    import pyarrow as pa

    kinds = {chunk.type for chunk in chunks if not pa.types.is_null(chunk.type)}
    if len(kinds) <= 1:
        kind = next(iter(kinds), pa.null())
    elif all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds):
        kind = pa.float64()
    else:
        kind = pa.string()
    if kind == pa.string():
        chunks = [chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk for chunk in chunks]
    cast = [chunk if chunk.type == kind else chunk.cast(kind, safe=False) for chunk in chunks]
    column = pa.chunked_array(cast, kind)
    return column.unify_dictionaries() if pa.types.is_dictionary(kind) else column


def return_memory() -> None:
    """Give the memory of frames that are no longer there back to the system; Arrow keeps it else."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()
