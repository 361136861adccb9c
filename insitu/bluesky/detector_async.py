"""The same detector as `insitu.bluesky.detector`, for ophyd-async: a `StandardDetector` of its own small logics.

    camera = AsyncInsituDetector(session, "camera", grab)
    RE(ensure_connected(camera))
    RE(scan([camera], motor, 0, 1, 100))

What is stock stays stock: `prepare` takes a `TriggerInfo` (several frames for an event, several events for a kickoff),
`kickoff`, `complete` and `collect` are those of every `StandardDetector`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from insitu.errors import MissingExtraError, UsageError

try:
    from bluesky.protocols import Reading, StreamAsset
    from event_model import DataKey
    from ophyd_async.core import (
        AsyncStatus,
        DetectorAcquireLogic,
        DetectorDataLogic,
        DetectorTriggerLogic,
        StandardDetector,
        StreamableDataProvider,
        TriggerInfo,
        WatchableAsyncStatus,
        soft_signal_r_and_setter,
    )
except ImportError as e:
    raise MissingExtraError("ophyd-async", "async", purpose="A detector of ophyd-async") from e

from insitu.bluesky.series import Series
from insitu.bluesky.session import Session
from insitu.bluesky.taking import Taking, asked


class AsyncInsituDetector(StandardDetector):
    """An ophyd-async device for the plans of a session's RunEngine.

    `keys`: as for `InsituDetector` (`name`, `dims`, `unit`, `context`, `labels`, `shape`, `dtype`, `exposure_s`,
    `wait_s`). `expose`: a function that is told the exposure in s where a plan asks for one (`TriggerInfo.livetime`);
    without it such plans are refused.
    """

    def __init__(
        self, session: Session, source: str, acquire: Any, *, expose: Callable[[float], Any] | None = None, **keys: Any
    ) -> None:
        self.frames = Taking(session, source, acquire, **keys)
        self.info, self.flies = TriggerInfo(), False
        self.written = _Written(self)
        self.add_detector_logics(_Trigger(self, expose), _Acquire(self), _Data(self))
        super().__init__(name=self.frames.name)

    def prepare(self, value: TriggerInfo) -> AsyncStatus[None]:
        """What `trigger` or `kickoff` take. That frames get on disk is no part of the exposure's time."""
        each = value.collections_per_event
        longer = {"exposure_timeout": value.exposure_timeout * each + self.frames.wait_s}
        self.info = value.model_copy(update=longer)
        return super().prepare(self.info)

    def trigger(self) -> WatchableAsyncStatus[int]:
        """Take the frames of an event; done when they are on disk (or that was waited for long enough)."""
        self.flies = False
        return super().trigger()

    def kickoff(self) -> AsyncStatus[None]:
        """Take the frames one behind the other; done when that has begun."""
        self.flies = True
        return super().kickoff()

    async def get_index(self) -> int:
        """How many events since it was staged have their frames on disk."""
        series = self.frames.series
        if series is None:
            return 0
        await asyncio.to_thread(series.settle, 0.0)
        return series.settled // self.info.collections_per_event

    async def describe(self) -> dict[str, DataKey]:
        """The data keys of an event: the frames, and the address of the newest."""
        return {**await super().describe(), **cast("dict[str, DataKey]", self.frames.address_key)}

    async def read(self) -> dict[str, Reading]:
        """The address of the newest frame; the frames themselves are pointed at."""
        return {**await super().read(), **self.frames.reading}


class _Written(StreamableDataProvider):
    """How many frames were taken since the detector was staged, and the documents of those that are on disk."""

    def __init__(self, detector: AsyncInsituDetector) -> None:
        self.detector, self.count = detector, 0
        self.collections_written_signal, self._tell = soft_signal_r_and_setter(int)

    def tell(self, count: int) -> None:
        self.count = count
        self._tell(count)

    async def make_datakeys(self, collections_per_event: int) -> dict[str, DataKey]:
        frames = self.detector.frames
        key = frames.key()
        more = {"shape": [collections_per_event, *key["shape"]], "dims": ["frame", *key["dims"]]}
        return {frames.name: cast("DataKey", {**key, **more})}

    async def make_stream_docs(
        self, collections_written: int, collections_per_event: int
    ) -> AsyncIterator[StreamAsset]:
        series, shape = self.detector.frames.series, self.detector.frames.shape
        if series is not None and shape is not None:
            index, single = collections_written // collections_per_event, not self.detector.flies
            for document in series.documents(shape, index, single=single, each=collections_per_event):
                yield cast("StreamAsset", document)


class _Trigger(DetectorTriggerLogic):
    """What a plan asks for, as far as it can be had."""

    def __init__(self, detector: AsyncInsituDetector, expose: Callable[[float], Any] | None) -> None:
        self.detector, self._expose = detector, expose

    async def prepare_internal(self, num: int, livetime: float, deadtime: float) -> None:
        frames, expose = self.detector.frames, self._expose
        if not num:
            raise UsageError(f"{frames.name} takes no endless series", where="number_of_events", expected="1 or more")
        if livetime and expose is None:
            raise UsageError(
                f"nobody knows how {frames.name} is to expose for {livetime:g} s",
                where="livetime",
                expected="expose=, a function that is told the exposure",
            )
        if livetime and expose is not None:
            await asyncio.to_thread(asked, partial(expose, livetime), frames.loop)
            frames.exposure_s = livetime
        frames.pause_s = deadtime


class _Data(DetectorDataLogic):
    """The series of frames begins when the detector is prepared, and ends when it is stopped."""

    def __init__(self, detector: AsyncInsituDetector) -> None:
        self.detector = detector

    async def prepare_unbounded(self, datakey_name: str) -> StreamableDataProvider:
        self.detector.frames.begin()
        self.detector.written.tell(0)
        return self.detector.written

    async def stop(self) -> None:
        self.detector.frames.end()


class _Acquire(DetectorAcquireLogic):
    """Takes frames in a thread. One that fails ends the waiting, and whoever waits is told."""

    def __init__(self, detector: AsyncInsituDetector) -> None:
        self.detector = detector
        self._failed: Exception | None = None

    async def start_acquiring(self) -> None:
        await self.wait_for_idle()
        detector, loop = self.detector, asyncio.get_running_loop()
        frames, each = detector.frames, detector.info.collections_per_event
        events, before = await detector.events_to_kickoff.get_value(), detector.written.count

        series = frames.series

        def tell(event: int, failed: Exception | None = None) -> None:
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(self._tell, series, before + event * each, failed)

        frames.start(lambda series: frames.events(series, events, each, tell), partial(tell, events))

    def _tell(self, series: Series | None, count: int, failed: Exception | None) -> None:
        if series is self.detector.frames.series:
            self._failed = failed
            self.detector.written.tell(count)

    async def wait_for_idle(self) -> None:
        """Also for a frame that nobody waited for to the end, because another detector of its point failed: what it
        counts must not end the next."""
        await asyncio.to_thread(self.detector.frames.join)
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    async def ensure_stopped(self) -> None:
        self._failed = None
