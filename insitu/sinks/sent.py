"""What the broker has acknowledged of a run: `<run>/sent.json`, written by its forwarder only, not sealed."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from insitu.maths.latency import Latency
from insitu.store.ledger import broken, connect

STATES = ("never", "sending", "waiting", "idle", "done", "ended")
"""never sent, sending, broker away or refusing, all that is there is sent, sealed and sent, forwarder ended before."""


LOOK_S = 1.0


@dataclass(slots=True)
class Sent:
    """`oid`: everything up to it was acknowledged (or set aside: `set_aside` says which document and why). `net`: the
    histogram of the time from decision to acknowledgement."""

    oid: int = 0
    documents: int = 0
    bytes: int = 0
    sessions: int = 0
    state: str = "never"
    problem: str = ""
    topic: str = ""
    bootstrap: str = ""
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    net: dict[str, Any] = field(default_factory=dict)
    updated_ns: int = 0

    def latency_ms(self) -> dict[str, float] | None:
        """Decision to acknowledgement of the records that a broker has acknowledged: p50, p99 and max in ms."""
        return Latency(self.net).as_dict()


def read_sent(run: Path) -> Sent:
    """What was sent of a run; nothing where the file is missing, or holds anything else (torn by a power cut, say):
    then all is sent again, and the consumers drop what they have."""
    path = run / "sent.json"
    try:
        found = orjson.loads(path.read_bytes())
        known = {f.name: f for f in fields(Sent)}
        sent = Sent(**{key: value for key, value in found.items() if key in known})
        _check(sent)
    except FileNotFoundError:
        return Sent()
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return Sent(problem="sent.json cannot be read; everything is sent again")
    return sent


def _check(sent: Sent) -> None:
    """Raise where a value cannot have been written by us."""
    fresh = Sent()
    for f in fields(Sent):
        value, like = getattr(sent, f.name), getattr(fresh, f.name)
        if type(value) is not type(like) or (isinstance(value, int) and value < 0):
            raise ValueError(f.name)
    if sent.state not in STATES or not all(a.keys() >= {"oid", "name", "bytes", "why"} for a in sent.set_aside):
        raise ValueError("state")
    sent.latency_ms()


def waiting(sent: Sent, last: int) -> int:
    """How many of `last` documents wait. A file that says more than there is tells of another run: then all."""
    return last - sent.oid if sent.oid <= last else last


def write_sent(run: Path, sent: Sent) -> None:
    """Replace the file at once. The temporary one lies in `inbox/`, which the seal of a run does not look into. Raises
    `OSError`."""
    sent.updated_ns = time.time_ns()
    (run / "inbox").mkdir(exist_ok=True)
    temporary = run / "inbox" / ".sent.json.tmp"
    temporary.write_bytes(orjson.dumps(asdict(sent), option=orjson.OPT_INDENT_2) + b"\n")
    os.replace(temporary, run / "sent.json")


class Row(NamedTuple):
    """One document of the outbox. `timing`: of an event, as the ledger has it of its record; None for the
    others."""

    oid: int
    name: str
    doc: bytes
    timing: bytes | None = None


def decided_ns(timing: bytes) -> int:
    """When a record was decided: by the clock of this machine, as everything about an acknowledgement."""
    found = orjson.loads(timing)
    return found["arrival_ns"] + 1000 * found["edge_us"]


class Outbox:
    """Reads a run's outbox in connections of a few milliseconds, so that the seal never waits for a reader."""

    def __init__(self, run: Path) -> None:
        self._ledger = run / "ledger.db"
        self._seen: tuple[int, ...] = ()
        self._looked = 0.0
        self.sealed = False

    def uid(self) -> str:
        """The uid of the run, whatever its folder is called by now. Raises `StorageError`."""
        with self._reading() as db:
            found = db.execute("SELECT body FROM log WHERE kind = 'open' ORDER BY id LIMIT 1").fetchone()
        try:
            return str(orjson.loads(found[0])["uid"])
        except (TypeError, ValueError, KeyError):
            return self._ledger.parent.resolve().name  # damaged: what `verify` tells is not ours to tell

    def changed(self) -> bool:
        """Whether the files look different from the last time: costs two stats where a query costs a connection. Times
        of files are coarse: after `LOOK_S` without a look they count as different."""
        now: list[int] = []
        for path in (self._ledger, self._ledger.with_name("ledger.db-wal")):
            try:
                found = path.stat()
                now += [found.st_mtime_ns, found.st_size]
            except FileNotFoundError:
                now += [0, 0]
        seen, self._seen = self._seen, tuple(now)
        return seen != self._seen or time.monotonic() - self._looked > LOOK_S

    def after(self, oid: int, *, rows: int, nbytes: int) -> list[Row]:
        """Documents behind `oid`, at most so many rows and about so many bytes. Sets `sealed`, read before them."""
        found: list[Row] = []
        with self._reading() as db:
            query = (
                "SELECT oid, name, doc, body FROM outbox "
                "LEFT JOIN timing ON timing.n = outbox.n AND outbox.name = 'event' WHERE oid > ? ORDER BY oid LIMIT ?"
            )
            for row in db.execute(query, (oid, rows)):
                found.append(Row(*row))
                nbytes -= len(row[2])
                if nbytes <= 0:
                    break
        return found

    def last(self) -> tuple[int, int]:
        """(last oid, bytes of all documents). Sets `sealed`, read before them."""
        with self._reading() as db:
            oid, nbytes = db.execute("SELECT max(oid), sum(length(doc)) FROM outbox").fetchone()
        return oid or 0, nbytes or 0

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for one look, `sealed` asked first. Raises `StorageError` where the ledger is damaged."""
        self._looked = time.monotonic()
        with closing(connect(self._ledger)) as db:
            try:
                self.sealed = db.execute("SELECT 1 FROM log WHERE kind = 'seal' LIMIT 1").fetchone() is not None
                yield db
            except sqlite3.Error as e:
                raise broken(e, self._ledger, "read the outbox of") from e
