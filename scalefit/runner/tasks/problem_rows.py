"""Rows of a file of problems, as they are written: Parquet, JSON lines, CSV, or a folder that `datasets` saved.

To add a format, write what yields its rows, with where each stands, and a line in `READERS`.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scalefit.errors import UsageError

STATE, SPLITS = "state.json", "dataset_dict.json"
"""What `datasets` writes beside the parts of a data set, and into a folder of several."""
Rows = Iterator[tuple[int, dict[str, Any]]]


def rows_of(place: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return rows with where they stand: the line of a text file, else the number of the row, from 1.

    Raises
    ------
    UsageError
        If there is no such file or folder, or it cannot be read.
    """
    import pyarrow as pa

    if place.is_dir():
        return list(_saved(place))
    if not place.is_file():
        raise UsageError(f"[task] {place}: no such file.")
    try:
        return list(READERS.get(place.suffix.lower(), _json_lines)(place))
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError, csv.Error, pa.ArrowException) as error:
        raise UsageError(
            f"[task] {place}: cannot be read as Parquet, JSONL or CSV ({type(error).__name__}); its ending says which."
        ) from None


def data_files(place: Path) -> list[Path]:
    """Return the files that hold the data at a place: itself, or the parts that a saved folder names; none without."""
    if place.is_file():
        return [place]
    try:
        return [part for part in _parts(place) if part.is_file()]
    except UsageError:  # told when it is read
        return []


def _json_lines(file: Path) -> Rows:
    """Yield rows with their line; numbers stay as they are written."""
    for at, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        row = json.loads(line, parse_float=str)
        if not isinstance(row, dict):
            raise UsageError(f"[task] {file}: row {at} is no object with prompt and answer.")
        yield at, row


def _csv(file: Path) -> Rows:
    """Yield rows with the line that each ends on; a list of messages may stand in a field as JSON."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        with open(file, encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)
            for row in reader:
                if None in row or None in row.values():
                    raise UsageError(
                        f"[task] {file}: line {reader.line_num} has {'more' if None in row else 'fewer'} fields than the header; "
                        "put quotes around fields with commas."
                    )
                yield reader.line_num, {name: _messages(value) for name, value in row.items()}
    finally:
        csv.field_size_limit(before)


def _messages(text: str) -> Any:
    """Return the messages that a field holds as JSON, else its text."""
    if not text.startswith("[{"):
        return text
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if all(isinstance(one, dict) and "role" in one for one in found) else text


def _parquet(file: Path) -> Rows:
    import pyarrow.parquet as pq

    yield from enumerate(pq.read_table(file).to_pylist(), 1)


def _saved(folder: Path) -> Rows:
    """Yield the rows of a folder that `datasets.save_to_disk` wrote, from its Arrow streams."""
    import pyarrow as pa

    at = 0
    for part in _parts(folder):
        try:
            with pa.memory_map(str(part)) as source, pa.ipc.open_stream(source) as stream:
                for batch in stream:
                    for row in batch.to_pylist():
                        at += 1
                        yield at, row
        except (OSError, pa.ArrowException) as error:
            raise UsageError(
                f"[task] {part}: cannot be read ({type(error).__name__}); save the data set again."
            ) from None


def _parts(folder: Path) -> list[Path]:
    """Return the files of a saved data set; refuse a folder of several, and what is no such folder."""
    if (folder / SPLITS).is_file():
        splits = sorted(one.parent.name for one in folder.glob(f"*/{STATE}"))
        raise UsageError(
            f"[task] {folder}: holds {', '.join(splits)}; name one of them, as in '{folder.name}/{splits[0]}'."
        )
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        parts = [folder / one["filename"] for one in state["_data_files"]]
    except FileNotFoundError:
        raise UsageError(
            f"[task] {folder}: a directory without {STATE}, so not one of `datasets`' save_to_disk; name a file in it."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"[task] {folder / STATE}: cannot be read ({type(error).__name__}).") from None
    if state.get("_indices_data_files"):
        raise UsageError(
            f"[task] {folder}: its rows are picked by a list of indices, as old versions of `datasets` wrote it; load and save it again."
        )
    return parts


READERS: dict[str, Callable[[Path], Rows]] = {".parquet": _parquet, ".csv": _csv, ".jsonl": _json_lines}
"""By a file's ending; any other is taken for JSON lines."""
