"""A session's process is killed in mid-scan. The long version is in `tests/prove.py` (`--sessions`)."""

import pytest

from tests.bluesky.killing import killed


@pytest.mark.timeout(600)
def test_a_scan_goes_on_whatever_is_killed_and_no_acknowledged_frame_is_lost(tmp_path):
    assert killed(5, tmp_path, 2)["kills"] == 2
