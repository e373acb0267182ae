"""The writer: where a name leads, what it refuses to replace, what it keeps, and what it says when it cannot write."""

import errno
import io
import json
import math
import os
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scalefit import output
from scalefit.errors import OutputError, TableError, UsageError
from scalefit.output import append_text, make_folder, write_file, write_json, write_text
from scalefit.places import check_folder, check_writable, find_place
from scalefit.table.io import check_table, write_runs
from tests.conftest import Reader, make_device

ROOT_USER = os.geteuid() == 0
NOBODY = 65534


@given(text=st.text(), hops=st.integers(0, 6), there=st.booleans())
@settings(max_examples=30)
def test_a_chain_of_links_is_written_at_its_end(text, hops, there):
    """Whether the end exists or the last link dangles; links stay links, and nothing else appears."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "far").mkdir()
        end = folder / "far" / "end.txt"
        if there:
            end.write_text("old")
        out = end
        for hop in range(hops):
            link = folder / f"link{hop}"
            link.symlink_to(os.path.relpath(out, folder) if hop % 2 else out)
            out = link
        assert write_text(out, text) == len(text.encode())
        assert end.read_bytes() == text.encode()
        assert not end.is_symlink()
        assert all((folder / f"link{hop}").is_symlink() for hop in range(hops))
        assert len(list(folder.iterdir())) == hops + 1
        assert [path.name for path in (folder / "far").iterdir()] == ["end.txt"]


def test_links_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OutputError, match="circle"):
        write_text(tmp_path / "a", "x")
    with pytest.raises(OutputError, match="circle"):
        write_text(tmp_path / "a" / "file", "x")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file/out.json", "a part of the path is a file"),
        ("none/out.json", "no directory"),
        ("x" * 256, "shorter name"),
        ("a\0b", "null"),
        (".", "a directory"),
        ("..", "a directory"),
    ],
)
def test_names_that_can_be_no_file(tmp_path, name, words):
    (tmp_path / "file").write_text("mine")
    for attempt in (check_writable, partial(write_text, text="x"), partial(append_text, text="x")):
        with pytest.raises(OutputError, match=words):
            attempt(tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_long_name_that_the_disk_takes_is_written(tmp_path):
    """The temporary file's name has to be shorter than the name it is made of."""
    write_text(tmp_path / ("x" * 255), "x")
    assert os.listdir(tmp_path) == ["x" * 255]


def special(kind, path):
    """Make something that is no regular file; return what stays of it."""
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            here = os.getcwd()
            os.chdir(path.parent)  # a socket's path is short
            made.bind(path.name)
            os.chdir(here)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        make_device(path, kind)
    return identity(path)


def identity(path):
    found = os.lstat(path)
    return found.st_mode, found.st_rdev, found.st_ino


@pytest.mark.parametrize("through", ["itself", "a link"])
@pytest.mark.parametrize("kind", ["null", "full", "block", "fifo", "socket", "directory"])
def test_what_is_no_file_is_never_replaced(tmp_path, kind, through):
    path = out = tmp_path / "node"
    before = special(kind, path)
    if through == "a link":
        out = tmp_path / "link"
        out.symlink_to(path)
    for attempt in (check_writable, partial(write_text, text="x"), partial(append_text, text="x")):
        with pytest.raises(OutputError, match=r"a (character device|block device|FIFO|socket|directory); name"):
            attempt(out)
    if kind in ("null", "full", "block", "socket"):
        with pytest.raises(OutputError, match="name a regular file"):
            write_text(out, "x", stream=True)
    if kind != "directory":
        with pytest.raises(UsageError, match="name a directory"):
            check_folder(out)
    assert identity(path) == before
    assert {entry.name for entry in tmp_path.iterdir()} <= {"node", "link"}


def test_a_fifo_takes_what_streams(tmp_path):
    """More than a pipe holds, whole, and the FIFO stays."""
    fifo, text = tmp_path / "pipe.txt", "0123456789" * 100_000
    os.mkfifo(fifo)
    with Reader(fifo) as reader:
        write_text(fifo, text, stream=True)
    assert reader.content.decode() == text
    assert stat.S_ISFIFO(os.lstat(fifo).st_mode)
    assert os.listdir(tmp_path) == ["pipe.txt"]


def test_a_fifo_that_nobody_reads_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "READER_SECONDS", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="nobody reads"):
        write_text(tmp_path / "pipe", "x", stream=True)


def test_a_reader_that_leaves_is_told(tmp_path):
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)

    def leave():
        with open(fifo, "rb") as file:
            file.read(1)

    reader = threading.Thread(target=leave)
    reader.start()
    with pytest.raises(OutputError, match="its reader left"):
        write_text(fifo, "x" * (1 << 22), stream=True)
    reader.join()


