"""What leaves whole runs: nothing but what the policy names, in documents that event-model accepts."""

import math
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from insitu.config import load_stored
from insitu.replay import reanalyse, verify
from insitu.run import Summary, run
from insitu.run.egress import recounted
from insitu.store.outbox import rows
from insitu.store.recover import recover
from insitu.store.runs import StoredRun
from tests.documents import documents, events, keys, packed, sending
from tests.settings import WINDOW, detector, setup

ROOT = Path(__file__).resolve().parent.parent.parent
POSITION = {"features": ["peak1_*"], "verdicts": ["limits"]}
BARE = {"frame_seq", "withheld", "action", "rule", "review", "raw_address"}


def manifest(summary):
    with StoredRun(Path(summary.path)) as stored:
        return stored.seal_body()["egress"]


def test_without_kafka_nothing_is_put_into_the_outbox(tmp_path):
    summary = run(setup(frames=5), data_root=tmp_path)
    assert packed(summary) == []
    with StoredRun(Path(summary.path)) as stored:
        assert "egress" not in stored.seal_body()


def test_without_a_policy_only_counts_and_decisions_leave(tmp_path):
    summary = run(sending(frames=30, faults=["slipped@20"]), data_root=tmp_path, operator="anna")
    found = documents(summary)
    assert found[0][1].keys() == {"uid", "time", "simulated"}
    assert set(keys(found)) == BARE
    assert {e["data"]["action"] for e in events(found)} == {"CONTINUE", "HALT"}
    assert not any(b"anna" in doc or b"31." in doc for doc in packed(summary))
    stop = found[-1][1]
    assert stop["num_events"] == {"det": 30}
    assert stop["insitu"]["counts"]["frames"]["stored"] == 30
    assert stop["reason"] == ""
    assert verify(Path(summary.path)).identical


def test_features_that_the_policy_names_leave_with_unit_sigma_and_status(tmp_path):
    found = documents(run(sending(POSITION, frames=10), data_root=tmp_path))
    named = keys(found)
    assert named["peak1_position"]["units"] == "deg"
    assert "total" not in named
    for event in events(found):
        assert event["data"]["peak1_position_status"] == "ok"
        assert 31 < event["data"]["peak1_position"] < 32
        assert event["data"]["peak1_position_sigma"] > 0
        assert event["data"]["limits_label"] == "normal"


def of_peaks(peaks, policy):
    """A setup whose patterns have so many peaks in seven windows."""
    windows = [[f"{31.0 + k} deg", f"{32.0 + k} deg"] for k in range(7)]
    more = {"features": [{"use": "xrd.peaks", "windows": windows}], "models": [], "rules": []}
    table = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.simple:Peaks", "peaks": peaks}}}
    return sending(policy, detectors=table, more=more)


def test_an_absent_value_is_nan_and_its_status_says_so(tmp_path):
    for reasons in (False, True):
        found = documents(run(of_peaks(0, {"features": ["peak1_*"], "reasons": reasons}), data_root=tmp_path))
        for event in events(found):
            assert math.isnan(event["data"]["peak1_position"])
            assert math.isnan(event["data"]["peak1_position_sigma"])
            status = event["data"]["peak1_position_status"]
            assert status.startswith("absent: ") if reasons else status == "absent"


@pytest.mark.parametrize("peaks", [0, 3, 7])
def test_the_keys_are_fixed_for_runs_with_no_three_and_seven_peaks(tmp_path, peaks):
    found = documents(run(of_peaks(peaks, {"features": ["*"]}), data_root=tmp_path))
    assert len([k for k in keys(found) if k.endswith("_position")]) == 7
    for event in events(found):
        ok = [event["data"][f"peak{k}_position_status"] == "ok" for k in range(1, 8)]
        assert ok == [k < peaks for k in range(7)], event["data"]


def test_a_rate_is_kept_by_frame_time_and_what_stays_is_counted(tmp_path):
    policy = {**POSITION, "max_rate": "5 Hz"}
    summary = run(sending(policy, frames=60, rate="20 Hz"), data_root=tmp_path)
    found = documents(summary)
    times = [e["time"] for e in events(found)]
    assert len(times) == 15
    assert all(b - a >= 0.2 - 1e-6 for a, b in pairwise(times))
    assert [e["data"]["withheld"] for e in events(found)] == [0] + [3] * 14
    account = manifest(summary)
    assert account["withheld"] == {"rate": 45}
    assert account["records"] == 60
    assert account["streams"]["det"]["peak_hz"] <= 5.001
    assert found[-1][1]["insitu"]["withheld"] == {"rate": 45}
    assert verify(Path(summary.path)).identical


def test_the_same_frames_give_the_same_documents(tmp_path):
    def told(root):
        found = documents(run(sending({**POSITION, "max_ratio": 0.03}, frames=30, seed=3), data_root=root))
        return [d["data"] for d in events(found)], found[-1][1]["insitu"]["withheld"]

    first, second = told(tmp_path / "a"), told(tmp_path / "b")
    assert first == second
    assert first[1]["ratio"] > 0


