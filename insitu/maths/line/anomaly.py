"""How far one number departs from all that it did before: over several spans at once, and in one jump.

For each span `s` the mean of the last `s` values is compared with the last `memory` such means. Their median and the
5 % and 95 % quantiles give a spread for either side, in standard deviations of a normal distribution:

    z = (mean - median) / ((q95 - median) / 1.645) above the median, and the same with q05 below it

Numbers whose tails are longer than normal ones (times, counts, what is zero most of the time) tell so by their outer
quantiles: where there are enough independent values, the largest of the spreads by 95 %, 99 % and 99.8 % counts.

Values of a machine follow each other slowly, so `n` of them are worth fewer independent ones. How many is told by how
often they cross their median: for a Gaussian process with correlation r between a mean and the next one that shares
no value with it, the chance of a crossing is arccos(r) / pi (S. O. Rice, Bell Syst. Tech. J. 24 (1945) 46), and n of
them are worth n (1 - r) / (1 + r). That needs no moments, so that wild values do not disturb it. The z allowed is the
quantile of Student's t for `EFFICIENCY` times as many degrees of freedom, at the chance that makes one false alarm in
so many frames. `EFFICIENCY` and `EXTREMES` are from simulated autocorrelated series: benchmarks/line_rates.py.

A jump is a value that is further from the median of the `LOCAL` before it than `factor` times the furthest ever: it
needs no distribution at all, and neither slow drift nor a level that wanders hides it. A value that stood still for
`STOOD` times as long as it takes to learn jumps when it leaves its place.
"""

from __future__ import annotations

import math
from collections import deque
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.special import stdtrit

Z95 = 1.6448536269514722
"""The 95 % quantile of the normal distribution."""
EFFICIENCY = 0.6
"""Degrees of freedom of one side's spread, per independent value."""
EXTREMES = 4.0
"""Chances that a correlated value has, while it is worth one independent value, to be beyond a level."""
PARTS = np.array([0.05, 0.01, 0.002, 0.95, 0.99, 0.998, 0.5])
"""The quantiles: of the lower side from the inside to the outside, of the upper one, and the median."""
WIDTHS = (Z95, 2.3263478740408408, 2.8781617390954826)
"""How far they are from the median, in standard deviations of a normal distribution."""
ENOUGH = (0.0, 300.0, 1500.0)
"""Independent values from which on they count: 3 of them are further out then."""
FEWEST_FREEDOM = 2.0
"""With fewer degrees of freedom nothing is said."""
STEPS = 8
"""A span adds a mean to its history this often while it passes once."""
HELD = 0.33
"""The newest part of what is known is not compared with yet: a slow drift would be learnt as fast as it comes."""
LOCAL = 8
"""Values before a jump, whose median it is measured from."""
STOOD = 4
"""Times `learn` that a number has stood still before leaving its place is a jump."""
CEILING = 1e6
"""Largest departure given."""


class Departed(NamedTuple):
    """How far a mean is from its history: `z` (signed), what is `allowed`, the mean, the history's `median`, the spread
    `sigma` on that side, how many independent values the history is `worth`, and the span in frames."""

    z: float
    allowed: float
    mean: float
    median: float
    sigma: float
    worth: float
    span: int

    @property
    def ratio(self) -> float:
        """|z| over what is allowed: more than 1 is a departure."""
        return abs(self.z) / self.allowed


class Jumped(NamedTuple):
    """A jump of `size` (signed) from the level `before`, and the `largest` one known (not signed; 0: none)."""

    size: float
    before: float
    largest: float

    @property
    def ratio(self) -> float:
        """How many times as far as ever before; infinite where it never moved."""
        return abs(self.size) / self.largest if self.largest > 0.0 else math.inf


