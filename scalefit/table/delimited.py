"""Delimited text as Arrow tables, block by block: commas, tabs or semicolons with decimal commas, gzipped or not.

Every cell is read as text and then made a number where the whole block is numbers, so that what is none can be named.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
import sys
import time
from collections.abc import Iterator
from threading import Lock
from typing import IO, Any, Protocol

from scalefit.errors import TableError
from scalefit.table.cuts import LastColumn, find_open_quote
from scalefit.table.schema import MISSING

MARK = "# scalefit: "
"""Start of a first line that holds a table's metadata."""
_PATIENCE = 2.0
"""Seconds that Arrow's thread may take to end; it takes a thousandth."""
_COMMA = re.compile(r"(?:^|;)\s*-?\d+,\d+\s*(?=;|$)", re.MULTILINE)
_NULL = "it holds null bytes, so it is no text; write it again"
_TAIL, _OTHERS = 1 << 12, 100
"""Bytes of the file's end, and cells above its last, that are looked at where it ends within a line."""


class Damage(Protocol):
    """Told of a line's number and what is wrong with it."""

    def __call__(self, line: int, what: str, warning: bool = False) -> None:
        """Keep it; `warning`: the line is read nevertheless."""


class _Text(io.RawIOBase):
    """A file that is read on while it is UTF-8 without null bytes: Arrow takes other bytes, and trips over them later.

    What Arrow takes without a word at the file's end is seen from its quotes, its lines and its last bytes; `left_out`
    is the last line that was left out.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.decoder = file, codecs.getincrementaldecoder("utf-8")()
        self.quotes, self.lines, self.tail, self.left_out = 0, 0, b"", 0
        self._reading, self._stopped = Lock(), False

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; raises UnicodeDecodeError or TableError where they are no text."""
        with self._reading:
            raw = b"" if self._stopped else self.file.read(size)
        self.decoder.decode(raw, final=not raw)
        if b"\x00" in raw:
            raise TableError(_NULL)
        self.quotes += raw.count(b'"')
        self.lines += raw.count(b"\n")
        self.tail = (self.tail + raw[-_TAIL:])[-_TAIL:]
        return raw

    def stop(self) -> IO[bytes]:
        """Return the file to be read otherwise: Arrow reads ahead in a thread of its own, even after an error."""
        with self._reading:
            self._stopped = True
        return self.file

    def last_cell(self, delimiter: str) -> str | None:
        """Return the file's last cell as it is written, None where it is quoted or a line's end follows it."""
        line = self.tail.rpartition(b"\n")[2]
        if not line or line.endswith(b"\r") or b'"' in line:
            return None
        return line.rpartition(delimiter.encode())[2].decode("utf-8", "replace").strip()


def read_head(head: bytes, suffix: str) -> tuple[str, str, list[str]]:
    """Return metadata (the first line's, or empty), the delimiter and the column names.

    Parameters
    ----------
    head : bytes
        The file's first lines.

    Raises
    ------
    TableError
        If that is no text of columns.
    """
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise TableError("it is UTF-16; write it as UTF-8")
    if b"\x00" in head:
        raise TableError(_NULL)
    first, _, rest = head.decode("utf-8-sig", "replace").partition("\n")
    metadata = ""
    if first.startswith(MARK):
        metadata, (first, _, rest) = first[len(MARK) :], rest.partition("\n")
    first = first.rstrip("\r")
    delimiter = "\t" if suffix == ".tsv" else max(",;\t", key=first.count)
    try:
        (names,) = csv.reader([first], delimiter=delimiter)
    except (csv.Error, ValueError):
        raise TableError("its first line is no line of column names") from None
    return metadata, delimiter, names


