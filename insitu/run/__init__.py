"""One live run: readers, store, analysis, operator; commit, stop, seal. `run` is the entry.

Threads: one reader per source, one store (the only writer), one analysis (the only caller of the pipeline); main
supervises. Queues are unbounded but covered by one credit in bytes. Stop: readers end, the analysis drains, the last
commit, the seal. A second signal exits at once, which is the same as a crash. `LiveRun` is the same in a thread.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from insitu.config import Setup
from insitu.errors import UsageError
from insitu.run import folder as folders
from insitu.run.acting import Actor
from insitu.run.analysing import Watcher
from insitu.run.engine import ENCODERS, Engine
from insitu.run.folder import source_spec
from insitu.run.summary import Summary
from insitu.run.view import Observer
from insitu.store.files import Disk
from insitu.types import Reader

MODES = ("advise", "act")


def run(
    setup: Setup,
    *,
    data_root: Path,
    mode: str = "advise",
    operator: str = "",
    continues: str = "",
    observer: Observer | None = None,
    disk: Disk | None = None,
    actors: Sequence[Actor] = (),
    watch: Watcher | None = None,
) -> Summary:
    """Run a recipe until its sources end, a rule ends it (mode `act`), or a signal does. Blocks; call it from the
    main thread so that SIGINT and SIGTERM are handled. `observer` is shown the status about five times a second,
    `watch` every record as soon as it is decided; `actors` carry out what the run decides in mode `act`.

    Raises `InsituError` only before anything was taken; afterwards the summary carries the error.
    """
    return _engine(setup, data_root, mode, operator, continues, disk, actors, watch).run(observer)


def _engine(
    setup: Setup,
    data_root: Path,
    mode: str,
    operator: str,
    continues: str,
    disk: Disk | None,
    actors: Sequence[Actor],
    watch: Watcher | None,
) -> Engine:
    if mode not in MODES:
        raise UsageError(f"unknown mode {mode!r}", expected=" or ".join(MODES))
    told, found = folders.recover_leftovers(data_root)
    engine = Engine(
        setup, data_root, mode, operator, continues, found, disk or Disk(), actors=actors, watch=watch
    )  # fmt: skip
    engine.shared.notes.extend(told)
    return engine


class LiveRun:
    """A run beside something else: in a thread of its own, while a bluesky session goes on in another.

    It has begun when this object is there: `uid` and `path` are known, errors of the recipe have been raised. `stop`
    asks it to end, `wait` gives the summary. `readers`: the reader of each source, by its name.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        data_root: Path,
        mode: str = "advise",
        operator: str = "",
        continues: str = "",
        observer: Observer | None = None,
        disk: Disk | None = None,
        actors: Sequence[Actor] = (),
        watch: Watcher | None = None,
    ) -> None:
        self._engine = _engine(setup, data_root, mode, operator, continues, disk, actors, watch)
        self.uid, self.path = self._engine.uid, self._engine.folder
        self.readers: dict[str, Reader] = {r.detector.source: r.reader for r in self._engine.readers}
        self._summary: Summary | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(observer,), name="insitu", daemon=True)
        self._thread.start()

    def _run(self, observer: Observer | None) -> None:
        try:
            self._summary = self._engine.run(observer)
        except BaseException as e:  # noqa: BLE001 - handed to whoever waits
            self._error = e

    @property
    def alive(self) -> bool:
        """Whether it has not been sealed yet."""
        return self._thread.is_alive()

    @property
    def ending(self) -> bool:
        """Whether something has asked it to end: its readers take no more."""
        return self._engine.shared.stopping.is_set()

    def wait_quietly(self, timeout_s: float) -> bool:
        """Whether it is sealed, after at most so long."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """What there is to see now (as an observer is shown)."""
        return self._engine.status()

    @property
    def held(self) -> bool:
        """Whether an operator keeps rules from acting."""
        return self._engine.acting.held

    def hold(self, held: bool) -> None:
        """The operator's hold on actions, or its release; logged."""
        self._engine.acting.hold(held)
        self._engine.shared.log("operator", {"command": "hold" if held else "release"})

    def resume(self) -> None:
        """The operator lets a paused run go on, whatever the rules say until they have let go once; logged."""
        paused = self._engine.acting.resume()
        self._engine.shared.log("operator", {"command": "resume"} | ({} if paused else {"refused": "it is not paused"}))

    def note(self, body: Mapping[str, Any], ask: Literal["", "pause", "halt"] = "") -> None:
        """Something that no frame tells, as an event in the log; `ask`: what is to become of it in mode `act`."""
        if ask:
            self._engine.acting.told(ask, body)
        else:
            self._engine.shared.log("event", body)

    def received(self) -> dict[str, int]:
        """How much has come from each source."""
        return {r.detector.source: r.received for r in self._engine.readers}

    def stop(self, reason: str = "asked to stop", *, ended: str = "complete") -> None:
        """Ask it to end: readers stop, what has come is analysed and stored, the run is sealed. Does not wait."""
        self._engine.shared.stop(ended, reason)

    def wait(self, timeout_s: float | None = None) -> Summary:
        """The summary, once the run is sealed. Raises `TimeoutError` where that takes longer."""
        self._thread.join(timeout_s)
        if self._error is not None:
            raise self._error
        if self._summary is None:
            raise TimeoutError(f"run {self.uid} has not ended within {timeout_s:g} s")
        return self._summary


__all__ = ["ENCODERS", "Actor", "LiveRun", "Summary", "run", "source_spec"]
