"""Offset and drift between the clocks of two sources that see one thing, from what both of them saw.

A time of the other source becomes one of the reference by adding

    offset(t) = o + d (t - t0)

with `o` in s and the drift `d` (told in ppm). Single readings of the offset come from a common signal over a window
(`insitu.maths.line.clock_signal`) or from an event that both saw; `ClockFilter` joins them into o and d with their
covariance: a Kalman filter with the two-state clock model (J. A. Barnes et al., IEEE Trans. Instrum. Meas. 20 (1971)
105; R. G. Brown, P. Y. C. Hwang, Introduction to Random Signals, ch. 9), exact for normal readings. A reading further
than 5 sigma from what is expected is left out; three of them in a row that agree with each other mean that a clock was
set, and begin anew.
"""

from __future__ import annotations

import math
from bisect import insort
from typing import NamedTuple

GATE = 5.0
"""Readings further away than so many sigma are left out."""
AGREEING = 3
"""So many left-out readings in a row that agree are a clock that was set."""
MOST_EVENTS = 1000
HOUR_S = 3600.0


class ClockState(NamedTuple):
    """What is to be added to a time of the other clock, `offset_s`, known to `sigma_s`, and how it grows, `drift_ppm`
    known to `drift_sigma_ppm`; from `readings`."""

    offset_s: float
    sigma_s: float
    drift_ppm: float
    drift_sigma_ppm: float
    readings: int


class ClockFilter:
    """Offset and drift of one clock against another, reading by reading.

    `offset_s`, `sigma_s`: what is known beforehand (sigma infinite: nothing), at the time of the first reading.
    `drift_ppm`, `drift_sigma_ppm`: likewise; a quartz is within 100 ppm. `wander_ppm`: by how much the drift itself
    wanders in an hour (temperature).

    >>> clock = ClockFilter(drift_sigma_ppm=1000.0)
    >>> for k in range(20):
    ...     taken = clock.see(30.0 * k, 3.0 + 500e-6 * 30.0 * k, 0.05)
    >>> now = clock.at(600.0)
    >>> round(now.offset_s, 2), round(now.drift_ppm, -1), now.readings
    (3.3, 500.0, 20)
    """

    def __init__(
        self,
        *,
        offset_s: float = 0.0,
        sigma_s: float = math.inf,
        drift_ppm: float = 0.0,
        drift_sigma_ppm: float = 100.0,
        wander_ppm: float = 10.0,
    ) -> None:
        self._drift = (drift_ppm * 1e-6, (drift_sigma_ppm * 1e-6) ** 2)
        self._wander = (wander_ppm * 1e-6) ** 2 / HOUR_S
        self._o, self._d = offset_s, drift_ppm * 1e-6
        self._oo, self._od, self._dd = sigma_s**2, 0.0, self._drift[1]
        self._t: float | None = None
        self._out: list[tuple[float, float, float]] = []
        self.readings = 0
        self.restarts = 0
        """How often a clock was set while being watched."""

    @property
    def known(self) -> bool:
        """Whether anything is known of the offset."""
        return math.isfinite(self._oo)

    def at(self, time_s: float) -> ClockState:
        """The state at a time (s, of the other clock; any zero, always the same)."""
        o, oo, _, dd = self._predicted(time_s)
        return ClockState(o, math.sqrt(max(oo, 0.0)), self._d * 1e6, math.sqrt(max(dd, 0.0)) * 1e6, self.readings)

    def see(self, time_s: float, offset_s: float, sigma_s: float) -> bool:
        """Take a reading of the offset at `time_s`, known to `sigma_s`; whether it fits to what is known."""
        variance = max(sigma_s, 1e-12) ** 2
        if not self.known:
            self._begin(time_s, offset_s, variance)
            return True
        o, oo, od, dd = self._predicted(time_s)
        off, spread = offset_s - o, oo + variance
        if off * off > GATE**2 * spread:
            return self._stray(time_s, offset_s, variance)
        self._out.clear()
        gain_o, gain_d = oo / spread, od / spread
        self._o, self._d, self._t = o + gain_o * off, self._d + gain_d * off, time_s
        self._oo, self._od, self._dd = (1.0 - gain_o) * oo, (1.0 - gain_o) * od, dd - gain_d * od
        self.readings += 1
        return True

    def _predicted(self, time_s: float) -> tuple[float, float, float, float]:
        """Offset, its variance, the covariance with the drift, the drift's variance."""
        if self._t is None:
            self._t = time_s
        dt = time_s - self._t
        q = self._wander * abs(dt)
        o = self._o + self._d * dt
        oo = self._oo + 2.0 * dt * self._od + dt * dt * (self._dd + q / 3.0)
        return o, oo, self._od + dt * (self._dd + q / 2.0), self._dd + q

    def _begin(self, time_s: float, offset_s: float, variance: float) -> None:
        self._o, self._oo, self._od, self._t = offset_s, variance, 0.0, time_s
        self._out.clear()
        self.readings = 1

    def _stray(self, time_s: float, offset_s: float, variance: float) -> bool:
        """A reading that does not fit; with enough of them that agree, the clock was set."""
        if any((offset_s - o) ** 2 > GATE**2 * (variance + v) for _, o, v in self._out):
            self._out.clear()
        self._out.append((time_s, offset_s, variance))
        if len(self._out) < AGREEING:
            return False
        readings, self._out = self._out, []
        self._d, self._dd = self._drift
        self._begin(*readings[0])
        self.restarts += 1
        for t, o, v in readings[1:]:
            self.see(t, o, math.sqrt(v))
        return True


