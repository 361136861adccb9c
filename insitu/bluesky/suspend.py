"""What a run in mode `act` does to a RunEngine: pause by a suspender, abort and stop from a thread of their own.

Facts of bluesky that shape this: `abort` and `request_pause` inside a callback never return; a suspender on a plan
without checkpoint aborts it; the reason of an abort is lost on its way to the stop document where the plan closes its
run itself. So: other threads; a pause is refused where the plan cannot be resumed; and a preprocessor puts the reason
into `close_run`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from bluesky import Msg
from bluesky.preprocessors import msg_mutator
from bluesky.suspenders import SuspenderBase

from insitu.errors import ActionRefusedError


class SuspendOnVerdict(SuspenderBase):
    """Suspends while the signal is not 0. `reason()` is the justification that bluesky shows and records."""

    def __init__(self, signal: Any, reason: Callable[[], str], **kwargs: Any) -> None:
        super().__init__(signal, **kwargs)
        self._reason = reason

    def _should_suspend(self, value: Any) -> bool:
        return bool(value)

    def _should_resume(self, value: Any) -> bool:
        return not value

    def _get_justification(self) -> str:
        return self._reason()


class EngineActor:
    """Carries out on a RunEngine what a run decides. Every method comes back at once."""

    name = "run_engine"

    def __init__(self, engine: Any, suspend: Callable[[bool], None]) -> None:
        self._engine, self._suspend = engine, suspend
        self.reason = ""
        """Why the last thing was asked."""
        self._ending = ""

    def pause(self, reason: str) -> None:
        """The suspender trips. Refused where the plan has no checkpoint: bluesky would abort it."""
        self.reason = reason
        if self._engine.state == "running" and not self._engine.resumable:
            raise ActionRefusedError(
                "the plan has no checkpoint to go back to: a pause would abort it",
                remedy="Add bps.checkpoint() to the plan, or let the rule say HALT",
            )
        self._suspend(True)

    def resume(self, reason: str) -> None:
        """The suspender lets go."""
        self.reason = reason
        self._suspend(False)

    def halt(self, reason: str) -> None:
        """`RE.abort(reason)`: the plan's clean-up runs. Never `RE.halt()`."""
        self._end(reason, lambda: self._engine.abort(reason))

    def finish(self, reason: str) -> None:
        """`RE.stop()`: the plan's clean-up runs, and it counts as a success."""
        self._end(reason, self._engine.stop)

    def _end(self, reason: str, end: Callable[[], Any]) -> None:
        if self._engine.state == "idle":
            raise ActionRefusedError("no plan runs", remedy="Nothing has to be done")
        self.reason = self._ending = reason

        def work() -> None:
            self._suspend(False)
            with suppress(Exception):  # the plan may end by itself in the same moment
                end()

        threading.Thread(target=work, name="insitu-end", daemon=True).start()

    def preprocess(self, plan: Any) -> Iterator[Msg]:
        """A preprocessor for `RE.preprocessors`: the stop document says why a run of ours was ended."""
        self._ending = ""

        def with_reason(msg: Msg) -> Msg:
            if msg.command == "close_run" and self._ending and not msg.kwargs.get("reason"):
                return msg._replace(kwargs={**msg.kwargs, "reason": self._ending})
            return msg

        return msg_mutator(plan, with_reason)
