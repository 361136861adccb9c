"""The clock of one source beside that of the reference, as a model uses it: times back and forth, and its alignment."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from insitu.errors import UnitError
from insitu.maths.line.clock import ClockFilter, ClockState, EventClock
from insitu.maths.line.clock_signal import SignalClock
from insitu.maths.watch import Watch
from insitu.types import Feature, Measurement

SECOND = 1e9


class BySignal:
    """Readings from a signal that both sources carry."""

    def __init__(self, clock: ClockFilter, *, window_s: float, largest_s: float) -> None:
        self._signal = SignalClock(clock, window_s=window_s, largest_s=largest_s)

    @property
    def why(self) -> str:
        return self._signal.why

    def feed(self, which: int, time_s: float, value: float | None) -> None:
        """`which`: 0 for the reference, 1 for the other."""
        (self._signal.other if which else self._signal.reference)(time_s, value)


class ByEvents:
    """Readings from events: a number that rises above a level."""

    def __init__(
        self, clock: ClockFilter, *, levels: tuple[Callable[[str], float], ...], largest_s: float, sigma_s: float
    ) -> None:
        self._events = EventClock(clock, largest_s=largest_s, sigma_s=sigma_s)
        self._levels = levels
        self._above = [True, True]
        self.why = "no event was seen by both yet"

    def level(self, which: int, unit: str) -> float:
        """The level in the unit of the number."""
        return self._levels[which](unit)

    def feed(self, which: int, time_s: float, value: float | None) -> None:
        """`value` over the level (above 0 is above it)."""
        event = value is not None and value > 0.0 and not self._above[which]
        if value is not None:
            self._above[which] = value > 0.0
        (self._events.other if which else self._events.reference)(time_s, event=event)


class Alignment(NamedTuple):
    """Two numbers, one of the reference and one of the other source, and what makes readings of them."""

    watches: tuple[Watch, Watch]
    follows: BySignal | ByEvents

    def see(self, measurement: Measurement, time_s: float) -> None:
        """A frame of either source."""
        for which, watch in enumerate(self.watches):
            found = watch(measurement)
            if found is not None:
                self.follows.feed(which, time_s, self._number(which, found))

    def _number(self, which: int, found: Feature) -> float | None:
        if found.value is None:
            return None
        if not isinstance(self.follows, ByEvents):
            return float(found.value)
        try:
            return float(found.value) - self.follows.level(which, found.unit)
        except UnitError as error:
            self.follows.why = str(error)
            return None


class SourceClock:
    """Times of one source on the clock of the reference. Times in ns are the source's own, `base_ns` is zero.

    `sigma_s`: how far single times of this source are off (jitter).
    """

    def __init__(self, clock: ClockFilter | None, alignment: Alignment | None, sigma_s: float) -> None:
        self._clock, self.alignment, self.sigma_s = clock, alignment, sigma_s
        self._base: int | None = None

    def begin(self, base_ns: int) -> None:
        """Times are counted from here."""
        if self._base is None:
            self._base = base_ns
            if self._clock is not None:
                self._clock.at(0.0)

    def seconds(self, time_ns: int) -> float:
        """A time as a number of seconds since the beginning."""
        return (time_ns - (self._base or 0)) / SECOND

    def see(self, measurement: Measurement) -> None:
        """A frame that may tell of the clock."""
        if self.alignment is not None:
            self.alignment.see(measurement, self.seconds(measurement.time_ns))

    @property
    def unknown(self) -> str:
        """Why nothing is known of the clock; empty where something is."""
        if self._clock is None or self._clock.known:
            return ""
        why = self.alignment.follows.why if self.alignment else ""
        return f"its clock is not aligned yet: {why}" if why else "its clock is not aligned yet"

    def state(self, time_ns: int) -> ClockState:
        """Offset and drift at a time."""
        if self._clock is None:
            return ClockState(0.0, 0.0, 0.0, 0.0, 0)
        return self._clock.at(self.seconds(time_ns))

    def spread_s(self, time_ns: int) -> float:
        """How well a time of this source is known on the reference's clock."""
        return math.hypot(self.state(time_ns).sigma_s, self.sigma_s)

    def to_reference(self, time_ns: int) -> int:
        """A time of this source on the reference's clock."""
        return time_ns + round(self.state(time_ns).offset_s * SECOND)

    def from_reference(self, time_ns: int) -> int:
        """A time of the reference on this source's clock."""
        first = time_ns - round(self.state(time_ns).offset_s * SECOND)
        return time_ns - round(self.state(first).offset_s * SECOND)
