"""Counting frames in a row."""

import pytest

from insitu.decisions.streak import Streak
from insitu.errors import ConfigError


def trips(labels, **settings):
    """A letter for each label: T tripped, . not."""
    streak = Streak(on=("anomaly",), **settings)
    said = ""
    for n, letter in enumerate(labels):
        streak.see(n, {"a": "anomaly", "n": "normal", "u": "unknown", "r": "review"}[letter])
        said += "T" if streak.tripped else "."
    return said


@pytest.mark.parametrize(
    ("labels", "settings", "said"),
    [
        ("aanaaa", {"count": 3}, ".....T"),
        ("aaarn", {"count": 3}, "..T.."),
        ("aaananaaa", {"count": 3, "clear_after": 2}, "..TTTTTTT"),
        ("aaannaaa", {"count": 3, "clear_after": 2}, "..TT...T"),
        ("anana", {"count": 3, "within": 5}, "....T"),
        ("annaannna", {"count": 3, "within": 5}, "....T...."),
        ("aauua", {"count": 3}, "....T"),
        ("aauua", {"count": 3, "unknown": "reset"}, "....."),
        ("auu", {"count": 3, "unknown": "count"}, "..T"),
        ("auun", {"count": 1}, "TTT."),
        ("uuuu", {"count": 1}, "...."),
    ],
)
def test_a_streak_trips_and_clears_as_it_says(labels, settings, said):
    assert trips(labels, **settings) == said


def test_the_span_counts_from_the_first_frame_of_the_streak():
    streak = Streak(on=("anomaly",), count=2, within=3)
    for n, label in zip((4, 8, 15, 16, 23), ("normal", "anomaly", "normal", "anomaly", "anomaly"), strict=True):
        streak.see(n, label)
    assert streak.span() == "3 frames (n 8 to 23)"


def test_all_labels_that_counted_are_remembered():
    streak = Streak(on=("anomaly",), count=2, unknown="count")
    streak.see(0, "anomaly")
    streak.see(1, "unknown")
    assert list(streak.labels) == ["anomaly", "unknown"]


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"on": ()}, "on"),
        ({"count": 0}, "count"),
        ({"clear_after": 0}, "clear_after"),
        ({"count": 3, "within": 2}, "within"),
        ({"on": ("unknown",), "unknown": "reset"}, "unknown"),
    ],
)
def test_impossible_settings_are_refused(settings, where):
    with pytest.raises(ConfigError) as caught:
        Streak(**({"on": ("anomaly",)} | settings))
    assert caught.value.where == where
