"""What makes a run: scalefit's own loop or TRL's trainer. To add one, write its file and a line in `ENGINES`.

An engine takes a run, its folder and a way to speak to the sweep; it writes `rows.jsonl`, and `done.json` at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scalefit.runner.config import RunSpec
from scalefit.runner.engines.watch import Say


def _embedded(spec: RunSpec, folder: Path, say: Say) -> None:
    from scalefit.runner.engines.embedded import make_run

    make_run(spec, folder, say)


def _trl(spec: RunSpec, folder: Path, say: Say) -> None:
    from scalefit.runner.engines.trl_launch import make_run

    make_run(spec, folder, say)


ENGINES: dict[str, Callable[[RunSpec, Path, Say], None]] = {"scalefit": _embedded, "trl": _trl}
