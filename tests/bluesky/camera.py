"""A camera with a beam for the tests of a session, and plans that take its pictures."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine, plan_stubs, preprocessors
from ophyd.sim import SynSignal

from insitu.bluesky import Session
from insitu.store.runs import StoredRun

bps: Any = plan_stubs
bpp: Any = preprocessors
BEAM = {"name": "beam", "use": "limits", "feature": "context.beam", "low": 50.0}
HALT = {"use": "halt_after", "name": "no_beam", "model": "beam", "count": 2}
PAUSE = {"use": "pause_on", "name": "no_beam", "model": "beam", "count": 2, "resume_after": 2}


class Camera(SynSignal):
    """Pictures, and the beam that was there while they were taken. `taken`: pictures so far."""

    def __init__(self, shape: tuple[int, int] = (8, 8)) -> None:
        self.taken, self.current, self.picture = 0, 100.0, np.full(shape, 7, "u2")
        super().__init__(func=self._take, name="camera")
        self.beam = SynSignal(func=lambda: self.current, name="beam")
        self.taken = 0

    def _take(self) -> np.ndarray:
        self.taken += 1
        return self.picture


def session(engine: RunEngine, root: Path, *rules: dict[str, Any], recipe: Any = None, **more: Any) -> Session:
    """A session on the camera. `recipe`: keys besides the usual ones; the rest goes to `Session`."""
    found = {
        "format": 1, "title": "a session", "detectors": ["bench"], "features": [{"use": "totals"}],
        "models": [BEAM], "rules": list(rules),
    } | (recipe or {})  # fmt: skip
    reader = {"use": "documents", "data": "camera", **more.pop("reader", {})}
    bench = {"format": 1, "source": "cam", "reader": reader}
    return Session(engine, found, data_root=root, detectors={"bench": bench}, **{"mode": "act", **more})


def pictures(
    camera: Camera,
    frames: int,
    before: Callable[[int], Any] = lambda k: None,
    pause_s: float = 0.01,
    until: Callable[[], Any] = lambda: True,
):
    """A plan: so many pictures, each from a checkpoint; `before(k)` is called first. It goes on, for at most a minute
    and a half, until `until()` is true: a plan that expects an answer ends after it."""

    @bpp.run_decorator(md={"plan_name": "pictures"})
    def plan():
        end = time.monotonic() + 90.0
        for k in itertools.count():
            if k >= frames and (until() or time.monotonic() > end):
                return
            yield from bps.checkpoint()
            before(k)
            yield from bps.trigger_and_read([camera, camera.beam])
            yield from bps.sleep(pause_s)

    return plan()


def entries(found: Session | Path, kind: str) -> list[dict[str, Any]]:
    """The entries of one kind, in all runs of a session that is closed, or in one run."""
    paths = [Path(s.path) for s in found.summaries] if isinstance(found, Session) else [found]
    told = []
    for path in paths:
        with StoredRun(path) as stored:
            told += [e.body for e in stored.entries(kind)]
    return told


def stored(found: Session) -> int:
    """Frames that are stored, in all runs of a session that is closed."""
    return sum(s.frames["stored"] for s in found.summaries)


class Heard:
    """Documents of a RunEngine, as its other subscribers see them."""

    def __init__(self, engine: RunEngine) -> None:
        self.all: list[tuple[str, Any]] = []
        engine.subscribe(lambda name, document: self.all.append((name, document)))

    def __getitem__(self, name: str) -> list[Any]:
        return [document for kind, document in self.all if kind == name]
