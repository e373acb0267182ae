"""The study by which the prediction of an unseen size was chosen: its candidates by hand, and what the notes say of it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import scalefit as sf
from benchmarks import unseen, unseen_notes
from benchmarks.unseen import (
    ANCHORS,
    BEFORE,
    CHOSEN,
    OUT,
    POOLS,
    VARIANTS,
    Target,
    anchor_errors,
    continue_curves,
    mean_miss,
    read_targets,
    sum_up,
    upward,
)
from benchmarks.unseen_tables import TRUTHS, Table, measured_tables, simulated_tables
from scalefit.laws import OFFSET_FORMS
from scalefit.prediction.ensemble import average_offsets
from scalefit.prediction.misses import ELSEWHERE
from scalefit.prediction.scores import score_held_out
from scalefit.table.prepare import prepare
from tests.conftest import ROOT

LINEAR, AFFINE = (law.name for law in OFFSET_FORMS[:2])


@pytest.fixture(scope="module")
def study():
    """Five sizes, of which the largest is predicted from the four below."""
    (data,) = prepare(sf.read_runs(ROOT / "data" / "study" / "e05_grpo.parquet"), "samples")
    return Table("e05", "e05_grpo base", data)


def test_a_candidate_by_hand():
    """Squared errors of 1 and 3 weigh 3/4 and 1/4; upward ones of 3 and 1 the other way."""
    target = Target(
        "one",
        {LINEAR: np.log10([0.5]), AFFINE: np.log10([0.25])},
        {unseen.TREND: np.log10([0.4])},
        {"all folds": {LINEAR: 1.0, AFFINE: 3.0}, "upward folds": {LINEAR: 3.0, AFFINE: 1.0}},
        np.array([0.5]),
    )
    for weights, first in (("all folds", 0.75), ("upward folds", 0.25), ("equal", 0.5)):
        alone = 0.5**first * 0.25 ** (1 - first)
        for share in (0.0, 0.25, 1.0):
            wanted = abs(alone ** (1 - share) * 0.4**share - 0.5)
            assert target.error(OFFSET_FORMS[:2], share, weights) == pytest.approx(wanted)


def test_the_chosen_candidates_are_the_predictions_themselves(study):
    """And by other weights it is another prediction."""
    ((below, size),) = study.steps
    assert below.sizes.tolist() == study.data.sizes[:4].tolist()
    assert size == study.data.sizes[4]
    (target,) = read_targets(study)
    here = study.data.keep(study.data.params == size)
    there = average_offsets(below).predict(size, here.resource[:, here.present])["loss"]
    wanted = np.sqrt(np.mean((there - here.loss[here.present]) ** 2))
    chosen = (POOLS[CHOSEN["pool"]], CHOSEN["trend"])
    assert target.error(*chosen, CHOSEN["weights"]) == pytest.approx(wanted, rel=1e-6)
    assert target.error(*chosen, BEFORE["weights"]) != pytest.approx(wanted, rel=1e-3)
    (told,) = anchor_errors(study, study.steps)
    scored = score_held_out(None, below, study.data, np.array([size]), unseen.POINTS)
    assert told[next(iter(ANCHORS))] == pytest.approx(scored["rmse"], rel=1e-6)
    assert list(told) == list(ANCHORS)
    rest = here.present & (np.arange(here.present.shape[1]) >= unseen.POINTS)
    there = average_offsets(below).predict(size, here.resource[:, rest])["loss"]
    wanted = np.sqrt(np.mean((there - here.loss[rest]) ** 2))
    assert told["lines and clocks with the trend, left alone"] == pytest.approx(wanted, rel=1e-6)


def test_upward_folds_are_those_above_what_is_fitted():
    """Of seven sizes the fifth and sixth, from all below, and the largest, from all others; of four the largest alone."""
    sizes = np.geomspace(1e9, 64e9, 7)
    for some, wanted in ((sizes, [6, 4, 5]), (sizes[:4], [3])):
        kept = upward(SimpleNamespace(sizes=some))
        assert [float(out[0]) for out, _ in kept] == some[wanted].tolist()
        assert [fitted(some).sum() for _, fitted in kept] == wanted


def test_trends_of_lines_that_change_evenly_with_log_size():
    """Continued whole in log loss they are the truth, through however many sizes; half of the way, half way in log loss."""
    law = dict(zip(("k1", "k_log", "E0", "E_log"), (0.05, 0.045, -0.05, 0.03), strict=True))
    params, samples = [1e9, 2e9, 5e9, 2e10, 6e10], np.geomspace(500, 5e4, 12)
    (data,) = prepare(sf.simulate("log-k-linear", law, params=params, samples=samples))
    found = average_offsets(data.keep(data.params < 5e10)).trend
    curves = continue_curves(found, 6e10, data.resource[:, 0])
    near, truth = np.log10(data.loss[-2:])
    assert set(curves) == set(VARIANTS)
    for nearest in (2, 3, 4):
        np.testing.assert_allclose(curves["log loss", nearest, 1.0], truth, atol=1e-6)
        np.testing.assert_allclose(curves["log loss", nearest, 0.5], (near + truth) / 2, atol=1e-6)
    odds = [np.log(10**log / (1 - 10**log)) for log in np.log10(data.loss[-3:-1])]
    way = np.log(6e10 / 2e10) / np.log(2e10 / 5e9)
    wanted = odds[1] + 0.67 * way * (odds[1] - odds[0])
    np.testing.assert_allclose(curves["log odds", 2, 0.67], -np.log10(1 + np.exp(-wanted)), atol=1e-6)


def test_what_the_method_is_judged_by_is_refused():
    for data in prepare(sf.read_runs(ROOT / "data" / "paper" / "runs.parquet"), "samples"):
        assert data.sizes[-1] == 72e9
        with pytest.raises(AssertionError, match="judged by"):
            Table("paper", data.series, data)
    tables = list(measured_tables([]))
    assert {table.family for table in tables} == {"paper", "e01", "e05"}
    assert max(table.data.params.max() for table in tables) == 32e9
    assert sum(table.family == "paper" for table in tables) == 4


def test_simulated_tables_are_held_against_their_law():
    """One run of each size about the truth; the truth of the first by its formula."""
    tables = list(simulated_tables(1))
    assert [table.family for table in tables] == list(TRUTHS)
    first = tables[0]
    N, (x,) = first.truth.params[:, None], np.log10(first.truth.resource)
    k = 0.14 * N / (N + 1.2e10)
    np.testing.assert_allclose(np.log10(first.truth.loss), 0.004 + k * 1.6 - k * x, rtol=1e-9)
    assert 0.005 < np.std(np.log10(first.data.loss / first.truth.loss)) < 0.1
    assert not np.allclose(tables[1].data.loss, tables[0].data.loss)


def test_sums_of_errors():
    """Root mean squares within and over measured families; geometric means over truths and of both."""
    truths = list(TRUTHS)[:2]
    found = sum_up([("a", 0.3), ("a", 0.4), ("b", 0.5), (truths[0], 0.01), (truths[1], 0.04)])
    assert found["families"]["a"] == pytest.approx(np.sqrt(0.125))
    assert found["measured"] == pytest.approx(np.sqrt((0.125 + 0.25) / 2))
    assert found["simulated"] == pytest.approx(0.02)
    assert found["both"] == pytest.approx(np.sqrt(0.02 * np.sqrt(0.1875)))


def test_misses_are_brought_to_a_way_of_one(monkeypatch):
    """16 to the power .75 is 8."""
    misses = [SimpleNamespace(level=-0.8, slope=0.08, way=16.0), SimpleNamespace(level=0.3, slope=-0.03, way=1.0)]
    monkeypatch.setattr(unseen, "average_offsets", lambda data: SimpleNamespace(misses=SimpleNamespace(each=misses)))
    assert mean_miss(None) == pytest.approx((0.2, 0.02))


def test_what_other_tables_count_for_is_what_was_missed_there():
    """Rounded to half a hundredth."""
    mean = json.loads(OUT.read_text())["misses"]["mean"]
    assert ELSEWHERE == pytest.approx([round(mean[name] / 0.005) * 0.005 for name in ("level", "slope")])


def test_notes_say_what_was_measured():
    report = json.loads(OUT.read_text())
    assert unseen_notes.with_report(unseen_notes.NOTES.read_text(), report) == unseen_notes.NOTES.read_text()
    assert not any("72B" in name for name in report["tables"])
    chosen = unseen_notes.find(report["choice"]["candidates"], CHOSEN)
    assert f"{chosen['both']:.4f}".lstrip("0") in unseen_notes.NOTES.read_text()


def test_page_says_what_bands_of_unseen_sizes_hold():
    bands = json.loads(OUT.read_text())["bands"]
    page = " ".join((ROOT / "docs" / "intervals.md").read_text().split())

    def held(kind, how):
        row = bands[kind][how]
        return f"{100 * row['cover50']:.0f} / {100 * row['cover95']:.0f}"

    known, drawn, told = "measured", "simulated", "measured, ten points"
    assert (
        f"sizes left out {held(known, 'left out')} on measured tables and {held(drawn, 'left out')} on simulated"
        in page
    )
    assert f"from four or more, {held(known, 'upward')} and {held(drawn, 'upward')}" in page
    assert f"ten points of the size: {held(told, 'left out')} left out, {held(told, 'upward')} upward" in page
