"""Where a forecast is sent: to the trackers that the training itself has in use, each by its own library."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from scalefit.runner.trackers import TensorBoard, Trackio, WandB
from scalefit.studies.stopping import Advice

PREFIX = "scalefit/"


class Report(Protocol):
    """What takes the numbers of a step."""

    name: str

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take them."""
        ...


class JoinedWandB(WandB):
    """The run of Weights & Biases that the training has begun.

    Attributes
    ----------
    axis : str
        Metric that holds the training's step where the trainer logs one; else the numbers go with the trainer's next.
    """

    def __init__(self, run: Any, axis: str = "") -> None:
        self.run, self.axis = run, axis

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        if self.axis:
            self.run.log({**numbers, self.axis: step})
        else:
            self.run.log(dict(numbers), commit=False)


class JoinedTrackio(Trackio):
    """The run of Trackio that the training has begun."""

    def __init__(self, library: Any) -> None:
        self.library = library


class JoinedTensorBoard(TensorBoard):
    """Event files beside those of the training."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer


class Sends:
    """Any function of numbers and step."""

    name = "the training's own tracker"

    def __init__(self, send: Callable[[dict[str, float], int], object]) -> None:
        self.send = send

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        self.send(dict(numbers), step)


def in_use(axis: str = "", events: Path | None = None) -> list[Report]:
    """Return the trackers that are in use in this process.

    Parameters
    ----------
    axis : str
        See `JoinedWandB`.
    events : Path, optional
        Folder of the training's event files, where it writes some.
    """
    found: list[Report] = []
    if (run := getattr(sys.modules.get("wandb"), "run", None)) is not None:
        found.append(JoinedWandB(run, axis))
    if (trackio := sys.modules.get("trackio")) is not None and _is_begun(trackio):
        found.append(JoinedTrackio(trackio))
    if events is not None:
        found.append(JoinedTensorBoard(TensorBoard.writing(events)))
    return found


def _is_begun(trackio: Any) -> bool:
    current = getattr(getattr(trackio, "context_vars", None), "current_run", None)
    return current is not None and current.get() is not None


def as_reports(given: Any) -> list[Report]:
    """Return reports of what a user gave, one or several: with `log(step, numbers)`, a TensorBoard writer, a run of W&B."""
    found: list[Report] = []
    for one in given if isinstance(given, Sequence) else [given]:
        if hasattr(one, "add_scalar"):
            found.append(JoinedTensorBoard(one))
        elif type(one).__module__.partition(".")[0] == "wandb":
            found.append(JoinedWandB(one))
        else:
            found.append(one)
    return found


def numbers_of(advice: Advice) -> dict[str, float]:
    """Return what is sent of an advice."""
    found = {
        "end": advice.end["loss"],
        "end_low": advice.end["low95"],
        "end_high": advice.end["high95"],
        "gain": advice.gain,
        "gain_se": advice.gain_se,
        "chance": advice.chance,
        "stop": float(advice.stop),
    }
    if advice.share is not None:
        found["share"] = advice.share
    return {PREFIX + name: value for name, value in found.items()}
