"""A RunEngine with an actor and its suspender, without a session: for tests of interruptions."""

import threading
from typing import Any

from bluesky import RunEngine
from ophyd import Signal

from insitu.bluesky.suspend import EngineActor, SuspendOnVerdict
from tests.bluesky.camera import Camera, Heard
from tests.waiting import until

WAIT_S = 90.0


class Bench:
    """A RunEngine with an actor, as a session in mode `act` has it, and what becomes of it."""

    def __init__(self, engine: RunEngine) -> None:
        self.engine: Any = engine
        self.signal, self.told = Signal(name="s", value=0), list[Any]()
        self.actor = EngineActor(engine, lambda on: self.signal.put(int(on)), lambda *told: self.told.append(told))
        self.suspender = self.actor.suspender = SuspendOnVerdict(self.signal, lambda: self.actor.reason)
        engine.preprocessors.append(self.actor.preprocess)
        engine.install_suspender(self.suspender)
        self.camera, self.heard = Camera(), Heard(engine)

    def pause(self, resume_s: float = 0.1) -> None:
        """Trip, and let go after a while."""
        self.actor.pause("a test")
        threading.Timer(resume_s, self.actor.resume, ["over"]).start()

    def suspended(self) -> bool:
        """Whether the plan is suspended by now."""
        return self.engine.state == "running" and not self.engine.rewindable


def in_thread(*steps: Any) -> None:
    """One thing after the other in a thread: a condition (waited for), or a call."""

    def work() -> None:
        for condition, call in steps:
            until(condition)
            call()

    threading.Thread(target=work, daemon=True).start()