def read_cells(
    file: IO[bytes], head: bytes, suffix: str, columns: frozenset[str] | None, text: frozenset[str], damage: Damage
) -> Iterator[Any]:
    """Yield `pyarrow.Table`s of the rows; a row of too many or too few cells, or one that is cut, is told and left out.

    Raises
    ------
    TableError
        If a quote is opened and never closed, so that the lines below it are one cell.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    metadata, delimiter, names = read_head(head, suffix)
    skip = 2 if metadata else 1
    decimal = "," if delimiter == ";" and _COMMA.search(head.decode("utf-8", "replace")) else "."

    def ragged(row: Any) -> str:
        read.left_out = (row.number or 0) + skip - 1
        damage(read.left_out, f"has {row.actual_columns} cells where {row.expected_columns} belong")
        return "skip"

    def numbers(batch: Any) -> Any:
        cells = {name: batch.column(name) for name in batch.schema.names}
        return pa.table({name: one if name in text else as_numbers(one, decimal) for name, one in cells.items()})

    plain = [name.strip() for name in names]
    # Without a column that is wanted the first one still says how many rows there are.
    wanted = [name for name in plain if columns is None or name in columns] or plain[:1]
    options = {
        "read_options": pc.ReadOptions(use_threads=False, block_size=4 << 20, skip_rows=skip, column_names=plain),
        "parse_options": pc.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=ragged, ignore_empty_lines=True
        ),
        "convert_options": pc.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted, strings_can_be_null=False
        ),
    }
    last = LastColumn() if plain[-1] in wanted and plain[-1] not in text else None
    read, held = _Text(file), None
    try:
        with _arrow_reads(read, options) as reader:
            for batch in reader:
                if held is not None:
                    if last is not None:
                        last.add(held.column(plain[-1]))
                    yield numbers(held)
                held = batch
            del reader
    except pa.ArrowInvalid as error:
        if "straddling" in str(error):
            _check_quotes(read, delimiter, skip, damage)
        if "Empty CSV" not in str(error):
            raise
    before = head.partition(b"\n")[0].count(b'"') if metadata else 0
    closed = (read.quotes - before) % 2 == 0 or _check_quotes(read, delimiter, skip, damage)
    if held is not None:
        whole = closed and _is_whole(held, last, read, delimiter, damage)
        yield numbers(held if whole else held.slice(0, held.num_rows - 1))


@contextlib.contextmanager
def _arrow_reads(read: _Text, options: dict[str, Any]) -> Iterator[Any]:
    """Open Arrow's reader, and leave it only when its thread has let go of the file.

    A thread that still held it when the interpreter ends would abort the process, whatever its exit code was to be.
    """
    import pyarrow.csv as pc

    held = sys.getrefcount(read)
    try:
        with pc.open_csv(read, **options) as reader:
            yield reader
    finally:
        read.stop()
        reader = None
        end = time.monotonic() + _PATIENCE
        while sys.getrefcount(read) > held and time.monotonic() < end:
            time.sleep(0.001)


def _check_quotes(read: _Text, delimiter: str, header: int, damage: Damage) -> bool:
    """Tell of a quote that is not closed; return whether the last row is whole. Raises TableError where it hides others."""
    found = find_open_quote(read.stop(), delimiter, header)
    if found is None:
        return True
    line, below = found
    if below:
        raise TableError(
            f"line {line}: a quote is opened and never closed, so that the {below} lines below are one cell; close it"
        )
    if line == read.left_out:
        return True
    damage(line, "opens a quote that is never closed")
    return below is None


def _is_whole(held: Any, last: LastColumn | None, read: _Text, delimiter: str, damage: Damage) -> bool:
    """Return whether the last of the rows that are held is whole, and tell if it is not, or may not be."""
    cell = read.last_cell(delimiter)
    if last is None or not cell or not held.num_rows:
        return True
    *_, name = held.schema.names
    cells = held.column(name)
    if cells[-1].as_py().strip() != cell:
        return True
    others = cells.slice(0, held.num_rows - 1)
    last.add(others)
    if last.is_cut(cell, others.slice(max(0, len(others) - _OTHERS)).to_pylist()):
        damage(read.lines + 1, f"is cut inside a number, for the file ends there ({cell!r})")
        return False
    if last.is_short(cell):
        damage(read.lines + 1, f"ends without a line's end; its last value {cell} may be cut", warning=True)
    return True


def as_numbers(cells: Any, decimal: str = ".") -> Any:
    """Return a column of text as whole numbers or floats where every cell is one or empty, else as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.utf8_trim_whitespace(cells)
    if decimal == ",":
        plain = pc.if_else(
            pc.match_substring_regex(plain, r"^-?[\d.]*,\d+$"), pc.replace_substring(plain, ",", "."), plain
        )
    plain = pc.if_else(pc.is_in(plain, pa.array(MISSING)), pa.scalar(None, pa.string()), plain)
    for kind in (pa.int64(), pa.float64()):
        try:
            return pc.cast(plain, kind)
        except pa.ArrowInvalid:
            continue
    return cells
