"""Damage every kind of file that a command reads, and watch: a traceback, a hang, a NaN in the answer or a file left is a failure.

`python -m tests.fuzz --cases 5000` (or `make fuzz`) runs them in this process and prints how to repeat each that failed:
`python -m tests.fuzz --seed SEED --only CASE`. To add a kind, add a function to `KINDS`.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from tests.fuzz_damage import damage_bytes, damage_csv, damage_json, damage_table, damage_toml
from tests.fuzz_inputs import CONFIG, FACTS, MAP, MELT, as_parquet, fit_file, frame, log_table, logs, wide_table

LIMIT = 20.0
"""Seconds after which a command hangs."""
_NOT_FINITE = re.compile(r"(?<![\w'\"/.-])-?(?:nan|inf)(?![\w'\"/.-])")


@dataclass(frozen=True)
class Case:
    """Files by name, and the command that reads them."""

    kind: str
    files: dict[str, bytes]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A case that went wrong: how to repeat it, and how it went wrong."""

    seed: int
    number: int
    case: Case
    what: str

    def __str__(self) -> str:
        repeat = f"python -m tests.fuzz --seed {self.seed} --only {self.number}"
        return f"{self.case.kind}: scalefit {' '.join(self.case.command)}\n    {self.what}\n    again: {repeat}"


# Kinds: each makes a case from a random generator.

_OF_RUNS = (
    *((("check",), ("check", "--json")) * 6),
    ("fit",),
    ("fit", "--json", "--noise", "independent"),
    ("fit", "--where", "series=base", "--x", "flops"),
    ("plan", "--flops", "1e18"),
    ("plan", "--loss", "0.4", "--json"),
    ("compare", "--law", "saturating", "--law", "power"),
    ("forecast", "--run", "base-7e+09"),
    ("forecast", "--run", "base-5e+08", "--json"),
    ("design", "--budget", "1e19", "--target", "72B"),
    ("reuse",),
    ("rollouts", "--json"),
    ("joint", "--json"),
    ("clocks",),
    ("horizon",),
    ("sharpening",),
    ("offsets",),
    ("level", "--json"),
    ("crossval", "--mode", "prefix", "--law", "saturating"),
)


def _of_runs(name: str, raw: bytes, rng: random.Random) -> Case:
    first, *rest = rng.choice(_OF_RUNS)
    return Case(f"runs{Path(name).suffix}", {name: raw}, (first, name, *rest))


def case_parquet(rng: random.Random) -> Case:
    raw = damage_table(frame(), rng) if rng.random() < 0.6 else damage_bytes(as_parquet(frame()), rng)
    return _of_runs("t.parquet", raw, rng)


def case_csv(rng: random.Random) -> Case:
    raw = frame().to_csv(index=False).encode()
    raw = damage_csv(raw, rng) if rng.random() < 0.7 else damage_bytes(raw, rng)
    name = rng.choice(("t.csv", "t.csv", "t.tsv", "t.csv.gz"))
    if name.endswith("gz"):
        raw = gzip.compress(raw)
        raw = damage_bytes(raw, rng) if rng.random() < 0.3 else raw
    return _of_runs(name, raw, rng)


def case_jsonl(rng: random.Random) -> Case:
    lines = rng.random() < 0.7
    raw = frame().to_json(orient="records", lines=lines).encode()
    raw = damage_json(raw, rng) if rng.random() < 0.7 else damage_bytes(raw, rng)
    return _of_runs("t.jsonl" if lines else "t.json", raw, rng)


def case_fit(rng: random.Random) -> Case:
    raw = damage_json(fit_file(), rng) if rng.random() < 0.8 else damage_bytes(fit_file(), rng)
    size = rng.choice(("7e9", "500M", "1e300", "100B"))
    more = rng.choice(((), ("--samples", "1000"), ("--loss", "0.4"), ("--json",), ("--where", "series=base")))
    return Case("fit", {"fit.json": raw}, ("predict", "fit.json", "--params", size, *more))


