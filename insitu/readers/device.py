"""Frames that a device of ours takes inside a bluesky session (`insitu.bluesky.InsituDetector`).

They come by the session's feed beside the documents of the RunEngine, as special documents of their own name. The
device numbers its frames on and on, so that lost ones leave a gap; each time it is staged begins a series, which has
a segment of its own: row k is then frame k of the plan.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from insitu.errors import ConfigError
from insitu.readers.spectrum import clean
from insitu.readers.static_axes import StaticAxes
from insitu.types import Arrival, Detector, Feature, Invalid

FRAME = "insitu_frame"
"""The name of the special document: source, series, number, and data with dims, unit, time_ns, context; or `why` there
are none."""
NAMES = frozenset({FRAME, "start", "stop"})
LOOK_S = 0.05
MOST_LABEL = 400


class Device:
    """A reader of the frames of one device. `labels`: keys of the plan's start document that become labels. `queue`:
    how many frames may wait. `axes` of the detector file: as for `documents`."""

    prompt = True

    def __init__(
        self,
        *,
        labels: tuple[str, ...] = ("sample", "plan_name", "scan_id"),
        queue: int = 10_000,
        axes: dict[str, dict[str, Feature] | tuple[Path, str]] | None = None,
        detector: Detector | None = None,
    ) -> None:
        if queue < 1:
            raise ConfigError(f"a queue of {queue}", where="queue", expected="1 or more")
        self.source = detector.source if detector else "det"
        self.labels = tuple(labels)
        self.dropped = 0
        """Frames that did not fit into the queue."""
        self._dims = detector.dims if detector else ()
        self._unit = detector.unit if detector else ""
        self._axes = StaticAxes(axes, self._dims)
        self._queue = _queue(queue)
        self._hand: list[tuple[str, Mapping[str, Any]]] = []
        self._plans: dict[str, Mapping[str, Any]] = {}
        self._closed = False

    def feed(self, name: str, document: Mapping[str, Any]) -> None:
        """Take a document. Only enqueues; never waits, never raises."""
        if name not in NAMES or (name == FRAME and document.get("source") != self.source):
            return
        try:
            self._queue.put_nowait((name, document))
        except queue.Full:
            self.dropped += 1

    def waiting(self) -> int:
        """How many were fed and not taken yet."""
        return self._queue.qsize()

    def waits(self) -> bool:
        """Whether frames were fed that have not been taken."""
        with self._queue.mutex:
            return any(name == FRAME for name, _ in (*self._hand, *self._queue.queue))

    def left(self) -> list[tuple[str, Mapping[str, Any]]]:
        """What was fed and not taken, because the run had ended: for the reader of the next one."""
        found, self._hand = self._hand, []
        with suppress(queue.Empty):
            while True:
                found.append(self._queue.get_nowait())
        return found

    def close(self) -> None:
        """No more will come."""
        self._closed = True

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        while True:
            try:
                name, document = self._queue.get(timeout=LOOK_S)
            except queue.Empty:
                if self._closed:
                    return
                yield None
                continue
            self._hand = [(name, document)]  # stays there if the run ends before its frame was taken
            if name == FRAME:
                yield self._frame(document)
            elif name == "start":
                self._plans[str(document.get("uid", ""))] = document
            else:
                self._plans.pop(str(document.get("run_start", "")), None)
            self._hand = []

    def _frame(self, document: Mapping[str, Any]) -> Arrival | Invalid:
        number = document.get("number")
        try:
            why = document.get("why", "")
            if not why:
                return self._arrival(document)
        except Exception as e:  # noqa: BLE001 - it comes from outside: whatever is wrong with it is told
            why = f"{type(e).__name__}: {e}"
        reason = f"frame {number} of {self.source}: {why}"
        payload = repr({k: v for k, v in document.items() if k != "data"}).encode("utf-8", "backslashreplace")
        return Invalid(source=self.source, reason=reason, payload=payload, name=FRAME, source_seq=number)

    def _arrival(self, document: Mapping[str, Any]) -> Arrival:
        data, plan = document["data"], next(reversed(self._plans.values()), {})
        dims = tuple(document.get("dims") or self._dims)
        if len(dims) != data.ndim:
            raise ValueError(f"it has {data.ndim} dimensions, and the names {list(dims)}")
        context = {clean(k): Feature(value, unit) for k, (value, unit) in document.get("context", {}).items()}
        return Arrival(
            source=self.source,
            data=data,
            dims=dims,
            unit=document.get("unit") or self._unit,
            time_ns=document["time_ns"],
            duration_ns=document.get("duration_ns", 0),
            clock=document.get("clock", "arrival"),
            source_seq=document["number"],
            axes=self._axes(dims, data.shape),
            context=context,
            labels={**self._labels(plan), **document.get("labels", {})},
            source_run_uid=str(plan.get("uid", "")),
            series=document["series"],
        )

    def _labels(self, plan: Mapping[str, Any]) -> dict[str, str]:
        found = {clean(key): plan[key] for key in self.labels if plan.get(key) not in (None, "")}
        return {k: v if isinstance(v, str) else repr(v)[:MOST_LABEL] for k, v in found.items()}


def _queue(size: int) -> Any:
    return queue.Queue(size)
