"""The outbox of a run: documents as bytes, the account of them, and the stop document that ends them.

A row of the table `outbox` is the msgpack of `(name, document)`, ready to be sent. The account is folded from the
documents themselves, so that recovery makes the same one from the table alone.
"""

import math
import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson
from blake3 import blake3

from insitu.store.canonical import plain
from insitu.store.packing import packb, unpackb
from insitu.types import ArrayFeature

Document = dict[str, Any]
EXIT_STATUS = {"complete": "success", "finished": "success", "halted": "abort", "interrupted": "abort"}
"""How a run ended, in event-model's words; anything else is "fail"."""


class Offer(NamedTuple):
    """One document for the outbox; `n`: the frame that it tells of."""

    n: int | None
    name: str
    packed: bytes


class Outbox(Protocol):
    """What the writer of a run hands its records to. Called by one thread, in order of `n`."""

    def start(self) -> list[Offer]: ...

    def segment(self, body: Mapping[str, Any]) -> None: ...

    def record(self, body: Mapping[str, Any], arrays: Mapping[str, ArrayFeature], raw_bytes: int) -> list[Offer]: ...

    def manifest(self) -> dict[str, Any]: ...

    def stop(self, seal: Mapping[str, Any], head: str, time_s: float) -> Offer: ...


def pack(name: str, document: Mapping[str, Any]) -> tuple[Document, bytes]:
    """A document in plain Python types, and its bytes."""
    import event_model

    sanitized = event_model.sanitize_doc(dict(document))
    return sanitized, packed(name, sanitized)


def packed(name: str, document: Document) -> bytes:
    """The bytes of a document that is in plain Python types already: those that `pack` gives, without its way through
    JSON. A text that is no valid UTF-8 is escaped."""
    try:
        return packb((name, document))
    except UnicodeEncodeError:
        return packb((name, plain(document)))


def unpack(packed: bytes) -> tuple[str, Document]:
    """(name, document) of a row."""
    name, document = unpackb(packed)
    return name, document


def document_uid(run_uid: str, name: str) -> str:
    """The uid of a document: the same whenever it is made of the same run."""
    return str(uuid.uuid5(_namespace(run_uid), name))


@lru_cache(64)
def _namespace(run_uid: str) -> uuid.UUID:
    return uuid.UUID(run_uid)


@dataclass(slots=True)
class Stream:
    """What left in one stream: its keys, how many events, and the frame times of the first and last."""

    keys: list[str]
    events: int = 0
    first_s: float | None = None
    last_s: float | None = None
    shortest_s: float | None = None

    def add(self, time_s: float) -> None:
        if self.last_s is not None:
            step = time_s - self.last_s
            self.shortest_s = step if self.shortest_s is None else min(self.shortest_s, step)
        self.first_s = time_s if self.first_s is None else self.first_s
        self.last_s = time_s
        self.events += 1

    def as_dict(self) -> dict[str, Any]:
        """`rate_hz`: events a second of frame time, `peak_hz`: by the shortest interval; None where not known."""
        span = (self.last_s or 0.0) - (self.first_s or 0.0)
        rate = (self.events - 1) / span if self.events > 1 and span > 0 else None
        peak = 1 / self.shortest_s if self.shortest_s and self.shortest_s > 0 else None
        return {"events": self.events, "keys": self.keys, "rate_hz": _rounded(rate), "peak_hz": _rounded(peak)}


def _rounded(x: float | None) -> float | None:
    return None if x is None or not math.isfinite(x) else float(f"{x:.6g}")


@dataclass(slots=True)
class Egress:
    """The account of what was offered, folded from the documents in order of `oid`."""

    documents: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    largest_bytes: int = 0
    run_uid: str = ""
    _stream_of: dict[str, str] = field(default_factory=dict)
    _digest: Any = field(default_factory=blake3)

    def add(self, name: str, document: Mapping[str, Any], packed: bytes) -> None:
        """One document."""
        self.documents[name] = self.documents.get(name, 0) + 1
        self.sizes[name] = self.sizes.get(name, 0) + len(packed)
        self.largest_bytes = max(self.largest_bytes, len(packed))
        self._digest.update(packed)
        if name == "start":
            self.run_uid = document["uid"]
        elif name == "descriptor":
            self._stream_of[document["uid"]] = document["name"]
            self.streams[document["name"]] = Stream(sorted(document["data_keys"]))
        elif name == "event":
            self.streams[self._stream_of[document["descriptor"]]].add(document["time"])

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes.values())

    @property
    def records(self) -> int:
        """Records that left; events of arrays, which have streams of their own, are none."""
        return sum(s.events for s in self.streams.values() if "action" in s.keys)

    def num_events(self) -> dict[str, int]:
        """Events by stream."""
        return {name: s.events for name, s in self.streams.items()}

    def manifest(self) -> dict[str, Any]:
        """What was offered before the stop document, and the digest over it."""
        return {
            "documents": dict(sorted(self.documents.items())),
            "bytes": {**dict(sorted(self.sizes.items())), "total": self.total_bytes},
            "streams": {name: s.as_dict() for name, s in sorted(self.streams.items())},
            "largest_bytes": self.largest_bytes,
            "digest": "blake3:" + self._digest.hexdigest(),
        }


def rows(db: sqlite3.Connection, batch: int = 512) -> Iterator[tuple[int, int | None, str, bytes]]:
    """(oid, n, name, bytes) in order, in short transactions."""
    last = 0
    while True:
        found = db.execute(
            "SELECT oid, n, name, doc FROM outbox WHERE oid > ? ORDER BY oid LIMIT ?", (last, batch)
        ).fetchall()
        if not found:
            return
        yield from found
        last = found[-1][0]


def account(db: sqlite3.Connection) -> tuple[Egress, Document | None]:
    """The account of a ledger's outbox without the stop document, and the stop document where there is one."""
    egress, stop = Egress(), None
    for _, _, name, packed in rows(db):
        _, document = unpack(packed)
        if name == "stop":
            stop = document
        else:
            egress.add(name, document, packed)
    return egress, stop


def acknowledged(folder: Path) -> int:
    """The last `oid` that a broker has acknowledged, as the forwarder has written it; 0 for none, and where the file
    cannot be read: no run may fail because of it."""
    try:
        oid = orjson.loads((folder / "sent.json").read_bytes())["oid"]
    except (OSError, ValueError, TypeError, KeyError):
        return 0
    return oid if type(oid) is int and oid > 0 else 0


def spool(manifest: Mapping[str, Any], folder: Path) -> dict[str, int]:
    """How many documents there are with the stop document, and how many of them a broker has acknowledged by now."""
    return {"documents": sum(manifest["documents"].values()) + 1, "acknowledged": acknowledged(folder)}


def stop_document(egress: Egress, seal: Mapping[str, Any], head: str, time_s: float, reason: str = "") -> Document:
    """The last document of a run: how it ended, its counts, and the head of the chain that it closes."""
    return {
        "uid": document_uid(egress.run_uid, "stop"),
        "run_start": egress.run_uid,
        "time": time_s,
        "exit_status": EXIT_STATUS.get(seal["ended"], "fail"),
        "reason": reason,
        "num_events": egress.num_events(),
        "insitu": {
            "ended": seal["ended"],
            "counts": dict(seal["counts"]),
            "withheld": dict(seal["egress"].get("withheld", {})),
            "head": head,
        },
    }
