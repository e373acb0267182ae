"""Which container a log is, told by what is in it. To add one, write its reader and a line in `FORMATS`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scalefit.errors import TableError
from scalefit.table.importers import database, events, offline, text
from scalefit.table.importers.console import console
from scalefit.table.importers.dialects import DIALECTS, STEPS
from scalefit.table.importers.log import Log, Progress, Row

_HEAD = 1 << 16
_ENDINGS = re.compile(r".*\.(?:jsonl|json|csv|tsv|log|txt|wandb|db|parquet)(?:\.gz)?", re.IGNORECASE)
_COMMON = (
    "metrics",
    "history",
    "progress",
    "logging",
    "trainer_log",
    "trainer_state",
    "train",
    "log",
    "events",
    "output",
)
"""Names that files of many runs share; the folder's then tells them apart."""
_DOWNLOAD = ["Wall time", "Step", "Value"]
_PAGE = re.compile(r"(.+) - (.+)")
_DEEPEST = 8


@dataclass(frozen=True)
class Format:
    """A container: whether a file is one, by its path and first bytes, and its runs."""

    name: str
    matches: Callable[[Path, bytes], bool]
    open: Callable[[Path, Progress], list[Log]]


def name_of(path: Path) -> str:
    """Return a run's name from where its log lies."""
    stem = path.name
    for ending in (
        ".gz",
        *(f".{kind}" for kind in ("jsonl", "json", "csv", "tsv", "log", "txt", "wandb", "db", "parquet")),
    ):
        stem = stem.removesuffix(ending)
    return path.resolve().parent.name if stem.lower() in _COMMON and path.resolve().parent.name else stem


def _one(
    reader: Callable[[Path, Log, Progress], Iterator[Row]], configured: bool = False
) -> Callable[[Path, Progress], list[Log]]:
    def opened(path: Path, progress: Progress) -> list[Log]:
        log = Log(str(path), name_of(path), configured=configured)
        log.rows = reader(path, log, progress)
        return [log]

    return opened


def _is_state(path: Path, head: bytes) -> bool:
    return _begins(head, b"{") and b'"log_history"' in head


