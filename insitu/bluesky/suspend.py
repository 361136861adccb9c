"""What a run in mode `act` does to a RunEngine: pause by a suspender, abort and stop from a thread of their own.

Facts of bluesky that shape this: `abort` and `request_pause` inside a callback never return; a suspender on a plan
without checkpoint aborts it; the reason of an abort is lost on its way to the stop document where the plan closes its
run itself; a second abort breaks off the clean-up of the first; ending a plan that the operator has paused needs the
main thread; the stock suspender gives up (and loses its trip, or fails the plan that begins) where the loop does not
answer within 0.1 s; what comes in the middle of an event or while a plan ends breaks it (`insitu.bluesky.guarding`).
So: other threads; what cannot be done well is refused; and a preprocessor watches the messages of every plan.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

from bluesky import Msg
from bluesky.suspenders import SuspenderBase
from bluesky.utils import TransitionError  # pyright: ignore[reportPrivateImportUsage]

from insitu.bluesky.guarding import GuardedPlan
from insitu.errors import ActionRefusedError

log = logging.getLogger(__name__)
ENDING = ("aborting", "stopping", "halting")
PATIENCE_S = 10.0
"""How long an abort waits for a RunEngine that is between two states."""
RETRY_S = 0.002
LOOK_S = 0.02
"""A plan that could not be interrupted is looked at again after so long."""
KEPT = 1000
"""Runs of the RunEngine whose plan is remembered."""


class SuspendOnVerdict(SuspenderBase):
    """Suspends while the signal is not 0. `reason()` is the justification that bluesky shows and records. `guard()`:
    whether the plan may be interrupted now; where it may not, that is looked at again."""

    def __init__(self, signal: Any, reason: Callable[[], str], **kwargs: Any) -> None:
        super().__init__(signal, **kwargs)
        self._reason = reason
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._looks = False
        self.guard: Callable[[], bool] = lambda: True
        self.asked = False
        """Whether a suspension was asked for that has not begun."""

    def __call__(self, value: Any, **_: Any) -> None:
        """The signal has changed. Waits for nobody: the RunEngine's loop does the rest."""
        with self._lock:
            if self.RE is None:
                return
            if self._should_resume(value):
                self._let_go()
            elif not self._tripped:
                self._tripped = True
                _soon(self.RE.loop, self._look)

    def remove(self) -> None:
        """Taken from its RunEngine: whoever waits goes on."""
        self._sig.clear_sub(self)
        with self._lock:
            self._let_go()
            self.RE = None

    def get_futures(self) -> tuple[list[Any], str]:
        """What a plan that begins has to wait for, and why."""
        return ([self.clear], self._get_justification()) if self._tripped else ([], "")

    async def clear(self) -> None:
        """Until it is not tripped. May be awaited any number of times."""
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            if not self._tripped:
                return
            self._waiting.append((loop, event))
        await event.wait()

    def ask(self) -> None:
        """In the RunEngine's loop: suspend the plan that runs, if it may be interrupted; not one that is suspended."""
        engine = self.RE
        if engine is None or self.asked or not self._tripped:
            return
        if engine.state == "running" and engine.resumable and engine.rewindable and self.guard():
            self.asked = True
            engine.request_suspend(
                self._begun, pre_plan=self._pre_plan, post_plan=self._post_plan, justification=self._get_justification()
            )

    def _look(self) -> None:
        """In the RunEngine's loop: as soon as it may be interrupted."""
        engine = self.RE
        if engine is None or not self._tripped or self._looks:
            return
        self.ask()
        self._looks = True
        engine.loop.call_later(LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._looks = False
        self._look()

    async def _begun(self) -> None:
        """What the suspension waits for; a plan that is being ended meanwhile waits for nothing."""
        self.asked = False
        engine = self.RE
        if engine is None or engine.state != "running":
            return
        await self.clear()
        if engine.state == "running" and not engine.rewindable:  # still in this suspension
            for bundler in getattr(engine, "_run_bundlers", {}).values():
                await bundler.suspend_monitors()  # bluesky subscribes again now: every value would come twice

    def _let_go(self) -> None:
        waiting, self._waiting, self._tripped = self._waiting, [], False
        for loop, event in waiting:
            _soon(loop, loop.call_later, self._sleep, event.set)

    def _should_suspend(self, value: Any) -> bool:
        return bool(value)

    def _should_resume(self, value: Any) -> bool:
        return not value

    def _get_justification(self) -> str:
        return self._reason()


class EngineActor:
    """Carries out on a RunEngine what a run decides. Every method comes back at once.

    `tell`: is told where what was begun could not be done after all. `run`: the uid of the run of the RunEngine that
    the decision is about; it is refused where that plan has ended. What is about none, or about a run that was not
    taken here (documents from elsewhere), is done to the plan that runs.
    """

    name = "run_engine"

    def __init__(self, engine: Any, suspend: Callable[[bool], None], tell: Callable[[str, str], None]) -> None:
        self._engine, self._suspend, self._tell = engine, suspend, tell
        self.reason = ""
        """Why the last thing was asked."""
        self.suspender: SuspendOnVerdict | None = None
        self._ending = ""
        self._plan = 0
        self._plan_of: dict[str, int] = {}  # the newest runs of the RunEngine, by uid

    def _bound(self, run: str) -> int:
        """The number of the plan that a decision is about."""
        plan = self._plan_of.get(run, self._plan)
        if plan != self._plan or (run in self._plan_of and self._engine.state == "idle"):
            raise ActionRefusedError(
                f"it is about the plan of run {run}, which has ended", remedy="What comes after it is left alone"
            )
        return plan

    def pause(self, reason: str, run: str = "") -> None:
        """The suspender trips. Refused where the plan has no checkpoint: bluesky would abort it."""
        self._bound(run)
        if self._engine.state == "running" and not self._engine.resumable:
            raise ActionRefusedError(
                "the plan has no checkpoint to go back to: a pause would abort it",
                remedy="Add bps.checkpoint() to the plan, or let the rule say HALT",
            )
        self.reason = reason
        self._suspend(True)

    def resume(self, reason: str, run: str = "") -> None:
        """The suspender lets go."""
        self.reason = reason
        self._suspend(False)

    def halt(self, reason: str, run: str = "") -> None:
        """`RE.abort(reason)`: the plan's clean-up runs. Never `RE.halt()`."""
        self._end("halt", reason, lambda: self._engine.abort(reason), self._bound(run))

    def finish(self, reason: str, run: str = "") -> None:
        """`RE.stop()`: the plan's clean-up runs, and it counts as a success."""
        self._end("finish", reason, self._engine.stop, self._bound(run))

    def _end(self, what: str, reason: str, end: Callable[[], Any], plan: int) -> None:
        state = self._engine.state
        if state == "idle":
            self._suspend(False)
            raise ActionRefusedError("no plan runs", remedy="Nothing has to be done")
        if state in ENDING or self._ending:
            raise ActionRefusedError("the plan is being ended already", remedy="Nothing has to be done")
        if state in ("paused", "pausing"):
            raise ActionRefusedError(
                "the operator has paused the plan", remedy="Look, then call RE.abort(), RE.stop() or RE.resume()"
            )
        self.reason = self._ending = reason
        args = (what, end, plan)
        threading.Thread(target=self._work, args=args, name="insitu-end", daemon=True).start()

    def _work(self, what: str, end: Callable[[], Any], plan: int) -> None:
        """End this plan, as soon as the RunEngine is between no two states; a later plan is left alone."""
        why, until = "the RunEngine did not take it", time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            state = self._engine.state
            if state == "idle" or plan != self._plan:
                why = "the plan had ended by itself"
                break
            if state in ENDING or state == "paused":
                why = "somebody else is ending the plan" if state in ENDING else "the operator has paused the plan"
                break
            if state == "running":
                try:
                    end()
                except TransitionError:  # its state has changed in this very moment: look again
                    continue
                except Exception as e:  # noqa: BLE001 - told below
                    why = f"{type(e).__name__}: {e}"
                else:
                    why = ""
                self._wake()
                break
            time.sleep(RETRY_S)
        self._suspend(False)
        if why:
            if plan == self._plan:
                self._ending = ""
            log.warning("insitu: %s was not done: %s", what, why)
            self._tell(what, why)

    def _wake(self) -> None:
        """A plan that the operator pauses in the very moment in which it is ended would sleep for ever: bluesky wakes
        only one that had been paused before. (There is no public way to.)"""
        permit, until = getattr(self._engine, "_run_permit", None), time.monotonic() + PATIENCE_S
        while self._engine.state in ENDING and time.monotonic() < until:
            if permit is not None and not permit.is_set():
                _soon(self._engine.loop, permit.set)
            time.sleep(RETRY_S)

    def preprocess(self, plan: Any) -> Generator[Msg, Any, Any]:
        """A preprocessor for `RE.preprocessors`: the stop document says why a run of ours was ended, and the plan is
        held and interrupted only where bluesky can take it (`GuardedPlan`)."""
        self._ending = ""
        self._plan += 1
        if self.suspender is not None:
            self.suspender.asked = False
        return GuardedPlan(self._engine, plan, self.suspender, lambda: self._ending, self._opened).messages()

    def _opened(self, run: str) -> None:
        """A run of the RunEngine has begun in this plan."""
        self._plan_of[run] = self._plan
        while len(self._plan_of) > KEPT:
            del self._plan_of[next(iter(self._plan_of))]


def _soon(loop: asyncio.AbstractEventLoop, call: Callable[..., Any], *args: Any) -> None:
    """In a loop, unless that is over: then no plan runs either."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *args)
