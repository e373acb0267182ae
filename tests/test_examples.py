"""Example tables come with the package, and nothing that is shared says where it lay on somebody's machine."""

import tomllib

import pytest

import scalefit as sf
from scalefit.errors import UsageError
from scalefit.table.examples import EXAMPLES, PLACES
from tests.conftest import ROOT


@pytest.mark.parametrize(("name", "runs", "sizes"), [("paper", 14, 7), ("study", 36, 6), ("one_run", 1, 1)])
def test_examples_come_with_the_package(name, runs, sizes):
    frame = sf.load_example(name).frame
    assert (frame["run_id"].nunique(), frame["params"].nunique()) == (runs, sizes)
    assert sf.load_example(name).path == f"example {name}"


def test_examples_are_in_the_wheel():
    """What a wheel takes from outside the package is where an installed package looks for it."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    taken = {inside: (ROOT / outside) for outside, inside in build["force-include"].items()}
    inside = PLACES[0].relative_to(ROOT)
    assert set(taken) == {str(inside / file) for file, _ in EXAMPLES.values()}
    assert all(path.exists() for path in taken.values())


def test_an_unknown_example_is_refused():
    with pytest.raises(UsageError, match="did you mean 'paper'"):
        sf.load_example("papr")


def test_origin_names_the_file_and_no_folder(tmp_path):
    folder = tmp_path / "somebody"
    folder.mkdir()
    log = folder / "log.csv"
    log.write_text("step,accuracy\n" + "".join(f"{step},{0.1 + 0.01 * step}\n" for step in range(1, 9)))
    the_map = folder / "map.toml"
    the_map.write_text(
        '[columns]\nstep = "step"\nloss = "1 - accuracy"\nsamples = "64 * step"\n[constants]\nrun_id = "a"\nseries = "s"\nparams = 1e9\neval = "e"\n'
    )
    made = sf.import_runs("columns", log, map_path=the_map)
    assert made.runs.metadata["origin"] == "columns of log.csv"
