"""What a broker that goes and comes back costs a run that goes on: nothing, it is hoped.

Two questions, with a real broker on this machine. (1) The same run with the broker up and with it stopped: frames a
second of a source that waits for nobody, and arrival to decision at 100 frames/s. (2) 100,000 documents of an outage
drained beside a live run at 100 frames/s, and the same live run with nothing beside it: how many decisions were late?
"""

import fcntl
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from insitu.run import run
from insitu.sinks.kafka import Link
from insitu.sinks.sent import read_sent
from insitu.store.runs import StoredRun
from tests.broker import Broker, NoBrokerError
from tests.outboxes import Outgoing
from tests.settings import detector, setup
from tests.topics import end_offset

BUDGET_MS = 50.0


@dataclass(frozen=True, slots=True)
class Timed:
    """One run: frames a second from the first arrival to the last decision, and arrival to decision of each in ms."""

    rate: float
    edge_ms: np.ndarray


def timed(folder: Path, to: Link, frames: int, rate: float | None) -> Timed:
    """One run of frames that were made beforehand: paced and live, or as fast as they are taken."""
    live = rate is not None
    table = {"kafka": {"bootstrap": to.bootstrap, "beamline": to.beamline}, "policy": {"features": ["*"]}, "rules": []}
    reader = {"use": "benchmarks.sources:Prepared", "frames": frames, **({"rate": rate} if live else {})}
    bench = {**detector(live=live), "reader": reader}
    limits = ("budget.linger=1 s", f"budget.latency={BUDGET_MS} ms")
    summary = run(setup(table, *limits, detectors={"bench": bench}), data_root=folder)
    assert summary.records == summary.frames["stored"] == frames, summary
    with StoredRun(Path(summary.path)) as stored:
        found = [body for _, body in stored.timings()]
    arrival = np.array([body["arrival_ns"] for body in found]) / 1e9
    edge = np.array([body["edge_us"] for body in found]) / 1e3
    return Timed(frames / float(arrival[-1] + edge[-1] / 1e3 - arrival[0]), edge)


def up_or_down(folder: Path, to: Link, broker: Broker, *, quick: bool) -> None:
    """The same runs with the broker up and with it stopped, in turns."""
    rounds, most, paced = (3, 3000, 500) if quick else (5, 10_000, 1500)
    jobs = {"frames/s, unpaced": (most, None), "at 100 frames/s": (paced, 100.0)}
    states = {"up": broker.resume, "down": broker.pause}
    found: dict[tuple[str, str], list[Timed]] = {(job, state): [] for job in jobs for state in states}
    for round_ in range(rounds + 1):  # the first is not counted
        for job, (frames, rate) in jobs.items():
            for state in sorted(states, reverse=bool(round_ % 2)):
                states[state]()
                try:
                    one = timed(folder, to, frames, rate)
                finally:
                    broker.resume()
                if round_:
                    found[job, state].append(one)
    print(f"\nThe same run with the broker up and stopped, {rounds} rounds, medians (goal: within 5 %)")
    job = "frames/s, unpaced"
    show(job, *([t.rate for t in found[job, state]] for state in states))
    job = "at 100 frames/s"
    for p in (50, 99):
        figures = ([float(np.percentile(t.edge_ms, p)) for t in found[job, state]] for state in states)
        show(f"arrival to decision p{p}, ms", *figures)


def show(what: str, up: list[float], down: list[float]) -> None:
    """One line, the ratio taken round by round."""
    ratio = median(d / u for u, d in zip(up, down, strict=True))
    spread = median(abs(a - b) / (a + b) * 2 for a, b in itertools.pairwise(up)) if len(up) > 1 else 0.0
    print(f"  {what:<28} up {median(up):>8.4g}  down {median(down):>8.4g}  down / up {ratio:.3f}"
          f"  (up differs from round to round by {spread:.0%})")  # fmt: skip


