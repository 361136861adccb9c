"""SIGKILL at random moments: a seeded sample of what `make prove` does at length."""

import pytest

from tests.kills import check, kill_once


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_run_comes_back_with_every_acknowledged_frame_and_nothing_else(tmp_path, seed):
    counts = check(kill_once(tmp_path, seed))
    assert counts["acknowledged"] > 0
