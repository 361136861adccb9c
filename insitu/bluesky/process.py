"""The process of a run, from the side of the session: started, spoken to, and how it ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from insitu.bluesky.channel import Calls, Channel, Incoming, shut
from insitu.bluesky.handing import Passing, error_of
from insitu.errors import InsituError

BUFFER = 1 << 20


class Process:
    """A Python of its own with the same path and folder, that hears no Ctrl-C of the terminal (its session is another)
    and ends when we do. `documents`: the socket for them. Nothing is inherited but two sockets."""

    def __init__(self) -> None:
        if not sys.executable:
            raise InsituError("there is no Python to start: sys.executable is empty", remedy="Start Python by its path")
        self.documents, theirs = _pair()
        self._control, other = _pair()
        path = [p or os.getcwd() for p in sys.path]
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "insitu.bluesky.worker", str(theirs.fileno()), str(other.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                pass_fds=(theirs.fileno(), other.fileno()),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as e:
            for sock in (self.documents, self._control):
                sock.close()
            raise InsituError(f"the process of the run cannot be started: {e.strerror}") from e
        finally:
            theirs.close()
            other.close()
        self.channel = Channel(self._control, "insitu-orders")
        self.calls = Calls(self.channel.send)
        self._incoming = Incoming(self._control)
        self._path = path

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._child.pid

    def request(self, kind: str, value: dict[str, Any]) -> dict[str, Any]:
        """Before it runs: what it answers. The error that it answers with is raised, or how it ended."""
        self.channel.send(kind, {**value, "path": self._path})
        for told, found in self.messages():
            if told == "log":
                Passing.say(found)
                continue
            if told == "refused":
                raise error_of(found)
            return found
        raise InsituError(f"the process of the run {self.end()} while it began", remedy="Its own messages say more")

    def messages(self) -> Iterator[tuple[str, Any]]:
        """What it says, until it says nothing any more."""
        while (message := self._incoming.read()) is not None:
            yield message

    def end(self, timeout_s: float = 10.0) -> str:
        """It is not wanted any more: how it ended, as a part of a sentence. Killed where it does not end by itself."""
        self.calls.close()
        self.channel.close(1.0)
        for sock in (self.documents, self._control):
            shut(sock)
        self._incoming.close()
        late = False
        try:
            code = self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            late = True
            self._child.kill()
            code = self._child.wait()
        if late:
            return f"did not end within {timeout_s:g} s and was killed"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with the exit code {code}" if code else "ended"

    def kill(self) -> None:
        """At once."""
        self._child.kill()
        self.end()


def _pair() -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair()
    for sock in pair:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return pair
