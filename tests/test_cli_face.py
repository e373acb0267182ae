"""The face of the command line: help, examples, version, exit codes, plain terminals, one form of JSON."""

import inspect
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

import scalefit as sf
from scalefit.cli.main import app
from tests.conftest import OUTPUT, PAPER, ROOT, RUNS, results, scalefit, scalefit_process
from tests.runner.conftest import TINY

STUDY = ROOT / "data" / "study"
COMMANDS = {command.name: command for command in app.registered_commands}
EXAMPLES = {name: command.epilog.removeprefix("Example: ") for name, command in COMMANDS.items()}
TABLES = {"reuse": PAPER / "reuse.parquet", "rollouts": STUDY / "e03.parquet", "horizon": STUDY / "e06.parquet"}
TABLES["joint"] = TABLES["rollouts"]
TABLES |= dict.fromkeys(("sharpening", "offsets", "level", "signs"), STUDY / "e05_grpo.parquet")
HEADINGS = ("Start", "Test", "Decide", "Study", "Make", "Look up")


@pytest.fixture
def desk(tmp_path):
    """A folder with what the examples speak of."""

    def lay(name):
        shutil.copy(TABLES.get(name, RUNS), tmp_path / "runs.parquet")
        if name in ("figures", "report"):
            frame = sf.read_runs(RUNS).frame
            small = frame[(frame["series"] == "base") & (frame["params"] < 1e10) & (frame["step"] % 3 == 0)]
            sf.write_runs(sf.as_runs(small), tmp_path / "runs.parquet")
        shutil.copy(STUDY / "e04_grpo_token.parquet", tmp_path / "a.parquet")
        shutil.copy(STUDY / "e04_rloo_token.parquet", tmp_path / "b.parquet")
        shutil.copy(PAPER / "systems.csv", tmp_path / "scores.csv")
        shutil.copy(ROOT / "experiments" / "demo" / "config.toml", tmp_path / "experiment.toml")
        if name in ("export", "sample", "evaluate"):
            (tmp_path / "runs.parquet").unlink()
            (tmp_path / "tiny.toml").write_text(TINY)
            scalefit_process("run", "tiny.toml", cwd=tmp_path)
        if name == "predict":
            scalefit("fit", "runs.parquet", cwd=tmp_path)
        if name == "systems":
            scalefit("import-systems", "scores.csv", "--out", "systems.parquet", cwd=tmp_path)
        if name == "import":
            (tmp_path / "runs.parquet").unlink()
            rows = [{"step": at, "val-core/math/acc/mean@1": 0.1 * at, "num_tokens": 100 * at} for at in range(1, 6)]
            (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
        return tmp_path

    return lay


OF_FILES = {"card", "figures", "report", "import", "run", "export"}
"""Commands that make something; of the others the example is run below, with --json."""


@pytest.mark.parametrize("name", sorted(OF_FILES))
def test_the_example_of_a_command_runs(name, desk):
    folder = desk(name)
    words = shlex.split(EXAMPLES[name])
    found = scalefit(*words[1:], *(["--dry-run"] if name == "run" else []), cwd=folder)
    assert found.returncode == 0, found.stderr
    assert found.stdout


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - OF_FILES - {"paper"}))
def test_json_has_one_form(name, desk):
    """Held against the schema by `results`; what cannot be answered and why is told in the same place."""
    words = shlex.split(EXAMPLES[name])
    assert words[:2] == ["scalefit", name]
    found = scalefit(*words[1:], "--json", cwd=desk(name))
    entries = results(found)
    content = json.loads(found.stdout)
    assert content["command"] == name
    assert entries
    plain = name in ("check", "laws", "advantages", "crossval", "compare", "import-systems", "sample", "evaluate")
    assert (content["verdict"] is None) == plain
    assert plain or name == "systems" or entries[0]["headline"] in content["verdict"]


def test_the_schema_notices_another_form():
    from jsonschema import Draft202012Validator

    assert list(Draft202012Validator(OUTPUT).iter_errors([{"series": "base"}]))


def test_help_has_six_headings_and_every_command(tmp_path):
    said = scalefit("--help", cwd=tmp_path).stdout
    at = [said.index(f"─ {heading} ") for heading in HEADINGS]
    assert at == sorted(at)
    for name in COMMANDS:
        assert re.search(rf"│ {name} ", said)


def test_no_option_takes_a_place():
    """What has a default is given by name in Python too, so that a new option breaks nobody."""
    for name, command in COMMANDS.items():
        positional = [
            p for p in inspect.signature(command.callback).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
        ]
        assert len(positional) <= 6, name


def test_version(tmp_path):
    assert scalefit("--version", cwd=tmp_path).stdout == f"scalefit {sf.__version__}\n"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["fit", RUNS, "--law", "saturatin"], 2),
        (["fit", RUNS, "--noise", "ar2"], 2),
        (["fit", RUNS, "--weights", "heavy"], 2),
        (["fit", RUNS, "--where", "series=bas"], 2),
        (["fit", RUNS, "--lw", "power"], 2),
        (["crossval", RUNS, "--law", "averag"], 2),
        (["compare", RUNS, "--law", "powr"], 2),
        (["plan", RUNS, "--flops", "many"], 2),
        (["figurs", RUNS], 2),
        (["fit", "none.parquet"], 1),
        (["predict", "none.json", "--params", "7B"], 1),
        (["reuse", RUNS], 1),
    ],
)
def test_exit_codes_follow_one_rule(words, code, tmp_path):
    """2 where the words make no sense, 1 where a file or table is at fault or cannot answer."""
    found = scalefit(*words, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (code, "")
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("asked", ["laws", "--help", "fit --help"])
def test_a_reader_that_leaves_is_no_fault(asked, tmp_path):
    """As in `scalefit laws | head -1`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scalefit", *asked.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (0, b"")
    process.stderr.close()


def test_a_terminal_of_plain_characters(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    found = subprocess.run(
        [sys.executable, "-m", "scalefit", "fit", str(RUNS), "--where", "series=base", "--verbose"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=True,
    )
    assert b"R2 0.99" in found.stdout
    assert scalefit_process("laws", cwd=tmp_path).returncode == 0
