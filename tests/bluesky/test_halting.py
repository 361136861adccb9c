"""What goes wrong is acted on within three frames, nothing else is, and no order of actions loses or hangs anything.
The long versions are in `tests/prove.py`."""

import pytest

from tests.bluesky.halting import FAULTS, clean, faulty, random_actions


@pytest.mark.parametrize("kind", list(FAULTS))
def test_a_fault_suspends_or_aborts_the_plan_within_three_frames(tmp_path, kind):
    assert faulty(kind, 1, tmp_path)["latest_frame"] <= 3


def test_nothing_is_done_in_clean_frames(tmp_path):
    assert clean(2, tmp_path, 300)["clean_frames"] == 300


def test_thirty_actions_at_random_moments_hang_nothing_and_lose_nothing(tmp_path):
    assert random_actions(3, tmp_path, 30, limit_s=100)["events"] > 30
