"""Pausing, and resuming after clean frames."""

from dataclasses import replace

import pytest

from insitu.decisions.pause import PauseOn
from insitu.errors import ConfigError
from insitu.types import Action, Measurement, Verdict

LETTERS = {"a": "anomaly", "n": "normal", "u": "unknown"}


def seen(n, source="det"):
    return Measurement(source=source, seq=n, n=n, time_ns=n)


def said(rule, labels):
    """P for PAUSE, C for CONTINUE, . for nothing; a space stands for a frame the model says nothing of."""
    text = ""
    for n, letter in enumerate(labels):
        decision = rule(seen(n), {} if letter == " " else {"beam": Verdict(label=LETTERS[letter])})
        text += "." if decision is None else decision.action.name[0]
    return text


@pytest.mark.parametrize(
    ("labels", "settings", "expected"),
    [
        ("nannnnn", {"resume_after": 3}, ".PPPC.."),
        ("nannannnn", {"resume_after": 3}, ".PPPPPPC."),
        ("ananaan", {"count": 2, "resume_after": 1}, ".....PC"),
        ("an n", {"resume_after": 2}, "PPPC"),
        ("auun", {"resume_after": 1}, "PPPC"),
        ("auun", {"resume_after": 2, "unknown": "reset"}, "PPC."),
        ("uun", {"resume_after": 1, "unknown": "count"}, "PPC"),
        (" nn", {}, "..."),
    ],
)
def test_it_pauses_while_tripped_and_resumes_once(labels, settings, expected):
    assert said(PauseOn(model="beam", **settings), labels) == expected


def test_the_pause_lasts_until_every_source_is_clean():
    rule = PauseOn(model="beam", resume_after=1)
    bad, good = {"beam": Verdict(label="anomaly", reason="I0 is low")}, {"beam": Verdict(label="normal")}
    assert rule(seen(0, "a"), bad).action is Action.PAUSE
    assert rule(seen(1, "b"), good).reason == "beam: I0 is low; anomaly for 1 frame (n 0)"
    assert rule(seen(2, "b"), bad).action is Action.PAUSE
    assert rule(seen(3, "a"), good).action is Action.PAUSE
    assert rule(seen(4, "b"), good).action is Action.CONTINUE
    assert rule(seen(5, "b"), good) is None


def test_resuming_is_said_with_the_number_of_clean_frames():
    rule = PauseOn(model="beam", resume_after=2)
    reasons = [
        rule(seen(n), {"beam": Verdict(label=label)}).reason for n, label in enumerate(("anomaly", "normal", "normal"))
    ]
    assert reasons[1:] == [
        "beam: anomaly for 1 frame (n 0); 1 of 2 clean frames to resume",
        "resumed: beam clean for 2 frames, up to n 2",
    ]


def test_a_clean_frame_of_another_plan_ends_it_at_once_and_a_bad_one_does_not():
    rule, bad, good = PauseOn(model="beam", resume_after=3), "anomaly", "normal"
    told = []
    for n, (plan, label) in enumerate([("a", bad), ("a", good), ("b", bad), ("b", good), ("c", good), ("c", good)]):
        decision = rule(replace(seen(n), source_run_uid=plan), {"beam": Verdict(label=label)})
        told.append("." if decision is None else decision.action.name[0])
    assert "".join(told) == "PPPPC."


def test_impossible_settings_are_refused_at_once():
    with pytest.raises(ConfigError, match="resume_after"):
        PauseOn(model="beam", resume_after=0)