@njit(cache=True)
def _learn(ordered: np.ndarray, ring: np.ndarray, count: int, at: int, value: float, lag: int) -> tuple:
    """Put `value` at place `at` of the ring `(m,)` and among the ordered values `(m,)`, of which `count` are there
    (the oldest leaves a full ring). The quantiles `PARTS` `(7,)`, the part of the values that are the median, and
    the part of the values that are on another side of the median than the value `lag` before them (values on the
    median count half)."""
    size = ring.size
    if count == size:
        old = np.searchsorted(ordered[:count], ring[at])
        for i in range(old, count - 1):
            ordered[i] = ordered[i + 1]
        count -= 1
    place = np.searchsorted(ordered[:count], value)
    for i in range(count, place, -1):
        ordered[i] = ordered[i - 1]
    ordered[place], ring[at] = value, value
    count += 1
    quantiles = np.empty(PARTS.size)
    for k, part in enumerate(PARTS):
        low = int(part * (count - 1))
        high = min(low + 1, count - 1)
        quantiles[k] = ordered[low] + (part * (count - 1) - low) * (ordered[high] - ordered[low])
    start, median, crossed = at + 1 if count == size else 0, quantiles[6], 0.0
    i, j = (start + lag) % size, start % size
    for _ in range(lag, count):
        a, b = ring[i] - median, ring[j] - median
        if a == 0.0 or b == 0.0:
            crossed += 0.5 if a != b else 0.0
        elif (a > 0.0) != (b > 0.0):
            crossed += 1.0
        i, j = i + 1 if i + 1 < size else 0, j + 1 if j + 1 < size else 0
    part = crossed / (count - lag) if count > lag else 0.0
    here = np.searchsorted(ordered[:count], median, side="right") - np.searchsorted(ordered[:count], median)
    return quantiles, here / count, part


def worth(crossed: float, values: float) -> float:
    """Independent values that `values` are worth of which the part `crossed` is on another side of the median than
    the value before.

    >>> round(worth(0.5, 1000.0)), round(worth(0.03, 1000.0), 1)
    (1000, 2.2)
    """
    return values * math.tan(0.5 * math.pi * min(crossed, 0.5)) ** 2


@lru_cache(maxsize=65536)
def allowed(freedom: int, log_chance: int) -> float:
    """|z| that a value exceeds with chance 10^(-log_chance / 10), for `freedom` quarters of a degree of freedom.

    >>> round(allowed(4000, 43), 2), round(allowed(20, 43), 2)
    (4.07, 12.89)
    """
    return -float(stdtrit(0.25 * freedom, 0.5 * 10.0 ** (-0.1 * log_chance)))


