"""Imports go to lower layers only, and the analysis half never imports torch."""

import ast

import pytest

from tests.conftest import ROOT

LAYER = {
    "errors": 0,
    "units": 0,
    "names": 0,
    "places": 0,
    "output": 0,
    "locks": 0,
    "provenance": 0,
    "table": 1,
    "laws": 1,
    "fitting": 2,
    "runner": 2,
    "validation": 3,
    "planning": 4,
    "plotting": 4,
    "workflow": 5,
    "gallery": 6,
    "report": 6,
    "cli": 7,
    "__main__": 8,
}
FILES = sorted((ROOT / "scalefit").rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    parts = path.relative_to(ROOT / "scalefit").with_suffix("").parts
    if parts == ("__init__",):
        return
    mine = parts[0]
    for name in imports(path):
        assert mine == "runner" or name.split(".")[0] not in ("torch", "transformers", "vllm"), name
        assert mine == "plotting" or name.split(".")[0] not in ("matplotlib", "seaborn", "plotly"), name
        if name.startswith("scalefit."):
            other = name.split(".")[1]
            assert other == mine or LAYER[other] < LAYER[mine] or {LAYER[other], LAYER[mine]} == {0}, f"{path}: {name}"
        if mine in ("laws", "fitting") and name.split(".")[0] == "pandas":
            assert parts[-1] in ("fit", "simulate"), f"{path}: pandas only where frames are handed out"