@contextmanager
def draining(out: Outgoing, to: Link) -> Iterator[list[float]]:
    """The forwarder of an experiment that is still open, on its backlog, in a process of its own. Gives the seconds
    that it took, once they are over."""
    (out.folder / "recipe.toml").write_text(f'[kafka]\nbootstrap = "{to.bootstrap}"\nbeamline = "{to.beamline}"\n')
    took: list[float] = []

    def watch(began: float) -> None:
        while read_sent(out.folder).oid < out.count:
            time.sleep(0.2)
        took.append(time.perf_counter() - began)

    with (out.folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a run that lives
        child = subprocess.Popen([sys.executable, "-m", "insitu.sinks.forward", str(out.folder)])
        watching = threading.Thread(target=watch, args=(time.perf_counter(),), daemon=True)
        watching.start()
        yield took
        watching.join(600)
        out.seal()
        assert child.wait(60) == 0


SLEEPER = """
import sys, threading, time
late, done = [], threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), done.set()), daemon=True).start()
while not done.is_set():
    before = time.perf_counter()
    time.sleep(0.005)
    late.append((time.perf_counter() - before - 0.005) * 1e3)
print(max(late), sum(x > 50.0 for x in late))
"""


@contextmanager
def sleeper() -> Iterator[list[float]]:
    """A process that only sleeps 5 ms again and again: what it is late by, the machine is late by. Gives (largest
    delay in ms, how many over 50 ms), once it is over."""
    found: list[float] = []
    child = subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield found
    found += map(float, child.communicate()[0].split())


def drained_beside(folder: Path, to: Link, *, quick: bool) -> None:
    """Late decisions with a drain beside the run and without one, in turns."""
    documents, frames, rounds = (30_000, 800, 2) if quick else (100_000, 3000, 3)
    found: dict[str, list[np.ndarray]] = {"alone": [], "draining": []}
    slept: dict[str, list[list[float]]] = {"alone": [], "draining": []}
    seconds: list[float] = []
    timed(folder, to, 100, 100.0)
    for _ in range(rounds):
        with sleeper() as alone:
            found["alone"].append(timed(folder, to, frames, 100.0).edge_ms)
        slept["alone"].append(alone)
        out = Outgoing(folder).offer(documents)
        elsewhere = Link(bootstrap=to.bootstrap, beamline=to.beamline + "x")
        before = end_offset(to.bootstrap, elsewhere.topic)
        with draining(out, elsewhere) as took, sleeper() as beside:
            found["draining"].append(timed(folder, to, frames, 100.0).edge_ms)
        slept["draining"].append(beside)
        seconds += took
        assert read_sent(out.folder).documents == out.count
        assert end_offset(to.bootstrap, elsewhere.topic) - before >= out.count
    print(f"\n{documents} documents drained beside a live run at 100 frames/s, {rounds} rounds of {frames} frames")
    print(f"  drained in {median(seconds):.1f} s ({documents / median(seconds):.0f} documents/s)")
    for name, edges in found.items():
        edge = np.concatenate(edges)
        p50, p99 = np.percentile(edge, (50, 99))
        late = int((edge > BUDGET_MS).sum())
        print(f"  {name:<9} arrival to decision p50 {p50:.2f}, p99 {p99:.2f}, max {edge.max():.1f} ms; {late} of"
              f" {edge.size} over {BUDGET_MS:g} ms; a bare sleeper up to {max(m for m, _ in slept[name]):.1f} ms,"
              f" {sum(k for _, k in slept[name]):.0f} over 50 ms")  # fmt: skip


def give_way(broker: Broker) -> None:
    """A broker is another machine's load: here it leaves the cores to the run, as far as they are needed."""
    assert broker.process is not None
    for task in Path(f"/proc/{broker.process.pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), os.getpriority(os.PRIO_PROCESS, 0) + 10)


def main(disk: Path, *, quick: bool) -> None:
    """Both, with a broker of our own."""
    folder = Path(tempfile.mkdtemp(dir=disk))
    broker = Broker(folder / "kafka")
    try:
        broker.start()
        give_way(broker)
        to = Link(bootstrap=broker.bootstrap, beamline=f"b{uuid.uuid4().hex[:8]}")
        drained_beside(folder / "data", to, quick=quick)
        up_or_down(folder / "data", to, broker, quick=quick)
    except NoBrokerError as e:
        print(f"\noutage: skipped, {e}")
    finally:
        broker.resume()
        broker.kill()
        shutil.rmtree(folder)
