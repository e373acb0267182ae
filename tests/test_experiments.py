"""The study's notes and tables are what its scripts produce, and its configurations are valid."""

import json
import shutil
import subprocess
import sys

import pytest

from scalefit.provenance import sha256_of_file
from scalefit.runner.config import read_config
from tests.conftest import ROOT

CONFIGS = sorted((ROOT / "experiments").glob("*/*.toml"))
STUDIES = sorted(path.parent for path in (ROOT / "experiments").glob("e0*/analyse.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_configurations_are_valid(path):
    assert read_config(path).runs()


@pytest.mark.slow
@pytest.mark.parametrize("folder", STUDIES, ids=lambda path: path.name)
def test_notes_hold_what_the_script_finds(folder, tmp_path):
    for name in ("experiments", "figures", "data"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.parts", "__pycache__"))
    there = tmp_path / "experiments" / folder.name
    subprocess.run([sys.executable, str(there / "analyse.py")], check=True, capture_output=True, text=True)
    assert (there / "notes.md").read_text() == (folder / "notes.md").read_text()
    assert len((folder / "analyse.py").read_text().splitlines()) <= 60


def test_tables_are_those_of_the_manifest():
    folder = ROOT / "data" / "study"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest) == {path.name for path in folder.glob("*.parquet")}
    for name, entry in manifest.items():
        assert sha256_of_file(folder / name) == entry["sha256"], name
        config = entry["made by"].split()[2]
        runs = read_config(ROOT / config).runs()
        assert entry["runs"] + len(entry["runs missing"]) == len(runs)


def test_readme_says_what_the_benchmark_measured():
    reach = json.loads((ROOT / "benchmarks" / "results.json").read_text())["reach"]
    said = f"{reach['evaluations answered within a minute']:,}".replace(",", " ")
    assert f"every size held out of {said} evaluations take half a minute" in (ROOT / "README.md").read_text()
    assert 20 < reach["s"] < 40
