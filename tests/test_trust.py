"""The three words, each where it is right: real tables, a table whose law holds, one whose law does not."""

from dataclasses import replace

import numpy as np
import pytest

import scalefit as sf
from scalefit.fitting.fit import fit_data
from scalefit.prediction.ensemble import average_offsets
from scalefit.prediction.misses import Miss, Misses
from scalefit.prediction.siblings import among_siblings
from scalefit.studies import trust
from scalefit.studies.trust import NOT, THIN, WELL, Ground, Trust
from scalefit.table.prepare import prepare

SIZES = [5e8, 1.5e9, 3e9, 7e9, 1.4e10, 3.2e10]
TRUTH = {"k_max": 0.12, "N0": 4e9, "E0": -0.02, "E_log": -0.02}


def table(seeds, **more):
    samples = 500.0 * np.arange(1, 61)
    asked = {"sigma": 0.005, "rho": 0.3, "slope_sd": 0.05, "level_sd": 0.005, "seed": 3, **more}
    return sf.simulate("saturating-linear", TRUTH, params=SIZES, samples=samples, seeds=seeds, **asked)


def weigh(runs, params=None, **where):
    data = prepare(runs, None, where)[0]
    fit = fit_data("saturating", data)
    ensemble = average_offsets(data) if len(data.sizes) > 3 else None
    return trust.trust_size(fit, params or float(data.sizes[-1]), None, ensemble)


def words(found):
    return {ground.name: ground.word for ground in found.grounds}


@pytest.fixture(scope="module")
def repeated():
    return table(3)


def test_a_law_that_holds_with_reruns_is_well_supported(repeated):
    found = weigh(repeated)
    assert words(found) == dict.fromkeys(("fit", "held-out sizes", "scatter of runs", "reach"), WELL)
    assert found.word == WELL
    assert found.sentence.startswith("Trust: well supported. ")
    assert found.mends == []


def test_one_run_a_size_is_thin(repeated):
    frame = repeated.frame
    found = weigh(sf.as_runs(frame[frame["run_id"].str.endswith("-0")]))
    assert words(found)["scatter of runs"] == THIN
    assert found.word == THIN
    assert "One run a size" in found.sentence
    assert any("other seeds" in mend for mend in found.mends)


def test_beyond_the_largest_size_is_thin_and_beyond_three_times_it_not_to_be_used(repeated):
    assert words(weigh(repeated, 1.4 * SIZES[-1]))["reach"] == THIN
    found = weigh(repeated, 3.1 * SIZES[-1])
    assert words(found)["reach"] == found.word == NOT
    data = prepare(repeated)[0]
    fit = fit_data("saturating", data)
    end = data.resource.max()
    assert [trust.on_reach(fit, SIZES[-1], at * end).word for at in (1, 9, 11)] == [WELL, THIN, NOT]


def test_few_sizes_cannot_be_held_out(repeated):
    frame = repeated.frame
    found = weigh(sf.as_runs(frame[frame["params"] < 4e9]))
    assert words(found)["held-out sizes"] == THIN
    assert "3 sizes: none could be held out, which needs 4" in found.sentence


def test_a_law_that_misses_more_than_its_band_is_not_to_be_used(repeated):
    """A floor under every curve, of which a power law knows nothing; reruns lie so near that the band does not hold it."""
    bent = table(3, slope_sd=0.005, level_sd=0.0005, sigma=0.001).frame
    x = bent["samples"] / bent["samples"].max()
    step = 0.06 / (1 + np.exp(-12 * (x - 0.5)))
    found = weigh(sf.as_runs(bent.assign(loss=np.clip(bent["loss"] + step * (bent["params"] > 2e9), 0, 1))))
    assert words(found)["fit"] == NOT
    assert "more than a new run may" in found.sentence


def test_the_paper_is_thin_and_says_why():
    runs = sf.load_example("paper")
    found = weigh(runs, 1e11, series="base")
    assert words(found) == {"fit": THIN, "held-out sizes": WELL, "scatter of runs": THIN, "reach": THIN}
    assert "one run a size" in found.sentence
    assert "100B is 1.4 times the largest size measured, beyond every held-out test" in found.sentence
    assert "6 of 7 sizes depart from the law" in found.sentence


def test_our_study_has_reruns():
    found = weigh(sf.load_example("study"), series="base")
    assert words(found)["scatter of runs"] == WELL
    assert "12 repeated runs" in next(ground.why for ground in found.grounds if ground.name == "scatter of runs")


@pytest.mark.parametrize(("inside", "word"), [(10, WELL), (8, WELL), (6, THIN), (4, NOT)])
def test_held_out_words_follow_the_share_within(monkeypatch, inside, word):
    data = prepare(sf.load_example("one_run"))[0]
    fit = fit_data("power", data)
    monkeypatch.setattr(trust, "held_within", lambda misses: [True] * inside + [False] * (10 - inside))

    class Told:
        misses = None

    assert trust.on_held_out(fit, Told()).word == word


def test_a_size_that_others_do_not_foretell_lies_outside():
    calm = [Miss(0.01 * sign, 0.0, 1.0, (0.0, 0.0)) for sign in (1, -1, 1, -1, 1)]
    far = replace(calm[0], level=1.0)
    assert trust.held_within(Misses([*calm, far], 4.0, 1.0)) == [True] * 5 + [False]


def test_a_forecast_is_held_against_the_second_half_of_its_run():
    runs = sf.load_example("paper")
    found = sf.forecast(runs, "base-72B", until=1e5)
    setting = among_siblings(runs, "base-72B", "samples", "holdout")
    told = trust.trust_forecast(found, setting)
    assert told.word == WELL
    loss = setting.curve.loss
    assert f"it came to {loss[-10:].mean():.3f}" in told.sentence
    for off, word in ((0.02, THIN), (0.3, NOT)):
        half = len(loss) // 2
        moved = np.concatenate([loss[:half], loss[half:] + off])
        shifted = replace(setting, curve=replace(setting.curve, loss=moved))
        assert trust.on_own_past(shifted).word == word
    assert trust.on_horizon(replace(found, end=found.end | {"samples": 5 * found.now["samples"]})).word == NOT


def test_rankings_are_as_good_as_their_pairs():
    ranked = sf.rank_systems("data/paper/systems.csv")
    by_name = {one.benchmark: trust.trust_ranking(one) for one in ranked}
    assert by_name["aime2024"].word == NOT
    assert by_name["gsm8k"].word == THIN
    assert "70 of 91" in by_name["gsm8k"].sentence


def test_the_weakest_ground_decides_and_mends_come_with_it_first():
    grounds = (Ground("a", WELL, "fine"), Ground("b", NOT, "broken", "mend b"), Ground("c", THIN, "so so", "mend c"))
    found = Trust(grounds)
    assert found.word == NOT
    assert found.sentence == "Trust: do not use. Broken; so so."
    assert found.mends == ["mend b", "mend c"]
    assert Trust(grounds[:1]).sentence == "Trust: well supported. Fine."