WRITE = "import sys; from scalefit.output import write_text; print('head'); write_text(sys.argv[1], 'body\\n', stream=True); print('tail')"

BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", "link"])
@pytest.mark.parametrize("kind", ["pipe", "file", "appended file"])
def test_stdout_is_written_to_and_not_replaced(tmp_path, name, kind):
    """In order with what is printed; a file that the shell has opened keeps its start where it is added to."""
    (tmp_path / "link").symlink_to("/dev/stdout")
    there = tmp_path / "there.txt"
    there.write_text("old\n")
    before = there.stat().st_ino
    run = partial(subprocess.run, [sys.executable, "-c", WRITE, name], cwd=tmp_path, env=BUFFERED, check=True)
    if kind == "pipe":
        assert run(stdout=subprocess.PIPE).stdout == b"head\nbody\ntail\n"
        return
    with open(there, "ab" if kind == "appended file" else "wb") as file:
        run(stdout=file)
    assert there.read_text() == ("old\n" if kind == "appended file" else "") + "head\nbody\ntail\n"
    assert there.stat().st_ino == before
    assert (tmp_path / "link").is_symlink()


def test_streams_that_are_not_there_or_not_for_writing(tmp_path):
    with pytest.raises(OutputError, match="an open stream; name a regular file"):
        write_text("/dev/stdout", "x")
    with pytest.raises(OutputError, match="/dev/fd/987"):
        write_text("/dev/fd/987", "x", stream=True)
    reading, writing = os.pipe()
    try:
        with pytest.raises(OutputError, match="not open for writing"):
            write_text(f"/dev/fd/{reading}", "x", stream=True)
    finally:
        os.close(reading)
        os.close(writing)


def test_another_process_s_stream_is_left_alone(tmp_path):
    """Its regular files are refused: a rename would take them from under it."""
    with open(tmp_path / "log", "wb") as log:
        child = subprocess.Popen(["sleep", "60"], stdout=log)
    try:
        with pytest.raises(OutputError, match="another process"):
            write_text(f"/proc/{child.pid}/fd/1", "x", stream=True)
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o755, 0o444])
def test_what_is_replaced_keeps_its_permissions(tmp_path, mode):
    if mode == 0o444 and not ROOT_USER:
        pytest.skip("only root may write what is read-only")
    path = tmp_path / "a.txt"
    path.write_text("old")
    if ROOT_USER:
        os.chown(path, 12345, 23456)
    path.chmod(mode)
    (tmp_path / "link").symlink_to(path)
    before = path.stat()
    write_text(tmp_path / "link", "new")
    after = path.stat()
    assert path.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_ino != before.st_ino  # replaced by a rename, not written over


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_a_new_file_follows_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "new", "x")
        made = os.umask(umask)
    finally:
        os.umask(before)
    assert made == umask
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o666 & ~umask


def as_nobody(attempt, path):
    """Return what an unprivileged process is told."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            attempt(path)
            said = "done"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def open_folder():
    """A folder that every user can enter."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.skipif(not ROOT_USER, reason="needs the right to become another user")
@pytest.mark.parametrize("attempt", [check_writable, partial(write_text, text="x"), partial(append_text, text="x")])
def test_where_one_may_not_write_is_told(open_folder, attempt):
    said = as_nobody(attempt, open_folder / "new.txt")
    assert said.startswith("OutputError")
    assert "new.txt: Permission denied; you may not write there" in said
    (open_folder / "free").mkdir()
    (open_folder / "free").chmod(0o777)
    mine = open_folder / "free" / "mine.txt"
    mine.write_text("mine")
    mine.chmod(0o644)
    assert "mine.txt: Permission denied" in as_nobody(attempt, mine)
    assert mine.read_text() == "mine"
    assert as_nobody(attempt, open_folder / "free" / "his.txt") == "done"
    assert {path.name for path in (open_folder / "free").iterdir()} <= {"mine.txt", "his.txt"}


@pytest.fixture
def read_only_disk(small_disk):
    (small_disk / "old.txt").write_text("old")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return small_disk


def test_a_disk_that_cannot_be_written_is_told(read_only_disk):
    for name in ("old.txt", "new.txt"):
        for attempt in (check_writable, partial(write_text, text="x")):
            with pytest.raises(OutputError, match=f"{name}: Read-only file system; name a place"):
                attempt(read_only_disk / name)
    with pytest.raises(OutputError, match="in it: Read-only file system"):
        check_folder(read_only_disk / "folder" / "in it")
    with pytest.raises(OutputError, match="folder: Read-only file system"):
        make_folder(read_only_disk / "folder")


