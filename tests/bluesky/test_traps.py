"""Traps of bluesky around pauses and aborts: none of them catches us, and nothing of ours ever breaks the scan."""

import threading
import time
from typing import Any

import pytest
from bluesky import plan_stubs, preprocessors
from bluesky.utils import RunEngineInterrupted
from ophyd.sim import SynAxis

from insitu.bluesky.outlet import Outlet
from insitu.errors import ActionRefusedError
from tests.bluesky.camera import HALT, PAUSE, Camera, Heard, entries, pictures, session, stored
from tests.waiting import until

bps: Any = plan_stubs
bpp: Any = preprocessors
WAIT_S = 90.0


def suspended_for(insitu, at: int, seconds: float = 0.15):
    """Before picture `at`: trip the suspender, and let go after a while."""

    def later() -> None:
        time.sleep(seconds)
        insitu.actor.resume("clean again")

    def before(k: int) -> None:
        if k == at:
            insitu.actor.pause("a test")
            threading.Thread(target=later, daemon=True).start()

    return before


def test_an_exception_in_our_callback_does_not_kill_the_scan(engine, tmp_path, monkeypatch):
    camera, heard = Camera(), Heard(engine)
    with session(engine, tmp_path) as insitu:

        def broken(*_: object) -> None:
            raise RuntimeError("planted")

        monkeypatch.setattr(Outlet, "put", broken)
        engine(pictures(camera, 5, pause_s=0.0))
    assert (len(heard["event"]), heard["stop"][0]["exit_status"], insitu.dropped) == (5, "success", 8)


def test_a_full_queue_and_a_model_that_hangs_do_not_hold_up_the_scan_and_losses_are_counted(engine, tmp_path):
    camera, heard, may = Camera(), Heard(engine), tmp_path / "may"
    model = {"models": [{"name": "hangs", "use": "tests.bluesky.roles:Hangs", "until": str(may)}]}
    try:
        with session(engine, tmp_path, recipe=model, reader={"queue": 1}) as insitu:
            for _ in range(3):
                engine(pictures(camera, 20, pause_s=0.0))
            may.touch()
    finally:
        may.touch()
    assert [d["exit_status"] for d in heard["stop"]] == ["success"] * 3
    frames = insitu.summaries[0].frames
    assert insitu.dropped > 0
    assert frames["stored"] + frames["invalid"] + insitu.dropped >= len(heard["event"])
    assert frames["stored"] < len(heard["event"])


@pytest.mark.parametrize("what", ["halt", "finish", "pause"])
def test_what_is_asked_inside_a_callback_of_the_engine_comes_back(engine, tmp_path, what):
    camera, heard, asked = Camera(), Heard(engine), []
    with session(engine, tmp_path) as insitu:

        def ask(name, document):
            if name == "event" and document["seq_num"] == 3 and not asked:
                asked.append(what)
                getattr(insitu.actor, what)("asked inside a callback")
                threading.Timer(0.2, insitu.actor.resume, ["enough"]).start()

        engine.subscribe(ask)
        if what == "pause":
            engine(pictures(camera, 8))
        else:
            with pytest.raises(RunEngineInterrupted):
                engine(pictures(camera, 500))
    (stop,) = heard["stop"]
    assert asked == [what]
    assert stop["exit_status"] == ("abort" if what == "halt" else "success")
    assert stop["reason"] == ("" if what == "pause" else "asked inside a callback")
    assert stored(insitu) == len(heard["event"])


def test_frames_of_a_suspended_plan_are_stored_and_counted_although_seq_num_repeats(engine, tmp_path):
    camera, heard = Camera(), Heard(engine)
    with session(engine, tmp_path) as insitu:

        @bpp.run_decorator()
        def plan():
            yield from bps.checkpoint()
            for k in range(6):
                yield from bps.trigger_and_read([camera, camera.beam])
                if k == 3:
                    suspended_for(insitu, 0)(0)
                yield from bps.sleep(0.05)

        engine(plan())
    numbers = [d["seq_num"] for d in heard["event"]]
    assert len(numbers) > len(set(numbers)) == 6
    assert (stored(insitu), insitu.summaries[0].frames["lost"]) == (len(numbers), 0)


