"""Frames from a bluesky session: subscribe `feed`, or read documents that were kept in a file.

`feed(name, document)` only puts the document into a queue: it never waits and never raises, so that a scan never fails
because of us. What does not fit into the queue is counted, and the frame numbers show the gap.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import orjson

from insitu import units
from insitu.errors import ConfigError, FormatError, SourceError, UnitError
from insitu.readers.assemble import layout_of
from insitu.readers.document_assets import Asset, NotYetError
from insitu.readers.document_feed import FRAME, LOOK_S, Feed
from insitu.readers.document_frames import Document, External, Frames, Item
from insitu.readers.document_opening import open_asset
from insitu.readers.static_axes import StaticAxes
from insitu.types import Arrival, Detector, Feature, Invalid

log = logging.getLogger(__name__)
OPEN_ASSETS = 8
FUTURE_S, PAST_S = 5.0, 86400.0
"""An event whose time is further from ours than so says so in its label; those of a fly scan come long after."""


class Documents(Feed):
    """A reader of bluesky documents.

    `path`: a file with one `[name, document]` in JSON on each line; without it, documents come by `feed`. `stream`:
    the name of the stream. `data`: the data key of an array or of an area detector's frames; with `[assemble]` of the
    detector file, a frame is a whole scan instead. `labels`: keys of the start document that become labels. `runs`:
    ends after so many runs of the RunEngine (default: when it is closed). `wait`: how long for frames that a document
    points at and that are not in their file yet. `queue`: how many documents may wait. `axes`: of an
    array, by its dims.
    """

    data = frozenset({"event", "event_page", "stream_datum"})

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
        super().__init__(queue)
        self.path, self.runs, self.wait = str(path), runs, wait
        self.source = detector.source if detector else "det"
        self.labels = tuple(labels)
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
        self._told = 0  # of those that were dropped
        self._assets: dict[str, Asset] = {}
        self._given_up: set[str] = set()

    def wants(self, name: str, document: Document) -> bool:
        """All but the frames of a device of ours, which are large and nothing for this reader."""
        return name != FRAME

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        try:
            yield from self._from_file() if self.path else self.live()
            for item in self._frames.end():
                yield from self._read(item)
            if self.dropped:
                log.warning("%d documents did not fit into the queue: frames are missing", self.dropped)
        finally:
            for asset in self._assets.values():
                asset.close()
            self._assets.clear()

    def over(self) -> bool:
        """Whether all runs that were asked for have ended."""
        return self.runs is not None and self._frames.runs >= self.runs

    def given(self, name: str, document: Document) -> Iterator[Arrival | Invalid | None]:
        """What a document gives; behind those that were dropped."""
        if self.dropped > self._told:  # events among them, as far as anybody can tell: their numbers are missing
            self._frames.number += self.dropped - self._told
            self._told = self.dropped
        yield from self._document(name, document)

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
        """An item as it is, or the frames that it points at, once they are there. Where one was given up, those behind
        it in the same resource are looked for once: nothing waits for a writer that is dead."""
        if not isinstance(item, External):
            yield _in_ev(self._timed(item))
            return
        key = str(item.resource["uid"])
        until = 0.0 if key in self._given_up else time.monotonic() + self.wait
        while True:
            try:
                asset = self._assets.get(key) or self._open(key, item.resource)
                parts = asset.frames(item.at, item.part)
                break
            except NotYetError as e:
                told = (
                    "did not come, as one before it"
                    if key in self._given_up
                    else f"did not come within {self.wait:g} s"
                )
                why = f"its frame {told}: {e}"
            except (ConfigError, FormatError) as e:
                why, until = str(e), 0.0
            except Exception as e:  # noqa: BLE001 - whatever the writer has left there: it is told, and the next is read
                why, until = f"its frame cannot be read: {type(e).__name__}: {e}", 0.0
            if time.monotonic() >= until:
                self._given_up.add(key)
                yield self._frames.invalid("stream_datum", item.resource, why, item.head.source_seq)
                return
            yield None
            time.sleep(LOOK_S)
        self._given_up.discard(key)
        for frame in self._frames.frames(parts, item.head):
            yield self._timed(frame)

    def _timed(self, item: Arrival | Invalid) -> Arrival | Invalid:
        """With our time where its document has none; with a word where its time cannot be."""
        if self.path or not isinstance(item, Arrival):
            return item
        now = time.time_ns()
        if item.clock != "ioc":
            return replace(item, time_ns=now)
        off = (item.time_ns - now) / 1e9
        if -PAST_S <= off <= FUTURE_S:
            return item
        warning = f"the document's time is {abs(off):.3g} s in the {'future' if off > 0 else 'past'}"
        return replace(item, clock_sigma_ns=abs(item.time_ns - now), labels={**item.labels, "clock_warning": warning})

    def _open(self, key: str, resource: Document) -> Asset:
        while len(self._assets) >= OPEN_ASSETS:
            self._assets.pop(next(iter(self._assets))).close()
        self._assets[key] = asset = open_asset(resource)
        return asset


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
