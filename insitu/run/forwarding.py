"""The forwarder of a run: a child process that is started, given a little time at the end, and never waited for else.

It has its own interpreter, so that sending costs the analysis nothing, and its own session, so that Ctrl-C reaches
only the run. If the run dies, it sends what there is and ends by itself.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from insitu.errors import BrokerError
from insitu.sinks.kafka import link, require
from insitu.sinks.sent import Outbox, Sent, read_sent


def required_broker(table: Mapping[str, Any]) -> None:
    """Before a folder is made: raise `BrokerError` where the recipe requires a broker and none answers."""
    if table.get("bootstrap") and table.get("required"):
        require(link(table))


class Forwarding:
    """The child of one run; none where the recipe names no broker."""

    def __init__(self, folder: Path, table: Mapping[str, Any]) -> None:
        self._folder, self._required = folder, bool(table.get("required"))
        self.notes: list[str] = []
        self.error: BrokerError | None = None
        self._child: subprocess.Popen[bytes] | None = None
        if not table.get("bootstrap"):
            return
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - the child's, as long as it lives
        self._child = subprocess.Popen(
            [sys.executable, "-m", "insitu.sinks.forward", str(folder.resolve())],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,
        )

    def finish(self, linger_s: float, tick: Callable[[], None]) -> None:
        """After the seal: wait for the rest to go, at most `linger_s`. What is left stays in the outbox: a note, and
        an error where the broker was required."""
        if self._child is None:
            return
        until = time.monotonic() + linger_s
        while self._child.poll() is None and time.monotonic() < until:
            tick()
            time.sleep(0.05)
        self.end()
        waiting = Outbox(self._folder).last()[0] - self.sent().oid
        if not waiting:
            return
        why = self.sent().problem or self._last_words() or "there was no more time"
        send = f"`insitu outbox drain {self._folder.name}` sends them"
        self.notes.append(f"{waiting} documents wait in the outbox ({why}); {send}")
        if self._required:
            self.error = BrokerError(f"{waiting} documents were not taken: {why}", remedy=send)

    def end(self) -> None:
        """Ask, then insist: a forwarder that is killed has lost nothing but its last note of what was sent."""
        child = self._child
        if child is None or child.poll() is not None:
            return
        child.terminate()
        try:
            child.wait(1.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f"the forwarder ended: {lines[-1]}" if lines else ""

    def sent(self) -> Sent:
        """What was acknowledged so far."""
        return read_sent(self._folder)
