"""Faults as texts: what is understood, what is refused and how helpfully, and what arrives in which order."""

import pytest

from insitu.errors import ConfigError
from insitu.readers.faults import KINDS, Fault, active, arrival_order, parse_fault, source_number


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("beam_loss@120", Fault("beam_loss", 120, None, 0.0)),
        ("beam_loss@120-140", Fault("beam_loss", 120, 140, 0.0)),
        ("zero_shift@3-=-0.1", Fault("zero_shift", 3, None, -0.1)),
        ("slipped@7=0.5", Fault("slipped", 7, None, 0.5)),
        ("missing@40", Fault("missing", 40, 40, 0.0)),
        ("missing@40-", Fault("missing", 40, None, 0.0)),
        ("reorder@50=3", Fault("reorder", 50, 50, 3.0)),
        ("saturation@1-2=1e3", Fault("saturation", 1, 2, 1000.0)),
    ],
)
def test_a_fault_is_read_from_its_text(text, fault):
    assert parse_fault(text) == fault


def test_an_unknown_kind_is_refused_with_all_kinds_and_the_nearest():
    with pytest.raises(ConfigError) as caught:
        parse_fault("beamloss@120")
    message = str(caught.value)
    assert caught.value.where == "faults"
    assert "Did you mean 'beam_loss'?" in message
    assert all(kind in message for kind in KINDS)


@pytest.mark.parametrize("text", ["", "beam_loss", "beam_loss@", "beam_loss@-3", "beam_loss@x", "dead@3..5"])
def test_a_text_that_is_no_fault_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"kind@first-last.*beam_loss@120-140"):
        parse_fault(text)


def test_a_fault_that_ends_before_it_begins_is_refused():
    with pytest.raises(ConfigError, match="ends before it begins"):
        parse_fault("dead@9-3")


@pytest.mark.parametrize("text", ["beam_loss@1=2", "saturation@1=0.5", "missing@1=4", "reorder@1=e", "dead@1=-1"])
def test_an_impossible_strength_is_refused(text):
    with pytest.raises(ConfigError, match="strength"):
        parse_fault(text)


def test_a_fault_covers_its_first_and_its_last_frame():
    faults = [parse_fault("dead@3-5")]
    assert [bool(active(faults, i)) for i in range(2, 7)] == [False, True, True, True, False]


def order(*texts: str, frames: int = 8) -> list[int]:
    return list(arrival_order([parse_fault(text) for text in texts], range(frames)))


def test_without_faults_frames_arrive_in_order():
    assert order("dead@2", "beam_loss@4") == list(range(8))


def test_missing_frames_do_not_arrive():
    assert order("missing@2-4") == [0, 1, 5, 6, 7]


def test_a_duplicate_arrives_right_after_itself():
    assert order("duplicate@2", "duplicate@5=2") == [0, 1, 2, 2, 3, 4, 5, 5, 5, 6, 7]


def test_a_reordered_frame_arrives_late():
    assert order("reorder@2=3") == [0, 1, 3, 4, 5, 2, 6, 7]


def test_frames_held_back_at_the_end_are_not_lost():
    assert order("reorder@6=5", "reorder@7=2") == [0, 1, 2, 3, 4, 5, 7, 6]
    assert sorted(order("reorder@0-7=3")) == list(range(8))


def test_a_late_frame_comes_even_when_the_one_it_waits_for_is_missing():
    assert order("reorder@2", "missing@3") == [0, 1, 2, 4, 5, 6, 7]


def test_numbers_wrap_at_the_counters_width_and_restart_at_a_reset():
    faults = [parse_fault("reset@4=1")]
    assert [source_number(faults, i, 14, 4) for i in range(7)] == [14, 15, 0, 1, 1, 2, 3]
    assert source_number([], 5, 1000, None) == 1005
