"""Documents on their way to the process of the run. Whoever feeds them only enqueues, and never waits.

A thread packs and writes them, a few at a time, so that it takes the interpreter from the RunEngine rarely. What waits
is bounded in bytes; what finds no room is counted, and the process is told in its place, so that the frame numbers of
the run show the gap. While there is no process (the last one was killed, the next one begins) documents wait too.
"""

from __future__ import annotations

import copy
import logging
import socket
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from itertools import accumulate
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from insitu.bluesky.channel import write
from insitu.bluesky.heads import HEADS, Heads
from insitu.bluesky.wire import Buffer, Packing
from insitu.readers.document_frames import MISSED

log = logging.getLogger(__name__)
CALM_S, BUSY_S, FLOOD_S = 0.002, 0.015, 0.05
"""The rest after what there was has been written: those that come meanwhile go together, so that the interpreter is
taken from the RunEngine rarely and the run has its work in one piece. The longer ones while documents come faster than
that, and while they come at more than `FLOOD_HZ`."""
FLOOD_HZ = 250.0
TOGETHER, TOGETHER_BYTES = 64, 1 << 20
"""Documents, and bytes of them, that one call of the system writes."""
TELL_S = 10.0
SMALL = 400
"""Bytes of a document without its data, about."""
Document = Mapping[str, Any]
Item = tuple[str, Document, int]
"""A name, the document, and its weight in bytes."""


