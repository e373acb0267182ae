"""Weights that runs leave behind: `weights/step-N` in a run's folder, each a model that transformers reads. No torch here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError
from scalefit.output import make_folder, write_text
from scalefit.runner.config import RunSpec
from scalefit.runner.run_folder import Row

WEIGHTS, ABOUT = "weights", "about.json"
_EVERY = re.compile(r"every ([1-9][0-9]{0,8})")


def steps_kept(weights: str) -> int | None:
    """Return N of `every N`, 0 for the other values of [keep] weights, None for what is none."""
    if weights in ("last", "best", "none"):
        return 0
    match = _EVERY.fullmatch(weights)
    return int(match[1]) if match else None


@dataclass(frozen=True)
class Kept:
    """Weights after a step of a run, and the loss of the evaluation there; None where there was none."""

    folder: Path
    step: int
    loss: float | None


def kept_of(folder: Path) -> list[Kept]:
    """Return the weights that a run's folder holds, first step first."""
    found = []
    for path in folder.glob(f"{WEIGHTS}/step-*/{ABOUT}"):
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if path.parent.name == f"step-{about['step']}":
            found.append(Kept(path.parent, about["step"], about["loss"]))
    return sorted(found, key=lambda kept: kept.step)


class Keeper:
    """Keeps the weights of a run in progress as [keep] says; `export` writes a model into an empty folder."""

    def __init__(self, spec: RunSpec, folder: Path, export: Callable[[Path], None]) -> None:
        self.spec, self.folder, self.export = spec, folder, export
        self.weights = spec.config.keep.weights
        self.every = steps_kept(self.weights) or 0
        self.written: set[int] = set()

    def __call__(self, step: int, rows: Sequence[Row]) -> None:
        """Keep the weights after `step` where they are asked for; `rows` are the run's up to there."""
        if step in self.written or not self._asked(step, rows):
            return
        self.written.add(step)
        loss = rows[-1]["loss"] if rows and rows[-1]["step"] == step else None
        place = self.folder / WEIGHTS / f"step-{step}"
        part = place.with_name("part")
        shutil.rmtree(part, ignore_errors=True)
        make_folder(part)
        self.export(part)
        write_text(part / ABOUT, json.dumps({"run": self.spec.run_id, "step": step, "loss": loss}))
        shutil.rmtree(place, ignore_errors=True)
        part.rename(place)
        for other in kept_of(self.folder):
            if other.step != step and self._superseded(other.step, step):
                shutil.rmtree(other.folder)

    def _asked(self, step: int, rows: Sequence[Row]) -> bool:
        if self.weights == "best":
            return rows[-1]["step"] == step and all(rows[-1]["loss"] < row["loss"] for row in rows[:-1])
        if self.weights == "none" or (self.every and not step):
            return False
        return self._on_plan(step)

    def _superseded(self, other: int, step: int) -> bool:
        """Say whether the weights of another step go; among them those of the end that was, where a run became longer."""
        return not self._on_plan(other) if self.every else self._is_end(step) or self.weights == "best"

    def _on_plan(self, step: int) -> bool:
        return self._is_end(step) or bool(self.every and step % self.every == 0)

    def _is_end(self, step: int) -> bool:
        return step == self.spec.config.grpo.steps


def find_kept(folder: Path, step: int | None = None) -> Kept:
    """Return a run's weights after a step, or the last that are kept; raises ScalefitError where there are none."""
    kept = kept_of(folder)
    for one in reversed(kept):
        if step in (None, one.step):
            return one
    if not kept:
        raise ScalefitError(
            f"{folder}: no weights are kept. A run keeps those of its last step when it ends, unless its [keep] weights "
            "says otherwise; step 0 is the model that it started from."
        )
    raise ScalefitError(f"{folder}: no weights after step {step}; there are those of {_listed(kept)}, and step 0.")


def _listed(kept: Sequence[Kept]) -> str:
    return ", ".join(str(one.step) for one in kept)
