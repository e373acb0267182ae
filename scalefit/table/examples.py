"""Tables to try things on, which come with the package: `sf.load_example("paper")`.

In a checkout they are those of `data/`; the wheel has copies of them beside this file.
To add one, write a line in `EXAMPLES`, and one under `force-include` in pyproject.toml.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scalefit.errors import UsageError, nearest
from scalefit.table.io import RunTable, read_runs
from scalefit.table.select import Where, select

EXAMPLES: dict[str, tuple[str, Where]] = {
    "paper": ("paper/runs.parquet", {}),
    "study": ("study/e01.parquet", {}),
    "one_run": ("paper/runs.parquet", {"run_id": "base-7B"}),
}
"""Table below `data/`, and which of its rows."""
PLACES = (Path(__file__).with_name("examples_data"), Path(__file__).parents[2] / "data")
"""Where the tables lie in an installed package, and in a checkout."""


def load_example(name: str = "paper") -> RunTable:
    """Return a real runs table that comes with the package.

    Parameters
    ----------
    name : {"paper", "study", "one_run"}
        The curves of Tan et al. 2025 (arXiv:2509.25300), Qwen2.5 from 0.5B to 72B, base and instruct, one run a size;
        a study of this project, 6.7k to 1M parameters on arithmetic, three seeds; or one of the paper's runs alone.

    Raises
    ------
    UsageError
        If there is no example of that name.
    """
    if name not in EXAMPLES:
        raise UsageError(f"no example is called {name!r}; {nearest(name, EXAMPLES)}")
    file, where = EXAMPLES[name]
    place = next(place for place in PLACES if (place / file).exists())
    return replace(select(read_runs(place / file), where), path=f"example {name}")
