"""The stopping rule: its arithmetic against closed forms, its trade-off against runs whose end is known."""

import dataclasses

import numpy as np
import pytest
from scipy import integrate, stats

from scalefit.errors import FitError, UsageError
from scalefit.prediction.forecast import Forecast
from scalefit.studies.replay import Replay, replay_runs, weigh_rule
from scalefit.studies.stopping import Rule, advise


def forecast(now=0.5, end=0.48, se=0.01, *, at=100.0, until=200.0, curve=()):
    """Return a forecast that says what it is told to."""
    half = 1.96 * se
    ends = {"samples": until, "points": 10, "loss": end, "low50": end, "high50": end, "low95": end - half}
    return Forecast(
        run="a",
        series="s",
        params=1e9,
        resource="samples",
        points=20,
        now={"samples": at, "loss": now},
        end={**ends, "high95": end + half, "se": se},
        curve=[{"samples": x, "loss": loss} for x, loss in curve],
        chance=None,
        stop=None,
        weights={},
        calibrated_on="",
        warnings=[],
    )


@pytest.mark.parametrize(("end", "se"), [(0.48, 0.01), (0.495, 0.004), (0.51, 0.02)])
@pytest.mark.parametrize("tolerance", [0.005, 0.01])
def test_chance_and_regret_are_those_of_a_normal_gain(end, se, tolerance):
    """By scipy: the tail beyond the tolerance, and the expected shortfall on either side by quadrature."""
    found = advise(forecast(end=end, se=se), 0.8, Rule(tolerance=tolerance))
    gain = stats.norm(0.5 - end, se)
    assert found.chance == pytest.approx(gain.sf(tolerance))

    def mean(sign):
        return integrate.quad(
            lambda x: max(sign * (x - tolerance), 0) * gain.pdf(x), *gain.interval(1 - 1e-12), points=[tolerance]
        )[0]

    assert found.regret_of_stopping == pytest.approx(mean(1), rel=1e-4, abs=1e-12)
    assert found.regret_of_going_on == pytest.approx(mean(-1), rel=1e-4, abs=1e-12)
    assert found.stop == (gain.sf(tolerance) <= Rule().risk)


@pytest.mark.parametrize(("risk", "verdict"), [(0.84, "go on"), (0.85, "stop")])
def test_a_run_is_stopped_at_its_risk(risk, verdict):
    """A gain one standard error above what is needed: the chance is .8413."""
    assert advise(forecast(end=0.48, se=0.01), 0.8, Rule(risk=risk)).verdict == verdict


def test_the_share_of_the_gain_that_is_in():
    """From .8 to .48, and .5 is reached: 30 of 32 hundredths."""
    assert advise(forecast(), 0.8).share == pytest.approx(0.30 / 0.32)
    assert advise(forecast(), 0.40).share is None, "a run that has risen has no gain to share"


def test_the_cost_is_weighed_against_what_a_hundredth_is_worth():
    """100 samples at .1 GPU-hours each and 2 a GPU-hour cost 20; at 40 a hundredth that is .005 of loss."""
    rule = Rule(price=2.0, worth=40.0)
    found = advise(forecast(), 0.8, rule, unit="gpu_hours", per=0.1)
    assert found.cost == {"unit": "gpu_hours", "amount": pytest.approx(10.0), "money": pytest.approx(20.0)}
    assert found.needed == pytest.approx(0.005)
    assert found.chance == pytest.approx(stats.norm.sf(0.005, 0.02, 0.01))
    dear = advise(forecast(), 0.8, Rule(price=2.0, worth=2.0), unit="gpu_hours", per=0.1)
    assert dear.needed == pytest.approx(0.1)
    assert dear.stop


def test_going_on_for_a_while_may_pay_where_going_to_the_end_does_not():
    """.018 of .02 come with the next ten samples, which cost a tenth: not worth .03, well worth .003."""
    curve = [(100.0, 0.5), (110.0, 0.482), (200.0, 0.48)]
    rule = Rule(price=2.0, worth=20.0 / 3.0)
    found = advise(forecast(curve=curve, se=0.002), 0.8, rule, unit="gpu_hours", per=0.1)
    assert found.best["samples"] == 110
    assert found.needed == pytest.approx(0.003)
    assert not found.stop
    assert advise(forecast(se=0.002), 0.8, rule, unit="gpu_hours", per=0.1).stop, "to the end alone it does not pay"


