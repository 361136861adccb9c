"""What a run in a process of its own shows to the session, and what it asks of it."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from insitu.bluesky.channel import Calls, Channel
from insitu.bluesky.handing import error_of
from insitu.bluesky.records import packed, shown
from insitu.errors import ActionRefusedError
from insitu.types import Record

log = logging.getLogger(__name__)
SHOW_S = 0.05
"""What is only shown goes out this often, the newest of it; records and actions at once."""
ANSWER_S = 5.0
"""How long the analysis waits for what the session says to an action. It is not done later than that."""


class Remote:
    """The session's RunEngine, as an actor of the run. Comes back when the session has answered."""

    name = "run_engine"

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def pause(self, reason: str, run: str = "", /) -> None:
        self._ask("pause", reason, run)

    def resume(self, reason: str, run: str = "", /) -> None:
        self._ask("resume", reason, run)

    def finish(self, reason: str, run: str = "", /) -> None:
        self._ask("finish", reason, run)

    def halt(self, reason: str, run: str = "", /) -> None:
        self._ask("halt", reason, run)

    def _ask(self, what: str, reason: str, run: str) -> None:
        until = time.monotonic() + ANSWER_S  # one clock for all processes of a machine
        try:
            refused = self._calls.ask("act", {"what": what, "reason": reason, "run": run, "until": until}, ANSWER_S)
        except (TimeoutError, ConnectionError) as e:
            raise ActionRefusedError(f"the session did not answer: {e}") from e
        if refused is not None:
            raise error_of(refused)


class Shower:
    """What the session shows: every record where somebody watches, the newest values of all else."""

    def __init__(self, channel: Channel) -> None:
        self._channel, self.watched = channel, False
        self._newest: dict[str, Any] = {}
        self._changed, self._over = threading.Condition(), False
        self._flushing = threading.Lock()
        threading.Thread(target=self._show, name="insitu-shown", daemon=True).start()

    def record(self, record: Record) -> None:
        """In the analysis thread: comes back at once."""
        new = shown(record)
        with self._changed:
            self._newest.update(new)
            self._changed.notify()
        if self.watched and not self._channel.send("record", packed(record), needed=False):
            log.debug("a record was not shown")

    def flush(self) -> None:
        """What has not been shown yet."""
        with self._flushing:
            with self._changed:
                newest, self._newest = self._newest, {}
            if newest:
                self._channel.send("shown", newest)

    def _show(self) -> None:
        while True:
            with self._changed:
                while not self._newest:
                    self._changed.wait()
            self.flush()
            time.sleep(SHOW_S)
