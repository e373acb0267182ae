"""Damage: a valid input and a random generator in, a broken input out."""

from __future__ import annotations

import contextlib
import json
import math
import random

import pandas as pd

from tests.fuzz_inputs import as_parquet, frame

DEEP = 100_000
VALUES = (
    None, True, False, 0, -1, 1, 7, 0.5, -0.25, 1.5, 42.0, 1e308, -1e308, 5e-324, 10**400, 2**63, -(2**70),
    math.nan, math.inf, -math.inf, "", " ", "x", "31%", "1.2.3", ".", "-", "0.1.", "1e999", "9" * 5000, "007", "NaN",
    "2026-01-01", "2026-01-01T00:00:00", "\x00", "é\u202e", "\ud800", "a/b", "../../esc", [], [1], [[1, 2], [3]], {}, {"a": 1},
    {"value": None}, "checkpoint-best", "x" * 3000,
)  # fmt: skip


def damage_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Flip, cut, repeat, insert or shuffle bytes."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 3, 20))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + rng.choice((1, 2, 100, 5000))]
            case 3:
                data[at:at] = rng.choice(
                    (
                        b"\x00",
                        b"\xff\xfe",
                        b"\n",
                        b'"',
                        b"{",
                        b"[" * DEEP,
                        b"1" * 5000,
                        b",,,",
                        b"\xef\xbb\xbf",
                        b"null\n",
                    )
                )
            case 4:
                data[at:at] = data[at : at + 200]
            case 5 if data:
                data[at % len(data)] = rng.randrange(256)
            case 6:
                end = at + rng.choice((4, 64))
                data[at:end] = rng.randbytes(len(data[at:end]))
    return bytes(data)


def damage_json(raw: bytes, rng: random.Random) -> bytes:
    """Swap, delete, duplicate or nest values of a JSON file, or of some lines of a JSONL file."""
    lines = raw.decode().splitlines() if b"\n{" in raw else [raw.decode()]
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        with contextlib.suppress(ValueError, RecursionError):
            lines[at] = _damage_value(lines[at], rng)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _damage_value(text: str, rng: random.Random) -> str:
    whole = json.loads(text)
    spots: list[tuple[object, object]] = []

    def walk(value: object) -> None:
        keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            spots.append((value, key))
            walk(value[key])  # type: ignore[index]

    walk(whole)
    if not spots:
        return text
    # Long arrays are most of a fit; the rest of it should be hit as often.
    named = [spot for spot in spots if isinstance(spot[0], dict)]
    holder, key = rng.choice(named if named and rng.random() < 0.6 else spots)
    old = holder[key]  # type: ignore[index]
    match rng.randrange(8):
        case 0:
            del holder[key]  # type: ignore[attr-defined]
        case 1 if isinstance(holder, list):
            holder.append(old)
        case 2:
            deep = rng.choice(("[", '{"a":'))
            holder[key] = "DEEP"  # type: ignore[index]
            return json.dumps(whole).replace('"DEEP"', deep * rng.choice((50, 2000, DEEP)), 1)
        case 3 if isinstance(holder, dict):
            return json.dumps(whole).replace(f'"{key}":', f'"{key}": 1, "{key}":', 1)
        case 4 if isinstance(old, (int, float)):
            holder[key] = rng.choice((-old, old * 1e10, old + 1, str(old), [old], int(old) + 0.5))  # type: ignore[index]
        case 5 if isinstance(holder, dict):
            holder[str(rng.choice(VALUES))[:40]] = holder.pop(key)
        case _:
            holder[key] = rng.choice(VALUES)  # type: ignore[index]
    return json.dumps(whole)


def _cell(value: object) -> str:
    """A value as a cell; not as Python writes what is not finite, since that is what an answer is searched for."""
    return str(value).replace("nan", "NaN").replace("inf", "Infinity")


