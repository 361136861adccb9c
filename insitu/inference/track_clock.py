"""Which frame of a video this is, counted so that missing frames leave their gap, and how long a frame lasts.

The instrument's own numbers and the times both tell of missing frames; the larger gap counts. Times count only where
the file says when frames were taken (label `timing`, see the reader of movies; other readers know).
"""

from __future__ import annotations

import statistics
from collections import deque
from typing import NamedTuple

from insitu.types import Measurement

NO_TIMES = "file"
"""The label `timing` of frames whose time is only that of their file."""
RECENT = 51


class Moment(NamedTuple):
    """A frame: its number, how many frames are missing before it, seconds per frame (None: not known)."""

    tick: int
    missing: int
    interval_s: float | None


class Clock:
    """Numbers the frames of one source.

    >>> clock = Clock()
    >>> [clock(Measurement(source="v", seq=i, n=i, time_ns=t * 10**7)).tick for i, t in enumerate((0, 4, 8, 16, 20))]
    [0, 1, 2, 4, 5]
    """

    def __init__(self) -> None:
        self._tick = 0
        self._last: Measurement | None = None
        self._intervals: deque[float] = deque(maxlen=RECENT)

    def __call__(self, measurement: Measurement) -> Moment:
        """The number of this frame; frames come in order."""
        last, self._last = self._last, measurement
        if last is None:
            return Moment(0, 0, None)
        frames = 1
        if measurement.source_seq is not None and last.source_seq is not None:
            frames = max(1, measurement.source_seq - last.source_seq)
        passed = (measurement.time_ns - last.time_ns) * 1e-9
        if measurement.labels.get("timing") != NO_TIMES and passed > 0:
            if len(self._intervals) >= 2:
                frames = max(frames, round(passed / statistics.median(self._intervals)))
            self._intervals.append(passed / frames)
        self._tick += frames
        return Moment(self._tick, frames - 1, self.interval_s)

    @property
    def interval_s(self) -> float | None:
        """Seconds per frame: the median of the last ones."""
        return statistics.median(self._intervals) if self._intervals else None


def micrometres(measurement: Measurement) -> float | None:
    """Size of a pixel in um (context `pixel_size`); None where it is not known."""
    from insitu import units

    size = measurement.context.get("pixel_size")
    if size is None or size.value is None:
        return None
    try:
        found = units.convert(float(size.value), size.unit, "um")
    except units.UnitError:
        return None
    return found if found > 0 else None
