"""A decision is about the plan whose frame it was: said too late, it is refused, and the plan that runs goes on."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bluesky import plan_stubs, preprocessors
from bluesky.utils import RunEngineInterrupted

from insitu.bluesky.suspend import EngineActor
from insitu.cli.operator import post
from insitu.errors import ActionRefusedError
from insitu.types import Measurement, Verdict
from tests.bluesky.camera import HALT, PAUSE, Camera, Heard, entries, pictures, session, stored

bps: Any = plan_stubs
bpp: Any = preprocessors
WAIT_S = 20.0


class SlowBeam:
    """A model of the beam that is slow: it says nothing before the file `until` is there."""

    def __init__(self, *, until: str) -> None:
        self.until = Path(until)

    def __call__(self, measurement: Measurement) -> Verdict:
        end = time.monotonic() + WAIT_S
        while not self.until.exists() and time.monotonic() < end:
            time.sleep(0.005)
        beam = measurement.context["beam"].value or 0.0
        return Verdict(label="normal" if beam > 50.0 else "anomaly", reason=f"beam {beam:g}")


def test_nothing_is_done_to_a_plan_for_the_sake_of_a_frame_of_another_one(engine):
    asked: list[bool] = []
    actor = EngineActor(engine, asked.append, lambda what, why: None)
    engine.preprocessors.append(actor.preprocess)
    (first,) = engine(two_points())
    for does in (actor.halt, actor.finish, actor.pause):
        with pytest.raises(ActionRefusedError, match=f"run {first}, which has ended"):
            does("too late", first)

    def late(k: int) -> None:
        for does in (actor.halt, actor.finish, actor.pause):
            with pytest.raises(ActionRefusedError, match=f"run {first}, which has ended"):
                does("too late", first)
        if k == 1:
            actor.halt("a run that is none of ours", "taken elsewhere")

    with pytest.raises(RunEngineInterrupted):
        engine(two_points(late, 2.0))
    assert True not in asked


def two_points(before=lambda k: None, seconds: float = 0.01):
    """A plan in a run of its own, without devices."""

    @bpp.run_decorator()
    def plan():
        for k in range(2):
            yield from bps.checkpoint()
            before(k)
            yield from bps.sleep(seconds)

    return plan()


def test_what_is_said_of_the_plan_before_leaves_the_next_one_alone(engine, tmp_path):
    camera, heard, go = Camera(), Heard(engine), tmp_path / "go"
    recipe = {"models": [{"name": "beam", "use": f"{__name__}:SlowBeam", "until": str(go)}], "rules": [HALT]}

    def go_on(k: int) -> None:
        camera.current = 100.0
        if k == 1:
            go.touch()
        if k == 3:  # all that was said of the first plan has been refused by now
            end = time.monotonic() + WAIT_S
            while not entries_of(insitu, "has ended") and time.monotonic() < end:
                time.sleep(0.01)

    def lost(k: int) -> None:
        camera.current = 0.0

    with session(engine, tmp_path, recipe=recipe) as insitu:
        engine(pictures(camera, 4, lost))
        engine(pictures(camera, 8, go_on))
    assert [d["exit_status"] for d in heard["stop"]] == ["success", "success"]
    assert [d["reason"] for d in heard["stop"]] == ["", ""]
    assert [d["seq_num"] for d in heard["event"]] == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8], "nothing was suspended"
    first = heard["start"][0]["uid"]
    refused = [e["why"] for e in entries(insitu, "event") if e["what"] == "not_done"]
    assert refused
    assert all(f"the plan of run {first}, which has ended" in why for why in refused)
    assert stored(insitu) == 12


def entries_of(insitu, text: str) -> list[str]:
    """What was not done so far, in all runs of a session that goes on."""
    paths = {Path(s.path) for s in insitu.summaries} | {Path(insitu.run.path)}
    return [e["why"] for p in paths for e in entries(p, "event") if text in e.get("why", "")]


def test_a_pause_that_came_too_late_for_one_plan_is_asked_again_for_the_next(engine, tmp_path):
    camera, heard, go, resumed = Camera(), Heard(engine), tmp_path / "go", list[bool]()
    recipe = {"models": [{"name": "beam", "use": f"{__name__}:SlowBeam", "until": str(go)}], "rules": [PAUSE]}

    def operator() -> None:
        end = time.monotonic() + WAIT_S
        while not insitu.device.suspend.get() and time.monotonic() < end:
            time.sleep(0.01)
        post(Path(insitu.run.path), {"command": "resume", "operator": "eva", "time_ns": time.time_ns()})
        resumed.append(True)

    with session(engine, tmp_path, recipe=recipe) as insitu:
        camera.current = 0.0
        engine(pictures(camera, 3))
        threading.Thread(target=operator, daemon=True).start()
        engine(pictures(camera, 20, lambda k: go.touch() if k == 1 else None, pause_s=0.05, until=lambda: resumed))
    assert [d["exit_status"] for d in heard["stop"]] == ["success", "success"]
    assert [e["what"] for e in entries(insitu, "event")].count("not_done") == 1
    assert [(e["command"], e["operator"]) for e in entries(insitu, "operator")] == [("resume", "eva")]
    assert [a["decision"]["action"] for a in entries(insitu, "action")] == ["PAUSE", "PAUSE"]
