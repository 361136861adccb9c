"""Numbers of a log beside the instrument (furnace, potentiostat, magnet) joined to frames by time.

A frame gets, in its context, the value of each column at its own time on the log's clock: of the nearest row, of the
row before, or interpolated between two. No value where the rows are further away than `max_gap`. What is joined is
frozen at arrival and stored with the frame: a replay reads it from there and never looks at the log again.

The uncertainty of a value is what the clock can be wrong by, times how fast the value changes there.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from insitu import units
from insitu.errors import ConfigError, InsituError
from insitu.maths.offset import estimate_offset
from insitu.readers.header import SECOND, zone
from insitu.readers.timelog import Column, TimeLog, slugged
from insitu.types import Arrival, Detector, Feature, Invalid, Reader

log = logging.getLogger(__name__)
POLL_S = 0.1
"""How often a log that is being written is looked at while a frame waits for it."""


class Join:
    """One log, `[[join]]` of a detector file.

    `path`: the log. `columns`: {name in the context: title of the column}; without it, all columns under names made
    of their titles. `units`: {name: unit} where the title does not tell. `time`, `start`, `time_format`, `timezone`:
    how the log tells its time. `method`: nearest, previous or interpolate. `max_gap` (s): how far the rows used may
    be from the frame. `at`: the frame's time, its start or its middle. `offset` (s): what is added to the log's times
    to get those of the frames, known to `offset_sigma` (s). `align`: a name in the context that the frames have
    themselves and that the log has too: the offset is then estimated from both (files only). `hold` (s): how long a
    live frame waits for the row after it; then it takes the last one.
    """

    def __init__(
        self,
        path: Path,
        *,
        columns: dict[str, str] | None = None,
        units: dict[str, str] | None = None,
        time: str = "",
        start: str = "",
        time_format: str = "",
        timezone: str = "",
        method: Literal["nearest", "previous", "interpolate"] = "interpolate",
        max_gap: Annotated[float, "s"] = 60.0,
        at: Literal["start", "middle"] = "middle",
        offset: Annotated[float, "s"] = 0.0,
        offset_sigma: Annotated[float, "s"] = 1.0,
        align: str = "",
        hold: Annotated[float, "s"] = 0.0,
        detector: Detector | None = None,
    ) -> None:
        if not path.is_file() and not (detector and detector.live):
            raise ConfigError(f"there is no log {path}", where="path", expected="a file, or live = true")
        for key, value in (("max_gap", max_gap), ("offset_sigma", offset_sigma), ("hold", hold)):
            if not value >= 0:
                raise ConfigError(f"{value:g} s is no length of time", where=key, expected="0 s or more")
        self.path, self.method, self.middle, self.align = path, method, at == "middle", align
        self.max_gap_ns, self.offset_ns = round(max_gap * SECOND), round(offset * SECOND)
        self.sigma_ns, self.hold = round(offset_sigma * SECOND), float(hold)
        self.live = detector.live if detector else False
        self._wanted, self._units = dict(columns or {}), _checked(units or {})
        where = zone(timezone or (detector.timezone if detector else "UTC"))
        self._log = TimeLog(path, where, time=time, start=start, time_format=time_format)
        self._trouble = ""
        if align and self.live:
            raise ConfigError("a live source cannot be aligned beforehand", where="align", expected="offset instead")

    def read(self, *, whole: bool = False) -> bool:
        """Take what the log holds; whether rows came. `whole`: nothing more will be written. A log that cannot be
        read costs its values, never the frames; what is wrong is told once."""
        try:
            came = self._log.refresh()
            if whole:
                self._log.finish()
            self._trouble = "" if self._log.columns else f"the log {self.path.name} has no rows yet"
        except InsituError as e:
            came = False
            if str(e) != self._trouble:
                log.warning("%s: no values are joined from it", e)
            self._trouble = str(e)
        if self._log.skipped:
            log.warning("%d rows are passed over, the first: %s", len(self._log.skipped), self._log.skipped[0])
            self._log.skipped.clear()
        return came

    def columns(self) -> dict[str, Column]:
        """{name in the context: column}."""
        of = {c.title: c for c in self._log.columns} | {c.name: c for c in self._log.columns}
        if not self._wanted:
            return {c.name: c for c in self._log.columns if c.name in self._log.values}
        return {
            name: of.get(title) or of.get(slugged(title)) or Column(title, "", "")
            for name, title in self._wanted.items()
        }

    def moment(self, arrival: Arrival) -> int:
        """The frame's time on the log's clock, ns."""
        middle = arrival.duration_ns // 2 if self.middle else 0
        return arrival.time_ns + middle - self.offset_ns

    def waits(self, arrival: Arrival) -> bool:
        """Whether a row after the frame may still come and is needed."""
        times = self._log.times_ns
        return self.method != "previous" and (not times or times[-1] < self.moment(arrival))

    def values(self, arrival: Arrival) -> dict[str, Feature]:
        """The value of each column at the frame's time."""
        at, found = self.moment(arrival), {}
        sigma_ns = math.hypot(self.sigma_ns, arrival.clock_sigma_ns)
        columns = self.columns() if self._log.columns else {name: Column("", "", "") for name in self._wanted}
        for name, column in columns.items():
            unit = self._units.get(name, column.unit)
            if self._trouble or not column.name or column.name not in self._log.values:
                why = self._trouble or f"the log {self.path.name} has no column {column.title!r}"
                found[name] = Feature(None, unit, why=why.replace(f"{self.path.parent}/", ""))
            else:
                found[name] = self._value(self._log.values[column.name], at, sigma_ns, unit)
        return found

    def _value(self, values: Sequence[float], at: int, sigma_ns: float, unit: str) -> Feature:
        times, before = self._log.times_ns, self._log.index(at)
        while before >= 0 and math.isnan(values[before]):
            before -= 1
        after = max(self._log.index(at) + (0 if before >= 0 and times[before] == at else 1), 0)
        while after < len(times) and math.isnan(values[after]):
            after += 1
        low = before if before >= 0 and at - times[before] <= self.max_gap_ns else None
        high = after if after < len(times) and times[after] - at <= self.max_gap_ns else None
        if self.method == "previous":
            high = None
        if low is None and high is None:
            return Feature(None, unit, why=f"no row of {self.path.name} within {self.max_gap_ns / SECOND:g} s")
        slope = self._slope(values, before, after)
        if low is None or high is None or low == high:
            value = values[high if low is None else low]  # type: ignore[index]
        elif self.method == "nearest":
            value = values[low] if at - times[low] <= times[high] - at else values[high]
        else:
            value = values[low] + (values[high] - values[low]) * ((at - times[low]) / (times[high] - times[low]))
        return Feature(float(value), unit, sigma=abs(slope) * sigma_ns)

    def _slope(self, values: Sequence[float], before: int, after: int) -> float:
        """Change per ns around the frame: between the rows on its two sides, or the last two before it."""
        times = self._log.times_ns
        if after >= len(times) or before == after:
            before, after = before - 1, before
        if before < 0 or after >= len(times) or times[after] == times[before]:
            return 0.0
        slope = (values[after] - values[before]) / (times[after] - times[before])
        return slope if math.isfinite(slope) else 0.0

    def estimate(self, arrivals: Sequence[tuple[int, Feature | None]]) -> None:
        """Set the offset from (time_ns, value) of the frames and the log's column of the same name."""
        column = self.columns().get(self.align)
        theirs = self._log.values.get(column.name, []) if column else []
        ours = [(t, float(f.value)) for t, f in arrivals if f is not None and f.value is not None]
        rows = [(t, v) for t, v in zip(self._log.times_ns, theirs, strict=False) if not math.isnan(v)]
        found = estimate_offset(*_seconds(ours, 0), *_seconds(rows, self.offset_ns))
        if found.why:
            log.warning("%s: the offset stays %g s: %s", self.path, self.offset_ns / SECOND, found.why)
            return
        self.offset_ns += round(found.offset_s * SECOND)
        self.sigma_ns = round(found.sigma_s * SECOND)
        log.info("%s: offset %+.3f s, known to %.3f s", self.path, self.offset_ns / SECOND, found.sigma_s)


