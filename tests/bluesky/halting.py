"""What goes wrong at a beamline while a stock RunEngine takes pictures: used by tests and `tests/prove.py`."""

import math
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine, plan_stubs, preprocessors
from bluesky.utils import RunEngineInterrupted

from insitu.bluesky import Session
from insitu.replay import verify
from tests.bluesky.camera import Camera, Heard, entries, pictures, session, stored
from tests.sessions import run_engine

bps: Any = plan_stubs
bpp: Any = preprocessors
MODELS: list[dict[str, Any]] = [
    {"name": "beam", "use": "limits", "feature": "context.beam", "low": 50.0},
    {"name": "light", "use": "limits", "feature": "total", "low": "20000 counts"},
    {"name": "range", "use": "limits", "feature": "saturated_fraction", "high": 0.001},
    {"name": "sample", "use": "limits", "feature": "snr", "low": 20.0},
]
RULES: list[dict[str, Any]] = [
    {"use": "pause_on", "name": "no_beam", "model": "beam", "count": 2, "resume_after": 2},
    {"use": "pause_on", "name": "no_light", "model": "light", "count": 2, "resume_after": 2},
    {"use": "halt_after", "name": "too_much", "model": "range", "count": 2},
    {"use": "halt_after", "name": "no_sample", "model": "sample", "count": 3},
]
FAULTS = {"beam loss": "no_beam", "closed shutter": "no_light", "saturation": "too_much", "lost sample": "no_sample"}
"""Each fault, and the rule that speaks first."""


class Bench(Camera):
    """Photons on a background of 10, a spot of the sample, and one fault at a time."""

    def __init__(self, seed: int) -> None:
        self.rng, self.fault, self.events = np.random.default_rng(seed), "", list[bool]()
        y, x = np.mgrid[:64, :64]
        self.spot = 3000.0 * np.exp(-((y - 30.0) ** 2 + (x - 33.0) ** 2) / 18.0)
        super().__init__()
        self.events.clear()

    def _take(self) -> np.ndarray:
        self.taken += 1
        self.current = 2.0 if self.fault == "beam loss" else 100.0 + self.rng.normal()
        rate = 10.0 + self.spot * (self.fault != "lost sample")
        if self.fault == "saturation":
            rate = rate * 60.0
        rate = rate * {"beam loss": 0.02, "closed shutter": 0.001}.get(self.fault, 1.0)
        return np.minimum(self.rng.poisson(rate), 65535).astype("u2")


def faulty(kind: str, seed: int, folder: Path) -> dict[str, int]:
    """One fault at a random picture of a plan: the plan is suspended or aborted, and how many bad frames it took."""
    at, bench = random.Random(seed).randrange(3, 20), Bench(seed)
    with run_engine() as engine, session(engine, folder, *RULES, recipe={"models": MODELS}) as insitu:
        heard = Heard(engine)

        def before(k: int) -> None:
            bench.fault = kind if k >= at and not insitu.device.suspend.get() and not mended.is_set() else ""

        mended = threading.Event()

        def mend() -> None:  # the operator sees the suspension, mends it and lets the plan go on
            while not (insitu.device.suspend.get() or mended.is_set()):
                time.sleep(0.01)
            mended.set()
            bench.fault = ""
            insitu.resume()

        threading.Thread(target=mend, daemon=True).start()
        ended = "success"
        try:
            engine(pictures(bench, at + 4, before, pause_s=0.03, until=mended.is_set))
        except RunEngineInterrupted:
            ended = "abort"
        mended.set()
    acted = [a for a in entries(insitu, "action") if a["acknowledged"] and a["decision"]["action"] in ("HALT", "PAUSE")]
    assert acted, f"{kind}: nothing was done"
    first = acted[0]
    late = first["n"] - at + 1
    assert 1 <= late <= 3, f"{kind} at frame {at}, acted on at frame {first['n']}"
    assert first["decision"]["rule"] == FAULTS[kind]
    assert "run_engine" in first["to"]
    (stop,) = heard["stop"]
    assert stop["exit_status"] == ended == ("abort" if first["decision"]["action"] == "HALT" else "success")
    if ended == "abort":
        assert first["decision"]["reason"] in stop["reason"]
    assert stored(insitu) == len(heard["event"])
    return {"faults": 1, "latest_frame": late}


PERIOD_S = 0.5
"""Between two pictures of a detector that stalls."""


def stalled(seed: int, folder: Path) -> dict[str, int]:
    """A detector that gives nothing any more: the plan is suspended within three of its frames, and goes on when it
    gives again."""
    at, bench, spoke = random.Random(seed).randrange(3, 8), Bench(seed), list[float]()
    mended, began = threading.Event(), list[float]()
    more: dict[str, Any] = {"stall_s": 2 * PERIOD_S, "on_stall": "pause"}
    with run_engine() as engine, session(engine, folder, *RULES, recipe={"models": MODELS}, **more) as insitu:
        heard = Heard(engine)

        def before(k: int) -> None:
            if k == at and not mended.is_set():
                began.append(time.monotonic())

        def mend() -> None:
            until = time.monotonic() + 60
            while not insitu.device.suspend.get() and time.monotonic() < until:
                time.sleep(0.01)
            spoke.append(time.monotonic())
            mended.set()
            insitu.resume()

        def plan() -> Any:
            for k in range(at + 4):
                yield from bps.checkpoint()
                before(k)
                while k == at and not mended.is_set():  # the exposure that does not end
                    yield from bps.sleep(0.05)
                yield from bps.trigger_and_read([bench, bench.beam])
                yield from bps.sleep(PERIOD_S)

        threading.Thread(target=mend, daemon=True).start()
        engine(bpp.run_wrapper(plan()))
    (stop,) = heard["stop"]
    assert stop["exit_status"] == "success"
    late = math.ceil((spoke[0] - began[0] + PERIOD_S) / PERIOD_S)
    assert 1 <= late <= 3, f"{spoke[0] - began[0] + PERIOD_S:.2f} s after the last frame"
    notes = [e for e in entries(insitu, "event") if e.get("what") == "stalled"]
    assert len(notes) == 1
    assert stored(insitu) == len(heard["event"])
    return {"faults": 1, "latest_frame": late}