def test_a_suspender_that_is_tripped_already_holds_the_next_plan_at_its_start(engine, tmp_path):
    camera, took = Camera(), []
    with session(engine, tmp_path) as insitu:
        insitu.actor.pause("no beam between the scans")
        until(lambda: insitu.actor.suspender is not None and insitu.actor.suspender.tripped)
        began = time.monotonic()
        threading.Timer(0.3, insitu.actor.resume, ["beam"]).start()
        engine(pictures(camera, 3, lambda k: took.append(time.monotonic())))
        assert took[0] - began > 0.25
    assert stored(insitu) == 3


def test_a_trip_between_the_call_and_the_first_message_is_not_lost(engine, tmp_path):
    """The stock engine looks at its suspenders before the preprocessors, and acts on trips once it runs."""
    camera, took = Camera(), []
    with session(engine, tmp_path) as insitu:

        def trip(plan):
            insitu.actor.pause("in the gap")
            until(lambda: insitu.actor.suspender is not None and insitu.actor.suspender.tripped)
            threading.Timer(0.3, insitu.actor.resume, ["beam"]).start()
            return plan

        engine.preprocessors.append(trip)
        began = time.monotonic()
        engine(pictures(camera, 2, lambda k: took.append(time.monotonic())))
    assert took[0] - began > 0.25


def test_a_trip_while_the_loop_is_busy_is_not_lost(engine, tmp_path):
    """The stock suspender waits 0.1 s for the loop, and forgets its trip."""
    camera, took = Camera(), []
    with session(engine, tmp_path) as insitu:

        def before(k: int) -> None:
            took.append(time.monotonic())
            if k == 2:
                insitu.actor.pause("busy")
                threading.Timer(0.9, insitu.actor.resume, ["over"]).start()
                time.sleep(0.4)  # this is the engine's loop

        engine(pictures(camera, 5, before))
        assert took[3] - took[2] > 0.8
    assert stored(insitu) == 5


def test_a_suspension_during_motion_stops_the_motor_and_the_plan_reaches_its_places(engine, tmp_path):
    camera, heard, motor = Camera(), Heard(engine), SynAxis(name="motor")
    stops = []
    motor.stop = lambda success=False: stops.append(success)  # type: ignore[method-assign]
    with session(engine, tmp_path) as insitu:

        def suspend() -> None:
            insitu.actor.pause("during motion")
            until(lambda: stops, "the motor is stopped")
            motor.delay = 0.0  # type: ignore[assignment]
            insitu.actor.resume("over")

        @bpp.run_decorator()
        def plan():
            for k in range(4):
                yield from bps.checkpoint()
                if k == 2:
                    motor.delay = 5.0  # type: ignore[assignment]
                    threading.Timer(0.05, suspend).start()
                yield from bps.mv(motor, k)
                yield from bps.trigger_and_read([camera, camera.beam, motor])

        engine(plan())
    assert [d["data"]["motor"] for d in heard["event"]] == [0, 1, 2, 3]
    assert stops
    assert stored(insitu) == 4


def test_a_deferred_pause_of_the_operator_loses_nothing_and_the_plan_can_be_resumed(engine, tmp_path):
    camera, heard, resumed = Camera(), Heard(engine), list[bool]()
    with session(engine, tmp_path) as insitu:

        def before(k: int) -> None:
            if k == 2 and not engine.deferred_pause_requested:
                threading.Thread(target=engine.request_pause, args=(True,), daemon=True).start()

        with pytest.raises(RunEngineInterrupted):
            engine(pictures(camera, 6, before, pause_s=0.05, until=lambda: resumed))
        assert engine.state == "paused"
        with pytest.raises(ActionRefusedError, match="the operator has paused"):
            insitu.actor.halt("it is not ours to end")
        resumed.append(True)
        engine.resume()
    assert stored(insitu) == len(heard["event"]) >= 6


def test_the_clean_up_is_not_broken_off_by_a_second_halt(engine, tmp_path):
    """The frames of the clean-up are as bad, and the session's next run says halt too."""
    camera, heard, cleaned = Camera(), Heard(engine), []

    def clean():
        for _ in range(1000):  # until the next run has said halt as well
            if len(insitu.summaries) > 1:
                break
            yield from bps.create("clean")
            yield from bps.trigger(camera, wait=True)
            yield from bps.trigger(camera.beam, wait=True)
            yield from bps.read(camera)
            yield from bps.read(camera.beam)
            yield from bps.save()
            yield from bps.sleep(0.03)
        cleaned.append(True)

    @bpp.run_decorator()
    def plan():
        yield from bpp.finalize_wrapper(inner(), clean())

    def inner():
        camera.current = 0.0
        for _ in range(500):
            yield from bps.checkpoint()
            yield from bps.trigger_and_read([camera, camera.beam], name="clean")
            yield from bps.sleep(0.01)

    with session(engine, tmp_path, HALT, reader={"stream": "clean"}) as insitu:
        with pytest.raises(RunEngineInterrupted):
            engine(plan())
        assert cleaned == [True]
    assert heard["stop"][0]["exit_status"] == "abort"
    assert len(insitu.summaries) > 1
    assert stored(insitu) == len(heard["event"])
    assert any("being ended already" in e.get("why", "") for e in entries(insitu, "event"))