class Joined:
    """A reader whose arrivals carry the values of logs in their context. What the frame carries itself wins."""

    def __init__(self, reader: Reader, joins: Sequence[Join]) -> None:
        self.reader, self.joins = reader, tuple(joins)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reader, name)  # skipped, adapt and the like are the reader's

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        for join in self.joins:
            join.read(whole=not join.live)
            if join.align:
                join.estimate(self._signal(join.align))
        stream: Any = self.reader()
        with closing(stream):
            for item in stream:
                if isinstance(item, Arrival):
                    for join in self.joins:
                        if join.live:
                            yield from self._await(join, item)
                    item = self._with(item)
                yield item

    def _signal(self, name: str) -> list[tuple[int, Feature | None]]:
        stream: Any = self.reader()
        with closing(stream):
            return [(a.time_ns, a.context.get(name)) for a in stream if isinstance(a, Arrival)]

    @staticmethod
    def _await(join: Join, arrival: Arrival) -> Generator[None]:
        """Read the log; wait for the row after the frame, at most `hold`, without falling silent."""
        join.read()
        until = time.monotonic() + join.hold
        while join.waits(arrival) and time.monotonic() < until:
            yield None
            time.sleep(min(POLL_S, join.hold))
            join.read()

    def _with(self, arrival: Arrival) -> Arrival:
        context: dict[str, Feature] = {}
        labels = dict(arrival.labels)
        for join in self.joins:
            context.update(join.values(arrival))
        own = {k: f for k, f in arrival.context.items() if f.value is not None or k not in context}
        labels["joined"] = ", ".join(join.path.name for join in self.joins)
        return replace(arrival, context={**context, **own}, labels=labels)


def _seconds(rows: Sequence[tuple[int, float]], offset_ns: int) -> tuple[list[float], list[float]]:
    return [(t + offset_ns) / SECOND for t, _ in rows], [v for _, v in rows]


def _checked(given: dict[str, str]) -> dict[str, str]:
    for name, unit in given.items():
        try:
            units.check_unit(unit)
        except units.UnitError as e:
            raise ConfigError(f"{name}: {e.what}", where="units", expected=e.expected, remedy=e.remedy) from e
    return given
