"""What commands say first, what they keep for --verbose, and that completion and the version work."""

import os
import re
import subprocess
import sys

import pytest

import scalefit as sf
from scalefit.cli.main import GROUPS, app, make_app
from tests.conftest import ROOT, RUNS, results, scalefit

JARGON = ("log-likelihood", "RMSE", "R²", "aic", "held_out_rmse", "white_p", "told pairs", "its own data")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with a table and its fit."""
    folder = tmp_path_factory.mktemp("desk")
    runs = sf.read_runs(RUNS)
    sf.write_runs(runs.frame[runs.frame["series"] == "base"], folder / "runs.parquet", runs.metadata)
    assert scalefit("fit", "runs.parquet", cwd=folder).returncode == 0
    return folder


@pytest.mark.parametrize(
    ("asked", "first", "kept"),
    [
        (["predict", "--params", "100B"], "100B base is expected at loss", "error on sizes left out"),
        (["fit", "runs.parquet"], "base on holdout: saturating in samples", "log-likelihood"),
        (
            ["crossval", "runs.parquet", "--law", "saturating-linear"],
            "base on holdout: a size that is left out is missed by",
            "R² within",
        ),
        (
            ["compare", "runs.parquet", "--law", "saturating-linear", "--law", "power-k-linear"],
            "base on holdout: saturating-linear predicts sizes left out best",
            "AIC",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_sentence_first_and_details_when_they_are_asked_for(asked, first, kept, desk):
    short = scalefit(*asked, cwd=desk).stdout
    assert short.startswith(first)
    assert kept not in short
    assert [word for word in JARGON if word in short] == []
    long = scalefit(*asked, "--verbose", cwd=desk).stdout
    assert long.startswith(first)
    assert kept in long
    assert set(re.findall(r"\S+", short)) <= set(re.findall(r"\S+", long))


def test_the_sentence_of_crossval_is_its_numbers(desk):
    """By hand from the rows: the root of the mean square of errors, the worst size, and the share in the bands."""
    asked = ["crossval", "runs.parquet", "--law", "saturating-linear"]
    rows = [row for row in results(scalefit(*asked, "--json", cwd=desk)) if row["fold"] == "leave one out"]
    error = (sum(row["rmse"] ** 2 for row in rows) / len(rows)) ** 0.5
    worst = max(row["rmse"] for row in rows)
    nearest = (sum(row["rmse_nearest_size"] ** 2 for row in rows) / len(rows)) ** 0.5
    share = sum(row["cover95"] for row in rows) / len(rows)
    assert scalefit(*asked, cwd=desk).stdout.splitlines()[0] == (
        f"base on holdout: a size that is left out is missed by {error:.3f} in loss (72B by {worst:.3f}); taking the nearest "
        f"size instead misses it by {nearest:.3f}; {share:.0%} of its evaluations lie in the bands for 95 %"
    )


def test_reasons_are_said_once_for_all_the_pictures_that_they_keep(monkeypatch, tmp_path):
    from scalefit.plotting import gallery

    skipped = {**{f"law_{name}": "one size" for name in "abcde"}, "horizon": "no depth"}
    monkeypatch.setattr(gallery, "draw_gallery", lambda *given: gallery.Gallery([], skipped))
    said = scalefit("figures", RUNS, "--out", "pictures", cwd=tmp_path)
    assert said.stdout == "not drawn: law_a, law_b, law_c and 2 more: one size\nnot drawn: horizon: no depth\n"
    (one,) = results(scalefit("figures", RUNS, "--out", "pictures", "--json", cwd=tmp_path))
    assert one["skipped"] == skipped


def test_every_command_is_found_by_its_own_file_alone():
    """The table of names is that of the files: an app of one command has it, and the whole app has all in their order."""
    named = [name for names in GROUPS.values() for name in names]
    assert [command.name for command in app.registered_commands] == named
    for group, names in GROUPS.items():
        for name in names:
            assert [command.name for command in make_app(name).registered_commands] == list(names), group


def complete(shell, words, cwd):
    """Ask as a shell does when the Tab key is pressed after these words."""
    asked = {"_SCALEFIT_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        asked |= {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    else:
        asked |= {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    program = "import sys; sys.argv[0] = 'scalefit'; from scalefit.cli.main import run; run()"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **asked},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell, tmp_path):
    commands = complete(shell, "scalefit pre", tmp_path)
    assert "predict" in commands
    assert "report" not in commands
    options = complete(shell, "scalefit predict --par", tmp_path)
    assert "--params" in options
    assert "--loss" not in options


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_and_installed(shell, tmp_path):
    """Into a home of its own; the script calls the program by its name."""
    program = [sys.executable, "-c", "import sys; sys.argv[0] = 'scalefit'; from scalefit.cli.main import run; run()"]
    home = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown, made = (
        subprocess.run([*program, option, shell], env=home, capture_output=True, text=True, check=False)
        for option in ("--show-completion", "--install-completion")
    )
    assert shown.returncode == 0, shown.stderr
    assert "_SCALEFIT_COMPLETE" in shown.stdout
    assert made.returncode == 0, made.stderr
    assert any("scalefit" in path.name for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "asked",
    [
        ["check", "e03.parquet"],
        ["gate", "e04_grpo_token.parquet", "e04_rloo_token.parquet", "--scatter", "0.006", "--margin", "0.05"],
        ["horizon", "e06.parquet"],
        ["signs", "e08_long.parquet", "--x", "flops"],
        ["design", "e01.parquet", "--budget", "2e13", "--target", "1M", "--where", "series=base"],
    ],
    ids=lambda asked: asked[0],
)
def test_flops_are_powers_of_ten_and_never_have_a_suffix(asked):
    """No size or number of samples in these tables comes near a billion."""
    found = scalefit(*asked, cwd=ROOT / "data" / "study")
    assert found.returncode == 0, found.stderr
    assert re.search(r"\b\d(\.\d+)?e1\d\b", found.stdout)
    assert not re.search(r"\b\d[\d.]*[BT]\b|e\+", found.stdout)
