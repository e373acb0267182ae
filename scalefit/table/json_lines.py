"""JSON lines as Arrow tables, block by block: whole blocks by Arrow's own parser, a damaged one line by line.

Arrow's parser is fast and trusts its input: it takes invalid UTF-8, and crashes on deep nesting and on a line that says
null. So a block goes to it only after checks that cost little beside the parsing.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from scalefit.json_names import once

_BLOCK = 4 << 20
_WORKERS, _AHEAD = 2, 4
"""Blocks that are parsed at a time, and that are read ahead so that no parser waits."""
_NEWLINE, _BRACE = b"\n{"
_DEEPEST = 16
"""Levels of nesting that are still made columns; what is deeper makes a line damaged."""
_PLAIN = 1000
"""Bytes of a line too short to nest as deep as crashes Arrow's parser."""
_LONGEST = 64 << 20
"""Bytes of a line; a longer one is no row of a table."""

Damage = Callable[[int, str], None]
"""Called with a line's number and what is wrong with it."""


@dataclass(frozen=True)
class Asked:
    """What is wanted of the rows: columns (all where None), and which of them are text whatever they look like."""

    columns: frozenset[str] | None
    text: frozenset[str]

    def kinds(self, first: dict[str, Any]) -> tuple[Any, str]:
        """Return the schema that Arrow is given, and what it does with other columns, from a block's first row."""
        import pyarrow as pa

        strings = [(name, pa.string()) for name, value in first.items() if isinstance(value, str) and name in self.text]
        nested = any(isinstance(value, dict) for value in first.values())
        if self.columns is None or (nested and any("." in name for name in self.columns)):
            # What is said need not be found out: a float is always one, whatever else a number may become.
            floats = [(name, pa.float64()) for name, value in first.items() if isinstance(value, float)]
            return pa.schema(strings + floats), "infer"
        kinds = {name: pa.string() if name in self.text else pa.float64() for name in self.columns}
        return pa.schema(kinds.items()), "ignore"


def read_lines(
    file: IO[bytes], asked: Asked, damage: Damage, told: Callable[[int, dict[str, Any]], None]
) -> Iterator[Any]:
    """Yield `pyarrow.Table`s of the rows of a JSONL file, nested objects under dotted names.

    Parameters
    ----------
    damage : callable
        Called for every line that is no row; the others are kept.
    told : callable
        Called with the bytes read so far and the names in the block's first row.
    """
    number, done = 1, 0
    with ThreadPoolExecutor(_WORKERS) as pool:
        # Arrow parses without Python's lock: while a block is waited for, the next is read and parsed.
        ahead: deque[tuple[bytes, Future[Any]]] = deque()
        blocks = _blocks(file)
        while True:
            while len(ahead) < _AHEAD and (block := next(blocks, None)) is not None:
                ahead.append((block, pool.submit(_by_arrow, block, asked)))
            if not ahead:
                return
            block, parsing = ahead.popleft()
            parsed = parsing.result()
            found, first = parsed if parsed is not None else (_by_hand(block, number, damage), {})
            done += len(block)
            number += block.count(b"\n") if parsed is None else parsed[0].num_rows
            told(done, first)
            del block, parsing, parsed
            if found is not None and found.num_rows:
                yield found


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield blocks of whole lines, the first without a byte order mark."""
    mark = b"\xef\xbb\xbf"
    while block := file.read(_BLOCK):
        yield (block if block.endswith(b"\n") else block + file.readline(_LONGEST)).removeprefix(mark)
        mark = b""


def _by_arrow(block: bytes, asked: Asked) -> tuple[Any, dict[str, Any]] | None:
    """Parse a block at once, with its first row; None where it is not plainly a table's."""
    import pyarrow as pa
    import pyarrow.json as pj

    bytes_ = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(bytes_ == _NEWLINE)
    starts = np.r_[0, ends + 1]
    starts = starts[starts < len(bytes_)]
    if not (bytes_[starts] == _BRACE).all():
        return None
    if np.diff(np.r_[starts, len(bytes_)]).max() > _PLAIN and _deepest(block) > _DEEPEST:
        return None
    try:
        if not block.isascii():
            block.decode("utf-8")
        first = json.loads(block[: ends[0] if len(ends) else None])
        schema, others = asked.kinds(first)
        found = pj.read_json(
            pa.BufferReader(block),
            pj.ReadOptions(use_threads=False, block_size=len(block) + 1),
            pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=others),
            # Arrow's own allocator gives pages back and faults them in again, block by block: a seventh of the time to parse.
            memory_pool=pa.system_memory_pool(),
        )
    except (pa.ArrowException, ValueError, RecursionError):
        return None
    if found.num_rows != len(starts):
        return None
    # Columns whose kind is given come first, there or not; the file has its own order.
    there = [name for name in found.column_names if name in first or found[name].null_count < found.num_rows]
    found = found.select([*(name for name in first if name in there), *(name for name in there if name not in first)])
    for _ in range(_DEEPEST):
        if not any(pa.types.is_struct(kind) for kind in found.schema.types):
            break
        found = found.flatten()
    else:
        return None
    if len({*found.column_names}) < found.num_columns:
        return None
    for at, name in enumerate(found.column_names):
        if name in asked.text and pa.types.is_string(found.schema.field(at).type):
            found = found.set_column(at, name, found[name].dictionary_encode())
    return found, flatten(first)


