"""A RunEngine with a session beside it: events/s with and without, and how long from a bad frame to its interruption.

The session's run computes in a process of its own. Where two processors share a core, one that computes slows the other
down, whoever it is: so a third row has a stranger beside the RunEngine that computes as large a part of the time as our
process did. The second part runs with every core loaded, frames at 50 per second from a camera that runs free; in the
same run a bare ophyd signal with a bare suspender is tripped now and then, so that both see the same machine.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine, plan_stubs, preprocessors
from bluesky.suspenders import SuspendBoolHigh
from ophyd import Signal
from ophyd.sim import SynSignal

from benchmarks.timing import interleave, table
from insitu.bluesky import Session

bps: Any = plan_stubs
bpp: Any = preprocessors
RATE = 50.0
WARM = 10
"""Events of a plan before its time is taken."""
REST_S = 0.25
"""Between two plans: so long may frames be on their way."""


@contextlib.contextmanager
def engine_alone() -> Iterator[RunEngine]:
    engine = RunEngine({}, context_managers=[])
    try:
        yield engine
    finally:
        engine.loop.call_soon_threadsafe(engine.loop.stop)
        engine._th.join(5)
        engine.loop.close()


def session(engine: RunEngine, root: Path, stream: str = "primary") -> Session:
    recipe = {
        "format": 1, "title": "a session", "detectors": ["bench"], "features": [{"use": "totals"}],
        "models": [{"name": "beam", "use": "limits", "feature": "context.beam", "low": 50.0}],
        "rules": [{"use": "pause_on", "name": "no_beam", "model": "beam", "resume_after": 1}],
    }  # fmt: skip
    bench = {"format": 1, "source": "cam", "reader": {"use": "documents", "data": "camera", "stream": stream}}
    return Session(engine, recipe, data_root=root, detectors={"bench": bench}, mode="act")


class Plans:
    """One RunEngine with a session and one without, side by side in this process: a plan on the one, a plan on the
    other, in turns, so that both see the same machine. Pictures are taken as fast as it goes."""

    def __init__(self, with_us: RunEngine, without: RunEngine, insitu: Session, count: int) -> None:
        self.engines, self.insitu, self.count = {True: with_us, False: without}, insitu, count
        self.cpu_s: dict[bool, list[float]] = {True: [], False: []}
        """How long this process was computing per event."""
        self.shares: list[float] = []
        """Which part of the time the process of the run was computing."""
        self.taken = 0

    def events_per_s(self, *, with_us: bool) -> float:
        """Of one plan, from its `WARM`th event to the last."""
        picture = np.full((64, 64), 7, "u2")
        camera = SynSignal(func=lambda: picture, name="camera")
        beam = SynSignal(func=lambda: 100.0, name="beam")
        at: list[tuple[float, float, float]] = []

        @bpp.run_decorator()
        def plan() -> Any:
            for k in range(WARM + self.count + 1):
                if k in (WARM, WARM + self.count):
                    at.append((time.perf_counter(), time.process_time(), computed_s(self.insitu.pid)))
                yield from bps.checkpoint()
                yield from bps.trigger_and_read([camera, beam])

        self.engines[with_us](plan())
        (began, before, theirs), (ended, after, theirs_after) = at
        self.cpu_s[with_us].append((after - before) / self.count)
        if with_us:
            self.shares.append((theirs_after - theirs) / (ended - began))
            self.taken += WARM + self.count + 1
        time.sleep(REST_S)
        return self.count / (ended - began)


def events(disk: Path, count: int, rounds: int) -> None:
    """The first part, with plans of so many events."""
    with tempfile.TemporaryDirectory(dir=disk) as folder, engine_alone() as engine, engine_alone() as bare:
        with session(engine, Path(folder)) as insitu:
            plans = Plans(engine, bare, insitu, count)

            def beside_a_stranger() -> float:
                with stranger(plans.shares[-1]):
                    return plans.events_per_s(with_us=False)

            figures = interleave(
                {
                    "with a session": lambda: plans.events_per_s(with_us=True),
                    "without": lambda: plans.events_per_s(with_us=False),
                    "without, a stranger as busy": beside_a_stranger,
                },
                rounds,
            )
        assert sum(s.frames["stored"] for s in insitu.summaries) == plans.taken, insitu.summaries
    title = f"A stock RunEngine, plans of {count} pictures of 64 x 64 as fast as it can"
    table(title, figures, "events/s", "with a session", {"without": 0.9, "without, a stranger as busy": 0.9})
    ratios = np.divide(figures["with a session"], figures["without"])
    draws = np.random.default_rng(1).choice(ratios, (4000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    print(f"  with / without: median {np.median(ratios):.3f}, 95 % interval {low:.3f} to {high:.3f} ({rounds} pairs)")
    ms = {with_us: statistics.median(found) * 1e3 for with_us, found in plans.cpu_s.items()}
    print(f"  the RunEngine's process computes {ms[True]:.3f} ms per event with a session, {ms[False]:.3f} ms without")
    print(f"  the process of the session's run computes {statistics.median(plans.shares):.0%} of the time")


def computed_s(pid: int) -> float:
    """How long all threads of a process have been computing."""
    return (
        sum(int(Path(task, "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9
    )


STRANGER = """
import sys, time
share, period = float(sys.argv[1]), 0.005
while True:
    began = time.perf_counter()
    while time.perf_counter() < began + share * period:
        sum(range(200))
    time.sleep(max(0.0, began + period - time.perf_counter()))
