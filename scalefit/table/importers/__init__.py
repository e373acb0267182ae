"""Logs of other tools as runs tables: verl, TRL, W&B, TensorBoard, and plain columns."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from scalefit.errors import TableError, UsageError, nearest
from scalefit.table.importers.columns import import_columns
from scalefit.table.importers.dialects import DIALECTS
from scalefit.table.importers.log import Dialect, Imported, Log, Progress, Record, assemble
from scalefit.table.importers.readers import READERS

KINDS = (*READERS, "columns")
_PEEK = 1000


def import_runs(
    kind: str,
    path: str | Path,
    given: Mapping[str, str] | None = None,
    *,
    metric: str | None = None,
    map_path: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Imported:
    """Read a log of another tool.

    Parameters
    ----------
    kind : {"verl", "trl", "wandb", "tensorboard", "columns"}
        What wrote it.
    path : str or Path
        File or folder.
    given : mapping, optional
        Facts that the log's configuration does not hold; see `scalefit.table.importers.log.FACTS`.
    metric : str, optional
        The metric that is pass@1.
    map_path : Path, optional
        The column map, for `columns`.
    progress : callable, optional
        Called with bytes read and bytes in all.

    Returns
    -------
    Imported
        The runs table, and notes on what was mended or left out.

    Raises
    ------
    TableError, UsageError
        If it cannot be read, or something must be said that the log does not.
    """
    path = Path(path)
    if kind not in KINDS:
        raise UsageError(f"import {kind}: {nearest(kind, KINDS)}")
    if not path.exists():
        raise TableError(f"{path}: no such file or folder.")
    if kind == "columns":
        if map_path is None:
            raise UsageError(
                "import columns needs --map MAP.toml, which says how the columns of a runs table come from the file's."
            )
        if given or metric:
            raise UsageError(
                "import columns takes everything from --map: constants under [constants], the metric as an expression."
            )
        return import_columns(path, map_path, progress)
    if map_path is not None:
        raise UsageError(f"--map is for import columns; import {kind} knows its columns.")
    log = Log(str(path), path.stem, iter(()))
    log.records = READERS[kind](path, log, progress)
    return assemble(log, DIALECTS.get(kind) or _recognise(log), given or {}, metric)


def _recognise(log: Log) -> Dialect:
    """Return the dialect most of whose metrics are among the first records; those stay to be read."""
    first: list[Record] = []
    names: set[str] = set()
    for record in log.records:
        first.append(record)
        names.update(record.metrics)
        if len(first) == _PEEK:
            break
    log.records = chain(first, log.records)

    def known(dialect: Dialect) -> int:
        asked = {*dialect.tokens, *(name for every in dialect.columns.values() for name in every)}
        return len(names & asked)

    best = max(DIALECTS.values(), key=known)
    if known(best) == 0:
        raise TableError(
            f"{log.path}: its metrics are neither verl's nor TRL's ({', '.join(sorted(names)[:8]) or 'none'}); "
            "export it as CSV and use import columns with a map."
        )
    return best
