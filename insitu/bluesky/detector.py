"""A detector whose frames go into the run's store, and whose plan's documents point at them there.

In a step scan each event waits until its frame is on disk; in a fly scan frames are taken one behind the other and
their documents collected. Whatever becomes of the run, the plan goes on (`series.py` says what its documents then
hold). An instrument that fails fails the plan, as any does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ophyd.status import Status

from insitu.bluesky.series import Series
from insitu.bluesky.session import Session
from insitu.errors import ConfigError
from insitu.readers.device import FRAME

log = logging.getLogger(__name__)
DIMS = {1: ("x",), 2: ("y", "x")}
PATIENCE_S = 60.0


class InsituDetector:
    """An ophyd-style device for the plans of `session`'s RunEngine.

    `source`: that of a detector of the recipe whose reader is `device`. `acquire`: a function that takes a frame and
    gives an array; or an ophyd signal or device, which is triggered and read (the largest array counts). `name`: of the
    data key. `dims`: names of the array's dimensions (y and x for pictures); `unit`: of its values, one text, or one
    for each channel. `context`: ophyd signals and motors whose readings go with every frame, as numbers. `shape`,
    `dtype`: of a frame, where they must be known before the first one (fly scans). `exposure_s`: of every frame.
    `wait_s`: how long a point waits for its frame to be on disk.
    """

    parent = None

    def __init__(
        self,
        session: Session,
        source: str,
        acquire: Any,
        *,
        name: str = "",
        dims: Sequence[str] = (),
        unit: str | Sequence[str] = "counts",
        context: Sequence[Any] = (),
        labels: Mapping[str, str] | None = None,
        shape: Sequence[int] | None = None,
        dtype: str | None = None,
        exposure_s: float = 0.0,
        wait_s: float = 2.0,
    ) -> None:
        if not (callable(acquire) or hasattr(acquire, "read")):
            raise ConfigError(f"{acquire!r} takes no frame", where="acquire", expected="a function, or an ophyd signal")
        if source not in session.described.outputs:
            known = ", ".join(sorted(session.described.outputs))
            raise ConfigError(f"the recipe has no source {source!r}", where="source", expected=f"one of {known}")
        self.name, self.source, self.wait_s = name or source, source, wait_s
        self._session, self._acquire = session, acquire
        self._dims, self._unit = tuple(dims), unit if isinstance(unit, str) else tuple(unit)
        self._context, self._labels = tuple(context), dict(labels or {})
        self._shape = None if shape is None else tuple(shape)
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._exposure_ns = round(exposure_s * 1e9)
        self._number = 0  # of the next frame, on and on
        self._one_at_a_time = threading.Lock()
        self._series: Series | None = None
        self._flies, self._frames, self._burst = False, 1, Status(timeout=None)
        self._reading = self._address("")

    # ---- staging ----

    def stage(self) -> list[Any]:
        """A series of frames begins."""
        self.unstage()
        self._flies = False
        self._series = Series(self._session, self.source, self.name, self._number)
        return [self]

    def unstage(self) -> list[Any]:
        """The series is over."""
        series, self._series = self._series, None
        if series is not None:
            series.end()
        return [self]

    # ---- step scans ----

    def trigger(self) -> Status:
        """Take a frame; done when it is on disk (or that was waited for long enough)."""
        return self._begin(self._point)

    def _point(self, series: Series | None) -> None:
        self._take(series)
        if series is not None:
            series.settle(self.wait_s)
        self._reading = self._address(series.address() if series is not None else "")

    # ---- fly scans ----

    def prepare(self, value: int) -> Status:
        """How many frames `kickoff` takes."""
        self._frames = int(value)
        status = Status(timeout=None)
        status.set_finished()
        return status

    def kickoff(self) -> Status:
        """Take the frames one behind the other; done when that has begun."""
        self._flies, self._burst = True, self._begin(self._all)
        status = Status(timeout=None)
        status.set_finished()
        return status

    def _all(self, series: Series | None) -> None:
        for _ in range(self._frames):
            if series is not self._series:
                return  # unstaged
            self._take(series)
        if series is not None:
            series.settle(self.wait_s)

    def complete(self) -> Status:
        """Done when all have been taken and are on disk (or that was waited for long enough)."""
        return self._burst

    def describe_collect(self) -> dict[str, Any]:
        """The data keys of a fly scan: only the frames."""
        return {self.name: self.describe()[self.name]}

    def get_index(self) -> int:
        """How many frames since it was staged are on disk."""
        series = self._series
        if series is None:
            return 0
        series.settle(0.0)
        return series.settled

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Where the frames are that no document has told yet, up to `index`."""
        series = self._series
        if series is not None and self._shape is not None:
            if self._flies:
                series.settle(0.0)
            yield from series.documents(self._shape, index, single=not self._flies)

    # ---- a frame ----

    def _begin(self, work: Callable[[Series | None], None]) -> Status:
        """Do it in a thread of its own, one after the other."""
        status, series = Status(timeout=None), self._series

        def run() -> None:
            with self._one_at_a_time:
                try:
                    work(series)
                except Exception as e:  # noqa: BLE001 - the instrument's own failure: bluesky does as with any other
                    status.set_exception(e)
                else:
                    status.set_finished()

        threading.Thread(target=run, name=f"insitu-{self.name}", daemon=True).start()
        return status

    def _take(self, series: Series | None) -> None:
        number, began = self._number, time.time_ns()
        self._number += 1
        document: dict[str, Any] = {"source": self.source, "number": number}
        document["series"] = "" if series is None else series.uid
        if series is not None:
            series.taken += 1
        try:
            data = np.array(self._acquire() if callable(self._acquire) else taken(self._acquire))
            context = numbers(self._context)
        except Exception as e:
            self._session.feed(FRAME, {**document, "why": f"it could not be taken: {type(e).__name__}: {e}"})
            if series is not None and series.taken == 1:  # its row is none of this series: that begins with the next
                series.begin(self._number)
            raise
        data.flags.writeable = False
        dims = self._dims_of(data.ndim)
        document |= {"data": data, "dims": dims, "unit": self._unit, "time_ns": began, "duration_ns": self._exposure_ns}
        self._session.feed(FRAME, document | {"context": context, "labels": self._labels})
        self._shape, self._dtype = self._shape or data.shape, self._dtype or data.dtype
        if series is not None and (data.shape, data.dtype) != (self._shape, self._dtype):
            series.lose(f"frames became {list(data.shape)} {data.dtype}, and were described otherwise")

    def _dims_of(self, ndim: int) -> tuple[str, ...]:
        return self._dims or DIMS.get(ndim, tuple(f"d{k}" for k in range(ndim)))

    # ---- what bluesky asks ----

    def read(self) -> dict[str, Any]:
        """The address of the newest frame; the frame itself is pointed at."""
        return dict(self._reading)

    def describe(self) -> dict[str, Any]:
        """The data keys of event-model."""
        if self._shape is None or self._dtype is None:
            raise ConfigError(
                f"nobody knows yet what a frame of {self.name} is like", where="shape", expected="shape= and dtype="
            )
        key = {
            "source": f"insitu:{self.source}",
            "dtype": "array",
            "shape": list(self._shape),
            "dtype_numpy": self._dtype.newbyteorder("<").str,
            "units": self._unit if isinstance(self._unit, str) else ", ".join(self._unit),
            "dims": list(self._dims_of(len(self._shape))),
            "external": "STREAM:",
            "object_name": self.name,
        }
        return {self.name: key, f"{self.name}_address": {"source": key["source"], "dtype": "string", "shape": []}}

    def read_configuration(self) -> dict[str, Any]:
        """Nothing of it changes."""
        return {}

    def describe_configuration(self) -> dict[str, Any]:
        """Nothing of it changes."""
        return {}

    @property
    def hints(self) -> dict[str, Any]:
        """Nothing to plot."""
        return {"fields": []}

    def _address(self, address: str) -> dict[str, Any]:
        return {f"{self.name}_address": {"value": address, "timestamp": time.time()}}


def taken(signal: Any) -> Any:
    """The frame of an ophyd device or signal: triggered where it can be, and read; the largest array counts."""
    if hasattr(signal, "trigger"):
        status = signal.trigger()
        wait: Callable[..., Any] | None = getattr(status, "wait", None)
        if wait is not None:
            wait(PATIENCE_S)
    found = [np.asarray(reading["value"]) for reading in signal.read().values()]
    return max(found, key=lambda a: a.size)


def numbers(devices: Sequence[Any]) -> dict[str, tuple[float | int, str]]:
    """What devices read now, as far as it is numbers, with units."""
    found: dict[str, tuple[float | int, str]] = {}
    for device in devices:
        described = device.describe()
        for key, reading in device.read().items():
            value = np.asarray(reading["value"])
            if value.ndim == 0 and value.dtype.kind in "iuf" and np.isfinite(value):
                unit = described[key].get("units")
                found[key] = (value.item(), unit if isinstance(unit, str) else "")
    return found
