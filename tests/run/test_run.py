"""Whole runs on the simulated diffractometer: counts, modes, stops, what is on disk afterwards."""

import os
import signal
import threading

import pytest

from insitu.run import run
from insitu.store.runs import StoredRun
from tests.run.reading import entries, proven
from tests.settings import detector, setup


def test_a_run_stores_measures_judges_and_seals_every_frame(tmp_path):
    summary = run(setup(frames=60), data_root=tmp_path)
    assert (summary.ended, summary.exit_code) == ("complete", 0)
    assert summary.frames == {
        "expected": 60, "received": 60, "stored": 60, "invalid": 0, "dropped": 0, "lost": 0, "duplicates": 0, "late": 0,
    }  # fmt: skip
    assert summary.analysis == {"analysed": 60, "shed": 0, "skipped": 0}
    assert summary.records == 60
    assert proven(summary).frames == 60


def test_the_records_are_the_same_bytes_in_two_runs_of_one_seed(tmp_path):
    found = []
    for k in range(2):
        summary = run(setup(frames=30, seed=5), data_root=tmp_path / str(k))
        with StoredRun(next((tmp_path / str(k)).glob("runs/*/*"))) as stored:
            found.append(list(stored.record_bytes()))
        assert summary.records == 30
    assert found[0] == found[1]


def test_in_act_a_planted_fault_halts_and_in_advise_the_run_goes_on(tmp_path):
    for mode, ended, code in (("act", "halted", 1), ("advise", "complete", 0)):
        summary = run(setup(frames=60, faults=["slipped@40"]), data_root=tmp_path, mode=mode)
        assert (summary.ended, summary.exit_code) == (ended, code)
        assert summary.decisions["HALT"] >= 1
        actions = entries(summary, "action")
        assert [a.body["acknowledged"] for a in actions] == ([True] if mode == "act" else [])
        proven(summary)
    assert "peak1_position" in run(setup(frames=60, faults=["slipped@40"]), data_root=tmp_path, mode="act").reason


def test_losses_duplicates_and_reordered_frames_balance(tmp_path):
    faults = ["missing@10-12", "duplicate@20", "reorder@30", "missing@40"]
    summary = run(setup(frames=60, faults=faults), data_root=tmp_path)
    f = summary.frames
    assert f["expected"] == f["stored"] + f["invalid"] + f["dropped"] + f["lost"] == 60
    assert (f["lost"], f["duplicates"], f["stored"]) == (4, 1, 56)
    assert f["received"] == f["expected"] - f["lost"] + f["duplicates"] + f["late"]
    proven(summary)


def test_counts_balance_in_every_commit(tmp_path):
    seen = []
    faults = ["missing@10-12", "duplicate@20", "reorder@30", "reset@45"]
    run(setup(frames=60, faults=faults, rate="200 Hz"), data_root=tmp_path, observer=seen.append)
    assert len(seen) >= 2
    for s in seen:
        f, a = s["frames"], s["analysis"]
        assert f["expected"] == f["stored"] + f["invalid"] + f["dropped"] + f["lost"]
        assert f["stored"] == a["analysed"] + a["shed"] + a["skipped"] + a["pending"]


def test_two_sources_are_judged_in_order_of_arrival_and_replay_to_the_same_bytes(tmp_path):
    detectors = {
        "a": detector("left", rate="150 Hz", frames=50, seed=1),
        "b": detector("right", rate="110 Hz", frames=40, seed=2),
    }
    recipe = {
        "models": [
            {"use": "limits", "name": "l", "feature": "peak1_position", "source": "left", "low": "31.45 deg"},
            {"use": "limits", "name": "r", "feature": "peak1_position", "source": "right", "high": "31.60 deg"},
        ],
        "rules": [{"use": "halt_after", "model": "l", "count": 3}],
    }
    summary = run(setup(recipe, detectors=detectors), data_root=tmp_path)
    frames = [(e.n, e.body["source"]) for e in entries(summary, "frame")]
    assert [n for n, _ in frames] == list(range(90))
    assert len({s for _, s in frames[:20]}) == 2, "the sources must be interleaved for this to mean anything"
    records = [(e.n, e.body["source"]) for e in entries(summary, "record")]
    assert records == frames
    proven(summary)


