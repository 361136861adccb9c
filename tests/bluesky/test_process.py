"""The process of a session's run: killed, left alone, stopped, overfed; the scan goes on, and what was lost is told."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import event_model
import numpy as np
import pytest

from insitu.bluesky import Session, following
from insitu.bluesky.wire import joined, pack
from insitu.bluesky.worker import Worker
from insitu.errors import ConfigError
from insitu.store.lock import is_locked
from insitu.store.runs import StoredRun
from tests.bluesky.camera import Camera, Heard, entries, pictures, session, stored
from tests.waiting import until

WAIT_S = 60.0
DTYPES = ["i1", "u1", "i2", "u2", ">u2", "i4", "u4", "i8", "u8", "f4", "f8", ">f8"]


class Plan:
    """Documents of a plan, made by hand."""

    def __init__(self, feed: Callable[[str, Any], None], **keys: Any) -> None:
        self.feed, self._run = feed, event_model.compose_run()
        described: Any = {"camera": {"source": "x", "dtype": "array", "shape": [3, 4], **keys}}
        self._stream = self._run.compose_descriptor(name="primary", data_keys=described)
        feed("start", self._run.start_doc)
        feed("descriptor", self._stream.descriptor_doc)

    def picture(self, array: np.ndarray) -> None:
        self.feed("event", self._stream.compose_event(data={"camera": array}, timestamps={"camera": time.time()}))

    def end(self) -> None:
        self.feed("stop", self._run.compose_stop())


def test_a_process_that_is_killed_in_mid_scan_is_told_and_followed_by_another(engine, tmp_path, caplog):
    camera, heard, states = Camera(), Heard(engine), list[str]()
    with session(engine, tmp_path) as insitu:
        first, killed = insitu.run, insitu.pid
        insitu.device.state.subscribe(lambda value, **_: states.append(value), run=False)
        insitu.hold()

        def before(k: int) -> None:
            if k == 5:
                until(lambda: first.status()["frames"]["stored"] >= 3)
                os.kill(killed, signal.SIGKILL)
                until(lambda: not first.alive)
                beat = insitu.device.heartbeat.get()
                time.sleep(0.2)
                assert insitu.device.heartbeat.get() == beat or insitu.run is not first

        engine(pictures(camera, 12, before))
        until(lambda: insitu.run is not first)
        assert insitu.pid != killed
    assert heard["stop"][0]["exit_status"] == "success"
    assert "failed" in states
    assert "killed by SIGKILL" in caplog.text
    assert [s.ended for s in insitu.summaries] == ["failed", "complete"]
    assert "killed by SIGKILL" in insitu.summaries[0].reason
    second = Path(insitu.summaries[1].path)
    assert entries(second, "open")[0]["continues"] == first.uid
    (told,) = [e for e in entries(second, "event") if e["what"] == "process_ended"]
    assert told["continues"] == first.uid
    assert entries(second, "operator")[0]["command"] == "hold"
    with StoredRun(first.path) as one, StoredRun(second) as two:
        assert (one.seal_body() or {})["ended"] == "failed"
        frames = sum(1 for _ in one.frames()), sum(1 for _ in two.frames())
    assert frames[0] >= 3
    assert frames[1] >= 7
    assert sum(frames) + told["documents_on_their_way"] >= 12


def test_processes_that_only_die_are_not_started_for_ever_and_the_scan_goes_on(engine, tmp_path, monkeypatch):
    monkeypatch.setattr(following, "MOST_FAILURES", 1)
    camera, heard = Camera(), Heard(engine)
    recipe = {"features": [{"use": "tests.bluesky.roles:Dies"}], "models": []}
    with session(engine, tmp_path, recipe=recipe) as insitu:
        engine(pictures(camera, 3))
        until(lambda: insitu.device.state.get() == "failed")
        engine(pictures(camera, 3))
        insitu.hold()
    assert [d["exit_status"] for d in heard["stop"]] == ["success"] * 2
    (summary,) = insitu.summaries
    assert "ended with the exit code 9" in summary.reason
    assert insitu.dropped > 0
    assert not insitu.run.alive


def test_records_come_once_and_in_order_faults_and_all_and_frames_of_every_type_as_they_were(engine, tmp_path):
    seen, rng = list[Any](), np.random.default_rng(0)
    recipe = {"features": [{"use": "totals"}, {"use": "tests.bluesky.roles:Raises"}], "models": []}
    given = [rng.integers(0, 100, (3, 4)).astype(dtype) for dtype in DTYPES]
    with session(engine, tmp_path, recipe=recipe) as insitu:
        leave = insitu.watch(seen.append)
        for array in given:
            plan = Plan(insitu.feed, dtype_numpy=array.dtype.str)
            plan.picture(array)
            plan.end()
        until(lambda: len(seen) == len(given))
        leave()
        until(lambda: insitu.device.frame.get() == len(given) - 1)
    assert [r.measurement.n for r in seen] == list(range(len(given)))
    assert [bool(r.measurement.faults) for r in seen] == [k % 3 == 2 for k in range(len(given))]
    assert len({r.measurement.source_run_uid for r in seen}) == len(given)
    with StoredRun(Path(insitu.summaries[0].path)) as run:
        for array, frame in zip(given, run.frames(), strict=True):
            assert (frame.data.dtype, frame.data.tobytes()) == (
                array.dtype.newbyteorder("="),
                array.astype(array.dtype.newbyteorder("=")).tobytes(),
            )


def test_a_process_that_takes_nothing_holds_up_nothing_and_the_run_counts_what_was_lost(engine, tmp_path, caplog):
    camera, heard = Camera((512, 512)), Heard(engine)
    with session(engine, tmp_path, room=3_000_000) as insitu:
        engine(pictures(camera, 2, pause_s=0.0))
        os.kill(insitu.pid, signal.SIGSTOP)
        try:
            engine(pictures(camera, 30, pause_s=0.0))
            assert insitu.dropped > 0
        finally:
            os.kill(insitu.pid, signal.SIGCONT)
        until(lambda: insitu.run.status()["queued"] == 0 and insitu.device.frame.get() > 2)
        engine(pictures(camera, 2, pause_s=0.0))
    assert [d["exit_status"] for d in heard["stop"]] == ["success"] * 3
    frames = insitu.summaries[0].frames
    assert frames["stored"] + frames["lost"] == len(heard["event"]) == 34
    assert frames["lost"] == insitu.dropped > 0
    assert sum(e["frames"] for e in entries(insitu, "event") if e["what"] == "documents_missed") == insitu.dropped
    assert "the run does not keep up" in caplog.text


SCRIPT = """
import sys, time
from tests.bluesky.test_process import Plan, np
from insitu.bluesky import Session

