"""The report: its words are the commands', nothing is proposed unasked, every caveat is there; its size, contrast and tables."""

import html
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.plotting.page import VIRIDIS, Page, style
from scalefit.plotting.report import make_report
from scalefit.plotting.words import number
from scalefit.progress import listening
from scalefit.studies.overview import Asked, look_over
from tests.conftest import PAPER, ROOT, RUNS, scalefit

DATA = ROOT / "data"

pytestmark = pytest.mark.xdist_group("report")


def text_of(page):
    """Return what a page says: no script, no style, no mark."""
    page = re.sub(r"<(script|style)[^>]*>.*?</\1>", " ", page, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def last_fifth(rows):
    """The mean loss of a run over the last fifth of its prompts, straight over log X between evaluations, on a fine grid."""
    rows = rows[rows["samples"] > 0].sort_values("samples")
    x, end = np.log(rows["samples"].to_numpy()), np.log(rows["samples"].max())
    return float(np.interp(np.linspace(end + np.log(0.8), end, 20001), x, rows["loss"].to_numpy()).mean())


def first_screen(page):
    return text_of(page.partition("<nav")[0])


@pytest.fixture(scope="module")
def page(runs):
    return make_report(runs, source=RUNS)


@pytest.fixture(scope="module")
def asked(runs):
    return make_report(runs, params=[1e11], flops=2e19, where={"series": "base"})


def test_the_first_screen_answers_in_the_words_of_the_commands(page, runs):
    said = first_screen(page)
    assert (
        "7 sizes (500M to 72B) of base, instruct, one run each, evaluated on holdout: 14 runs, 1,444 evaluations."
        in said
    )
    for series in ("base", "instruct"):
        fit = sf.fit(runs, where={"series": series})
        end = float(fit.data.resource[0][fit.data.params == 7.2e10].max())
        told = fit.predict_size("72B", at=[end])
        ended = last_fifth(runs.frame[(runs.frame["series"] == series) & (runs.frame["params"] == 7.2e10)])
        assert f"72B {series} ended at loss {ended:.3f} on holdout after {end / 1e3:.1f}k prompts: " in said
        assert f"{100 * (1 - ended):.0f} of 100 solved at the first try" in said
        row = told.curve[0]
        there = fit.predict_size("72B", at=[end * 0.8**0.5]).curve[0]  # a line's mean over the last fifth, in log X
        assert f"another run of it would end at {there['run_low']:.3f} to {there['run_high']:.3f} (95 %)" in said
        assert "fitted on" not in said
        assert f"{told.headline}." in text_of(page)
        assert f"72B, by {told.rests_on}" in text_of(page)
        assert all(f"{row[f'{band}low']:.3f} to {row[f'{band}high']:.3f}" in said for band in ("", "run_", "eval_"))
    assert "Doubling the run of 72B (base-72B) is worth" in said
    assert said.count("Trust: thin.") == 2
    assert said.count("held-out sizes: well supported") == 2
    assert "One run a size" in said or "one run a size" in said


def test_what_was_measured_is_said_before_a_law_that_misses_it():
    """Five runs of the largest size: their mean and the ends of their range by hand, where the law has .52 and says not to use it."""
    frame = sf.read_runs(DATA / "study" / "e07_start.parquet").frame
    top = frame[frame["params"] == frame["params"].max()]
    ends = sorted(last_fifth(rows) for _, rows in top.groupby("run_id", observed=True))
    said = first_screen(make_report(frame))
    assert f"997k base ended at loss {np.mean(ends):.3f} on walk after 12.8k prompts: " in said
    assert f"the mean of 5 runs from {ends[0]:.3f} to {ends[-1]:.3f}." in said
    assert said.index("ended at loss") < said.index("By the law") < said.index("Trust: do not use.")


def test_measured_ends_are_of_reruns_that_came_as_far():
    """Two of five runs of the largest size stop early and are left out of the mean; arms of several G have no end in common."""
    frame = sf.read_runs(DATA / "study" / "e07_start.parquet").frame
    top = frame[frame["params"] == frame["params"].max()]
    names = sorted(top["run_id"].unique())
    short = frame["run_id"].isin(names[:2]) & (frame["samples"] > 1000)
    ends = [last_fifth(rows) for name, rows in top.groupby("run_id", observed=True) if name in names[2:]]
    said = first_screen(make_report(frame[~short]))
    assert f"997k base ended at loss {np.mean(ends):.3f} on walk after 12.8k prompts: " in said
    assert f"the mean of the 3 of 5 runs that came as far, from {min(ends):.3f} to {max(ends):.3f}." in said
    arms = frame.assign(group_size=frame["seed"] + 4)
    assert "ended at loss" not in first_screen(make_report(arms))


def test_a_size_below_the_smallest_is_in_the_trust():
    said = first_screen(make_report(sf.read_runs(DATA / "study" / "e07_start.parquet"), params=[1e4]))
    assert "10k base is expected at loss" in said
    assert "reach: thin" in said


def test_sizes_asked_for_are_predicted_beside_what_was_measured(asked, runs):
    told = sf.fit(runs, where={"series": "base"}).predict_size("100B", at=[53760])
    said = first_screen(asked)
    assert "72B base ended at loss " in said
    assert f"100B base is expected at loss {told.curve[0]['loss']:.3f} on holdout after " in said


def test_runs_too_short_for_an_end_level_are_told_by_their_law(runs):
    few = runs.frame[(runs.frame["series"] == "base") & (runs.frame["step"] % 25 == 0)]
    short = few[(few["params"] < 7.2e10) | (few["step"] <= 75)]
    said = first_screen(make_report(short))
    assert "72B base is expected at loss " in said
    assert "72B base ended" not in said


def test_a_plan_and_a_design_are_those_of_the_commands(asked, runs):
    base = {"series": "base"}
    sizes = [*sf.fit(runs, where=base).data.sizes.tolist(), 1e11]
    plan = sf.plan(runs, flops=2e19, sizes=sizes, where=base)[0]
    design = sf.design(runs, 2e19, 1e11, where=base)[0]
    said = first_screen(asked)
    assert plan.headline in said
    assert design.headline in said
    assert "beyond every held-out test" in said
    assert all(line[1:] in text_of(asked) for line in plan.crossing_lines)


def test_what_was_asked_and_cannot_be_answered_is_said_first(runs):
    """A budget far outside, and a size for which there are too few others."""
    few = runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] < 4e9)]
    said = first_screen(make_report(few, params=[7e9], flops=1e26))
    assert "Nothing supports an answer beyond 30 times" in said
    assert "Predicting 7B: " in said
    assert "predicting an unseen size needs 4" in said


