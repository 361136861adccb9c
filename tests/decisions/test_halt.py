"""Halting: what counts, what does not, and what is said."""

import numpy as np
import pytest

from insitu.decisions.halt import HaltAfter
from insitu.errors import ConfigError
from insitu.inference.limits import Limits
from insitu.types import Action, Feature, Measurement, Verdict

LETTERS = {"a": "anomaly", "n": "normal", "u": "unknown", "c": "change"}


def seen(n, source="det", **features):
    return Measurement(source=source, seq=n, n=n, time_ns=n, features=features)


def halts(rule, labels, model="limits"):
    """An H for each frame on which the rule says HALT; a space stands for a frame the model says nothing of."""
    said = ""
    for n, letter in enumerate(labels):
        verdicts = {} if letter == " " else {model: Verdict(label=LETTERS[letter])}
        decision = rule(seen(n), verdicts)
        said += "." if decision is None else decision.action.name[0]
    return said


@pytest.mark.parametrize(
    ("labels", "settings", "said"),
    [
        ("naanaaaan", {}, "......HH."),
        ("aca", {}, "..H"),
        ("a a  a", {}, ".....H"),
        ("aauua", {}, "....H"),
        ("uuuuu", {}, "....."),
        ("uuuuu", {"unknown": "count"}, "..HHH"),
        ("uuuuu", {"on": ("unknown",), "count": 4}, "...HH"),
        ("aauua", {"unknown": "reset"}, "....."),
        ("aaaaaaaa", {"cool_down": 3}, "..H...H."),
        ("aaa   aaaa", {"cool_down": 2}, "..H.....H."),
        ("aaanaa", {"clear_after": 2}, "..H.HH"),
        ("ananan", {"within": 5}, "....H."),
    ],
)
def test_it_halts_as_the_recipe_says(labels, settings, said):
    assert halts(HaltAfter(model="limits", **settings), labels) == said


def test_frames_of_another_source_change_nothing():
    rule = HaltAfter(model="limits", count=3)
    bad, good = {"limits": Verdict(label="anomaly")}, {"limits": Verdict(label="normal")}
    decisions = [rule(seen(n, "det"), bad) or rule(seen(n, "other"), good) for n in range(3)]
    assert [d is not None for d in decisions] == [False, False, True]


def test_another_model_changes_nothing():
    rule = HaltAfter(model="limits", count=1)
    assert rule(seen(0), {"change_point": Verdict(label="anomaly")}) is None


def test_the_reason_says_what_and_for_how_long():
    model, rule = Limits(feature="position", high=Feature(28.7, "deg")), HaltAfter(model="limits")
    for n, position in zip((117, 118, 119, 120), (28.69, 28.75, 28.8, 28.91), strict=True):
        measurement = seen(n, position=Feature(position, "deg"))
        decision = rule(measurement, {"limits": model(measurement)})
    assert decision.action is Action.HALT
    assert decision.reason == "limits: position 28.91 deg is above 28.7 deg; anomaly for 3 frames (n 118 to 120)"
    assert decision.valid_s == 30.0


def test_a_lost_beam_halts_where_the_recipe_counts_missing_values():
    model, rule = Limits(feature="position", deviation=6.0), HaltAfter(model="limits", unknown="count")
    said = []
    for n in range(30):
        position = Feature(28.4 + n % 2, "deg") if n < 27 else Feature(None, "deg", why="no peak in the window")
        measurement = seen(n, position=position)
        said.append(rule(measurement, {"limits": model(measurement)}))
    assert [n for n, d in enumerate(said) if d] == [29]
    assert said[29].reason.startswith("limits: position is not known: no peak in the window; unknown for 3 frames")


@pytest.mark.parametrize("seed", range(20))
def test_a_planted_fault_is_halted_within_five_frames_of_its_third(seed):
    values = np.random.default_rng(seed).normal(28.45, 0.003, 600)
    values[500:] += 0.03
    model, rule = Limits(feature="position", deviation=6.0), HaltAfter(model="limits")
    halted = []
    for n, v in enumerate(values):
        measurement = seen(n, position=Feature(float(v), "deg"))
        if rule(measurement, {"limits": model(measurement)}):
            halted.append(n)
    assert 502 <= halted[0] <= 507


def test_impossible_settings_are_refused_at_once():
    with pytest.raises(ConfigError, match="within"):
        HaltAfter(model="limits", count=3, within=2)
    with pytest.raises(ConfigError, match="cool_down"):
        HaltAfter(model="limits", cool_down=-1)
