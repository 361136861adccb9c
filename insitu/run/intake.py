"""The reader thread of one source: arrivals become frames with a row, a segment, credit and an `n`."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from insitu.config import Acquire
from insitu.errors import InsituError, SourceError
from insitu.run.normal import Normal, Unfit, invalid, plain_invalid
from insitu.run.shared import Gap, Quarantined, Shared, Unstored, now
from insitu.store.growing import extends, points_of
from insitu.store.segments import Segmenter, SourceSpec, frame_arrays
from insitu.store.sequence import Placement, Sequencer
from insitu.types import Arrival, Detector, Invalid, Reader

ENCODE_IN_POOL = 256 * 1024
"""Frames of at least this many bytes are hashed and compressed on the pool; smaller ones by the store thread."""
OVERHEAD = 8192
"""Bytes of credit for what surrounds the data of an arrival: small frames fill the memory too."""


@dataclass(slots=True)
class Scan:
    """A scan that goes on: the row that is kept for it, its points so far, and how many of them are in the log."""

    seq: int
    last: Arrival
    refill: bool
    logged: int = 0


class Intake(threading.Thread):
    """Owns its source: only this thread touches the reader, and only the reader closes itself."""

    def __init__(
        self,
        detector: Detector,
        reader: Reader,
        spec: SourceSpec,
        acquire: Acquire,
        shared: Shared,
        pool: Executor,
        encode: Callable[..., Any],
    ) -> None:
        super().__init__(name=f"reader-{detector.source}", daemon=True)
        self.detector, self.reader, self.shared, self.acquire = detector, reader, shared, acquire
        self._pool, self._encode, self._varying = pool, encode, spec.varying
        self._segmenter = Segmenter(spec)
        self._sequencer = Sequencer(
            reorder=acquire.reorder, max_gap=acquire.max_gap, counter_bits=detector.counter_bits
        )
        self._shape_told = False
        self._normal = Normal(detector)
        self._scan: Scan | None = None
        self._held: list[Invalid] = []
        self.received = 0

    def run(self) -> None:
        try:
            self._read()
        except InsituError as e:
            self.shared.stop("failed", str(e), e)
        except BaseException as e:  # noqa: BLE001 - whatever a reader raises (even SystemExit) ends its source
            error = SourceError(
                f"the reader failed: {type(e).__name__}: {e}",
                where=self.detector.source,
                remedy="The frames that had arrived are stored; check the instrument and start a new run",
            )
            error.__cause__ = e
            self.shared.stop("failed", str(error), error)

    def _read(self) -> None:
        arrivals = self.reader()
        try:
            for item in arrivals:
                if self.shared.stopping.is_set():
                    return
                if item is None:
                    continue
                self.received += 1
                self._refuse(item) if isinstance(item, Invalid) else self._arrival(item)
        finally:
            self._cut_short()
            close = getattr(arrivals, "close", None)
            if close is not None:
                close()

    def _place(self, source_seq: int | None) -> Placement:
        placement = self._sequencer.place(source_seq)
        source = self.detector.source
        if placement.epoch:
            body = {"what": "epoch", "source": source, "seq": placement.seq, "source_seq": source_seq}
            self.shared.log("event", body)
        if placement.lost:
            self.shared.to_store.put(Gap(source, *placement.lost))
        return placement

    def _borrow(self, nbytes: int) -> int:
        """Credit for bytes that are kept beside the run; 0 where there is none for a live source: they are kept
        whatever it costs."""
        nbytes = min(nbytes + OVERHEAD, self.shared.credit.limit)
        return nbytes if self.shared.credit.take(nbytes, wait=not self.detector.live) else 0

    def _refuse(self, item: Invalid) -> None:
        """What came in the middle of a scan waits until the scan has its frame: rows are taken in order."""
        self._invalid(item) if self._scan is None else self._held.append(item)

    def _invalid(self, item: Invalid) -> None:
        item = plain_invalid(item)
        credit = self._borrow(len(item.payload))
        placement = self._place(item.source_seq)
        source = self.detector.source
        self.shared.first_invalid = self.shared.first_invalid or item.reason
        if placement.seq is None:
            arrival = _nothing(source, item.source_seq)
            self.shared.to_store.put(Quarantined(placement.kind, arrival, item.reason, item.payload, credit))
        else:
            self.shared.to_store.put(
                Unstored(
                    "invalid",
                    source,
                    placement.seq,
                    item.source_seq,
                    item.reason,
                    item.payload,
                    placement.refill,
                    item.name,
                    credit,
                )
            )
        if self.acquire.on_invalid == "stop":
            self.shared.stop("failed", item.reason, SourceError(item.reason, where=item.name or source))

    def _arrival(self, arrival: Arrival) -> None:
        received = now()
        try:
            arrival = self._normal(arrival)
        except Unfit as e:
            self._refuse(invalid(arrival, e, self.detector.source))
            return
        nbytes = OVERHEAD + sum(a.nbytes for a in frame_arrays(arrival, self._varying).values())
        self._check(arrival, nbytes)
        if self._scan is not None and not extends(arrival, self._scan.last):
            self._cut_short()
        if arrival.provisional:
            self._grow(arrival, nbytes, received)
        else:
            scan = self._scan
            placement = Placement("frame", scan.seq, refill=scan.refill) if scan else self._place(arrival.source_seq)
            self._scan = None
            if placement.seq is None:
                self._without_row(placement, arrival, nbytes)
            elif self.shared.credit.take(nbytes, wait=not self.detector.live):
                self._keep(arrival, placement.seq, nbytes, received, refill=placement.refill)
            elif not self.shared.stopping.is_set() or self.detector.live:
                self._dropped(placement, arrival)
            self._release()

    def _grow(self, arrival: Arrival, nbytes: int, received: tuple[int, int]) -> None:
        """Points of a scan that goes on. Without credit they are only remembered: the next ones hold them too."""
        arrival = replace(arrival, complete=False)
        if self._scan is None:
            placement = self._place(arrival.source_seq)
            if placement.seq is None:
                self._without_row(placement, arrival, nbytes)
                return
            self._scan = Scan(placement.seq, arrival, placement.refill)
        scan = self._scan
        scan.last = arrival
        if points_of(arrival) > scan.logged and self.shared.credit.take(nbytes, wait=False):
            self.shared.stamp_growing(arrival, scan.seq, received, scan.logged, nbytes)
            scan.logged = points_of(arrival)

    def _cut_short(self) -> None:
        """The scan that was going on has no end: its points are kept as a frame that is marked incomplete."""
        scan, self._scan = self._scan, None
        if scan is not None:
            arrival = replace(scan.last, provisional=False)
            nbytes = OVERHEAD + sum(a.nbytes for a in frame_arrays(arrival, self._varying).values())
            nbytes = nbytes if self.shared.credit.take(nbytes, wait=False) else 0  # kept whatever it costs
            self._keep(arrival, scan.seq, nbytes, now(), refill=scan.refill)
        self._release()

    def _release(self) -> None:
        """What was held back while a scan went on."""
        held, self._held = self._held, []
        for item in held:
            self._invalid(item)

    def _keep(
        self, arrival: Arrival, seq: int, nbytes: int, received: tuple[int, int], *, refill: bool = False
    ) -> None:
        """A frame with its row and its credit, on its way to the store and to the analysis."""
        segment = self._segmenter.assign(arrival, seq, refill=refill)
        if segment is None:
            reason = "it came out of order and is of another kind than the frames around its place"
            self.shared.to_store.put(Quarantined("late", arrival, reason, None, nbytes))
            return
        encoded = self._pool.submit(self._encode, arrival) if nbytes >= ENCODE_IN_POOL else None
        self.shared.stamp(arrival, seq, received, (segment, refill, nbytes, encoded))

    def _check(self, arrival: Arrival, nbytes: int) -> None:
        if nbytes > self.shared.credit.limit:
            raise SourceError(
                f"a frame of {nbytes} bytes is larger than the whole credit of {self.shared.credit.limit} bytes",
                where=self.detector.source,
                expected="several frames to fit into budget.in_flight",
                remedy=f'Raise it, for example: --set budget.in_flight="{max(1, nbytes * 4 // 1_000_000)} MB"',
            )
        d = self.detector
        wrong = (d.shape and d.shape != arrival.data.shape) or (d.dtype and d.dtype != arrival.data.dtype.name)
        if wrong and not self._shape_told:
            self._shape_told = True
            got, expected = (
                f"{list(s)} {t}" for s, t in ((arrival.data.shape, arrival.data.dtype), (d.shape or (), d.dtype))
            )
            body = {"what": "shape", "source": d.source, "got": got, "expected": expected}
            self.shared.log("event", body)
            self.shared.notes.append(
                f"{d.source}: frames are {got}, the detector file says {expected}; stored as they are"
            )

    def _without_row(self, placement: Placement, arrival: Arrival, nbytes: int) -> None:
        if placement.kind == "late":
            reason = f"its place was given up as lost more than {self.acquire.reorder} frames ago"
        else:
            reason = f"frame number {arrival.source_seq} had arrived before"
        self.shared.to_store.put(Quarantined(placement.kind, arrival, reason, None, self._borrow(nbytes - OVERHEAD)))

    def _dropped(self, placement: Placement, arrival: Arrival) -> None:
        reason = "no credit was left: the disk or the analysis is too slow for this source"
        seq = placement.seq if placement.seq is not None else -1
        source = self.detector.source
        self.shared.to_store.put(
            Unstored("dropped", source, seq, arrival.source_seq, reason, b"", placement.refill, "")
        )


def _nothing(source: str, source_seq: int | None) -> Arrival:
    return Arrival(source=source, data=np.empty(0), dims=("none",), unit="", time_ns=0, source_seq=source_seq)
