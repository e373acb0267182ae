"""Every command that has --out, onto everything that may lie there; and fits that do not replace another table's."""

import json
import os
import shutil
import stat
import subprocess
import sys
from io import StringIO

import pandas as pd
import pytest
from typer.testing import CliRunner

import scalefit as sf
from scalefit.cli.main import app
from scalefit.errors import ScalefitError
from scalefit.locks import locked
from tests.conftest import RUNS, Reader, make_device, scalefit_process


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A small table, a table of systems, a log of columns and an experiment."""
    folder = tmp_path_factory.mktemp("inputs")
    runs = sf.read_runs(RUNS)
    frame = runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] < 5e9) & (runs.frame["step"] % 10 == 0)]
    sf.write_runs(frame, folder / "small.csv", runs.metadata)
    rows = [
        (system, benchmark, 0.5 + 0.1 * at, 100) for at, system in enumerate("abc") for benchmark in ("math", "code")
    ]
    pd.DataFrame(rows, columns=["system", "benchmark", "score", "n"]).to_csv(folder / "systems.csv", index=False)
    size = "[[policy.sizes]]\nname = '7k'\nd_model = 16\nlayers = 2\nheads = 2\n"
    (folder / "tiny.toml").write_text(size)
    return folder


def frame_of(content):
    return pd.read_csv(StringIO(content.decode()), comment="#")


FILES = {
    "fit": (["fit", "small.csv"], "fit.json", lambda content: json.loads(content)["format"] == "scalefit-fit"),
    "report": (["report", "small.csv"], "page.html", lambda content: content.endswith(b"</html>")),
    "import-systems": (["import-systems", "systems.csv"], "table.csv", lambda content: len(frame_of(content)) == 6),
    "run": (["run", "tiny.toml"], "runs.parquet", None),
}
"""Commands that write a file, their usual name for it, and whether a stream has it whole; None: what cannot be streamed."""
FOLDERS = {"figures": ["figures", "small.csv"], "systems": ["systems", "systems.csv"]}
EVERY = {**{name: (words, file) for name, (words, file, _) in FILES.items()}}
EVERY |= {name: (words, "pictures") for name, words in FOLDERS.items()}


@pytest.fixture
def command(inputs, tmp_path, monkeypatch):
    """Call the command line in this process, in a folder with the inputs; return its exit code and all it said."""
    for path in inputs.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)

    def call(*words):
        found = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(found.exception, ScalefitError):
            return found.exception.exit_code, f"{found.output}{found.exception}"
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found.exit_code, found.output

    return call


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("through", ["itself", "a link"])
@pytest.mark.parametrize("kind", ["null", "full", "block"])
@pytest.mark.parametrize("name", EVERY)
def test_a_device_is_refused_and_stays(command, tmp_path, name, kind, through):
    words, usual = EVERY[name]
    node = tmp_path / ("node" if through == "a link" else usual)
    make_device(node, kind)
    if through == "a link":
        (tmp_path / usual).symlink_to(node)
    before, there = os.lstat(node), names(tmp_path)
    code, said = command(*words, "--out", usual)
    assert code in (1, 2)
    assert usual in said
    assert len(said.strip().splitlines()) == 1
    after = os.lstat(node)
    assert (after.st_mode, after.st_rdev, after.st_ino) == (before.st_mode, before.st_rdev, before.st_ino)
    assert names(tmp_path) == there


@pytest.mark.parametrize("name", EVERY)
def test_a_fifo_is_streamed_to_or_refused_and_stays(command, tmp_path, name):
    words, usual = EVERY[name]
    os.mkfifo(usual)
    with Reader(usual) as reader:
        code, said = command(*words, "--out", usual)
    whole = FILES[name][2] if name in FILES else None
    if reader.content:
        assert code == 0, said
        assert whole(reader.content)
    else:
        assert whole is None, said
        assert code in (1, 2)
    assert stat.S_ISFIFO(os.lstat(usual).st_mode)
    assert not [name for name in names(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("name", [name for name in EVERY if name != "run"])
def test_a_link_is_followed_and_stays(command, tmp_path, name):
    """A dangling one: its target is made. (`run` has a test of its own, as it takes longer.)"""
    words, usual = EVERY[name]
    (tmp_path / "far").mkdir()
    (tmp_path / usual).symlink_to("far/there")
    code, said = command(*words, "--out", usual)
    assert code == 0, said
    assert (tmp_path / usual).is_symlink()
    there = tmp_path / "far" / "there"
    assert os.path.lexists(there)
    assert not there.is_symlink()
    if name in FILES:
        assert FILES[name][2](there.read_bytes())
    else:
        assert names(tmp_path / "far")[0] == "there"
    assert not [path for path in names(tmp_path) if path.startswith(".")]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("out", ["folder", "none"])
def test_a_directory_and_a_missing_one_are_refused(command, tmp_path, name, out):
    words, usual = EVERY[name]
    place = tmp_path / "folder" if out == "none" else tmp_path / usual
    place.mkdir()
    there = names(tmp_path)
    code, said = command(*words, "--out", f"folder/none/{usual}" if out == "none" else usual)
    assert code in (1, 2)
    assert "no directory" in said if out == "none" else usual in said
    assert len(said.strip().splitlines()) == 1
    assert names(tmp_path) == there


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_are_made_and_files_refused(command, tmp_path, name):
    words, _ = EVERY[name]
    code, said = command(*words, "--out", "new/pictures")
    assert code == 0, said
    assert (tmp_path / "new" / "pictures").is_dir()
    (tmp_path / "file").write_text("mine")
    code, said = command(*words, "--out", "file")
    assert (code, (tmp_path / "file").read_text()) == (2, "mine")
    assert "a file; name a directory" in said


@pytest.mark.slow
def test_four_imports_at_once_each_add_their_run(inputs, tmp_path):
    """Each a process of its own, all waiting for one lock while it is held here, then let go together."""
    shutil.copy(inputs / "small.csv", tmp_path)
    text = "".join(
        json.dumps({"step": step, "data": {"val-core/gsm8k/acc/mean@1": 0.3 + 0.01 * step}}) + "\n"
        for step in (0, 10, 20)
    )
    facts = {"series": "base", "params": "7B", "prompts": "64", "group_size": "8", "eval_size": "100", "flops": "none"}
    everyone = []
    with locked(tmp_path / "runs.csv"):
        for at in range(4):
            (tmp_path / f"log{at}.jsonl").write_text(text)
            given = [word for fact in {**facts, "run_id": f"run{at}"}.items() for word in ("--set", "=".join(fact))]
            words = ["import", "verl", f"log{at}.jsonl", "--out", "runs.csv", "--add", *given]
            everyone.append(
                subprocess.Popen(
                    [sys.executable, "-m", "scalefit", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
                )
            )
        for process in everyone:
            said = process.stderr.readline()
            assert f"waiting for process {os.getpid()} on " in said, said + process.stderr.read()
    for process in everyone:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    found = sf.read_runs(tmp_path / "runs.csv").frame
    assert sorted(found["run_id"].unique()) == [f"run{at}" for at in range(4)]
    assert len(found) == 12
    assert not [path for path in names(tmp_path) if path.startswith(".")]


@pytest.mark.parametrize(
    "words",
    [["fit", "small.csv"], ["report", "small.csv"], ["import-systems", "systems.csv"]],
    ids=lambda words: words[0],
)
def test_stdout_is_the_file_alone(inputs, words):
    """What is said beside it goes to stderr, so that the file can be piped on."""
    found = scalefit_process(*words, "--out", "/dev/stdout", cwd=inputs)
    assert found.returncode == 0, found.stderr
    assert FILES[words[0]][2](found.stdout.encode())
    assert "/dev/stdout" in found.stderr


def test_a_full_stdout_is_told_without_a_traceback(inputs, small_disk):
    (small_disk / "ballast").write_bytes(b"x" * 599 * 1024)
    with open(small_disk / "out", "wb") as out:
        found = subprocess.run(
            [sys.executable, "-m", "scalefit", "advantages", "--json"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
            check=False,
        )
    assert found.returncode == 1
    assert "standard output: No space left on device" in found.stderr
    assert "Traceback" not in found.stderr
    assert "Exception ignored" not in found.stderr


@pytest.fixture
def other(tmp_path, command):
    """A fit of small.csv at fit.json, and another table of the same name elsewhere."""
    frame = pd.read_csv(tmp_path / "small.csv", comment="#")
    (tmp_path / "else").mkdir()
    frame[frame["params"] < 2e9].to_csv(tmp_path / "else" / "small.csv", index=False)
    assert command("fit", "small.csv")[0] == 0
    return frame


def test_the_same_table_replaces_its_fit(command, tmp_path, other):
    """By the same path with more rows, by another path with the same content; and from another folder."""
    first = json.loads((tmp_path / "fit.json").read_text())
    assert first["origin"]["path"] == "small.csv"
    pd.concat([other, other.assign(run_id=other["run_id"] + " again")]).to_csv(tmp_path / "small.csv", index=False)
    code, said = command("fit", "small.csv")
    assert code == 0, said
    grown = json.loads((tmp_path / "fit.json").read_text())
    assert grown["origin"]["sha256"] != first["origin"]["sha256"]
    shutil.copy(tmp_path / "small.csv", tmp_path / "copy.csv")
    assert command("fit", "copy.csv")[0] == 0
    assert json.loads((tmp_path / "fit.json").read_text())["origin"]["path"] == "copy.csv"
    os.chdir(tmp_path / "else")
    assert command("fit", tmp_path / "copy.csv", "--out", "../fit.json")[0] == 0
    os.chdir(tmp_path)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (None, "the fit of another table, small.csv"),
        ("my notes", "no fit"),
        ("[1, 2]", "no fit"),
        ("[" * 100_000, "no fit"),
        ('{"format": "else"}', "no fit"),
        (b"\xff\xfe", "no fit"),
        ('{"format": "scalefit-fit", "origin": {}}', "does not say of which table"),
        ('{"format": "scalefit-fit", "origin": 5}', "does not say of which table"),
    ],
)
def test_another_s_file_asks_for_force(command, tmp_path, other, there, words):
    path = tmp_path / "fit.json"
    if there is not None:
        path.write_bytes(there if isinstance(there, bytes) else there.encode())
    before = path.read_bytes()
    code, said = command("fit", "else/small.csv")
    assert code == 1
    assert words in said
    assert "--force" in said
    assert path.read_bytes() == before
    code, said = command("fit", "else/small.csv", "--force")
    assert code == 0, said
    assert json.loads(path.read_text())["origin"]["path"] == "else/small.csv"


def test_an_empty_file_is_no_loss(command, tmp_path):
    (tmp_path / "fit.json").touch()
    assert command("fit", "small.csv")[0] == 0