def _deepest(block: bytes) -> int:
    """Return at most how deep the lines of a block are nested."""
    return max(line.count(b"{") + line.count(b"[") for line in block.split(b"\n"))


def _by_hand(block: bytes, first: int, damage: Damage) -> Any | None:
    """Parse a block line by line, telling of each that is no object."""
    rows: list[dict[str, Any]] = []
    for number, raw in enumerate(block.split(b"\n"), first):
        if not raw.strip():
            continue
        try:
            found = parse_row(raw.decode("utf-8"))
        except RecursionError:
            damage(number, "is nested too deeply")
        except UnicodeDecodeError:
            damage(number, "is not UTF-8")
        except ValueError as error:
            cut = isinstance(error, json.JSONDecodeError)
            damage(number, f"is cut or no JSON ({_start(raw)})" if cut else f"{error} ({_start(raw)})")
        else:
            rows.append(found)
    return as_arrow(rows) if rows else None


def _start(raw: bytes) -> str:
    return repr(raw[:40].decode("utf-8", "replace").strip()) + ("..." if len(raw) > 40 else "")


def parse_row(text: str) -> dict[str, Any]:
    """Parse one JSON object, nested ones under dotted names; raises ValueError where it is none."""
    return flatten(parse_json(text))


def parse_json(text: str) -> Any:
    """Parse JSON in which no name comes twice; whole numbers beyond 64 bits become floats, at worst infinite ones."""

    def whole(digits: str) -> float | int:
        return int(digits) if len(digits) < 19 else float(digits)

    return json.loads(text, object_pairs_hook=once, parse_int=whole)


def flatten(row: Any, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Return a JSON object with nested ones under dotted names; raises ValueError where it is none or too deep."""
    if not isinstance(row, dict):
        raise ValueError("is no JSON object")
    if depth > _DEEPEST:
        raise ValueError("is nested too deeply")
    found: dict[str, Any] = {}
    for name, value in row.items():
        found |= flatten(value, f"{prefix}{name}.", depth + 1) if isinstance(value, dict) else {prefix + name: value}
    return found


def as_arrow(rows: list[dict[str, Any]]) -> Any:
    """Return rows as an Arrow table; a column of several kinds as text, so that what is no number there can be named."""
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({_plain(name): _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> Any:
    import pyarrow as pa

    kinds = {type(value) for value in values} - {type(None)}
    if kinds <= {int, float}:
        return pa.array([None if value is None else float(value) for value in values] if float in kinds else values)
    if len(kinds) == 1 and kinds <= {bool}:
        return pa.array(values)
    if kinds == {list} and all(_is_numbers(value) for value in values if value is not None):
        return pa.array([None if value is None else [float(one) for one in value] for value in values])
    return pa.array([None if value is None else _plain(_as_text(value)) for value in values], pa.string())


def _is_numbers(values: list[Any]) -> bool:
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)


def _plain(text: str) -> str:
    """Replace halves of surrogate pairs, which no encoding can write."""
    return text.encode("utf-8", "replace").decode("utf-8")
