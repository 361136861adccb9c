"""What was handed to the producer and is not acknowledged: bounded, because kafka-python has no bound of its own and an
outage may last for days."""

import gc
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from insitu.maths.latency import Latency
from insitu.sinks.sent import Row, decided_ns

BYTES = 8_000_000
ROWS = 20_000


@contextmanager
def rare_collections() -> Iterator[None]:
    """Thousands of futures live at once; looking through them for cycles all the time costs a quarter of the speed."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Arrived(NamedTuple):
    """What was acknowledged by one look: everything up to `oid`."""

    oid: int
    documents: int
    bytes: int


class Window:
    """Documents in order of `oid`, each with its future. `net`: takes the times from decision to acknowledgement."""

    def __init__(self, net: Latency) -> None:
        self._net = net
        self._waiting: deque[tuple[int, int, bytes | None, Any]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        return self._bytes >= BYTES or len(self._waiting) >= ROWS

    @property
    def oldest(self) -> Any:
        """The future of the first; None where nothing waits."""
        return self._waiting[0][-1] if self._waiting else None

    def add(self, row: Row, future: Any) -> None:
        """The next document."""
        nbytes = len(row.doc)
        self._waiting.append((row.oid, nbytes, row.timing, future))
        self._bytes += nbytes

    def collect(self) -> Arrived | None:
        """Take out what was acknowledged: always a beginning, so that no document is ever skipped."""
        waiting, count, nbytes, oid, now = self._waiting, 0, 0, 0, time.time_ns()
        while waiting and (future := waiting[0][-1]).is_done and future.exception is None:
            oid, size, timing, _ = waiting.popleft()
            count, nbytes = count + 1, nbytes + size
            if timing is not None:
                self._net.add(max(0, now - decided_ns(timing)) / 1e9)
        self._bytes -= nbytes
        return Arrived(oid, count, nbytes) if count else None

    def clear(self) -> None:
        """Forget what is left; it is sent anew."""
        self._waiting.clear()
        self._bytes = 0