def test_a_halt_while_the_plan_is_suspended_ends_it(engine, tmp_path):
    camera, heard = Camera(), Heard(engine)
    with session(engine, tmp_path) as insitu:

        def before(k: int) -> None:
            if k == 2:
                insitu.actor.pause("first this")
                threading.Timer(0.2, insitu.actor.halt, ["then that"]).start()

        with pytest.raises(RunEngineInterrupted):
            engine(pictures(camera, 500, before))
        until(lambda: not insitu.device.suspend.get())
        engine(pictures(camera, 2))  # the next plan is not held
    assert [d["reason"] for d in heard["stop"]] == ["then that", ""]
    assert stored(insitu) == len(heard["event"])


def test_the_operator_lets_a_plan_go_on_that_a_rule_has_paused_for_good(engine, tmp_path):
    """The camera is triggered by the plan: no clean frame can come while it is suspended."""
    camera, heard, resumed = Camera(), Heard(engine), list[bool]()

    def before(k: int) -> None:
        camera.current = 100.0 if k < 4 or resumed else 0.0

    def operator() -> None:
        until(lambda: insitu.device.suspend.get() == 1, "the rule asks for a pause")
        until(lambda: stands(heard) and insitu.device.frame.get() == len(heard["event"]) - 1, "all is judged")
        resumed.append(True)
        insitu.resume()

    with session(engine, tmp_path, PAUSE) as insitu:
        threading.Thread(target=operator, daemon=True).start()
        engine(pictures(camera, 20, before, pause_s=0.05, until=lambda: resumed))
    assert heard["stop"][0]["exit_status"] == "success"
    assert [e["command"] for e in entries(insitu, "operator")] == ["resume"]
    assert [a["decision"]["action"] for a in entries(insitu, "action")] == ["PAUSE"]
    assert stored(insitu) == len(heard["event"])


def stands(heard: Heard, seconds: float = 0.5) -> bool:
    """Whether the plan gives no events."""
    known = len(heard["event"])
    time.sleep(seconds)
    return len(heard["event"]) == known


def test_a_detector_that_stalls_is_told_logged_and_acted_on_as_declared(engine, tmp_path):
    camera, heard, told = Camera(), Heard(engine), list[str]()
    with session(engine, tmp_path, stall_s=0.3, on_stall="halt") as insitu:
        insitu.device.state.subscribe(lambda value, **_: told.append(value), run=False)

        @bpp.run_decorator()
        def plan():
            for _ in range(3):
                yield from bps.checkpoint()
                yield from bps.trigger_and_read([camera, camera.beam])
            yield from bps.sleep(WAIT_S)  # a trigger that never comes back

        with pytest.raises(RunEngineInterrupted):
            engine(plan())
    assert "no frame came from cam" in heard["stop"][0]["reason"]
    (event,) = [e for e in entries(insitu, "event") if e["what"] == "stalled"]
    assert (event["sources"], event["asked"], event["to"]) == (["cam"], "halt", "run, run_engine")
    assert insitu.summaries[0].ended == "halted"


def test_a_stall_is_only_told_in_advise_and_a_paused_plan_is_none(engine, tmp_path):
    camera, told = Camera(), []
    with session(engine, tmp_path, mode="advise", stall_s=0.6, on_stall="halt") as insitu:
        insitu.device.state.subscribe(lambda value, **_: told.append(value), run=False)
        engine(pictures(camera, 3, pause_s=0.02))
        time.sleep(0.9)  # no plan runs: nothing is expected
        assert "stalled" not in told
        engine(pictures(camera, 2, pause_s=1.5))
    assert "stalled" in told
    found = [e for e in entries(insitu, "event") if e["what"] == "stalled"]
    assert found
    assert all(e["refused"] == "advise" for e in found)
    assert insitu.summaries[0].ended == "complete"
