"""Delimited text as Arrow tables, block by block: commas, tabs or semicolons with decimal commas, gzipped or not.

Every cell is read as text and then made a number where the whole block is numbers, so that what is none can be named.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import IO, Any

from scalefit.errors import TableError
from scalefit.table.schema import MISSING

MARK = "# scalefit: "
"""Start of a first line that holds a table's metadata."""
_COMMA = re.compile(r"(?:^|;)\s*-?\d+,\d+\s*(?=;|$)", re.MULTILINE)
_NULL = "it holds null bytes, so it is no text; write it again"
Damage = Callable[[int, str], None]


class _Text(io.RawIOBase):
    """A file that is read on while it is UTF-8 without null bytes: Arrow takes other bytes, and trips over them later."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.decoder = file, codecs.getincrementaldecoder("utf-8")()

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; raises UnicodeDecodeError or TableError where they are no text."""
        raw = self.file.read(size)
        self.decoder.decode(raw, final=not raw)
        if b"\x00" in raw:
            raise TableError(_NULL)
        return raw


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
    """Yield `pyarrow.Table`s of the rows; a row of too many or too few cells is told and left out."""
    import pyarrow as pa
    import pyarrow.csv as pc

    metadata, delimiter, names = read_head(head, suffix)
    skip = 2 if metadata else 1
    decimal = "," if delimiter == ";" and _COMMA.search(head.decode("utf-8", "replace")) else "."

    def ragged(row: Any) -> str:
        damage((row.number or 0) + skip - 1, f"has {row.actual_columns} cells where {row.expected_columns} belong")
        return "skip"

    plain = [name.strip() for name in names]
    wanted = [name for name in plain if columns is None or name in columns]
    options = {
        "read_options": pc.ReadOptions(use_threads=False, block_size=4 << 20, skip_rows=skip, column_names=plain),
        "parse_options": pc.ParseOptions(
            delimiter=delimiter, newlines_in_values=True, invalid_row_handler=ragged, ignore_empty_lines=True
        ),
        "convert_options": pc.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=wanted or plain[:1],
            strings_can_be_null=False,
        ),
    }
    try:
        with pc.open_csv(_Text(file), **options) as reader:
            for batch in reader:
                yield pa.table(
                    {
                        name: as_numbers(batch.column(name), decimal) if name not in text else batch.column(name)
                        for name in batch.schema.names
                    }
                )
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise


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
