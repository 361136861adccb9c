"""Rows of a table cut into frames: so many rows, or so long a time; what is missing between them is counted.

The interval between rows is the median of the last differences, so that a pause or a jump of the clock does not change
it. A row that comes later than 1.5 intervals after the one before it tells that rows are missing. A time that runs
backwards begins a new frame, and says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from insitu.readers.line_table import Row

FEW = 4
"""Rows that tell the interval, for a choice that has to be made at the beginning."""
REMEMBERED = 31
SLOW_NS = 100_000_000
"""Rows that follow each other more slowly are frames of their own."""
SECOND = 1_000_000_000


class Window(NamedTuple):
    """Rows of one frame: `number` counts windows (time windows without rows too); `missing` rows before or between
    them; `interval_ns` between rows, 0 where not known; `even`: they follow each other evenly; `back`: the time ran
    backwards before the first of them."""

    rows: tuple[Row, ...]
    number: int
    missing: int
    interval_ns: int
    even: bool
    back: bool


class Windows:
    """Cuts rows into frames. `rows`: so many each; `length_ns`: so long each; neither: one row each where they follow
    slowly (`SLOW_NS`), else one second each."""

    def __init__(self, rows: int | None, length_ns: int | None) -> None:
        self._rows, self._length = rows, length_ns
        self._decided = rows is not None or length_ns is not None
        self._held: list[Row] = []
        self._waiting: list[Row] = []
        self._gaps: deque[int] = deque(maxlen=REMEMBERED)
        self._last: int | None = None
        self._number, self._missing, self._back = 0, 0, False
        self._anchor = 0  # where the time windows begin, ns
        self._slot = 0

    def add(self, row: Row) -> Iterator[Window]:
        """Take one row; the windows that it completes."""
        if not self._decided:
            self._waiting.append(row)
            if len(self._waiting) < FEW:
                return
            yield from self._decide()
        else:
            yield from self._take(row)

    def finish(self) -> Iterator[Window]:
        """No row follows: what is held is the last window."""
        if not self._decided:
            yield from self._decide()
        if self._held:
            yield self._close()

    def _decide(self) -> Iterator[Window]:
        times = [row.time_ns for row in self._waiting]
        gaps = sorted(b - a for a, b in pairwise(times) if b > a)
        if gaps and gaps[len(gaps) // 2] < SLOW_NS:
            self._length = SECOND
        else:
            self._rows = 1
        self._decided = True
        waiting, self._waiting = self._waiting, []
        for row in waiting:
            yield from self._take(row)

    @property
    def given(self) -> int:
        """The number of the window that comes next."""
        return self._number

    def _take(self, row: Row) -> Iterator[Window]:
        back = self._last is not None and row.time_ns < self._last
        gap = 0 if self._last is None or back else row.time_ns - self._last
        if self._held and (back or (self._length is not None and self._slot_of(row) != self._slot)):
            yield self._close()
        if self._length is not None and not self._held:
            if back or self._last is None:
                self._anchor = row.time_ns - (self._number * self._length if back else 0)
            self._slot = self._number = self._slot_of(row)
        interval = self._interval()
        if interval and gap > 1.5 * interval:
            self._missing += round(gap / interval) - 1
        if gap > 0:
            self._gaps.append(gap)
        self._back = self._back or back
        self._last = row.time_ns
        self._held.append(row)
        if self._rows is not None and len(self._held) >= self._rows:
            yield self._close()

    def _slot_of(self, row: Row) -> int:
        return (row.time_ns - self._anchor) // (self._length or 1)

    def _interval(self) -> int:
        """The usual time between rows in ns; 0 where it is not known yet."""
        if len(self._gaps) < FEW - 1:
            return 0
        return sorted(self._gaps)[len(self._gaps) // 2]

    def _close(self) -> Window:
        rows, self._held = tuple(self._held), []
        gaps = [b.time_ns - a.time_ns for a, b in pairwise(rows)]
        interval = sorted(gaps)[len(gaps) // 2] if gaps else self._interval()
        even = bool(gaps) and interval > 0 and max(abs(g - interval) for g in gaps) <= 0.01 * interval + 1000
        done = Window(rows, self._number, self._missing, interval, even, self._back)
        self._number, self._missing, self._back = self._number + 1, 0, False
        return done
