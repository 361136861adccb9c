"""The ledger of a run: one SQLite file, append-only, each entry chained to the one before.

WAL with synchronous=FULL: what `commit` returned from survives a power cut. One writer; readers use short
transactions. `hash = sha256(previous + kind + 0x00 + body)`, first previous = 32 zero bytes. A chain beside its data
proves integrity only against a head that is held elsewhere.
"""

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from insitu.errors import LedgerBusyError, StorageError
from insitu.store.canonical import canonical
from insitu.store.files import Disk

START = bytes(32)
"""What stands for the hash before the first entry."""

_SCHEMA = """
CREATE TABLE log (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, n INT, body BLOB NOT NULL, hash BLOB NOT NULL);
CREATE TABLE place (n INTEGER, array TEXT, source TEXT, segment INT, seq INT, shard INT, offset INT, nbytes INT,
                    PRIMARY KEY (n, array)) WITHOUT ROWID;
CREATE INDEX place_by_seq ON place (source, seq);
CREATE TABLE outbox (oid INTEGER PRIMARY KEY, n INT, name TEXT NOT NULL, doc BLOB NOT NULL);
CREATE TABLE timing (n INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE INDEX log_by_kind ON log (kind, n);
"""

KINDS = frozenset(
    {
        "open", "segment", "frame", "provisional", "invalid", "late", "duplicate", "dropped", "gap", "reference",
        "record", "shed", "skipped", "action", "operator", "event", "fault", "recovered", "seal",
    }
)  # fmt: skip


class Entry(NamedTuple):
    """One line of the log, the body decoded."""

    id: int
    kind: str
    n: int | None
    body: dict[str, Any]


class RawEntry(NamedTuple):
    """One line of the log as stored."""

    id: int
    kind: str
    n: int | None
    body: bytes
    hash: bytes


class PlaceRow(NamedTuple):
    """One line of `place`: where one array of one frame lies."""

    n: int
    array: str
    source: str
    segment: int
    seq: int
    shard: int
    offset: int
    nbytes: int


def link(previous: bytes, kind: str, body: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"".join((previous, kind.encode(), b"\0", body))).digest()


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode; read-only unless `write`. Raises `StorageError`."""
    mode = "rwc" if write else "ro"
    try:
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        db.execute("PRAGMA query_only = 0" if write else "PRAGMA query_only = 1")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as e:
        raise broken(e, path, "open") from e
    return db


def broken(error: sqlite3.Error, path: Path, doing: str) -> StorageError:
    """What an error of SQLite means for a run."""
    text = str(error)
    if "disk is full" in text:
        remedy = "Free space on this disk, then `insitu recover` the run"
    elif "readonly" in text or "unable to open" in text:
        remedy = "Is this a run folder, and may this user write there?"
    else:
        remedy = "`insitu verify` tells what is damaged; restore the file from a backup"
    return StorageError(f"cannot {doing} the ledger: {text}", where=str(path), remedy=remedy)


class Ledger:
    """The one writer. Entries are added to a group in memory; `commit` makes the group durable at once."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path, self.disk = path, disk
        new = not path.exists()
        self._db = connect(path, write=True)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA wal_autocheckpoint = 4000")
            if new:
                self._db.executescript(_SCHEMA)
            last = self._db.execute("SELECT id, hash FROM log ORDER BY id DESC LIMIT 1").fetchone()
        except sqlite3.Error as e:
            raise broken(e, path, "open") from e
        if new:
            disk.sync_folder(path.parent)
        self._id, self.head = (last[0] + 1, bytes(last[1])) if last else (0, START)
        self._checkpointed = False
        self._log: list[tuple[int, str, int | None, bytes, bytes]] = []
        self._places: list[PlaceRow] = []
        self._timings: list[tuple[int, bytes]] = []
        self._outbox: list[tuple[int | None, str, bytes]] = []

    def add(self, kind: str, n: int | None, body: bytes) -> None:
        """Put an entry behind the others of this group. `body`: canonical bytes."""
        self.head = link(self.head, kind, body)
        self._log.append((self._id, kind, n, body, self.head))
        self._id += 1

    def place(self, row: PlaceRow) -> None:
        self._places.append(row)

    def timing(self, n: int, body: bytes) -> None:
        self._timings.append((n, body))

    def offer(self, n: int | None, name: str, doc: bytes) -> None:
        """A document for the outbox, committed together with what it tells of."""
        self._outbox.append((n, name, doc))

    @property
    def pending(self) -> int:
        """Entries of the group that is not committed yet."""
        return len(self._log)

    def commit(self) -> None:
        """All of the group, or none of it. After this returns it is on disk."""
        if not (self._log or self._outbox):
            return
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO log VALUES (?,?,?,?,?)", self._log)
            if self._places:
                db.executemany("INSERT INTO place VALUES (?,?,?,?,?,?,?,?)", self._places)
            if self._timings:
                db.executemany("INSERT INTO timing VALUES (?,?)", self._timings)
            if self._outbox:
                db.executemany("INSERT INTO outbox (n, name, doc) VALUES (?,?,?)", self._outbox)
            self.disk.mark("commit")
            db.execute("COMMIT")
            self.disk.mark("committed")
        except sqlite3.Error as e:
            raise broken(e, self.path, "commit to") from e
        self._log.clear()
        self._places.clear()
        self._timings.clear()
        self._outbox.clear()

    def finish(self, wait_s: float = 10.0) -> None:
        """Make it one immutable file: checkpoint, leave WAL mode, close.

        A reader that keeps its connection (a plot of the live run, say) stands in the way of the second step: after
        `wait_s` the ledger stays in WAL mode with an empty log, which is as immutable. Raises `LedgerBusyError` where
        not even the checkpoint was possible.
        """
        deadline = time.monotonic() + wait_s
        while not self._leave_wal():
            if time.monotonic() > deadline:
                if not self._checkpointed:
                    self.close()
                    raise LedgerBusyError(
                        "a reader keeps the ledger busy",
                        where=str(self.path),
                        remedy="Everything is stored; when the reader has ended, `insitu recover` seals the run",
                    )
                break
            time.sleep(0.05)
        self.close()
        fd = self.disk.open(self.path)
        self.disk.sync(fd)
        self.disk.close(fd)
        self.disk.sync_folder(self.path.parent)

    def _leave_wal(self) -> bool:
        try:
            self._db.execute("PRAGMA busy_timeout = 100")
            self._checkpointed = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            return self._db.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete"
        except sqlite3.OperationalError as e:
            if "locked" not in str(e):
                raise broken(e, self.path, "finish") from e
            return False
        except sqlite3.Error as e:
            raise broken(e, self.path, "finish") from e

    def close(self) -> None:
        self._db.close()


