"""The writer of a run folder: frames, entries and records in; one commit out. No threads of its own.

Order of a commit: append, fdatasync of each touched shard, then one COMMIT of the ledger. Only after it returns is a
frame acknowledged. An error leaves the writer unusable: nothing is retried on a file whose sync failed.
"""

import io
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from insitu.store.canonical import canonical, digest_bytes, frame_body
from insitu.store.columns import STATES
from insitu.store.derived import Derived
from insitu.store.files import Disk
from insitu.store.growing import growing_body
from insitu.store.ledger import Ledger, PlaceRow, add_body
from insitu.store.outbox import Offer, Outbox, spool
from insitu.store.segments import Encoded, Segment, Segmenter, SourceSpec, encode_frame, group_metadata
from insitu.store.tally import Tally
from insitu.types import ArrayFeature, Arrival, Frame

PUBLISH_EVERY_S = 1.0
REFILLED = Segmenter.REMEMBERED
"""Segments back to which a late frame may still go."""


class Pending(NamedTuple):
    """A record (or shed entry) that waits for its frame to be durable. `raw_bytes`: size of the frame's data."""

    n: int
    kind: str
    body: Mapping[str, Any]
    packed: bytes
    timing: bytes
    arrays: Mapping[str, ArrayFeature] = {}
    raw_bytes: int = 0


class _Source:
    """Segments of one source, and its next free row."""

    def __init__(self, folder: Path, spec: SourceSpec) -> None:
        self.folder, self.spec = folder, spec
        self.segments: list[Segment] = []
        self.rows = 0  # over all segments
        self.unplaced: list[tuple[int, int]] = []  # (seq, state) of rows before the first segment
        self.quarantined = 0

    def covering(self, seq: int) -> Segment | None:
        """The segment that the row belongs to."""
        return next((s for s in reversed(self.segments) if seq >= s.first_seq), None)