def _begins(head: bytes, *marks: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(marks)


def _is_delimited(path: Path, head: bytes) -> bool:
    names = {
        name.strip().strip('"')
        for name in re.split(
            r"[,;\t]", head.removeprefix(b"\xef\xbb\xbf").lstrip().decode("utf-8", "replace").partition("\n")[0]
        )
    }
    asked = {*STEPS, *_DOWNLOAD, *(name for dialect in DIALECTS.values() for name in dialect.steps)}
    known = re.fullmatch(r".*\.(?:csv|tsv)(?:\.gz)?", path.name, re.IGNORECASE) is not None
    return known or (len(names) > 1 and bool(names & asked))


def _delimited_runs(path: Path, progress: Progress) -> list[Log]:
    """Return the runs of delimited text: one, or one for each `run - metric` of a chart downloaded from W&B's page."""
    header, _, _ = text.header_of(path)
    if header == _DOWNLOAD:
        return [_download(path, progress)]
    pages = {name: _PAGE.fullmatch(name) for name in header}
    if not any(name.endswith("__MIN") and pages[name] for name in header):
        return _one(text.delimited)(path, progress)
    axis = [name for name in header if not pages[name]]
    runs: dict[str, dict[str, str]] = {}
    for name, match in pages.items():
        if match and not name.endswith(("__MIN", "__MAX")):
            runs.setdefault(match[1], {})[name] = match[2]
    first = Log(str(path), name_of(path))
    rows = list(text.delimited(path, first, progress))
    logs = []
    for run, columns in runs.items():
        log = Log(str(path), run)
        log.rows = iter(
            [
                Row(
                    row.where,
                    {
                        **{a: row.values[a] for a in axis if a in row.values},
                        **{metric: row.values[name] for name, metric in columns.items() if name in row.values},
                    },
                )
                for row in rows
                if any(name in row.values for name in columns)
            ]
        )
        metrics = set(columns.values())
        log.sole = metrics.pop() if len(metrics) == 1 else None
        logs.append(log)
    if not logs:
        raise TableError(f"{path}: no column of a run in it, as in `Step`, `run - metric`; download the chart again.")
    logs[0].notes, logs[0]._left_out = first.notes, first._left_out
    return logs


def _download(path: Path, progress: Progress) -> Log:
    """Return the run of one scalar that was downloaded from TensorBoard's page, `run-NAME-tag-TAG.csv` by default."""
    named = re.fullmatch(r"(?:run-(.+?)-)?tag-(.+)", name_of(path))
    log = Log(str(path), named[1] if named and named[1] else name_of(path))
    log.sole = named[2] if named else "Value"
    log.rows = (
        Row(row.where, {"Step": row.values.get("Step"), log.sole: row.values.get("Value")})
        for row in text.delimited(path, log, progress)
    )
    return log


FORMATS = (
    Format("parquet", lambda path, head: head.startswith(database.PARQUET), lambda path, progress: database.parquet_runs([path], path, name_of(path), progress)),
    Format("trackio", lambda path, head: head.startswith(database.SQLITE), lambda path, progress: database.trackio_runs(path)),
    Format("wandb", lambda path, head: head.startswith(offline.MAGIC) or path.suffix == ".wandb", _one(offline.offline_run, configured=True)),
    Format("tensorboard", lambda path, head: "tfevents" in path.name, events.runs_of),
    Format("trainer state", lambda path, head: _is_state(path, head) or path.name == "trainer_state.json", _one(lambda path, log, progress: text.trainer_state(path, log))),
    Format("JSON array", lambda path, head: _begins(head, b"[") and ".jsonl" not in path.name, _one(lambda path, log, progress: text.json_array(path, log))),
    Format("JSON lines", lambda path, head: _begins(head, b'{"', b"{ ", b"{}", b"{\n", b"{\r") or path.name.endswith((".jsonl", ".jsonl.gz")), _one(text.json_lines)),
    Format("delimited text", _is_delimited, _delimited_runs),
    Format("console", lambda path, head: b"\x00" not in head, _one(console)),
)  # fmt: skip
"""In the order in which they are tried."""


def open_file(path: Path, progress: Progress) -> list[Log]:
    """Return the runs of one file, not yet read."""
    if path.stat().st_size == 0:
        raise TableError(f"{path}: an empty file; is the run still to write it?")
    head = text.head_of(path, _HEAD)
    for one in FORMATS:
        if one.matches(path, head):
            return one.open(path, progress)
    raise TableError(f"{path}: no log that is known ({', '.join(one.name for one in FORMATS)}); is it the right file?")


def open_logs(path: Path, progress: Progress, expected: str = "a log", *, depth: int = 0) -> list[Log]:
    """Return every run of a file or a folder, not yet read.

    Parameters
    ----------
    expected : str
        What is missing where a folder holds nothing that can be read, for the message.

    Raises
    ------
    TableError
        If it does not exist or holds no log.
    """
    if not path.exists():
        raise TableError(f"{path}: no such file or folder.")
    if not path.is_dir():
        if not path.is_file():
            raise TableError(f"{path}: neither a file nor a folder; name a log.")
        return open_file(path, progress)
    if found := _runs_here(path, progress):
        return found
    logs: list[Log] = []
    for entry in sorted(path.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and depth < _DEEPEST and not entry.is_symlink():
            logs += _or_none(entry, progress, depth + 1)
        elif entry.is_file() and _ENDINGS.fullmatch(entry.name) and entry.stat().st_size:
            logs += open_file(entry, progress)
    if not logs and depth == 0:
        raise TableError(f"{path}: no {expected} in it; name the file.")
    return logs


def _or_none(path: Path, progress: Progress, depth: int) -> list[Log]:
    return open_logs(path, progress, depth=depth)


def _runs_here(path: Path, progress: Progress) -> list[Log]:
    """Return the runs of a folder that one tool wrote as a whole."""
    offline_runs = sorted(path.glob("*.wandb"))
    if offline_runs:
        return [log for file in offline_runs for log in open_file(file, progress)]
    if (path / "trainer_state.json").is_file() or next(path.glob("checkpoint-*/trainer_state.json"), None):
        log = Log(str(path), path.resolve().name)
        chosen = text.last_state(path, log)
        log.rows = text.trainer_state(chosen, log)
        return [log]
    if next(path.glob(events.PATTERN), None) or next(
        (one for one in path.rglob(events.PATTERN) if one.is_file()), None
    ):
        return events.runs_of(path, progress)
    parts = sorted(path.glob("*.parquet"))
    if parts and all(entry.suffix == ".parquet" for entry in path.iterdir() if not entry.name.startswith((".", "_"))):
        return database.parquet_runs(parts, path, path.resolve().name, progress)
    return []
