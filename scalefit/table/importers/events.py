"""TensorBoard's event files: a folder of them is a run, and its files follow one another in time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalefit.errors import TableError
from scalefit.extras import install_hint
from scalefit.table.importers.log import STEP, Log, Progress, Row

PATTERN = "*tfevents*"
_HEAD = 12
"""Bytes of a record's length and of its checksum."""
_FLOAT_TYPES = (1, 2, 3, 9)
"""Numbers of float32, float64, int32 and int64 among TensorFlow's types."""


def runs_of(path: Path, progress: Progress) -> list[Log]:
    """Return a log for each folder that holds event files; for a file, one."""
    if path.is_file():
        return [_run([path], path.parent.name or path.stem, str(path), progress)]
    folders: dict[Path, list[Path]] = {}
    for file in sorted(path.rglob(PATTERN)):
        if file.is_file():
            folders.setdefault(file.parent, []).append(file)
    if not folders:
        raise TableError(f"{path}: no events.out.tfevents.* file in it.")
    return [
        _run(files, "-".join(folder.relative_to(path).parts) or path.resolve().name, str(folder), progress)
        for folder, files in folders.items()
    ]


def _run(files: list[Path], name: str, path: str, progress: Progress) -> Log:
    log = Log(path, name)
    log.rows = _rows(files, log, progress)
    return log


def _rows(files: list[Path], log: Log, progress: Progress) -> Iterator[Row]:
    """Yield the scalars of event files, in the order of their first events."""
    try:
        from tensorboard.util import tensor_util
    except ImportError:
        raise TableError(f"TensorBoard files need its own reader; install it with: {install_hint('import')}.") from None
    total, done = sum(file.stat().st_size for file in files), 0
    begun: dict[str, int] = {}
    for file in sorted(files, key=lambda one: (_begins(one), one.name)):
        first: dict[str, int] = {}
        for event in _events(file, log):
            values: dict[str, Any] = {}
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                if kind == "simple_value":
                    values[value.tag] = float(value.simple_value)
                elif kind == "tensor" and not value.tensor.tensor_shape.dim and value.tensor.dtype in _FLOAT_TYPES:
                    try:
                        values[value.tag] = float(tensor_util.make_ndarray(value.tensor))
                    except (TypeError, ValueError):
                        log.leave_out(f"{file.name}, step {event.step}", f"holds no number for {value.tag}")
            for tag in values:
                first.setdefault(tag, int(event.step))
                if first[tag] <= begun.get(tag, -1):
                    raise TableError(
                        f"{log.path}: {file.name} begins {tag} at step {first[tag]}, as an earlier file does: two runs in one folder, "
                        "or one begun anew? Name the file that counts, or give each run a folder."
                    )
            if values:
                yield Row(f"{file.name}, step {event.step}", {**values, STEP: int(event.step)})
        begun = {**first, **begun}
        done += file.stat().st_size
        progress(done, total)


def _begins(file: Path) -> float:
    """Return the wall time of a file's first event [s]; infinite where it has none."""
    first = next(_events(file, Log(str(file), "")), None)
    return first.wall_time if first is not None else float("inf")


def _events(file: Path, log: Log) -> Iterator[Any]:
    """Yield events: records of a length, its checksum, a protocol buffer and its checksum (TFRecord's framing).

    TensorBoard's own loader ends at the first broken record without a word; here it is left out and the next one read.
    Only where a record's length itself is broken is there no way on.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    total = file.stat().st_size
    with open(file, "rb") as stream:
        while head := stream.read(_HEAD):
            at = stream.tell() - len(head)
            length, checksum = struct.unpack("<QI", head) if len(head) == _HEAD else (total, 0)
            if length > total - at - _HEAD - 4 or masked_crc32c(head[:8]) != checksum:
                log.leave_out(f"{file.name} from byte {at} of {total} on", "is cut or broken")
                return
            body, (checksum,) = stream.read(length), struct.unpack("<I", stream.read(4))
            event = Event()
            try:
                whole = masked_crc32c(body) == checksum and event.ParseFromString(body) is not None
            except DecodeError:
                whole = False
            if whole:
                yield event
            else:
                log.leave_out(f"{file.name}, the record at byte {at}", "is broken")
