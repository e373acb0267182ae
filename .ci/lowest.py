"""Print the lowest version of each dependency that pyproject.toml admits, as requirements."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
print(" ".join(name.replace(">=", "==") for name in project["dependencies"]))
