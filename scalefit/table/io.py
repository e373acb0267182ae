"""Read and write runs tables, their format chosen by the file's ending."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from scalefit.errors import TableError, UsageError, nearest
from scalefit.output import write_file
from scalefit.places import Place, check_writable, find_place
from scalefit.table.cast import cast_columns
from scalefit.table.checks import find_faults, guess_kind
from scalefit.table.faults import Fault
from scalefit.table.frames import as_frame
from scalefit.table.load import META, read_frame
from scalefit.table.remote import address_of, fetched
from scalefit.table.schema import COLUMNS, NEEDED, RESOURCES, SCHEMA_VERSION, SIZES

FORMATS = (".parquet", ".csv", ".jsonl")
_TEXT = [column.name for column in COLUMNS.values() if column.kind == "text"]


@dataclass(frozen=True, repr=False)
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

    @property
    def headline(self) -> str:
        """What is in it, in a line."""
        frame = self.frame
        series = ", ".join(map(str, frame["series"].unique()))
        return f"{len(frame)} evaluations of {frame['run_id'].nunique()} runs, {frame['params'].nunique()} sizes, series {series}"

    def __repr__(self) -> str:
        return f"<RunTable {self.path}: {self.headline}>"

    def _repr_html_(self) -> str:
        from html import escape

        frame, about = self.frame, self.headline
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
        A `.parquet`, `.csv`, `.tsv`, `.jsonl` or `.json` file (text also gzipped), or a folder of Parquet parts; a file may
        lie elsewhere, `hf://datasets/owner/name/runs.parquet` or another address that fsspec knows.
    columns : sequence of str, optional
        Read only these where present (Parquet reads no others from disk).

    Raises
    ------
    TableError
        If the file cannot be read, or with all faults of its rows at once.
    """
    if (address := address_of(path)) is not None:
        with fetched(address) as copy:
            return _read(copy, columns, address)
    return _read(Path(path), columns, str(path))


def _read(path: Path, columns: Sequence[str] | None, name: str) -> RunTable:
    frame, source = read_frame(path, columns, _TEXT)
    if columns is not None and not _suffices(frame, set(columns) - set(source.names)):
        frame, source = read_frame(path, None, _TEXT)
    damage = source.faults()
    if len(frame) == 0 and not damage:
        raise TableError(f"{name}: no rows. Write at least one evaluation a run.")
    return _validated(frame, source.metadata, name, damage)


def _suffices(frame: pd.DataFrame, missing: Collection[str]) -> bool:
    """Whether the columns read say what a law is in; where one that was asked for is not there, all are to be told."""
    if set(missing) - set(NEEDED):
        return False
    known = [frame[name] for name in RESOURCES if name in frame and frame[name].dtype.kind in "fiu"]
    return any(column.min() < column.max() for column in known)


def as_runs(
    source: Any, metadata: dict[str, Any] | None = None, path: str = "table", *, size: str | None = None
) -> RunTable:
    """Return any kind of runs table as a validated one; raises TableError with all faults at once.

    Parameters
    ----------
    source : RunTable, str, Path, pandas.DataFrame, or any table that gives an Arrow stream (polars, pyarrow)
        A table that was read already is returned as it is, a path is read by `read_runs`; of a frame each row is an
        evaluation, in the schema of `scalefit.table.schema`.
    metadata : dict, optional
        Conventions and origin of a frame.
    path : str
        What messages call a frame.
    size : {"params", "active_params"}, optional
        Column that is the model size from here on, in `params`.

    Raises
    ------
    UsageError
        If that column is not there, or not in every row.
    """
    if size is not None:
        return _sized(as_runs(source, metadata, path), size)
    if isinstance(source, RunTable):
        return source
    if isinstance(source, str | Path):
        return read_runs(source)
    if not isinstance(source, pd.DataFrame):
        if not hasattr(source, "__arrow_c_stream__"):
            raise TableError(
                f"{type(source).__name__} is no runs table; give a path, a data frame (pandas, polars, Arrow) or what "
                "read_runs returns."
            )
        import pyarrow as pa

        source = as_frame([pa.table(source)], _TEXT)
    return _validated(source, {} if metadata is None else metadata, path, [])


def _sized(runs: RunTable, size: str) -> RunTable:
    """Return the table with a column as its model size."""
    if size not in SIZES:
        raise UsageError(f"--size {size}: {nearest(size, SIZES)}")
    now = runs.metadata.get("size", "params")
    if size == now:
        return runs
    if size not in runs.frame or now != "params":
        raise UsageError(f"--size {size}: {runs.path} has no column {size!r} beside its sizes, which are {now}.")
    missing = int(runs.frame[size].isna().sum())
    if missing:
        raise UsageError(f"--size {size}: {missing} rows of {runs.path} have none; of a dense model write its params.")
    return replace(runs, frame=runs.frame.assign(params=runs.frame[size]), metadata={**runs.metadata, "size": size})


def _validated(frame: pd.DataFrame, metadata: Any, path: str, faults: list[Fault]) -> RunTable:
    """Return a table, or raise all its faults after those that reading it has found."""
    metadata, found = _meta_faults(metadata)
    faults = [*faults, *found]
    version = metadata.setdefault("schema_version", SCHEMA_VERSION)
    if version != SCHEMA_VERSION or isinstance(version, bool):
        raise TableError(
            f"{path}: schema version {repr(version)[:40]}, this scalefit reads {SCHEMA_VERSION}. Write it anew or use the matching release."
        )
    names, damage = list(map(str, frame.columns)), any(not fault.warning for fault in faults)
    frame, found = cast_columns(frame)
    faults += found
    # Where columns could not be read there is nothing to say of those that are missing.
    faults += find_faults(frame, faults) if len(frame) else []
    if isinstance(said := metadata.get("loss_convention"), str):
        faults.append(Fault("loss", (), f"is {said}", "what is said of it below rests on that", True))
    errors = [fault for fault in faults if not fault.warning]
    if errors:
        lines = "\n".join(f"  {fault}" for fault in errors)
        if not damage and (guess := guess_kind(names)) is not None:
            lines += f"\n  {guess}"
        raise TableError(f"{path}: {len(errors)} fault{'s' if len(errors) > 1 else ''} (rows count from 0):\n{lines}")
    return RunTable(frame, metadata, tuple(fault for fault in faults if fault.warning), path)


