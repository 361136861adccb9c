"""The forwarder of a run: a child process that is started, started again where it ends too soon, given a little time at
the end, and never waited for else.

It has its own interpreter, so that sending costs the analysis nothing, and its own session, so that Ctrl-C reaches
only the run. If the run dies, it sends what there is and ends by itself.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from insitu.errors import BrokerError, InsituError
from insitu.sinks.kafka import link, require
from insitu.sinks.sent import Outbox, Sent, read_sent, waiting

FIRST_REST_S = 1.0
LONGEST_REST_S = 60.0
"""A forwarder that ends too soon is started again after a rest that doubles."""


def required_broker(table: Mapping[str, Any]) -> None:
    """Before a folder is made: raise `BrokerError` where the recipe requires a broker and none answers."""
    if table.get("bootstrap") and table.get("required"):
        require(link(table))


class Forwarding:
    """The child of one run; none where the recipe names no broker. Nothing here raises: a run never fails because of
    its forwarder."""

    def __init__(self, folder: Path, table: Mapping[str, Any]) -> None:
        self._folder, self._required = folder, bool(table.get("required"))
        self.notes: list[str] = []
        self.error: BrokerError | None = None
        self._wanted = bool(table.get("bootstrap"))
        self._child: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._told = ""
        self._rest, self._again = FIRST_REST_S, 0.0
        if self._wanted:
            self._start()

    def _start(self) -> None:
        self._again = time.monotonic() + self._rest
        self._rest = min(2 * self._rest, LONGEST_REST_S)
        try:
            self._said = self._said or tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
            self._child = subprocess.Popen(
                [sys.executable, "-m", "insitu.sinks.forward", str(self._folder.resolve())],
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,
            )
        except OSError as e:  # no memory, no process, no place for a file: tried again
            self._told = f"the forwarder could not be started: {e.strerror}"

    def _alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def tend(self) -> None:
        """Start the child again where something has ended it; called while the run goes on."""
        if self._wanted and not self._alive() and time.monotonic() >= self._again:
            self._start()

    def finish(self, linger_s: float, tick: Callable[[], None]) -> None:
        """After the seal: wait for the rest to go, at most `linger_s`. What is left stays in the outbox: a note, and
        an error where the broker was required."""
        if not self._wanted:
            return
        until = time.monotonic() + linger_s
        if not self._alive() and self._left():
            self._start()
        while self._alive() and time.monotonic() < until:
            tick()
            time.sleep(0.05)
        self.end()
        left = self._left()
        if not left:
            return
        why = self.sent().problem or self._told or "there was no more time"
        send = f"`insitu outbox drain {self._folder.name}` sends them"
        self.notes.append(f"{left} documents wait in the outbox ({why}); {send}")
        if self._required:
            self.error = BrokerError(f"{left} documents were not taken: {why}", remedy=send)

    def _left(self) -> int:
        """Documents that wait; 0 where the ledger cannot be read, which is not ours to tell."""
        try:
            return waiting(self.sent(), Outbox(self._folder).last()[0])
        except InsituError:
            return 0

    def end(self) -> None:
        """Ask, then insist: a forwarder that is killed has lost nothing but its last note of what was sent."""
        child, self._wanted = self._child, False
        if child is not None and self._alive():
            child.terminate()
            try:
                child.wait(1.0)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._said is not None:
            self._said.seek(0)
            lines = self._said.read().decode(errors="replace").strip().splitlines()
            self._told = f"the forwarder ended: {lines[-1]}" if lines else self._told
            self._said.close()
            self._said = None

    def sent(self) -> Sent:
        """What was acknowledged so far."""
        return read_sent(self._folder)
