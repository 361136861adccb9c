"""Readers, roles, operators and disks that misbehave: raw data is safe, counts balance, the run ends in order."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from insitu.replay import verify
from insitu.run import engine
from insitu.run.credit import Credit
from insitu.run.intake import Intake
from insitu.run.shared import Shared
from insitu.store.runs import StoredRun
from insitu.types import Action, Decision, Feature, Verdict
from tests.run import hostile
from tests.run.hostile import arrival, frames
from tests.waiting import until

ROLES = {
    "a float as feature": {"feature": lambda f: {"luck": 1.0}},
    "an integer beyond 64 bits": {"feature": lambda f: {"luck": Feature(10**30)}},
    "numbers of numpy": {"model": lambda m: Verdict(label="normal", score=np.float32(1.0), scores={"a": np.int8(1)})},
    "a text as verdict": {"model": lambda m: "normal"},
    "an address in an error": {"feature": lambda f: (_ for _ in ()).throw(KeyError(object()))},
    "an error that is not UTF-8": {"feature": lambda f: (_ for _ in ()).throw(ValueError("\udce9"))},
    "a number as action": {"rule": lambda m: Decision(action=4, reason="")},
}


@pytest.mark.parametrize("told", ROLES.values(), ids=ROLES)
@pytest.mark.parametrize("threads", [1, 4])
def test_whatever_a_role_gives_every_frame_has_a_record_that_replays(go, told, threads):
    summary = go(frames(12), f"budget.measure_threads={threads}", rules=True, **told)
    assert (summary.ended, summary.records, summary.exit_code) == ("complete", 12, 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_analysis_that_fails_leaves_every_frame_counted_and_nothing_waiting(go, monkeypatch, threads):
    from insitu.pipeline import Pipeline

    plain = Pipeline.judge

    def judge(self, measurement):
        if measurement.n == 18:
            raise SystemExit(3)
        return plain(self, measurement)

    monkeypatch.setattr(Pipeline, "judge", judge)
    summary = go(frames(20), f"budget.measure_threads={threads}", 'budget.in_flight="12 kB"', check=False)
    monkeypatch.undo()
    assert summary.frames["stored"] == 20
    assert summary.analysis == {"analysed": 18, "shed": 0, "skipped": 2}
    assert (summary.ended, summary.exit_code) == ("complete", 1)
    assert "SystemExit" in summary.reason
    assert verify(Path(summary.path)).identical


def test_a_decision_does_not_wait_for_the_next_frame_where_several_threads_measure(go):
    judged, waited = threading.Event(), []

    def reader():
        yield from (arrival(k) for k in range(3))
        waited.append(judged.wait(60))
        yield arrival(3)

    def model(m):
        if m.n == 2:
            judged.set()
        return Verdict(label="normal")

    def feature(frame):
        time.sleep(0.05)
        return {"luck": Feature(1.0)}

    go(reader, "budget.measure_threads=4", model=model, feature=feature)
    assert waited == [True]


def test_a_reader_that_exits_is_a_failed_source_not_a_complete_one(go):
    def reader():
        yield arrival(0)
        sys.exit(1)

    summary = go(reader)
    assert (summary.ended, summary.exit_code, summary.frames["stored"]) == ("failed", 3, 1)


def interrupt_after(count):
    def observer(status):
        if status["frames"]["stored"] >= count and status["state"] == "running":
            os.kill(os.getpid(), signal.SIGINT)

    return observer


def test_a_reader_that_hangs_does_not_keep_the_run_from_its_seal(go, monkeypatch):
    monkeypatch.setattr(engine, "PATIENCE_S", 0.4)
    leave = threading.Event()

    def reader():
        yield from (arrival(k) for k in range(5))
        leave.wait(30)

    summary = go(reader, observer=interrupt_after(5))
    leave.set()
    assert (summary.ended, summary.exit_code, summary.frames["stored"]) == ("interrupted", 130, 5)
    assert any("did not notice the stop" in note for note in summary.notes)


def test_a_frame_of_a_reader_that_was_left_behind_is_stored_and_marked_as_skipped(go, monkeypatch):
    """It was in hand when the run was asked to stop, and so slow that nobody waited any longer."""
    monkeypatch.setattr(engine, "PATIENCE_S", 0.3)
    take, close, left_behind = Intake._arrival, Shared.close_store, threading.Event()

    def slowly(intake, item):
        if intake.received == 6:
            left_behind.wait(30)
        take(intake, item)

    def closed(shared):
        left_behind.set()
        while shared.next_n < 6:
            time.sleep(0.01)
        close(shared)

    monkeypatch.setattr(Intake, "_arrival", slowly)
    monkeypatch.setattr(Shared, "close_store", closed)
    summary = go(frames(6), observer=interrupt_after(5))
    assert (summary.frames["stored"], summary.analysis["analysed"], summary.analysis["skipped"]) == (6, 5, 1)
    assert verify(Path(summary.path)).identical


def test_a_frame_that_comes_after_the_store_was_closed_is_told_of_and_its_credit_comes_back():
    shared = Shared(Credit(1000))
    shared.close_analysis()
    shared.close_store()
    assert shared.credit.take(600, wait=False)
    shared.stamp(arrival(0), 0, (0, 0), (0, False, 600, None))
    assert (shared.credit.used, shared.next_n) == (0, 0)
    assert (shared.to_store.get(), shared.to_store.empty()) == (None, True)
    assert "not stored" in shared.notes[0]


def test_an_analysis_that_hangs_is_given_up_and_its_frames_are_skipped(go, monkeypatch):
    monkeypatch.setattr(engine, "PATIENCE_S", 0.4)
    leave = threading.Event()

    def model(m):
        if m.n == 3:
            leave.wait(30)
        return Verdict(label="normal")

    summary = go(frames(8), 'budget.drain="0.2 s"', model=model, observer=interrupt_after(8), check=False)
    leave.set()
    hostile.told.pop("model")
    assert summary.frames["stored"] == 8
    assert summary.analysis == {"analysed": 3, "shed": 0, "skipped": 5}
    assert any("given up" in note for note in summary.notes)
    assert verify(Path(summary.path)).identical


def test_an_interrupt_after_the_source_has_ended_bounds_the_drain(go):
    def model(m):
        time.sleep(0.05)
        return Verdict(label="normal")

    stored: list[float] = []

    def observer(status):
        if status["frames"]["stored"] == 400:
            stored.append(time.monotonic())
        if stored and time.monotonic() - stored[0] > 0.3 and status["state"] == "running":
            os.kill(os.getpid(), signal.SIGTERM)

    summary = go(frames(400), 'budget.drain="0.2 s"', model=model, observer=observer)
    assert (summary.ended, summary.exit_code) == ("interrupted", 130)
    assert summary.analysis["skipped"] > 100
    assert summary.frames["stored"] == 400


def test_a_live_view_that_fails_is_closed_and_the_run_goes_on(go):
    def observer(status):
        raise BrokenPipeError("the terminal went away")

    summary = go(frames(30, 0.01), observer=observer)
    assert (summary.ended, summary.records) == ("complete", 30)
    assert sum("live view" in note for note in summary.notes) == 1


def test_garbage_in_the_inbox_is_refused_and_the_run_goes_on(go):
    put = []

    def observer(status):
        inbox = Path(status["path"]) / "inbox"
        if put or not inbox.is_dir() or not status["frames"]["stored"]:
            return
        put.append(inbox)
        (inbox / "folder.json").mkdir()
        os.mkfifo(inbox / "pipe.json")
        os.symlink("/etc/passwd", inbox / "link.json")
        (inbox / "huge.json").write_bytes(b"[" + b"1," * 50_000 + b"1]")
        (inbox / "deep.json").write_text('{"command":"label","x":' + "[" * 400 + "]" * 400 + "}")
        (inbox / "list.json").write_text("[1, 2]")
        (inbox / "text.json").write_bytes(b"\xff\xfe")
        (inbox / "frame.json").write_text('{"command":"label","n":3,"text":"a spike"}')

    summary = go(frames(60, 0.01), observer=observer)
    assert (summary.ended, summary.records) == ("complete", 60)
    with StoredRun(Path(summary.path)) as stored:
        found = list(stored.entries("operator"))
    assert len(found) == 8
    assert [e.n for e in found if e.body.get("text") == "a spike"] == [3]
    assert sum("refused" in e.body for e in found) == 6


@pytest.mark.parametrize("act", ["at_once", "after_commit"])
def test_an_instrument_that_fails_to_adapt_is_a_refusal_in_the_log(go, act):
    def adapt(params):
        raise OSError("no route to host")

    summary = go(
        frames(5), f'budget.act="{act}"', 'budget.commit="0.3 s"', mode="act", rules=True, adapt_limits=True,
        adapt=adapt,
        rule=lambda m: Decision(action=Action.ADAPT, reason="", params={"exposure": Feature(1.0, "s")}, valid_s=60.0),
    )  # fmt: skip
    assert (summary.ended, summary.records, summary.exit_code) == ("complete", 5, 0)
    with StoredRun(Path(summary.path)) as stored:
        refused = [e.body["refused"] for e in stored.entries("action")]
    assert len(refused) == 5
    assert all("no route to host" in text for text in refused)


def test_quarantined_bytes_are_covered_by_the_credit(go, monkeypatch):
    """A counter that stands still makes every frame a duplicate: they must not fill the memory."""
    from insitu.run.credit import Credit
    from insitu.store.writer import RunWriter

    plain, most, take = RunWriter.commit, [], Credit.take

    def slow(self):
        time.sleep(0.02)
        return plain(self)

    def watched(self, nbytes, *, wait):
        given = take(self, nbytes, wait=wait)
        most.append(self.used)
        return given

    monkeypatch.setattr(RunWriter, "commit", slow)
    monkeypatch.setattr(Credit, "take", watched)
    summary = go(frames(60, source_seq=7), 'budget.in_flight="20 kB"')
    assert (summary.frames["stored"], summary.frames["duplicates"]) == (1, 59)
    assert len(most) >= 60
    assert max(most) <= 20_000


def test_nothing_is_left_open_after_a_run(go):
    go(frames(3))
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        go(frames(20))
    until(lambda: (len(os.listdir("/proc/self/fd")), threading.active_count()) == before, "all is closed")


def test_a_run_in_another_thread_than_main_works(go):
    found = []
    thread = threading.Thread(target=lambda: found.append(go(frames(5))))
    thread.start()
    thread.join(90)
    assert found[0].records == 5


@pytest.mark.damages
def test_an_old_run_that_is_damaged_does_not_keep_a_new_one_from_starting(go):
    first = go(frames(5))
    (Path(first.path) / "seal.json").unlink()
    ledger = Path(first.path) / "ledger.db"
    data = bytearray(ledger.read_bytes())
    data[100:4096] = os.urandom(3996)
    ledger.write_bytes(data)
    second = go(frames(5))
    assert second.ended == "complete"
    assert any("could not be recovered" in note for note in second.notes)
