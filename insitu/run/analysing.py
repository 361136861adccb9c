"""The analysis thread: the only caller of the pipeline.

Frames in order of `n` come in; records, decisions and shed entries go out.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Empty
from typing import Any, NamedTuple

from insitu.config import Budget
from insitu.errors import InsituError
from insitu.pipeline import Pipeline
from insitu.references import ReferenceFold
from insitu.run.acting import Acting
from insitu.run.shared import Arrived, Shared, left
from insitu.store.canonical import canonical, record_body, text
from insitu.store.writer import Pending
from insitu.types import Frame, Measurement, Record

Watcher = Callable[[Record], None]
"""Is shown every record as soon as it is decided, by the analysis thread: must come back at once."""

BREACH_EVERY_S = 1.0
FAULTS_LOGGED = 100


class _Waiting(NamedTuple):
    arrived: Arrived
    measurement: "Future[Measurement] | None"
    entries: list[dict[str, Any]]


class Analysing(threading.Thread):
    """Runs until it is handed None. `live`: sources whose frames are shed once they are older than the lag budget."""

    def __init__(
        self,
        pipeline: Pipeline,
        references: ReferenceFold,
        acting: Acting,
        shared: Shared,
        budget: Budget,
        live: Mapping[str, bool],
        on_fault: str,
        watch: Watcher | None = None,
    ) -> None:
        super().__init__(name="analysis", daemon=True)
        self.pipeline, self.references, self.acting = pipeline, references, acting
        self.shared, self.budget, self.live, self._on_fault = shared, budget, live, on_fault
        self._watch = watch
        self.last: Record | None = None
        self.breaches = 0
        self._breach_told = 0.0
        self._faults: set[str] = set()
        self._before: dict[str, deque[Frame]] = {}
        self._pool = ThreadPoolExecutor(budget.measure_threads, "measure") if budget.measure_threads > 1 else None
        self._waiting: deque[_Waiting] = deque()
        self._in_hand: dict[int, Frame] = {}  # taken from the queue and not handed over, in order of n
        self._out = threading.Lock()  # covers handing over and giving up
        self._ended = self.given_up = False

    def run(self) -> None:
        try:
            self._loop()
        except BaseException as e:  # noqa: BLE001 - the boundary: ours to fail; the raw data goes on being stored
            self._failed(e)
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)

    def _failed(self, e: BaseException) -> None:
        """An error of ours outside any role: go on recording (or end, as the recipe says), and say so."""
        text = f"the analysis failed: {type(e).__name__}: {e}"
        self.shared.analysis_failed = text
        self.shared.notes.append(text)
        self.shared.log("fault", {"reason": text})
        if self._on_fault == "halt":
            self.shared.stop("failed", text, InsituError(text, remedy="This is a bug of insitu; the raw data is safe"))
        for frame in list(self._in_hand.values()):
            self._leave("skipped", text, frame)
        while not self._ended and (item := self.shared.to_analysis.get()) is not None:
            self._leave("skipped", text, item.frame)

    def give_up(self, why: str) -> None:
        """Called by main when a role hangs: all that is left is skipped, and what still comes out is not used."""
        with self._out:
            self.given_up = True
            waiting = list(self._in_hand.values())
            with suppress(Empty):
                while True:
                    item = self.shared.to_analysis.get_nowait()
                    waiting += [item.frame] if item is not None else []
            for frame in waiting:
                self._put("skipped", frame.n, left(frame, why))
        self.shared.to_analysis.put(None)

    def _loop(self) -> None:
        while True:
            item = self.shared.to_analysis.get()
            if item is None:
                self._ended = True
                while self._waiting:
                    self._finish(self._waiting.popleft())
                return
            self._begin(item)

    def _begin(self, item: Arrived) -> None:
        frame = item.frame
        if self.shared.storage_failed:
            return
        self._in_hand[frame.n] = frame
        reason = self._too_late(item)
        before = self._neighbours(frame)
        refs = self.references.of(frame.source)
        entries = [] if frame.provisional else self.references.see(frame)
        if reason is not None:
            for body in entries:
                self.shared.log("reference", body, frame.n)
            kind, why = reason
            while self._waiting:
                self._finish(self._waiting.popleft())
            self._leave(kind, why, frame)
        elif self._pool is None:
            self._finish(_Waiting(item, None, entries), self.pipeline.measure(frame, refs, before))
        else:
            self._waiting.append(_Waiting(item, self._pool.submit(self.pipeline.measure, frame, refs, before), entries))
            most = 2 * self.budget.measure_threads - 1
            while len(self._waiting) > most or (self._waiting and self.shared.to_analysis.empty()):
                self._finish(self._waiting.popleft())

    def _too_late(self, item: Arrived) -> tuple[str, str] | None:
        """(kind, reason) where a frame is not analysed: shed when behind, skipped when the drain is over."""
        drain = self.shared.drain_until
        if drain is not None and time.monotonic() > drain:
            return "skipped", f"the run had ended and the drain of {self.budget.drain_s:g} s was over"
        if self.live.get(item.frame.source) and self.budget.when_late == "shed":
            late_s = (time.monotonic_ns() - item.at_ns) / 1e9
            if late_s > self.budget.lag_s:
                return "shed", f"the analysis was {late_s:.2f} s behind, more than {self.budget.lag_s:g} s"
        return None

    def _neighbours(self, frame: Frame) -> tuple[Frame, ...]:
        """The frames stored before it (same source, order of `n`), as many as the features need."""
        k = self.pipeline.before(frame.source)
        if not k:
            return ()
        ring = self._before.setdefault(frame.source, deque(maxlen=k))
        before = tuple(ring)
        if not frame.provisional:
            ring.append(frame)
        return before

    def _leave(self, kind: str, why: str, frame: Frame) -> None:
        with self._out:
            if not self.given_up:
                self._put(kind, frame.n, left(frame, why))
                self._in_hand.pop(frame.n, None)

    def _put(
        self, kind: str, n: int, body: dict[str, Any], timing: bytes = b"", arrays: Any = None, raw_bytes: int = 0
    ) -> None:
        self.shared.to_store.put(Pending(n, kind, body, canonical(body), timing, arrays or {}, raw_bytes))

    def _finish(self, w: _Waiting, measurement: Measurement | None = None) -> None:
        """Judge, decide, hand over."""
        if measurement is None:
            measurement = w.measurement.result() if w.measurement else None
        if measurement is None:
            return
        arrived = w.arrived
        record = self.pipeline.judge(measurement)
        decided = time.monotonic_ns()
        self.last = record
        self.acting.decide(record, arrived.at_ns)
        self._show(record)
        edge_s = (decided - arrived.at_ns) / 1e9
        sense_s = (arrived.wall_ns - arrived.frame.time_ns - arrived.frame.duration_ns) / 1e9
        self.shared.latency["edge"].add(edge_s)
        if arrived.frame.clock == "ioc" or self.live.get(arrived.frame.source):
            self.shared.latency["sense"].add(max(0.0, sense_s))
            self.shared.latency["total"].add(max(0.0, sense_s) + edge_s)
        for body in w.entries:
            self.shared.log("reference", body, measurement.n)
        self._hand_over(record, arrived, edge_s)
        if edge_s > self.budget.latency_s:
            self._breach(measurement.n, edge_s)
        if record.measurement.faults:
            self._fault(record)

    def _show(self, record: Record) -> None:
        """To whoever watches the records; one that fails is told of, and sees no more."""
        if self._watch is not None:
            try:
                self._watch(record)
            except Exception as e:  # noqa: BLE001 - the boundary: who looks on must not end the analysis
                self._watch = None
                told = f"what watches the records failed and sees no more: {type(e).__name__}: {e}"
                self.shared.notes.append(text(told))

    def _hand_over(self, record: Record, arrived: Arrived, edge_s: float) -> None:
        n = record.measurement.n
        body = record_body(record)
        timing = canonical({"arrival_ns": arrived.wall_ns, "edge_us": round(edge_s * 1e6)})
        with self._out:
            if not self.given_up:
                self._put("record", n, body, timing, record.measurement.arrays, arrived.frame.data.nbytes)
                self._in_hand.pop(n, None)

    def _breach(self, n: int, edge_s: float) -> None:
        self.breaches += 1
        now = time.monotonic()
        if now - self._breach_told >= BREACH_EVERY_S:
            self._breach_told = now
            body = {"what": "budget", "latency_ms": round(edge_s * 1e3, 3), "breaches": self.breaches}
            self.shared.log("event", body, n)

    def _fault(self, record: Record) -> None:
        for told in record.measurement.faults:
            if told not in self._faults and len(self._faults) < FAULTS_LOGGED:
                self._faults.add(told)
                self.shared.log("fault", {"reason": told}, record.measurement.n)
                self.shared.notes.append(f"fault at frame n = {record.measurement.n}: {told}")
        if self._on_fault == "halt":
            self.shared.stop("failed", f"on_fault = halt: {record.measurement.faults[0]}")
