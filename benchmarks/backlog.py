"""Resident memory of a run and of its forwarder over a day without a broker, and of the drain that follows.

A broker that is away costs rows in the ledger and nothing else: no process may grow with their number. The clock is
simulated: small frames whose times are 0.1 s apart, as fast as they are taken.
"""

import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from insitu.sinks.sent import Outbox, read_sent
from insitu.types import Arrival, Axis
from tests.broker import Broker, NoBrokerError
from tests.topics import end_offset

STEP_NS = 100_000_000
DAY = 864_000
"""Frames of a day at 10 Hz."""
QUICK = 40_000

RUN = """
import sys
from pathlib import Path
from insitu.run import run
from tests.settings import detector, setup
frames, bootstrap, beamline, folder = int(sys.argv[1]), *sys.argv[2:]
more = {"kafka": {"bootstrap": bootstrap, "beamline": beamline}, "policy": {"features": ["*"]},
        "features": [{"use": "totals"}], "models": [], "rules": []}
bench = {**detector(), "shape": [64], "reader": {"use": "benchmarks.backlog:Day", "frames": frames}}
small = ("budget.linger=0.1 s", "budget.in_flight=256 kB")
summary = run(setup(more, *small, detectors={"bench": bench}), data_root=Path(folder))
assert summary.records == frames, summary
"""
DRAIN = "import sys; from insitu.cli import main; main(['outbox', 'drain', sys.argv[1], '--json'])"


class Day:
    """A detector of 64 points at 10 Hz of its own clock."""

    def __init__(self, *, frames: int = DAY) -> None:
        self.frames = frames

    def __call__(self) -> Iterator[Arrival]:
        data, axis = np.arange(64, dtype="u4"), Axis(np.linspace(20.0, 60.0, 64), "deg")
        began = time.time_ns()
        for k in range(self.frames):
            yield Arrival(
                source="det", data=data, dims=("two_theta",), unit="counts", axes={"two_theta": axis}, source_seq=k,
                time_ns=began + k * STEP_NS, clock="ioc",
            )  # fmt: skip


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB, without pages of files that are mapped (the seal reads the whole ledger that
    way); 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))) * 1024 / 1e6


def watched(command: list[str], sealing: Callable[[], bool] = lambda: False) -> list[list[float]]:
    """MB of a process, of its first child, and of the process while it seals; twice a second until it ends."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    own: list[float] = []
    beside: list[float] = []
    at_the_end: list[float] = []
    while child.poll() is None:
        (at_the_end if sealing() else own).append(rss_mb(child.pid))
        for tasks in Path(f"/proc/{child.pid}/task").glob("*/children"):
            beside += [rss_mb(int(pid)) for pid in tasks.read_text().split()]
        time.sleep(0.5)
    assert child.returncode == 0, command
    return [[m for m in seen if m] for seen in (own, beside, at_the_end)]


def show(name: str, seen: list[float]) -> None:
    """How it grew between the second fifth, when all is imported and warm, and the last."""
    fifth = max(1, len(seen) // 5)
    early, late = float(np.mean(seen[fifth : 2 * fifth])), float(np.mean(seen[-fifth:]))
    print(f"  {name:<30} {early:7.1f} -> {late:7.1f} MB, growth {late - early:+.1f}, most {max(seen):.1f}")


def main(disk: Path, *, quick: bool) -> None:
    """A whole day; `quick`: a little more than an hour."""
    frames = QUICK if quick else DAY
    folder = Path(tempfile.mkdtemp(dir=disk))
    broker = Broker(folder / "kafka")
    try:
        beamline = f"b{uuid.uuid4().hex[:8]}"
        command = [sys.executable, "-c", RUN, str(frames), broker.bootstrap, beamline, str(folder)]
        run, forwarder, seal = watched(
            command, lambda: any("ended" in p.read_text() for p in folder.glob("runs/*/*/run.log"))
        )
        (ledger,) = folder.glob("runs/*/*/ledger.db")
        waiting = Outbox(ledger.parent).last()[0] - read_sent(ledger.parent).oid
        broker.start()
        drain, _, _ = watched([sys.executable, "-c", DRAIN, str(ledger.parent)])
        assert end_offset(broker.bootstrap, f"{beamline}.bluesky.insitu.documents") == waiting > frames
        hours = frames * STEP_NS / 3.6e12
        print(f"\nResident memory over {hours:.1f} h without a broker: {frames} frames at 10 Hz of a simulated clock;"
              f" then {waiting} documents drained (goal: flat)")  # fmt: skip
        show("run", run)
        print(f"  {'run, while it is sealed':<30} most {max(seal, default=0.0):.1f} MB")
        show("its forwarder, broker away", forwarder)
        show("drain", drain)
    except NoBrokerError as e:
        print(f"\nbacklog: skipped, {e}")
    finally:
        broker.kill()
        shutil.rmtree(folder)
