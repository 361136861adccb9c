"""Frame received to decision at 100 frames/s, beside bare thread wake-up and fdatasync measured in the same run."""

import os
import tempfile
import threading
import time
from pathlib import Path
from queue import SimpleQueue

from benchmarks.sources import bench_setup
from insitu.maths.latency import Latency
from insitu.run import run


class Beside(threading.Thread):
    """While the run goes on: hand an item to a waiting thread every 10 ms, and fdatasync 16 KiB every 50 ms."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder, self.done = folder, threading.Event()
        self.wake, self.sync = Latency(), Latency()

    def run(self) -> None:
        queue: SimpleQueue[float | None] = SimpleQueue()

        def waiter() -> None:
            while (handed := queue.get()) is not None:
                self.wake.add(time.perf_counter() - handed)

        threading.Thread(target=waiter, daemon=True).start()
        fd = os.open(self.folder / "beside", os.O_CREAT | os.O_WRONLY)
        k = 0
        while not self.done.wait(0.01):
            queue.put(time.perf_counter())
            k += 1
            if k % 5 == 0:
                os.pwrite(fd, bytes(16384), k * 16384)
                began = time.perf_counter()
                os.fdatasync(fd)
                self.sync.add(time.perf_counter() - began)
        queue.put(None)
        os.close(fd)


def main(disk: Path, *, quick: bool) -> None:
    """One live run."""
    count = 1000 if quick else 3000
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        setup = bench_setup(frames=count, rate=100.0, live=True)
        setup.pipeline()
        beside = Beside(Path(folder))
        beside.start()
        summary = run(setup, data_root=Path(folder) / "data")
        beside.done.set()
        beside.join()
    assert summary.records == summary.frames["stored"] == count, summary
    print(f"\nFrame received to decision, {count} frames at 100 frames/s, ms (goal: p99 at most 10)")
    for name, d in (
        ("insitu, received to decision", summary.latency_ms["edge"]),
        ("bare thread wake-up", beside.wake.as_dict()),
        ("bare fdatasync of 16 KiB", beside.sync.as_dict()),
    ):
        print(f"  {name:<30} p50 {d['p50']:.2f}  p99 {d['p99']:.2f}  max {d['max']:.2f}" if d else f"  {name}: none")