def case_map(rng: random.Random) -> Case:
    wide = rng.random() < 0.3
    table, map_raw = (wide_table(), MELT) if wide else (log_table(), MAP)
    name = rng.choice(("x.csv", "x.jsonl", "x.parquet"))
    raw = {
        "x.csv": lambda: table.to_csv(index=False).encode(),
        "x.jsonl": lambda: table.to_json(orient="records", lines=True).encode(),
        "x.parquet": lambda: as_parquet(table),
    }[name]()
    if rng.random() < 0.6:
        map_raw = damage_toml(map_raw, rng) if rng.random() < 0.9 else damage_bytes(map_raw, rng)
    if rng.random() < 0.5:
        raw = {"x.csv": damage_csv, "x.jsonl": damage_json, "x.parquet": lambda _, chance: damage_table(table, chance)}[
            name
        ](raw, rng)
    return Case(
        "map", {name: raw, "m.toml": map_raw}, ("import", "columns", name, "--map", "m.toml", "--out", "o.parquet")
    )


def case_config(rng: random.Random) -> Case:
    raw = damage_toml(CONFIG, rng) if rng.random() < 0.85 else damage_bytes(CONFIG, rng)
    return Case("config", {"c.toml": raw}, ("run", "c.toml", "--dry-run"))


def case_systems(rng: random.Random) -> Case:
    table = pd.DataFrame(
        {"system": list("abc"), "benchmark": "m", "score": [0.5, 0.6, 0.9], "n": 100, "cost": [1, 2, 3.0]}
    )
    raw = damage_csv(table.to_csv(index=False).encode(), rng)
    command = rng.choice((("systems", "s.csv"), ("import-systems", "s.csv", "--out", "o.csv")))
    return Case("systems", {"s.csv": raw}, command)


_LOGS = {
    "verl.jsonl": ("verl", damage_json),
    "console.log": ("verl", damage_bytes),
    "trainer_state.json": ("trl", damage_json),
    "wandb.csv": ("wandb", damage_csv),
    "wandb.jsonl": ("wandb", damage_json),
    "run.wandb": ("wandb", damage_bytes),
    "events.out.tfevents.1.vm.1.0": ("tensorboard", damage_bytes),
}


def case_log(rng: random.Random) -> Case:
    name = rng.choice(sorted(logs()))
    kind, damage = _LOGS.get(name) or (None, damage_bytes)
    if ".json" in name and kind is None and not name.endswith(".gz"):
        damage = damage_json
    raw = (damage if rng.random() < 0.8 else damage_bytes)(logs()[name], rng)
    if name == "console.log" and rng.random() < 0.5:
        number = rng.choice((".", "1.2.3", "1" * 5000, "np.float64(nan)", "tensor(0.4)", "-", "1e999", "0x1f", "+-3"))
        raw = re.sub(rb":0\.\d+", lambda found: b":" + number.encode() if rng.random() < 0.2 else found[0], raw)
    metric = ("--metric", "zz") if rng.random() < 0.1 else ()
    return Case(name, {name: raw}, ("import", *filter(None, [kind]), name, "--out", "o.parquet", *FACTS, *metric))


@cache
def formats() -> dict[str, tuple[str, dict[str, bytes]]]:
    """Whole logs of every format that is read, as the tests of reading them make them: what to name, and its files."""
    from tests.test_logs import FORMATS

    found = {}
    for name, (make, _) in FORMATS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = make(Path(folder))
            if path == Path(folder):  # Event files are called after the process; `logs` has some that are not.
                continue
            files = {str(at.relative_to(folder)): at.read_bytes() for at in Path(folder).rglob("*") if at.is_file()}
            found[name] = str(Path(path).relative_to(folder)), files
    return found


def case_format(rng: random.Random) -> Case:
    name = rng.choice(sorted(formats()))
    path, files = formats()[name]
    files = dict(files)
    hurt = rng.choice(sorted(files))
    suffix = Path(hurt).suffix
    damage = {".jsonl": damage_json, ".json": damage_json, ".csv": damage_csv}.get(suffix, damage_bytes)
    files[hurt] = (damage if rng.random() < 0.7 else damage_bytes)(files[hurt], rng)
    command = ("import", path or ".", "--out", "o.parquet", *FACTS)
    if rng.random() < 0.3:
        text = f'paths = ["{path}"]\npattern = "{{series}}"\n[common]\nparams = "7B"\nprompts = 64\nflops = "none"\n'
        files["runs.toml"] = damage_toml(text.encode(), rng)
        command = ("import", "runs.toml", "--out", "o.parquet", *FACTS)
    return Case(f"format {name}", files, command)


