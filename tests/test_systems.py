"""Tables of whole systems: intervals, ties, transfer, and every fault at once."""

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.errors import FitError, TableError, UsageError
from scalefit.numerics.intervals import holm
from scalefit.numerics.proportions import binomial_interval
from scalefit.studies.systems import kendall, rank_systems, study_transfer
from scalefit.table.systems import as_systems, read_systems, write_systems
from tests.conftest import PAPER, ROOT, results, scalefit

SYSTEMS = PAPER / "systems.csv"


def drawn(rates, n, rng, benchmarks=("one",)):
    rows = [
        {"system": f"s{at}", "benchmark": name, "score": rng.binomial(n, rate) / n, "n": n}
        for name in benchmarks
        for at, rate in enumerate(rates)
    ]
    return as_systems(pd.DataFrame(rows))


def test_intervals_are_the_exact_ones():
    """Against scipy's own."""
    from scipy.stats import binomtest

    for right, n in ((0, 10), (10, 10), (3, 17), (250, 500)):
        wanted = binomtest(right, n).proportion_ci(method="exact")
        assert [float(end[0]) for end in binomial_interval([right], [n])] == pytest.approx([wanted.low, wanted.high])


def test_equal_systems_are_told_apart_as_rarely_as_said():
    """400 tables of six equal systems: at most 8 % separate any pair (5 % allowed; false alarm .5 %)."""
    rng = np.random.default_rng(0)
    tables = rank_systems(drawn([0.7] * 6, 200, rng, [str(at) for at in range(400)]))[:400]
    wrong = sum(one.separated > 0 for one in tables)
    assert wrong / 400 <= 0.08


def test_ranges_hold_the_true_ranks():
    """200 tables of five systems, some close: all five ranges hold the true rank in at least 93 % (95 % asked)."""
    rng, held, told = np.random.default_rng(1), 0, 0
    rates = [0.9, 0.8, 0.78, 0.5, 0.3]
    for found in rank_systems(drawn(rates, 300, rng, [str(at) for at in range(200)]))[:200]:
        held += all(row["rank_low"] <= 1 + int(row["system"][1:]) <= row["rank_high"] for row in found.rows)
        told += found.separated
    assert held / 200 >= 0.93
    assert told / 200 > 8.5


def test_small_tables_by_hand():
    table = as_systems(pd.DataFrame({"system": ["a", "b"], "benchmark": "x", "score": [0.9, 0.1], "n": 100}))
    (found,) = rank_systems(table)
    assert [(row["system"], row["rank_low"], row["rank_high"]) for row in found.rows] == [("a", 1, 1), ("b", 2, 2)]
    assert found.headline == "x: a is best"
    few = as_systems(pd.DataFrame({"system": ["a", "b"], "benchmark": "x", "score": [1.0, 0.0], "n": 2}))
    assert rank_systems(few)[0].separated == 0


def test_holm_and_kendall_against_published_routines():
    from scipy.stats import kendalltau

    rng = np.random.default_rng(2)
    a, b = (rng.permutation(12).astype(float) for _ in "ab")
    assert kendall(a, b) == pytest.approx(kendalltau(a, b).statistic)
    # Holm 1979: .01, .02, .03 at 5 % of three: .05/3, .05/2, .05.
    assert list(holm(np.array([0.03, 0.01, 0.02]))) == [True, True, True]
    assert list(holm(np.array([0.06, 0.01, 0.026]))) == [False, True, False]


def test_transfer_holds_the_true_correlation():
    """100 tables of eight systems: the interval holds the true tau in at least 93 % (95 % asked)."""
    rng, held, settled = np.random.default_rng(3), 0, 0
    for _ in range(100):
        one = rng.uniform(0.1, 0.9, 8)
        two = np.clip(one + 0.15 * rng.standard_normal(8), 0.02, 0.98)
        rows = [
            {"system": str(at), "benchmark": name, "score": rng.binomial(400, rate) / 400, "n": 400}
            for name, rates in (("x", one), ("y", two))
            for at, rate in enumerate(rates)
        ]
        (found,) = study_transfer(as_systems(pd.DataFrame(rows)))
        held += found.low <= kendall(one, two) <= found.high
        settled += found.low > 0
    assert held >= 93
    assert settled > 40


def test_redrawn_scores_would_not_hold_it():
    """Why the interval counts pairs: of fourteen like systems on 40 problems, redrawing holds the true tau in under 60 %."""
    rng, held = np.random.default_rng(4), 0
    for _ in range(100):
        z = rng.standard_normal(14)
        other = 0.95 * z + np.sqrt(1 - 0.95**2) * rng.standard_normal(14)
        true = [1 / (1 + np.exp(-0.8 * one)) for one in (z, other)]
        seen = [rng.binomial(40, rate) / 40 for rate in true]
        drawn = [rng.binomial(40, rate, (200, 14)) / 40 for rate in seen]
        low, high = np.percentile([kendall(a, b) for a, b in zip(*drawn, strict=True)], [2.5, 97.5])
        held += low <= kendall(*true) <= high
    assert held < 60


