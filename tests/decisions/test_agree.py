"""Agreement: who votes, for how long a vote counts, and what is done."""

from typing import Any

import pytest

from insitu.decisions.agree import Agree
from insitu.errors import ConfigError
from insitu.types import Action, Measurement, Verdict

S = 10**9
BAD, GOOD = Verdict(label="anomaly", reason="too rough"), Verdict(label="normal")


def acts(rule: Agree, frames: list[tuple[str, float, dict[str, Verdict]]]) -> list[str]:
    said = []
    for n, (source, t, verdicts) in enumerate(frames):
        decision = rule(Measurement(source=source, seq=n, n=n, time_ns=round(t * S)), verdicts)
        said.append("" if decision is None else decision.action.name)
    return said


def test_one_model_alone_does_nothing_however_often_it_says_so() -> None:
    rule = Agree(models=("texture", "force"), within=10.0)
    assert acts(rule, [("camera", float(t), {"texture": BAD, "force": GOOD}) for t in range(20)]) == [""] * 20


def test_models_that_agree_within_the_span_act_on_every_such_frame() -> None:
    rule = Agree(models=("texture", "force"), within=5.0)
    frames = [("camera", 0.0, {"texture": BAD}), ("load", 4.0, {"force": BAD}), ("load", 4.5, {"force": GOOD}),
              ("load", 5.0, {"force": BAD}), ("load", 6.0, {"force": BAD})]  # fmt: skip
    assert acts(rule, frames) == ["", "HALT", "", "HALT", ""]


def test_a_vote_of_too_long_ago_is_over() -> None:
    rule = Agree(models=("texture", "force"), within=5.0)
    assert acts(rule, [("camera", 0.0, {"texture": BAD}), ("load", 5.1, {"force": BAD})]) == ["", ""]


def test_k_of_n_are_enough_where_that_is_declared() -> None:
    rule = Agree(models=("a", "b", "c"), need=2, action="pause")
    frames = [("x", 0.0, {"a": BAD, "b": GOOD, "c": GOOD}), ("x", 1.0, {"a": GOOD, "b": GOOD, "c": BAD})]
    assert acts(rule, frames) == ["", "PAUSE"]


def test_a_vote_needs_so_many_verdicts_within_the_span() -> None:
    rule = Agree(models=("a", "b"), count=2, within=3.0)
    frames = [("x", float(t), {"a": BAD, "b": BAD if t in (0, 4, 5) else GOOD}) for t in range(7)]
    assert acts(rule, frames) == ["", "", "", "", "", "HALT", "HALT"]


def test_sources_vote_where_one_model_watches_them_all() -> None:
    rule = Agree(models=("level",), by="source", within=2.0)
    frames = [("a", 0.0, {"level": BAD}), ("a", 1.0, {"level": BAD}), ("b", 1.5, {"level": BAD})]
    assert acts(rule, frames) == ["", "", "HALT"]


def test_verdicts_of_one_model_on_frames_of_any_source_are_one_voter() -> None:
    """As `fuse` gives them: with the frame of whichever source came last."""
    rule = Agree(models=("fuse",), on=("change",), count=3, within=10.0)
    change = {"fuse": Verdict(label="change", reason="lasting")}
    assert acts(rule, [("a", 0.0, change), ("b", 1.0, change), ("c", 2.0, change)]) == ["", "", "HALT"]


def test_the_reason_says_who_agreed_and_why() -> None:
    rule = Agree(models=("texture", "force"), within=5.0)
    rule(Measurement(source="camera", seq=0, n=0, time_ns=0), {"texture": BAD})
    decision = rule(Measurement(source="load", seq=0, n=1, time_ns=S), {"force": Verdict(label="change")})
    assert decision is not None
    assert decision.action is Action.HALT
    assert decision.reason == "2 of 2 models agree within 5 s: texture (n 0): too rough; force (n 1): change"


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"models": ()}, "models"),
        ({"models": ("a", "a")}, "models"),
        ({"need": 3}, "need"),
        ({"need": 0}, "need"),
        ({"by": "source", "need": 0}, "need"),
        ({"on": ()}, "on"),
        ({"count": 0}, "count"),
        ({"within": -1.0}, "within"),
        ({"valid_s": -1.0}, "valid_s"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_key(keys: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigError) as found:
        Agree(**{"models": ("a", "b"), **keys})
    assert found.value.where == where