class Outlet:
    """`room`: bytes of documents that may wait. Beginnings and ends of plans may take as much again."""

    def __init__(self, room: int) -> None:
        self.heads = Heads()
        self.dropped = self.sent = 0
        """Documents for which there was no room; that were written."""
        self._room, self._in, self._out = room, 0, 0
        self._missed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._attached = threading.Condition()
        self._sock: socket.socket | None = None
        self._fresh, self._over, self._told = False, False, 0.0
        self._pack = Packing()
        self._thread = threading.Thread(target=self._work, name="insitu-documents", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether all have been written, and no more will come."""
        return not self._thread.is_alive()

    def put(self, name: str, document: Document) -> None:
        """Take a document. Only enqueues."""
        size = weight(document)
        with self._lock:  # held by nobody for longer than this
            if self._over:
                self.dropped += 1
                return
            waiting = self._in - self._out
            if waiting and waiting + size > (self._room if name not in HEADS and name != "stop" else 2 * self._room):
                self._drop(name, document)
                return
            self._in += size
            if self._missed:
                self._queue.put((MISSED, {"frames": dict(self._missed)}, 0))
                self._missed.clear()
            self._queue.put((name, document.copy() if type(document) is dict else copy.copy(document), size))

    def attach(self, sock: socket.socket) -> None:
        """Here they go from now on, after what the plans that go on began with."""
        with self._attached:
            self._sock, self._fresh = sock, True
            self._attached.notify()

    def close(self) -> None:
        """No more will be put. The process is told when it has all."""
        with self._lock:
            if self._missed:
                self._queue.put((MISSED, {"frames": dict(self._missed)}, 0))
            self._queue.put(None)

    def flush(self, timeout_s: float) -> None:
        """Wait until all that were put are written, or for so long."""
        until = time.monotonic() + timeout_s
        while self._in > self._out and not self._over and time.monotonic() < until:
            time.sleep(CALM_S)

    def give_up(self) -> None:
        """No process will take them any more: all that wait, and all that come, are lost."""
        with self._attached:
            self._over = True
            self._attached.notify()
        with self._lock:
            with suppress(Empty):
                while True:
                    item = self._queue.get_nowait()
                    self.dropped += item is not None and item[0] != MISSED
            self._queue.put(None)

    def _drop(self, name: str, document: Document) -> None:
        self.dropped += 1
        found = document.get("descriptor", "")
        if name == "event":
            self._missed[found] += 1
        elif name == "event_page":
            self._missed[found] += len(document["seq_num"])
        elif name == "stream_datum":
            self._missed[found] += document["indices"]["stop"] - document["indices"]["start"]
        else:
            self._missed[""] += 1

    def _work(self) -> None:
        last = 0.0
        while (item := self._queue.get()) is not None:
            batch, size, found = [item], item[2], 1
            with suppress(Empty):
                while (item := self._queue.get_nowait()) is not None:
                    if len(batch) == TOGETHER or size + item[2] > TOGETHER_BYTES:
                        if not self._deliver(batch):
                            return
                        batch, size = [], 0
                    batch.append(item)
                    size += item[2]
                    found += 1
            if not self._deliver(batch):
                return
            if item is None:
                break
            now = time.monotonic()
            since, last = now - last, now
            flood = found > FLOOD_HZ * since
            time.sleep(FLOOD_S if flood else BUSY_S if found > 1 or since < BUSY_S else CALM_S)
        self._deliver([("", {}, 0)])

    def _deliver(self, batch: list[Item]) -> bool:
        """Write them; where the process goes meanwhile, those that it has not got whole go to the next one. False
        where there will be none."""
        while batch:
            sock, fresh = self._sock, False
            if sock is None or self._fresh or self._over:
                sock, fresh = self._where()
            if sock is None or self._over:
                self.dropped += sum(name not in ("", MISSED) for name, _, _ in batch)
                return False
            heads = [*self.heads.begun([item[:2] for item in batch])] if fresh else []
            messages = [self._packed(*head) for head in heads] + [self._packed(*item[:2]) for item in batch]
            taken = write(sock, [part for parts in messages for part in parts])
            whole = bisect_right([*accumulate(sum(map(len, parts)) for parts in messages)], taken)
            self.sent += whole
            for name, document, size in (done := batch[: max(0, whole - len(heads))]):
                self._out += size  # by this thread only
                if name in HEADS or name == "stop":
                    self._remember(name, document)
            batch = batch[len(done) :]
            if batch:
                with self._attached:
                    if self._sock is sock:
                        self._sock = None
        return True

    def _where(self) -> tuple[socket.socket | None, bool]:
        """The socket, once there is one, and whether it is new; None where there will be none."""
        with self._attached:
            while self._sock is None and not self._over:
                self._attached.wait()
            fresh, self._fresh = self._fresh, False
            return self._sock, fresh

    def _packed(self, name: str, document: Document) -> list[Buffer]:
        if not name:
            return self._pack("close", None)
        if name == MISSED and time.monotonic() > self._told:
            self._told = time.monotonic() + TELL_S
            log.warning("the run does not keep up: %d documents were left out so far", self.dropped)
        try:
            return self._pack("document", [name, document])
        except Exception as e:  # noqa: BLE001 - it comes from outside: whatever is wrong with it is told
            self.dropped += 1
            log.error("a document (%s) cannot be handed to the run: %s: %s", name, type(e).__name__, e)
            return self._pack("document", [MISSED, {"frames": {str(document.get("descriptor", "")): 1}}])

    def _remember(self, name: str, document: Document) -> None:
        try:
            self.heads.see(name, document)
        except (KeyError, TypeError, AttributeError):  # no plan can begin with it; the run says what is wrong with it
            log.debug("a document (%s) that is none", name)


def weight(document: Document) -> int:
    """About how many bytes a document is worth."""
    size, data = SMALL, document.get("data")
    for value in (data if isinstance(data, Mapping) else document).values():
        kind = type(value)
        if kind is not float and kind is not int:
            size += _bytes(value)
    return size


def _bytes(value: Any) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, list | tuple):
        return len(value) * (8 if not value or type(value[0]) in (int, float) else _bytes(value[0]) + 8)
    if isinstance(value, Mapping):
        return sum(map(_bytes, value.values())) + 50 * len(value)
    return len(value) if isinstance(value, str | bytes) else 8
