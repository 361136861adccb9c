"""What comes from a session, document by document, on its way to a reader: a queue that nobody ever waits for."""

from __future__ import annotations

import copy
import queue
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from insitu.errors import ConfigError
from insitu.types import Arrival, Invalid

FRAME = "insitu_frame"
"""The name of a special document, of a device of ours: see `insitu.readers.device`."""
LOOK_S = 0.05
Document = Mapping[str, Any]


class Feed(ABC):
    """A reader that is fed with documents. `queue`: how many may wait (as many again of beginnings and ends of plans,
    without which nothing else is understood); `dropped`: how many found no room."""

    data: frozenset[str]
    """Names of the documents that hold what frames are made of."""

    def __init__(self, queue: int) -> None:
        if queue < 1:
            raise ConfigError(f"a queue of {queue}", where="queue", expected="1 or more")
        self.dropped = 0
        self._room, self._queue = queue, _queue(2 * queue)
        self._hand: list[tuple[str, Document]] = []
        self._closed = False

    @abstractmethod
    def wants(self, name: str, document: Document) -> bool:
        """Whether a document is put into the queue."""

    @abstractmethod
    def given(self, name: str, document: Document) -> Iterator[Arrival | Invalid | None]:
        """What a document gives."""

    def over(self) -> bool:
        """Whether no more are wanted."""
        return False

    def feed(self, name: str, document: Document) -> None:
        """Take a document of a running session. Only enqueues; never waits, never raises."""
        try:
            if not self.wants(name, document):
                return
            if name in self.data and self._queue.qsize() >= self._room:
                self.dropped += 1
            else:
                self._queue.put_nowait((name, copy.copy(document)))
        except Exception:  # noqa: BLE001 - whatever it is: the scan is not to notice
            self.dropped += 1

    def waiting(self) -> int:
        """How many were fed and not taken yet."""
        return self._queue.qsize()

    def waits(self) -> bool:
        """Whether data were fed that never became a frame."""
        with self._queue.mutex:
            return any(name in self.data for name, _ in (*self._hand, *self._queue.queue))

    def left(self) -> list[tuple[str, Document]]:
        """What was fed and never became a frame, because the run had ended: for the reader of the next one."""
        found, self._hand = self._hand, []
        with suppress(queue.Empty):
            while True:
                found.append(self._queue.get_nowait())
        return found

    def close(self) -> None:
        """No more will come: the reader ends when those that wait have been read."""
        self._closed = True

    def live(self) -> Iterator[Arrival | Invalid | None]:
        """What all documents give, until it is closed; None where none comes."""
        while True:
            try:
                name, document = self._queue.get(timeout=LOOK_S)
            except queue.Empty:
                if self._closed:
                    return
                yield None
                continue
            self._hand = [(name, document)]  # stays there if the run ends before its frame was taken
            yield from self.given(name, document)
            self._hand = []
            if self.over():
                return


def _queue(size: int) -> Any:
    return queue.Queue(size)
