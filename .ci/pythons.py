"""Run the analysis half's tests on the Pythons that pyproject.toml names and this machine has, beside the running one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = [
    f"tests/test_{name}.py"
    for name in "table columns reading fit_file output names locks laws units validation fitting own_law numerics prediction ends cli cli_face cost horizon sharpening".split()
]


def interpreter(version: str) -> str | None:
    """Return an interpreter of a version that starts: on the path, or among those of pyenv."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, sorted(kept.glob(f"{version}.*/bin/python{version}")))]
    for path in filter(None, found):
        if subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    return None


def main() -> None:
    """Make an environment for each and run the tests in it."""
    versions = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    missing = []
    for version in versions:
        if version == f"{sys.version_info.major}.{sys.version_info.minor}":
            continue
        path = interpreter(version)
        if path is None:
            missing.append(version)
            continue
        print(f"Python {version}", flush=True)
        folder = f"{sys.argv[1]}{version}"
        subprocess.run([path, "-m", "venv", folder], check=True)
        install = [
            "install",
            "--quiet",
            "--constraint",
            "constraints.txt",
            "--editable",
            ".[plot]",
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "polars",
        ]
        subprocess.run([f"{folder}/bin/pip", *install], check=True, cwd=ROOT)
        subprocess.run([f"{folder}/bin/pytest", "-n", "2", "-m", "not slow", *TESTS], check=True, cwd=ROOT)
    if missing:
        print(f"not on this machine, hence not tested: Python {', '.join(missing)}", flush=True)


if __name__ == "__main__":
    main()
