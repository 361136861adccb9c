"""What moves on a bench beamline: a drive with a constant speed, or a furnace that follows its ramp with a lag.

With the programme p(t), which runs at `velocity` towards the target, and what is there T(t):

    T = p                                  (no lag: a motor)
    dT/dt = (p - T) / lag                  (a furnace), solved exactly from one moment asked for to the next
"""

from __future__ import annotations

import math

HOT = "furnace"
"""The drive that heats."""


class Drive:
    """Something that is told where to go. Times in s, of any clock that does not step back.

    `start`, `low`, `high` and `deadband` in `unit`, `velocity` in `unit`/s. `value`: where it is, as of the last `at`.

    >>> furnace = Drive(300.0, velocity=10.0, low=100.0, high=900.0, lag_s=1.0, unit="K", deadband=0.1)
    >>> furnace.go(310.0, now=0.0)
    >>> [round(furnace.at(t), 2) for t in (0.0, 1.0, 2.0, 8.0)], furnace.done
    ([300.0, 303.68, 307.67, 309.99], True)
    """

    def __init__(
        self,
        start: float,
        *,
        velocity: float,
        low: float,
        high: float,
        unit: str,
        lag_s: float = 0.0,
        deadband: float = 1e-9,
    ) -> None:
        self.value = self.target = start
        self.velocity, self.low, self.high, self.unit, self.deadband = velocity, low, high, unit, deadband
        self._lag_s, self._programme, self._when, self._way = lag_s, start, -math.inf, 0.0

    def go(self, target: float, now: float) -> None:
        """A new target; it is on its way from `now` on."""
        self.at(now)
        self.target, self._way = target, abs(target - self.value)

    def stop(self, now: float) -> None:
        """Stay where it is."""
        self.at(now)
        self.target = self._programme = self.value

    def place(self, value: float) -> None:
        """Where it is shall be called so."""
        shift = value - self.value
        self.value, self.target, self._programme = value, value, self._programme + shift

    def at(self, now: float) -> float:
        """Where it is."""
        left = max(0.0, now - self._when) if self._when > -math.inf else 0.0
        self._when = max(now, self._when)
        way = self.target - self._programme
        ramp_s = abs(way) / self.velocity if self.velocity > 0.0 else math.inf if way else 0.0
        if left < ramp_s:
            self._follow(math.copysign(self.velocity, way), left)
        else:
            self._follow(math.copysign(self.velocity, way), ramp_s)
            self._programme = self.target
            self._follow(0.0, left - ramp_s)
        return self.value

    @property
    def done(self) -> bool:
        """Whether it has come to where it was told to go."""
        return self._programme == self.target and abs(self.value - self.target) <= self.deadband

    @property
    def left(self) -> float:
        """Part of the way that is left, 1 to 0."""
        return abs(self.target - self.value) / self._way if self._way > 0.0 else 0.0

    def _follow(self, velocity: float, time_s: float) -> None:
        before = self._programme
        self._programme += velocity * time_s
        if self._lag_s > 0.0:
            behind = velocity * self._lag_s
            left = (self.value - before + behind) * math.exp(-time_s / self._lag_s)
            self.value = self._programme - behind + left
        else:
            self.value = self._programme
