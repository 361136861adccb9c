"""Finishing when the goal is reached."""

import numpy as np
import pytest

from insitu.decisions.finish import FinishWhen
from insitu.errors import ConfigError, UnitError
from insitu.types import Action, Feature, Measurement


def seen(n, value, sigma=None, unit="K", source="det"):
    feature = Feature(None, unit, why="no reading") if value is None else Feature(float(value), unit, sigma=sigma)
    return Measurement(source=source, seq=n, n=n, time_ns=n, features={"goal": feature})


def finished(rule, values, **kwargs):
    return [n for n, v in enumerate(values) if rule(seen(n, v, **kwargs), {})]


def test_it_finishes_after_so_many_frames_in_a_row():
    rule = FinishWhen(feature="goal", above=Feature(600.0, "K"))
    assert finished(rule, [601, 602, 599, 601, None, 602, 603, 604, 500]) == [6, 7]


def test_the_reason_says_the_goal_and_the_frames():
    rule = FinishWhen(feature="goal", below=Feature(0.0, "degC"), count=2, units={"goal": "K"})
    rule(seen(8, 273.0), {})
    decision = rule(seen(9, 272.5), {})
    assert decision.action is Action.FINISH
    assert decision.reason == "goal reached: goal 272.5 K is below 273.15 K for 2 frames (n 8 to 9)"


def test_an_uncertain_value_has_reached_nothing_yet():
    rule = FinishWhen(feature="goal", above=Feature(600.0, "K"), sigmas=3.0, count=1)
    assert not finished(rule, [610.0], sigma=5.0)
    assert finished(rule, [610.0], sigma=3.0)


def test_it_finishes_when_the_mean_is_known_well_enough():
    values = np.random.default_rng(1).normal(10.0, 1.0, 400)
    first = finished(FinishWhen(feature="goal", mean_sigma=Feature(0.1, "K"), count=1), values)[0]
    assert 70 <= first <= 140  # (1/0.1)^2 = 100 frames, by the scatter
    claimed = finished(FinishWhen(feature="goal", mean_sigma=Feature(0.1, "K"), count=1), values, sigma=1.5)[0]
    assert 224 <= claimed <= 226  # (1.5/0.1)^2 = 225 frames, by what the values claim


def test_all_goals_must_hold_on_the_same_frame():
    rule = FinishWhen(feature="goal", above=Feature(9.0, "K"), mean_sigma=Feature(0.5, "K"), count=1)
    values = [10.0, 11.0, 10.0, 11.0, 10.0, 8.0, 10.0]
    assert finished(rule, values) == [4, 6]
    assert " and goal is known to 0.5 K (the mean of 8 frames is " in rule(seen(7, 10.0), {}).reason


def test_other_sources_change_nothing():
    rule = FinishWhen(feature="goal", source="det", above=Feature(600.0, "K"), count=2)
    decisions = [rule(seen(n, 601), {}) or rule(seen(n, 5, source="other"), {}) for n in range(2)]
    assert [d is not None for d in decisions] == [False, True]


def test_a_goal_that_cannot_be_converted_is_said_and_not_raised():
    rule = FinishWhen(feature="goal", above=Feature(5.0, "mm"))
    decision = rule(seen(0, 300.0), {})
    assert decision.action is Action.CONTINUE
    assert decision.reason.startswith("above: ")


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({}, ConfigError),
        ({"mean_sigma": Feature(0.0, "K")}, ConfigError),
        ({"above": Feature(5.0, "mm"), "units": {"goal": "K"}}, UnitError),
        ({"above": Feature(5.0, "K"), "units": {"gaol": "K"}}, ConfigError),
        ({"above": Feature(5.0, "K"), "count": 0}, ConfigError),
    ],
)
def test_impossible_settings_are_refused_at_once(keys, error):
    with pytest.raises(error):
        FinishWhen(feature="goal", **keys)
