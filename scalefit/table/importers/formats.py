"""Which container a log is, told by what is in it. To add one, write its reader and a line in `FORMATS`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scalefit.errors import TableError
from scalefit.table.importers import database, delimited, events, offline, text
from scalefit.table.importers.console import console, has_records, printed_config
from scalefit.table.importers.dialects import STEPS, dialects
from scalefit.table.importers.log import PAGE_BOUNDS, Log, Progress, Row
from scalefit.table.importers.text import put_config

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
_MARK = b"\xef\xbb\xbf"
_CONFIGURATIONS = ("args.json", "config.json", "adapter_config.json")
"""Files in which ms-swift, the Tinker cookbook and transformers keep a run's configuration beside its log."""
_LARGEST_CONFIGURATION = 1 << 20
_WANDB_RUN = re.compile(r"run-([^/]+)\.wandb$")


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
    inside = ".jsonl" not in path.name and _begins(head, b"{") and b'"log_history"' in head
    return inside or path.name == "trainer_state.json"


def _begins(head: bytes, *marks: bytes) -> bool:
    return head.removeprefix(_MARK).lstrip().startswith(marks)


def _is_delimited(path: Path, head: bytes) -> bool:
    names = {
        name.strip().strip('"')
        for name in re.split(
            r"[,;\t]", head.removeprefix(b"\xef\xbb\xbf").lstrip().decode("utf-8", "replace").partition("\n")[0]
        )
    }
    asked = {*STEPS, *_DOWNLOAD, *(name for dialect in dialects().values() for name in dialect.steps)}
    known = re.fullmatch(r".*\.(?:csv|tsv)(?:\.gz)?", path.name, re.IGNORECASE) is not None
    return known or (len(names) > 1 and bool(names & asked))