def test_sources_with_one_measuring_thread_or_four_give_the_same_bytes(tmp_path):
    bodies = []
    for threads in (1, 4):
        root = tmp_path / str(threads)
        run(setup(None, f"budget.measure_threads={threads}", frames=40), data_root=root)
        with StoredRun(next(root.glob("runs/*/*"))) as stored:
            bodies.append(list(stored.record_bytes()))
    assert bodies[0] == bodies[1]
    assert len(bodies[0]) == 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_stops_in_order_and_seals(tmp_path, number):
    def observe(status):
        if status["frames"]["stored"] > 20 and status["state"] == "running":
            os.kill(os.getpid(), number)

    summary = run(setup(rate="50 Hz", frames=100000, live=True), data_root=tmp_path, observer=observe)
    assert (summary.ended, summary.exit_code) == ("interrupted", 130)
    assert signal.Signals(number).name in summary.reason
    assert summary.frames["stored"] == summary.records > 10
    proven(summary)


def test_finish_ends_the_run_with_exit_0(tmp_path):
    recipe = {"rules": [{"use": "finish_when", "feature": "context.temperature", "above": "325 K"}]}
    summary = run(setup(recipe, frames=400), data_root=tmp_path, mode="act")
    assert (summary.ended, summary.exit_code) == ("finished", 0)
    assert "temperature" in summary.reason


def test_hold_and_release_reach_a_running_process_and_hold_wins(tmp_path):
    import json

    held = threading.Event()

    def observe(status):
        from pathlib import Path

        if not held.is_set() and status["frames"]["stored"] > 5:
            inbox = Path(status["path"]) / "inbox"
            (inbox / ".x.json").write_text(json.dumps({"command": "hold", "operator": "eva", "reason": "alignment"}))
            os.rename(inbox / ".x.json", inbox / "x.json")
            held.set()

    summary = run(
        setup(frames=80, rate="40 Hz", faults=["slipped@50"]), data_root=tmp_path, mode="act", observer=observe
    )
    assert summary.ended == "complete", "a held HALT must not end the run"
    (operator,) = entries(summary, "operator")
    assert operator.body["operator"] == "eva"
    refused = [a.body["refused"] for a in entries(summary, "action")]
    assert refused
    assert all("held" in text or "hold" in text for text in refused)
    proven(summary)


def test_no_fsync_lies_on_the_decision_path(tmp_path):
    """By order of events: a frame's decision is offered although its own sync has not begun."""
    from insitu.store.files import Disk

    events = []
    gate = threading.Event()

    class Slow(Disk):
        def sync(self, fd):
            if self._paths[fd].endswith("/c/0/0") and self.armed:
                events.append("sync begins")
                assert gate.wait(120)
            super().sync(fd)

        armed = False

    disk = Slow()

    def observe(status):
        if status["frames"]["stored"] and not disk.armed:
            disk.armed = True
        if status["last_action"]:
            events.append("decided")
            gate.set()

    late = threading.Timer(90, gate.set)  # where it does lie there
    late.start()
    summary = run(
        setup(frames=60, rate="40 Hz", live=True, faults=["slipped@40"]),
        data_root=tmp_path,
        observer=observe,
        disk=disk,
    )
    late.cancel()
    assert "sync begins" in events
    assert events.index("decided") > events.index("sync begins")
    halts = [e.n for e in entries(summary, "record") if e.body["decision"]["action"] == "HALT"]
    assert halts[0] == 42
    assert summary.frames["stored"] == 60


def test_after_commit_an_action_is_offered_only_once_its_record_is_on_disk(tmp_path):
    order = []
    from insitu.run.acting import Acting
    from insitu.store.ledger import Ledger

    commit, carry = Ledger.commit, Acting._carry_out

    def watched_commit(self):
        kinds = [e[1] for e in self._log if b'"HALT"' in e[3]]
        commit(self)
        order.extend(kinds)

    def watched_carry(self, *about):
        order.append("act")
        return carry(self, *about)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "commit", watched_commit)
        patch.setattr(Acting, "_carry_out", watched_carry)
        run(setup(None, 'budget.act="after_commit"', frames=60, faults=["slipped@40"]), data_root=tmp_path, mode="act")
    assert order[0] == "record"
    assert "act" in order