KINDS: tuple[Callable[[random.Random], Case], ...] = (
    case_parquet, case_csv, case_jsonl, case_fit, case_fit, case_map, case_map, case_config, case_systems, case_log, case_format, case_format,
)  # fmt: skip


def make_case(seed: int, number: int) -> Case:
    """Return a case; the same for the same seed and number."""
    rng = random.Random(f"{seed}-{number}")
    return KINDS[number % len(KINDS)](rng)


# Running.


class Hang(BaseException):
    """A command ran longer than it may; no library on the way takes this for its own."""


def _hang(number: int, stack: object) -> None:
    raise Hang


def run_case(case: Case, folder: Path) -> str | None:
    """Run a case's command in a folder that holds its files; return what went wrong."""
    for name, raw in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    before = {str(path) for path in folder.rglob("*")}
    code, out, err = run_here(case.command, folder)
    if isinstance(code, BaseException):
        if isinstance(code, Hang):
            return f"ran longer than {LIMIT:g} s"
        last = traceback.extract_tb(code.__traceback__)[-1]
        ours = [at for at in traceback.extract_tb(code.__traceback__) if "/scalefit/" in at.filename]
        at = ours[-1] if ours else last
        return f"{type(code).__name__}: {str(code)[:120]!r} in {Path(at.filename).name}:{at.lineno}"
    if "Traceback" in err:
        return f"a traceback on stderr: {err.strip().splitlines()[-1][:120]!r}"
    if code not in (0, 1, 2):
        return f"exit code {code}"
    left = sorted({str(path) for path in folder.rglob("*")} - before)
    if code and left:
        return f"exit code {code}, and left {', '.join(left)}"
    if code and not err.strip():
        return f"exit code {code} without a reason"
    found = _NOT_FINITE.search(out) if code == 0 else None
    return f"printed {found[0]} in {out[max(found.start() - 60, 0) : found.end() + 20]!r}" if found else None


def run_here(command: tuple[str, ...], folder: Path) -> tuple[int | BaseException, str, str]:
    """Run the command line in this process; return its exit code or what it raised, stdout and stderr."""
    from scalefit.cli.main import run

    out, err = io.StringIO(), io.StringIO()
    where, arguments = os.getcwd(), sys.argv
    handlers = {number: signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT)}
    signal.signal(signal.SIGALRM, _hang)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    code: int | BaseException = 0
    try:
        os.chdir(folder)
        sys.argv = ["scalefit", *command]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except (Exception, Hang) as error:
        code = error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.chdir(where)
        sys.argv = arguments
    return code, out.getvalue(), err.getvalue()


def fuzz(seed: int, numbers: range, told: Callable[[int], None] = lambda done: None) -> list[Failure]:
    """Run cases; return those that failed."""
    failures = []
    for number in numbers:
        case = make_case(seed, number)
        with tempfile.TemporaryDirectory() as folder:
            if (what := run_case(case, Path(folder))) is not None:
                failures.append(Failure(seed, number, case, what))
        told(number + 1)
    return failures


def main() -> None:
    """Run many cases, or one again whose files are then kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone and keep its files")
    arguments = parser.parse_args()
    if arguments.only is not None:
        case, folder = make_case(arguments.seed, arguments.only), Path(tempfile.mkdtemp(prefix="fuzz-"))
        print(run_case(case, folder) or "passed", f"\nfiles in {folder}: scalefit {' '.join(case.command)}")
        return
    begin = time.monotonic()

    def told(done: int) -> None:
        if done % 500 == 0:
            print(f"{done} of {arguments.cases} cases, {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)

    failures = fuzz(arguments.seed, range(arguments.cases), told)
    for failure in failures:
        print(failure)
    print(f"{arguments.cases} cases of seed {arguments.seed}: {len(failures)} failed; {time.monotonic() - begin:.0f} s")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