def failing_library(path):
    """Fill a file as far as it goes and hide the reason, as torch does."""
    try:
        with open(path, "wb") as file:
            for _ in range(100):
                file.write(b"x" * (1 << 16))
    except OSError:
        raise RuntimeError("unexpected pos 64 vs 0") from None


FILLS = {
    "by Python": lambda path: Path(path).write_bytes(b"x" * (4 << 20)),
    "by a library that hides the reason": failing_library,
}


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS.keys())
def test_a_full_disk_names_the_path_and_leaves_the_old_file(small_disk, fill):
    path = small_disk / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match=r"a.bin: No space left on device; free some space") as caught:
        write_file(path, fill)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"old"
    assert os.listdir(small_disk) == ["a.bin"]


def test_a_log_on_a_full_disk_keeps_its_whole_lines(small_disk):
    log = small_disk / "log"
    append_text(log, "whole\n")
    with pytest.raises(OutputError, match="log: No space left"):
        append_text(log, "x" * (4 << 20))
    assert log.read_text() == "whole\n"
    append_text(log, "next\n")
    assert log.read_text() == "whole\nnext\n"


@pytest.mark.parametrize("fill", FILLS.values(), ids=FILLS.keys())
def test_a_limit_on_file_sizes_is_told(tmp_path, fill):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(OutputError, match=r"a.bin: File too large; .*ulimit -f"):
            write_file(tmp_path / "a.bin", fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_other_failures_pass_and_leave_nothing(tmp_path):
    """A fault of the content, or of a file that was read for it, is not told as one of the file being written."""
    (tmp_path / "a").write_text("old")

    def reads_another(path):
        Path(path).write_text("half")
        open("/nowhere/else").close()

    with pytest.raises(FileNotFoundError, match="/nowhere/else"):
        write_file(tmp_path / "a", reads_another)
    with pytest.raises(ZeroDivisionError):
        write_file(tmp_path / "a", lambda path: 1 / 0)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "a", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_the_name_given_picks_the_format_and_not_its_target(tmp_path):
    (tmp_path / "real.bin").write_text("")
    (tmp_path / "runs.csv").symlink_to("real.bin")
    place = find_place(tmp_path / "runs.csv")
    assert (place.name.suffix, place.target) == (".csv", tmp_path.resolve() / "real.bin")


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.jsonl", "pipe", "pipe.parquet", "pipe.txt"])
def test_tables_are_streamed_as_their_name_says(tmp_path, name):
    """Without an ending as CSV; Parquet, whose end says where its parts are, is refused."""
    fifo = tmp_path / name
    os.mkfifo(fifo)
    columns = {"run_id": "a", "series": "base", "params": 1e9, "step": [0, 1], "samples": [0.0, 8.0]}
    frame = pd.DataFrame({**columns, "eval": "held-out", "loss": [0.9, 0.8]})
    if name in ("pipe.parquet", "pipe.txt"):
        for attempt in (check_table, partial(write_runs, frame)):
            with pytest.raises((OutputError, TableError), match=r"a FIFO; name a regular file|unknown ending '.txt'"):
                attempt(fifo)
        return
    assert check_table(fifo).streams
    with Reader(fifo) as reader:
        write_runs(frame, fifo)
    text = io.StringIO(reader.content.decode())
    found = pd.read_json(text, lines=True) if name == "pipe.jsonl" else pd.read_csv(text, comment="#")
    assert found["loss"].tolist() == [0.9, 0.8]
    assert len(found) == 2


def test_folders_are_made_where_a_link_leads(tmp_path):
    (tmp_path / "pictures").symlink_to("far/away")
    check_folder(tmp_path / "pictures")
    assert not (tmp_path / "far").exists()
    make_folder(tmp_path / "pictures")
    assert (tmp_path / "far" / "away").is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="a part of the path is a file"):
        check_folder(tmp_path / "file" / "below")
    with pytest.raises(OutputError, match="name a directory"):
        make_folder(tmp_path / "file")


@given(st.recursive(st.floats() | st.text() | st.integers() | st.none(), st.lists, max_leaves=8))
@example(["[ "])
@example(["a [", " ] b"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_json_is_strict_and_comes_back(tmp_path, value):
    write_json(tmp_path / "a.json", value)

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    def finite(one):
        if isinstance(one, list):
            return [finite(each) for each in one]
        return None if isinstance(one, float) and not math.isfinite(one) else one

    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert found == finite(value)
