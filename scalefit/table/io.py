"""Read and write runs tables: Parquet, CSV and JSONL, chosen by the file's ending."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from scalefit.errors import TableError
from scalefit.provenance import replace_file
from scalefit.table.faults import Fault, coerce, find_faults
from scalefit.table.schema import COLUMNS, SCHEMA_VERSION

_META = b"scalefit"
FORMATS = (".parquet", ".csv", ".jsonl")
_TEXT = [column.name for column in COLUMNS.values() if column.kind == "text"]


@dataclass(frozen=True)
class RunTable:
    """A validated runs table.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row an evaluation, in the schema of `scalefit.table.schema`; text columns are categories.
    metadata : dict
        Schema version, conventions and origin.
    warnings : tuple of Fault
        What is legal but worth a look.
    path : str
        Where it came from, for messages.
    """

    frame: pd.DataFrame
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[Fault, ...] = ()
    path: str = "table"

    def _repr_html_(self) -> str:
        from html import escape

        frame = self.frame
        about = f"{len(frame)} evaluations of {frame['run_id'].nunique()} runs, {frame['params'].nunique()} sizes, series {', '.join(map(str, frame['series'].unique()))}"
        said = "".join(f"<li>{escape(str(fault))}</li>" for fault in self.warnings)
        table: str = frame.head().to_html(index=False, float_format="{:.4g}".format, border=0)
        return f"<p><b>{escape(self.path)}</b>: {escape(about)}</p>{table}{f'<ul>{said}</ul>' if said else ''}"

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the rows to any library that reads Arrow streams: `polars.DataFrame(runs)`."""
        import pyarrow as pa

        return pa.Table.from_pandas(self.frame, preserve_index=False).__arrow_c_stream__(requested_schema)


def read_runs(path: str | Path, columns: Sequence[str] | None = None) -> RunTable:
    """Read and validate a runs table.

    Parameters
    ----------
    path : str or Path
        A `.parquet`, `.csv` or `.jsonl` file.
    columns : sequence of str, optional
        Read only these where present (Parquet reads no others from disk).

    Raises
    ------
    TableError
        If the file cannot be read, or with all faults of its rows at once.
    """
    path = Path(path)
    frame, metadata = _load(path, columns)
    if len(frame) == 0:
        raise TableError(f"{path}: no rows. Write at least one evaluation a run.")
    return as_runs(frame, metadata, str(path))


