"""Tasks with verifiable rewards; `make_task` turns a configuration into one."""

from __future__ import annotations

from collections.abc import Callable

from scalefit.runner.config import TaskConfig
from scalefit.runner.tasks.arithmetic import Arithmetic, Level
from scalefit.runner.tasks.logic import Logic
from scalefit.runner.tasks.task import Task


def _arithmetic(config: TaskConfig) -> Task:
    if not config.levels:
        return Arithmetic()
    return Arithmetic(tuple(Level(level.digits, level.operations, level.modulus) for level in config.levels))


def _gym(config: TaskConfig) -> Task:
    from scalefit.runner.tasks.gym import ReasoningGym

    return ReasoningGym(config.families)


def _problems(config: TaskConfig) -> Task:
    from scalefit.runner.tasks.problems import Problems

    return Problems(config.path, config.eval_path, config.extraction)


def _logic(config: TaskConfig) -> Task:
    return Logic(config.fragment, config.depth, config.decoys, config.letters, config.pretrain_depth or config.depth)


TASKS: dict[str, Callable[[TaskConfig], Task]] = {
    "arithmetic": _arithmetic,
    "logic": _logic,
    "reasoning-gym": _gym,
    "problems": _problems,
}


def make_task(config: TaskConfig) -> Task:
    """Return the task that a configuration names."""
    return TASKS[config.name](config)
