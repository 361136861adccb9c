"""What the broker has acknowledged of a run: `<run>/sent.json`, written by its forwarder only, not sealed."""

import os
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from insitu.store.ledger import connect

STATES = ("never", "sending", "waiting", "idle", "done", "ended")
"""never sent, sending, broker away or refusing, all that is there is sent, sealed and sent, forwarder ended before."""


@dataclass(slots=True)
class Sent:
    """`oid`: everything up to it was acknowledged (or set aside: `set_aside` says which document and why)."""

    oid: int = 0
    documents: int = 0
    bytes: int = 0
    sessions: int = 0
    state: str = "never"
    problem: str = ""
    topic: str = ""
    bootstrap: str = ""
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    updated_ns: int = 0


def read_sent(run: Path) -> Sent:
    """What was sent of a run; nothing where the file is missing, or was torn by a power cut: then all is sent again,
    and the consumers drop what they have."""
    path = run / "sent.json"
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return Sent()
    except orjson.JSONDecodeError:
        return Sent(problem="sent.json was torn; everything is sent again")
    names = {f.name for f in fields(Sent)}
    return Sent(**{key: value for key, value in found.items() if key in names})


def write_sent(run: Path, sent: Sent) -> None:
    """Replace the file at once. The temporary one lies in `inbox/`, which the seal of a run does not look into."""
    sent.updated_ns = time.time_ns()
    (run / "inbox").mkdir(exist_ok=True)
    temporary = run / "inbox" / ".sent.json.tmp"
    temporary.write_bytes(orjson.dumps(asdict(sent), option=orjson.OPT_INDENT_2) + b"\n")
    os.replace(temporary, run / "sent.json")


class Row(NamedTuple):
    """One document of the outbox."""

    oid: int
    name: str
    doc: bytes


class Outbox:
    """Reads a run's outbox in connections of a few milliseconds, so that the seal never waits for a reader."""

    def __init__(self, run: Path) -> None:
        self._ledger = run / "ledger.db"
        self._seen: tuple[int, ...] = ()
        self.sealed = False

    def changed(self) -> bool:
        """Whether the files look different from the last time: costs two stats where a query costs a connection."""
        now: list[int] = []
        for path in (self._ledger, self._ledger.with_name("ledger.db-wal")):
            try:
                found = path.stat()
                now += [found.st_mtime_ns, found.st_size]
            except FileNotFoundError:
                now += [0, 0]
        seen, self._seen = self._seen, tuple(now)
        return seen != self._seen

    def after(self, oid: int, *, rows: int, nbytes: int) -> list[Row]:
        """Documents behind `oid`, at most so many rows and about so many bytes. Sets `sealed`, read before them."""
        found: list[Row] = []
        with closing(connect(self._ledger)) as db:
            self.sealed = db.execute("SELECT 1 FROM log WHERE kind = 'seal' LIMIT 1").fetchone() is not None
            query = "SELECT oid, name, doc FROM outbox WHERE oid > ? ORDER BY oid LIMIT ?"
            for row in db.execute(query, (oid, rows)):
                found.append(Row(*row))
                nbytes -= len(row[2])
                if nbytes <= 0:
                    break
        return found

    def last(self) -> tuple[int, int]:
        """(last oid, bytes of all documents)."""
        with closing(connect(self._ledger)) as db:
            oid, nbytes = db.execute("SELECT max(oid), sum(length(doc)) FROM outbox").fetchone()
        return oid or 0, nbytes or 0
