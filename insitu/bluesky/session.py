"""A session: the RunEngine's documents feed a run in a process of its own, and its verdicts are signals of a device.

Nothing here waits in the RunEngine's thread, and nothing raises in it; the run costs it no time, whatever the pipeline
does. The run goes on over several plans; where a rule has ended it, the next one begins by itself and names the one
before in `continues`, and so it does where the process was killed.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from insitu.bluesky.described import Recipe
from insitu.bluesky.devices import Teller, device
from insitu.bluesky.following import Following
from insitu.bluesky.outlet import Outlet
from insitu.bluesky.running import Run
from insitu.bluesky.stall import Stall
from insitu.bluesky.suspend import EngineActor, SuspendOnVerdict
from insitu.errors import UsageError
from insitu.run.summary import Summary
from insitu.types import Limit, Record

log = logging.getLogger(__name__)
PATIENCE_S = 60.0
ROOM = 256_000_000


class Session:
    """A recipe beside a RunEngine.

    `recipe`: a name, a path or a table, as for `insitu run`; at least one of its detectors reads `documents`. What is
    yours in it goes by name (`use = "mylab.module:Thing"`): another process imports it. `mode`: with "act" a rule may
    pause, stop or abort the plan. `features`: which become signals of `device`. `suspend`: False where you install a
    suspender of your own on `device.suspend`. `stall_s`: where the plan runs and a source gives nothing for so long,
    the state is "stalled" and the log says so; `on_stall`: what else becomes of it in mode "act" (a pause ends with the
    next clean frame, or with `resume`). `detectors`: {name: table} that are looked at before files. `room`: bytes of
    documents that may wait for the run; what comes beyond is left out and counted. Use it as a context manager, or call
    `close`.
    """

    def __init__(
        self,
        engine: Any,
        recipe: str | Path | Mapping[str, Any],
        *,
        data_root: Path | str = "insitu-data",
        mode: str = "advise",
        operator: str = "",
        sets: Sequence[str] = (),
        detectors: Mapping[str, Any] | None = None,
        name: str = "insitu",
        features: Sequence[str] = ("*",),
        suspend: bool = True,
        stall_s: float | None = None,
        on_stall: Literal["tell", "pause", "halt"] = "tell",
        room: int = ROOM,
    ) -> None:
        if stall_s is not None and not stall_s > 0.0:
            raise UsageError(f"stalled after {stall_s} s", where="stall_s", expected="more than 0")
        if on_stall not in ("tell", "pause", "halt"):
            raise UsageError(f"on_stall is {on_stall!r}", where="on_stall", expected="tell, pause or halt")
        if room < 1:
            raise UsageError(f"room for {room} bytes", where="room", expected="1 or more")
        self._engine, self._mode = engine, mode
        self._failed = 0
        self._watchers: list[Any] = []
        self.summaries: list[Summary] = []
        """Of the runs that have ended, in order."""
        self.points = itertools.count(1)
        """Numbers for the points of plans that ask: no two are alike."""
        self._outlet = Outlet(room)
        self._following = Following(
            Recipe(recipe, tuple(sets), detectors, Path(data_root), mode, operator), self._outlet, self
        )
        try:
            self.described = self._following.load()
            """What is known of the recipe: its title, models, outputs and limits."""
            self.device = device(self.described, name, features)
            self.teller = Teller(self.device)
            self.actor = EngineActor(engine, self.teller.suspend, self._not_done)
            self._suspender = SuspendOnVerdict(self.device.suspend, lambda: self.actor.reason) if suspend else None
            self.actor.suspender = self._suspender
            self._stall = Stall(stall_s)
            self._on_stall: Literal["", "pause", "halt"] = "" if on_stall == "tell" else on_stall
            self._following.begin()
        except BaseException:
            self._following.give_up()
            raise
        self._token = engine.subscribe(self.feed)
        if mode == "act":
            engine.preprocessors.append(self.actor.preprocess)
            if self._suspender is not None:
                engine.install_suspender(self._suspender)

    @property
    def run(self) -> Run:
        """The run that goes on (or the last one)."""
        return self._following.run

    @property
    def loop(self) -> Any:
        """The RunEngine's, in which devices of ophyd-async live."""
        return self._engine.loop

    @property
    def pid(self) -> int:
        """Of the process of the run."""
        return self._following.pid

    @property
    def alive(self) -> bool:
        """Whether it takes documents, or its last run has not ended yet."""
        return not self._following.closing or self.run.alive

    @property
    def mode(self) -> str:
        """ "advise" or "act"."""
        return self._mode

    @property
    def limits(self) -> dict[str, Limit]:
        """What the beamline allows: `[limits]` of the recipe's detectors."""
        return dict(self.described.limits)

    @property
    def dropped(self) -> int:
        """Documents for which there was no room, here or in a reader's queue, or that are none."""
        return self._failed + self._outlet.dropped + self._following.dropped

    def feed(self, name: str, document: Mapping[str, Any]) -> None:
        """Hand over a document: the RunEngine's callback. Any mapping of plain values and arrays goes, from any thread.
        Only enqueues, never raises."""
        try:
            self._outlet.put(name, document)
        except Exception:  # noqa: BLE001 - whatever it is: the scan is not to notice
            self._failed += 1

    def watch(self, watcher: Any) -> Callable[[], None]:
        """Call `watcher(record)` for every record from now on, in a thread of the session: it must come back at once.
        Call what this gives to see no more."""
        self._watchers.append(watcher)
        self._following.watched(True)
        return lambda: self._leave(watcher)

    def hold(self) -> None:
        """The operator holds: rules may not act until `release`."""
        self._following.hold(True)

    def release(self) -> None:
        """Rules may act again."""
        self._following.hold(False)

    def resume(self) -> None:
        """The operator lets a plan that a rule has paused go on, whatever the rule says until it has let go once."""
        self.run.resume()

    def close(self, timeout_s: float = PATIENCE_S) -> Summary:
        """No more documents; what has come is analysed and stored; the run is sealed. The last summary. A plan that
        runs goes on by itself. Not for what is told records or signals: `UsageError`."""
        if self._following.here():
            raise UsageError(
                "close() was called by what watches the records or signals, and would wait for itself",
                where="close",
                remedy="Call it in another thread",
            )
        if not self._following.closing:
            with suppress(Exception):
                self._engine.unsubscribe(self._token)
            if self._mode == "act":
                with suppress(ValueError):
                    self._engine.preprocessors.remove(self.actor.preprocess)
                if self._suspender is not None:
                    self._engine.remove_suspender(self._suspender)
        self._following.close(timeout_s)
        self.teller.suspend(False)
        self.teller.state("idle")
        return self.run.wait(0)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- told by the run, in the thread that follows it ----

    def see(self, record: Record) -> None:
        """A record, for those who watch."""
        for watcher in tuple(self._watchers):
            try:
                watcher(record)
            except Exception as e:  # noqa: BLE001 - the boundary: who looks on must not silence the others
                self._leave(watcher)
                log.error("what watches the records failed and sees no more: %s: %s", type(e).__name__, e)

    def look(self, run: Run, fed: Sequence[str]) -> None:
        """Show how the run does, and notice a source that gives nothing. `fed`: the sources that take documents."""
        status = run.status()
        runs = self._engine.state == "running" and bool(self._outlet.heads.open) and not self.device.suspend.get()
        stalled, new = self._stall({s: n for s, n in run.received().items() if s in fed}, runs and run.alive)
        if stalled and status["state"] == "running":
            status["state"] = "stalled"
        self.teller.status(status)
        if new:
            why = f"no frame came from {', '.join(new)} for {self._stall.after_s:g} s while a plan runs"
            log.warning("insitu: %s", why)
            run.note({"what": "stalled", "sources": new, "after_s": self._stall.after_s, "why": why}, self._on_stall)

    def ended(self, summary: Summary) -> None:
        """A run has ended: whoever asked for a pause is no more."""
        self.summaries.append(summary)
        self.teller.suspend(False)

    def failed(self, why: str) -> None:
        """There is no run, for now or for good."""
        log.error("%s", why)
        self.teller.suspend(False)
        self.teller.state("failed")

    def _leave(self, watcher: Any) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)
        if not self._watchers:
            self._following.watched(False)

    def _not_done(self, what: str, why: str) -> None:
        self.run.note({"what": "not_done", "by": self.actor.name, "asked": what, "why": why})
