"""Logs in JSON lines, JSON arrays and trainer_state.json; how every log in text is opened."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from scalefit.errors import TableError
from scalefit.table.importers.log import STEP, Log, Progress, Row, flat

_TOLD = 1000
"""Lines between two words on progress."""
_GAP = 1 << 12
"""Characters between two entries of an array at the most."""
_WORST = "is cut or no JSON object"
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
    """Yield the objects of a JSON array; of one that is cut, those that are whole."""
    try:
        found = whole_json(path)
    except TableError:
        found = _whole_entries(path, log)
    for at, entry in enumerate(found if isinstance(found, list) else []):
        if isinstance(entry, dict):
            yield Row(f"entry {at}", unwrapped(entry))
        else:
            log.leave_out(f"entry {at}", "is no JSON object")


def _whole_entries(path: Path, log: Log) -> list[Any]:
    with open_bytes(path) as file:
        content = file.read().decode("utf-8-sig", "replace")
    found, at, decoder = [], content.index("[") + 1, json.JSONDecoder()
    while at < len(content):
        at += len(content[at : at + _GAP]) - len(content[at : at + _GAP].lstrip(" \t\r\n,"))
        try:
            entry, at = decoder.raw_decode(content, at)
        except (ValueError, RecursionError):
            break
        found.append(entry)
    log.leave_out(f"what follows entry {len(found) - 1}", "is cut or broken")
    return found


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
    whole: list[tuple[int, Path]] = []
    for reached, path in sorted(found):
        try:
            whole.append((max(reached, _reach(path)), path))
        except TableError:
            log.leave_out(str(path.relative_to(folder)), "is cut or broken")
    own = folder / "trainer_state.json"
    if own.is_file() and whole:
        try:
            whole.append((_reach(own), own))
        except TableError:
            log.leave_out(own.name, "is cut or broken")
    elif own.is_file():
        return own
    if not whole:
        raise TableError(
            f"{folder}: no trainer_state.json that is whole in it nor in a checkpoint-* folder; name the file."
        )
    return max(whole, key=lambda one: (one[0], one[1] == own))[1]


def _reach(path: Path) -> int:
    """Return the last step that a state tells of; raises TableError where it is no state."""
    state = whole_json(path)
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise TableError(f"{path}: no log_history in it.")
    steps = [
        state.get("global_step"),
        *(entry.get("step") for entry in state["log_history"] if isinstance(entry, dict)),
    ]
    return int(max((step for step in steps if isinstance(step, (int, float)) and 0 <= step < 1 << 53), default=0))


def is_named_log(path: Path) -> bool:
    """Say whether a file has one of the names that trainers give their metrics."""
    return path.name.partition(".")[0] in ("metrics", "trainer_log", "logging", "history") and ".jsonl" in path.name


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
