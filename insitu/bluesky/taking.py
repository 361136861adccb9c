"""Frames that a detector of ours takes inside a bluesky session: what the devices of ophyd and of ophyd-async share.

It waits, in threads of its own, and never in the loop of the RunEngine; devices of ophyd-async are asked in that loop.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from insitu.bluesky.series import Series
from insitu.bluesky.session import Session
from insitu.errors import ConfigError
from insitu.readers.device import FRAME

DIMS = {1: ("x",), 2: ("y", "x")}
PATIENCE_S = 60.0


class Taking:
    """Takes the frames of one `source` of a session's recipe, whose reader is `device`.

    `acquire`: a function (plain or `async`) that takes a frame and gives an array; or a signal or device of ophyd or
    ophyd-async, which is triggered and read (the largest array counts). `name`: of the data key. `dims`: names of the
    array's dimensions (y and x for pictures); `unit`: of its values, one text, or one for each channel. `context`:
    signals and motors of either kind whose readings go with every frame, as numbers. `shape`, `dtype`: of a frame,
    where they must be known before the first one (fly scans). `exposure_s`: of every frame. `wait_s`: how long a point
    waits for its frame to be on disk.
    """

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
            raise ConfigError(f"{acquire!r} takes no frame", where="acquire", expected="a function, or a signal")
        if source not in session.described.outputs:
            known = ", ".join(sorted(session.described.outputs))
            raise ConfigError(f"the recipe has no source {source!r}", where="source", expected=f"one of {known}")
        self.name, self.source, self.wait_s = name or source, source, wait_s
        self._session, self._acquire, self.loop = session, acquire, session.loop
        self._dims, self._unit = tuple(dims), unit if isinstance(unit, str) else tuple(unit)
        self._context, self._labels = tuple(context), dict(labels or {})
        self.shape = None if shape is None else tuple(shape)
        self.dtype = None if dtype is None else np.dtype(dtype)
        self.exposure_s, self.pause_s = exposure_s, 0.0
        """Of every frame, and between two events of a fly scan."""
        self._number = 0  # of the next frame, on and on
        self._one_at_a_time = threading.Lock()
        self._newest: threading.Thread | None = None
        self.series: Series | None = None
        """The one that goes on, from staging to unstaging."""
        self.reading = self._address(None)
        """Of the newest frame's address, where it is on disk."""

    def begin(self) -> Series:
        """A series of frames begins; the one before is over."""
        self.end()
        self.series = Series(self._session, self.source, self.name, self._number)
        return self.series

    def end(self) -> None:
        """The series is over."""
        series, self.series = self.series, None
        if series is not None:
            series.end()

    def start(self, work: Callable[[Series | None], None], done: Callable[[Exception | None], None]) -> None:
        """Do it for the series that goes on, in a thread of its own, one after the other; tell how it ended."""
        series = self.series

        def run() -> None:
            with self._one_at_a_time:
                try:
                    work(series)
                except Exception as e:  # noqa: BLE001 - the instrument's own failure: bluesky does as with any other
                    done(e)
                else:
                    done(None)

        self._newest = threading.Thread(target=run, name=f"insitu-{self.name}", daemon=True)
        self._newest.start()

    def join(self) -> None:
        """Wait until what was started is done."""
        if self._newest is not None:
            self._newest.join()

    # ---- what is done in threads ----

    def events(
        self, series: Series | None, events: int = 1, each: int = 1, told: Callable[[int], None] = lambda events: None
    ) -> None:
        """So many events with `each` so many frames, unless it is unstaged; then wait until they are on disk, or for
        long enough. `told`: is told how many there are, before the last."""
        for k in range(events):
            if k:
                told(k)
                time.sleep(self.pause_s)
            if series is not self.series:
                return
            self._event(series, each)
        if series is not None:
            series.settle(self.wait_s)
        self.reading = self._address(series)

    def _event(self, series: Series | None, frames: int) -> None:
        """The frames of one event; where one cannot be taken, the others are told as missing."""
        for k in range(frames):
            try:
                self._take(series)
            except Exception:
                for _ in range(k + 1, frames):
                    self._miss(series, "its event was broken off")
                raise

    def _take(self, series: Series | None) -> None:
        began = time.time_ns()
        try:
            data = np.array(taken(self._acquire, self.loop))
            context = numbers(self._context, self.loop)
        except Exception as e:
            self._miss(series, f"it could not be taken: {type(e).__name__}: {e}")
            raise
        data.flags.writeable = False
        more = {"data": data, "dims": self.dims(data.ndim), "unit": self._unit, "time_ns": began}
        more |= {"duration_ns": round(self.exposure_s * 1e9), "context": context, "labels": self._labels}
        self._tell(series, more)
        self.shape, self.dtype = self.shape or data.shape, self.dtype or data.dtype
        if series is not None and (data.shape, data.dtype) != (self.shape, self.dtype):
            series.lose(f"frames became {list(data.shape)} {data.dtype}, and were described otherwise")

    def _miss(self, series: Series | None, why: str) -> None:
        self._tell(series, {"why": why})
        if series is not None and series.taken == 1:  # its row is none of this series: that begins with the next
            series.begin(self._number)

    def _tell(self, series: Series | None, more: Mapping[str, Any]) -> None:
        number, self._number = self._number, self._number + 1
        if series is not None:
            series.taken += 1
        uid = "" if series is None else series.uid
        self._session.feed(FRAME, {"source": self.source, "number": number, "series": uid, **more})

    # ---- what is described ----

    def dims(self, ndim: int) -> tuple[str, ...]:
        """Names of the dimensions of a frame."""
        return self._dims or DIMS.get(ndim, tuple(f"d{k}" for k in range(ndim)))

    def key(self) -> dict[str, Any]:
        """The data key of the frames. `ConfigError` where nobody knows yet what they are like."""
        if self.shape is None or self.dtype is None:
            raise ConfigError(
                f"nobody knows yet what a frame of {self.name} is like", where="shape", expected="shape= and dtype="
            )
        return {
            "source": f"insitu:{self.source}",
            "dtype": "array",
            "shape": list(self.shape),
            "dtype_numpy": self.dtype.newbyteorder("<").str,
            "units": self._unit if isinstance(self._unit, str) else ", ".join(self._unit),
            "dims": list(self.dims(len(self.shape))),
            "external": "STREAM:",
            "object_name": self.name,
        }

    @property
    def address_key(self) -> dict[str, Any]:
        """The data key of the address of an event's frame."""
        return {f"{self.name}_address": {"source": f"insitu:{self.source}", "dtype": "string", "shape": []}}

    def _address(self, series: Series | None) -> dict[str, Any]:
        address = "" if series is None else series.address()
        return {f"{self.name}_address": {"value": address, "timestamp": time.time()}}


