"""The forwarder: takes documents from a run's outbox to Kafka, in order, and notes what was acknowledged.

It runs in a process of its own (`python -m insitu.sinks.forward RUN`, started by the run) and is the same code as
`insitu outbox drain --follow`. It only reads the ledger. Whatever happens to the broker, it waits and goes on from the
last acknowledged document; what the broker may have got twice carries the same `insitu-id`.

Order: documents go out one behind the other. When one fails for good, the producer is ended from within its own
thread before anything behind that document can be appended, and all from that document on is sent anew.
"""

import argparse
import fcntl
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from insitu.errors import InsituError, RunLockedError
from insitu.maths.latency import Latency
from insitu.sinks import kafka
from insitu.sinks.sent import Outbox, Row, Sent, read_sent, write_sent
from insitu.sinks.window import Window, rare_collections
from insitu.store.lock import is_locked

ROWS = 2048
BYTES = 2_000_000
"""Read at once."""
POLL_S = 0.01
SAVE_S = 0.25
DEAD_S = 2.0
"""How often an idle forwarder looks whether the process of an unsealed run still lives."""
LONGEST_WAIT_S = 5.0
ORPHAN_S = 5.0
"""So long without an acknowledgement waits a child whose run has died; `insitu outbox drain` sends the rest."""
NICE = 10
"""The child gives way to the run: a decision is worth more than a document."""
SLICE = 256
LONGEST_REST_S = 0.1
"""While the run goes on, a backlog goes in slices, with a rest after each as long as it took: the broker may be on the
same machine, and the disk is shared."""


@contextmanager
def only_one(run: Path) -> Iterator[None]:
    """One forwarder a run: a lock on its folder itself, so that there is no file to leave behind."""
    fd = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        os.close(fd)
        remedy = "`insitu outbox status` shows how far it is"
        raise RunLockedError("another process is sending this run already", where=str(run), remedy=remedy) from e
    try:
        yield
    finally:
        os.close(fd)


