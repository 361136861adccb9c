"""Frames from a bluesky session: subscribe `feed`, or read documents that were kept in a file.

`feed(name, document)` only puts the document into a queue: it never waits and never raises, so that a scan never fails
because of us. What does not fit into the queue is counted, and the frame numbers show the gap.
"""

from __future__ import annotations

import copy
import logging
import queue
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import orjson

from insitu import units
from insitu.errors import ConfigError, FormatError, SourceError, UnitError
from insitu.readers.assemble import layout_of
from insitu.readers.device import FRAME
from insitu.readers.document_assets import Asset, NotYetError, open_asset
from insitu.readers.document_frames import Document, External, Frames, Item
from insitu.readers.static_axes import StaticAxes
from insitu.types import Arrival, Detector, Feature, Invalid

log = logging.getLogger(__name__)
LOOK_S = 0.05
OPEN_ASSETS = 8


class Documents:
    """A reader of bluesky documents.

    `path`: a file with one `[name, document]` in JSON on each line; without it, documents come by `feed`. `stream`:
    the name of the stream. `data`: the data key of an array or of an area detector's frames; with `[assemble]` of the
    detector file, a frame is a whole scan instead. `labels`: keys of the start document that become labels. `runs`:
    ends after so many runs of the RunEngine (default: when it is closed). `wait`: how long for frames that a document
    points at and that are not in their file yet. `queue`: how many documents may wait. `axes`: of an
    array, by its dims.
    """

    def __init__(
        self,
        path: str = "",
        *,
        stream: str = "primary",
        data: str = "",
        labels: tuple[str, ...] = ("sample", "plan_name", "scan_id"),
        runs: int | None = None,
        wait: Annotated[float, "s"] = 10.0,
        queue: int = 100_000,
        axes: dict[str, dict[str, Feature] | tuple[Path, str]] | None = None,
        assemble: dict[str, Any] | None = None,
        detector: Detector | None = None,
    ) -> None:
        layout = layout_of(assemble)
        if bool(data) == (layout is not None):
            raise ConfigError(
                "both a data key and [assemble] are given" if data else "nothing says which data are frames",
                where="data",
                expected="the data key of an array, or [assemble] for a scan of numbers",
            )
        if runs is not None and runs < 1:
            raise ConfigError(f"{runs} runs", where="runs", expected="1 or more")
        if queue < 1:
            raise ConfigError(f"a queue of {queue}", where="queue", expected="1 or more")
        self.path, self.runs, self.wait = str(path), runs, wait
        self.source = detector.source if detector else "det"
        self.labels = tuple(labels)
        self.dropped = 0
        """Documents that did not fit into the queue."""
        self._frames = Frames(
            source=self.source,
            stream=stream,
            data=data,
            layout=layout,
            labels=self.labels,
            dims=detector.dims if detector else (),
            unit=detector.unit if detector else "",
            axes=StaticAxes(axes, detector.dims if detector else ()),
        )
        self._queue: Any = _queue(queue)
        self._closed = False
        self._hand: list[tuple[str, Document]] = []
        self._assets: dict[str, Asset] = {}

    def feed(self, name: str, document: Document) -> None:
        """Take a document of a running session. Only enqueues; never waits, never raises."""
        if name == FRAME:
            return  # of a device of ours, large, and nothing for this reader
        try:
            self._queue.put_nowait((name, copy.copy(document)))
        except Exception:  # noqa: BLE001 - whatever it is: the scan is not to notice
            self.dropped += 1

    def waits(self) -> bool:
        """Whether data were fed that never became a frame."""
        with self._queue.mutex:
            names = {name for name, _ in (*self._hand, *self._queue.queue)}
        return bool(names & {"event", "event_page", "stream_datum"})

    def waiting(self) -> int:
        """How many documents were fed and not taken yet."""
        return self._queue.qsize()

    def left(self) -> list[tuple[str, Document]]:
        """What was fed and never became a frame, because the run had ended: for the reader of the next one."""
        found, self._hand = self._hand, []
        with suppress(queue.Empty):
            while True:
                found.append(self._queue.get_nowait())
        return found

    def close(self) -> None:
        """No more documents will come: the reader ends when those that wait have been read."""
        self._closed = True

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        try:
            yield from self._from_file() if self.path else self._live()
            for item in self._frames.end():
                yield from self._read(item)
            if self.dropped:
                log.warning("%d documents did not fit into the queue: frames are missing", self.dropped)
        finally:
            for asset in self._assets.values():
                asset.close()
            self._assets.clear()

    def _live(self) -> Iterator[Arrival | Invalid | None]:
        told = 0
        while True:
            try:
                name, document = self._queue.get(timeout=LOOK_S)
            except queue.Empty:
                if self._closed:
                    return
                yield None
                continue
            if self.dropped > told:  # events among them, as far as anybody can tell: their numbers are missing
                self._frames.number += self.dropped - told
                told = self.dropped
            self._hand = [(name, document)]  # stays there if the run ends before its frame was taken
            yield from self._document(name, document)
            self._hand = []
            if self.runs is not None and self._frames.runs >= self.runs:
                return

    def _from_file(self) -> Iterator[Arrival | Invalid | None]:
        path = Path(self.path).expanduser()
        try:
            file = path.open("rb")
        except OSError as e:
            raise SourceError(f"cannot be read: {e.strerror}", where=str(path), remedy="Check the path") from e
        with file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    name, document = orjson.loads(line)
                    document["uid" if "uid" in document else "datum_id" if "datum_id" in document else "run_start"]
                except (ValueError, TypeError, KeyError) as e:
                    reason = f"{path.name}:{number}: no [name, document] in JSON: {e}"
                    number = self._frames.nothing()
                    yield Invalid(source=self.source, reason=reason, payload=line, name=path.name, source_seq=number)
                    continue
                yield from self._document(name, document)

    def _document(self, name: str, document: Document) -> Iterator[Arrival | Invalid | None]:
        for item in self._frames(name, document):
            yield from self._read(item)

    def _read(self, item: Item) -> Iterator[Arrival | Invalid | None]:
        """An item as it is, or the frames that it points at, once they are there."""
        if not isinstance(item, External):
            yield _in_ev(item)
            return
        until, key = time.monotonic() + self.wait, str(item.resource["uid"])
        while True:
            try:
                asset = self._assets.get(key) or self._open(key, item.resource)
                array = asset.rows(item.first, item.last)
                break
            except NotYetError as e:
                why = f"its frame did not come within {self.wait:g} s: {e}"
            except (ConfigError, FormatError) as e:
                why, until = str(e), 0.0
            if time.monotonic() >= until:
                yield self._frames.invalid("stream_datum", item.resource, why, item.head.source_seq)
                return
            yield None
            time.sleep(LOOK_S)
        untimed = item.head.clock != "ioc" and not self.path
        head = replace(item.head, time_ns=time.time_ns()) if untimed else item.head
        if array.ndim == 3 and item.last - item.first == 1:
            array = array[0]
        yield from self._frames.frames(array, head)

    def _open(self, key: str, resource: Document) -> Asset:
        while len(self._assets) >= OPEN_ASSETS:
            self._assets.pop(next(iter(self._assets))).close()
        self._assets[key] = asset = open_asset(resource)
        return asset


def _queue(size: int) -> Any:
    return queue.Queue(size)


def _in_ev(item: Arrival | Invalid) -> Arrival | Invalid:
    """A scan over energy with its axis in eV, whatever unit the motor has."""
    axis = item.axes.get("energy") if isinstance(item, Arrival) else None
    if axis is None or axis.unit == "eV" or not isinstance(item, Arrival):
        return item
    try:
        factor = units.convert(1.0, axis.unit or "eV", "eV")
    except UnitError:
        return item
    values = axis.values * factor
    values.flags.writeable = False
    return replace(item, axes={**item.axes, "energy": axis._replace(values=values, unit="eV")})