def test_the_papers_models(tmp_path):
    """On AIME's 30 problems no two of fourteen models are told apart, on GSM8K's 1319 most are."""
    table = read_systems(SYSTEMS)
    rankings = {one.benchmark: one for one in rank_systems(table)}
    assert rankings["aime2024"].separated == 0
    assert rankings["gsm8k"].separated > 60
    assert rankings["gsm8k"].rows[-1]["system"] == "base-500M"
    (said,) = results(scalefit("systems", SYSTEMS, "--benchmark", "all", "--json", cwd=tmp_path))
    assert [one["benchmark"] for one in said["rankings"]] == ["all"]


@pytest.mark.slow
def test_the_papers_models_are_drawn(tmp_path):
    shown = scalefit("systems", SYSTEMS, "--source", "gsm8k", "--out", "pictures", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {
        f"{name}.{end}" for name in ("scores_by_params", "transfer") for end in ("png", "pdf", "json")
    }


def test_the_models_table_is_what_its_script_writes(tmp_path):
    import shutil
    import subprocess
    import sys

    for name in ("systems.py", "cross_domain.parquet"):
        shutil.copy(PAPER / name, tmp_path / name)
    subprocess.run([sys.executable, str(tmp_path / "systems.py")], check=True)
    assert (tmp_path / "systems.csv").read_text() == SYSTEMS.read_text()


def test_other_names_and_counts_are_read_and_written(tmp_path):
    frame = pd.DataFrame(
        {"framework": ["a", "b"], "dataset": "gsm8k", "correct": [30, 20], "total": [40, 40], "usd": [1.5, None]}
    )
    frame.to_csv(tmp_path / "mine.csv", index=False)
    done = scalefit("import-systems", "mine.csv", "--out", "systems.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = read_systems(tmp_path / "systems.parquet")
    assert list(table.frame["score"]) == [0.75, 0.5]
    assert table.frame["cost"].tolist()[0] == 1.5
    write_systems(table, tmp_path / "again.csv")
    pd.testing.assert_frame_equal(read_systems(tmp_path / "again.csv").frame, table.frame)
    assert scalefit("import-systems", "mine.csv", "--out", "systems.parquet", cwd=tmp_path).returncode == 2


def test_every_fault_at_once():
    bad = pd.DataFrame(
        {
            "system": ["a", "a", "b", ""],
            "benchmark": "x",
            "score": [87.5, 0.5, "high", -0.1],
            "n": [100, 100, 10.5, 0],
            "params": [1e9, 0, None, 1],
        }
    )
    with pytest.raises(TableError) as error:
        as_systems(bad)
    for said in (
        "divide by 100",
        "two rows for one benchmark",
        "not a number",
        "no number of problems",
        "not above 0",
        "no share",
        "is empty",
    ):
        assert said in str(error.value), said
    with pytest.raises(TableError, match="did you mean 'scores'"):
        as_systems(pd.DataFrame({"system": ["a"], "benchmark": ["x"], "scores": [1], "n": [1]}))


def test_questions_that_make_no_sense(tmp_path):
    table = read_systems(SYSTEMS)
    with pytest.raises(UsageError, match="did you mean 'gsm8k'"):
        rank_systems(table, "gsm8")
    with pytest.raises(UsageError, match="did you mean 'math500'"):
        study_transfer(table, "math")
    with pytest.raises(FitError, match="nothing to rank"):
        rank_systems(as_systems(pd.DataFrame({"system": ["a"], "benchmark": "x", "score": 1, "n": [5]})))
    missing = scalefit("systems", "nothing.csv", cwd=tmp_path)
    assert (missing.returncode, "no such file" in missing.stderr) == (1, True)
    assert sf.read_systems is read_systems


@pytest.mark.slow
def test_every_command_of_the_section_runs(tmp_path):
    """The first block of the page "Beyond one law", from the repository's root, pictures elsewhere."""
    section = (ROOT / "docs" / "beyond.md").read_text().partition("## ")[0]
    lines = [line[2:].partition("#")[0].split() for line in section.splitlines() if line.startswith("$ scalefit ")]
    assert len(lines) == 4
    for line in lines:
        words = [str(tmp_path / "pictures") if word == "pictures" else word for word in line[1:]]
        done = scalefit(*words, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        assert "nan" not in done.stdout.lower().replace("nano", "")
