"""Trackio's SQLite files, and logs in Parquet (Trackio's export, W&B's): one run for each that they hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalefit.errors import TableError
from scalefit.table.importers.log import RUNS, STEP, Log, Progress, Row, flat
from scalefit.table.importers.text import parse_json, put_config

SQLITE = b"SQLite format 3\x00"
PARQUET = b"PAR1"


def trackio_runs(path: Path) -> list[Log]:
    """Return a log for each run of Trackio's database: its tables `metrics` and `configs`, values as JSON.

    Raises
    ------
    TableError
        If it is no database of Trackio's, or broken.
    """
    try:
        with _open(path) as database:
            columns = {row[1] for row in database.execute("PRAGMA table_info(metrics)")}
            if not {"run_name", "step", "metrics"} <= columns:
                raise TableError(
                    f"{path}: a SQLite file without Trackio's table of metrics; give Trackio's PROJECT.db."
                )
            key = "run_id" if "run_id" in columns else "run_name"
            runs = database.execute(
                f"SELECT {key}, MAX(run_name) FROM metrics GROUP BY {key} ORDER BY MIN(id)"
            ).fetchall()
            configs = _configs(database, key)
    except sqlite3.Error as error:
        raise TableError(f"{path}: cannot be read as Trackio's database ({error}).") from None
    found = []
    for run, name in runs:
        log = Log(str(path), str(name), configured=True)
        if run in configs:
            put_config(log, configs[run])
        log.rows = _history(path, key, run, log)
        found.append(log)
    return found


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _configs(database: sqlite3.Connection, key: str) -> dict[str, Any]:
    columns = {row[1] for row in database.execute("PRAGMA table_info(configs)")}
    if not {key, "config"} <= columns:
        return {}
    found = {}
    for run, text in database.execute(f"SELECT {key}, config FROM configs"):
        try:
            found[run] = parse_json(str(text).encode())
        except ValueError:
            continue
    return found


def _history(path: Path, key: str, run: str, log: Log) -> Iterator[Row]:
    try:
        with _open(path) as database:
            for at, step, text in database.execute(
                f"SELECT id, step, metrics FROM metrics WHERE {key} = ? ORDER BY id", (run,)
            ):
                try:
                    values = parse_json(text.encode() if isinstance(text, str) else bytes(text or b""))
                except (ValueError, TypeError):
                    values = None
                if isinstance(values, dict):
                    yield Row(f"row {at}", {**flat(values, {}), STEP: step})
                else:
                    log.leave_out(f"row {at}", "holds no metrics")
    except sqlite3.Error as error:
        log.leave_out("the rest of the database", f"is broken ({error})")


def parquet_runs(files: list[Path], path: Path, name: str, progress: Progress) -> list[Log]:
    """Return a log for each run that Parquet files hold: by a column of runs, else one.

    Raises
    ------
    TableError
        If a file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    total, done, tables = sum(file.stat().st_size for file in files), 0, []
    for file in files:
        try:
            tables.append(pq.read_table(file))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise TableError(f"{file}: cannot be read as Parquet ({str(error).splitlines()[0][:120]}).") from None
        done += file.stat().st_size
        progress(done, total)
    table = pa.concat_tables(tables, promote_options="default")
    by = next((column for column in RUNS if column in table.column_names), None)
    if by is None:
        return [_parquet_log(table, path, name)]
    return [
        _parquet_log(table.filter(pc.equal(table[by], run)), path, str(run))
        for run in pc.unique(table[by]).drop_null().to_pylist()
    ]


def _parquet_log(table: Any, path: Path, name: str) -> Log:
    def rows() -> Iterator[Row]:
        at = 0
        for batch in table.to_batches(max_chunksize=10_000):
            for entry in batch.to_pylist():
                yield Row(f"row {at}", {key: value for key, value in entry.items() if value is not None})
                at += 1

    return Log(str(path), name, rows())
