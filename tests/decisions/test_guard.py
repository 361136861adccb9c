"""Who may act: every refusal, and what is let through."""

import pytest

from insitu.decisions.guard import Guard
from insitu.types import Action, Decision, Feature, Limit

LIMITS = {"exposure_s": Limit(unit="s", low=0.01, high=10.0, step=1.0, rate_hz=2.0)}
NOW = {"exposure_s": Feature(1.0, "s")}
SECOND = 1_000_000_000


def adapt(value, unit="s", signal="exposure_s"):
    feature = Feature(None, unit, why="not measured") if value is None else Feature(value, unit)
    return Decision(action=Action.ADAPT, reason="", params={signal: feature})


HALT = Decision(action=Action.HALT, reason="", valid_s=30.0)


def refused(decision, guard=None, *, arrived_ns=0, now_ns=0, held=False, present=NOW):
    guard = guard or Guard(LIMITS, "act")
    return guard.refusal(decision, arrived_ns=arrived_ns, now_ns=now_ns, held=held, present=present)


def test_what_is_allowed_passes():
    assert refused(adapt(1.5)) is None
    assert refused(adapt(1500.0, "ms")) is None
    for action in (Action.HALT, Action.FINISH, Action.PAUSE, Action.CONTINUE):
        assert refused(Decision(action=action, reason="")) is None


@pytest.mark.parametrize("decision", [HALT, adapt(1.5)])
def test_nothing_acts_in_mode_advise(decision):
    assert "advise" in refused(decision, Guard(LIMITS, "advise"), held=True)


@pytest.mark.parametrize("decision", [HALT, adapt(1.5)])
def test_the_operators_hold_wins_over_every_action(decision):
    assert "insitu release" in refused(decision, held=True, now_ns=3600 * SECOND)


def test_a_stale_decision_is_refused_whatever_it_wants():
    assert refused(HALT, now_ns=30 * SECOND) is None
    assert refused(HALT, now_ns=30 * SECOND + 1).startswith("HALT is stale, 30.000000001 s after its frame arrived")
    assert refused(adapt(1.5), now_ns=2 * SECOND).startswith("ADAPT is stale, 2 s after its frame arrived (valid 1 s)")


def test_a_clock_that_went_backwards_makes_nothing_stale():
    assert refused(adapt(1.5), arrived_ns=5 * SECOND, now_ns=0) is None


@pytest.mark.parametrize(
    ("decision", "says"),
    [
        (adapt(1.0, "deg", "chi"), r"chi may not be set \(allowed: exposure_s\)"),
        (adapt(None), "exposure_s has no value to set"),
        (adapt(1.5, "deg"), "exposure_s 1.5 deg is not in a unit like s"),
        (adapt(12.0), "exposure_s 12 s is above the largest value allowed, 10 s: propose at most that"),
        (adapt(5.0, "ms"), "exposure_s 0.005 s is below the smallest value allowed, 0.01 s: propose at least that"),
        (adapt(2.5), "exposure_s 2.5 s is 1.5 s away from 1 s, more than the largest step allowed, 1 s"),
    ],
)
def test_a_signal_out_of_what_the_beamline_allows_is_refused(decision, says):
    import re

    assert re.match(says, refused(decision) or "")


def test_a_step_from_nowhere_is_refused():
    assert "its present value is not known" in refused(adapt(1.5), present=None)
    assert "its present value is not known" in refused(adapt(1.5), present={"exposure_s": Feature(1.0, "deg")})
    free = Guard({"exposure_s": Limit(unit="s", low=0.0, high=10.0)}, "act")
    assert refused(adapt(9.0), free, present=None) is None


def test_a_step_of_exactly_the_largest_is_allowed_in_spite_of_rounding():
    guard = Guard({"exposure_s": Limit(unit="s", low=0.0, high=1.0, step=0.1)}, "act")
    assert refused(adapt(0.3), guard, present={"exposure_s": Feature(0.2, "s")}) is None


def test_what_was_set_last_counts_from_then_on():
    guard = Guard(LIMITS, "act")
    guard.moved(adapt(2000.0, "ms"), 0)
    assert refused(adapt(2.9), guard, now_ns=SECOND) is None
    assert "away from 2 s" in refused(adapt(0.9), guard, now_ns=SECOND)


def test_a_signal_is_not_moved_faster_than_its_rate():
    guard = Guard(LIMITS, "act")
    guard.moved(adapt(1.0), 0)
    too_soon = refused(adapt(1.5), guard, arrived_ns=0, now_ns=SECOND // 5)
    assert too_soon.startswith("exposure_s was set 0.2 s ago, and may change 2 times a second at most")
    assert "again in 0.3 s" in too_soon
    assert refused(adapt(1.5), guard, arrived_ns=0, now_ns=SECOND // 2) is None


def test_a_refused_decision_leaves_no_trace():
    guard = Guard(LIMITS, "act")
    refused(adapt(12.0), guard)
    assert refused(adapt(1.5), guard) is None


def test_one_bad_signal_refuses_the_whole_decision():
    both = Decision(action=Action.ADAPT, reason="", params={**adapt(1.5).params, "chi": Feature(1.0, "deg")})
    assert refused(both).startswith("chi")
