"""The folder of a run: what its files are called, its rows as they come, and how it ended. No torch here.

Beside a table `NAME` lies `NAME.parts/`, with `configuration.json` and one folder a run. A run's folder holds what the run
is (`run.json`), `rows.jsonl` (one line an evaluation, synced to disk), `log.jsonl` (one line a step), its last checkpoint,
at the end `done.json`, and the weights that are kept (`weights/`, see `scalefit.runner.kept`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalefit.output import append_text, write_text

if TYPE_CHECKING:
    from scalefit.runner.config import RunSpec

Row = dict[str, Any]
ROWS, STEP_LOG, CHECKPOINT, DONE, ORDER = "rows.jsonl", "log.jsonl", "checkpoint.pt", "done.json", "run.json"
CONFIGURATION = "configuration.json"
MOST_A_LINE = 1 << 18
"""Bytes of the longest line that the last step is read from."""


def parts_of(out: Path) -> Path:
    """Return the folder beside a table in which its runs are kept."""
    return out.with_name(out.name + ".parts")


def append_row(folder: Path, row: Row) -> None:
    """Add a row and sync it to disk."""
    append_text(folder / ROWS, json.dumps(row) + "\n")


def write_rows(folder: Path, rows: list[Row]) -> None:
    """Write all rows anew, for a run that resumes earlier than its last row."""
    write_text(folder / ROWS, "".join(json.dumps(row) + "\n" for row in rows))


def read_rows(folder: Path) -> list[Row]:
    """Return a run's rows."""
    return [json.loads(line) for line in _whole_lines(folder)]


def _whole_lines(folder: Path) -> list[str]:
    """Return the lines of a run's rows; a last one cut short is left out."""
    try:
        lines = (folder / ROWS).read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [line for line in lines if line.endswith("\n")]


def last_words(folder: Path, steps: int, before: str) -> tuple[int, str]:
    """Return the step of a run of so many, and where it is, by its last line; before the first, what is given."""
    logged, rows = _last_line(folder / STEP_LOG), _last_line(folder / ROWS)
    if not rows:
        return 0, before
    step = max(logged.get("step", 0), rows["step"])
    return step, f"step {step}/{steps}, loss {rows['loss']:.3f}"


def _last_line(path: Path) -> Row:
    """Return the last whole line of a file, read from its end; nothing where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - MOST_A_LINE, 0))
            *lines, _ = file.read().split(b"\n")
        found: Row = json.loads(lines[-1])
    except (FileNotFoundError, IndexError, ValueError):
        return {}
    return found


def finish(folder: Path, spec: RunSpec, *, status: str, steps: int, **more: Any) -> None:
    """Mark a run as ended after so many steps; its checkpoint stays where a longer run may want it."""
    end = {"status": status, "steps": steps, "asked": spec.config.grpo.steps, "digest": spec.digest()}
    write_text(folder / DONE, json.dumps({**end, **more}))
    if not spec.config.keep.checkpoint:
        (folder / CHECKPOINT).unlink(missing_ok=True)


def reopen(folder: Path) -> None:
    """Let a run that had ended go on."""
    (folder / DONE).unlink(missing_ok=True)


def read_done(folder: Path) -> dict[str, Any] | None:
    """Return how a run ended; None where it has not."""
    try:
        found: dict[str, Any] = json.loads((folder / DONE).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found