class RunWriter:
    """Everything that is written into a run folder while it is open."""

    def __init__(
        self,
        folder: Path,
        open_body: Mapping[str, Any],
        sources: Mapping[str, SourceSpec],
        disk: Disk | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.outbox = outbox
        self.folder, self.disk = folder, disk or Disk()
        self.tally = Tally()
        self.counted = self.tally.as_dict()
        self.raw_bytes = 0
        raw = folder / "raw.zarr"
        self.disk.make_folders(raw)
        self._sources = {name: _Source(raw / name, spec) for name, spec in sources.items()}
        self._attributes = {"run_uid": open_body["uid"], "insitu_format": open_body["format"]}
        self._attributes |= {"simulated": True} if open_body.get("simulated") else {}
        self.disk.write_file(raw / "zarr.json", group_metadata(self._attributes))
        for name, source in self._sources.items():
            self.disk.make_folders(source.folder)
            self.disk.write_file(source.folder / "zarr.json", group_metadata({"source": name}))
        self.notes: list[str] = []
        self.derived = Derived(folder / "derived.zarr", self.disk, self.notes.append, self._attributes)
        self.ledger = Ledger(folder / "ledger.db", self.disk)
        self._frames: list[int] = []
        self._uncounted: list[tuple[str, Mapping[str, Any]]] = []
        self._records: deque[Pending] = deque()
        self._touched: set[Segment] = set()
        self._durable = sys.maxsize if open_body.get("derived_from") else -1  # a derived run has no frames of its own
        self._published_at = time.monotonic()
        self.entry("open", None, open_body)
        if outbox is not None:
            self._offer(outbox.start())
        self.commit()

    def encode(self, frame: Arrival) -> Encoded:
        """Digest and compress: pure, any thread, before `add_frame`."""
        return encode_frame(frame, self._sources[frame.source].spec)

    def encode_many(self, frames: Sequence[Arrival]) -> list[Encoded]:
        """`encode` of several small frames, in order."""
        return [self.encode(f) for f in frames]

    def entry(self, kind: str, n: int | None, body: Mapping[str, Any]) -> None:
        """Any entry of the log that has no bytes of its own."""
        add_body(self.ledger, kind, n, dict(body))
        self._uncounted.append((kind, body))

    def add_frame(self, frame: Frame, encoded: Encoded, segment: int, *, refill: bool = False) -> None:
        """Append a frame to the segment that `Segmenter` named (one more than the last: it is opened)."""
        source = self._sources[frame.source]
        at = source.segments[segment] if segment < len(source.segments) else self._open_segment(source, frame)
        body = frame_body(frame, {name: digest for name, (digest, _) in encoded.items()}, refill=refill)
        for name, (_, chunk) in encoded.items():
            p = at.arrays[name].append(frame.seq - at.first_seq, chunk)
            self.ledger.place(PlaceRow(frame.n, name, frame.source, segment, frame.seq, p.shard, p.offset, p.nbytes))
            self.raw_bytes += p.nbytes
        at.put(frame)
        self._touched.add(at)
        source.rows = max(source.rows, frame.seq + 1)
        self._frames.append(frame.n)
        self.entry("frame", frame.n, body)

    def add_growing(self, frame: Frame, since: int) -> None:
        """The points of a scan that goes on, those from `since` on new: into the log, no row is taken."""
        self._frames.append(frame.n)
        self.entry("provisional", frame.n, growing_body(frame, since))

    def add_gap(self, source: str, first: int, count: int) -> None:
        """Rows that the instrument numbered and that did not come (yet)."""
        self._reserve(self._sources[source], first + count)
        self.entry("gap", None, {"source": source, "first": first, "count": count})

    def add_unstored(
        self,
        kind: str,
        source: str,
        seq: int,
        source_seq: int | None,
        reason: str,
        payload: bytes,
        refill: bool,
        name: str,
    ) -> None:
        """An arrival that has a row but no frame: `invalid` (its bytes are quarantined) or `dropped`."""
        src = self._sources[source]
        body: dict[str, Any] = {"source": source, "seq": seq, "source_seq": source_seq, "reason": reason}
        body |= {"name": name} if name else {}
        body |= {"refill": True} if refill else {}
        if kind == "invalid":
            body["quarantine"] = self._quarantine(source, str(seq), payload)
        self._reserve(src, seq + 1)
        segment = src.covering(seq)
        state = STATES.index(kind)
        if segment is None:
            src.unplaced.append((seq, state))
        else:
            segment.mark(seq, state)
        self.entry(kind, None, body)

    def add_quarantined(self, kind: str, arrival: Arrival, reason: str, payload: bytes | None = None) -> None:
        """An arrival that has no row of its own: `late` or `duplicate`. Its data is kept beside the run."""
        source = self._sources[arrival.source]
        source.quarantined += 1
        if payload is None:
            buffer = io.BytesIO()
            np.save(buffer, arrival.data, allow_pickle=False)
            payload = buffer.getvalue()
        body: dict[str, Any] = {
            "source": arrival.source,
            "source_seq": arrival.source_seq,
            "time_ns": arrival.time_ns,
            "reason": reason,
            "quarantine": self._quarantine(arrival.source, f"{kind}-{source.quarantined}", payload),
        }
        self.entry(kind, None, body)

    def add_record(self, pending: Pending) -> None:
        """A record or shed entry, in order of `n`; committed with or after its frame."""
        self._records.append(pending)

    def commit(self) -> tuple[list[int], list[int]]:
        """Make the group durable. Returns `n` of the frames and of the records that were acknowledged by it."""
        touched, self._touched = self._touched, set()
        for segment in touched:
            segment.sync()
        if self._frames:
            self._durable = max(self._durable, self._frames[-1])
        spoken: list[int] = []
        while self._records and self._records[0].n <= self._durable:
            p = self._records.popleft()
            self.ledger.add(p.kind, p.n, p.packed)
            self._uncounted.append((p.kind, p.body))
            if p.timing:
                self.ledger.timing(p.n, p.timing)
            growing = p.body.get("provisional", False)
            if self.outbox is not None and p.kind == "record" and not growing:
                self._offer(self.outbox.record(p.body, p.arrays, p.raw_bytes))
            if p.arrays and not growing:
                self.derived.add(p.body["source"], p.body["seq"], p.arrays)
            spoken.append(p.n)
        self.ledger.commit()
        for segment in touched:
            if segment.prompt:
                segment.publish(segment.rows)
        for kind, body in self._uncounted:  # only what is on disk counts
            self.tally.add(kind, body)
        self._uncounted.clear()
        self.counted = self.tally.as_dict()  # whole and balanced, for other threads to look at
        stored, self._frames = self._frames, []
        if time.monotonic() - self._published_at >= PUBLISH_EVERY_S:
            self._published_at = time.monotonic()
            self.publish()
        return stored, spoken

    def seal(self, body: Mapping[str, Any], time_s: float) -> None:
        """The last entry, with the account of what leaves, and the stop document that names its hash: one commit.
        `time_s`: when the run ended."""
        if self.outbox is None:
            self.entry("seal", None, body)
        else:
            manifest = self.outbox.manifest()
            full = {**body, "egress": {**manifest, "spool": spool(manifest, self.folder)}}
            self.entry("seal", None, full)
            self._offer([self.outbox.stop(full, self.ledger.head.hex(), time_s)])
        self.ledger.commit()

    def _offer(self, offers: Iterable[Offer]) -> None:
        for offer in offers:
            self.ledger.offer(*offer)

    @property
    def pending_records(self) -> int:
        return len(self._records)

    def publish(self, *, durable: bool = False) -> None:
        """Bring the views of all arrays up to date."""
        self.derived.publish()
        for source in self._sources.values():
            for i, segment in enumerate(source.segments):
                if durable:
                    segment.rest(self._rows(source, i))
                elif i >= len(source.segments) - 2:
                    segment.publish(self._rows(source, i))

    def close(self) -> None:
        """Publish for good; the ledger stays open for the seal."""
        self.publish(durable=True)
        self.derived.close()
        self.abandon()

    def abandon(self) -> None:
        """Close the array files as they are."""
        for source in self._sources.values():
            for segment in source.segments:
                segment.abandon()

    def give_up(self) -> None:
        """After an error: close everything as it is; recovery does the rest."""
        self.abandon()
        self.ledger.close()

    def _rows(self, source: _Source, i: int) -> int:
        end = source.segments[i + 1].first_seq if i + 1 < len(source.segments) else source.rows
        return end - source.segments[i].first_seq

    def _open_segment(self, source: _Source, frame: Frame) -> Segment:
        index = len(source.segments)
        first_seq = frame.seq if index else 0
        if index:
            source.segments[-1].publish(frame.seq - source.segments[-1].first_seq)
        for i in range(max(0, index - REFILLED), index - 1):  # the last one may still get frames that come late
            source.segments[i].rest(self._rows(source, i))
        segment = Segment(source.folder / str(index), index, first_seq, frame, source.spec, self.disk)
        source.segments.append(segment)
        self.disk.sync_folder(source.folder)
        for seq, state in source.unplaced:
            segment.mark(seq, state)
        source.unplaced.clear()
        self.entry("segment", None, segment.body)
        if self.outbox is not None:
            self.outbox.segment(segment.body)
        return segment

    def _reserve(self, source: _Source, rows: int) -> None:
        source.rows = max(source.rows, rows)

    def _quarantine(self, source: str, name: str, payload: bytes) -> str:
        folder = self.folder / "quarantine" / source
        self.disk.make_folders(folder)
        self.disk.write_file(folder / name, payload)
        return digest_bytes(payload)


def pack(body: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a record's body."""
    return canonical(body)
