"""Logs in JSON lines, JSON arrays, trainer_state.json and delimited text."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from scalefit.errors import TableError
from scalefit.table.delimited import read_head
from scalefit.table.importers.log import STEP, Log, Progress, Row, flat

_TOLD = 1000
"""Lines between two words on progress."""
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+(?:[eE][-+]?\d+)?\s*")
_WORST = "is cut or no JSON object"
_HEAD = 1 << 16
GZIP = b"\x1f\x8b"


PACKING = (EOFError, gzip.BadGzipFile, zlib.error)
"""What reading a packed file raises where it is cut or broken."""


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, unpacked where it is gzip's; reading may raise one of `PACKING`."""
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP
    opened: IO[bytes] = gzip.open(path, "rb") if packed else open(path, "rb")  # type: ignore[assignment]
    return opened


def head_of(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, unpacked."""
    with open_bytes(path) as file:
        try:
            return file.read(size)
        except PACKING as error:
            raise TableError(f"{path}: its packing is broken from the start ({error}).") from None


def lines(path: Path, progress: Progress, log: Log | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines as bytes, without a byte order mark, telling how far the file is read.

    Where its packing breaks off, what is before is kept, and that is told to `log`.
    """
    total = path.stat().st_size
    with open_bytes(path) as file:
        # gzip's own reader knows where it is in the packed file only through what it wraps.
        below: Any = getattr(file, "fileobj", None) or getattr(file, "raw", file)
        number = 0
        while True:
            try:
                raw = file.readline()
            except PACKING:
                if log is not None:
                    log.leave_out(f"what follows line {number}", "cannot be unpacked")
                return
            if not raw:
                return
            number += 1
            yield number, raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if number % _TOLD == 0:
                progress(min(below.tell(), total), total)


def parse_json(raw: bytes) -> Any:
    """Return a JSON value, NaN and infinities allowed; raises ValueError where it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            return json.loads(raw.decode("utf-8", "replace"))
        except RecursionError:
            raise ValueError("nested too deep") from None


def unwrapped(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metrics of a record; verl's file logger keeps them under `data`, beside the step."""
    data = entry.get("data")
    return {**data, STEP: entry[STEP]} if isinstance(data, dict) and STEP in entry else entry


def json_lines(path: Path, log: Log, progress: Progress) -> Iterator[Row]:
    """Yield the objects of a JSONL file; every line that is none is left out, a cut last one above all."""
    for number, raw in lines(path, progress, log):
        if not raw.strip():
            continue
        try:
            found = parse_json(raw)
        except ValueError:
            found = None
        if isinstance(found, dict):
            yield Row(f"line {number}", unwrapped(found))
        else:
            log.leave_out(f"line {number}", _WORST)


def whole_json(path: Path) -> Any:
    """Return the value of a JSON file; raises TableError where it is cut or broken."""
    try:
        with open_bytes(path) as file:
            raw = file.read()
    except PACKING as error:
        raise TableError(f"{path}: its packing is broken ({error}).") from None
    try:
        return parse_json(raw.removeprefix(b"\xef\xbb\xbf"))
    except json.JSONDecodeError as error:
        raise TableError(
            f"{path}: cut at line {error.lineno}; the checkpoint or export before it holds the log up to its own step."
        ) from None
    except ValueError as error:
        raise TableError(f"{path}: no JSON that can be read ({str(error)[:80]}).") from None


def json_array(path: Path, log: Log) -> Iterator[Row]:
    """Yield the objects of a JSON array."""
    found = whole_json(path)
    for at, entry in enumerate(found if isinstance(found, list) else []):
        if isinstance(entry, dict):
            yield Row(f"entry {at}", unwrapped(entry))
        else:
            log.leave_out(f"entry {at}", "is no JSON object")


def trainer_state(path: Path, log: Log) -> Iterator[Row]:
    """Yield the log history of a `trainer_state.json`."""
    state = whole_json(path)
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise TableError(f"{path}: no log_history in it; give the trainer_state.json of a run.")
    for at, entry in enumerate(state["log_history"]):
        if isinstance(entry, dict):
            yield Row(f"entry {at} of log_history", entry)
        else:
            log.leave_out(f"entry {at} of log_history", "is no JSON object")


def last_state(folder: Path, log: Log) -> Path:
    """Return the `trainer_state.json` that goes farthest: of the numbered checkpoints, or the folder's own.

    Raises
    ------
    TableError
        If there is none.
    """
    found: list[tuple[int, Path]] = []
    for path in sorted(folder.glob("checkpoint-*/trainer_state.json")):
        number = path.parent.name.removeprefix("checkpoint-")
        if number.isascii() and number.isdigit() and len(number) < 16:
            found.append((int(number), path))
        else:
            log.leave_out(path.parent.name, "is no numbered checkpoint")
    own = folder / "trainer_state.json"
    if own.is_file():
        state = whole_json(own)
        reached = state.get("global_step") if isinstance(state, dict) else None
        history = state.get("log_history") if isinstance(state, dict) else None
        steps = [entry.get("step") for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
        every = [step for step in (reached, *steps) if isinstance(step, (int, float)) and step == step]
        found.append((int(max(every, default=0)), own))
    if not found:
        raise TableError(f"{folder}: no trainer_state.json in it nor in a checkpoint-* folder; name the file.")
    return max(found, key=lambda one: (one[0], one[1] == own))[1]


def header_of(path: Path) -> tuple[list[str], str, int]:
    """Return the column names of delimited text, what separates them, and how many lines are before the rows.

    Raises
    ------
    TableError
        If there are none, or one stands twice.
    """
    try:
        head = head_of(path, _HEAD).removeprefix(b"\xef\xbb\xbf")
        begins = head.lstrip()
        blank = head[: len(head) - len(begins)].count(b"\n")
        metadata, mark, raw = read_head(begins, ".tsv" if ".tsv" in path.suffixes else "")
    except TableError as error:
        raise TableError(f"{path}: {str(error).removeprefix(f'{path}: ').rstrip('.')}.") from None
    names = [name.strip() for name in raw]
    if not any(names):
        raise TableError(f"{path}: its first line names no columns.")
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise TableError(f"{path}: column {twice[0]!r} stands twice; keep one of them.")
    return names, mark, blank + (2 if metadata else 1)


def delimited(path: Path, log: Log, progress: Progress) -> Iterator[Row]:
    """Yield the rows of delimited text as text by column; rows of another length than the header are left out.

    Unlike a table's reader (`scalefit.table.load`), which refuses what is damaged, it keeps what is whole.
    """
    total = path.stat().st_size
    names, mark, before = header_of(path)
    with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="") as file:
        for _ in range(before):
            file.readline()
        reader = csv.reader(file, delimiter=mark)
        while True:
            where = f"line {reader.line_num + before + 1}"
            try:
                cells = next(reader)
            except StopIteration:
                return
            except PACKING:
                log.leave_out(f"what follows {where}", "cannot be unpacked")
                return
            except csv.Error as error:
                log.leave_out(where, f"is no row ({error})")
                continue
            if not cells:
                continue
            if len(cells) != len(names):
                log.leave_out(where, f"has {len(cells)} fields where the header has {len(names)}")
                continue
            if mark != ",":
                cells = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
            if reader.line_num % _TOLD == 0:
                progress(min(raw.tell(), total), total)
            yield Row(where, {name: cell for name, cell in zip(names, cells, strict=True) if cell != ""})


def put_config(log: Log, values: Any) -> None:
    """Put a run's configuration under dotted names; W&B wraps each value as `{"value": ...}`."""
    if isinstance(values, Mapping):
        plain = {
            name: value["value"]
            if isinstance(value, Mapping) and set(value) <= {"value", "desc"} and "value" in value
            else value
            for name, value in values.items()
        }
        flat(plain, log.config)