def as_runs(frame: Any, metadata: dict[str, Any] | None = None, path: str = "table") -> RunTable:
    """Validate a data frame as a runs table; raises TableError with all faults at once.

    Parameters
    ----------
    frame : pandas.DataFrame, or any table that gives an Arrow stream (polars, pyarrow)
        One row an evaluation, in the schema of `scalefit.table.schema`.
    metadata : dict, optional
        Conventions and origin.
    path : str
        What messages call it.
    """
    metadata = dict(metadata or {})
    if not isinstance(frame, pd.DataFrame):
        import pyarrow as pa

        table = pa.table(frame)
        # Dictionaries of other libraries (unsigned codes, views of strings) are not all known to to_pandas.
        text = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
        frame = table.drop_columns(text).to_pandas().assign(**{name: table[name].to_pylist() for name in text})
    version = metadata.setdefault("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION:
        raise TableError(
            f"{path}: schema version {version}, this scalefit reads {SCHEMA_VERSION}. Write it anew or use the matching release."
        )
    frame, faults = coerce(frame)
    faults += find_faults(frame)
    for key, value in metadata.items():
        if isinstance(value, list) and key.endswith("_convention") and len(set(value)) > 1:
            faults.append(Fault(key, (), f"mixes conventions {value}", "put runs of one convention in one table"))
    errors = [fault for fault in faults if not fault.warning]
    if errors:
        lines = "\n".join(f"  {fault}" for fault in errors)
        raise TableError(f"{path}: {len(errors)} fault{'s' if len(errors) > 1 else ''} (rows count from 0):\n{lines}")
    return RunTable(frame, metadata, tuple(fault for fault in faults if fault.warning), path)


def add_runs(runs: RunTable, more: RunTable) -> RunTable:
    """Return both tables as one.

    Raises
    ------
    TableError
        If both hold a run of the same id, or count parameters or FLOPs by different conventions.
    """
    twice = sorted(set(runs.frame["run_id"].astype(str)) & set(more.frame["run_id"].astype(str)))
    if twice:
        raise TableError(
            f"{runs.path} already has a run {twice[0]!r}; give the new one another run_id, or write to another file."
        )
    for key in ("params_convention", "flops_convention"):
        ours, theirs = runs.metadata.get(key), more.metadata.get(key)
        if ours and theirs and ours != theirs:
            raise TableError(
                f"{runs.path}: {key} is {ours!r}, of {more.path} {theirs!r}; keep runs of one convention in one table."
            )
    text = [name for name in _TEXT if name in runs.frame or name in more.frame]
    frames = [table.frame.astype({name: str for name in text if name in table.frame}) for table in (runs, more)]
    metadata = {**more.metadata, **runs.metadata}
    origins = dict.fromkeys(str(table.metadata["origin"]) for table in (runs, more) if table.metadata.get("origin"))
    if origins:
        metadata["origin"] = "; ".join(origins)
    return as_runs(pd.concat(frames, ignore_index=True), metadata, runs.path)


def write_runs(runs: RunTable | pd.DataFrame, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
    """Write a runs table beside `path`, then rename; CSV and JSONL keep metadata in a first comment or none."""
    path = Path(path)
    if not isinstance(runs, RunTable):
        runs = as_runs(runs, metadata)
    text = {name: str for name in _TEXT if name in runs.frame}
    frame = runs.frame.astype(text)
    meta = {"schema_version": SCHEMA_VERSION, **runs.metadata, **(metadata or {})}
    meta["units"] = {name: COLUMNS[name].unit for name in frame.columns if name in COLUMNS}

    def write(target: str) -> None:
        if path.suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            table = pa.Table.from_pandas(frame, preserve_index=False)
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), _META: json.dumps(meta).encode()})
            pq.write_table(table, target, compression="zstd", row_group_size=1 << 20)
        elif path.suffix == ".csv":
            with open(target, "w", newline="", encoding="utf-8") as file:
                file.write(f"# scalefit: {json.dumps(meta)}\n")
                frame.to_csv(file, index=False)
        elif path.suffix == ".jsonl":
            frame.to_json(target, orient="records", lines=True, double_precision=15)
        else:
            raise TableError(f"{path}: unknown ending {path.suffix!r}; use {', '.join(FORMATS)}.")

    replace_file(path, write)


def load_frame(path: Path) -> pd.DataFrame:
    """Read any table by its ending, unchecked; raises TableError if it cannot be read."""
    return _load(path, None)[0]


def _load(path: Path, columns: Sequence[str] | None) -> tuple[pd.DataFrame, dict[str, Any]]:
    if not path.exists():
        raise TableError(f"{path}: no such file.")
    if path.is_dir():
        raise TableError(f"{path}: a directory; name the file in it ({', '.join(FORMATS)}).")
    if path.stat().st_size == 0:
        raise TableError(f"{path}: an empty file; write it again.")
    try:
        if path.suffix == ".parquet":
            return _load_parquet(path, columns)
        if path.suffix == ".csv":
            with open(path, encoding="utf-8") as file:
                first = file.readline()
            mark = "# scalefit: "
            metadata = json.loads(first[len(mark) :]) if first.startswith(mark) else {}
            frame = pd.read_csv(path, skiprows=1 if metadata else 0)
        elif path.suffix == ".jsonl":
            frame, metadata = pd.read_json(path, orient="records", lines=True), {}
        else:
            raise TableError(f"{path}: unknown ending {path.suffix!r}; use {', '.join(FORMATS)}.")
    except TableError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TableError(
            f"{path}: cannot be read as {path.suffix[1:]} ({reason}). Is it whole, and is its ending right?"
        ) from error
    if columns is not None:
        frame = frame[[name for name in frame.columns if name in set(columns)]]
    return frame, metadata


def _load_parquet(path: Path, columns: Sequence[str] | None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read column by column, row group by row group, text as dictionary codes, so that memory stays bounded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    there = set(pq.read_schema(path).names)
    with pq.ParquetFile(path, read_dictionary=[name for name in _TEXT if name in there]) as file:
        raw = (file.schema_arrow.metadata or {}).get(_META)
        metadata = json.loads(raw) if raw else {}
        names = [name for name in file.schema_arrow.names if columns is None or name in set(columns)]
        found = {}
        for name in names:
            chunks = [batch.column(0) for batch in file.iter_batches(batch_size=1 << 20, columns=[name])]
            if chunks:
                found[name] = pa.chunked_array(chunks).unify_dictionaries().to_pandas()
            del chunks
        pa.default_memory_pool().release_unused()
    return pd.DataFrame(found, copy=False), metadata
