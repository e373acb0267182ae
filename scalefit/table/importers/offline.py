"""W&B's offline runs: a log of records in LevelDB's block format, each a protocol buffer of the wandb package.

Source: LevelDB's log format (blocks of 32 KiB; header of checksum, length and type), with W&B's own 7-byte file header.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalefit.errors import TableError
from scalefit.table.importers.log import Log, Progress, Record

_BLOCK, _HEADER = 32768, 7
_MAGIC = b":W&B"
_FULL, _FIRST, _LAST = 1, 2, 4


def records(path: Path, log: Log, progress: Progress) -> Iterator[bytes]:
    """Yield whole records; note where the file breaks off."""
    total = path.stat().st_size
    with open(path, "rb") as file:
        if file.read(_HEADER)[:4] != _MAGIC:
            raise TableError(f"{path}: not an offline run of W&B (its first bytes are not {_MAGIC.decode()!r}).")
        parts: list[bytes] = []
        while True:
            at = file.tell()
            left = _BLOCK - at % _BLOCK
            if left < _HEADER:
                file.read(left)
                continue
            head = file.read(_HEADER)
            if not head:
                break
            length, kind = struct.unpack("<HB", head[4:]) if len(head) == _HEADER else (0, 0)
            body = file.read(length)
            if len(head) < _HEADER or len(body) < length or not 1 <= kind <= _LAST:
                log.notes.append(f"{path}: breaks off at byte {at} of {total}; what is before is whole")
                return
            parts = [body] if kind in (_FULL, _FIRST) else [*parts, body]
            if kind in (_FULL, _LAST):
                progress(file.tell(), total)
                yield b"".join(parts)


def read_offline(path: Path, log: Log, progress: Progress) -> Iterator[Record]:
    """Yield the history; put the configuration and the run's name into the log."""
    try:
        from wandb.proto import wandb_internal_pb2 as proto
    except ImportError:
        raise TableError(
            "offline runs of W&B need its own package; install it with: pip install 'scalefit-rl[import]'."
        ) from None
    from scalefit.table.importers.readers import numbers_of

    for raw in records(path, log, progress):
        record = proto.Record()  # type: ignore[attr-defined]  # made at run time
        record.ParseFromString(raw)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            log.run_id = record.run.display_name or record.run.run_id or log.run_id
            _flatten(log.config, record.run.config.update)
        elif kind == "config":
            _flatten(log.config, record.config.update)
        elif kind == "history":
            values = {_name(item): json.loads(item.value_json) for item in record.history.item}
            step = values.get(
                "train/global_step", values.get("training/global_step", values.get("_step", record.history.step.num))
            )
            yield Record(int(step), numbers_of(values))


def _name(item: Any) -> str:
    return item.key or ".".join(item.nested_key)


def _flatten(config: dict[str, Any], items: Any) -> None:
    """Put nested configuration under dotted names."""

    def put(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                put(f"{name}.{key}", inner)
        else:
            config[name] = value

    for item in items:
        put(_name(item), json.loads(item.value_json))
