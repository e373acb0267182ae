"""Readers of logs: a file or folder in, records out, as they come.

To add a format, write a function `(path, log, progress) -> iterator of Record` and add it to `READERS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scalefit.errors import TableError
from scalefit.table.importers.log import Log, Progress, Record

_CONSOLE = re.compile(r"\bstep:(\d+) - (.+)")
_PAIR = re.compile(r"(\S+?):(?:np\.\w+\()?([-+]?(?:[\d.]+(?:e[-+]?\d+)?|nan|inf))\)?(?= - |\s*$)", re.IGNORECASE)


def lines(path: Path, progress: Progress) -> Iterator[tuple[int, str]]:
    """Yield numbered lines, telling how far the file is read."""
    total, done = path.stat().st_size, 0
    with open(path, "rb") as file:
        for number, raw in enumerate(file, 1):
            done += len(raw)
            yield number, raw.decode("utf-8", "replace")
            if number % 1000 == 0:
                progress(done, total)


def json_lines(path: Path, log: Log, progress: Progress) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a JSONL file; note every line that is none, a cut last one above all."""
    for number, text in lines(path, progress):
        if not text.strip():
            continue
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            found = None
        if isinstance(found, dict):
            yield found
        else:
            log.notes.append(f"{path}: line {number} is cut or no JSON object ({text[:40].strip()!r}...); left out")


def numbers_of(values: Mapping[str, Any]) -> dict[str, float]:
    """Keep what is a finite number."""
    found = {}
    for name, value in values.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0:
            found[name] = float(value)
    return found


def read_verl(path: Path, log: Log, progress: Progress) -> Iterator[Record]:
    """Read verl's `file` logger (JSONL of step and data) or its console log."""
    with open(path, "rb") as file:
        start = file.read(1)
    if start == b"{":
        for entry in json_lines(path, log, progress):
            if isinstance(entry.get("step"), int) and isinstance(entry.get("data"), dict):
                yield Record(entry["step"], numbers_of(entry["data"]))
        return
    for _, text in lines(path, progress):
        if match := _CONSOLE.search(text):
            pairs = {name: float(value) for name, value in _PAIR.findall(match[2])}
            yield Record(int(match[1]), numbers_of(pairs))


def read_trl(path: Path, log: Log, progress: Progress) -> Iterator[Record]:
    """Read the log history of `trainer_state.json`, of the last checkpoint where a run's folder is given."""
    if path.is_dir():
        found = sorted(
            path.glob("checkpoint-*/trainer_state.json"), key=lambda file: int(file.parent.name.split("-")[1])
        )
        if not found and not (path / "trainer_state.json").exists():
            raise TableError(f"{path}: no trainer_state.json in it nor in a checkpoint-* folder; name the file.")
        path = found[-1] if found else path / "trainer_state.json"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise TableError(
            f"{path}: cut at line {error.lineno}; the checkpoint before it holds the log up to its own step."
        ) from None
    if not isinstance(state, dict) or not isinstance(state.get("log_history"), list):
        raise TableError(f"{path}: no log_history in it; give the trainer_state.json of a TRL run.")
    for entry in state["log_history"]:
        if "step" in entry:
            yield Record(int(entry["step"]), numbers_of(entry))


def read_wandb(path: Path, log: Log, progress: Progress) -> Iterator[Record]:
    """Read a W&B export (CSV or JSONL of the history) or an offline run (its folder or .wandb file)."""
    if path.is_dir():
        found = sorted(path.glob("*.wandb"))
        if len(found) != 1:
            raise TableError(
                f"{path}: {len(found)} .wandb files in it; name one offline run's folder (offline-run-...)."
            )
        (path,) = found
    if path.suffix == ".wandb":
        from scalefit.table.importers.offline import read_offline

        yield from read_offline(path, log, progress)
    elif path.suffix == ".csv":
        import pandas as pd

        for part in pd.read_csv(path, chunksize=50_000):
            for row in part.to_dict("records"):
                yield from _of_wandb({str(name): value for name, value in row.items()})
    else:
        for entry in json_lines(path, log, progress):
            yield from _of_wandb(entry)


def _of_wandb(row: Mapping[str, Any]) -> Iterator[Record]:
    """Make a record of one row of history; the trainer's own step is preferred to W&B's."""
    values = numbers_of(row)
    for name in ("train/global_step", "training/global_step", "global_step", "_step", "Step", "step"):
        if name in values:
            yield Record(int(values[name]), values)
            return


def read_tensorboard(path: Path, log: Log, progress: Progress) -> Iterator[Record]:
    """Read the scalars of an event file, or of all in a folder, in the order of their making."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util import tensor_util
    except ImportError:
        raise TableError(
            "TensorBoard files need its own reader; install it with: pip install 'scalefit-rl[import]'."
        ) from None
    files = sorted(path.rglob("events.out.tfevents.*")) if path.is_dir() else [path]
    if not files:
        raise TableError(f"{path}: no events.out.tfevents.* file in it.")
    total, done = sum(file.stat().st_size for file in files), 0
    for file in files:
        for event in EventFileLoader(str(file)).Load():
            values = {}
            for value in event.summary.value:
                kind = value.WhichOneof("value")
                if kind == "simple_value":
                    values[value.tag] = float(value.simple_value)
                elif kind == "tensor" and not value.tensor.tensor_shape.dim and value.tensor.dtype in (1, 2, 3, 9):
                    values[value.tag] = float(tensor_util.make_ndarray(value.tensor))
            if values:
                yield Record(int(event.step), numbers_of(values))
        done += file.stat().st_size
        progress(done, total)


READERS: dict[str, Callable[[Path, Log, Progress], Iterator[Record]]] = {
    "verl": read_verl,
    "trl": read_trl,
    "wandb": read_wandb,
    "tensorboard": read_tensorboard,
}
