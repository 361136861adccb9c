"""A socket between a session and the process of its run: whole messages, from any thread, and whoever sends never
waits."""

from __future__ import annotations

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from insitu.bluesky.wire import LENGTHS, Buffer, lengths, opened, pack

log = logging.getLogger(__name__)
MOST_PARTS = 512
"""Buffers for one call of the system."""
AT_ONCE = 65_536
SMALL = 65_536
"""A message up to so many bytes is written by who sends it, if that needs no waiting."""
WAITING = 64_000_000
"""Bytes that may wait to be sent."""


def write(sock: socket.socket, parts: list[Buffer]) -> int:
    """All of them, one behind the other; waits as long as the other side does not read. How many bytes were taken:
    fewer where it has gone."""
    waiting, at, total = [memoryview(part) for part in parts], 0, 0
    try:
        while at < len(waiting):
            sent = sock.sendmsg(waiting[at : at + MOST_PARTS])
            total += sent
            while at < len(waiting) and sent >= len(waiting[at]):
                sent -= len(waiting[at])
                at += 1
            if sent:
                waiting[at] = waiting[at][sent:]
    except OSError:
        pass
    return total


class Incoming:
    """What comes from a socket, message by message. For one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._file: Any = sock.makefile("rb", AT_ONCE)

    def read(self) -> tuple[str, Any] | None:
        """The next message; None where the other side has gone."""
        start = self._read(LENGTHS.size)
        if start is None:
            return None
        head, behind = lengths(start.data)
        body = self._read(behind)
        return None if body is None else opened(body, head)

    def close(self) -> None:
        """No more is read."""
        with suppress(OSError):
            self._file.close()

    def _read(self, size: int) -> np.ndarray | None:
        found = np.empty(size, np.uint8)
        try:
            return found if self._file.readinto(found.data) == size else None
        except (OSError, ValueError):  # reset, or closed by ourselves
            return None


class Channel:
    """What is sent goes out in order: at once where that needs no waiting, else from a thread of its own. What does not
    fit is counted (`lost`)."""

    def __init__(self, sock: socket.socket, name: str, waiting: int = WAITING) -> None:
        self._sock, self._most = sock, waiting
        self.lost = 0
        self._waiting: deque[tuple[list[Buffer], int]] = deque()
        self._bytes, self._closing, self._busy = 0, False, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._send, name=name, daemon=True)
        self._thread.start()

    def send(self, kind: str, value: Any, *, needed: bool = True) -> bool:
        """Whether it is on its way. `needed`: never left out for want of room (for what is small and rare)."""
        parts = pack(kind, value)
        size = sum(len(part) for part in parts)
        with self._changed:
            if self._closing or (not needed and self._bytes + size > self._most):
                self.lost += not self._closing
                return False
            if not self._waiting and not self._busy:
                parts = self._at_once(parts, size)
            if parts:
                size = sum(len(part) for part in parts)
                self._waiting.append((parts, size))
                self._bytes += size
                self._changed.notify()
        return True

    def close(self, timeout_s: float = 5.0) -> None:
        """No more; what waits is sent, within so long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def _at_once(self, parts: list[Buffer], size: int) -> list[Buffer]:
        """Write what the socket takes now; what is left. Small messages only."""
        if size > SMALL:
            return parts
        message = b"".join(parts)
        try:
            sent = self._sock.send(message, socket.MSG_DONTWAIT)
        except OSError:  # it would have to wait, or nobody listens any more, which the thread notices
            return parts
        return [message[sent:]] if sent < size else []

    def _send(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    return
                parts, size = self._waiting.popleft()
                self._busy = True
            if write(self._sock, parts) < size:  # nobody listens any more: who reads notices it too
                with self._changed:
                    self._closing = True
                    self._waiting.clear()
                return
            with self._changed:
                self._bytes -= size


class Calls:
    """Questions to the other side, and their answers. `ask` waits for one; `answered` is called by who reads."""

    def __init__(self, send: Callable[[str, Any], bool]) -> None:
        self._send = send
        self._open: dict[int, tuple[threading.Event, list[Any]]] = {}
        self._lock, self._next, self._closed = threading.Lock(), 0, False

    def ask(self, kind: str, value: dict[str, Any], timeout_s: float) -> Any:
        """The answer; `TimeoutError` where there is none in time, `ConnectionError` where nobody is there."""
        event, found = threading.Event(), list[Any]()
        with self._lock:
            if self._closed:
                raise ConnectionError("nobody is there")
            self._next += 1
            number = self._next
            self._open[number] = (event, found)
        try:
            if not self._send(kind, {**value, "call": number}):
                raise ConnectionError("nobody is there")
            if not event.wait(timeout_s):
                raise TimeoutError(f"no answer within {timeout_s:g} s")
        finally:
            with self._lock:
                self._open.pop(number, None)
        if not found:
            raise ConnectionError("nobody is there any more")
        return found[0]

    def answered(self, value: dict[str, Any]) -> None:
        """An answer has come."""
        with self._lock:
            event, found = self._open.get(value["call"], (None, []))
        if event is not None:
            found.append(value["answer"])
            event.set()

    def close(self) -> None:
        """No answers will come."""
        with self._lock:
            self._closed = True
            waiting = list(self._open.values())
        for event, _ in waiting:
            event.set()


def shut(sock: socket.socket) -> None:
    """Close it for both sides; whoever reads from it sees the end."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
