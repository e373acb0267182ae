"""Where the numbers of a run's steps can go beside its folder, each by its own library.

To add one, write its class and a line in `TRACKERS`; a user's own is named module:NAME.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scalefit.output import write_text

if TYPE_CHECKING:
    from scalefit.runner.config import RunSpec

IDENTITY = "tracker_id"
ANSWER = 30.0
"""Seconds that a service has to answer."""


class Tracker(Protocol):
    """What takes the numbers of a run; made with the run, its folder, and the last step that is behind it (-1: none)."""

    name: str

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        ...

    def close(self) -> None:
        """End."""
        ...


class TensorBoard:
    """Event files in `tensorboard/` of the run's folder; `tensorboard --logdir` takes the folder of all runs."""

    name = "tensorboard"

    def __init__(self, spec: RunSpec, folder: Path, reached: int) -> None:
        self.writer = self.writing(folder / "tensorboard", reached + 1 if reached >= 0 else None)

    @staticmethod
    def writing(folder: Path, purge: int | None = None) -> Any:
        """Return a writer of event files; what was written from step `purge` on is not shown any more."""
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder), purge_step=purge)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        """End."""
        self.writer.close()


class WandB:
    """A run of Weights & Biases, gone on with where the same folder is gone on with."""

    name = "wandb"

    def __init__(self, spec: RunSpec, folder: Path, reached: int) -> None:
        import wandb

        self.run = wandb.init(
            project=spec.config.log.project,
            name=spec.run_id,
            id=_identity(folder),
            resume="allow",
            dir=str(folder),
            mode="offline" if spec.config.offline else None,
            config=_settings(spec),
            settings=wandb.Settings(console="off", init_timeout=ANSWER, silent=True),
        )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        self.run.log(dict(numbers), step=step)

    def close(self) -> None:
        """End."""
        self.run.finish()


class Trackio:
    """A run of trackio, on this machine."""

    name = "trackio"

    def __init__(self, spec: RunSpec, folder: Path, reached: int) -> None:
        import trackio

        self.library = trackio
        trackio.init(
            project=spec.config.log.project,
            name=f"{spec.run_id}-{_identity(folder)}",
            resume="allow",
            config=_settings(spec),
        )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        self.library.log(dict(numbers), step=step)

    def close(self) -> None:
        """End."""
        self.library.finish()


def _identity(folder: Path) -> str:
    """Return the name by which a run is known to services, one for as long as its folder lasts."""
    path = folder / IDENTITY
    if not path.exists():
        write_text(path, secrets.token_hex(6))
    return path.read_text(encoding="utf-8")


def _settings(spec: RunSpec) -> dict[str, Any]:
    own = {"series": spec.series, "seed": spec.seed, "group_size": spec.group_size, "reuse": spec.reuse, **spec.swept}
    return {**dataclasses.asdict(spec.config.without_grid()), "size": spec.size.name, **own}


TRACKERS: dict[str, Callable[[RunSpec, Path, int], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "trackio": Trackio,
}
