"""Keeps a run going in the process of a session: feeds it, shows it, begins the next one where it has ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from insitu.bluesky.channel import Calls, Channel
from insitu.bluesky.feeding import fed, on_hand
from insitu.bluesky.handing import summary_body
from insitu.bluesky.heads import Document, Heads
from insitu.bluesky.showing import Remote, Shower
from insitu.config import Setup
from insitu.errors import ConfigError, InsituError, StorageError
from insitu.readers.document_frames import MISSED
from insitu.run import LiveRun

log = logging.getLogger(__name__)
LOOK_S = 0.1
MOST_FAILURES = 3
PATIENCE_S = 60.0
WAITING = 256_000_000
"""Bytes of documents that a reader may have waiting before we take no more from the session."""
REST_S = 0.005


class Keeper:
    """A run, and the ones after it."""

    def __init__(
        self,
        setup: Setup,
        channel: Channel,
        calls: Calls,
        *,
        again: Callable[[], Setup],
        data_root: Path,
        mode: str,
        operator: str,
        failures: int,
    ) -> None:
        self._setup, self._again, self._channel, self._calls = setup, again, channel, calls
        self._settings: dict[str, Any] = {"data_root": data_root, "mode": mode, "operator": operator}
        self._failures = failures
        self._actor, self._shower = Remote(calls), Shower(channel)
        self._heads = Heads(lambda: self._live is not None and self._live.ending)
        self._swap = threading.Lock()
        self._live: LiveRun | None = None
        self._orders: SimpleQueue[tuple[str, dict[str, Any]]] = SimpleQueue()
        self._closing, self._vanished = threading.Event(), threading.Event()
        self._dropped = 0
        self.read = 0
        """Documents that have come."""
        self.over = ""
        """Why no run goes on, where that was not wanted."""
        self.final = False
        """Whether another process would not do better."""

    @property
    def dropped(self) -> int:
        """Documents that did not fit into a reader's queue."""
        live = self._live
        return self._dropped + (sum(reader.dropped for reader in fed(live).values()) if live else 0)

    # ---- from the session ----

    def begin(self, continues: str, *, held: bool, note: dict[str, Any] | None) -> None:
        """The first run. Raises what is wrong with it."""
        live = self._begun(continues)
        if not fed(live):
            live.stop("no source of this recipe takes documents")
            live.wait(PATIENCE_S)
            raise ConfigError(
                "no detector of this recipe reads a session",
                where="detectors",
                expected='a detector with [reader] use = "documents"',
            )
        if held:
            live.hold(True)
        if note is not None:
            live.note(note)
        self._live = live
        self._tell_begun(live)
        threading.Thread(target=self._obey, name="insitu-obeying", daemon=True).start()

    def feed(self, name: str, document: Document) -> None:
        """A document. Waits where the run does not keep up, so that the session counts what is lost."""
        self.read += 1
        try:
            self._room(document)
            with self._swap:
                self._heads.see(name, document)
                for reader in fed(self._now()).values():
                    reader.feed(name, document)
            if name == MISSED:
                self._now().note({"what": "documents_missed", "frames": sum(document["frames"].values())})
        except Exception as e:  # noqa: BLE001 - whatever it is: the next ones are read
            self._dropped += 1
            log.error("a document (%s) was not taken: %s: %s", name, type(e).__name__, e)

    def order(self, kind: str, value: dict[str, Any]) -> None:
        """Something that the session wants, done by a thread of its own: an answer may have to be waited for."""
        self._orders.put((kind, value))

    def close(self) -> None:
        """No more documents will come."""
        self._closing.set()
        with self._swap:
            for reader in fed(self._now()).values():
                reader.close()

    def vanish(self, why: str) -> None:
        """Nobody is there any more: what has come becomes frames, and the run is sealed as interrupted."""
        if self._vanished.is_set():
            return
        self._vanished.set()
        self.over = why
        until, idle = time.monotonic() + PATIENCE_S / 2, 0
        while time.monotonic() < until and self._now().alive and idle < 3:  # one that is just being taken does not wait
            idle = 0 if any(reader.waits() for reader in fed(self._now()).values()) else idle + 1
            time.sleep(REST_S)
        self._closing.set()
        self._now().stop(why, ended="interrupted")

    # ---- the runs ----

    def keep(self) -> None:
        """Show how the run does; begin the next one where a rule or an error has ended it. Until all is over."""
        while True:
            live = self._now()
            if live.alive:
                self._tell(live)
                self._closing.wait(LOOK_S) if not self._closing.is_set() else live.wait_quietly(LOOK_S)
                continue
            goes_on = self._ended(live)
            waits = any(reader.waits() for reader in fed(live).values())
            if not goes_on or self._vanished.is_set() or (self._closing.is_set() and not waits):
                return
            try:
                told = self._renew()
                self._hand_over(self._begun(live.uid))
                if told:
                    self._now().note({"what": "registry_not_asked", "why": told})
                if self._closing.is_set():
                    self.close()
            except Exception as e:  # noqa: BLE001 - told, and the scan goes on without us
                self.over = f"insitu cannot go on: {e if isinstance(e, InsituError) else f'{type(e).__name__}: {e}'}"
                self.final = True
                return

    def _renew(self) -> str:
        """Ask the registry again what is in force, for the next run; why that could not be done, where the bundles of
        the run before are kept. A canary is not kept: it may have been rolled back."""
        chosen = self._setup.chosen
        if not chosen:
            return ""
        try:
            self._setup = self._again()
        except InsituError as e:
            if any(choice.role == "canary" for choice in chosen.values()):
                raise
            log.error("insitu: the next run keeps the bundles of the one before: %s", e)
            return str(e)
        return ""

    def _begun(self, continues: str) -> LiveRun:
        return LiveRun(
            self._setup, **self._settings, continues=continues, actors=[self._actor], watch=self._shower.record
        )

    def _now(self) -> LiveRun:
        assert self._live is not None
        return self._live

    def _hand_over(self, live: LiveRun) -> None:
        """Another run from now on: it gets what the one before had been given and had not taken, and stays held."""
        with self._swap:
            before = self._now()
            if before.held:
                live.hold(True)
            given = {source: reader.left() for source, reader in fed(before).items()}
            for source, reader in fed(live).items():
                left = given.get(source, [])
                for name, document in (*self._heads.begun(left), *left):
                    reader.feed(name, document)
            self._dropped += sum(reader.dropped for reader in fed(before).values())
            self._live = live
        self._tell_begun(live)

    def _ended(self, live: LiveRun) -> bool:
        """Tell how a run has ended; whether another may begin: not on a disk that fails, not after mere failures."""
        found: dict[str, Any] | None = None
        try:
            summary = live.wait(0)
        except Exception as e:  # noqa: BLE001 - told, and the scan goes on without us
            told, stored = f"{type(e).__name__}: {e}", 0
        else:
            found = summary_body(summary)
            told, stored = summary.reason if summary.ended == "failed" else "", summary.frames["stored"]
            if self._setup.chosen:
                from insitu.rollout.steps import canaries_of

                for line in canaries_of(self._setup, live.path):
                    log.warning("insitu: %s", line)
            if isinstance(summary.error, StorageError):
                stored = self._failures = MOST_FAILURES
        self._failures = 0 if not told else self._failures + (not stored)
        self._shower.flush()
        self._tell(live)
        self._channel.send("ended", {"uid": live.uid, "summary": found, "why": told, "failures": self._failures})
        if told and self._failures >= MOST_FAILURES:
            self.over, self.final = f"insitu records no more: {told}", True
            return False
        return True

    def _tell_begun(self, live: LiveRun) -> None:
        found = {"uid": live.uid, "path": str(live.path), "fed": [*fed(live)], "held": live.held}
        self._channel.send("begun", {**found, "status": live.status()})

    def _tell(self, live: LiveRun) -> None:
        read = self.read  # first of all: what comes meanwhile is on its way
        try:
            status = live.status()
        except Exception as e:  # noqa: BLE001 - what is shown must not end what is kept
            log.error("the run cannot be shown: %s: %s", type(e).__name__, e)
            return
        found = {"uid": live.uid, "status": status, "held": live.held, "ending": live.ending}
        found |= {"received": live.received(), "dropped": self.dropped, "read": read - on_hand(live, status)}
        self._channel.send("status", found, needed=False)

    def _room(self, document: Document) -> None:
        from insitu.bluesky.outlet import weight

        size = weight(document)
        while True:
            live = self._now()
            most = max((reader.waiting() for reader in fed(live).values()), default=0)
            if most * size <= WAITING or live.ending or not live.alive or self._vanished.is_set():
                return
            time.sleep(REST_S)

    # ---- orders ----

    def _obey(self) -> None:
        does: dict[str, Callable[[dict[str, Any]], None]] = {
            "hold": self._hold, "resume": self._resume, "note": self._note, "stop": self._stop,
            "watch": self._watch, "leave": self._watch,
        }  # fmt: skip
        while True:
            kind, value = self._orders.get()
            try:
                does[kind](value)
            except Exception as e:  # noqa: BLE001 - the boundary: one that cannot be done must not end the others
                log.error("%s could not be done: %s: %s", kind, type(e).__name__, e)
            self._tell(self._now())
            if value.get("call"):
                self._channel.send("answer", {"call": value["call"], "answer": True})

    def _hold(self, value: dict[str, Any]) -> None:
        with self._swap:
            self._now().hold(value["held"])

    def _resume(self, value: dict[str, Any]) -> None:
        self._now().resume()

    def _note(self, value: dict[str, Any]) -> None:
        self._now().note(value["body"], value["ask"])

    def _stop(self, value: dict[str, Any]) -> None:
        if self._now().uid == value["uid"]:
            self._now().stop(value["reason"], ended=value["ended"])

    def _watch(self, value: dict[str, Any]) -> None:
        self._shower.watched = value["on"]