def test_bytes_and_ratio_are_ceilings(tmp_path):
    summary = run(sending({**POSITION, "max_ratio": 0.03}, frames=40), data_root=tmp_path)
    account = manifest(summary)
    assert account["ratio"] <= 0.03
    assert 0 < account["documents"]["event"] < 40


def test_every_segment_of_a_source_has_a_descriptor_of_its_own(tmp_path):
    table = {"bench": {"format": 1, "source": "det", "reader": {"use": "tests.run.broken:Growing"}}}
    more = {"features": [{"use": "totals"}], "models": [], "rules": []}
    found = documents(run(sending({"features": ["total"]}, detectors=table, more=more), data_root=tmp_path))
    names = [d["name"] for name, d in found if name == "descriptor"]
    assert names[:2] == ["det", "det-1"]
    assert sum(found[-1][1]["num_events"].values()) == 4


def test_two_sources_have_streams_of_their_own(tmp_path):
    table = {"a": detector("left", frames=6, seed=1), "b": detector("right", frames=5, seed=2)}
    more = {"models": [], "rules": []}
    found = documents(run(sending(POSITION | {"verdicts": []}, detectors=table, more=more), data_root=tmp_path))
    assert found[-1][1]["num_events"] == {"left": 6, "right": 5}
    assert len(events(found, "left")) == 6


def test_arrays_leave_only_where_named_with_shape_dtype_and_rate(tmp_path):
    more = {
        "prepare": [{"use": "baseline", "window": "2 deg"}],
        "features": [{"use": "prepared"}, {"use": "xrd.peaks", "windows": WINDOW}],
    }
    rule = {"feature": "pattern", "shape": [4096], "dtype": "float32", "max_rate": "4 Hz"}
    summary = run(sending({"arrays": [rule]}, frames=10, rate="20 Hz", more=more), data_root=tmp_path)
    found = documents(summary)
    assert keys(found, "det-pattern")["pattern"]["shape"] == [4096]
    assert [len(e["data"]["pattern"]) for e in events(found, "det-pattern")] == [4096, 4096]
    assert manifest(summary)["arrays_withheld"] == {"rate": 8}
    assert len(events(found)) == 10
    summary = run(sending({"arrays": [rule | {"shape": [4095]}]}, frames=3, more=more), data_root=tmp_path)
    assert Counter(name for name, _ in documents(summary)) == {"start": 1, "descriptor": 1, "event": 3, "stop": 1}
    assert manifest(summary)["arrays_withheld"] == {"shape": 3}


def test_with_triage_normal_records_leave_as_counts_and_the_others_with_their_verdict(tmp_path):
    policy = {**POSITION, "triage": True}
    summary = run(sending(policy, frames=30, faults=["slipped@20"]), data_root=tmp_path)
    found = documents(summary)
    assert [e["data"]["frame_seq"] for e in events(found)] == list(range(20, 30))
    assert [e["data"]["withheld"] for e in events(found)] == [20] + [0] * 9
    assert manifest(summary)["withheld"] == {"normal": 20}


def test_a_record_for_review_is_flagged_with_its_raw_address(tmp_path):
    more = {"models": [{"use": "tests.run.simple:Doubtful", "name": "doubt"}], "rules": []}
    summary = run(sending({"triage": True}, frames=6, more=more), data_root=tmp_path)
    (event,) = events(documents(summary))
    assert event["data"]["review"] is True
    assert event["data"]["raw_address"] == f"insitu:{summary.run_uid}/det/3"
    with StoredRun(Path(summary.path)) as stored:
        assert stored.frame("det", 3).seq == 3


def test_the_stop_document_holds_the_head_that_the_seal_file_holds(tmp_path):
    summary = run(sending(frames=3), data_root=tmp_path)
    assert documents(summary)[-1][1]["insitu"]["head"] == summary.head


KILLED = """
import os, sys
from pathlib import Path
from insitu.run import run
from tests.documents import sending

def observe(status):
    if status["frames"]["stored"] > 25:
        os.kill(os.getpid(), 9)

policy = {"features": ["peak1_*"], "max_rate": "25 Hz"}
run(sending(policy, frames=10000, rate="50 Hz", live=True), data_root=Path(sys.argv[1]), observer=observe)
"""


def test_a_killed_run_is_recovered_with_a_stop_document_and_the_account_of_what_left(tmp_path):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    assert ended.returncode == -9
    (folder,) = tmp_path.glob("runs/*/*")
    report = recover(folder, recount=recounted)
    summary = Summary(run_uid=folder.name, path=str(folder), ended="failed", reason="")
    found = documents(summary)
    stop, before = found[-1][1], packed(summary)
    assert (stop["exit_status"], stop["insitu"]["ended"]) == ("fail", "failed")
    account = manifest(summary)
    assert stop["num_events"] == {"det": len(events(found))}
    assert account["documents"] == {"start": 1, "descriptor": 1, "event": len(events(found))}
    assert account["withheld"].keys() == {"rate"}
    assert account["limits"]["max_rate_hz"] == 25.0
    assert account["records"] == len(events(found)) + account["withheld"]["rate"]
    assert account["records"] + report["skipped"] == stop["insitu"]["counts"]["frames"]["stored"] > 25
    assert verify(folder).identical
    assert recover(folder)["already_sealed"]
    assert packed(summary) == before


