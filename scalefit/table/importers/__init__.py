"""Logs of other tools as runs tables: many formats and dialects, many runs at once, and plain columns by a map."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from scalefit.errors import TableError, UsageError, nearest
from scalefit.named import installed
from scalefit.table.importers.assemble import PEEK, Run, assemble
from scalefit.table.importers.choose import NoEvaluation, NoMetric
from scalefit.table.importers.collect import Choice
from scalefit.table.importers.columns import import_columns
from scalefit.table.importers.dialects import DIALECTS, GROUP, Dialect, find_dialect
from scalefit.table.importers.facts import FLOPS, MissingFacts, check_names
from scalefit.table.importers.formats import open_logs, same_run
from scalefit.table.importers.log import Log, Progress, split_runs
from scalefit.table.importers.manifest import Entry, read_manifest
from scalefit.table.importers.values import parse_scale
from scalefit.table.io import RunTable, as_runs

_CONTAINERS = {
    "wandb": "*.wandb file or export",
    "tensorboard": "events.out.tfevents.* file",
    "trackio": "database of Trackio's",
}
_DIFFER = (
    "what differs between them, such as their size, is said in a manifest, which then stands in their place. runs.toml:\n"
    '    paths = ["logs/*.jsonl"]\n    pattern = "{series}-{params}"  # read from the names of the files\n    [common]\n    prompts = ...'
)
"""Where facts of several runs are said."""
_NEEDS = {"trl": "trainer_state.json in it nor in a checkpoint-* folder"}


def kinds() -> tuple[str, ...]:
    """Return what may be said of a log; it is recognised by itself where nothing is."""
    return (*dict.fromkeys((*DIALECTS, *installed(GROUP))), *_CONTAINERS, "columns")


@dataclass(frozen=True)
class Imported:
    """A runs table, what was noticed on the way, and the facts each run was given."""

    runs: RunTable
    notes: tuple[str, ...]
    facts: tuple[Mapping[str, Any], ...] = ()


def import_runs(
    kind: str | None,
    path: str | Path | Sequence[str | Path],
    given: Mapping[str, str] | None = None,
    *,
    metric: str | None = None,
    training_metric: str | None = None,
    scale: str | None = None,
    map_path: Path | None = None,
    yes: bool = False,
    assumed: Mapping[str, str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Imported:
    """Read logs of other tools.

    Parameters
    ----------
    kind : str, optional
        What wrote it (one of `kinds()`); None where it is to be recognised.
    path : str, Path or sequence of them
        Files, folders, patterns such as `logs/*.jsonl`, or manifests (`.toml`; see `scalefit.table.importers.manifest`).
    given : mapping, optional
        Facts that the log's configuration does not hold; see `scalefit.table.importers.facts.FACTS`.
    metric : str, optional
        The metric that is pass@1.
    training_metric : str, optional
        A reward over training rollouts to be used for want of an evaluation; the table says so.
    scale : str, optional
        `LOW:HIGH`, what a wrong and a right answer pay, where the metric is a score.
    map_path : Path, optional
        The column map, for `columns`.
    yes : bool
        Take what is proposed: the size and series that a model's name in the configuration says, and which rows of a
        plain table are one run.
    assumed : mapping, optional
        Facts of runs that neither `given` nor their configuration says.
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
    paths = [path] if isinstance(path, (str, Path)) else list(path)
    if map_path is not None and kind is None:
        kind = "columns"
    if kind is not None and kind not in kinds():
        raise UsageError(f"import {kind}: {nearest(kind, kinds())}")
    if metric is not None and training_metric is not None:
        raise UsageError("--metric and --training-metric: give one; the first is an evaluation, the second none.")
    choice = Choice(metric, training_metric, parse_scale(scale) if scale else None, yes, assumed or {})
    if kind == "columns":
        return _by_map(paths, map_path, given or choice.name or choice.scale, progress, yes)
    if map_path is not None:
        raise UsageError(f"--map is for import columns; import {kind} knows its columns.")
    check_names(given or {})
    entries = [entry for one in paths for entry in _entries(one)]
    return _together(*_read(entries, kind, given or {}, choice, progress))


def _entries(path: str | Path) -> list[Entry]:
    """Return what a path names: a manifest's runs, what a pattern matches, or itself."""
    place = Path(path)
    if place.exists():
        return read_manifest(place) if place.suffix == ".toml" and place.is_file() else [Entry(place)]
    if glob.has_magic(str(path)):
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise TableError(f"{path}: no file or folder matches.")
        return [Entry(Path(one)) for one in found]
    raise TableError(f"{path}: no such file or folder.")


