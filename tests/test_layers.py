"""Imports go to lower layers only, file by file and without circles; the analysis half never imports torch."""

import ast

import pytest

from tests.conftest import ROOT

LAYER = {
    "errors": 0,
    "extras": 0,
    "units": 0,
    "names": 0,
    "named": 0,
    "json_names": 0,
    "places": 0,
    "progress": 0,
    "said": 0,
    "output": 0,
    "locks": 0,
    "provenance": 0,
    "answer": 1,
    "numerics": 1,
    "laws": 2,
    "table": 2,
    "fitting": 3,
    "runner": 3,
    "prediction": 4,
    "studies": 5,
    "live": 6,
    "plotting": 6,
    "cli": 7,
    "__main__": 8,
}
CALLBACK = "scalefit.live.trainer"
"""What runs within a trainer of transformers, and imports it when it is asked for."""
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "scalefit").rglob("*.py"))
}


def imports(path, within_functions=True):
    """Yield what a file imports, but for what only a type checker reads."""
    stack = list(ast.iter_child_nodes(ast.parse(path.read_text())))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in FILES else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        stack.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("name", [name for name in FILES if name != "scalefit"])
def test_imports_go_down(name):
    mine = name.split(".")[1]
    for other in imports(FILES[name]):
        outer = other.split(".")[0]
        assert mine == "runner" or outer not in ("torch", "transformers", "vllm") or name == CALLBACK, other
        assert mine == "plotting" or outer not in ("matplotlib", "seaborn"), other
        if other.startswith("scalefit."):
            theirs = other.split(".")[1]
            assert theirs == mine or LAYER[theirs] < LAYER[mine] or LAYER[theirs] == LAYER[mine] == 0, other
        if mine in ("laws", "numerics", "fitting") and outer == "pandas":
            assert name.split(".")[-1] in ("fit", "simulate"), "pandas only where frames are handed out"


def test_no_circle_between_files():
    below = {
        name: {other for other in imports(path) if other in FILES and other != name} for name, path in FILES.items()
    }
    while below:
        free = [name for name, others in below.items() if not others & below.keys()]
        assert free, f"a circle among {sorted(below)}"
        for name in free:
            del below[name]
