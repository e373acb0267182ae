"""Tasks with verifiable rewards, by name. A task is a file, with its section of an experiment file, and a line here.

Installed packages add theirs by entry points of the group `scalefit.tasks`: a section, or a class with draw and score.
"""

from __future__ import annotations

import inspect
from pathlib import Path

from scalefit.errors import UsageError
from scalefit.named import find_named, installed, load_installed, owner
from scalefit.runner.tasks.arithmetic import ArithmeticConfig
from scalefit.runner.tasks.gym import GymConfig
from scalefit.runner.tasks.logic import LogicConfig
from scalefit.runner.tasks.own import Origin, is_task_class
from scalefit.runner.tasks.own_section import section_in_file, section_of
from scalefit.runner.tasks.problems import ProblemsConfig
from scalefit.runner.tasks.task import TaskConfig
from scalefit.table.schema import COLUMNS

TASKS: dict[str, type[TaskConfig]] = {
    "arithmetic": ArithmeticConfig,
    "logic": LogicConfig,
    "reasoning-gym": GymConfig,
    "problems": ProblemsConfig,
}


GROUP = "scalefit.tasks"


def find_task(name: str, file: str = "", folder: str = "") -> type[TaskConfig]:
    """Return the section of a task: a class in a file, one of ours, a package's, or `module:NAME`.

    Parameters
    ----------
    file : str
        The class in a file, as in `my_task.py:Task`; the name is then not looked up.
    folder : str
        Where relative files are seen from.

    Raises
    ------
    UsageError
        If there is none; the message is a hint, to follow the key.
    """
    found = section_in_file(file, folder) if file else _named(name)
    if taken := sorted({*COLUMNS, "size", "config"} & set(found.parameters())):
        raise UsageError(f"its parameter {taken[0]!r} is a column of every row; rename it")
    return found


def _named(name: str) -> type[TaskConfig]:
    if name not in TASKS and (point := installed(GROUP).get(name)) is not None:
        found = load_installed(point)
        if is_task_class(found):
            return section_of(found, name, Origin(Path(inspect.getfile(found)), owner(point)))
    return find_named(name, TASKS, TaskConfig, GROUP)