EVERYTHING = 2**62
AHEAD = 64
"""Frames whose places are asked for at once, where they are read one after another."""


class Places:
    """Where the arrays of frames lie, for who reads them in order of `n`: those of a frame's followers come with its
    own."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._end = db, -AHEAD
        self._known: dict[int, list[PlaceRow]] = {}

    def of(self, n: int) -> list[PlaceRow]:
        """The places of frame `n`; asked for anew where they are not known, or a writer had not written them yet."""
        if n not in self._known:
            end = n + (AHEAD if 0 <= n - self._end < AHEAD else 1)
            self._known, self._end = {}, end
            for row in self._db.execute("SELECT * FROM place WHERE n >= ? AND n < ?", (n, end)):
                self._known.setdefault(row[0], []).append(PlaceRow(*row))
        return self._known.pop(n, [])


def raw_entries(
    db: sqlite3.Connection, kinds: Sequence[str] = (), batch: int = 512, until: int = EVERYTHING
) -> Iterator[RawEntry]:
    """The log in order, in short transactions (a writer is never held up). `until`: the last id to look at."""
    last = -1
    where = f"AND kind IN ({','.join('?' * len(kinds))})" if kinds else ""
    while True:
        rows = db.execute(
            f"SELECT id, kind, n, body, hash FROM log WHERE id > ? AND id <= ? {where} ORDER BY id LIMIT {batch}",
            (last, until, *kinds),
        ).fetchall()
        if not rows:
            return
        for id_, kind, n, body, digest in rows:  # a damaged file may hold any type
            yield RawEntry(id_, str(kind), n, body if isinstance(body, bytes) else str(body).encode(), digest)
        last = rows[-1][0]


def entries(db: sqlite3.Connection, kinds: Sequence[str] = (), until: int = EVERYTHING) -> Iterator[Entry]:
    """The log in order, bodies decoded."""
    for id_, kind, n, body, _ in raw_entries(db, kinds, until=until):
        yield Entry(id_, kind, n, orjson.loads(body))


def first(path: Path, kind: str) -> dict[str, Any] | None:
    """The body of the first entry of a kind, or None."""
    with closing(connect(path)) as db:
        row = db.execute("SELECT body FROM log WHERE kind = ? ORDER BY id LIMIT 1", (kind,)).fetchone()
    return None if row is None else orjson.loads(row[0])


def add_body(ledger: Ledger, kind: str, n: int | None, body: dict[str, Any]) -> None:
    """Add an entry from a plain dict; `n` is put into the body too, so that the chain covers it."""
    ledger.add(kind, n, canonical(body if n is None else {"n": n, **body}))
