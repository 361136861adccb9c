"""Frames that a device of ours takes inside a bluesky session (`insitu.bluesky.InsituDetector`).

They come by the session's feed beside the documents of the RunEngine, as special documents of their own name. The
device numbers its frames on and on, so that lost ones leave a gap; each time it is staged begins a series, which has
a segment of its own: row k is then frame k of the plan.

Such a document holds source, series, number, and data with dims, unit, time_ns, context; or `why` there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from insitu.readers.document_arrays import own, wrong
from insitu.readers.document_feed import FRAME, Document, Feed
from insitu.readers.document_values import labels_of
from insitu.readers.spectrum import clean
from insitu.readers.static_axes import StaticAxes
from insitu.types import Arrival, Detector, Feature, Invalid

NAMES = frozenset({FRAME, "start", "stop"})


class Device(Feed):
    """A reader of the frames of one device. `labels`: keys of the plan's start document that become labels. `queue`:
    how many frames may wait. `axes` of the detector file: as for `documents`."""

    prompt = True
    data = frozenset({FRAME})

    def __init__(
        self,
        *,
        labels: tuple[str, ...] = ("sample", "plan_name", "scan_id"),
        queue: int = 10_000,
        axes: dict[str, dict[str, Feature] | tuple[Path, str]] | None = None,
        detector: Detector | None = None,
    ) -> None:
        super().__init__(queue)
        self.source = detector.source if detector else "det"
        self.labels = tuple(labels)
        self._dims = detector.dims if detector else ()
        self._unit = detector.unit if detector else ""
        self._axes = StaticAxes(axes, self._dims)
        self._plans: dict[str, Document] = {}

    def wants(self, name: str, document: Document) -> bool:
        """Frames of our source, and what says which plan they are of."""
        return name in NAMES and (name != FRAME or document.get("source") == self.source)

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        yield from self.live()

    def given(self, name: str, document: Document) -> Iterator[Arrival | Invalid | None]:
        """A frame, or what says which plan the next ones are of."""
        if name == FRAME:
            yield self._frame(document)
        elif name == "start":
            self._plans[str(document.get("uid", ""))] = document
        else:
            self._plans.pop(str(document.get("run_start", "")), None)

    def _frame(self, document: Document) -> Arrival | Invalid:
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

    def _arrival(self, document: Document) -> Arrival:
        data, plan = document["data"], next(reversed(self._plans.values()), {})
        dims = tuple(document.get("dims") or self._dims)
        if why := wrong(data):
            raise ValueError(why)
        if len(dims) != data.ndim:
            raise ValueError(f"it has {data.ndim} dimensions, and the names {list(dims)}")
        context = {clean(k): Feature(value, unit) for k, (value, unit) in document.get("context", {}).items()}
        return Arrival(
            source=self.source,
            data=data if data.dtype.isnative and not data.flags.writeable else own(data),
            dims=dims,
            unit=document.get("unit") or self._unit,
            time_ns=document["time_ns"],
            duration_ns=document.get("duration_ns", 0),
            clock=document.get("clock", "arrival"),
            source_seq=document["number"],
            axes=self._axes(dims, data.shape),
            context=context,
            labels={**labels_of(plan, self.labels), **document.get("labels", {})},
            source_run_uid=str(plan.get("uid", "")),
            series=document["series"],
        )


__all__ = ["FRAME", "Device"]
