"""The threads of one run: built, supervised, stopped in order, sealed."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from insitu.config import Setup
from insitu.decisions.guard import Guard
from insitu.errors import InsituError, LedgerBusyError, SourceError, StorageError
from insitu.references import Declared, ReferenceFold
from insitu.run import folder as folders
from insitu.run.acting import Acting, Actor
from insitu.run.analysing import Analysing, Watcher
from insitu.run.credit import Credit
from insitu.run.egress import outbox
from insitu.run.forwarding import Forwarding, required_broker
from insitu.run.inbox import Inbox, about
from insitu.run.intake import Intake
from insitu.run.log import RunLog
from insitu.run.shared import Shared
from insitu.run.signals import stop_on_signals
from insitu.run.storing import Storing
from insitu.run.summary import Summary
from insitu.run.view import Observer, Rate, View, shown
from insitu.store.canonical import text
from insitu.store.files import Disk
from insitu.store.lock import Lock
from insitu.store.seal import finish
from insitu.store.segments import SourceSpec
from insitu.store.writer import RunWriter
from insitu.types import Reader

TICK_S = 0.2
NOT_PAUSED = "it is not paused"
ENCODERS = 2
PATIENCE_S = 5.0
"""How long a reader may take to notice that the run stops (it promised 0.2 s), and the analysis beyond the drain."""


class Engine:
    """The threads of one run and what main knows of them."""

    def __init__(
        self,
        setup: Setup,
        data_root: Path,
        mode: str,
        operator: str,
        continues: str,
        recovered: list[dict[str, Any]],
        disk: Disk,
        *,
        actors: Sequence[Actor] = (),
        watch: Watcher | None = None,
    ) -> None:
        self.setup, self.mode, self.disk = setup, mode, disk
        self.actors, self.watch = actors, watch
        self.uid = folders.new_uid()
        self.recovered = tuple(r["uid"] for r in recovered)
        pipeline = setup.pipeline()
        references = ReferenceFold(Declared(r.name, r.source, r.first, r.file) for r in setup.references)
        readers = [source.reader() for source in setup.sources]  # a wrong setting is refused before a folder is made
        required_broker(setup.kafka)
        self.folder = folders.create(setup, data_root, self.uid, disk)
        self.lock = Lock(self.folder)
        try:
            self.shared = Shared(Credit(int(setup.budget.in_flight_bytes)))
            self.shared.notes.extend(setup.remarks)
            digests = folders.write_settings(setup, self.folder, disk)
            body = folders.open_body(setup, self.uid, digests, mode=mode, operator=operator, continues=continues)
            specs = {
                s.detector.source: folders.source_spec(s.detector, reader, simulated=setup.simulated)
                for s, reader in zip(setup.sources, readers, strict=True)
            }
            self.writer = RunWriter(self.folder, body, specs, disk, outbox(setup, body))
            self.log = RunLog(self.folder / "run.log")
        except BaseException:
            self.lock.release()
            raise
        self.log.say("started", uid=self.uid, title=setup.title, mode=mode, sources=[*specs])
        self.began, self.inbox, self._rate = time.monotonic(), Inbox(self.folder / "inbox"), Rate()
        for entry in references.loaded:
            self.shared.log("reference", entry)
        self._build(pipeline, references, specs, readers)
        self.forwarding = Forwarding(self.folder, setup.kafka)

    def _build(
        self, pipeline: Any, references: ReferenceFold, specs: Mapping[str, SourceSpec], readers: list[Reader]
    ) -> None:
        setup, shared = self.setup, self.shared
        self.pool = ThreadPoolExecutor(ENCODERS, "encode")
        self.readers = [
            Intake(s.detector, reader, specs[s.detector.source], setup.acquire, shared, self.pool, self.writer.encode)
            for s, reader in zip(setup.sources, readers, strict=True)
        ]
        limits = {name: limit for s in setup.sources for name, limit in s.detector.limits.items()}
        adapters = {r.detector.source: getattr(r.reader, "adapt") for r in self.readers if hasattr(r.reader, "adapt")}  # noqa: B009
        adapters |= {a.name: getattr(a, "adapt") for a in self.actors if hasattr(a, "adapt")}  # noqa: B009
        self.acting = Acting(
            Guard(limits, "act" if self.mode == "act" else "advise"),
            shared,
            mode=self.mode,
            after_commit=setup.budget.act == "after_commit",
            adapters=adapters,
            safe_state=setup.safe_state,
            actors=self.actors,
        )
        live = {s.detector.source: s.detector.live for s in setup.sources}
        self.analysis = Analysing(
            pipeline, references, self.acting, shared, setup.budget, live, setup.acquire.on_fault, self.watch
        )
        self.store = Storing(self.writer, shared, setup.budget.commit_s, self.acting.acknowledged, self.pool)

    def run(self, observer: Observer | None) -> Summary:
        """Start, supervise, stop in order, seal."""
        from threadpoolctl import threadpool_limits

        view = View(observer, self.status, self.shared)
        try:
            with stop_on_signals(self.shared.stop), threadpool_limits(limits=1):
                for thread in (self.store, self.analysis, *self.readers):
                    thread.start()
                try:
                    self._supervise(view)
                except Exception as e:  # noqa: BLE001 - the boundary: main must not leave the run unsealed
                    told = f"the supervision failed: {type(e).__name__}: {e}"
                    self.shared.stop("failed", told, InsituError(told, remedy="This is a bug of insitu"))
                self._stop(view)
                head = self._seal()
                self.forwarding.finish(self.setup.budget.linger_s, view.show)
        finally:
            self.forwarding.end()
            self.log.close()
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.lock.release()
        summary = self._summary(head)
        view.show(state=summary.ended, reason=summary.reason)
        return summary

    def _supervise(self, view: View) -> None:
        """Until every reader has ended, or something asked to stop."""
        told = 0.0
        while not self.shared.stopping.is_set() and any(r.is_alive() for r in self.readers):
            self._orders()
            self.forwarding.tend()
            if time.monotonic() - told >= TICK_S:
                told = time.monotonic()
                view.show()
            self.shared.stopping.wait(TICK_S / 4)

    def _orders(self) -> None:
        for message, refused in self.inbox.messages():
            if message["command"] in ("hold", "release"):
                self.acting.hold(message["command"] == "hold")
            elif message["command"] == "resume" and not self.acting.resume():
                refused = NOT_PAUSED
            body = {k: v for k, v in message.items() if k != "n"} | ({"refused": refused} if refused else {})
            self.shared.log("operator", body, about(message))

    def _stop(self, view: View) -> None:
        """Readers, then the analysis, then the store. Who does not end in time is left behind, and the run says so."""
        until = time.monotonic() + PATIENCE_S
        for reader in self.readers:
            while reader.is_alive() and time.monotonic() < until:
                reader.join(TICK_S)
                view.show()
            if reader.is_alive():
                told = f"the reader of {reader.detector.source} did not notice the stop within {PATIENCE_S:g} s"
                self.shared.notes.append(f"{told}: the run was sealed without waiting for it")
        self.shared.close_analysis()
        while self.analysis.is_alive() and not self.analysis.given_up:
            self._drain()
            self.analysis.join(TICK_S)
            view.show()
        self.shared.close_store()
        while self.store.is_alive():
            self.store.join(TICK_S)
            view.show()

    def _drain(self) -> None:
        """Bound the drain once the run was asked to stop, and give up an analysis that hangs."""
        drain_s, until = self.setup.budget.drain_s, self.shared.drain_until
        if until is None:
            if self.shared.stopping.is_set() or all(r.detector.live for r in self.readers):
                self.shared.drain_until = time.monotonic() + drain_s
        elif time.monotonic() > until + PATIENCE_S:
            told = f"the analysis did not come back within {drain_s + PATIENCE_S:g} s after the end: it was given up"
            self.shared.notes.append(told)
            self.analysis.give_up(told)

    def _ending(self) -> None:
        """A run of which nothing could be read has failed, however quietly its source ended."""
        ending, frames = self.shared.ending, self.writer.tally.frames()
        if ending.ended == "complete" and frames["invalid"] and not frames["stored"]:
            ending.ended, ending.reason = "failed", f"nothing could be read: {self.shared.first_invalid}"
            ending.error = SourceError(ending.reason, remedy="The bytes are in the run's folder quarantine/")
        elif frames["invalid"]:
            self.shared.notes.append(f"{frames['invalid']} invalid, the first: {self.shared.first_invalid}")
        if ending.ended == "complete" and self.shared.analysis_failed:
            ending.reason += f"; {self.shared.analysis_failed}"

    def _seal(self) -> str:
        """Seal entry and the rest; "" where the store has failed (recovery does it later)."""
        ending = self.shared.settle()
        self._ending()
        if self.shared.storage_failed:
            return ""
        for note in (*self.shared.notes, *self.writer.notes):
            self.log.say("note", text=note)
        self.log.say("ended", ended=ending.ended, reason=ending.reason)
        self.log.close()
        try:
            self.writer.close()
            body = {"ended": ending.ended, "reason": ending.reason, "counts": self.writer.tally.as_dict()}
            self.writer.seal(body, time.time())
            self.writer.ledger.close()
            return finish(self.folder, self.disk)
        except LedgerBusyError as e:  # whole and on disk: only the last step is left to `recover`
            self.shared.notes.append(str(e))
            return self.writer.ledger.head.hex()
        except Exception as e:  # noqa: BLE001 - the boundary: whatever fails here, recovery does it later
            error = e if isinstance(e, StorageError) else self._unsealed(e)
            self.writer.give_up()
            self.shared.storage_failed = True
            ending.ended, ending.reason, ending.error = "failed", text(error), error
            return ""

    def _unsealed(self, e: Exception) -> StorageError:
        what = f"the run could not be sealed: {type(e).__name__}: {e}"
        return StorageError(what, where=str(self.folder), remedy="The raw data is safe: `insitu recover` the run")

    def status(self) -> dict[str, Any]:
        """What there is to see now."""
        counted, shared = self.writer.counted, self.shared
        last, frames = self.analysis.last, counted["frames"]
        return {
            "uid": self.uid,
            "path": str(self.folder),
            "title": self.setup.title,
            "mode": self.mode,
            "state": self._state(),
            "elapsed_s": time.monotonic() - self.began,
            "rate_hz": self._rate(frames["stored"]),
            "frames": frames,
            "analysis": counted["analysis"],
            "latency_ms": {name: h.as_dict() for name, h in shared.latency.items()},
            "queued": shared.next_n - frames["stored"],
            "in_flight_bytes": shared.credit.used,
            "in_flight_limit": shared.credit.limit,
            "last": None if last is None else shown(last),
            "last_action": self.acting.last,
            "decisions": counted["decisions"],
            "simulated": self.setup.simulated,
            "notes": [*shared.notes, *self.writer.notes],
        }

    def _state(self) -> str:
        if self.shared.stopping.is_set():
            return "stopping"
        return "held" if self.acting.held else self.acting.state

    def _summary(self, head: str) -> Summary:
        tally, ending, writer = self.writer.tally, self.shared.ending, self.writer
        analysis, forwarded = tally.analysis(), self.forwarding.sent()
        sent = forwarded.bytes
        if not self.shared.storage_failed:
            analysis.pop("pending")
        return Summary(
            run_uid=self.uid,
            path=str(self.folder),
            ended=ending.ended,
            reason=ending.reason,
            mode=self.mode,
            frames=tally.frames(),
            analysis=analysis,
            records=tally.analysed,
            decisions=dict(sorted(tally.decisions.items())),
            bytes={
                "raw": writer.raw_bytes,
                "sent": sent,
                "ratio": sent / writer.raw_bytes if writer.raw_bytes else None,
            },
            latency_ms={k: h.as_dict() for k, h in self.shared.latency.items() if k != "commit"}
            | {"net": forwarded.latency_ms()},
            budget={"latency_ms": self.setup.budget.latency_s * 1e3, "breaches": self.analysis.breaches},
            head=head,
            recovered=self.recovered,
            notes=(*self.shared.notes, *self.writer.notes, *self.forwarding.notes),
            error=ending.error or self.forwarding.error,
        )