def test_nothing_is_proposed_that_was_not_asked(page):
    said = text_of(page)
    assert "To predict" not in said
    assert "144B" not in said
    assert "100B" not in re.sub(r"Budget explorer.*?chance that it is best of these", "", said)


@pytest.mark.parametrize(
    "name", ["paper/runs.parquet", "paper/reuse.parquet", "study/e03.parquet", "study/e04_grpo_token.parquet"]
)
def test_every_caveat_that_a_command_prints_is_on_the_page(name):
    runs = sf.read_runs(DATA / name)
    found = look_over(runs, Asked())
    said = text_of(make_report(runs))
    answers = [part.fitted for part in found.parts] + [end for part in found.parts for end in part.ends]
    answers += [one for part in found.parts for one in (part.plan, part.forecast) if one is not None]
    answers += [*(found.reuse or ()), *(found.rollouts or ())]
    warnings = [re.sub(r"\s+", " ", text) for one in answers for text in one.warnings]
    warnings += [str(fault) for fault in runs.warnings]
    assert warnings
    assert [text for text in warnings if text not in said] == []


def test_a_crossover_outside_what_was_measured_says_so():
    """As the command has it; the report used to list it bare."""
    from dataclasses import replace

    plan = sf.plan(RUNS, flops=2e19, where={"series": "base"})[0]
    row = {
        "smaller": 7e9,
        "larger": 1.4e10,
        "settled": True,
        "measured": False,
        "flops": 1e18,
        "low": 5e17,
        "high": 2e18,
    }
    lines = replace(plan, crossovers=[row]).crossing_lines
    assert lines == ["14B overtakes 7B at 1e18 FLOPs (95 % 5e17 to 2e18, outside what both were measured at)"]
    assert lines[0] in replace(plan, crossovers=[row]).summary()


def test_the_page_is_small_and_asks_nobody(page, asked):
    for one in (page, asked):
        assert len(one.encode()) < 2e6
        assert not re.search(r'(src|href)="(?!#|data:)', one)
        assert "http://" not in re.sub(r"<script>.*?</script>", "", one, flags=re.S)