def add_runs(runs: RunTable, more: RunTable) -> RunTable:
    """Return both tables as one.

    Raises
    ------
    TableError
        If both hold a run of the same id, or count parameters, FLOPs or the loss by different conventions.
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
    ours, theirs = (table.metadata.get("loss_convention", "1 - pass@1 as logged") for table in (runs, more))
    if ours != theirs:
        raise TableError(
            f"{runs.path}: its loss (loss_convention) is {ours!r}, of {more.path} {theirs!r}; keep them in tables of their own."
        )
    text = [name for name in _TEXT if name in runs.frame or name in more.frame]
    frames = [table.frame.astype({name: str for name in text if name in table.frame}) for table in (runs, more)]
    metadata = {**more.metadata, **runs.metadata}
    origins = dict.fromkeys(str(table.metadata["origin"]) for table in (runs, more) if table.metadata.get("origin"))
    if origins:
        metadata["origin"] = "; ".join(origins)
    return as_runs(pd.concat(frames, ignore_index=True), metadata, runs.path)


def write_runs(runs: RunTable | pd.DataFrame, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
    """Write a runs table, in the format of the name's ending.

    Parameters
    ----------
    runs : RunTable or DataFrame
        What to write; a frame is validated first.
    path : str or Path
        CSV and JSONL go to a FIFO or an open stream too, as CSV where it has no ending. CSV keeps the metadata in a
        first comment, JSONL keeps none.
    metadata : dict, optional
        Added to the table's own.

    Raises
    ------
    TableError
        If the ending is not known, or the frame is no runs table.
    OutputError
        If it cannot be written.
    """
    ending = table_ending(path)
    if not isinstance(runs, RunTable):
        runs = as_runs(runs, metadata)
    text = {name: str for name in _TEXT if name in runs.frame}
    frame = runs.frame.astype(text)
    meta = {"schema_version": SCHEMA_VERSION, **runs.metadata, **(metadata or {})}
    own = meta.get("units")
    meta["units"] = {**(own if isinstance(own, dict) else {}), **_units(frame)}

    def write(target: str) -> None:
        if ending == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            table = pa.Table.from_pandas(frame, preserve_index=False)
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), META: json.dumps(meta).encode()})
            pq.write_table(table, target, compression="zstd", row_group_size=1 << 20, write_page_checksum=True)
        elif ending == ".csv":
            with open(target, "w", newline="", encoding="utf-8") as file:
                file.write(f"# scalefit: {json.dumps(meta)}\n")
                frame.to_csv(file, index=False)
        else:
            frame.to_json(target, orient="records", lines=True, double_precision=15)

    write_file(path, write, stream=ending != ".parquet")


def _units(frame: pd.DataFrame) -> dict[str, str]:
    return {name: COLUMNS[name].unit for name in frame.columns if name in COLUMNS}


def table_ending(path: str | Path, known: Sequence[str] = FORMATS) -> str:
    """Return the ending that picks a table's format, .csv for a stream without one; raises TableError if unknown."""
    ending = Path(path).suffix
    if not ending and find_place(path).streams:
        return ".csv"
    if ending not in known:
        raise TableError(f"{path}: unknown ending {ending!r}; use {', '.join(known)}.")
    return ending


def check_table(path: str | Path, known: Sequence[str] = FORMATS) -> Place:
    """Say before any work whether a table can be written there; raises TableError or OutputError."""
    return check_writable(path, stream=table_ending(path, known) != ".parquet")


def add_runs_to(path: str | Path, more: RunTable, tell: Callable[[str], None] = lambda said: None) -> RunTable:
    """Add runs to the table in a file, which is made if need be; of several processes at once each adds its own.

    Parameters
    ----------
    path : str or Path
        The table.
    more : RunTable
        The runs to add.
    tell : callable
        Told for whom one waits, if another process is writing the table.

    Returns
    -------
    RunTable
        The table as it is now.

    Raises
    ------
    TableError
        If both hold a run of the same id or count by different conventions; the file is left as it was.
    OutputError
        If it cannot be written.
    """
    from scalefit.locks import locked

    with locked(path, tell):
        runs = add_runs(read_runs(path), more) if Path(path).exists() else more
        write_runs(runs, path)
    return runs


def _meta_faults(metadata: Any) -> tuple[dict[str, Any], list[Fault]]:
    """Return metadata that are an object, and what in them is of no known kind."""
    fix = "write the table again"
    if isinstance(metadata, Fault):
        return {}, [metadata]
    if not isinstance(metadata, dict):
        return {}, [Fault("", (), f"the table's metadata are {repr(metadata)[:40]}, not an object", fix)]
    faults = []
    for key, value in metadata.items():
        if not key.endswith("_convention"):
            continue
        if isinstance(value, list) and len({*map(str, value)}) > 1:
            faults.append(Fault(key, (), f"mixes conventions {value}"[:200], "put runs of one convention in one table"))
        elif not isinstance(value, (str, list)):
            faults.append(Fault("", (), f"the metadata's {key} is {repr(value)[:40]}, not text", fix))
    return dict(metadata), faults
