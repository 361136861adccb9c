"""Bluesky documents to frames, without sockets, files or clock.

A frame is an array of an event, a row of what a `stream_datum` (or the older `datum`) points at, or a scan that is
assembled from the numbers of its events. `source_seq` counts frames (or scans) as they came: `seq_num` of the documents
may repeat after a suspension. Numbers of the same event, and the newest ones of other streams, become the context.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import orjson

from insitu.readers.assemble import Assembler, Layout, Point
from insitu.readers.document_arrays import Arrays, array_of
from insitu.readers.document_external import Pointers
from insitu.readers.document_items import Document, External, Item, Stream
from insitu.readers.document_layout import burst
from insitu.readers.document_values import labels_of, nanoseconds, numbers, unit_of
from insitu.readers.static_axes import StaticAxes
from insitu.types import Arrival, Feature, Invalid

log = logging.getLogger(__name__)
NO_FRAME = np.empty(0)
MISSED = "insitu_missed"
"""No document of bluesky: tells of events that did not come, {"frames": {descriptor: how many}}."""


class Frames:
    """The frames of one source. `data`: the data key of an array; `layout`: of a scan that is assembled (one of both).
    `labels`: keys of the start document. `dims`, `unit`, `axes`: of the array, where the detector file says and the
    documents do not."""

    def __init__(
        self,
        *,
        source: str,
        stream: str,
        data: str,
        layout: Layout | None,
        labels: tuple[str, ...],
        dims: tuple[str, ...],
        unit: str,
        axes: StaticAxes,
    ) -> None:
        self.unit, self._arrays = unit, Arrays(dims, axes)
        self._foreign: set[str] = set()
        self.source, self.stream, self.data, self.labels = source, stream, data, labels
        self._scan = Assembler(layout, source) if layout else None
        self._starts: dict[str, Document] = {}
        self._streams: dict[str, Stream] = {}
        self._pointers = Pointers()
        self._other: dict[str, Feature] = {}
        self.number = 0
        self.runs = 0
        self._take: dict[str, Callable[[Document], Iterator[Item]]] = {
            "start": self._start, "descriptor": self._descriptor, "event": self._event, "event_page": self._event_page,
            "stream_resource": self._resource, "resource": self._resource, "stream_datum": self._stream_datum,
            "datum": self._datum, "datum_page": self._datum_page, "stop": self._stop, MISSED: self._missed,
        }  # fmt: skip

    def __call__(self, name: str, document: Document) -> Iterator[Item]:
        """What one document gives. An `Invalid` for one that cannot be; never an exception."""
        take = self._take.get(name)
        if take is None:
            return
        try:
            yield from take(document)
        except KeyError as e:
            yield self.invalid(name, document, f"it has no {e}")
        except ValueError as e:
            yield self.invalid(name, document, str(e))
        except Exception as e:  # noqa: BLE001 - documents come from outside: whatever is wrong with one is told
            yield self.invalid(name, document, f"{type(e).__name__}: {e}")

    def end(self) -> Iterator[Item]:
        """No more documents come: what is left."""
        for stream in self._streams.values():
            yield from stream.waiting
            stream.waiting.clear()
        yield from self._scanned(complete=False)

    def nothing(self) -> int:
        """The number of something that is no frame: the frames after it have other numbers."""
        if self._scan is not None:
            return self._scan.skip()
        self.number += 1
        return self.number - 1

    def invalid(self, name: str, document: Document, why: str, number: int | None = None) -> Invalid:
        """A document that gives no frame, as bytes, and why. `number`: where one had been taken for it."""
        uid = str(document.get("uid", document.get("datum_id", ""))) if isinstance(document, Mapping) else ""
        payload = orjson.dumps(
            [name, document], default=repr, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
        )
        number = self.nothing() if number is None else number
        reason = f"{name} {uid}: {why}"
        return Invalid(source=self.source, reason=reason, payload=payload, name=name, source_seq=number)

    def _start(self, document: Document) -> Iterator[Item]:
        self._starts[document["uid"]] = document
        yield from ()

    def _descriptor(self, document: Document) -> Iterator[Item]:
        start = self._starts.get(document["run_start"])
        if start is None:
            why = f"its start document {document['run_start']!r} has not come, or its run is over"
            yield self.invalid("descriptor", document, why)
            return
        wanted = [self.data] if self._scan is None else [self._scan.layout.axis, *self._scan.layout.channels]
        missing = [key for key in wanted if key not in document["data_keys"]]
        mine = document.get("name", "primary") == self.stream
        self._streams[document["uid"]] = Stream(document, start, ours=mine and not missing)
        if mine and missing:
            self._tell(missing[0], ", ".join(sorted(document["data_keys"])) or "none")

    def _tell(self, missing: str, there: str) -> None:
        """A plan that does not use this detector is no fault; a data key that is misspelt is. Said once."""
        if there not in self._foreign:
            self._foreign.add(there)
            what = f"a plan whose stream {self.stream} has no data key {missing!r} gives no frames of {self.source}"
            log.warning("%s: there are %s", what, there)

    def _event_page(self, document: Document) -> Iterator[Item]:
        import event_model

        many = len(document["seq_num"])
        for part in ("data", "timestamps"):
            for key, column in document[part].items():
                if len(column) != many:  # they would be cut to the shortest without a word
                    why = f"{part} {key!r} has {len(column)} values, and there are {many} events"
                    yield self.invalid("event_page", document, why)
                    self.number += max(0, many - 1)
                    return
        page: Any = document
        for event in event_model.unpack_event_page(page):
            yield from self("event", event)

    def _event(self, event: Document) -> Iterator[Item]:
        stream = self._streams.get(event["descriptor"])
        if stream is None:
            yield self.invalid(
                "event", event, f"its descriptor {event['descriptor']!r} has not come, or its run is over"
            )
            return
        if not stream.ours:
            self._other |= numbers(event, stream.keys)
            return
        if self._scan is not None:
            yield from self._point(event, stream)
        elif self.data in event["data"]:
            yield from self._array(event, stream)
        else:
            yield from self._with_event(event, stream)

    def _point(self, event: Document, stream: Stream) -> Iterator[Item]:
        scan = self._scan
        assert scan is not None
        layout, data = scan.layout, event["data"]
        missing = [key for key in (layout.axis, *layout.channels) if key not in data]
        if missing:
            yield self.invalid("event", event, f"it has no value of {missing[0]!r}")
            return
        if stream.start["uid"] != self._scanned_run:
            self._scanned_run = stream.start["uid"]
            units = [unit_of(stream.keys[key]) for key in layout.channels]
            left = scan.begin(self._head(event, stream), unit_of(stream.keys[layout.axis]), units)
            if left is not None:
                yield left
        values = tuple(float(data[key]) for key in layout.channels)
        mine = {layout.axis, *layout.channels}
        context = {**self._other, **numbers(event, stream.keys, without=mine)}
        time_ns = self._time(event, stream, layout.channels[0])[0]
        provisional = scan.add(Point(at=float(data[layout.axis]), values=values, time_ns=time_ns, context=context))
        if provisional is not None:
            yield provisional

    _scanned_run = ""

    def _scanned(self, *, complete: bool) -> Iterator[Item]:
        if self._scan is not None and self._scanned_run:
            self._scanned_run = ""
            frame = self._scan.end(complete=complete)
            if frame is not None:
                yield frame

    def _array(self, event: Document, stream: Stream) -> Iterator[Item]:
        value, head = event["data"][self.data], self._head(event, stream)
        if isinstance(value, str):
            resource, index, part = self._pointers.of_datum(value)
            yield External(resource, index, part, self._numbered(head, part.each))
            return
        parts = self._arrays.parts(array_of(value, stream.keys[self.data].get("dtype_numpy")))
        yield from self.frames(parts, self._numbered(head, len(parts)))

    def frames(self, parts: np.ndarray, head: Arrival) -> Iterator[Arrival | Invalid]:
        """The frames `(frames, ...)` of one event. `head` has the number of the first."""
        for frame, why in self._arrays(parts, head):
            document = {"shape": list(frame.data.shape)}
            yield self.invalid("event", document, why, frame.source_seq) if why else frame

    def _numbered(self, head: Arrival, frames: int) -> Arrival:
        head = replace(head, source_seq=self.number)
        self.number += frames
        return head

    def _head(self, event: Document, stream: Stream) -> Arrival:
        """All of a frame but its data."""
        key = stream.keys.get(self.data, {})
        time_ns, given = self._time(event, stream, self.data)
        labels = {} if given else {"clock_warning": f"the document's time is {event.get('time')!r}: this is another"}
        return Arrival(
            source=self.source,
            data=NO_FRAME,
            dims=("x",),
            unit=unit_of(key) or self.unit,
            time_ns=time_ns,
            clock="ioc" if given else "arrival",
            context={**self._other, **numbers(event, stream.keys, without={self.data})},
            labels={**labels_of(stream.start, self.labels), **labels},
            source_run_uid=str(stream.start["uid"]),
        )

    def _time(self, event: Document, stream: Stream, key: str) -> tuple[int, bool]:
        """When it was, and whether the event says so; else, when the stream began."""
        for told in (event.get("timestamps", {}).get(key), event.get("time")):
            if (time_ns := nanoseconds(told)) is not None:
                return time_ns, True
        return nanoseconds(stream.descriptor.get("time")) or nanoseconds(stream.start.get("time")) or 0, False

    def _resource(self, document: Document) -> Iterator[Item]:
        self._pointers.resource(document)
        yield from ()

    def _datum_page(self, document: Document) -> Iterator[Item]:
        import event_model

        page: Any = document
        for datum in event_model.unpack_datum_page(page):
            self._pointers.datum(datum)
        yield from ()

    def _datum(self, document: Document) -> Iterator[Item]:
        self._pointers.datum(document)
        yield from ()

    def _stream_datum(self, document: Document) -> Iterator[Item]:
        stream = self._streams.get(document["descriptor"])
        if stream is None:
            raise ValueError(f"its descriptor {document['descriptor']!r} has not come, or its run is over")
        stretch = self._pointers.of_stream(document, stream.descriptor, self.data, self._arrays.rank)
        if stretch is None or not stream.ours:
            return
        self.number += stretch.missed
        nothing = {"time": stream.descriptor.get("time"), "timestamps": {}, "data": {}}
        timed = any(not str(key.get("external", "")) for key in stream.keys.values())
        head = replace(self._head(nothing, stream), clock="arrival")
        for index, seq_num in stretch:
            mine = self._numbered(head, stretch.part.each)
            item = External(stretch.resource, index, stretch.part, mine, seq_num)
            if timed:
                stream.waiting.append(item)
            else:
                yield item

    def _with_event(self, event: Document, stream: Stream) -> Iterator[Item]:
        """The event of a row that was pointed at: its time and its numbers are the frame's. Rows that were late for
        their own event have none."""
        late, mine = stream.until(int(event.get("seq_num", 0)))
        yield from late
        if mine is not None:
            yield mine._replace(head=replace(self._head(event, stream), source_seq=mine.head.source_seq))

    def _missed(self, document: Document) -> Iterator[Item]:
        """The numbers of frames that did not come are left out."""
        for uid, events in document["frames"].items():
            stream = self._streams.get(uid)
            if self._scan is None and stream is not None and stream.ours:
                self.number += events * burst(stream.keys.get(self.data, {}).get("shape", ()), self._arrays.rank)
        yield from ()

    def _stop(self, document: Document) -> Iterator[Item]:
        uid = document["run_start"]
        if self._starts.pop(uid, None) is None:
            yield self.invalid("stop", document, f"its start document {uid!r} has not come, or its run is over")
            return
        for key in [key for key, s in self._streams.items() if s.start["uid"] == uid]:
            yield from self._streams.pop(key).waiting
        self._pointers.forget(uid)
        if self._scanned_run == uid:
            yield from self._scanned(complete=document.get("exit_status") == "success")
        self.runs += 1
