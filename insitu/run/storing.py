"""The store thread: the only one that writes. Groups what has come, makes it durable, gives credit back."""

import threading
import time
from collections.abc import Callable
from queue import Empty

from insitu.errors import InsituError, StorageError
from insitu.run.shared import Gap, Logged, Quarantined, Queued, Shared, ToStore, Unstored
from insitu.store.writer import Pending, RunWriter

GROUP = 256
"""At most this many frames in one commit."""


class Storing(threading.Thread):
    """Runs until it is handed None. An error ends intake at once: nothing is retried on a file whose sync failed."""

    def __init__(
        self, writer: RunWriter, shared: Shared, commit_s: float, acknowledged: Callable[[list[int]], None]
    ) -> None:
        super().__init__(name="store", daemon=True)
        self.writer, self.shared, self._commit_s, self._acknowledged = writer, shared, commit_s, acknowledged
        self._owed: dict[int, tuple[int, int]] = {}  # n: bytes of credit, and what is still to be committed (2, 1)
        self.queued = 0

    def run(self) -> None:
        try:
            while self._group():
                pass
        except InsituError as e:
            self._failed(e)
        except Exception as e:  # noqa: BLE001 - the boundary: a store that fails in any way must stop the intake
            error = StorageError(f"the store failed: {type(e).__name__}: {e}", where=str(self.writer.folder))
            error.__cause__ = e
            self._failed(error)

    def _failed(self, error: InsituError) -> None:
        self.shared.storage_failed = True
        self.shared.stop("failed", str(error), error)
        self.writer.abandon()

    def _group(self) -> bool:
        """One commit; False after the last."""
        queue, more = self.shared.to_store, True
        item = queue.get()
        deadline = time.monotonic() + self._commit_s
        frames = 0
        while True:
            if item is None:
                more = False
                break
            frames += self._take(item)
            if frames >= GROUP:
                break
            try:
                item = queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                break
        began = time.monotonic()
        stored, spoken = self.writer.commit()
        self.shared.latency["commit"].add(time.monotonic() - began)
        self._pay(stored)
        self._pay(spoken)
        if spoken:
            self._acknowledged(spoken)
        return more

    def _take(self, item: ToStore) -> int:
        """Hand one item to the writer; 1 where it was a frame."""
        w = self.writer
        if isinstance(item, Queued):
            encoded = w.encode(item.frame) if item.encoded is None else item.encoded.result()
            w.add_frame(item.frame, encoded, item.segment, refill=item.refill)
            self._owed[item.frame.n] = (item.nbytes, 2)
            return 1
        if isinstance(item, Pending):
            w.add_record(item)
        elif isinstance(item, Logged):
            w.entry(item.kind, item.n, item.body)
        elif isinstance(item, Gap):
            w.add_gap(item.source, item.first, item.rows)
        elif isinstance(item, Unstored):
            w.add_unstored(*item)
        elif isinstance(item, Quarantined):
            w.add_quarantined(item.kind, item.arrival, item.reason, item.payload)
        return 0

    def _pay(self, numbers: list[int]) -> None:
        """Give credit back for frames whose data and whose record are both committed."""
        for n in numbers:
            nbytes, parts = self._owed[n]
            if parts == 1:
                del self._owed[n]
                self.shared.credit.release(nbytes)
            else:
                self._owed[n] = (nbytes, parts - 1)
