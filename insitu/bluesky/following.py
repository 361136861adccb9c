"""Follows the process of a session's run: starts it, hears what it says, starts another one where it was killed."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from insitu.bluesky.described import Described, Recipe, described
from insitu.bluesky.handing import Passing, error_body, summary_of
from insitu.bluesky.outlet import Outlet
from insitu.bluesky.process import Process
from insitu.bluesky.records import unpacked
from insitu.bluesky.running import Run
from insitu.bluesky.wire import pack
from insitu.errors import ActionRefusedError, ConfigError, InsituError, UsageError
from insitu.run.summary import Summary
from insitu.types import Record

log = logging.getLogger(__name__)
MOST_FAILURES = 3
"""So many processes that end without having stored anything, one after the other, are enough."""
CONFIRMED = {"hold": 5.0, "resume": 5.0, "watch": 1.0}
"""Orders that are done when the call comes back: for how many seconds it waits at most."""
AT_EXIT_S = 5.0
"""An interpreter that ends without `close` waits so long, at most, until the process has all documents."""
ACTIONS = ("pause", "resume", "finish", "halt")


class Hears(Protocol):
    """The session, as far as it is told what the run says."""

    teller: Any
    actor: Any

    def see(self, record: Record) -> None: ...

    def look(self, run: Run, fed: Sequence[str]) -> None: ...

    def ended(self, summary: Summary) -> None: ...

    def failed(self, why: str) -> None: ...


class Following:
    """One process after the other, and a thread that hears them. Orders go to the one that is there."""

    def __init__(self, recipe: Recipe, outlet: Outlet, session: Hears) -> None:
        self._recipe, self._outlet, self._session = recipe, outlet, session
        self.closing = False
        self.dropped = 0
        """Documents that the runs had no room for."""
        self._gone_dropped = 0
        self._held = self._watched = self._blind = self._begun_one = False
        self._failures, self._sent, self._read, self._over = 0, 0, 0, False
        self._fed: tuple[str, ...] = ()
        self._run: Run | None = None
        self._process = Process()
        self._thread = threading.Thread(target=self._follow, name="insitu-session", daemon=True)
        self._passing = Passing(self._pass)

    @property
    def run(self) -> Run:
        """The run that goes on, or the last one."""
        assert self._run is not None
        return self._run

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    # ---- the beginning ----

    def load(self) -> Described:
        """Let the process read the recipe. Raises what is wrong with it."""
        r = self._recipe
        found = {
            "recipe": r.recipe, "sets": list(r.sets), "detectors": r.detectors,
            "level": logging.getLogger("insitu").getEffectiveLevel(),
        }  # fmt: skip
        try:
            pack("load", found, strict=True)
        except UsageError as e:
            raise ConfigError(e.what, where="recipe", expected=e.expected) from e
        try:
            return described(self._process.request("load", found))
        except ConfigError as e:
            if '"__main__"' not in e.what:
                raise
            what = "what stands in the script itself cannot be imported by the process of the run"
            raise ConfigError(what, where=e.where, remedy="Put it into a module beside the script") from e

    def begin(self) -> None:
        """The first run. Raises what is wrong."""
        self._begin("", None)
        self._passing.begin()
        atexit.register(self._outlet.flush, AT_EXIT_S)
        self._thread.start()

    def give_up(self) -> None:
        """It has not begun."""
        self._process.kill()
        self._outlet.give_up()

    def _begin(self, continues: str, note: dict[str, Any] | None) -> None:
        r = self._recipe
        wanted = {
            "data_root": str(r.data_root), "mode": r.mode, "operator": r.operator, "continues": continues,
            "held": self._held, "failures": self._failures, "note": note,
        }  # fmt: skip
        self._begun(self._process.request("begin", wanted))
        self._begun_one = True
        if self._watched:
            self._process.channel.send("watch", {"on": True})
        if self._held != wanted["held"]:  # the operator's word came while it began
            self._process.channel.send("hold", {"held": self._held})
        self._sent, self._read = self._outlet.sent, 0
        self._outlet.attach(self._process.documents)

    def _begun(self, found: Mapping[str, Any]) -> None:
        self._fed = tuple(found["fed"])
        self._run = Run(self.order, found)

    # ---- orders ----

    def order(self, kind: str, value: dict[str, Any]) -> None:
        """Only sent; what is in `CONFIRMED` is done when this comes back, except in the thread that hears, and where
        nobody answers. A process that begins is handed what holds and who watches when it has begun: before that it
        takes no order."""
        process = self._process
        if not self._begun_one:
            log.info("no run is there yet to be told %r", kind)
            return
        if kind not in CONFIRMED or self.here():
            process.channel.send(kind, value)
            return
        try:
            process.calls.ask(kind, value, CONFIRMED[kind])
        except (TimeoutError, ConnectionError) as e:
            log.warning("the run was told %r, and has not confirmed it: %s", kind, e)

    def hold(self, held: bool) -> None:
        """For this run and those after it."""
        self._held = held
        self.order("hold", {"held": held})

    def watched(self, on: bool) -> None:
        """Whether records are to be told."""
        if on != self._watched:
            self._watched = on
            self.order("watch" if on else "leave", {"on": on})

    def here(self) -> bool:
        """Whether this is the thread that hears what the process says."""
        return threading.current_thread() is self._thread

    def close(self, timeout_s: float) -> None:
        """No more documents; until all is sealed. `TimeoutError` where that takes longer."""
        if not self.closing:
            self.closing = True
            self._outlet.close()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError(f"run {self.run.uid} has not ended within {timeout_s:g} s")
        self._passing.end()
        atexit.unregister(self._outlet.flush)

    def _pass(self, kind: str, value: dict[str, Any]) -> None:
        if self._begun_one:
            self._process.channel.send(kind, value)

    # ---- what it says ----

    def _follow(self) -> None:
        while True:
            for kind, value in self._process.messages():
                try:
                    self._hear(kind, value)
                except Exception as e:  # noqa: BLE001 - what is shown must not end what is kept
                    if not self._blind:
                        log.error("what the run says cannot be shown: %s: %s", type(e).__name__, e)
                    self._blind = True
            how = self._process.end()
            if self._over or not self._again(how):
                self._outlet.give_up()
                return

    def _hear(self, kind: str, value: Any) -> None:
        session = self._session
        if kind == "record":
            session.see(unpacked(value))
        elif kind == "shown":
            session.teller.show(value)
        elif kind == "status":
            self._status(value)
        elif kind == "act":
            self._process.channel.send("answer", {"call": value["call"], "answer": self._act(value)})
        elif kind == "answer":
            self._process.calls.answered(value)
        elif kind == "log":
            Passing.say(value)
        elif kind == "begun":
            self._begun(value)
        elif kind == "ended":
            self._ended(value)
        elif kind == "over":
            self._end(value)

    def _status(self, value: Mapping[str, Any]) -> None:
        self._count(value)
        self._read = value["read"]
        if value["uid"] == self.run.uid:
            self.run.told(value)
            self._held = value["held"]
            self._session.look(self.run, self._fed)

    def _count(self, value: Mapping[str, Any]) -> None:
        self.dropped = self._gone_dropped + value["dropped"]

    def _act(self, value: Mapping[str, Any]) -> dict[str, Any] | None:
        """Do what a rule wants; None, or why not."""
        try:
            if time.monotonic() > value["until"]:
                raise ActionRefusedError("it came too late: the run waits for an answer no more")
            if value["what"] not in ACTIONS:
                raise ActionRefusedError(f"{value['what']} is no action")
            getattr(self._session.actor, value["what"])(value["reason"], value["run"])
        except ActionRefusedError as e:
            return error_body(e)
        except Exception as e:  # noqa: BLE001 - the boundary: it is logged as not done
            return error_body(ActionRefusedError(f"{type(e).__name__}: {e}"))
        return None

    def _ended(self, value: Mapping[str, Any]) -> None:
        self._failures = value["failures"]
        if value["summary"] is None:
            self._session.ended(self.run.gone(value["why"]))
            return
        summary = summary_of(value["summary"])
        self.run.ended(summary)
        self._session.ended(summary)

    def _end(self, value: Mapping[str, Any]) -> None:
        """The process ends by itself: because it was asked to, or because it cannot go on."""
        self._count(value)
        self._over = self.closing or bool(value["final"])
        if value["why"]:
            self._session.failed(value["why"])

    def _again(self, how: str) -> bool:
        """The process has gone without a word: tell it, and start the next one. Whether there is one."""
        self._begun_one = False
        run, why = self.run, f"the process of the run {how}"
        lost = max(0, self._outlet.sent - self._sent - self._read)
        self._gone_dropped = self.dropped
        if run.alive:
            self._failures = self._failures + 1 if not run.status()["frames"].get("stored") else 0
            self._session.ended(run.gone(why))
        else:
            self._failures += 1
        more = f", and up to {lost} documents that were on their way are lost" if lost else ""
        self._session.failed(f"insitu: {why}: run {run.uid} was not sealed{more}; the scan goes on")
        if self.closing and self._outlet.done:
            return False
        note = {"what": "process_ended", "why": why, "continues": run.uid, "documents_on_their_way": lost}
        while self._failures < MOST_FAILURES:
            try:
                self._process = Process()
                self.load()
                self._begin(run.uid, note)
            except (InsituError, OSError) as e:
                self._failures += 1
                self._process.kill()
                log.error("insitu cannot go on: %s", e)
            else:
                return True
        self._session.failed(f"insitu records no more: {why}")
        return False
