"""What the threads of one run share: the arrival counter, the queues, the credit, and how the run ends."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, NamedTuple

from insitu.errors import InsituError
from insitu.maths.latency import Latency
from insitu.run.credit import Credit
from insitu.store.canonical import canonical
from insitu.store.writer import Pending
from insitu.types import Arrival, Frame


class Queued(NamedTuple):
    """A frame on its way to the store. `encoded` is a future for large frames, None for small ones."""

    frame: Frame
    segment: int
    refill: bool
    nbytes: int
    encoded: "Any | None"


class Growing(NamedTuple):
    """The points so far of a scan that goes on, on their way to the log: those from `since` on are new."""

    frame: Frame
    since: int
    nbytes: int


class Gap(NamedTuple):
    source: str
    first: int
    rows: int


class Unstored(NamedTuple):
    """An arrival with a row but no frame: `invalid` or `dropped`."""

    kind: str
    source: str
    seq: int
    source_seq: int | None
    reason: str
    payload: bytes
    refill: bool
    name: str
    credit: int = 0  # bytes that are given back once it is on disk


class Quarantined(NamedTuple):
    """An arrival without a row: `late` or `duplicate`."""

    kind: str
    arrival: Arrival
    reason: str
    payload: bytes | None
    credit: int = 0


class Logged(NamedTuple):
    """An entry without bytes of its own."""

    kind: str
    n: int | None
    body: Mapping[str, Any]


ToStore = Queued | Growing | Gap | Unstored | Quarantined | Logged | Pending | None
"""What the store thread is handed; None ends it."""


class Arrived(NamedTuple):
    """A frame on its way to the analysis, with when it was received: monotonic and wall clock, ns."""

    frame: Frame
    at_ns: int
    wall_ns: int


@dataclass(slots=True)
class Ending:
    """How a run ends: complete, finished, halted, interrupted or failed; and why, for people."""

    ended: str = "complete"
    reason: str = "the source came to its end"
    error: InsituError | None = None


@dataclass(slots=True)
class Shared:
    """One per run. `order` covers the handing out of `n` and both queues, so that all see one order."""

    credit: Credit
    order: threading.Lock = field(default_factory=threading.Lock)
    next_n: int = 0
    to_store: "SimpleQueue[ToStore]" = field(default_factory=SimpleQueue)
    to_analysis: "SimpleQueue[Arrived | None]" = field(default_factory=SimpleQueue)
    stopping: threading.Event = field(default_factory=threading.Event)
    ending: Ending = field(default_factory=Ending)
    latency: dict[str, Latency] = field(
        default_factory=lambda: {name: Latency() for name in ("sense", "edge", "net", "act", "total", "commit")}
    )
    drain_until: float | None = None
    storage_failed: bool = False
    analysis_failed: str = ""
    notes: list[str] = field(default_factory=list)
    first_invalid: str = ""
    over: bool = False  # the seal has begun: how the run ended is settled
    analysis_closed: bool = False
    store_closed: bool = False

    def stop(self, ended: str, reason: str, error: InsituError | None = None) -> None:
        """Ask the run to end. The first reason counts, except that an error of the store always does."""
        with self.order:
            if self.over:
                return
            if not self.stopping.is_set() or (error is not None and self.ending.error is None):
                self.ending = Ending(ended, reason, error)
            self.stopping.set()
        self.credit.close()

    def settle(self) -> Ending:
        """How the run ended, for good: a signal or a reader that comes too late changes nothing any more."""
        with self.order:
            self.over = True
            self.stopping.set()
            return self.ending

    def log(self, kind: str, body: Mapping[str, Any], n: int | None = None) -> None:
        """Put an entry into the log with the next commit."""
        self.to_store.put(Logged(kind, n, body))

    def close_analysis(self) -> None:
        """No more frames go there: those of a reader that is left behind are stored, and not analysed."""
        with self.order:
            self.analysis_closed = True
            self.to_analysis.put(None)

    def close_store(self) -> None:
        """No more frames at all."""
        with self.order:
            self.store_closed = True
            self.to_store.put(None)

    def stamp_growing(self, arrival: Arrival, seq: int, now: tuple[int, int], since: int, nbytes: int) -> None:
        """Give a provisional arrival its `n`, and hand it to log and analysis."""
        with self.order:
            if not self._too_late(arrival, nbytes):
                frame = frame_of(arrival, seq, self.next_n)
                self._hand_over(frame, Growing(frame, since, nbytes), now)

    def stamp(self, arrival: Arrival, seq: int, now: tuple[int, int], queued: tuple[int, bool, int, Any]) -> None:
        """Give an arrival its `n` and hand the frame to store and analysis, in one order for all sources."""
        segment, refill, nbytes, encoded = queued
        with self.order:
            if not self._too_late(arrival, nbytes):
                frame = frame_of(arrival, seq, self.next_n)
                self._hand_over(frame, Queued(frame, segment, refill, nbytes, encoded), now)

    def _too_late(self, arrival: Arrival, nbytes: int) -> bool:
        if self.store_closed:
            self.notes.append(f"a frame of {arrival.source} came after the run had been closed: it is not stored")
            self.credit.release(nbytes)
        return self.store_closed

    def _hand_over(self, frame: Frame, item: Queued | Growing, now: tuple[int, int]) -> None:
        self.next_n += 1
        self.to_store.put(item)
        if self.analysis_closed:
            body = left(frame, "the analysis had ended when it came")
            self.to_store.put(Pending(frame.n, "skipped", body, canonical(body), b"", {}, 0))
        else:
            self.to_analysis.put(Arrived(frame, *now))


def left(frame: Frame, why: str) -> dict[str, Any]:
    """The entry of a frame that is not analysed."""
    body = {"n": frame.n, "source": frame.source, "seq": frame.seq, "reason": why}
    return {**body, "provisional": True} if frame.provisional else body


def frame_of(a: Arrival, seq: int, n: int) -> Frame:
    """The frame that an arrival becomes."""
    return Frame(
        source=a.source,
        data=a.data,
        dims=a.dims,
        unit=a.unit,
        time_ns=a.time_ns,
        duration_ns=a.duration_ns,
        clock=a.clock,
        clock_sigma_ns=a.clock_sigma_ns,
        source_seq=a.source_seq,
        sigma=a.sigma,
        mask=a.mask,
        axes=a.axes,
        context=a.context,
        labels=a.labels,
        role=a.role,
        source_run_uid=a.source_run_uid,
        complete=a.complete,
        provisional=a.provisional,
        series=a.series,
        seq=seq,
        n=n,
    )


def now() -> tuple[int, int]:
    """Monotonic and wall clock, ns."""
    return time.monotonic_ns(), time.time_ns()
