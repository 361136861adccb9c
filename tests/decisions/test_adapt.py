"""Holding a feature inside a band by stepping one signal."""

import pytest

from insitu.decisions.adapt import AdaptStep
from insitu.errors import ConfigError, UnitError
from insitu.types import Action, Feature, Measurement

HIGH, LOW = Feature(50_000.0, "counts"), Feature(10_000.0, "counts")


def seen(n, maximum, exposure=1.0, unit="s", source="det"):
    feature = Feature(None, "counts", why="empty frame") if maximum is None else Feature(maximum, "counts")
    context = {} if exposure is None else {"exposure_s": Feature(exposure, unit)}
    return Measurement(source=source, seq=n, n=n, time_ns=n, features={"maximum": feature}, context=context)


def one(maximum=64_000, exposure=1.0, unit="s", **keys):
    rule = AdaptStep(**({"feature": "maximum", "low": LOW, "high": HIGH, "factor": 2.0, "count": 1} | keys))
    return rule(seen(0, maximum, exposure, unit), {})


def test_too_much_is_answered_with_less_and_too_little_with_more():
    assert one(64_000).params == {"exposure_s": Feature(0.5, "s")}
    assert one(500).params == {"exposure_s": Feature(2.0, "s")}
    assert one(64_000, effect="lowers").params == {"exposure_s": Feature(2.0, "s")}
    assert one(30_000) is None


def test_a_step_adds_and_is_converted():
    assert one(500, step=Feature(250.0, "ms")).params == {"exposure_s": Feature(1.25, "s")}
    assert one(64_000, step=Feature(250.0, "ms")).params == {"exposure_s": Feature(0.75, "s")}


def test_the_reason_names_the_value_the_band_the_frames_and_the_step():
    rule = AdaptStep(feature="maximum", high=HIGH, factor=2.0, count=3)
    decision = [rule(seen(n, 64_000), {}) for n in (10, 11, 12)][-1]
    assert decision.action is Action.ADAPT
    assert decision.reason == (
        "maximum 64000 counts is above 50000 counts for 3 frames (n 10 to 12): exposure_s from 1 s to 0.5 s"
    )


def test_it_waits_for_frames_in_a_row_on_the_same_side_and_then_for_the_effect():
    rule = AdaptStep(feature="maximum", low=LOW, high=HIGH, count=2, cool_down=3)
    values = [64e3, 500, 64e3, 64e3, 64e3, 64e3, 64e3, 64e3, None, 30e3, 64e3, 64e3]
    said = [n for n, v in enumerate(values) if rule(seen(n, v), {})]
    assert said == [3, 7, 11]


def test_the_present_value_is_the_one_read_back_so_an_unheard_proposal_is_made_again():
    rule = AdaptStep(feature="maximum", high=HIGH, factor=2.0, count=1, cool_down=0)
    assert [rule(seen(n, 64_000), {}).params["exposure_s"].value for n in range(3)] == [0.5, 0.5, 0.5]


def test_a_recipe_bounds_the_signal_and_says_when_it_is_there():
    assert one(500, largest=Feature(1500.0, "ms")).params == {"exposure_s": Feature(1.5, "s")}
    there = one(500, exposure=1.5, largest=Feature(1500.0, "ms"))
    assert there.action is Action.CONTINUE
    assert there.reason.endswith("exposure_s is left alone: 1.5 s is as far as the recipe lets it go")
    beyond = one(64_000, exposure=0.05, smallest=Feature(0.1, "s"))
    assert beyond.action is Action.CONTINUE


@pytest.mark.parametrize(
    ("exposure", "unit", "keys", "says"),
    [
        (None, "s", {}, "the frame carries no exposure_s"),
        (0.0, "s", {}, "give a step instead of a factor"),
        (1.0, "mm", {"largest": Feature(2.0, "s")}, "largest: "),
    ],
)
def test_what_cannot_be_adapted_is_said_and_not_raised(exposure, unit, keys, says):
    decision = one(500, exposure=exposure, unit=unit, **keys)
    assert decision.action is Action.CONTINUE
    assert says in decision.reason


def test_other_sources_change_nothing():
    rule = AdaptStep(feature="maximum", source="det", high=HIGH, count=2)
    said = [rule(seen(n, 64e3), {}) or rule(seen(n, 30e3, source="other"), {}) for n in range(2)]
    assert [d is not None for d in said] == [False, True]


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"low": None, "high": None}, ConfigError),
        ({"low": HIGH, "high": LOW}, ConfigError),
        ({"factor": 0.5}, ConfigError),
        ({"step": Feature(-1.0, "s")}, ConfigError),
        ({"count": 0}, ConfigError),
        ({"units": {"maximum": "K"}}, UnitError),
        ({"units": {"maximum": "counts", "exposure_s": "s"}, "largest": Feature(1.0, "K")}, UnitError),
    ],
)
def test_impossible_settings_are_refused_at_once(keys, error):
    with pytest.raises(error):
        one(**keys)