def _read(
    entries: Sequence[Entry], kind: str | None, given: Mapping[str, str], choice: Choice, progress: Progress
) -> tuple[list[Run], list[str]]:
    """Assemble every run of every entry; of several, those without an evaluation or the metric are told and left out."""
    expected = _CONTAINERS.get(kind or "") or _NEEDS.get(kind or "") or "log that is known"
    opened = _resumed([(entry, log) for entry in entries for log in open_logs(entry.path, progress, expected)])
    opened = [(entry, one) for entry, log in opened for one in (split_runs(log, PEEK) if log.rowwise else [log])]
    if len(opened) > 1 and "run_id" in given:
        raise UsageError(
            f"--set run_id: there are {len(opened)} runs; name each in a manifest, or import them one by one."
        )
    _tell_apart([log for _, log in opened])
    runs, without = [], []
    for entry, log in opened:
        facts = {**given, **entry.facts_of(log)}
        try:
            runs.append(assemble(log, _dialect(entry.kind or kind), facts, entry.choice(choice)))
        except (NoEvaluation, NoMetric) as error:
            without.append(error)
        except MissingFacts as error:
            several = f"\n  of {len(opened)} runs, {_DIFFER}" if len(opened) > 1 else ""
            raise MissingFacts(f"{error}{several}") from None
    if not runs:
        raise next((error for error in without if isinstance(error, NoMetric)), without[0])
    return runs, [f"left out: {error}" for error in without]


def _resumed(opened: Sequence[tuple[Entry, Log]]) -> list[tuple[Entry, Log]]:
    """Make one log of files of one run that was resumed."""
    first: dict[str, Log] = {}
    found = []
    for entry, log in opened:
        key = same_run(log)
        if key is None or first.setdefault(key, log) is log:
            found.append((entry, log))
        else:
            first[key].rows = chain(first[key].rows, log.rows)
            first[key].parts.append(log)
    return found


def _tell_apart(logs: Sequence[Log]) -> None:
    """Give runs of one name and different places the names of their folders too."""
    by_name: dict[str, list[Log]] = {}
    for log in logs:
        by_name.setdefault(log.run_id, []).append(log)
    for name, some in by_name.items():
        if len({log.path for log in some}) < len(some) or len(some) == 1:
            continue
        parts = [Path(log.path).resolve().parts for log in some]
        shared = next(at for at, every in enumerate(zip(*parts, strict=False)) if len(set(every)) > 1)
        for log, own in zip(some, parts, strict=True):
            folders = [part for part in own[shared:-1] if part != name]
            log.run_id = "-".join([*folders, name])


def _dialect(kind: str | None) -> Dialect | None:
    if kind is not None and kind not in kinds():
        raise UsageError(f"kind {kind}: {nearest(kind, kinds())}")
    return find_dialect(kind) if kind in (*DIALECTS, *installed(GROUP)) else None


def _together(runs: Sequence[Run], left_out: Sequence[str]) -> Imported:
    """Return all runs as one table; they must be told apart and count alike."""
    names = [run.facts["run_id"] for run in runs]
    for run, name in zip(runs, names, strict=True):
        if names.count(name) > 1:
            raise UsageError(
                f"{run.path}: {names.count(name)} runs are called {name!r}; give each a run_id in a manifest, or import them one by one with --set run_id=..."
            )
    for what, every in {"FLOPs": {run.facts["flops"] for run in runs}, "the loss": {run.loss for run in runs}}.items():
        if len(every) > 1:
            raise UsageError(
                f"runs that count {what} differently ({' | '.join(map(str, every))}) belong into tables of their own."
            )
    metadata = {
        "params_convention": "as given on import",
        "flops_convention": FLOPS[runs[0].facts["flops"]],
        "origin": "; ".join(dict.fromkeys(f"{run.dialect} log {Path(run.path).name}" for run in runs)),
    }
    if runs[0].loss is not None:
        metadata["loss_convention"] = runs[0].loss
    notes = [note for run in runs for note in run.notes]
    if len(runs) > 1:
        notes = [f"{run.facts['run_id']}: {note}" for run in runs for note in run.notes]
        if len({run.facts["params"] for run in runs}) == 1:
            notes.append(
                f"all {len(runs)} runs were given the same params, {runs[0].facts['params']:g}; a manifest gives each its own"
            )
    notes += left_out
    frame = pd.concat([run.frame for run in runs], ignore_index=True)
    return Imported(
        as_runs(frame, metadata, runs[0].path), tuple(dict.fromkeys(notes)), tuple(dict(run.facts) for run in runs)
    )


def _by_map(
    paths: Sequence[str | Path], map_path: Path | None, other: object, progress: Progress, yes: bool
) -> Imported:
    if map_path is None:
        raise UsageError(
            "import columns needs --map MAP.toml, which says how the columns of a runs table come from the file's."
        )
    if other:
        raise UsageError(
            "import columns takes everything from --map: constants under [constants], the metric as an expression."
        )
    if len(paths) != 1:
        raise UsageError("import columns reads one file or folder at a time; add the others with --add.")
    path = Path(paths[0])
    if not path.exists():
        raise TableError(f"{path}: no such file or folder.")
    runs, notes = import_columns(path, map_path, progress, yes)
    return Imported(runs, tuple(notes))


__all__ = ["Imported", "import_runs", "kinds"]
