"""A run folder, read only: live, crashed or sealed. Reads its own chunks, checks every checksum."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import numpy as np
import orjson

from insitu.errors import NotFoundError, StorageError
from insitu.store.canonical import feature_from
from insitu.store.codec import DAMAGED
from insitu.store.frames import ArraySpec
from insitu.store.growing import Growing
from insitu.store.ledger import EVERYTHING, Entry, PlaceRow, Places, RawEntry, broken, connect, entries, raw_entries
from insitu.store.segments import array_spec, read_axis
from insitu.store.shards import Shards
from insitu.store.tally import Tally
from insitu.types import Axis, Frame

Wanted = Callable[[int, str, str], bool]  # of n, source and role


class StoredRun:
    """A read-only view of a run folder; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not (self.path / "ledger.db").is_file():
            raise NotFoundError("this is no run folder: it has no ledger.db", where=str(path))
        self._db = connect(self.path / "ledger.db")
        self._segments: dict[tuple[str, int], dict[str, Any]] = {}
        self._specs: dict[tuple[str, int, str], ArraySpec] = {}
        self._axes: dict[tuple[str, int], dict[str, Axis]] = {}
        self._shards = Shards(self.chunk_path)
        self._until = EVERYTHING
        body = self.open_body()
        self.uid: str = body["uid"]

    def __enter__(self) -> "StoredRun":
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()
        self._shards.close()

    def _one(self, kind: str, order: str = "ASC") -> dict[str, Any] | None:
        try:
            sql = f"SELECT body FROM log WHERE kind = ? ORDER BY id {order} LIMIT 1"
            row = self._db.execute(sql, (kind,)).fetchone()
        except sqlite3.Error as e:
            raise broken(e, self.path / "ledger.db", "read") from e
        return None if row is None else orjson.loads(row[0])

    def open_body(self) -> dict[str, Any]:
        """The first entry: uid, format, digests, mode, operator, ..."""
        body = self._one("open")
        if body is None:
            raise StorageError(
                "the ledger is empty: this run was killed before anything was acknowledged",
                where=str(self.path),
                remedy="There is nothing to recover; the folder may be deleted",
            )
        return body

    def seal_body(self) -> dict[str, Any] | None:
        """How it ended and the counts; None while it is open (or was killed)."""
        return self._one("seal", "DESC")

    @property
    def sealed(self) -> bool:
        return (self.path / "seal.json").exists()

    def head(self) -> str:
        """The hash of the last entry, hex."""
        return bytes(self._db.execute("SELECT hash FROM log ORDER BY id DESC LIMIT 1").fetchone()[0]).hex()

    def stand_still(self) -> None:
        """See the log from now on as it is now, although the run goes on."""
        self._until = self._db.execute("SELECT max(id) FROM log").fetchone()[0]

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Entries of the log in order, all kinds if none is named."""
        return entries(self._db, kinds, self._until)

    def raw_entries(self, *kinds: str) -> Iterator[RawEntry]:
        """Entries of the log in order, as stored."""
        return raw_entries(self._db, kinds, until=self._until)

    def tally(self) -> Tally:
        """The counts, folded from the log."""
        tally = Tally()
        for e in self.entries(
            "open", "frame", "invalid", "dropped", "gap", "duplicate", "late", "record", "shed", "skipped"
        ):
            tally.add(e.kind, e.body)
        return tally

    def counts(self) -> dict[str, Any]:
        """frames, analysis, decisions and sources, as the seal has them or counted now."""
        seal = self.seal_body()
        return seal["counts"] if seal else self.tally().as_dict()

    def records(self, source: str | None = None) -> Iterator[dict[str, Any]]:
        """Record bodies in order of `n`."""
        for e in self.entries("record"):
            if source is None or e.body["source"] == source:
                yield e.body

    def record_bytes(self) -> Iterator[tuple[int, bytes]]:
        """(n, canonical bytes) of every record, in order of `n`."""
        for e in self.raw_entries("record"):
            yield cast(int, e.n), e.body

    def record(self, n: int) -> dict[str, Any] | None:
        """The record about frame `n`, if there is one."""
        row = self._db.execute("SELECT body FROM log WHERE kind = 'record' AND n = ? ORDER BY id DESC", (n,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def timing(self, n: int) -> dict[str, Any] | None:
        """When things happened to frame `n` (not hashed), if known."""
        row = self._db.execute("SELECT body FROM timing WHERE n = ?", (n,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def timings(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """(n, timing) in order of `n`."""
        for n, body in self._db.execute("SELECT n, body FROM timing ORDER BY n"):
            yield n, orjson.loads(body)

    def sources(self) -> list[str]:
        """Names of the sources that have frames or were declared."""
        declared = self.open_body().get("sources", [])
        return sorted({*declared, *(e.body["source"] for e in self.entries("segment"))})

    def n_of(self, source: str, seq: int) -> int:
        """The arrival number of a stored frame."""
        row = self._db.execute("SELECT n FROM place WHERE source = ? AND seq = ?", (source, seq)).fetchone()
        if row is None:
            raise NotFoundError(
                f"no frame {seq} of source {source!r} is stored in this run",
                where=str(self.path),
                expected=f"a stored frame of {', '.join(self.sources()) or 'a source'}",
            )
        return row[0]

    def frame(self, source: str, seq: int) -> Frame:
        """One frame as it arrived."""
        return self.frame_n(self.n_of(source, seq))

    def frame_n(self, n: int) -> Frame:
        """The frame with arrival number `n`."""
        row = self._db.execute("SELECT body FROM log WHERE kind = 'frame' AND n = ?", (n,)).fetchone()
        if row is None:
            found = next((f for f in self.frames(growing=True) if f.n == n), None)
            if found is None:
                raise NotFoundError(f"no frame n = {n} is stored in this run", where=str(self.path))
            return found
        return self._frame(n, orjson.loads(row[0]), self.places(n))

    def frames(
        self, source: str | None = None, *, after: int = -1, growing: bool = False, wanted: Wanted | None = None
    ) -> Iterator[Frame]:
        """Frames in order of `n`, of one source or all, those `wanted`; `growing`: with the provisional ones."""
        scans, places = Growing(), Places(self._db)
        for e in self.entries("frame", *(["provisional"] if growing else [])):
            if source not in (None, e.body["source"]):
                continue
            n = cast(int, e.n)
            provisional = scans.add(n, e.body) if e.kind == "provisional" else None
            if n > after and (wanted is None or wanted(n, e.body["source"], e.body["role"])):
                yield provisional or self._frame(n, e.body, places.of(n))

    def unfinished(self) -> list[Frame]:
        """Scans of which points came, and whose frame never did: the process was killed before their end."""
        scans = Growing()
        for e in self.entries("frame", "provisional"):
            if e.kind == "provisional":
                scans.add(cast(int, e.n), e.body)
            else:
                scans.ended(e.body["source"], e.body["seq"])
        return list(scans.open())

    def places(self, n: int) -> list[PlaceRow]:
        """Where the arrays of frame `n` lie."""
        return [PlaceRow(*row) for row in self._db.execute("SELECT * FROM place WHERE n = ?", (n,))]

    @property
    def connection(self) -> sqlite3.Connection:
        """The read-only connection to the ledger."""
        return self._db

    def query(self, sql: str, parameters: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """Rows of a read-only query on the ledger."""
        yield from self._db.execute(sql, parameters).fetchall()

    def segment_folder(self, source: str, segment: int) -> Path:
        return self.path / "raw.zarr" / source / str(segment)

    def chunk_path(self, p: PlaceRow) -> Path:
        """The shard file that a place is in."""
        return self._spec(p).shard_file(self.segment_folder(p.source, p.segment) / p.array, p.shard)

    def read(self, p: PlaceRow) -> np.ndarray:
        """One array of one frame, read-only and aligned. Raises `StorageError` naming file and frame."""
        return self._shards.read(p, self._spec(p))

    def segment(self, source: str, segment: int) -> dict[str, Any]:
        """The ledger entry of a segment."""
        key = (source, segment)
        if key not in self._segments:
            for e in self.entries("segment"):
                self._segments[e.body["source"], e.body["segment"]] = e.body
        if key not in self._segments:
            raise StorageError(f"the ledger names no segment {source}/{segment}", where=str(self.path), remedy=DAMAGED)
        return self._segments[key]

    def axes(self, source: str, segment: int) -> dict[str, Axis]:
        """Static axes of a segment; digests are checked once."""
        key = (source, segment)
        if key not in self._axes:
            folder, body = self.segment_folder(source, segment), self.segment(source, segment)
            self._axes[key] = {name: read_axis(folder, name, a) for name, a in body["axes"].items()}
        return self._axes[key]

    def _spec(self, p: PlaceRow) -> ArraySpec:
        key = (p.source, p.segment, p.array)
        spec = self._specs.get(key)
        if spec is None:
            spec = self._specs[key] = array_spec(self.segment(p.source, p.segment), p.array)
        return spec

    def _frame(self, n: int, body: dict[str, Any], places: list[PlaceRow]) -> Frame:
        rows = {p.array: p for p in places}
        if "frames" not in rows:
            raise StorageError(f"the ledger names no place for frame n = {n}", where=str(self.path), remedy=DAMAGED)
        p = rows["frames"]
        segment = self.segment(p.source, p.segment)
        arrays = {name: self.read(row) for name, row in rows.items()}
        axes = dict(self.axes(p.source, p.segment))
        for name, described in segment["arrays"].items():
            if name not in ("frames", "sigma", "mask"):
                axes[name] = Axis(arrays[name], described["unit"])
        unit = segment["unit"]
        return Frame(
            source=p.source,
            seq=p.seq,
            n=n,
            data=arrays["frames"],
            dims=tuple(segment["dims"]),
            unit=tuple(unit) if isinstance(unit, list) else unit,
            time_ns=body["time_ns"],
            duration_ns=body["duration_ns"],
            clock=body["clock"],
            clock_sigma_ns=body["clock_sigma_ns"],
            source_seq=body["source_seq"],
            sigma=arrays.get("sigma"),
            mask=arrays.get("mask"),
            axes=axes,
            context={k: feature_from(f) for k, f in body.get("context", {}).items()},
            labels=body.get("labels", {}),
            role=body["role"],
            source_run_uid=body.get("source_run_uid", ""),
            complete=body.get("complete", True),
        )


def is_run(path: Path) -> bool:
    """Whether a folder holds a run that has begun."""
    if not (path / "ledger.db").is_file():
        return False
    with closing(connect(path / "ledger.db")) as db:
        if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'log'").fetchone()[0]:
            return False
        return db.execute("SELECT count(*) FROM log WHERE kind = 'open'").fetchone()[0] == 1
