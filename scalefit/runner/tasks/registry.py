"""Tasks with verifiable rewards, by name. A task is a file, with its section of an experiment file, and a line here."""

from __future__ import annotations

from scalefit.errors import UsageError
from scalefit.named import find_named
from scalefit.runner.tasks.arithmetic import ArithmeticConfig
from scalefit.runner.tasks.gym import GymConfig
from scalefit.runner.tasks.logic import LogicConfig
from scalefit.runner.tasks.problems import ProblemsConfig
from scalefit.runner.tasks.task import TaskConfig
from scalefit.table.schema import COLUMNS

TASKS: dict[str, type[TaskConfig]] = {
    "arithmetic": ArithmeticConfig,
    "logic": LogicConfig,
    "reasoning-gym": GymConfig,
    "problems": ProblemsConfig,
}


def find_task(name: str) -> type[TaskConfig]:
    """Return the section of the task that is called so, one of ours or `module:NAME`; raises UsageError with a hint."""
    found = find_named(name, TASKS, TaskConfig)
    if taken := sorted({*COLUMNS, "size", "config"} & set(found.parameters())):
        raise UsageError(f"its parameter {taken[0]!r} is a column of every row; rename it")
    return found
