"""The registry's log: one SQLite table that only grows, chained by hash as a run's ledger is."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from insitu.errors import StorageError
from insitu.models.journal_head import Head, check_head, check_objects, read_head, write_head
from insitu.models.standing import Entry, Standing, fold
from insitu.store.canonical import canonical
from insitu.store.ledger import START, link

COLUMNS = "id INTEGER PRIMARY KEY, kind TEXT NOT NULL, body BLOB NOT NULL, hash BLOB NOT NULL"
BUSY_S = 10.0
Make = Callable[[Mapping[str, Standing]], Mapping[str, Any] | None]
"""What is in force at that moment, to the body of the next entry; None for no entry; raises to refuse."""


class Journal:
    """The log in one file. Reading needs no lock; an entry is one transaction. Raises `StorageError`."""

    def __init__(self, path: Path, operator: str = "") -> None:
        self.path, self.operator = path, operator

    def entries(self, *, beginning: bool = False) -> list[Entry]:
        """All of them, the chain checked, and that none is missing at its end. A log without an entry is refused where
        bundles lie beside it, unless it is `beginning`."""
        head, found = read_head(self.path), []
        if self.path.exists():
            with self._connection() as db:
                found = list(self._checked(db))
        check_head(self.path, head, found)
        if not beginning:
            check_objects(self.path, found)
        return found

    def standings(self, *, beginning: bool = False) -> dict[str, Standing]:
        """What the entries fold to, by name."""
        return self._folded(self.entries(beginning=beginning))

    def append(self, kind: str, make: Make) -> None:
        """One entry behind the others; nobody else can switch between what `make` sees and the entry."""
        head = None
        with self._connection(write=True) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                head, entries = read_head(self.path), list(self._checked(db))
                check_head(self.path, head, entries)
                made = make(self._folded(entries))
                if made is not None:
                    body = canonical(dict(made) | {"time_ns": time.time_ns(), "operator": self.operator})
                    digest = link(entries[-1].hash if entries else START, kind, body)
                    db.execute("INSERT INTO log VALUES (?, ?, ?, ?)", (len(entries), kind, body, digest))
                    head = Head(len(entries) + 1, digest)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        if head is not None:
            with suppress(OSError):  # the entry is written; where its head cannot be, the next one brings it
                write_head(self.path, head)

    @contextmanager
    def _connection(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        # who only reads may have to undo what a crash left half written, and needs write permission for that
        mode = "rwc" if write else "rw" if os.access(self.path, os.W_OK) else "ro"
        try:
            if write:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            uri = f"{self.path.resolve().as_uri()}?mode={mode}"
            db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S)
        except (OSError, sqlite3.Error) as e:
            raise StorageError(f"cannot open the registry: {e}", where=str(self.path)) from e
        try:
            if write:
                db.execute("PRAGMA synchronous = EXTRA")  # the folder too, when SQLite's own journal goes
                db.execute(f"CREATE TABLE IF NOT EXISTS log ({COLUMNS})")
            yield db
        except sqlite3.Error as e:
            raise StorageError(f"the registry cannot be used: {e}", where=str(self.path)) from e
        finally:
            db.close()

    def _checked(self, db: sqlite3.Connection) -> Iterator[Entry]:
        """The entries in order; the first one that the chain does not hold is named."""
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'log'").fetchone():
            return
        previous = START
        for row, (number, kind, body, digest) in enumerate(
            db.execute("SELECT id, kind, body, hash FROM log ORDER BY id")
        ):
            if number != row or not isinstance(body, bytes) or link(previous, str(kind), body) != digest:
                raise self._strange(f"entry {row} of the registry's log is not what was written")
            previous = digest
            try:
                yield Entry(kind=kind, body=orjson.loads(body), hash=digest)
            except orjson.JSONDecodeError as e:
                raise self._strange(f"entry {row} of the registry's log is no JSON: {e}") from e

    def _folded(self, entries: Sequence[Entry]) -> dict[str, Standing]:
        """What they fold to. A chain that somebody has made anew may hold anything."""
        try:
            return fold(entries)
        except (KeyError, TypeError, AttributeError, IndexError) as e:
            raise self._strange(f"the registry's log holds an entry without sense: {type(e).__name__}: {e}") from e

    def _strange(self, what: str) -> StorageError:
        return StorageError(
            what, where=str(self.path), expected="a log that only grew",
            remedy="Restore the registry from a backup, or begin a new one with `insitu model add`",
        )  # fmt: skip
