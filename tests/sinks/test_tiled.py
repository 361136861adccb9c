"""Tiled's own server, in a process of its own, takes our runs through bluesky's own writer."""

import pytest

from insitu.run import run
from tests.documents import documents, events, sending
from tests.settings import WINDOW


@pytest.mark.timeout(300)
def test_tiled_holds_every_event_with_its_values_texts_and_absences(tiled, tmp_path):
    more = {
        "prepare": [{"use": "baseline", "window": "2 deg"}],
        "features": [{"use": "prepared"}, {"use": "totals"}, {"use": "xrd.peaks", "windows": WINDOW}],
    }
    rule = {"feature": "pattern", "shape": [4096], "dtype": "float32", "max_rate": "4 Hz"}
    policy = {"features": ["*"], "verdicts": ["*"], "context": ["temperature"], "arrays": [rule], "reasons": True}
    summary = run(sending(policy, frames=12, rate="20 Hz", faults=["slipped@6"], more=more), data_root=tmp_path)
    found = documents(summary)
    held = tiled.ingested(summary.path)
    assert held["start"] == summary.run_uid
    assert held["stop"] == found[-1][1]["num_events"]
    table = held["streams"]["det"]
    for key in ("frame_seq", "action", "limits_label", "peak1_position", "peak1_position_status", "temperature"):
        values = [e["data"][key] for e in events(found)]
        assert table[key] == [None if value != value else value for value in values], f"{key}: NaN is null in JSON"
    patterns = [e["data"]["pattern"] for e in events(found, "det-pattern")]
    assert held["streams"]["det-pattern"]["pattern"] == patterns
    assert [len(p) for p in patterns] == [4096] * 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("peaks", [0, 3, 7])
def test_tiled_takes_runs_with_no_three_and_seven_peaks(tiled, tmp_path, peaks):
    windows = [[f"{31.0 + k} deg", f"{32.0 + k} deg"] for k in range(7)]
    more = {"features": [{"use": "xrd.peaks", "windows": windows}], "models": [], "rules": []}
    table = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.simple:Peaks", "peaks": peaks}}}
    summary = run(sending({"features": ["*"]}, detectors=table, more=more), data_root=tmp_path)
    held = tiled.ingested(summary.path)["streams"]["det"]
    for k in range(1, 8):
        assert held[f"peak{k}_position_status"] == ["ok" if k <= peaks else "absent"] * 4