def test_the_same_fit_is_made_once(runs, monkeypatch):
    """One table asks for the same fits again and again: the default prediction once a series, and that of the frontier."""
    from scalefit.prediction import ensemble
    from scalefit.studies import budget, frontier, overview

    asked = []
    inner = ensemble.average_offsets.__wrapped__

    def counted(data, forms=None, *, anchor_points=0):
        asked.append((data.digest(), data.resources, None if forms is None else len(forms)))
        return inner(data, forms, anchor_points=anchor_points)

    counted.__qualname__ = "average_offsets"
    from scalefit.fitting.once import once

    for place in (budget, frontier, overview):
        monkeypatch.setattr(place, "average_offsets", once(counted))
    look_over(runs, Asked(where={"series": "base"}))
    assert len(asked) == len(set(asked)) == 2


def test_it_says_how_far_it_is(runs):
    said = []
    with listening(lambda done, what: said.append((round(done, 3), what))):
        make_report(runs, where={"params": [5e8, 1.5e9]})
    shares = [done for done, _ in said]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {"base", "instruct", "Reuse of prompts"} <= {what.partition(" on ")[0] for _, what in said}


def test_it_needs_no_library_of_pictures():
    code = "import sys, scalefit.plotting.report; print(sorted({'matplotlib', 'seaborn', 'plotly', 'torch'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_contents_name_every_question_and_methods_come_last(page):
    names = dict(re.findall(r'<li><a href="#(q\d+)">([^<]+)</a>', page))
    heads = dict(re.findall(r'<h2 id="(q\d+)">([^<]+)</h2>', page))
    assert names == heads
    assert list(heads.values())[-1] == "How was this made?"
    assert all(one.endswith("?") for one in heads.values())
    assert page.index("<nav") < page.index('id="q1"')
    levels = [int(level) for level in re.findall(r"<h([1-4])", page)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_tables_have_heads_with_scope_and_words_for_columns(page):
    heads = re.findall(r"<th( [^>]*)?>", page)
    assert heads
    assert all("scope=" in one for one in heads)
    words = re.findall(r'<th scope="col">([^<]*)</th>', page)
    assert not [one for one in words if "_" in one or one in ("params", "flops", "low", "high")]
    assert "model size [parameters]" in words


def test_pictures_say_in_words_what_they_show(page):
    said = re.findall(r'data-alt="([^"]*)"', page)
    assert len(said) == page.count("data-chart=")
    assert len(set(said)) == len(said)
    assert all(re.search(r"\d", one) and len(one) > 30 for one in said)
    assert any("72B from 0." in one for one in said)


def test_flops_are_powers_of_ten_and_never_trillions():
    said = text_of(make_report(DATA / "study" / "e04_grpo_token.parquet"))
    assert not re.search(r"\d(\.\d+)?T\b", said)
    assert re.search(r"\de1[0-9]\b", said)
    assert number(1.234e12, "flops") == "1.23e12"
    assert number(7e9, "params") == "7B"
    assert number(1e18, "flops_generation") == "1e18"
    assert number(4e-8, "run_low") == number(4e-8, "low95") == "0.000"


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_contrast_is_enough(theme):
    """WCAG 2.2 AA: 4.5 for text, 3 for what has to be seen of a picture."""
    blocks = re.findall(r":root \{(.*?)\}", style(), flags=re.S)
    assert len(blocks) == 3
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6})", blocks[("light", "dark", "print").index(theme)]))
    full = {name: one if len(one) == 7 else "#" + "".join(2 * c for c in one[1:]) for name, one in colours.items()}
    for ground in ("ground", "panel"):
        for name in ("ink", "soft", "link", "well", "thin", "not"):
            assert contrast(full[name], full[ground]) >= 4.5, (name, ground)
    sizes = [full[f"s{at}"] for at in range(9)]
    assert all(contrast(one, full["ground"]) >= 3 for one in sizes)
    assert len(set(sizes)) == 9


def test_colours_are_those_of_viridis():
    matplotlib = pytest.importorskip("matplotlib")
    ends = [matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](at / 9)) for at in range(10)]
    assert all(contrast(one, other) < 1.15 for one, other in zip(VIRIDIS, ends, strict=True))


