"""A plan asks what the pipeline found at its points, waits at most so long, and goes on either way.

Every point gets a number that is read with it (`asked_point`); it becomes the context of the frame, so that the record
about this very frame is found among all others, whatever was lost or came late. The RunEngine's loop is never blocked:
the plan waits for a future that the analysis thread sets. What stays unanswered is counted beside the data
(`asked_unanswered`) and told once; after three in a row the plan waits no more until an answer has come again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import bluesky.plan_stubs as bps
from ophyd import Signal

from insitu.errors import UsageError
from insitu.types import Feature, Record

log = logging.getLogger(__name__)
POINT = "asked_point"
PATIENCE = 3
"""Points in a row without an answer after which nobody waits any more."""
Plan = Generator[Any, Any, Any]
Answer = Mapping[str, Feature]


class Asking:
    """What one plan asks of a session (or of nobody: `session` None, and every answer is None).

    `features`: the keys that an answer must have; records of other sources have other keys. `within_s`: how long to
    wait for one answer. Use it as a context manager around the points of the plan.
    """

    def __init__(self, session: Any, features: Sequence[str], within_s: float = 2.0) -> None:
        if not (math.isfinite(within_s) and within_s >= 0.0):
            raise UsageError(f"an answer within {within_s} s", where="within_s", expected="seconds, 0 or more")
        self.features, self.within_s, self._session = tuple(features), within_s, session
        self.point = Signal(name=POINT, value=0)
        self.unanswered = Signal(name="asked_unanswered", value=0)
        self.advice: dict[str, Any] = {
            key: Signal(name=f"advice_{key}", value=value)
            for key, value in (("point", 0), ("value", math.nan), ("why", ""))
        }
        """What would have been done in mode "act": of the stream `advice`."""
        self.asked = 0
        self.reads: float | None = None
        """Where the motor of the last point said that it was."""
        self._answers: dict[int, Answer] = {}
        self._mine: set[int] = set()
        self._waiting: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = {}
        self._missed: list[int] = []
        self._in_a_row = 0
        self._lock = threading.Lock()
        self._leave = lambda: None
        if session is not None:
            try:
                self._leave = session.watch(self._record)
            except Exception as e:  # noqa: BLE001 - the plan goes on as planned, and says so
                log.warning("insitu cannot be asked, the plan goes on as planned: %s: %s", type(e).__name__, e)
                self._session = None

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._leave()

    @property
    def signals(self) -> list[Any]:
        """To be read with every point."""
        return [self.point, self.unanswered]

    @property
    def missed(self) -> int:
        """Points that were asked about and have no answer yet."""
        with self._lock:
            return sum(point not in self._answers for point in self._missed)

    @property
    def reachable(self) -> bool:
        """Whether anybody is there to answer, and the operator does not hold."""
        if self._session is None:
            return False
        with suppress(Exception):
            return self._session.device.state.get() not in ("failed", "held")
        return True

    @property
    def acts(self) -> bool:
        """Whether a plan may do what the pipeline says. Where the session advises it is only told (`advise`)."""
        return getattr(self._session, "mode", "act") == "act"

    def advise(self, plan: str, wanted: str) -> None:
        """An entry in the ledger: what a plan would have done in mode "act". Waits for nobody."""
        log.info("%s would go on with: %s (the session advises)", plan, wanted)
        session: Any = self._session
        with suppress(Exception):  # it is in the documents too
            session.run.note({"what": "advised", "by": plan, "asked": wanted})

    @property
    def silent(self) -> bool:
        """Whether the last points have no answer."""
        return self._in_a_row >= PATIENCE

    def number(self) -> int:
        """Number the point that is about to be taken."""
        found = self.asked + 1
        if self._session is not None:
            found = next(self._session.points)
        self.asked += 1
        with self._lock:
            self._mine.add(found)
        self.point.put(found)
        return found

    def answer(self, point: int) -> Answer | None:
        """What is known of a point by now."""
        with self._lock:
            return self._answers.get(point)

    def ask(self, point: int) -> Plan:
        """A plan stub: the features of that point; None where they did not come in time."""
        if self._session is None:
            return None
        patient = self.within_s > 0.0 and self.reachable and not self.silent
        if patient and self.answer(point) is None:
            done = yield from bps.wait_for([partial(self._wait, point)])
            if done is None:  # nobody runs this plan: it is only being looked at
                return None
        found = self.answer(point)
        self._count(point, found)
        return found

    def _count(self, point: int, found: Answer | None) -> None:
        if found is not None:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._missed.append(point)
        self.unanswered.put(len(self._missed))
        if self._in_a_row in (1, PATIENCE):
            more = "; it waits no more until one comes" if self._in_a_row == PATIENCE else ""
            why = f"said nothing about point {point} within {self.within_s:g} s"
            why = why if self.reachable else f"was not asked about point {point}: nobody answers, or the operator holds"
            log.warning("insitu %s: the plan goes on as planned%s", why, more)

    async def _wait(self, point: int) -> None:
        """Until the answer is there, at most so long. Made anew each time that the RunEngine asks for it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if point in self._answers:
                return
            self._waiting[point] = (loop, future)
        try:
            await asyncio.wait([future], timeout=self.within_s)
        finally:
            with self._lock:
                self._waiting.pop(point, None)

    def _record(self, record: Record) -> None:
        """In the analysis thread: keeps what is asked for."""
        m = record.measurement
        at = m.context.get(POINT)
        if at is None or at.value is None or m.role != "sample" or any(key not in m.features for key in self.features):
            return
        point = int(at.value)
        with self._lock:
            if point not in self._mine:
                return
            self._answers[point] = {key: m.features[key] for key in self.features}
            waiting = self._waiting.get(point)
            self._in_a_row = 0
        if waiting is not None:
            loop, future = waiting
            with suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(_release, future)


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
