"""Points that come one by one, put together to the frame of a scan, with provisional frames on the way.

Points run along the last dimension in the order in which they were taken. A scan that is cut short gives a frame that
is marked incomplete. No sockets, no files: whoever has points calls `begin`, `add` and `end`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from insitu.errors import ConfigError
from insitu.readers.spectrum import clean, distinct
from insitu.types import KEY, Arrival, Axis, Feature


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """`[assemble]` of a detector: the name of the value along the `axis`, those of the `channels` in order, the name of
    the dimension, and after how many points a provisional frame is given (0: never)."""

    axis: str
    channels: tuple[str, ...]
    dim: str = ""
    every: int = 1

    @property
    def dimension(self) -> str:
        return self.dim or clean(self.axis) or "x"


def layout_of(table: Mapping[str, object] | None) -> Layout | None:
    """`[assemble]` as it stands in a detector file; None where there is none. `ConfigError` with the key."""
    if not table:
        return None
    known = {"axis", "channels", "dim", "every"}
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{key!r} is no key", where=f"assemble.{key}", expected=f"one of {', '.join(sorted(known))}"
            )
    axis, channels = table.get("axis"), table.get("channels")
    if not isinstance(axis, str) or not axis:
        raise ConfigError(
            "nothing says what the points run along", where="assemble.axis", expected="the name of a value"
        )
    if isinstance(channels, str) or not isinstance(channels, Sequence) or not channels:
        raise ConfigError(
            "nothing says what is measured", where="assemble.channels", expected="a list of names of values"
        )
    every, dim = table.get("every", 1), table.get("dim", "")
    if type(every) is not int or every < 0:
        raise ConfigError(f"{every!r} points", where="assemble.every", expected="a whole number, 0 for never")
    if not isinstance(dim, str) or (dim and not KEY.fullmatch(dim)):
        raise ConfigError(f"{dim!r} is no name of a dimension", where="assemble.dim", expected="such as energy")
    return Layout(axis=axis, channels=tuple(str(c) for c in channels), dim=dim, every=every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point: where it is, what was measured (in the order of the channels), when (ns since 1970-01-01 UTC)."""

    at: float
    values: tuple[float, ...]
    time_ns: int
    context: Mapping[str, Feature]


class Assembler:
    """The scan that goes on. `units`: of the axis and of each channel, told with `begin`."""

    def __init__(self, layout: Layout, source: str) -> None:
        self.layout, self.source = layout, source
        self.names = distinct([clean(name) or "col" for name in layout.channels])
        self.number = self._skipped = 0
        self._points: list[Point] = []
        self._head: Arrival | None = None
        self._axis_unit = ""

    def begin(self, head: Arrival, axis_unit: str, units: Sequence[str]) -> Arrival | None:
        """A scan begins: `head` has its labels. The frame of one that never ended, if there was one."""
        left = self.end(complete=False)
        labels = {**head.labels, "channels": " ".join(self.names)}
        self._head = replace(head, unit=tuple(units) if len(units) > 1 else units[0], labels=labels)
        self._axis_unit = axis_unit
        return left

    def add(self, point: Point) -> Arrival | None:
        """One more point; a provisional frame where it is time for one."""
        if self._head is None:
            raise ValueError("a point came before its scan began")
        self._points.append(point)
        every = self.layout.every
        if not every or len(self._points) % every:
            return None
        return replace(self._frame(self._head), complete=False, provisional=True)

    def end(self, *, complete: bool) -> Arrival | None:
        """The scan is over; None where not one point came."""
        head, self._head = self._head, None
        frame = replace(self._frame(head), complete=complete) if head is not None and self._points else None
        self._points = []
        self.number, self._skipped = self.number + (frame is not None) + self._skipped, 0
        return frame

    def skip(self) -> int:
        """A number for what is no scan: the next one, or in the middle of a scan one after it."""
        if self._head is None:
            self.number += 1
            return self.number - 1
        self._skipped += 1
        return self.number + self._skipped

    def _frame(self, head: Arrival) -> Arrival:
        values = np.array([p.values for p in self._points]).T
        dims = ("channel", self.layout.dimension)
        if len(self.names) == 1:
            values, dims = values[0], dims[1:]
        at = np.array([p.at for p in self._points])
        values = np.ascontiguousarray(values)
        for array in (values, at):
            array.flags.writeable = False
        first, last = self._points[0], self._points[-1]
        return replace(
            head,
            data=values,
            dims=dims,
            axes={self.layout.dimension: Axis(at, self._axis_unit)},
            time_ns=first.time_ns,
            source_seq=self.number,
            context=last.context,
        )
