"""W&B's offline runs: a log of records in LevelDB's block format, each a protocol buffer of the wandb package.

Source: LevelDB's log format (blocks of 32 KiB; header of checksum, length and type), with W&B's own 7-byte file header
and as checksum the plain CRC-32 of type and body (as W&B writes it), or of the body alone.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalefit.errors import TableError
from scalefit.extras import install_hint
from scalefit.table.importers.log import STEP, Log, Progress, Row, flat
from scalefit.table.importers.text import parse_json

_BLOCK, _HEADER = 32768, 7
MAGIC = b":W&B"
_FULL, _FIRST, _LAST = 1, 2, 4


def records(path: Path, log: Log, progress: Progress) -> Iterator[tuple[int, bytes]]:
    """Yield whole records and where they begin; leave out what is broken, and go on at the next block."""
    total = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(_HEADER)[:4] != MAGIC:
            raise TableError(f"{path}: not an offline run of W&B (its first bytes are not {MAGIC.decode()!r}).")
        parts: list[bytes] = []
        begin = 0
        while True:
            at = file.tell()
            left = _BLOCK - at % _BLOCK
            if left < _HEADER:
                file.read(left)
                continue
            head = file.read(_HEADER)
            if not head:
                return
            checksum, length, kind = struct.unpack("<IHB", head) if len(head) == _HEADER else (0, 0, 0)
            body = file.read(length)
            if len(head) < _HEADER or len(body) < length:
                log.notes.append(f"{path}: breaks off at byte {at} of {total}; what is before is whole")
                return
            fits = checksum in (zlib.crc32(bytes([kind]) + body), zlib.crc32(body))
            if not 1 <= kind <= _LAST or length > left - _HEADER or not fits:
                log.leave_out(f"the record at byte {at}", "is broken (its checksum does not fit)")
                parts = []
                if not 1 <= kind <= _LAST or length > left - _HEADER:
                    # The length cannot be trusted; every block begins a record or goes on with one.
                    file.seek(at + left)
                continue
            if kind in (_FULL, _FIRST):
                parts, begin = [body], at
            elif parts:
                parts.append(body)
            if kind in (_FULL, _LAST) and parts:
                progress(file.tell(), total)
                yield begin, b"".join(parts)
                parts = []


def offline_run(path: Path, log: Log, progress: Progress) -> Iterator[Row]:
    """Yield the history; put the configuration and the run's name into the log."""
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto import wandb_internal_pb2 as proto
    except ImportError:
        raise TableError(
            f"offline runs of W&B need its own package; install it with: {install_hint('import')}."
        ) from None
    for at, raw in records(path, log, progress):
        record = proto.Record()  # type: ignore[attr-defined]  # made at run time
        try:
            record.ParseFromString(raw)
        except DecodeError:
            log.leave_out(f"the record at byte {at}", "is no record of W&B's")
            continue
        kind = record.WhichOneof("record_type")
        if kind == "run":
            log.run_id = record.run.display_name or record.run.run_id or log.run_id
            flat(_values(record.run.config.update, log, at), log.config)
        elif kind == "config":
            flat(_values(record.config.update, log, at), log.config)
        elif kind == "history":
            values = flat(_values(record.history.item, log, at), {})
            yield Row(f"the record at byte {at}", {STEP: record.history.step.num, **values})


def _values(items: Any, log: Log, at: int) -> dict[str, Any]:
    found = {}
    for item in items:
        name = item.key or ".".join(item.nested_key)
        try:
            found[name] = parse_json(item.value_json.encode())
        except ValueError:
            log.leave_out(f"the record at byte {at}", f"holds no value for {name[:60]!r}")
    return found
