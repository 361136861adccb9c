"""A session: the RunEngine's documents feed a live run, and the run's verdicts are signals of a device.

Nothing here waits in the RunEngine's thread, and nothing raises in it. The run goes on over several plans; where a rule
has ended it, the next one begins by itself and names the one before in `continues`.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from insitu.bluesky.devices import Teller, device
from insitu.bluesky.stall import Stall
from insitu.bluesky.suspend import EngineActor, SuspendOnVerdict
from insitu.config import load
from insitu.errors import ConfigError, InsituError, StorageError, UsageError
from insitu.readers.document_values import Document
from insitu.readers.documents import Documents
from insitu.run import LiveRun, Summary
from insitu.types import Limit, Record

log = logging.getLogger(__name__)
LOOK_S = 0.1
HEADS = frozenset({"start", "descriptor", "resource", "stream_resource"})
MOST_FAILURES = 3
KEPT = 64
"""Plans that have ended whose beginning is remembered; all, while a run of ours is being ended."""
PATIENCE_S = 60.0


class Session:
    """A recipe beside a RunEngine.

    `recipe`: a name, a path or a table, as for `insitu run`; at least one of its detectors reads `documents`. `mode`:
    with "act" a rule may pause, stop or abort the plan. `features`: which become signals of `device`. `suspend`: False
    where you install a suspender of your own on `device.suspend`. `stall_s`: where the plan runs and a source gives
    nothing for so long, the state is "stalled" and the log says so; `on_stall`: what else becomes of it in mode "act"
    (a pause ends with the next clean frame, or with `resume`). `detectors`: {name: table} that are looked at before
    files. Use it as a context manager, or call `close`.
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
    ) -> None:
        if stall_s is not None and not stall_s > 0.0:
            raise UsageError(f"stalled after {stall_s} s", where="stall_s", expected="more than 0")
        if on_stall not in ("tell", "pause", "halt"):
            raise UsageError(f"on_stall is {on_stall!r}", where="on_stall", expected="tell, pause or halt")
        self._setup = load(recipe, sets=sets, detectors=detectors)
        self._root, self._mode, self._operator = Path(data_root), mode, operator
        self.device = device(self._setup, name, features)
        self._teller = Teller(self.device)
        self.actor = EngineActor(engine, self._teller.suspend, self._not_done)
        self._stall = Stall(stall_s)
        self._on_stall: Literal["", "pause", "halt"] = "" if on_stall == "tell" else on_stall
        self.summaries: list[Summary] = []
        """Of the runs that have ended, in order."""
        self.dropped = 0
        """Documents for which there was no room."""
        self.points = itertools.count(1)
        """Numbers for the points of plans that ask: no two are alike."""
        self._heads: dict[str, list[tuple[str, Document]]] = {}  # what the last plans began with, by their uid
        self._open: set[str] = set()
        self._swap = threading.Lock()
        self._watchers: list[Any] = []
        self._failures, self._blind = 0, False
        self._closing = threading.Event()
        self._live = self._begin("")
        if not _feeds(self._live):
            self._live.stop("no source of this recipe takes documents")
            self._live.wait(PATIENCE_S)
            raise ConfigError(
                "no detector of this recipe reads a session",
                where="detectors",
                expected='a detector with [reader] use = "documents"',
            )
        self._engine = engine
        self._token = engine.subscribe(self._feed)
        self._suspender = SuspendOnVerdict(self.device.suspend, lambda: self.actor.reason) if suspend else None
        self.actor.suspender = self._suspender
        if mode == "act":
            engine.preprocessors.append(self.actor.preprocess)
            if self._suspender is not None:
                engine.install_suspender(self._suspender)
        self._keeper = threading.Thread(target=self._keep, name="insitu-session", daemon=True)
        self._keeper.start()

    @property
    def run(self) -> LiveRun:
        """The run that goes on (or the last one)."""
        return self._live

    @property
    def limits(self) -> dict[str, Limit]:
        """What the beamline allows: `[limits]` of the recipe's detectors."""
        return {name: limit for source in self._setup.sources for name, limit in source.detector.limits.items()}

    def watch(self, watcher: Any) -> Callable[[], None]:
        """Call `watcher(record)` for every record from now on, in the analysis thread: it must come back at once.
        Call what this gives to see no more."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def hold(self) -> None:
        """The operator holds: rules may not act until `release`."""
        self._live.hold(True)

    def release(self) -> None:
        """Rules may act again."""
        self._live.hold(False)

    def resume(self) -> None:
        """The operator lets a plan that a rule has paused go on, whatever the rule says until it has let go once."""
        self._live.resume()

    def close(self, timeout_s: float = PATIENCE_S) -> Summary:
        """No more documents; what has come is analysed and stored; the run is sealed. The last summary."""
        if not self._closing.is_set():
            self._closing.set()
            with suppress(Exception):
                self._engine.unsubscribe(self._token)
            if self._mode == "act":
                with suppress(ValueError):
                    self._engine.preprocessors.remove(self.actor.preprocess)
                if self._suspender is not None:
                    self._engine.remove_suspender(self._suspender)
        self._close_readers()
        self._keeper.join(timeout_s)
        summary = self._live.wait(timeout_s)
        self._teller.suspend(False)
        self._teller.state("idle")
        return summary

    def _goes_on(self, live: LiveRun) -> bool:
        """Note how a run has ended; whether another may begin: not on a disk that fails, not after mere failures."""
        try:
            summary = live.wait(0)
        except Exception as e:  # noqa: BLE001 - told, and the scan goes on without us
            told, stored = f"{type(e).__name__}: {e}", 0
        else:
            self.summaries.append(summary)
            told, stored = summary.reason if summary.ended == "failed" else "", summary.frames["stored"]
            if isinstance(summary.error, StorageError):
                stored = self._failures = MOST_FAILURES
        self._failures = 0 if not told else self._failures + (not stored)
        if told and self._failures >= MOST_FAILURES:
            log.error("insitu records no more: %s", told)
            self._teller.state("failed")
            return False
        return True

    def _close_readers(self) -> None:
        with self._swap:
            for reader in _documents(self._live).values():
                reader.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, continues: str) -> LiveRun:
        return LiveRun(
            self._setup,
            data_root=self._root,
            mode=self._mode,
            operator=self._operator,
            continues=continues,
            actors=[self.actor],
            watch=self._record,
        )

    def _record(self, record: Record) -> None:
        self._teller.record(record)
        for watcher in tuple(self._watchers):
            try:
                watcher(record)
            except Exception as e:  # noqa: BLE001 - the boundary: who looks on must not silence the others
                self._watchers.remove(watcher)
                log.error("what watches the records failed and sees no more: %s: %s", type(e).__name__, e)

    def _feed(self, name: str, document: Document) -> None:
        """The RunEngine's callback: only enqueues, never raises."""
        try:
            with self._swap:
                self._remember(name, document)
                for feed in _feeds(self._live).values():
                    feed(name, document)
        except Exception:  # noqa: BLE001 - whatever it is: the scan is not to notice
            self.dropped += 1

    def _remember(self, name: str, document: Document) -> None:
        """What the next run of ours needs to understand a plan that has begun."""
        if name == "start":
            self._heads[document["uid"]] = []
            self._open.add(document["uid"])
            while len(self._heads) > len(self._open) + KEPT and not self._live.ending:
                del self._heads[next(uid for uid in self._heads if uid not in self._open)]
        if name == "stop":
            self._open.discard(document["run_start"])
        elif name in HEADS:
            self._heads.get(document.get("run_start", document["uid"]), []).append((name, document))

    def _hand_over(self, live: LiveRun) -> None:
        """Another run from now on: it gets what the one before had been given and had not taken, and stays held."""
        if self._live.held:
            live.hold(True)
        with self._swap:
            given = {source: reader.left() for source, reader in _documents(self._live).items()}
            for source, feed in _feeds(live).items():
                left = given.get(source, [])
                begun = self._open | {str(doc.get("run_start")) for name, doc in left if name == "stop"}
                for uid in begun & self._heads.keys():
                    for name, document in self._heads[uid]:
                        feed(name, document)
                for name, document in left:
                    feed(name, document)
            self._live = live

    def _look(self, live: LiveRun) -> None:
        """Show how the run does, and notice a source that gives nothing."""
        status = live.status()
        runs = self._engine.state == "running" and bool(self._open) and not self.device.suspend.get()
        fed = _documents(live).keys()
        stalled, new = self._stall({s: n for s, n in live.received().items() if s in fed}, runs and live.alive)
        if stalled and status["state"] == "running":
            status["state"] = "stalled"
        self._teller.status(status)
        if new:
            why = f"no frame came from {', '.join(new)} for {self._stall.after_s:g} s while a plan runs"
            log.warning("insitu: %s", why)
            live.note({"what": "stalled", "sources": new, "after_s": self._stall.after_s, "why": why}, self._on_stall)

    def _not_done(self, what: str, why: str) -> None:
        self._live.note({"what": "not_done", "by": self.actor.name, "asked": what, "why": why})

    def _keep(self) -> None:
        """Show how the run does; begin the next one where a rule or an error has ended it."""
        while True:
            live = self._live
            try:
                self._look(live)
            except Exception as e:  # noqa: BLE001 - what is shown must not end what is kept
                if not self._blind:
                    log.error("the signals cannot be kept up to date: %s: %s", type(e).__name__, e)
                self._blind = True
            if live.alive:
                self._closing.wait(LOOK_S) if not self._closing.is_set() else live.wait_quietly(LOOK_S)
                continue
            self._teller.suspend(False)  # whoever asked for a pause is no more
            if not self._goes_on(live):
                return
            if self._closing.is_set() and not any(reader.waits() for reader in _documents(live).values()):
                return
            try:
                self._hand_over(self._begin(live.uid))
                if self._closing.is_set():
                    self._close_readers()
            except Exception as e:  # noqa: BLE001 - told, and the scan goes on without us
                log.error("insitu cannot go on: %s", e if isinstance(e, InsituError) else f"{type(e).__name__}: {e}")
                self._teller.state("failed")
                return


def _documents(live: LiveRun) -> dict[str, Documents]:
    inner = {source: getattr(reader, "reader", reader) for source, reader in live.readers.items()}
    return {source: reader for source, reader in inner.items() if isinstance(reader, Documents)}


def _feeds(live: LiveRun) -> dict[str, Callable[[str, Document], None]]:
    """The way into each source that takes documents."""
    return {source: reader.feed for source, reader in _documents(live).items()}
