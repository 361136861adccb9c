"""Documents that point at frames: resources, and the indices in them that `stream_datum` or the older `datum` name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from insitu.readers.document_layout import Part, part_of

Document = Mapping[str, Any]
MOST = 10_000_000
"""Indices of one document; more is a mistake."""


class Pointers:
    """What was pointed at so far."""

    def __init__(self) -> None:
        self._resources: dict[str, Document] = {}
        self._datums: dict[str, Document] = {}
        self._next: dict[tuple[str, str], int] = {}

    def resource(self, document: Document) -> None:
        """A `resource` or `stream_resource`."""
        self._resources[document["uid"]] = document

    def datum(self, document: Document) -> None:
        """A `datum`."""
        self._datums[document["datum_id"]] = document

    def forget(self, run: str) -> None:
        """A run is over: nobody asks for what it pointed at any more."""
        gone = {uid for uid, document in self._resources.items() if document.get("run_start") == run}
        self._resources = {uid: d for uid, d in self._resources.items() if uid not in gone}
        self._datums = {uid: d for uid, d in self._datums.items() if d.get("resource") not in gone}
        self._next = {key: index for key, index in self._next.items() if key[0] not in gone}

    def of_datum(self, datum_id: str) -> tuple[Document, int, Part]:
        """Resource, index and layout of a datum that an event names. `ValueError`: why there is none."""
        datum = self._datums.pop(datum_id, None)
        resource = self._resources.get(str(datum.get("resource"))) if datum else None
        if datum is None or resource is None:
            raise ValueError(f"its {'datum' if datum is None else 'resource of the datum'} {datum_id!r} has not come")
        kwargs = datum.get("datum_kwargs") or {}
        index = kwargs.get("point_number", kwargs.get("index"))
        if type(index) is not int or index < 0:
            told = ", ".join(f"{key}={value!r}" for key, value in kwargs.items()) or "nothing"
            raise ValueError(f"its datum {datum_id!r} says {told}: expected point_number (or index) from 0 on")
        each = int((resource.get("resource_kwargs") or {}).get("frame_per_point") or 1)
        return resource, index, Part(each=max(1, each))

    def of_stream(self, document: Document, descriptor: Document, data: str, rank: int) -> Stretch | None:
        """What a `stream_datum` points at; None where that is the data of another key. `ValueError`: why it cannot
        be."""
        resource = self._resources.get(document["stream_resource"])
        if resource is None:
            raise ValueError(f"its stream_resource {document['stream_resource']!r} has not come, or its run is over")
        if resource["data_key"] != data:
            return None
        part = part_of(descriptor["data_keys"][data].get("shape", ()), resource.get("parameters") or {}, rank)
        start, stop = (document["indices"].get(key) for key in ("start", "stop"))
        if type(start) is not int or type(stop) is not int or not 0 <= start <= stop <= start + MOST:
            raise ValueError(f"its indices are {start!r} to {stop!r}: expected whole numbers from 0 on")
        key = (str(resource["uid"]), str(document["descriptor"]))
        missed = max(0, start - self._next.get(key, start))
        self._next[key] = max(stop, self._next.get(key, 0))
        return Stretch(resource, part, start, stop, document.get("seq_nums") or {}, missed * part.each)


class Stretch:
    """Indices of one resource. `missed`: frames between the ones before and these that no document named."""

    def __init__(
        self, resource: Document, part: Part, start: int, stop: int, seq_nums: Mapping[str, Any], missed: int
    ) -> None:
        self.resource, self.part, self.missed = resource, part, missed
        self._start, self._stop, self._first = start, stop, seq_nums.get("start")

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Each index, and the number of its event (0 where nobody says)."""
        for index in range(self._start, self._stop):
            yield index, self._first + index - self._start if type(self._first) is int and self._first > 0 else 0
