"""A detector whose frames go into the run's store, and whose plan's documents point at them there.

Each time it is staged its frames get an array of their own, so that index k of the plan's `stream_datum` is row k of
the array, from 0 and without gaps: Tiled needs that. An index is given once its row is committed and can be read; one
that was not within `wait_s` goes with a later event, and nothing is waited for until the run has caught up. Where the
rows end (the run has ended or was killed, the kind of the frames has changed), the plan goes on without indices until
it is staged again. Each event has the address of its frame beside.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ophyd.status import Status

from insitu.bluesky.rows import Rows
from insitu.bluesky.session import Session
from insitu.errors import ConfigError
from insitu.readers.device import FRAME

log = logging.getLogger(__name__)
DIMS = {1: ("x",), 2: ("y", "x")}
PATIENCE_S = 60.0


class InsituDetector:
    """An ophyd-style device for the plans of `session`'s RunEngine.

    `source`: that of a detector of the recipe whose reader is `device`. `acquire`: a function that takes a frame and
    gives an array; or an ophyd signal (or device with one) that is triggered and read. `name`: of the data key.
    `dims`: names of the array's dimensions (y and x for pictures); `unit`: of its values, one text, or one for each
    channel. `context`: ophyd signals and motors whose readings go with every frame, as numbers. `shape`, `dtype`: of a
    frame, where they must be known before the first one. `exposure_s`: of every frame. `wait_s`: how long a point waits
    for its frame to be on disk.
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
        self.name, self.source = name or source, source
        self._session, self._acquire = session, acquire
        self._dims, self._unit = tuple(dims), unit if isinstance(unit, str) else tuple(unit)
        self._context, self._labels = tuple(context), dict(labels or {})
        self._shape = None if shape is None else tuple(shape)
        self._dtype = None if dtype is None else np.dtype(dtype)
        self._exposure_ns, self._wait_s = round(exposure_s * 1e9), wait_s
        self._number = 0  # of the next frame, on and on
        self._lock = threading.Lock()
        self._rows: Rows | None = None
        self._run: Any = None
        self._blind = "it is not staged"
        self._taken = self._given = 0  # frames since it was staged; indices that documents have
        self._settled = 0  # rows that are on disk
        self._resource, self._behind = "", False
        self._read: dict[str, Any] = self._address("", time.time())

    # ---- staging ----

    def stage(self) -> list[Any]:
        """A series of frames begins."""
        self._close()
        self._run, self._resource, self._blind, self._behind = self._session.run, "", "", False
        self._taken = self._given = self._settled = 0
        self._rows = Rows(self._run.path, self.source, str(uuid.uuid4()), self._number)
        return [self]

    def unstage(self) -> list[Any]:
        """The series is over."""
        self._close()
        return [self]

    def _close(self) -> None:
        rows, self._rows = self._rows, None
        self._blind = self._blind or "it is not staged"
        if rows is not None:
            rows.close()

    # ---- one frame ----

    def trigger(self) -> Status:
        """Take a frame; done when it is on disk (or that was waited for long enough)."""
        status = Status(timeout=None)
        threading.Thread(target=self._work, args=(status,), name=f"insitu-{self.name}", daemon=True).start()
        return status

    def _work(self, status: Status) -> None:
        with self._lock:
            try:
                self._one()
            except Exception as e:  # noqa: BLE001 - the instrument's own failure: bluesky does as with any other
                status.set_exception(e)
            else:
                status.set_finished()

    def _one(self) -> None:
        rows, number = self._rows, self._number
        self._number += 1
        document: dict[str, Any] = {"source": self.source, "number": number}
        document["series"] = "" if rows is None else rows.series
        began = time.time_ns()
        try:
            data = np.array(self._acquire() if callable(self._acquire) else taken(self._acquire))
            context = numbers(self._context)
        except Exception as e:
            self._session.feed(FRAME, {**document, "why": f"it could not be taken: {type(e).__name__}: {e}"})
            raise
        data.flags.writeable = False
        dims = self._dims or DIMS.get(data.ndim, tuple(f"d{k}" for k in range(data.ndim)))
        document |= {"data": data, "dims": dims, "unit": self._unit, "time_ns": began, "duration_ns": self._exposure_ns}
        self._session.feed(FRAME, document | {"context": context, "labels": self._labels})
        self._shape, self._dtype = self._shape or data.shape, self._dtype or data.dtype
        self._taken += 1
        address = ""
        if rows is not None and not self._blind:
            try:
                address = self._await(rows, data)
            except Exception as e:  # noqa: BLE001 - ours to fail: the scan is not to notice
                self._lose(f"{type(e).__name__}: {e}")
        self._read = self._address(address, time.time())

    def _await(self, rows: Rows, data: np.ndarray) -> str:
        """The address of the newest frame, where it has become durable."""
        if (data.shape, data.dtype) != (self._shape, self._dtype):
            self._lose(f"frames became {list(data.shape)} {data.dtype}, and were described otherwise")
            return ""
        row, patience_s = self._taken - 1, 0.0 if self._behind else self._wait_s
        self._settled = min(self._taken, rows.wait(self._taken, patience_s, self._goes_on))
        if self._settled > row:
            self._behind = False
            return f"insitu:{self._run.uid}/{self.source}/{rows.seq(row)}" if rows.stored(row) else ""
        if rows.broken or not self._goes_on():
            self._lose(rows.broken or "the run has ended")
        elif not self._behind:
            self._behind = True
            log.warning("%s: a frame was not on disk within %g s; its document comes later", self.name, self._wait_s)
        return ""

    def _goes_on(self) -> bool:
        return self._session.run is self._run and self._run.alive

    def _lose(self, why: str) -> None:
        self._blind = why
        log.warning("%s: from here on the documents of this plan do not point at frames: %s", self.name, why)

    # ---- what bluesky asks ----

    def read(self) -> dict[str, Any]:
        """The address of the newest frame; the frame itself is pointed at."""
        return dict(self._read)

    def describe(self) -> dict[str, Any]:
        """The data keys of event-model."""
        if self._shape is None or self._dtype is None:
            raise ConfigError(
                f"nobody knows yet what a frame of {self.name} is like", where="shape", expected="shape= and dtype="
            )
        ndim = len(self._shape)
        key = {
            "source": f"insitu:{self.source}",
            "dtype": "array",
            "shape": list(self._shape),
            "dtype_numpy": self._dtype.newbyteorder("<").str,
            "units": self._unit if isinstance(self._unit, str) else ", ".join(self._unit),
            "dims": list(self._dims or DIMS.get(ndim, tuple(f"d{k}" for k in range(ndim)))),
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

    def get_index(self) -> int:
        """How many frames since it was staged are on disk."""
        return self._settled

    def collect_asset_docs(self, index: int | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
        """Where the frames are that no document has told yet, up to `index`."""
        rows, until = self._rows, self._settled if index is None else min(index, self._settled)
        if rows is None or until <= self._given:
            return
        if not self._resource:
            self._resource = str(uuid.uuid4())
            assert self._shape is not None
            parameters = {"chunk_shape": [1, *self._shape], "join_method": "stack"}
            yield "stream_resource", {
                "uid": self._resource, "data_key": self.name, "mimetype": "application/x-zarr", "uri": rows.uri,
                "parameters": parameters,
            }  # fmt: skip
        first, self._given = self._given, until
        # those of an event go one by one: bluesky takes no wider ones there
        step = 1 if index is None else until - first
        for at in range(first, until, step):
            yield "stream_datum", {
                "uid": f"{self._resource}/{at}", "stream_resource": self._resource, "descriptor": "",
                "indices": {"start": at, "stop": at + step}, "seq_nums": {"start": 0, "stop": 0},
            }  # fmt: skip

    def _address(self, address: str, at: float) -> dict[str, Any]:
        return {f"{self.name}_address": {"value": address, "timestamp": at}}


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
