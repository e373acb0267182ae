"""Runs that were made, by what a user calls them: a table with the name of a run, or the run's own folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scalefit.errors import ScalefitError, UsageError, nearest
from scalefit.runner.config import RunSpec
from scalefit.runner.config_file import find_run, from_beside, plain_config, run_of
from scalefit.runner.run_folder import CONFIGURATION, ORDER, ROWS, parts_of


@dataclass(frozen=True)
class MadeRun:
    """A run's folder and what the run is."""

    folder: Path
    spec: RunSpec


def made_runs(path: Path) -> list[MadeRun]:
    """Return the runs that a table of `scalefit run`, the folder beside it, or the folder of one run holds.

    Raises
    ------
    ScalefitError
        If there are none.
    """
    parts = parts_of(path) if path.suffix == ".parquet" else path
    folders = [parts] if (parts / ROWS).exists() else sorted(found.parent for found in parts.glob(f"*/{ROWS}"))
    if not folders:
        what = f"{parts} is not beside it" if parts != path and path.exists() else "no such file or folder"
        what = "holds no run" if parts == path and path.exists() else what
        raise ScalefitError(f"{path}: {what}; name a table that scalefit run made, or the folder of a run beside it.")
    return [MadeRun(folder, _spec_of(folder)) for folder in folders]


def one_run(path: Path, run: str | None) -> MadeRun:
    """Return the run that is meant; raises UsageError where a name is needed, or is none."""
    found = {made.spec.run_id: made for made in made_runs(path)}
    if run is None and len(found) == 1:
        return next(iter(found.values()))
    if run is None:
        raise UsageError(f"{path} holds {len(found)} runs; name one with --run: {', '.join(found)}.")
    if run not in found:
        raise UsageError(f"{path} has no run {run!r}; {nearest(run, found)}")
    return found[run]


def _spec_of(folder: Path) -> RunSpec:
    order = folder / ORDER
    if not order.exists():  # a run made by hand on a cluster
        if not (folder.parent / CONFIGURATION).exists():
            raise ScalefitError(
                f"{folder}: neither {ORDER} in it nor {CONFIGURATION} beside it says what this run is; copy them with it."
            )
        return find_run(folder.parent / CONFIGURATION, folder.name)
    try:
        said = from_beside(json.loads(order.read_text(encoding="utf-8")), order)
        run = said.pop("run")
        return run_of(plain_config(said, str(order)), run, str(order))
    except UsageError:  # such as a task whose file is gone
        raise
    except (ValueError, KeyError) as error:
        raise ScalefitError(f"{order}: cannot be read ({type(error).__name__}); run scalefit run again.") from None
