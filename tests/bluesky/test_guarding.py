"""Interruptions at the moments at which bluesky breaks: in the middle of an event, at the end of a plan, in a pause."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from bluesky import plan_stubs, preprocessors
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal
from ophyd.sim import TrivialFlyer

from tests.bluesky.acted import WAIT_S, Bench, in_thread
from tests.bluesky.camera import pictures
from tests.sessions import run_engine
from tests.waiting import until

bps: Any = plan_stubs
bpp: Any = preprocessors


@pytest.fixture
def bench() -> Iterator[Bench]:
    with run_engine() as engine:
        yield Bench(engine)


def test_a_plan_that_is_ended_while_it_is_suspended_leaves_the_next_ones_as_they_should_be(bench):
    """bluesky leaves `rewindable` at False for good: then a pause loses the message that it interrupts."""
    in_thread((bench.suspended, lambda: bench.engine.abort("the operator")))
    with pytest.raises(RunEngineInterrupted):
        bench.engine(pictures(bench.camera, 50, lambda k: bench.actor.pause("a test") if k == 2 else None))
    assert bench.engine.rewindable
    bench.actor.resume("over")
    bench.heard.all.clear()

    def plan() -> Any:
        yield from bps.checkpoint()
        yield from bps.null()
        bench.pause()
        yield from bps.trigger_and_read([bench.camera, bench.camera.beam])
        yield from bps.sleep(0.05)

    bench.engine(bpp.run_wrapper(plan()))
    assert {frozenset(e["data"]) for e in bench.heard["event"]} == {frozenset({"camera", "beam"})}
    assert bench.heard["stop"][-1]["exit_status"] == "success"


@pytest.mark.parametrize("how", ["abort", "stop", "halt by a rule"])
def test_a_plan_that_is_suspended_in_the_middle_of_an_event_can_be_ended(bench, how):
    """Its own `drop` of the event is an error of bluesky's: the suspension has closed it."""
    ends = {"abort": bench.engine.abort, "stop": bench.engine.stop, "halt by a rule": lambda: bench.actor.halt("x")}
    in_thread((bench.suspended, ends[how]))

    def reading() -> Any:
        yield from bps.read(bench.camera)
        bench.actor.pause("a test")
        yield from bps.sleep(WAIT_S)  # an event that takes long is interrupted nevertheless

    def drop(error: Exception) -> Any:
        yield from bps.drop()
        raise error

    def plan() -> Any:
        yield from bps.checkpoint()
        yield from bps.create("primary")
        yield from bpp.contingency_wrapper(reading(), except_plan=drop, else_plan=bps.save)

    with pytest.raises(RunEngineInterrupted):
        bench.engine(bpp.run_wrapper(plan()))
    (stop,) = bench.heard["stop"]
    assert stop["exit_status"] == ("success" if how == "stop" else "abort")
    assert bench.heard["event"] == []


def test_a_drop_without_an_event_is_the_plan_s_own_error(bench):
    def plan() -> Any:
        yield from bps.drop()

    with pytest.raises(Exception, match="must be sent"):
        bench.engine(bpp.run_wrapper(plan()))


def test_a_short_event_is_put_together_before_the_plan_is_suspended(bench):
    def plan() -> Any:
        yield from bps.checkpoint()
        yield from bps.create("primary")
        yield from bps.read(bench.camera)
        bench.pause()
        yield from bps.read(bench.camera.beam)
        yield from bps.save()
        seen.append(time.monotonic())
        yield from bps.null()

    seen: list[float] = [time.monotonic()]
    bench.engine(bpp.run_wrapper(plan()))
    assert seen[1] - seen[0] > 0.09, "it goes no further than to the end of the event"
    assert [e["seq_num"] for e in bench.heard["event"]] == [1, 1], "the suspension goes back to the checkpoint"


def test_a_clean_up_may_take_a_picture_although_the_plan_was_ended_while_it_took_one_again(bench):
    def last() -> Any:
        yield from bps.trigger_and_read([bench.camera, bench.camera.beam], name="last")

    class Slow(Signal):
        def read(self) -> Any:
            if bench.heard["event"] and bench.engine.state == "running":  # taken again: in the middle of the event
                bench.actor.halt("enough")
                time.sleep(0.05)
            return super().read()

    slow = Slow(name="slow", value=1)

    def plan() -> Any:
        yield from bps.checkpoint()
        yield from bps.create("primary")
        yield from bps.read(slow)
        yield from bps.read(bench.camera)
        yield from bps.save()
        bench.pause(0.05)
        yield from bps.sleep(WAIT_S)

    with pytest.raises(RunEngineInterrupted):
        bench.engine(bpp.run_wrapper(bpp.finalize_wrapper(plan(), last())))
    (stop,) = bench.heard["stop"]
    assert (stop["exit_status"], stop["reason"], stop["num_events"]["last"]) == ("abort", "enough", 1)


def test_what_a_run_that_is_closed_had_done_is_not_done_again(bench):
    """Between two runs of one plan bluesky goes back to before the end of the first."""

    def plan() -> Any:
        yield from pictures(bench.camera, 2)
        bench.pause()
        yield from bps.sleep(0.05)
        yield from pictures(bench.camera, 2)

    bench.engine(plan())
    assert [(d["exit_status"], d["num_events"]["primary"]) for d in bench.heard["stop"]] == [("success", 2)] * 2


def test_a_pause_in_the_last_moment_of_a_plan_does_not_wedge_the_engine(bench):
    for k in range(30):

        def plan(k: int = k) -> Any:
            yield from bps.checkpoint()
            if k % 2:
                bench.engine.loop.call_soon(bench.actor.pause, "at its end")
            else:
                bench.actor.pause("at its end")
            if k % 3:
                yield from bps.null()

        threading.Timer(0.03, bench.actor.resume, ["over"]).start()
        bench.engine(plan())
        assert bench.engine.state == "idle"
        bench.actor.resume("over")


