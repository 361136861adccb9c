"""The store thread: the only one that writes. Groups what has come, makes it durable, gives credit back."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from insitu.errors import InsituError, StorageError
from insitu.run.shared import Gap, Growing, Logged, Quarantined, Queued, Shared, ToStore, Unstored
from insitu.store.segments import Encoded
from insitu.store.writer import Pending, RunWriter

GROUP = 512
"""At most this many things (256 frames with their records) in one commit."""
GROUP_BYTES = 16_000_000
"""So many bytes are worth a sync of their own: large frames are not made to wait for company."""
REST_S = 0.005
"""How long it rests when it has taken what there was: to be woken for every single thing costs all threads time."""
SPLIT = 16
"""From this many small frames on, half of them are encoded on the pool."""


class Storing(threading.Thread):
    """Runs until it is handed None. An error ends intake at once: nothing is retried on a file whose sync failed."""

    def __init__(
        self,
        writer: RunWriter,
        shared: Shared,
        commit_s: float,
        acknowledged: Callable[[list[int]], None],
        pool: Executor,
    ) -> None:
        super().__init__(name="store", daemon=True)
        self.writer, self.shared, self._commit_s, self._acknowledged = writer, shared, commit_s, acknowledged
        self._owed: dict[int, tuple[int, int]] = {}  # n: bytes of credit, and what is still to be committed (2, 1)
        self._lent = 0  # bytes of credit of what is quarantined with this commit
        self._pool = pool
        self._encoded: deque[Encoded] = deque()

    def run(self) -> None:
        try:
            while self._group():
                pass
            if not self.shared.to_store.empty():  # what was logged of actions that waited for the last commit
                self.shared.to_store.put(None)
                self._group()
        except InsituError as e:
            self._failed(e)
        except Exception as e:  # noqa: BLE001 - the boundary: a store that fails in any way must stop the intake
            error = StorageError(f"the store failed: {type(e).__name__}: {e}", where=str(self.writer.folder))
            error.__cause__ = e
            self._failed(error)

    def _failed(self, error: InsituError) -> None:
        self.shared.storage_failed = True
        self.shared.stop("failed", str(error), error)
        self.writer.give_up()

    def _group(self) -> bool:
        """One commit; False after the last."""
        group, more = self._gather()
        self._encode(group)
        for item in group:
            self._hand_over(item)
        began = time.monotonic()
        stored, spoken = self.writer.commit()
        self.shared.latency["commit"].add(time.monotonic() - began)
        self.shared.credit.release(self._lent)
        self._lent = 0
        self._pay(stored)
        self._pay(spoken)
        if spoken:
            self._acknowledged(spoken)
        return more

    def _gather(self) -> tuple[list[ToStore], bool]:
        """What comes within the commit time, up to a full group; and whether more will come."""
        queue, group = self.shared.to_store, []
        deadline = time.monotonic() + self._commit_s
        nbytes = 0
        item = queue.get()
        while item is not None:
            group.append(item)
            nbytes += item.nbytes if isinstance(item, Queued) else 0
            if len(group) >= GROUP or nbytes >= GROUP_BYTES:
                return group, True
            while queue.empty():
                left_s = deadline - time.monotonic()
                if left_s <= 0.0:
                    return group, True
                time.sleep(min(left_s, REST_S))
            item = queue.get()
        return group, False

    def _encode(self, group: list[ToStore]) -> None:
        """Digest and compress the small frames of a group, half of them on the pool beside us."""
        small = [item.frame for item in group if isinstance(item, Queued) and item.encoded is None]
        half = len(small) // 2 if len(small) >= SPLIT else 0
        other = self._pool.submit(self.writer.encode_many, small[:half]) if half else None
        mine = self.writer.encode_many(small[half:])
        self._encoded = deque((other.result() if other else []) + mine)

    def _hand_over(self, item: ToStore) -> None:
        w = self.writer
        if isinstance(item, Queued):
            encoded = self._encoded.popleft() if item.encoded is None else item.encoded.result()
            w.add_frame(item.frame, encoded, item.segment, refill=item.refill)
            self._owed[item.frame.n] = (item.nbytes, 2)
        elif isinstance(item, Growing):
            w.add_growing(item.frame, item.since)
            self._owed[item.frame.n] = (item.nbytes, 2)
        elif isinstance(item, Pending):
            w.add_record(item)
        elif isinstance(item, Logged):
            w.entry(item.kind, item.n, item.body)
        elif isinstance(item, Gap):
            w.add_gap(item.source, item.first, item.rows)
        elif isinstance(item, Unstored):
            w.add_unstored(*item[:-1])
            self._lent += item.credit
        elif isinstance(item, Quarantined):
            w.add_quarantined(item.kind, item.arrival, item.reason, item.payload)
            self._lent += item.credit

    def _pay(self, numbers: list[int]) -> None:
        """Give credit back for frames whose data and whose record are both committed."""
        for n in numbers:
            nbytes, parts = self._owed[n]
            if parts == 1:
                del self._owed[n]
                self.shared.credit.release(nbytes)
            else:
                self._owed[n] = (nbytes, parts - 1)