def damage_csv(raw: bytes, rng: random.Random) -> bytes:
    """Swap cells, names and delimiters; make rows ragged; repeat columns."""
    rows = [line.split(",") for line in raw.decode().splitlines()]
    for _ in range(rng.choice((1, 1, 2, 5))):
        row = rng.choice(rows if rng.random() < 0.7 else rows[:1])
        at = rng.randrange(len(row))
        match rng.randrange(7):
            case 0:
                del row[at]
            case 1:
                row.insert(at, row[at])
            case 2 if len(rows[0]) > 1:
                name = rng.choice(rows[0])
                for one in rows[:1]:
                    one[at % len(one)] = rng.choice((name, f" {name} ", name.upper(), ""))
            case 3:
                value = rng.choice(VALUES)
                for one in rows[1:]:
                    if at < len(one):
                        one[at] = _cell(value)
            case 4:
                rows.insert(rng.randrange(len(rows)), rng.choice(([""], ["# note"], row, ['"'])))
            case _:
                row[at] = _cell(rng.choice(VALUES))
        if not rows[0]:
            rows[0] = ["x"]
        rows = [one for one in rows if one] or [["x"]]
    if rng.random() < 0.1:
        rows.insert(0, [f"# scalefit: {json.dumps(rng.choice(VALUES))}"])
    delimiter = rng.choice((",",) * 8 + (";", "\t"))
    return "\n".join(delimiter.join(row) for row in rows).encode("utf-8", "surrogatepass")


def damage_table(table: pd.DataFrame, rng: random.Random) -> bytes:
    """A Parquet file with a column of another type, with odd values, twice, or odd metadata."""
    import pyarrow as pa

    table, metadata = table.copy(), None
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(table.columns))
        values, many = table[name], len(table)
        match rng.randrange(9):
            case 0:
                table[name] = [str(value).encode("utf-8", "replace") + rng.choice((b"", b"\xff")) for value in values]
            case 1:
                table[name] = pd.date_range("2020-01-01", periods=many)
            case 2:
                table[name] = [rng.choice(([value], None)) for value in range(many)]
            case 3:
                table[name] = [{"a": value} for value in range(many)]
            case 4:
                table[name] = [None if rng.random() < 0.3 else value for value in values]
            case 5:
                table[name] = pd.Series([rng.choice((0, 1, -5, 2**62)) for _ in range(many)], dtype="Int64")
            case 6:
                table = table.drop(columns=[name]) if len(table.columns) > 1 else table
            case 7:
                metadata = rng.choice(
                    (
                        b"5",
                        b"[]",
                        b"{",
                        b"null",
                        b"[" * DEEP,
                        b'{"schema_version": [1]}',
                        b'{"schema_version": 1, "params_convention": [1, {}]}',
                        b"\xff",
                        b'"x"',
                        b'{"origin": "\\ud800", "flops_convention": 3}',
                    )
                )
            case _:
                number = rng.choice((None, True, 0, -1, 0.5, 42.0, 1e308, -1e308, 5e-324, math.nan, math.inf, 2**62))
                table[name] = [number if rng.random() < 0.3 else value for value in values]
    try:
        return as_parquet(table, metadata)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return damage_bytes(as_parquet(frame()), rng)


def damage_toml(raw: bytes, rng: random.Random) -> bytes:
    """Swap values, names and sections; make towers and long sums of expressions."""
    lines = raw.decode().splitlines()
    towers = ('"9**9**9**9"', '"10**400"', '"0**-1"', '"' + "acc+" * 5000 + 'acc"', '"' + "(" * 500 + "acc" + ")" * 500 + '"', '"acc * name"',
              '"-" ', '"`x"', '"it.real"', '"acc ** it ** it"', '"__import__(\'os\')"', '"1/0"', '"-acc**0.5"', '"' + "-" * 900 + 'acc"')  # fmt: skip
    plain = ("[1]", "{}", "true", "2026-01-01", "nan", "-inf", '""', "0", "-1", "1e400", "9" * 50, "[" * 5000, "'x'", '"NaN"', "1e308", "[[]]",
             '"a/b"', '"../../esc"', "0.5", "1000000000000")  # fmt: skip
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        name = lines[at].partition("=")[0].strip() or "x"
        match rng.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, rng.choice(lines or ["x"]))
            case 2:
                lines[at] = rng.choice(
                    (
                        "columns = 3",
                        "[[columns]]",
                        "constants = []",
                        "[columns.step]",
                        "metadata = 1",
                        "melt = 1",
                        "grpo = 1",
                        "[[policy]]",
                        "policy = []",
                    )
                )
            case 3:
                lines[at] = f"{name[:-1]} = 1"
            case 4:
                lines[at] = f"{name} = {rng.choice(towers)}"
            case _:
                lines[at] = f"{name} = {rng.choice(plain)}"
        lines = lines or ["x = 1"]
    return "\n".join(lines).encode()
