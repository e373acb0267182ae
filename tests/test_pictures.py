"""Every result has a picture, and drawing changes nothing for whoever draws beside it."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import scalefit as sf
from scalefit.answer import Answer
from scalefit.errors import ScalefitError
from scalefit.plotting.gallery import draw_gallery, draw_systems
from scalefit.plotting.law import draw_slopes
from scalefit.plotting.pictures import PICTURES
from scalefit.plotting.style import new_figure
from scalefit.prediction.holdouts import slopes
from scalefit.studies.replay import Replay, weigh_rule
from scalefit.table.prepare import prepare
from scalefit.units import parse_quantity
from tests.conftest import PAPER, ROOT, SIZES
from tests.test_passes import TRUTHS, simulated

BASE = {"series": "base"}
STUDY = ROOT / "data" / "study"
RUNS_THAT_ENDED = [
    Replay(
        "a",
        "e",
        np.arange(3),
        np.full(3, chance),
        np.full(3, 0.001),
        np.array([0.02, 0.01, 0.0]),
        np.array([0.6, 0.3, 0.1]),
    )
    for chance in (0.01, 0.15, 0.45)
]
RESULTS = {
    "SeriesFit": lambda runs: sf.fit(runs, where=BASE),
    "Prediction": lambda runs: sf.fit(runs, where=BASE).predict_size("100B"),
    "Forecast": lambda runs: sf.forecast(runs, "base-7B"),
    "Plan": lambda runs: sf.plan(runs, flops=2e19, where=BASE)[0],
    "Design": lambda runs: sf.design(runs, 1e21, 72e9, where=BASE)[0],
    "Reuse": lambda runs: sf.study_reuse(PAPER / "reuse.parquet", where=BASE)[0],
    "Passes": lambda runs: sf.study_reuse(simulated(TRUTHS["passes"], np.random.default_rng(0)))[-1],
    "Rollouts": lambda runs: sf.study_rollouts(STUDY / "e03.parquet")[0],
    "Joint": lambda runs: sf.study_joint(STUDY / "e03.parquet")[0],
    "Clocks": lambda runs: sf.study_clocks(STUDY / "e05_grpo.parquet", STUDY / "e05_fade.parquet")[0],
    "Comparison": lambda runs: sf.compare_recipes(STUDY / "e04_grpo_token.parquet", STUDY / "e04_rloo_token.parquet")[
        0
    ],
    "Gate": lambda runs: sf.gate(STUDY / "e04_grpo_token.parquet", STUDY / "e04_rloo_token.parquet")[0],
    "Signs": lambda runs: sf.find_signs(STUDY / "e04_grpo_token.parquet")[0],
    "Sharpening": lambda runs: sf.study_sharpening(STUDY / "e05_grpo.parquet")[0],
    "OffsetStudy": lambda runs: sf.study_offsets(STUDY / "e05_grpo.parquet")[0],
    "Level": lambda runs: sf.study_level(STUDY / "e01.parquet")[0],
    "Horizon": lambda runs: sf.study_horizon(STUDY / "e06.parquet")[0],
    "TradeOff": lambda runs: weigh_rule(RUNS_THAT_ENDED, tolerance=0.01, risk=0.2),
    "Transfer": lambda runs: sf.study_transfer(PAPER / "systems.csv")[0],
    "Resolution": lambda runs: sf.resolve_difference(0.02, 0.5, run_sd=0.005, pairing=0.5),
    "Ranking": lambda runs: sf.rank_systems(sf.read_systems(PAPER / "systems.csv"))[0],
}


def test_every_kind_of_result_is_drawn_here():
    assert {kind.__name__ for kind in PICTURES} == set(RESULTS)


@pytest.mark.parametrize("kind", RESULTS)
def test_a_result_shows_itself(kind, runs, monkeypatch):
    """A short repr, a frame, a summary that the command prints, a picture, a notebook view, and plain data."""
    found = RESULTS[kind](runs)
    assert type(found).__name__ == kind
    assert repr(found).startswith(f"<{kind} ")
    assert len(repr(found)) < 1200
    assert found.summary().startswith(found.headline[:20])
    assert len(found.frame)
    assert "<table" in found._repr_html_()
    assert "headline" in found.record()
    before = dict(mpl.rcParams)
    figure = found.plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before
    (axes,) = figure.axes
    assert axes.get_title(loc="left") or axes.get_title()
    assert len(axes.lines) + len(axes.patches) + len(axes.collections) > (kind == "Prediction")


OF_RUNS = {
    "fit": lambda source: sf.fit(source, "power", where=BASE),
    "cross_validate": lambda source: sf.cross_validate(source, "saturating-linear", "samples", where=BASE),
    "forecast": lambda source: sf.forecast(source, "base-7B"),
    "plan": lambda source: sf.plan(source, flops=2e19, where=BASE),
    "gate": lambda source: sf.gate(source, source, where={**BASE, "params": 7e9}),
    "find_signs": lambda source: sf.find_signs(source, where={**BASE, "params": 7e9}),
    "compare_recipes": lambda source: sf.compare_recipes(source, source, where={**BASE, "params": 7e9}),
    "compute_to_target": lambda source: sf.compute_to_target(source, target=0.3),
}


@pytest.mark.parametrize("name", OF_RUNS)
@pytest.mark.parametrize("form", ["path", "pandas", "arrow"])
def test_every_function_takes_every_form_of_a_table(name, form, runs):
    import pyarrow.parquet as pq

    path = PAPER / "runs.parquet"
    source = {"path": str(path), "pandas": runs.frame, "arrow": pq.read_table(path)}[form]
    found, wanted = OF_RUNS[name](source), OF_RUNS[name](runs)
    one, other = (each if hasattr(each, "columns") else each.frame for each in (found, wanted))
    pd.testing.assert_frame_equal(one, other)


def test_a_result_without_a_picture_says_so():
    class Plain(Answer):
        pass

    with pytest.raises(ScalefitError, match="no picture"):
        Plain().plot()


def test_several_answers_show_themselves(runs):
    several = sf.study_rollouts(STUDY / "e03.parquet")
    assert len(several.plot()) == len(several)
    assert several.frame["params"].nunique() == len({one.params for one in several})
    assert "<table" in several._repr_html_()


def test_the_interval_drawn_is_the_result_s(runs):
    found = RESULTS["Reuse"](runs)
    drawn = found.plot().axes[0].lines[0].get_xdata()
    np.testing.assert_allclose(drawn, [found.arms[0]["low"], found.arms[0]["high"]])


def test_importing_the_pictures_changes_no_setting():
    script = (
        "import matplotlib as mpl; before = dict(mpl.rcParams); "
        "import seaborn; settings = dict(mpl.rcParams); "
        "import scalefit.plotting.pictures, scalefit.plotting.gallery; "
        "changed = {k for k, v in settings.items() if mpl.rcParams._get(k) != v}; "
        "assert not changed, changed"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"MPLBACKEND": "svg", "PATH": ""})


def test_a_size_that_the_law_misses_is_hollow(runs):
    """Of the paper's base sizes all but the smallest are missed; of a table drawn from the law none is."""
    theta = {"k_max": 0.14, "N0": 1.2e10, "E0": 0.0, "x0": 1.2}
    drawn = sf.simulate(
        "saturating-affine", theta, params=SIZES, samples=np.geomspace(500, 5e4, 30), sigma=0.004, seed=3
    )
    for table, count in ((runs, 6), (drawn, 0)):
        (data, *_) = prepare(table, "samples", {"series": "base"} if table is runs else None)
        _figure, (axes,) = new_figure()
        draw_slopes(axes, slopes({"all sizes": data}), "")
        hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
        assert len(hollow) == count
        words = [text.get_text() for text in axes.get_legend().get_texts()]
        assert ("size that the law misses" in words) == (count > 0)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that a gallery makes, by the names of their files; nothing is written, and no title is cut in the end."""
    found = {}

    def keep(figure, path, numbers):
        found[path.name] = figure
        return [path.with_name(f"{path.name}.png")]

    monkeypatch.setattr("scalefit.plotting.gallery.save_figure", keep)
    yield found
    assert found
    for name, figure in found.items():
        figure.draw_without_rendering()
        for axes in figure.axes:
            for title in (axes.title, axes._left_title):
                box = title.get_window_extent()
                assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1, f"{name}: {title.get_text()}"


@pytest.mark.parametrize(
    ("middle", "said"), [(2000, "at 2k"), (1e6, "beyond the runs"), (1.0, "before the runs")], ids=lambda one: str(one)
)
def test_a_clock_says_where_half_of_the_gain_lies(drawn, tmp_path, monkeypatch, middle, said):
    x = np.geomspace(256, 8000, 20)
    curves = [{"params": size, "x": x, "share": np.full(20, 0.5)} for size in (1e3, 1e4, 1e5)]
    found = {
        "resource": "samples",
        "curves": curves,
        "line": {"x": x, "share": np.full(20, 0.5)},
        "X_mid": middle,
        "B": 1.25,
    }
    monkeypatch.setattr("scalefit.plotting.gallery.on_one_clock", lambda data: found)
    theta = {"k_max": 0.1, "N0": 1e4, "E": [0.0, 0.0, 0.0]}
    draw_gallery(sf.simulate("saturating", theta, params=[1e3, 1e4, 1e5], samples=x, sigma=0.01), tmp_path)
    (axes,) = drawn["clock_simulated_samples"].axes
    assert axes.get_title(loc="left") == f"All on one clock: half-way {said}, steepness 1.25"


def test_response_lengths_of_many_evaluations_are_one_picture_on_one_scale(drawn, tmp_path):
    gallery = draw_gallery(sf.read_runs(STUDY / "e06.parquet"), tmp_path)
    lengths = [name for name in drawn if name.startswith("response_length")]
    assert lengths == ["response_length_base"]
    panels = drawn["response_length_base"].axes
    assert len(panels) == 12  # three fragments at four depths
    assert len({axes.get_ylim() for axes in panels}) == 1
    for axes in panels:
        low, high = axes.get_ylim()
        assert all(low <= y <= high for line in axes.lines for y in line.get_ydata())
    assert len(gallery.skipped) > 50
    assert len(gallery.reasons) == 5
    assert sum(map(len, gallery.reasons.values())) == len(gallery.skipped)


def test_rollouts_are_drawn_by_compute_too_where_the_order_of_the_arms_turns(drawn, tmp_path):
    """At the samples where the shortest arm ends the largest group is best, at the FLOPs where it ends the smallest."""
    draw_gallery(sf.read_runs(STUDY / "e03.parquet"), tmp_path)
    by_samples, by_flops = drawn["group_size_base"].axes
    assert (by_samples.get_xlabel(), by_flops.get_xlabel()) == ("D [prompts]", "C [FLOPs]")
    assert all("e" in tick.get_text() for tick in by_flops.get_xticklabels())
    best = []
    for axes in (by_samples, by_flops):
        shared = min(line.get_xdata()[-1] for line in axes.lines)
        at_end = {line.get_label(): np.interp(shared, line.get_xdata(), line.get_ydata()) for line in axes.lines}
        best.append(min(at_end, key=at_end.get))
    assert best == ["G = 32", "G = 4"]


def test_reuse_is_drawn_smoothed_with_what_every_tau_costs(drawn, tmp_path):
    draw_gallery(sf.read_runs(PAPER / "reuse.parquet"), tmp_path, where=BASE)
    curves, cost = drawn["reuse_base"].axes
    assert "means of 15" in curves.get_title(loc="left")
    (found,) = sf.study_reuse(PAPER / "reuse.parquet", where=BASE)
    assert [tick.get_text() for tick in cost.get_yticklabels()] == [f"τ = {arm['tau']:g}" for arm in found.arms]
    np.testing.assert_allclose(cost.lines[0].get_xdata(), [found.arms[0]["low"], found.arms[0]["high"]])


def test_systems_are_a_grid_in_which_a_size_has_one_colour(drawn, tmp_path):
    draw_systems(sf.read_systems(PAPER / "systems.csv"), tmp_path, sf.study_transfer(PAPER / "systems.csv"))
    figure = drawn["scores_by_params"]
    assert len(figure.axes) == 7
    assert figure.get_figwidth() <= 15
    (legend,) = figure.legends
    colours = {}
    for text, mark in zip(legend.get_texts(), legend.legend_handles, strict=True):
        colours.setdefault(text.get_text().split("-")[1], set()).add(mark.get_color())
    assert len(colours) == len(SIZES)
    assert all(len(one) == 1 for one in colours.values())
    assert list(colours) == sorted(colours, key=parse_quantity)
