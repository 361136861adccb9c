"""A proxy between Kafka clients and a broker that understands just enough: it can lose acknowledgements.

A request begins with size (int32), api key (int16), api version (int16), correlation id (int32); a response with size
and correlation id. Dropping the answer of a produce request, and the connection with it, is what a switch that dies
between append and acknowledgement does.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

PRODUCE = 0
LARGEST = 64_000_000


class Proxy:
    """Listens on `port`, forwards to `upstream`. `lose(k)`: whether to lose the k-th (from 0) produce acknowledgement.
    `captured`: every byte that clients have sent, where `capture`."""

    def __init__(
        self, port: int, upstream: int, lose: Callable[[int], bool] = lambda k: False, *, capture: bool = False
    ) -> None:
        self._upstream, self._lose = upstream, lose
        self.captured, self._capture = bytearray(), capture
        self.acknowledged = self.lost = 0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._server = socket.create_server(("127.0.0.1", port))
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._upstream), timeout=5)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            self._open += [client, broker]
            produces: set[int] = set()
            self._start(self._requests, client, broker, produces)
            self._start(self._responses, broker, client, produces)

    def _requests(self, client: socket.socket, broker: socket.socket, produces: set[int]) -> None:
        for frame in _frames(client):
            api_key, _, correlation = struct.unpack_from(">hhi", frame, 4)
            if api_key == PRODUCE:
                produces.add(correlation)
            if self._capture:
                self.captured += frame
            if not _send(broker, frame):
                break
        _end(client, broker)

    def _responses(self, broker: socket.socket, client: socket.socket, produces: set[int]) -> None:
        for frame in _frames(broker):
            (correlation,) = struct.unpack_from(">i", frame, 4)
            if correlation in produces:
                produces.discard(correlation)
                with self._lock:
                    lose = self._lose(self.acknowledged)
                    self.acknowledged += 1
                    self.lost += lose
                if lose:
                    break
            if not _send(client, frame):
                break
        _end(client, broker)

    def close(self) -> None:
        """End every connection and every thread."""
        _end(self._server, *self._open)
        for thread in self._threads:
            thread.join(5)
        for s in (self._server, *self._open):
            s.close()


def _frames(source: socket.socket):
    """Whole frames, each with its size, until the connection ends."""
    while (head := _read(source, 4)) is not None:
        (size,) = struct.unpack(">i", head)
        assert 0 < size < LARGEST, f"not a frame of Kafka: {size} bytes"
        body = _read(source, size)
        if body is None:
            return
        yield head + body


def _read(source: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        try:
            part = source.recv(min(count - len(parts), 262_144))
        except OSError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)


def _send(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _end(*sockets: socket.socket) -> None:
    for s in sockets:
        with contextlib.suppress(OSError):  # the other side was quicker
            s.shutdown(socket.SHUT_RDWR)
