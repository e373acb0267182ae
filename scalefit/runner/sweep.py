"""A grid of runs: skips what is finished, resumes what was cut off, writes the runs table.

Beside the table lie the folders of its runs (see `scalefit.runner.run_folder`). It is written anew from these, beside
the old one and renamed, whenever a run has ended; torch is only in the workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from scalefit.errors import UsageError
from scalefit.locks import locked
from scalefit.output import make_folder, write_text
from scalefit.places import check_writable
from scalefit.provenance import versions
from scalefit.runner.config import Config, RunSpec
from scalefit.runner.device import device_name
from scalefit.runner.identity import refuse_changed, require_files
from scalefit.runner.ledger import Cluster, Ledger, Outcome, Progress
from scalefit.runner.pool import work_locally
from scalefit.runner.run_folder import CONFIGURATION, ROWS, parts_of, read_done, read_rows
from scalefit.runner.trial import try_tasks
from scalefit.table.io import as_runs, write_runs

CONVENTIONS = {
    "params_convention": "non-embedding",
    "flops_convention": "6 * params * tokens, prompt and response tokens of every rollout; flops_full: passes really computed",
}
_FREE = {"sweep", "sizes", "steps", "horizon", "keep", "log", "offline", "files"}
"""Keys and sections that do not tell one configuration from another, or are looked at by themselves."""


def run_sweep(
    config: Config,
    out: Path,
    jobs: int = 1,
    report: Callable[[Progress], None] = lambda progress: None,
    cluster: Cluster | None = None,
) -> Outcome:
    """Make every run of a configuration that is not there yet and write the table.

    Parameters
    ----------
    jobs : int
        Processes at a time on this machine.
    cluster : Cluster, optional
        Where to run instead: every run a Ray task with its resources.

    Raises
    ------
    UsageError, TableError
        If the table or its folder belongs to another configuration, or another sweep is writing it.
    KeyboardInterrupt, Interrupted
        On Ctrl-C, after the workers have stopped; what was made is kept and resumed by the next call.
    """
    if out.suffix != ".parquet":
        raise UsageError(f"--out {out}: the table is written as Parquet; name it {out.stem}.parquet.")
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: no directory {out.parent}; make it first.")
    check_writable(out)
    if cluster is None:
        device_name(config.policy.device)
    folder = parts_of(out)
    require_files(config)
    _refuse_other(config, out, folder)
    _refuse_other_runs(config, folder)
    with _alone(out):
        make_folder(folder)
        settings = {"digest": config.digest(), **config.settings(), **config.seen_from(folder)}
        write_text(folder / CONFIGURATION, json.dumps(settings, indent=1))
        outcome = Outcome()
        waiting = []
        for spec in config.runs():
            done = read_done(folder / spec.run_id)
            if done is None or (done["digest"] != spec.digest() and done["status"] == "finished"):
                waiting.append(spec)
            else:
                outcome.skipped.append(spec.run_id)
        if waiting:
            try_tasks(config)
        try:
            ledger = Ledger(waiting, folder, outcome, report, lambda: _assemble(config, out, folder))
            if cluster is None:
                work_locally(ledger, jobs)
            else:
                from scalefit.runner.on_ray import work_on_ray

                work_on_ray(ledger, cluster)
        finally:
            outcome.rows = _assemble(config, out, folder)
    return outcome


def _refuse_other(config: Config, out: Path, folder: Path) -> None:
    """Refuse a table of another configuration; how long its runs are may differ, which each of them answers for.

    A configuration of which no run has a row yet, as one that was refused or failed at once, may be put right.
    """
    if (folder / CONFIGURATION).exists() and any(folder.glob(f"*/{ROWS}")):
        with contextlib.suppress(json.JSONDecodeError):
            theirs = json.loads((folder / CONFIGURATION).read_text(encoding="utf-8"))
            anew = f"Give another --out, or delete {out.name} and {folder.name}."
            refuse_changed(theirs, config, folder, anew)
            grpo = theirs["grpo"]
            as_long = config.lasting(grpo["steps"], grpo.get("horizon", 0))
            if theirs["digest"] not in (config.digest(), as_long.digest()):
                told = ", ".join(_other_keys(theirs, json.loads(json.dumps(as_long.settings()))))
                told = told or f"{theirs['digest']}, this one is {config.digest()}"
                raise UsageError(
                    f"{folder} holds runs of another configuration ({told}). {anew} "
                    "Only the grid, the sizes and the steps may change between calls."
                )
    elif out.exists():
        raise UsageError(f"{out} exists and was not made by this configuration; give another --out.")


def _other_keys(theirs: Mapping[str, Any], mine: Mapping[str, Any], section: str = "") -> Iterator[str]:
    """Name the keys that have another value, with both; those that may change between calls are left out."""
    for name in [name for name in mine if name in theirs and name not in _FREE]:
        there, here = theirs[name], mine[name]
        if isinstance(here, dict) and isinstance(there, dict):
            yield from _other_keys(there, here, f"{section}.{name}" if section else name)
        elif there != here:
            yield f"{f'[{section}] ' if section else ''}{name} = {json.dumps(there)} there, {json.dumps(here)} here"


def _refuse_other_runs(config: Config, folder: Path) -> None:
    """Refuse to go on with a finished run that is not the beginning of what is asked for, and say why it is not."""
    for spec in config.runs():
        done = read_done(folder / spec.run_id)
        if done and not spec.continues(done.get("asked", done["steps"]), done["digest"]):
            raise UsageError(f"{folder / spec.run_id}: {_why_other(spec, done)}")


def _why_other(spec: RunSpec, done: dict[str, Any]) -> str:
    had, grpo = done.get("asked", done["steps"]), spec.config.grpo
    before = dataclasses.replace(spec, config=spec.config.lasting(had, 0))
    if before.digest() != done["digest"] or had == grpo.steps:
        return "was made by another configuration of this run; give another --out, or delete it."
    if grpo.steps < had:
        return (
            f"has {had} steps already, and [grpo] steps = {grpo.steps}; steps can only be raised. Give another --out."
        )
    if grpo.schedule != "constant":
        return (
            f"the {grpo.schedule} learning rate came to its end at step {had}, so this run is not the beginning of one of "
            f"{grpo.steps} steps. Give another --out; a run that states [grpo] horizon can be made longer up to it."
        )
    over = (
        f"its problems are seen {spec.reuse} times, spread"
        if spec.reuse > 1
        else f"its {spec.config.task.order} order goes"
    )
    return (
        f"{over} over all {had} steps, so this run is not the beginning of one of {grpo.steps} steps. Write horizon = {had} into "
        "[grpo] to go on with other problems in the same order, or give another --out."
    )


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(out, wait=False))
        except BlockingIOError as error:
            raise UsageError(f"{error.strerror}; wait for it or give another --out.") from None
        yield


def _assemble(config: Config, out: Path, folder: Path) -> int:
    """Write the table from the rows of all runs, of the grid first; return how many rows there are."""
    rows: list[dict[str, Any]] = []
    status = {}
    others = sorted(path.parent.name for path in folder.glob(f"*/{ROWS}"))  # of a grid that was larger before
    for run_id in dict.fromkeys([*(spec.run_id for spec in config.runs()), *others]):
        ended = read_done(folder / run_id)
        mine = read_rows(folder / run_id)
        if mine:
            status[run_id] = ended["status"] if ended else "unfinished"
            rows += [{**row, "status": status[run_id]} for row in mine]
    if not rows:
        return 0
    metadata = {
        **CONVENTIONS,
        "origin": "scalefit run",
        "configuration": config.digest(),
        "runs": status,
        "settings": config.settings(),
        "made_with": versions("torch", "transformers"),
    }
    write_runs(as_runs(pd.DataFrame(rows), metadata, str(out)), out)
    return len(rows)
