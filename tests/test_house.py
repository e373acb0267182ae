"""How the code is laid out: short files, short functions, few positional arguments."""

import ast
from statistics import median

import pytest

from tests.test_layers import FILES

LONGEST_FILE, MEDIAN_FILE, LONGEST_FUNCTION, MOST_POSITIONAL = 350, 130, 60, 6


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(node):
    """Lines of a function without its docstring."""
    body = node.body
    said = body[0].end_lineno - body[0].lineno + 1 if ast.get_docstring(node) else 0
    return node.end_lineno - node.lineno + 1 - said


@pytest.mark.parametrize("name", FILES)
def test_functions_are_short(name):
    for node in functions(FILES[name]):
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
        positional = len(names) - (names[:1] in (["self"], ["cls"]))
        assert code_lines(node) <= LONGEST_FUNCTION, f"{node.name} has {code_lines(node)} lines"
        assert positional <= MOST_POSITIONAL, f"{node.name} has {positional} positional arguments"


def test_files_are_short():
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > LONGEST_FILE} == {}
    assert median(lines.values()) <= MEDIAN_FILE