def asked(ask: Callable[[], Any], loop: asyncio.AbstractEventLoop) -> Any:
    """What a function gives: at once, or, if it is `async`, in `loop`, which another thread runs."""
    found = ask()
    if not inspect.iscoroutine(found):
        return found
    return asyncio.run_coroutine_threadsafe(found, loop).result(PATIENCE_S)


def taken(source: Any, loop: asyncio.AbstractEventLoop) -> Any:
    """The frame of a function, or of a device or signal: triggered where it can be, and read; the largest array
    counts."""
    if callable(source):
        return asked(source, loop)
    if inspect.iscoroutinefunction(source.read):
        readings = asked(partial(_triggered, source), loop)
    else:
        if hasattr(source, "trigger"):
            status = source.trigger()
            wait: Callable[..., Any] | None = getattr(status, "wait", None)
            if wait is not None:
                wait(PATIENCE_S)
        readings = source.read()
    found = [np.asarray(reading["value"]) for reading in readings.values()]
    return max(found, key=lambda a: a.size)


async def _triggered(device: Any) -> Mapping[str, Any]:
    if hasattr(device, "trigger"):
        await device.trigger()
    return await device.read()


def numbers(devices: Sequence[Any], loop: asyncio.AbstractEventLoop) -> dict[str, tuple[float | int, str]]:
    """What devices read now, as far as it is numbers, with units."""
    found: dict[str, tuple[float | int, str]] = {}
    for device in devices:
        described = asked(device.describe, loop)
        for key, reading in asked(device.read, loop).items():
            value = np.asarray(reading["value"])
            if value.ndim == 0 and value.dtype.kind in "iuf" and np.isfinite(value):
                unit = described[key].get("units")
                found[key] = (value.item(), unit if isinstance(unit, str) else "")
    return found
