"""Open a table whatever its format, unchecked: its metadata, its rows in parts, and what of it could not be read.

To add a format, add its ending and its reader to `FORMATS`.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pandas as pd

from scalefit.errors import TableError
from scalefit.places import find_place
from scalefit.table.delimited import read_cells, read_head
from scalefit.table.faults import Fault
from scalefit.table.frames import as_frame
from scalefit.table.json_lines import Asked, as_arrow, flatten, parse_json, read_lines
from scalefit.table.schema import FIT

META = b"scalefit"
_HEAD = 1 << 16
Told = Callable[[int, int], None]


@dataclass
class Source:
    """A table being read.

    Attributes
    ----------
    metadata : object
        What the file says of itself under the product's mark; anything, until it is checked.
    damage : list of Fault
        What could not be read; filled while the parts are.
    names : dict
        Every column seen, wanted or not, in order; filled while the parts are read.
    """

    path: Path
    columns: frozenset[str] | None
    text: frozenset[str]
    told: Told = lambda done, total: None
    metadata: Any = field(default_factory=dict)
    damage: list[Fault] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)
    _lines: dict[str, list[int]] = field(default_factory=dict)
    _first: dict[str, str] = field(default_factory=dict)

    def note(self, line: int, what: str, warning: bool = False) -> None:
        """Keep a damaged line, together with others of the same kind; a doubtful one by itself."""
        if warning:
            self.damage.append(Fault("", (), what, "see whether it is whole", True, line))
            return
        kind = what.partition(" (")[0]
        self._lines.setdefault(kind, []).append(line)
        self._first.setdefault(kind, what)

    def faults(self) -> list[Fault]:
        """Return everything that could not be read, lines of a kind as one fault."""
        found = list(self.damage)
        for kind, lines in self._lines.items():
            more = f", and so {len(lines) - 1} more (lines {', '.join(map(str, lines[1:6]))}{', ...' if len(lines) > 6 else ''})"
            said = self._first[kind] + (more if len(lines) > 1 else "")
            found.append(Fault("", (), said, "mend or remove it", line=lines[0]))
        return found


def open_table(
    path: Path,
    columns: Collection[str] | None = None,
    text: Collection[str] = (),
    told: Told = lambda done, total: None,
) -> tuple[Source, Iterator[Any]]:
    """Return a source and the iterator of its parts, each a `pyarrow.Table`.

    Parameters
    ----------
    path : Path
        A file of a known ending, or a folder of Parquet parts.
    columns : collection of str, optional
        Read only these where present.
    text : collection of str
        Columns that are text even where they look like numbers, so that `001` stays `001`.
    told : callable
        Called with bytes read and bytes in all.

    Raises
    ------
    TableError
        If there is nothing there that could be read.
    """
    source = Source(path, None if columns is None else frozenset(columns), frozenset(text), told)
    return source, _guarded(source)


def read_frame(
    path: Path, columns: Collection[str] | None = None, text: Collection[str] = ()
) -> tuple[pd.DataFrame, Source]:
    """Read a whole table as a frame, unchecked; the source says what could not be read."""
    source, parts = open_table(path, columns, text)
    every = list(parts)
    try:
        return as_frame(every, source.text), source
    except Exception as error:  # As in `_guarded`: what is read here is seen here for the first time.
        raise _unreadable(path, error) from error


def _guarded(source: Source) -> Iterator[Any]:
    """Yield the parts; whatever a library raises on a damaged file becomes one error."""
    path = source.path
    kind = ending(path)
    if not path.exists():
        raise TableError(f"{path}: no such file.")
    if not path.is_file() and not path.is_dir():  # A FIFO would be waited for, for ever.
        raise TableError(f"{path}: {find_place(path).kind}, neither a file nor a folder; write it to a file first.")
    if path.is_file() and path.stat().st_size == 0:
        raise TableError(f"{path}: an empty file; write it again.")
    reader = _read_folder if path.is_dir() else FORMATS.get(kind.removesuffix(".gz"))
    if reader is None:
        raise TableError(
            f"{path}: unknown ending {kind!r}; use {', '.join(FORMATS)} (text also gzipped, as in .csv.gz), or a folder of .parquet parts; training logs are read by `scalefit import`."
        )
    try:
        yield from reader(source)
    except TableError as error:
        raise TableError(f"{path}: {str(error).rstrip('.')}." if str(path) not in str(error) else str(error)) from None
    except RecursionError:
        raise TableError(f"{path}: nested too deeply to be a table.") from None
    except Exception as error:  # Arrow, gzip and codecs raise many kinds on damaged files.
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> TableError:
    said = str(error).strip().encode("utf-8", "backslashreplace").decode().splitlines() or [type(error).__name__]
    kind = "a folder of Parquet parts" if path.is_dir() else ending(path)[1:]
    return TableError(f"{path}: cannot be read as {kind} ({said[0][:160]}). Is it whole, and is its ending right?")


def ending(path: Path) -> str:
    """Return the ending that says the format, `.csv.gz` as one."""
    kind = path.suffix.lower()
    return path.with_suffix("").suffix.lower() + kind if kind == ".gz" else kind


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb")  # type: ignore[return-value]


def _read_delimited(source: Source) -> Iterator[Any]:
    path, total = source.path, source.path.stat().st_size
    with _open(path) as file:
        head = file.read(_HEAD)
    metadata, _, names = read_head(head, ending(path).removesuffix(".gz"))
    source.metadata = parse_metadata(metadata) if metadata else {}
    plain = [name.strip() for name in names]
    source.names.update(dict.fromkeys(plain))
    if twice := sorted({name for name in plain if plain.count(name) > 1}):
        source.damage += [Fault(name, (), "is there twice", "keep one of the columns of that name") for name in twice]
        return
    with _open(path) as file:
        for part in read_cells(file, head, ending(path).removesuffix(".gz"), source.columns, source.text, source.note):
            yield part
            source.told(min(total, file.tell()) if not file.closed else total, total)


def _read_lines(source: Source) -> Iterator[Any]:
    total = source.path.stat().st_size

    def told(done: int, first: dict[str, Any]) -> None:
        source.names.update(dict.fromkeys(first))
        source.told(min(done, total), total)

    with _open(source.path) as file:
        asked = Asked(source.columns, source.text)
        yield from map(source_columns(source), read_lines(file, asked, source.note, told))


def _read_json(source: Source) -> Iterator[Any]:
    """Read an array of objects; a file of JSON lines under that ending is read as such."""
    with open(source.path, "rb") as file:
        start = file.read(_HEAD).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"{":
        try:
            found = json.loads(source.path.read_text(encoding="utf-8-sig"))
        except json.JSONDecodeError:
            yield from _read_lines(source)
            return
        if found.get("format") == FIT:
            raise TableError(
                f"{source.path}: a fit, not a runs table; ask it with `scalefit predict {source.path} --params SIZE`"
            )
        raise TableError(
            "it is one object, not an array of rows; write [{...}, {...}] or one object a line (.jsonl), or read a training log with `scalefit import`"
        )
    content = parse_json(source.path.read_text(encoding="utf-8-sig"))
    if not isinstance(content, list):
        raise TableError("it is no array of rows; write [{...}, {...}] or one object a line (.jsonl)")
    rows = []
    for at, row in enumerate(content):
        try:
            rows.append(flatten(row))
        except ValueError as error:
            source.damage.append(Fault("", (at,), str(error), "write one object a row"))
    if rows:
        yield source_columns(source)(as_arrow(rows))


def source_columns(source: Source) -> Callable[[Any], Any]:
    """Return what keeps the wanted columns of a part."""
    wanted = source.columns

    def keep(part: Any) -> Any:
        source.names.update(dict.fromkeys(part.column_names))
        return part if wanted is None else part.select([name for name in part.column_names if name in wanted])

    return keep


def _read_parquet(source: Source) -> Iterator[Any]:
    yield _parquet(source.path, source)


def _read_folder(source: Source) -> Iterator[Any]:
    """Read a folder of Parquet parts as one table; with anything else in it, it is a place where tables lie."""
    inside = sorted(path for path in source.path.rglob("*") if path.is_file())
    parts = [path for path in inside if path.suffix == ".parquet" and not path.name.startswith((".", "_"))]
    others = [path for path in inside if path not in set(parts) and not path.name.startswith((".", "_"))]
    if not parts or others:
        what = f"with {others[0].name} and others beside .parquet files" if parts else "without .parquet parts"
        raise TableError(f"a directory {what}; name the file in it ({', '.join(FORMATS)})")
    for part in parts:
        try:
            yield _parquet(part, source)
        except Exception as error:
            raise TableError(
                f"{part.relative_to(source.path)}: cannot be read as parquet ({str(error)[:160]})"
            ) from error


def _parquet(path: Path, source: Source) -> Any:
    """Read column by column, row group by row group, text as dictionary codes, so that memory stays bounded."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    strings = (
        [name for name in schema.names if name in source.text and pa.types.is_string(schema.field(name).type)]
        if len(set(schema.names)) == len(schema.names)
        else []
    )
    with pq.ParquetFile(path, read_dictionary=strings, page_checksum_verification=True) as file:
        raw = (file.schema_arrow.metadata or {}).get(META)
        if raw:
            source.metadata = parse_metadata(raw.decode("utf-8", "replace"))
        every = file.schema_arrow.names
        source.names.update(dict.fromkeys(every))
        if twice := sorted({name for name in every if every.count(name) > 1}):
            source.damage += [
                Fault(name, (), "is there twice", "keep one of the columns of that name") for name in twice
            ]
        names = [
            name for name in every if (source.columns is None or name in source.columns) and every.count(name) == 1
        ]
        found = {}
        for name in names:
            chunks = [batch.column(0) for batch in file.iter_batches(batch_size=1 << 20, columns=[name])]
            field_type = file.schema_arrow.field(name).type
            for chunk in chunks if not pa.types.is_primitive(field_type) else ():
                chunk.validate(full=True)
            found[name] = pa.chunked_array(chunks) if chunks else pa.chunked_array([], field_type)
        pa.default_memory_pool().release_unused()
    return pa.table(found)


def parse_metadata(text: str) -> Any:
    """Return what a file's metadata say; text that is no JSON comes back as a `Fault`."""
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:100]
        return Fault("", (), f"the table's metadata cannot be read ({what})", "write the table again")
    return found


FORMATS: dict[str, Callable[[Source], Iterator[Any]]] = {
    ".parquet": _read_parquet,
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".json": _read_json,
}