class Span:
    """The means of the last `span` values, and their history of at most `memory` means.

    `once_in`: frames in which this span alone may give one false alarm. `learn`: frames before it says anything.
    `relearn_after`: a departure that lasts for so many frames is the new normal; 0 is never.

    >>> rng = np.random.default_rng(0)
    >>> span = Span(1, memory=1000, once_in=1e6, learn=0, relearn_after=0)
    >>> found = [span.judge(x) for x in [*rng.normal(20.0, 1.0, 500), 29.0]]
    >>> any(d.ratio > 1 for d in found[:-1] if d), found[-1].ratio > 1, round(found[-1].z)
    (False, True, 9)
    """

    __slots__ = (
        "_at", "_count", "_every", "_freedom", "_held", "_lag", "_last", "_learn", "_log", "_new", "_once_in",
        "_ordered", "_outer", "_place", "_relearn_after", "_ring", "_seen", "_since", "span",
    )  # fmt: skip

    def __init__(self, span: int, *, memory: int, once_in: float, learn: int, relearn_after: int) -> None:
        self.span, self._once_in, self._learn, self._relearn_after = span, once_in, learn, relearn_after
        self._every = max(span // STEPS, 1)
        self._lag = -(-span // self._every)
        self._last = np.zeros(span)
        self._seen = 0
        self._ordered, self._ring = np.zeros(memory), np.zeros(memory)
        self._restart()

    def _restart(self) -> None:
        self._count = self._at = self._since = self._held = 0
        self._new: deque[float] = deque()
        self._place: list[float] = [0.0] * len(PARTS)
        self._freedom = self._outer = self._log = 0.0

    def judge(self, value: float, resolution: float = 0.0) -> Departed | None:
        """Take one more value; how far the mean that ends with it departs. None while there is too little to say.

        What departs is not learnt. `resolution`: the spread is never less."""
        self._last[self._seen % self.span] = value
        self._seen += 1
        if self._seen < self.span:
            return None
        mean = float(np.add.reduce(self._last)) / self.span
        found = self._departed(mean, resolution)
        if found is not None and found.ratio > 1.0:
            self._held += 1
            if self._relearn_after and self._held >= self._relearn_after:
                self._restart()
            return found
        self._held = 0
        self._since += 1
        if self._since >= self._every:
            self._add(mean)
        return found

    def _add(self, mean: float) -> None:
        self._since = 0
        self._new.append(mean)
        while len(self._new) > HELD * (self._count + len(self._new)):
            self._enter(self._new.popleft())

    def _enter(self, mean: float) -> None:
        place, tied, crossed = _learn(self._ordered, self._ring, self._count, self._at, mean, self._lag)
        self._place, ties = place.tolist(), tied > 0.5
        self._at = (self._at + 1) % self._ring.size
        self._count = count = min(self._count + 1, self._ring.size)
        independent = worth(crossed, count / self._lag)
        self._freedom = EFFICIENCY * independent
        # what is on its median most of the time crosses it seldom, whether values follow each other or not
        self._outer = count / self._lag if ties else independent
        per_value = self._every * count / max(independent, 1e-9)  # frames
        self._log = 10.0 * math.log10(max(EXTREMES * self._once_in / per_value, 10.0))

    def _departed(self, mean: float, resolution: float) -> Departed | None:
        if self._freedom < FEWEST_FREEDOM or self._seen <= self._learn:
            return None
        median = self._place[6]
        outer = self._place[3:6] if mean > median else self._place[:3]
        sigma = max(
            abs(q - median) / width
            for q, width, least in zip(outer, WIDTHS, ENOUGH, strict=True)
            if self._outer >= least
        )
        sigma = max(sigma, resolution)
        away = mean - median
        z = away / sigma if abs(away) < CEILING * sigma else math.copysign(CEILING, away) if away else 0.0
        limit = allowed(int(4.0 * self._freedom), round(self._log))
        return Departed(z, limit, mean, median, sigma, self._freedom / EFFICIENCY, self.span)


class Jump:
    """The furthest that a value ever was from the median of the `LOCAL` before it, in the last `memory` frames.

    `factor`: a jump is so many times further. `learn`: frames before it says anything.

    >>> rng = np.random.default_rng(0)
    >>> jump = Jump(2.0, memory=1000, learn=50)
    >>> found = [jump.judge(x) for x in [*rng.normal(20.0, 1.0, 500), 29.0]]
    >>> [i for i, j in enumerate(found) if j]
    [500]
    """

    __slots__ = ("_largest", "_last", "_learn", "_n", "_parts", "_size", "factor")

    def __init__(self, factor: float, *, memory: int, learn: int) -> None:
        self.factor, self._learn = factor, learn
        self._last: list[float] = []
        self._parts: list[float] = [0.0]  # the largest of each tenth of the memory
        self._size, self._n = max(memory // 10, 1), 0

    def judge(self, value: float, resolution: float = 0.0) -> Jumped | None:
        """Take one more value; the jump that it is, None where it is none. `resolution`: nothing less is a jump."""
        known, self._last = self._last, [*self._last[1 - LOCAL :], value]
        if len(known) < LOCAL:
            return None
        before = sorted(known)
        level = 0.5 * (before[LOCAL // 2 - 1] + before[LOCAL // 2])
        size, largest = value - level, max(self._parts)
        self._n += 1
        known_long = self._n > (self._learn if largest > 0.0 else STOOD * self._learn)
        if known_long and abs(size) > max(self.factor * largest, resolution, 1e-9 * abs(level)):
            if not largest > 0.0:
                self._parts[-1] = abs(size)  # it moves, that is known from now on
            return Jumped(size, level, largest)
        if self._n % self._size == 0:
            self._parts = [*self._parts[-9:], 0.0]
        if self._n > min(LOCAL, self._learn):  # what comes right after the start is no measure
            self._parts[-1] = max(self._parts[-1], abs(size))
        return None
