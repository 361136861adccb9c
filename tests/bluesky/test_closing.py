"""A session that ends at an odd moment: Ctrl-C, `close` in the middle of a plan, no `close` at all. The plan goes on by
itself, nothing hangs, and what had come is stored."""

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from bluesky import plan_stubs, preprocessors
from bluesky.utils import RunEngineInterrupted

from insitu.bluesky import InsituDetector
from insitu.errors import UsageError
from insitu.store.runs import StoredRun
from tests.bluesky import taken
from tests.bluesky.camera import HALT, PAUSE, Heard, pictures, session, stored
from tests.bluesky.killing import Numbered
from tests.sessions import run_engine

bps: Any = plan_stubs
bpp: Any = preprocessors
ROOT = Path(__file__).resolve().parent.parent.parent


def numbers(path: str | Path) -> list[int]:
    """What the frames of a run hold."""
    with StoredRun(Path(path)) as run:
        return [int(frame.data.flat[0]) for frame in run.frames()]


@pytest.mark.timeout(120)
def test_ctrl_c_once_and_twice_pauses_the_plan_and_every_picture_is_in_the_run(tmp_path):
    command = [sys.executable, "-m", "tests.bluesky.interrupted", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, start_new_session=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["rounds"] == [
        [True, "idle", "success", 1, True],
        [True, "idle", "success", 2, True],
        [True, "idle", "abort", 3, True],
        [True, "idle", "success", 4, True],
        [True, "idle", "abort", 4, True],  # RE.halt() cleans nothing up
    ]
    assert found["same_process"], "Ctrl-C has reached the process of the run"
    ((path, ended, lost),) = found["runs"]
    assert (ended, lost) == ("complete", 0)
    assert numbers(path) == found["events"]
    assert len(found["events"]) == 12 + 13 + 3 * 5  # the first picture of an interrupted stretch is taken again


@pytest.mark.parametrize("when", ["callback", "suspension"])
def test_close_in_a_callback_and_in_a_suspension_lets_the_plan_go_on_and_keeps_what_came(tmp_path, when):
    camera = Numbered()

    def close(name: str, document: Any) -> None:
        if name == "event" and document["seq_num"] == 4:
            insitu.close()

    def before(k: int) -> None:
        if k == 4 and when == "suspension":
            insitu.actor.pause("a test")
            for _ in range(2):
                threading.Timer(0.2, insitu.close).start()

    with run_engine() as engine:
        heard = Heard(engine)
        insitu = session(engine, tmp_path)
        if when == "callback":
            engine.subscribe(close)
        engine(pictures(camera, 8, before, pause_s=0.05))
        assert insitu.close().ended == "complete"
        assert (engine.state, engine.rewindable, engine.preprocessors, len(engine.suspenders)) == ("idle", True, [], 0)
    events = [int(e["data"]["camera"][0, 0]) for e in heard["event"]]
    assert numbers(insitu.summaries[0].path) == events[: stored(insitu)]
    assert 4 <= stored(insitu) <= 6
    assert len(events) == 8
    assert heard["stop"][0]["exit_status"] == "success"


def test_close_while_a_detector_of_ours_is_staged_does_not_wait_for_it_and_the_plan_goes_on(tmp_path):
    with run_engine() as engine:
        heard, takes = Heard(engine), taken.Takes(*taken.KINDS["img"])
        insitu = taken.session(engine, tmp_path, "img")
        camera = InsituDetector(insitu, "img", takes, wait_s=30.0)

        @bpp.stage_decorator([camera])
        @bpp.run_decorator()
        def plan() -> Any:
            for k in range(6):
                if k == 3:
                    insitu.close()
                yield from bps.trigger_and_read([camera])

        engine(plan())
        (found,) = taken.pointed_at(heard).values()
    assert heard["stop"][0]["exit_status"] == "success"
    assert len(heard["event"]) == 6
    assert (found["img"] == takes.all[:3]).all()
    path = Path(insitu.summaries[0].path)
    assert not list(path.glob("ledger.db-*")), "it is one file, although the detector is staged"


def test_two_sessions_beside_one_engine_each_store_everything_and_do_what_their_rules_say(tmp_path):
    camera = Numbered()
    with run_engine() as engine:
        heard = Heard(engine)
        with session(engine, tmp_path / "a", HALT) as a, session(engine, tmp_path / "b", PAUSE, name="other") as b:

            def before(k: int) -> None:
                camera.current = 0.0 if k >= 4 else 100.0

            with pytest.raises(RunEngineInterrupted):
                engine(pictures(camera, 500, before))
            camera.current = 100.0
            b.resume()
            engine(pictures(camera, 5))
            a.close()
            engine(pictures(camera, 5))
        assert stored(b) == len(heard["event"])
        assert stored(a) == len(heard["event"]) - 5
    assert [d["exit_status"] for d in heard["stop"]] == ["abort", "success", "success"]
    assert "no_beam" in heard["stop"][0]["reason"]
    assert [s.ended for s in a.summaries] == ["halted", "complete"]


def test_what_watches_records_cannot_close_the_session_and_who_has_paused_the_plan_can(tmp_path):
    camera, told, resumed = Numbered(), [], list[bool]()

    def watcher(record: Any) -> None:
        if record.measurement.n == 2:
            with pytest.raises(UsageError, match="would wait for itself") as e:
                insitu.close()
            told.append(e.value.remedy)

    def before(k: int) -> None:
        if k == 4:
            threading.Thread(target=engine.request_pause, args=(True,), daemon=True).start()

    with run_engine() as engine:
        heard = Heard(engine)
        with session(engine, tmp_path) as insitu:
            insitu.watch(watcher)
            with pytest.raises(RunEngineInterrupted):
                engine(pictures(camera, 8, before, pause_s=0.05, until=lambda: resumed))
        assert engine.state == "paused"
        assert told == ["Call it in another thread"]
        assert 5 <= stored(insitu) == len(heard["event"])
        resumed.append(True)
        engine.resume()
    assert [d["exit_status"] for d in heard["stop"]] == ["success"]
    assert len(heard["event"]) >= 8