def test_every_record_in_the_log_is_in_the_outbox_or_counted_after_a_kill_anywhere(tmp_path):
    """Records and their documents are one commit: the outbox of a run that ends anywhere has all events or none."""
    summary = run(sending(POSITION, frames=20), data_root=tmp_path)
    with StoredRun(Path(summary.path)) as stored:
        numbers = [n for n, _ in stored.record_bytes()]
        sent = [n for _, n, name, _ in rows(stored.connection) if name == "event"]
    assert numbers == sent


@pytest.mark.parametrize("damage", ["DELETE FROM outbox WHERE oid = 4", "UPDATE outbox SET doc = doc || x'00'"])
def test_an_outbox_that_was_changed_is_found_by_verify(tmp_path, damage):
    summary = run(sending(POSITION, frames=6), data_root=tmp_path)
    assert verify(Path(summary.path)).identical
    (Path(summary.path) / "seal.json").unlink()  # as who forges a file would forge its digest too
    with closing(sqlite3.connect(Path(summary.path) / "ledger.db")) as db:
        db.execute(damage)
        db.commit()
    assert any("ledger.db" in finding.where for finding in verify(Path(summary.path)).findings)


def test_a_run_judged_again_has_documents_of_its_own_that_name_the_first(tmp_path):
    policy = {**POSITION, "max_rate": "5 Hz", "max_ratio": 0.5}
    first = run(sending(policy, frames=30, rate="20 Hz"), data_root=tmp_path)
    again = reanalyse(Path(first.path), sending(policy, frames=30, rate="20 Hz"), data_root=tmp_path)
    old, new = documents(first), documents(again)
    assert (new[0][1]["uid"], new[0][1]["source_run_uid"]) == (again.run_uid, first.run_uid)
    assert [repr(d["data"]) for d in events(new)] == [repr(d["data"]) for d in events(old)]
    assert {d["uid"] for _, d in new}.isdisjoint({d["uid"] for _, d in old})
    assert manifest(again)["withheld"] == manifest(first)["withheld"]
    assert any("outbox drain" in note for note in again.notes)
    assert not (Path(again.path) / "sent.json").exists(), "nothing is sent by itself"
    assert verify(Path(again.path)).identical


def test_a_run_judged_again_without_its_key_offers_nothing_and_says_so(tmp_path):
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    policy = {"pseudonyms": ["sample"], "pseudonym_key": str(key)}
    first = run(sending(policy, frames=3), data_root=tmp_path)
    key.unlink()
    again = reanalyse(Path(first.path), load_stored(Path(first.path)), data_root=tmp_path)
    assert packed(again) == []
    assert any("nothing of this run is offered" in note for note in again.notes)


def test_a_halt_leaves_although_the_rate_is_used_up(tmp_path):
    policy = {**POSITION, "max_rate": "0.1 Hz"}
    summary = run(sending(policy, frames=30, rate="20 Hz", faults=["slipped@20"]), data_root=tmp_path)
    with StoredRun(Path(summary.path)) as stored:
        halts = [r["seq"] for r in stored.records() if r["decision"]["action"] == "HALT"]
    assert len(halts) > 2
    told = [(e["data"]["frame_seq"], e["data"]["action"], e["data"]["withheld"]) for e in events(documents(summary))]
    assert told == [(0, "CONTINUE", 0), (halts[0], "HALT", halts[0] - 1)]


@pytest.mark.parametrize(
    "policy",
    [
        {**POSITION, "max_rate": "5 Hz"},
        {**POSITION, "max_ratio": 0.05, "reasons": True},
        {**POSITION, "triage": True},
        {"metadata": ["sample"], "max_rate": "3 Hz", "max_ratio": 0.04},
        {
            "arrays": [{"feature": "pattern", "shape": [4096], "dtype": "float32", "max_rate": "4 Hz"}],
            "max_rate": "9 Hz",
        },
    ],
)
def test_the_account_made_up_from_the_ledger_is_the_one_of_the_run(tmp_path, policy):
    more = {"prepare": [{"use": "baseline", "window": "2 deg"}]}
    more |= {"features": [{"use": "prepared"}, {"use": "xrd.peaks", "windows": WINDOW}]}
    summary = run(sending(policy, frames=40, rate="20 Hz", faults=["slipped@20"], more=more), data_root=tmp_path)
    expected = {k: v for k, v in manifest(summary).items() if k != "spool"}
    with StoredRun(Path(summary.path)) as stored:
        assert recounted(stored) == expected
    assert expected["withheld"]