def clean(seed: int, folder: Path, frames: int) -> dict[str, int]:
    """Clean pictures: nothing is done, and every one is stored."""
    bench = Bench(seed)
    with run_engine() as engine, session(engine, folder, *RULES, recipe={"models": MODELS}) as insitu:
        engine(pictures(bench, frames, pause_s=0.0))
    (summary,) = insitu.summaries
    assert summary.ended == "complete"
    assert not entries(insitu, "action")
    counts = summary.frames
    assert counts["stored"] + counts["dropped"] == frames, counts
    return {"clean_frames": counts["stored"], "dropped": counts["dropped"]}


class Unruly(Camera):
    """A camera whose beam signal is a command now and then."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.commands = rng, 0
        super().__init__((4, 4))
        self.commands = 0

    def _take(self) -> np.ndarray:
        self.taken += 1
        self.current = self.rng.choices((0, 1, 2, 3), (80, 14, 3, 3))[0]
        self.commands += bool(self.current)
        return self.picture


def operated(engine: RunEngine, insitu: Session, rng: random.Random, done: threading.Event) -> list[str]:
    """Somebody who resumes what rules have paused, and pauses, stops and aborts plans himself at any moment."""
    did: list[str] = []
    while not done.wait(rng.uniform(0.002, 0.05)):
        if insitu.device.suspend.get():
            insitu.resume()
            did.append("resume")
        elif engine.state == "running":
            what = rng.choices(("", "pause", "soft pause", "abort", "stop"), (80, 8, 4, 4, 4))[0]
            try:
                if what in ("abort", "stop"):
                    engine.abort("the operator") if what == "abort" else engine.stop()
                elif what:
                    engine.request_pause(what == "soft pause")
            except Exception as e:  # noqa: BLE001 - the plan was just ending: bluesky refuses
                what = f"refused: {type(e).__name__}"
            if what:
                did.append(what)
    return did


def random_actions(seed: int, folder: Path, actions: int, *, limit_s: float = 600.0) -> dict[str, int]:
    """So many pauses, resumes, aborts and finishes at random moments, by a rule and by an operator. Nothing hangs, no
    plan fails, every event is a stored frame, and what happened to every plan is in the ledger."""
    rng, done, did = random.Random(seed), threading.Event(), list[str]()
    camera, until = Unruly(rng), time.monotonic() + limit_s
    recipe = {"models": [], "rules": [{"use": "tests.bluesky.roles:AsCommanded"}]}
    with run_engine() as engine:
        heard, plans, resumed = Heard(engine), 0, 0
        with session(engine, folder, recipe=recipe) as insitu:
            operator = threading.Thread(
                target=lambda: did.extend(operated(engine, insitu, random.Random(seed + 1), done)), daemon=True
            )
            operator.start()
            while camera.commands + resumed < actions:
                assert time.monotonic() < until, "it takes too long"
                plans += 1
                go: Callable[[], Any] = partial(engine, pictures(camera, 25, pause_s=0.002))
                while True:
                    try:
                        go()
                    except RunEngineInterrupted:
                        if engine.state != "paused":
                            break
                        resumed, go = resumed + 1, engine.resume
                        continue
                    break
            done.set()
            operator.join(90)
            assert not operator.is_alive(), "the operator's thread is stuck"
    counts = {"plans": plans, "actions": camera.commands + resumed + len(did)}
    return explained(insitu, heard, counts)


def explained(insitu: Session, heard: Heard, counts: dict[str, int]) -> dict[str, int]:
    """Every event is stored; every command of a rule is an action, or its run was ending already; every plan that a
    rule ended says so in the words of the ledger."""
    events = len(heard["event"])
    assert all(event["data"].keys() == {"camera", "beam"} for event in heard["event"]), "an event is torn"
    frames = {key: sum(s.frames[key] for s in insitu.summaries) for key in ("stored", "lost", "dropped", "invalid")}
    assert frames == {"stored": events, "lost": 0, "dropped": 0, "invalid": 0}, (frames, events)
    assert insitu.dropped == 0
    assert {s.ended for s in insitu.summaries} <= {"complete", "finished", "halted"}
    told = " ".join(s.reason for s in insitu.summaries)
    for stop in heard["stop"]:
        if stop.get("reason", "").startswith("commanded"):
            assert stop["reason"] in told, stop
    acted = entries(insitu, "action")
    assert all(a["acknowledged"] or a["refused"] for a in acted)
    ended = sum(a["decision"]["action"] in ("HALT", "FINISH") and a["acknowledged"] for a in acted)
    assert ended == sum(s.ended in ("finished", "halted") for s in insitu.summaries)
    for summary in insitu.summaries[-2:]:
        report = verify(Path(summary.path))
        assert report.identical, report.findings
    return {**counts, "events": events, "runs": len(insitu.summaries), "logged_actions": len(acted)}


__all__ = ["FAULTS", "clean", "faulty", "random_actions", "stalled"]