def test_nothing_of_a_table_becomes_part_of_the_page(runs):
    """Names of series and runs are data, whatever is in them."""
    evil = '<script>alert("x")</script>'
    frame = runs.frame[runs.frame["run_id"] == "base-7B"].assign(series=evil, run_id=evil)
    page = make_report(frame)
    assert "<script>alert" not in page
    assert html.escape(evil) in page
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, flags=re.S):
        json.loads(block)


def test_it_holds_the_checklist_and_the_numbers(page, runs):
    """What the (Mis)Fitting checklist asks for, and the estimates that the fit itself gives."""
    for word in (
        "Hypothesis",
        "Data points",
        "Selection",
        "Loss of the fit",
        "Optimiser",
        "Seeds",
        "Versions",
        "SHA-256",
    ):
        assert word in page
    k = sf.fit(runs, x="samples", where={"series": "base"}).params["k_max"]
    assert f"{k.value:.3f}" in page


def test_few_sizes_and_other_tables_are_told(tmp_path, runs):
    small = runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] < 4e9)]
    small.to_csv(tmp_path / "small.csv", index=False)
    found = scalefit("report", "small.csv", "--out", "small.html", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "none could be held out" in (tmp_path / "small.html").read_text()
    assert scalefit("report", RUNS, "--out", "report.txt", cwd=tmp_path).returncode == 2


def test_one_run_is_forecast(runs):
    said = first_screen(make_report(runs, where={"run_id": "base-7B"}))
    one = sf.forecast(sf.load_example("one_run"), "base-7B", until=2 * 53760)
    assert one.headline in said
    assert f"{100 * (1 - one.end['loss']):.0f} of 100 solved at the first try" in said
    assert f"{one.end['low95']:.3f} to {one.end['high95']:.3f}" in said
    assert "Trust: thin. Fewer than 3 other runs" in said


def test_one_size_is_reported_as_far_as_it_goes(tmp_path, runs):
    """The study of reuse: each series has one size, whose own line is fitted, and reuse is answered first."""
    page = make_report(PAPER / "reuse.parquet")
    said = first_screen(page)
    for answer in sf.study_reuse(PAPER / "reuse.parquet"):
        assert answer.headline in said
    assert "Which size for a budget: it needs prompts and FLOPs" in text_of(page)
    assert "The slope k(N)" not in page
    assert page.count('data-explorer="reuse"') == 2
    lone = runs.frame[(runs.frame["series"] == "instruct") & (runs.frame["params"] < 1e9)]
    mixed = pd.concat(
        [runs.frame[(runs.frame["series"] == "base") & (runs.frame["params"] > 1e10)], lone.assign(loss=0.9)]
    )
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    assert scalefit("report", "mixed.csv", "--out", "mixed.html", cwd=tmp_path).returncode == 0
    assert "instruct on holdout: " in text_of((tmp_path / "mixed.html").read_text()).partition("not say?")[2]


def test_rollouts_are_answered_with_their_explorer():
    page = make_report(DATA / "study" / "e03.parquet")
    for answer in sf.study_rollouts(DATA / "study" / "e03.parquet"):
        assert answer.headline in first_screen(page)
    assert page.count('data-explorer="rollouts"') == 1


def test_systems_have_a_report_too(tmp_path):
    found = scalefit("report", PAPER / "systems.csv", "--out", "systems.html", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    page = (tmp_path / "systems.html").read_text()
    ranked = sf.rank_systems(PAPER / "systems.csv")
    assert all(one.headline in text_of(page) for one in ranked)
    assert next(one.headline for one in ranked if one.benchmark == "all") in first_screen(page)
    assert "61 of 91 pairs" in first_screen(page)
    refused = scalefit("report", PAPER / "systems.csv", "--params", "100B", "--out", "systems.html", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--params" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_table_that_is_neither_is_told(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    found = scalefit("report", "other.csv", cwd=tmp_path)
    assert found.returncode == 1
    assert "Traceback" not in found.stderr


def test_intervals_are_one_cell_with_both_ends():
    page = Page()
    page.table(pd.DataFrame([{"params": 7e9, "loss": 0.5, "low": 0.4, "high": 0.6, "run_low": 0.3, "run_high": None}]))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page.pieces[0])
    assert cells == ["0.500", "0.400 to 0.600", ""]
    heads = re.findall(r'<th scope="col">([^<]*)</th>', html.unescape(page.pieces[0]))
    assert heads == ["model size [parameters]", "loss", "the law's mean curve, 95 %", "a new run, 95 %"]