def test_a_line_of_the_log():
    """The words of the documentation, in digits that the forecast has."""
    found = advise(forecast(now=0.416, end=0.412, se=0.003, until=220.0), 0.432, unit="gpu_hours", per=0.1)
    said = "end .412 [.406, .418]; 80 % of the gain is in; another 12 GPU-hours buy .004 ± .003: stop"
    assert found.headline == said
    assert said in found.summary()


def test_one_more_step_that_buys_nothing():
    """One step is no steps, and nothing has no sign."""
    found = dataclasses.replace(advise(forecast(end=0.5002, se=0.003), 0.8), cost={"unit": "step", "amount": 1.0})
    assert found.headline.endswith("another 1 step buy .000 ± .003: stop")


@pytest.mark.parametrize(
    "wrong",
    [
        {"risk": 0},
        {"risk": 1},
        {"tolerance": 0},
        {"tolerance": float("nan")},
        {"price": 2.0},
        {"price": -1, "worth": 1},
    ],
)
def test_rules_that_make_no_sense(wrong):
    with pytest.raises(UsageError):
        Rule(**wrong)


def replay(chance, given_up, saved):
    many = len(chance)
    arrays = (np.arange(many), np.array(chance), np.full(many, 0.001), np.array(given_up), np.array(saved))
    return Replay("a", "e", *arrays)


def test_a_run_is_stopped_the_second_time_in_a_row():
    one = replay([0.1, 0.3, 0.1, 0.2, 0.1], [0] * 5, [0.8, 0.6, 0.4, 0.2, 0.1])
    assert one.stopped_at(0.2) == 3
    assert one.stopped_at(0.2, patience=1) == 0
    assert one.stopped_at(0.05) is None


def test_what_a_rule_saves_and_gives_up():
    """Three runs by hand: one stopped well, one too early, one never."""
    saved = [0.9, 0.6, 0.3]
    runs = [
        replay([0.1, 0.1, 0.1], [0.02, 0.005, 0.001], saved),
        replay([0.1, 0.1, 0.1], [0.05, 0.04, 0.002], saved),
        replay([0.9, 0.9, 0.9], [0.05, 0.04, 0.03], saved),
    ]
    found = weigh_rule(runs, tolerance=0.01, risk=0.2, risks=(0.05, 0.2))
    none, used = found.by_risk
    assert none == {"risk": 0.05, "saved": 0, "within": 1, "given_up": 0, "given_up_95": 0, "stopped": 0}
    assert used["saved"] == pytest.approx((0.6 + 0.6) / 3)
    assert used["within"] == pytest.approx(2 / 3)
    assert used["given_up"] == pytest.approx((0.005 + 0.04) / 3)
    assert used["stopped"] == pytest.approx(2 / 3)
    assert found.possible == pytest.approx((0.6 + 0.3 + 0) / 3)
    assert found.came == pytest.approx((0 + 0.03) / 2)
    assert "save 40 %" in found.headline


def test_nothing_to_replay():
    with pytest.raises(FitError):
        weigh_rule([], tolerance=0.01, risk=0.2)


def table(loss, count=30):
    import pandas as pd

    step = np.arange(1, count + 1)
    return pd.DataFrame(
        {
            "run_id": "a",
            "series": "s",
            "params": 1e9,
            "step": step,
            "samples": 64.0 * step,
            "eval": "e",
            "loss": loss(step),
        }
    )


def test_a_flat_run_is_stopped_and_one_that_falls_is_not():
    """Replayed with the forecaster itself; noise of .002, and what is given up is what came."""
    noise = 0.002 * np.random.default_rng(0).standard_normal(30)
    flat = replay_runs(table(lambda step: 0.4 + noise), looks=6)
    falls = replay_runs(table(lambda step: 0.9 - 0.02 * step + noise), looks=6)
    assert weigh_rule([*flat], tolerance=0.01, risk=0.5).by_risk[-1]["saved"] > 0.3
    assert weigh_rule([*falls], tolerance=0.01, risk=0.3).by_risk[0]["saved"] == 0
    (one,) = falls
    at = one.looks[2]
    level = np.mean(0.9 - 0.02 * np.arange(at - 2, at + 3) + noise[at - 3 : at + 2])
    assert one.given_up[2] == pytest.approx(level - np.mean((0.9 - 0.02 * np.arange(28, 31)) + noise[-3:]))
    assert one.saved[2] == pytest.approx(1 - at / 30)


def test_runs_that_are_too_short_are_left_out():
    assert replay_runs(table(lambda step: 0.5 + 0 * step, count=19)) == []


def test_records_are_plain():
    found = advise(forecast(), 0.8)
    assert found.record()["verdict"] in ("stop", "go on")
    assert {field.name for field in dataclasses.fields(found)} < set(found.record())
