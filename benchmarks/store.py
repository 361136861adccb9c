"""Durable storing with ledger and digest: 1 Mpx images and 4,096-point spectra, beside the peers.

Ours is the real store thread with the real writer; the lag from hand-over to acknowledgement is printed with every
figure, because a deep queue is faster and breaks it.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks import store_peers as peers
from benchmarks.timing import interleave, table
from insitu.maths.aligned import aligned
from insitu.maths.latency import Latency
from insitu.run import ENCODERS
from insitu.run.credit import Credit
from insitu.run.intake import ENCODE_IN_POOL
from insitu.run.shared import Queued, Shared
from insitu.run.storing import Storing
from insitu.store.canonical import digest_array
from insitu.store.runs import StoredRun
from insitu.store.segments import SourceSpec
from insitu.store.writer import RunWriter
from insitu.types import Frame

LAG_S = 0.25

Jobs = Mapping[str, Callable[[Path, list[np.ndarray], int], float]]
Goals = Mapping[str, float]


def images(count: int = 8) -> list[np.ndarray]:
    """Poisson rings, 1024 x 1024 uint16."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:1024, :1024]
    rate = 20 + 400 * np.exp(-((((np.hypot(y - 512, x - 512) % 90) - 45) / 3) ** 2))
    return [aligned(rng.poisson(rate).astype("u2")) for _ in range(count)]


def spectra(count: int = 64) -> list[np.ndarray]:
    """Poisson peaks, 4,096 points float32."""
    rng = np.random.default_rng(0)
    rate = 1000 * np.exp(-((((np.arange(4096) % 512) - 256) / 20) ** 2)) + 50
    return [aligned(rng.poisson(rate).astype("f4")) for _ in range(count)]


class FramesOnly(Storing):
    """The real store thread, whose frames need no record; says how long each waited for its acknowledgement."""

    handed: dict[int, float]
    lag: Latency

    def _pay(self, numbers: list[int]) -> None:
        now = time.perf_counter()
        for n in numbers:
            nbytes, _ = self._owed.pop(n)
            self.shared.credit.release(nbytes)
            self.lag.add(now - self.handed.pop(n))


def ours(folder: Path, frames: list[np.ndarray], count: int, in_flight: int, lag: Latency) -> float:
    """The real store thread; everything acknowledged when the clock stops. A third of the frames is read back."""
    writer = RunWriter(folder, {"uid": "bench", "format": 1, "sources": ["det"]}, {"det": SourceSpec()})
    shared = Shared(Credit(in_flight))
    dims = ("y", "x")[: frames[0].ndim]
    pool = ThreadPoolExecutor(ENCODERS)
    store = FramesOnly(writer, shared, 0.01, lambda numbers: None, pool)
    store.handed, store.lag = {}, lag
    store.start()
    began = time.perf_counter()
    for n in range(count):
        data = frames[n % len(frames)]
        frame = Frame(source="det", data=data, dims=dims, unit="counts", time_ns=n, source_seq=n, seq=n, n=n)
        shared.credit.take(data.nbytes, wait=True)
        store.handed[n] = time.perf_counter()
        encoded = pool.submit(writer.encode, frame) if data.nbytes >= ENCODE_IN_POOL else None
        shared.to_store.put(Queued(frame, 0, False, data.nbytes, encoded))
    shared.to_store.put(None)
    store.join()
    took = time.perf_counter() - began
    assert shared.ending.error is None, shared.ending.error
    writer.close()
    writer.ledger.close()
    pool.shutdown()
    wanted = [digest_array(a) for a in frames]
    with StoredRun(folder) as run:
        stored = list(run.entries("frame"))
        assert len(stored) == count
        for e in stored[::3]:
            assert e.n is not None
            assert digest_array(run.frame_n(e.n).data) == wanted[e.n % len(frames)]
    return count / took


def bench(
    title: str, frames: list[np.ndarray], count: int, in_flight: int, disk: Path, repeats: int, jobs, goals
) -> None:
    """Interleaved rounds, each in a fresh folder."""
    lag = Latency()

    def fresh(job):
        def run() -> float:
            folder = Path(tempfile.mkdtemp(dir=disk))
            try:
                return job(folder)
            finally:
                shutil.rmtree(folder)

        return run

    all_jobs = {"insitu": fresh(lambda f: ours(f, frames, count, in_flight, lag))}
    all_jobs |= {name: fresh(lambda f, job=job: job(f, frames, count)) for name, job in jobs.items()}
    figures = interleave(all_jobs, repeats)
    table(title, figures, "frames/s", "insitu", goals)
    times = lag.as_dict() or {"p50": 0.0, "p99": 0.0, "max": 0.0}
    said = "within" if times["p99"] <= LAG_S * 1e3 else "ABOVE"
    print(f"  acknowledgement lag of insitu: p50 {times['p50']:.0f}, p99 {times['p99']:.0f}, max {times['max']:.0f} ms"
          f" ({said} {LAG_S * 1e3:.0f} ms)")  # fmt: skip


def main(disk: Path, *, quick: bool) -> None:
    """Both sizes."""
    repeats = 3 if quick else 5
    bench(
        "1 Mpx uint16 images, durable, with ledger and digest",
        images(), 100 if quick else 300, 40_000_000, disk, repeats,
        {
            "plain write + fsync each": lambda f, x, n: peers.plain(f, x, n, codec=True),
            "bare write + fsync each, no codec, no digest": lambda f, x, n: peers.plain(f, x, n, codec=False),
            "tensorstore, synchronous": peers.tensorstore,
            "zarr-python + fsync": peers.zarr_python,
        },
        {
            "plain write + fsync each": 0.9, "bare write + fsync each, no codec, no digest": 0.9,
            "tensorstore, synchronous": 1.0, "zarr-python + fsync": 2.5,
        },
    )  # fmt: skip
    bench(
        "4,096-point float32 spectra, durable, with ledger and digest",
        spectra(), 4000 if quick else 15000, 24_000_000, disk, repeats,
        {
            "plain write + fsync each": lambda f, x, n: peers.plain(f, x, n, codec=True),
            "h5py, fsync per 0.25 s": peers.h5py_group,
            "h5py, chunk cache of 1 MiB (HDF5 before 2.0)": peers.h5py_small_cache,
        },
        {
            "plain write + fsync each": 2.5, "h5py, fsync per 0.25 s": 2.5,
            "h5py, chunk cache of 1 MiB (HDF5 before 2.0)": 2.5,
        },
    )  # fmt: skip
