"""A plan as it is handed to the RunEngine in mode `act`: held and interrupted only where bluesky can take it.

What bluesky 1.15 does where an interruption comes at the wrong moment, and what is done here:
- A suspension between `create` and `save` closes the event; where the plan is ended before it has gone back there, its
  own `drop` is an error. So none is asked for meanwhile (unless the event takes long), and that `drop` is none.
- A plan that is ended while it is suspended leaves `RE.rewindable` at False for all later plans: every message that is
  interrupted from then on is lost, and events with it. It becomes what the plan had said.
- After `close_run` a pause goes back to before it, and reads into a run that is closed. So nothing is gone back to.
- A suspension that is asked for is begun two turns of the loop later: the plan may have ended by then, and the
  RunEngine stays "suspending" for ever. So the plan gives no message meanwhile.
- `RE.pause` and `RE.resume` in a suspension skip what it waits for. So the plan is held while a rule asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any

from bluesky import Msg
from bluesky.utils import IllegalMessageSequence, RunEngineControlException

Messages = Generator[Msg, Any, Any]
BUNDLE_S = 0.02
"""An event that is being put together for longer than this is interrupted nevertheless."""
TURNS = 8
"""Messages that do nothing, at most, until what was asked for has begun; two are enough."""


class GuardedPlan:
    """`plan` with its messages watched. `suspender`: asks for suspensions (None: nobody does). `reason`: why the plan
    is being ended by us ("": it is not). `opened`: is told the uid of a run that has begun."""

    def __init__(
        self, engine: Any, plan: Any, suspender: Any, reason: Callable[[], str], opened: Callable[[str], None]
    ) -> None:
        self._engine, self._plan, self._suspender = engine, plan, suspender
        self._reason, self._opened = reason, opened
        self._bundles: dict[Any, float] = {}  # events that are being put together, by their run, and since when
        self._runs: set[Any] = set()
        self._cleans = self._over = False
        self._rewindable = True

    def interruptible(self) -> bool:
        """Whether the plan may be suspended now: not while it cleans up after an error."""
        since = min(self._bundles.values(), default=0.0)
        return not (self._over or self._cleans) and time.monotonic() - since > BUNDLE_S

    def messages(self) -> Messages:
        """What the RunEngine gets."""
        suspender, plan = self._suspender, self._plan
        answer, error = None, None
        self._rewindable = self._engine.rewindable
        if suspender is not None:
            suspender.guard = self.interruptible
        try:
            while True:
                if suspender is not None and (suspender.tripped or suspender.asked):
                    yield from self._hold()
                try:
                    msg: Msg = plan.send(answer) if error is None else plan.throw(error)
                except StopIteration as e:
                    return e.value
                answer, error = None, None
                try:
                    answer = yield self._before(msg)
                except GeneratorExit:
                    plan.close()
                    raise
                except Exception as e:  # noqa: BLE001 - the plan's own affair: handed to it
                    error = yield from self._thrown(msg, e)
                else:
                    self._after(msg, answer)
        finally:
            self._over = True
            self._restore()

    # ---- one message ----

    def _before(self, msg: Msg) -> Msg:
        if msg.command == "close_run":
            if not self._bundles:
                self._forget()
            if self._reason() and not msg.kwargs.get("reason"):
                return msg._replace(kwargs={**msg.kwargs, "reason": self._reason()})
        return msg

    def _after(self, msg: Msg, answer: Any) -> None:
        command = msg.command
        if command == "create":
            self._bundles[msg.run] = time.monotonic()
        elif command in ("save", "drop"):
            self._bundles.pop(msg.run, None)
        elif command == "checkpoint":
            self._cleans = False
        elif command == "open_run":
            self._runs.add(msg.run)
            self._opened(str(answer))
        elif command == "close_run":
            self._runs.discard(msg.run)
        elif command == "rewindable" and msg.args and msg.args[0] is not None:
            self._rewindable = bool(msg.args[0])

    def _thrown(self, msg: Msg, error: Exception) -> Generator[Msg, Any, Exception | None]:
        """The RunEngine has thrown an error where `msg` was: what the plan is to see of it."""
        self._restore()
        known = self._bundles.pop(msg.run, 0.0) if msg.command in ("save", "drop") else 0.0
        if msg.command == "drop" and known and isinstance(error, IllegalMessageSequence):
            return None  # the bundle was closed already, when the RunEngine went back to the checkpoint
        self._cleans = True
        if self._asked():
            self._forget()
            yield from self._settle()
        if isinstance(error, RunEngineControlException) and not self._bundles:
            yield from self._dropped()
        return error

    # ---- what is done besides ----

    def _hold(self) -> Messages:
        """Wait while a rule asks for it. What is only waited for here goes on with the very next message."""
        yield from self._settle()
        while self._suspender.tripped and self._engine.state == "running" and not (self._bundles or self._cleans):
            self._suspender.ask()
            yield Msg("wait_for", None, [self._suspender.clear])
            yield from self._settle()

    def _settle(self) -> Messages:
        """Until a suspension that was asked for has begun."""
        for _ in range(TURNS):
            if not self._asked():
                return
            yield Msg("null")
        self._suspender.asked = False

    def _dropped(self) -> Messages:
        """Events that the RunEngine was taking again for the plan, which knows of none."""
        for run in tuple(self._runs):
            try:
                yield Msg("drop", None, run=run)
            except IllegalMessageSequence:  # there was none
                continue

    def _asked(self) -> bool:
        return self._suspender is not None and self._suspender.asked

    def _restore(self) -> None:
        if self._engine.rewindable != self._rewindable:
            self._engine.rewindable = self._rewindable

    def _forget(self) -> None:
        """What was done so far is not done again: as a checkpoint, without its messages."""
        if self._engine.rewindable:
            self._engine.rewindable = False
            self._engine.rewindable = True
