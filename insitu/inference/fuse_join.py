"""The last values of one source, in order of time, and the one that belongs to a moment."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Literal, NamedTuple

from insitu.types import Feature

How = Literal["nearest", "previous", "interpolate"]
MOST_KEPT = 100_000
SECOND = 1e9


class Row(NamedTuple):
    """The values of one frame; `time_ns` by the source's own clock."""

    time_ns: int
    n: int
    values: tuple[Feature, ...]

    @property
    def why(self) -> str:
        """Why it cannot be used; empty where every value is there."""
        return next((f.why or "no value" for f in self.values if f.value is None), "")


class Picked(NamedTuple):
    """What a source says of a moment: numbers in the order of its features, their units, how long before the moment
    they were taken (negative: after it), and the newest frame used. Without numbers, `why`."""

    numbers: tuple[float, ...]
    units: tuple[str, ...]
    age_s: float
    n: int
    why: str = ""


def nothing(why: str) -> Picked:
    """No value, and why."""
    return Picked((), (), 0.0, -1, why)


class Timeline:
    """Rows of one source. They may come in any order; those of the past are forgotten by `forget`.

    >>> line = Timeline()
    >>> for n, t in enumerate((0, 2, 1)):
    ...     line.add(Row(t * 10**9, n, (Feature(10.0 * t, "K"),)))
    >>> line.pick(1_200_000_000, "nearest", 10**9).numbers, line.pick(1_200_000_000, "interpolate", 10**9).numbers
    ((10.0,), (12.0,))
    """

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self.latest_ns: int | None = None
        """Time of the row that came last: a single time that is far off misleads once, not for good."""

    def add(self, row: Row) -> None:
        """Take a row to its place in time."""
        insort(self._rows, row, key=_place)
        self.latest_ns = row.time_ns
        if len(self._rows) > MOST_KEPT:
            del self._rows[: MOST_KEPT // 2]

    def forget(self, before_ns: int) -> None:
        """Rows before a time are not needed any more (the last one of them is kept)."""
        del self._rows[: max(bisect_left(self._rows, before_ns, key=_time) - 1, 0)]

    def pick(self, at_ns: int, how: How, reach_ns: int) -> Picked:
        """The values at a time, of rows within `reach_ns`."""
        at = bisect_left(self._rows, (at_ns + 1,), key=_place)
        before, missing = self._usable(range(at - 1, -1, -1), at_ns, reach_ns)
        after, missed = self._usable(range(at, len(self._rows)), at_ns, reach_ns)
        if how == "previous":
            after = None
        if before is None and after is None:
            why = missing or missed
            return nothing(why or f"no value within {reach_ns / SECOND:.3g} s{self._distance(at, at_ns)}")
        if before is None or after is None or before.time_ns == at_ns:
            return _of(before or after, at_ns)
        if how == "interpolate" and all(a.unit == b.unit for a, b in zip(before.values, after.values, strict=True)):
            return _between(before, after, at_ns)
        return _of(before if at_ns - before.time_ns <= after.time_ns - at_ns else after, at_ns)

    def _usable(self, places: range, at_ns: int, reach_ns: int) -> tuple[Row | None, str]:
        """The nearest row whose values are all there; else what is missing in the nearest one."""
        missing = ""
        for i in places:
            row = self._rows[i]
            if abs(row.time_ns - at_ns) > reach_ns:
                break
            if not row.why:
                return row, ""
            missing = missing or row.why
        return None, missing

    def _distance(self, at: int, at_ns: int) -> str:
        """How far away the nearest row is, for people."""
        near = [abs(self._rows[i].time_ns - at_ns) for i in (at - 1, at) if 0 <= i < len(self._rows)]
        return f": the nearest one is {min(near) / SECOND:.3g} s away" if near else ": none has come"


def _place(row: Row) -> tuple[int, int]:
    return (row.time_ns, row.n)


def _time(row: Row) -> int:
    return row.time_ns


def _of(row: Row | None, at_ns: int) -> Picked:
    assert row is not None
    numbers = tuple(float(f.value) for f in row.values if f.value is not None)
    return Picked(numbers, tuple(f.unit for f in row.values), (at_ns - row.time_ns) / SECOND, row.n)


def _between(before: Row, after: Row, at_ns: int) -> Picked:
    part = (at_ns - before.time_ns) / (after.time_ns - before.time_ns)
    first, second = _of(before, at_ns), _of(after, at_ns)
    numbers = tuple(x + part * (y - x) for x, y in zip(first.numbers, second.numbers, strict=True))
    age = first.age_s if first.age_s <= -second.age_s else second.age_s
    return Picked(numbers, first.units, age, max(before.n, after.n))
