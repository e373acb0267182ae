"""docs/live.md shows what the product prints of a run that was made, not what was typed."""

import importlib.util

from tests.conftest import ROOT


def test_the_lines_are_those_of_a_real_run():
    spec = importlib.util.spec_from_file_location("live_benchmark", ROOT / "benchmarks" / "live.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    page = made.PAGE.read_text(encoding="utf-8")
    assert made.with_blocks(page) == page, "python benchmarks/live.py --page"
    assert all(len(content.splitlines()) >= 3 for content in made.blocks().values())