def _delimited_runs(path: Path, progress: Progress) -> list[Log]:
    """Return the runs of delimited text: one, or one for each `run - metric` of a chart downloaded from W&B's page."""
    header, _, _ = delimited.header_of(path)
    if header == _DOWNLOAD:
        return [_download(path, progress)]
    pages = {name: _PAGE.fullmatch(name) for name in header}
    if not any(name.endswith("__MIN") and pages[name] for name in header):
        return _one(delimited.delimited)(path, progress)
    axis = [name for name in header if not pages[name]]
    runs: dict[str, dict[str, str]] = {}
    for name, match in pages.items():
        if match and not name.endswith(PAGE_BOUNDS):
            runs.setdefault(match[1], {})[name] = match[2]
    first = Log(str(path), name_of(path))
    rows = list(delimited.delimited(path, first, progress))
    logs = []
    for run, columns in runs.items():
        log = Log(str(path), run)
        log.rows = iter(
            [
                Row(
                    row.where,
                    {
                        **{a: row.values[a] for a in axis if a in row.values},
                        **{
                            metric + end: row.values[name + end]
                            for name, metric in columns.items()
                            for end in ("", *PAGE_BOUNDS)
                            if name + end in row.values
                        },
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
        for row in delimited.delimited(path, log, progress)
    )
    return log


def _is_array(path: Path, head: bytes) -> bool:
    return ".jsonl" not in path.name and re.match(rb"\s*\[\s*(?:[{\]]|$)", head.removeprefix(_MARK)) is not None


def _is_console(path: Path, head: bytes) -> bool:
    return head.count(b"\x00") <= len(head) / 10


def _console_runs(path: Path, progress: Progress) -> list[Log]:
    """Return the run of a console log, with the configuration that is printed at its start; refuse what holds no record."""
    if not has_records(path):
        raise TableError(f"{path}: no record of a step in it; is it a training log, and is it whole?")
    log = Log(str(path), name_of(path))
    put_config(log, printed_config(path))
    log.rows = console(path, log, progress)
    return [log]


FORMATS = (
    Format("parquet", lambda path, head: head.startswith(database.PARQUET), lambda path, progress: database.parquet_runs([path], path, name_of(path), progress)),
    Format("trackio", lambda path, head: head.startswith(database.SQLITE), lambda path, progress: database.trackio_runs(path)),
    Format("wandb", lambda path, head: head.startswith(offline.MAGIC) or path.suffix == ".wandb", _one(offline.offline_run, configured=True)),
    Format("tensorboard", lambda path, head: "tfevents" in path.name, events.runs_of),
    Format("trainer state", _is_state, _one(lambda path, log, progress: text.trainer_state(path, log))),
    Format("JSON array", _is_array, _one(lambda path, log, progress: text.json_array(path, log))),
    Format("JSON lines", lambda path, head: _begins(head, b'{"', b"{ ", b"{}", b"{\n", b"{\r") or path.name.endswith((".jsonl", ".jsonl.gz")), _one(text.json_lines)),
    Format("delimited text", _is_delimited, _delimited_runs),
    Format("console", _is_console, _console_runs),
)  # fmt: skip
"""In the order in which they are tried."""
_LOOSE = ("console", "delimited text", "JSON lines", "JSON array")
"""Formats that other files of a run's folder have too; beside the others they are no runs of their own."""


def open_file(path: Path, progress: Progress) -> list[Log]:
    """Return the runs of one file, not yet read."""
    if path.stat().st_size == 0:
        raise TableError(f"{path}: an empty file; is the run still to write it?")
    head = text.head_of(path, _HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableError(f"{path}: it is UTF-16; write it as UTF-8 first (iconv -f UTF-16 -t UTF-8).")
    for one in FORMATS:
        if one.matches(path, head):
            logs = one.open(path, progress)
            for log in logs:
                log.loose = one.name in _LOOSE and not text.is_named_log(path)
                log.rowwise = one.name in _LOOSE and one.name != "console"
                if one.name in _LOOSE:
                    _configure(log, path.parent)
            return logs
    raise TableError(f"{path}: no log that is known ({', '.join(one.name for one in FORMATS)}); is it the right file?")


def _configure(log: Log, folder: Path) -> None:
    """Take a run's configuration from the file that its trainer left beside the log."""
    for name in _CONFIGURATIONS:
        place = folder / name
        if place.is_file() and place.stat().st_size <= _LARGEST_CONFIGURATION:
            try:
                put_config(log, text.whole_json(place))
            except TableError:
                log.notes.append(f"{place}: no JSON that can be read; the run's configuration is not known")


def open_logs(path: Path, progress: Progress, expected: str = "a log") -> list[Log]:
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
    logs = _walk(path, progress, 0)
    if not logs:
        raise TableError(f"{path}: no {expected} in it; name the file.")
    return logs


def _walk(path: Path, progress: Progress, depth: int) -> list[Log]:
    """Return the runs in a folder and below it; files that merely look like logs count where nothing else does."""
    if found := _runs_here(path, progress):
        return found
    logs: list[Log] = []
    broken: list[TableError] = []
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or entry.name in _CONFIGURATIONS:
            continue
        if entry.is_dir() and depth < _DEEPEST and not entry.is_symlink():
            logs += _walk(entry, progress, depth + 1)
        elif entry.is_file() and _ENDINGS.fullmatch(entry.name) and entry.stat().st_size:
            try:
                logs += open_file(entry, progress)
            except TableError as error:
                broken.append(error)
    if broken and not logs:
        raise broken[0]
    firm = [log for log in logs if not log.loose]
    if firm and len(firm) < len(logs):
        others = [Path(log.path).name for log in logs if log.loose]
        firm[0].notes.append(
            f"{path}: {len(others)} other files ({', '.join(others[:3])}) are taken for no logs of runs"
        )
    if logs:
        (firm or logs)[0].notes.extend(f"left out: {error}" for error in broken)
    return firm or logs


def same_run(log: Log) -> str | None:
    """Return what the files of one run of W&B share, which every resumption adds to; None for others."""
    match = _WANDB_RUN.search(log.path)
    return match[0] if match else None


def _runs_here(path: Path, progress: Progress) -> list[Log]:
    """Return the runs of a folder that one tool wrote as a whole."""
    offline_runs = sorted(path.glob("*.wandb"))
    if offline_runs:
        return [log for file in offline_runs for log in open_file(file, progress)]
    if (path / "trainer_state.json").is_file() or next(path.glob("checkpoint-*/trainer_state.json"), None):
        log = Log(str(path), path.resolve().name)
        chosen = text.last_state(path, log)
        log.rows = text.trainer_state(chosen, log)
        _configure(log, path)
        return [log]
    if next((one for one in path.glob(events.PATTERN) if one.is_file()), None):
        return events.runs_of(path, progress)
    parts = sorted(path.glob("*.parquet"))
    if parts and all(entry.suffix == ".parquet" for entry in path.iterdir() if not entry.name.startswith((".", "_"))):
        return database.parquet_runs(parts, path, path.resolve().name, progress)
    return []