class Forwarder:
    """One run's documents on their way. `options`: of the producer, see `kafka.producer_options`."""

    def __init__(self, run: Path, to: kafka.Link, options: Mapping[str, Any] | None = None) -> None:
        self.run, self.to = run, to
        self.options = options or kafka.producer_options(to)
        self.stop = threading.Event()
        self.parent = 0  # where we are a child: its process, without which we do not wait for a broker
        self._outbox = Outbox(run)
        self._key = self._outbox.uid().encode()
        self._begin()
        self._failures: list[BaseException] = []
        self._progress = time.monotonic()
        self._saved = self._looked = 0.0

    def _begin(self) -> None:
        """From where an earlier forwarder has come to."""
        self.sent = read_sent(self.run)
        if self.sent.oid and not self._outbox.after(self.sent.oid - 1, rows=1, nbytes=1):
            self.sent = Sent(problem="sent.json tells of another run; everything is sent")
        self.sent.topic, self.sent.bootstrap = self.to.topic, self.to.bootstrap
        self._net = Latency(self.sent.net)
        self._window = Window(self._net)

    def send_all(self, *, follow: bool, give_up_s: float | None = None) -> Sent:
        """Send what there is; with `follow` also what comes, until the run is sealed (or its process has died).

        `give_up_s`: return when nothing was acknowledged for so long; None waits for ever. `stop` ends it sooner.
        """
        wait = 0.1
        with only_one(self.run), rare_collections():
            self._begin()  # again: another one may have ended since
            self._progress = time.monotonic()
            while not self.stop.is_set():
                before = self.sent.oid
                if self._session(follow, give_up_s) or self._given_up(give_up_s):
                    break
                wait = 0.1 if self.sent.oid > before else min(wait * 2, LONGEST_WAIT_S)
                self.stop.wait(wait)
            if self.sent.state not in ("done", "idle"):
                self.sent.state = "ended"
            self._save(now=True)
        return self.sent

    def _session(self, follow: bool, give_up_s: float | None) -> bool:
        """One life of a producer; True where everything is sent."""
        from kafka.errors import KafkaError

        producer = None
        self._failures = []  # a list of this session's own: the thread of the last producer may still end
        try:
            if not follow and not self._outbox.after(self.sent.oid, rows=1, nbytes=1):
                self.sent.state, self.sent.problem = ("done" if self._outbox.sealed else "idle"), ""
                return True
            producer = kafka.make_producer(self.options)
            self.sent.sessions += 1
            return self._pump(producer, follow, give_up_s)
        except KafkaError as e:
            self._trouble(e)
            return False
        finally:
            if producer is not None:
                kafka.end(producer)
            self._collect()
            self._window.clear()
            producer = None
            gc.collect()  # kafka-python leaves the sockets of a producer that was ended, or never came up, to this

    def _pump(self, producer: Any, follow: bool, give_up_s: float | None) -> bool:
        """Keep the window full until all is sent. Raises what a document failed with."""
        at = self.sent.oid
        rows: list[Row] = []
        self._outbox.changed()
        fresh = True
        while not self.stop.is_set() and not self._given_up(give_up_s):
            if fresh or self._outbox.changed():
                rows = self._outbox.after(at, rows=ROWS, nbytes=BYTES)
                fresh = bool(rows)
                if not self._send(producer, rows, give_up_s):
                    return False
                at = rows[-1].oid if rows else at
            self._collect()
            self._save()
            if self._window:
                self._await(POLL_S if follow else 0.05)
            elif not fresh:
                if self._finished(follow):
                    return True
                self.stop.wait(POLL_S)
        return False

    def _send(self, producer: Any, rows: list[Row], give_up_s: float | None) -> bool:
        """Hand documents to the producer; False where no more should be sent. The busiest loop of a forwarder."""
        send, window, topic, key, header = producer.send, self._window, self.to.topic, self._key, kafka.HEADER
        failed = partial(_document_failed, self._failures, producer)
        partition = kafka.partition(producer, topic, key) if rows else 0
        hurry, began = self._outbox.sealed, time.monotonic()
        for k, row in enumerate(rows, start=1):
            if (window.full or self._failures) and not self._room(give_up_s):
                return False
            if not hurry and k % SLICE == 0:
                self._collect()
                self.stop.wait(min(LONGEST_REST_S, time.monotonic() - began))  # an outage is no reason to rest
                began = time.monotonic()
            headers = [(header, b"%b:%d" % (key, row.oid))]
            try:
                future = send(topic, value=row.doc, key=key, headers=headers, partition=partition)
            except Exception as e:
                if kafka.too_large(e):
                    self._settle()
                raise
            future.add_errback(failed)
            window.add(row, future)
        return True

    def _settle(self) -> None:
        """Let everything before a document that can never be sent arrive, so that only that one is set aside."""
        while self._window and not self._failures and not self.stop.is_set():
            self._await(0.05)
            self._collect()

    def _room(self, give_up_s: float | None) -> bool:
        """Wait until one more document may be in flight; False where it should not be sent any more."""
        while self._window.full or self._failures:
            self._collect()
            if self.stop.is_set() or self._given_up(give_up_s):
                return False
            self._save()
            self._await(0.05)
        return True

    def _await(self, seconds: float) -> None:
        """Wait for the oldest document, not longer than so."""
        from kafka.errors import KafkaTimeoutError

        future = self._window.oldest
        if future is None:
            return
        try:
            future.get(timeout=seconds)
        except KafkaTimeoutError:
            if future.is_done:
                raise
            if self.sent.state == "sending" and time.monotonic() - self._progress > 1.0:
                self.sent.state, self.sent.problem = "waiting", f"the broker at {self.to.bootstrap} does not answer"

    def _collect(self) -> None:
        """Note what was acknowledged."""
        arrived = self._window.collect()
        if arrived is not None:
            sent = self.sent
            sent.oid, sent.state, sent.problem = arrived.oid, "sending", ""
            sent.documents, sent.bytes = sent.documents + arrived.documents, sent.bytes + arrived.bytes
            self._progress = time.monotonic()

    def _trouble(self, error: BaseException) -> None:
        """What an error means: a document that can never be sent is set aside, everything else is tried again."""
        self._collect()
        cause = self._failures[0] if self._failures else error
        first = error if self._window.oldest is None else self._window.oldest.exception
        if first is not None and kafka.too_large(first):
            oid = self.sent.oid + 1
            row = self._outbox.after(oid - 1, rows=1, nbytes=1)[0]
            aside = {"oid": oid, "name": row.name, "bytes": len(row.doc), "why": f"too large for {self.to.topic}"}
            self.sent.set_aside.append(aside)
            self.sent.oid, self._progress = oid, time.monotonic()
        else:
            self.sent.state, self.sent.problem = "waiting", kafka.told(cause, self.to)
        self._save(now=True)

    def _finished(self, follow: bool) -> bool:
        """Nothing is left: sealed, or nobody will add anything."""
        self.sent.state, self.sent.problem = ("done" if self._outbox.sealed else "idle"), ""
        if self._outbox.sealed or not follow:
            return True
        now = time.monotonic()
        if now - self._looked < DEAD_S:
            return False
        self._looked = now
        if is_locked(self.run):
            return False
        # its last words may have come between the last look and its end
        return not self._outbox.after(self.sent.oid, rows=1, nbytes=1)

    def _given_up(self, give_up_s: float | None) -> bool:
        if self.parent and os.getppid() != self.parent:
            give_up_s = ORPHAN_S
        return give_up_s is not None and time.monotonic() - self._progress > give_up_s

    def _save(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._saved >= SAVE_S:
            self._saved = time.monotonic()
            self.sent.net = self._net.state()
            with suppress(OSError):  # the disk is full, say: what is not noted is sent again, and consumers drop it
                write_sent(self.run, self.sent)


def _document_failed(failures: list[BaseException], producer: Any, error: BaseException) -> None:
    """In the producer's thread: nothing behind this document may be appended now."""
    failures.append(error)
    if len(failures) == 1:
        kafka.abort(producer)


def main(arguments: list[str] | None = None) -> int:
    """The child process of a run: follows it to its end."""
    parser = argparse.ArgumentParser(prog="python -m insitu.sinks.forward", description=main.__doc__)
    parser.add_argument("run", type=Path)
    run = parser.parse_args(arguments).run
    kafka.quiet()
    try:
        to = kafka.stored_link(run)
        if to is None:
            return 0
        os.nice(NICE)
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # never takes a core from who just woke up
        forwarder = Forwarder(run, to)
        forwarder.parent = os.getppid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: forwarder.stop.set())
        sent = forwarder.send_all(follow=True)
        return 0 if sent.state == "done" else 5
    except InsituError as e:
        print(e, file=sys.stderr)
        return e.exit_code


if __name__ == "__main__":
    sys.exit(main())