def test_a_pause_and_then_no_checkpoint_holds_the_plan_and_does_not_abort_it(bench):
    began = time.monotonic()

    def plan() -> Any:
        yield from bps.checkpoint()
        bench.pause()
        yield from bps.clear_checkpoint()
        yield from bps.null()

    bench.engine(bpp.run_wrapper(plan()))
    assert bench.heard["stop"][0]["exit_status"] == "success"
    assert time.monotonic() - began > 0.09


def test_a_stretch_that_cannot_be_done_again_is_not_torn(bench):
    """bluesky would cut a wait short and go on as if it were over."""

    def plan() -> Any:
        yield from bps.checkpoint()
        bench.pause(0.05)
        began = time.monotonic()
        yield from bps.sleep(0.2)
        assert time.monotonic() - began > 0.19
        yield from bps.null()

    bench.engine(bpp.run_wrapper(bpp.rewindable_wrapper(plan(), False)))
    assert bench.heard["stop"][0]["exit_status"] == "success"


def test_who_resumes_the_engine_while_a_rule_asks_for_a_pause_finds_the_plan_held(bench):
    """`RE.pause` and `RE.resume` in a suspension skip in bluesky what it waits for."""
    at = []

    def before(k: int) -> None:
        at.append(k)
        if k == 2:
            bench.actor.pause("no beam")

    in_thread((bench.suspended, bench.engine.request_pause))
    with pytest.raises(RunEngineInterrupted):
        bench.engine(pictures(bench.camera, 5, before))
    began, held = time.monotonic(), at[-1]
    threading.Timer(0.3, bench.actor.resume, ["beam"]).start()
    bench.engine.resume()
    assert held < 4
    assert time.monotonic() - began > 0.29
    assert bench.heard["stop"][0]["exit_status"] == "success"


def test_a_plan_that_is_paused_and_ended_in_one_moment_does_not_sleep_for_ever(bench, monkeypatch):
    def abort(reason: str) -> None:  # as bluesky does it, with a pause between its look at the state and the abort
        bench.engine.request_pause()
        until(lambda: bench.engine.state == "paused")
        asyncio.run_coroutine_threadsafe(bench.engine._abort_coro(reason), bench.engine.loop).result()

    monkeypatch.setattr(bench.engine, "abort", abort)
    with pytest.raises(RunEngineInterrupted):
        bench.engine(pictures(bench.camera, 500, lambda k: bench.actor.halt("enough") if k == 3 else None))
    until(lambda: bench.engine.state == "idle")
    assert bench.heard["stop"][0]["exit_status"] == "abort"


def test_a_clean_up_after_an_error_is_not_held_by_a_rule(bench):
    shut: list[bool] = []

    def close() -> Any:
        yield from bps.sleep(0.05)
        shut.append(True)

    def plan() -> Any:
        yield from bps.checkpoint()
        bench.engine.loop.call_soon(bench.actor.pause, "no beam")
        yield from bps.trigger(object())  # which is no detector

    with pytest.raises(Exception, match="does not implement"):
        bench.engine(bpp.finalize_wrapper(plan(), close()))
    assert shut == [True]


def test_a_monitored_signal_is_told_as_often_after_a_suspension_as_before(bench):
    """bluesky subscribes again without having left: after two suspensions every value comes three times."""
    monitored = Signal(name="monitored", value=0)

    def plan() -> Any:
        for k in range(4):
            yield from bps.checkpoint()
            if k in (1, 2):
                bench.pause(0.05)
            yield from bps.trigger_and_read([bench.camera])
        for k in range(10, 14):
            monitored.put(k)
            yield from bps.sleep(0.03)

    bench.engine(bpp.monitor_during_wrapper(bpp.run_wrapper(plan()), [monitored]))
    values = [e["data"]["monitored"] for e in bench.heard["event"] if "monitored" in e["data"]]
    assert [value for value in values if value >= 10] == [10, 11, 12, 13]


def test_two_rules_of_two_sessions_hold_one_plan_until_both_let_go(bench):
    other, at = Bench(bench.engine), list[float]()

    def before(k: int) -> None:
        at.append(time.monotonic())
        if k == 1:
            bench.pause(0.05)
            other.pause(0.2)

    bench.engine(pictures(bench.camera, 3, before, pause_s=0.0))
    assert bench.heard["stop"][0]["exit_status"] == "success"
    assert at[-1] - at[1] > 0.19


def test_a_suspended_plan_goes_on_when_its_session_is_closed(bench):
    def close() -> None:
        bench.engine.preprocessors.remove(bench.actor.preprocess)
        bench.engine.remove_suspender(bench.suspender)

    in_thread((bench.suspended, close))
    bench.engine(pictures(bench.camera, 5, lambda k: bench.actor.pause("a test") if k == 2 else None))
    assert (bench.heard["stop"][0]["exit_status"], bench.engine.rewindable) == ("success", True)


def test_a_fly_scan_is_halted(bench):
    def plan() -> Any:
        flyer = TrivialFlyer()
        yield from bps.kickoff(flyer, wait=True)
        yield from bps.complete(flyer, group="fly")
        bench.actor.halt("enough")
        yield from bps.sleep(WAIT_S)
        yield from bps.collect(flyer)

    with pytest.raises(RunEngineInterrupted):
        bench.engine(bpp.run_wrapper(plan()))
    (stop,) = bench.heard["stop"]
    assert (stop["exit_status"], stop["reason"]) == ("abort", "enough")