class Engine:
    state, preprocessors = "idle", []
    subscribe = unsubscribe = lambda self, _: 0

recipe = {"format": 1, "title": "t", "detectors": ["bench"], "features": [{"use": "totals"}]}
bench = {"format": 1, "source": "cam", "reader": {"use": "documents", "data": "camera"}}
insitu = Session(Engine(), recipe, data_root=sys.argv[1], detectors={"bench": bench})
plan = Plan(insitu.feed)
for k in range(20):
    plan.picture(np.full((3, 4), k, "u2"))
while insitu.device.frame.get() < 19:
    time.sleep(0.01)
print(insitu.pid, insitu.run.path, flush=True)
time.sleep(600)
"""


def test_when_the_process_of_the_session_vanishes_the_run_is_sealed_and_nothing_stays(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        pid, path = parent.stdout.readline().split()
        assert os.getsid(int(pid)) != os.getsid(parent.pid), "Ctrl-C of the terminal does not reach it"
        os.kill(int(pid), signal.SIGINT)  # and if it did: it would be ignored
        parent.kill()
    until(lambda: (Path(path) / "seal.json").exists() and not _there(int(pid)))
    assert not is_locked(Path(path))
    with StoredRun(Path(path)) as run:
        seal = run.seal_body()
        assert seal is not None
        assert (seal["ended"], "has vanished" in seal["reason"]) == ("interrupted", True)
        assert sum(1 for _ in run.frames()) == 20


def _there(pid: int) -> bool:
    with suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return False


def test_what_cannot_be_handed_over_and_what_the_process_refuses_is_raised_by_the_session(engine, tmp_path):
    bench = {"format": 1, "source": "cam", "reader": {"use": "documents", "data": "camera"}}
    recipe: dict[str, Any] = {"format": 1, "title": "t", "detectors": ["bench"], "features": [{"use": "totals"}]}
    with pytest.raises(ConfigError, match="goes by name"):
        Session(engine, {**recipe, "features": [{"use": Camera}]}, data_root=tmp_path, detectors={"bench": bench})
    with pytest.raises(ConfigError, match='Did you mean "totals"') as told:
        Session(engine, {**recipe, "features": [{"use": "totls"}]}, data_root=tmp_path, detectors={"bench": bench})
    assert "features.0.use" in told.value.where
    with pytest.raises(ConfigError, match="stands in the script itself"):
        Session(engine, {**recipe, "features": [{"use": "__main__:X"}]}, data_root=tmp_path, detectors={"bench": bench})
    with pytest.raises(ConfigError, match="no feature is called 'x'"):
        Session(engine, recipe, data_root=tmp_path, detectors={"bench": bench}, features=["x"])
    assert not list(tmp_path.rglob("ledger.db")), "no run has begun"


def test_a_process_that_is_asked_to_end_seals_its_run_and_another_goes_on(engine, tmp_path):
    camera = Camera()
    with session(engine, tmp_path) as insitu:
        engine(pictures(camera, 3))
        first = insitu.run
        until(lambda: first.status()["frames"].get("stored") == 3)
        os.kill(insitu.pid, signal.SIGTERM)
        until(lambda: insitu.run is not first)
        engine(pictures(camera, 3))
    assert [s.ended for s in insitu.summaries] == ["interrupted", "complete"]
    assert "SIGTERM" in insitu.summaries[0].reason
    assert stored(insitu) == 6


def test_a_process_that_begins_passes_over_what_was_logged_in_the_session_meanwhile():
    (ours, documents), (control, theirs) = socket.socketpair(), socket.socketpair()
    with ours, documents, control, theirs:
        for kind, value in (("log", {"name": "insitu", "level": 20, "text": "x"}), ("load", {"recipe": "r"})):
            theirs.sendall(joined(pack(kind, value)))
        theirs.shutdown(socket.SHUT_WR)
        worker = Worker(documents, control)
        assert worker._next("load") == {"recipe": "r"}
        assert worker._next("begin") is None
        worker.channel.close()
        for incoming in (worker._documents, worker._control):
            incoming.close()