"""


@contextlib.contextmanager
def stranger(share: float) -> Iterator[None]:
    """A process beside us that computes so large a part of the time."""
    process = subprocess.Popen([sys.executable, "-c", STRANGER, str(min(1.0, share))])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def loaded() -> Iterator[None]:
    """Every core has something else to do."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def interruptions(disk: Path, times: int) -> tuple[list[float], list[float]]:
    """Seconds from a bad frame's document to the state `suspending` of the engine; and from `put` to there, bare."""
    import event_model

    run = event_model.compose_run()
    keys: Any = {
        "camera": {"source": "x", "dtype": "array", "shape": [64, 64], "dtype_numpy": "<u2"},
        "beam": {"source": "x", "dtype": "number", "shape": []},
    }
    free = run.compose_descriptor(name="free", data_keys=keys)
    picture = np.full((64, 64), 7, "u2")
    interrupted = threading.Event()
    at: list[float] = []

    def hook(new: str, old: str) -> None:
        if str(new) == "suspending":
            at.append(time.perf_counter())
            interrupted.set()

    over = threading.Event()

    @bpp.run_decorator()
    def plan() -> Any:
        while not over.is_set():
            yield from bps.checkpoint()
            yield from bps.sleep(0.005)

    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory(dir=disk) as folder, engine_alone() as engine, loaded():
        signal = Signal(name="bare", value=0)
        with session(engine, Path(folder), "free") as insitu, contextlib.redirect_stdout(io.StringIO()):
            engine.install_suspender(SuspendBoolHigh(signal))
            hooked: Any = engine
            hooked.state_hook = hook
            insitu.feed("start", run.start_doc)
            insitu.feed("descriptor", free.descriptor_doc)

            def frame(beam: float) -> float:
                data = {"camera": picture, "beam": beam}
                document = free.compose_event(data=data, timestamps=dict.fromkeys(data, time.time()))
                began = time.perf_counter()
                insitu.feed("event", document)
                time.sleep(1.0 / RATE)
                return began

            def measure() -> None:
                time.sleep(1.0)
                for k in range(times):
                    for _ in range(3):
                        frame(100.0)
                    interrupted.clear()
                    if k % 2:
                        began = frame(0.0)
                    else:
                        began = time.perf_counter()
                        signal.put(1)
                    assert interrupted.wait(10.0), "no interruption came"
                    (ours if k % 2 else bare).append(at[-1] - began)
                    signal.put(0)
                    for _ in range(3):
                        frame(100.0)
                over.set()

            thread = threading.Thread(target=measure)
            thread.start()
            engine(plan())
            thread.join()
    return ours, bare


def main(disk: Path, *, quick: bool) -> None:
    """Both parts."""
    for count in (100, 400):
        events(disk, count, 20 if quick else 60)
    ours, bare = interruptions(disk, 60 if quick else 600)
    print(f"\nTo the interruption of the RunEngine at {RATE:g} frames/s, every core loaded, ms (goal: p99 at most 50)")
    for name, found in (("bad frame's document to suspension", ours), ("bare signal to bare suspender", bare)):
        p50, p99 = statistics.median(found) * 1e3, float(np.quantile(found, 0.99)) * 1e3
        print(f"  {name:<36} p50 {p50:.2f}  p99 {p99:.2f}  max {max(found) * 1e3:.2f}  ({len(found)} times)")