class EventClock:
    """Readings of the offset from events that both sources saw: each event of one is paired with the only one of the
    other within `largest_s` of where the clocks put it. Where several could be meant, none is.

    Times in s, of each source's own clock; `sigma_s`: how well both times of a pair are known together.

    >>> events = EventClock(ClockFilter(drift_sigma_ppm=0.0), largest_s=5.0, sigma_s=0.1)
    >>> for t in (10.0, 47.0, 90.0):
    ...     _ = events.other(t - 3.0), events.reference(t)
    >>> state = events.clock.at(0.0)
    >>> round(state.offset_s, 3), round(state.sigma_s, 3), state.readings
    (3.0, 0.058, 3)
    """

    def __init__(self, clock: ClockFilter, *, largest_s: float, sigma_s: float) -> None:
        self.clock, self._largest, self._sigma = clock, largest_s, sigma_s
        self._here: list[float] = []
        self._there: list[float] = []
        self._newest = [-math.inf, -math.inf]

    def reference(self, time_s: float, *, event: bool = True) -> bool:
        """A time of the reference: an event, or only how far it has come; whether readings came of it."""
        return self._take(0, time_s, event)

    def other(self, time_s: float, *, event: bool = True) -> bool:
        """The same of the other source."""
        return self._take(1, time_s, event)

    def _take(self, which: int, time_s: float, event: bool) -> bool:
        if event:
            rows = (self._here, self._there)[which]
            insort(rows, time_s)
            del rows[:-MOST_EVENTS]
        self._newest[which] = max(self._newest[which], time_s)
        return self._pairs()

    def _pairs(self) -> bool:
        found = False
        while self._here and self._there:
            expected, reach = self._reach(self._there[0])
            if self._here[0] < expected - reach:
                self._here.pop(0)
                continue
            near = [t for t in self._here if t <= expected + reach]
            rivals = [t for t in self._there[1:] if t - self._there[0] <= reach]
            if not near and self._newest[0] <= expected + reach:
                break
            there = self._there.pop(0)
            if len(near) == 1 and not rivals:
                self._here.remove(near[0])
                found = self.clock.see(there, near[0] - there, self._sigma) or found
        return found

    def _reach(self, there: float) -> tuple[float, float]:
        """Where an event of the other source is expected on the reference's clock, and how far off it may be."""
        if not self.clock.known:
            return there, self._largest
        state = self.clock.at(there)
        return there + state.offset_s, min(self._largest, GATE * math.hypot(state.sigma_s, self._sigma))
