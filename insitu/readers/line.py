"""Sensors of a machine or a production line: channels at different rates, one frame for each cycle, window or row.

Tables with a time and columns of values (`.csv`, `.txt`, `.tsv`, EC-Lab `.mpt`) give a frame for each row where they
are slow, or for each window; a table may grow while it is read. `.npz` and HDF5 files with an array (cycle, sample)
for each channel give a frame for each cycle.

Frames have dims (channel, sample); the label `channels` holds the names. Channels with fewer samples end before the
row does: the rest is masked. `sample_rate` and `rate_NAME` (Hz) are in the context where they are known. Values that
are missing in the source stay NaN, and are masked. `missing_rows` in the context tells of rows that a table lacks.
`source_seq` counts frames of a table, or is the machine's own number of a cycle: cycles that the file lacks are lost
frames then. Times that nobody wrote begin at the file's modification time (clock "arrival") or at `start`.
"""

from __future__ import annotations

import logging
import time as clock
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.maths.aligned import empty
from insitu.readers.header import SECOND, read_time, zone
from insitu.readers.line_cycles import SUFFIXES, Cycles, is_cycles, read_cycles
from insitu.readers.line_table import LineTable, Row
from insitu.readers.line_windows import Window, Windows
from insitu.readers.series import find, read_whole
from insitu.readers.timelog import slugged
from insitu.types import Arrival, Detector, Feature, Invalid

FORMATS = "a table with a column of times (.csv, .txt, .tsv), or arrays (cycle, sample) in .npz or .h5"
TABLES = (".csv", ".txt", ".tsv", ".dat", ".mpt", ".log", "")
TICK = 0.1
"""Wait between two looks at a table that grows, s."""

log = logging.getLogger(__name__)


class Line:
    """A reader of machine and line sensors (see the head of this file).

    `path`: a file, a folder or a glob. `channels`: which, by name, in this order (default: all). `rows` or `window`: so
    many rows, or so long a time, in a frame of a table (default: a row where they are slower than 10 a second, else a
    second). `rate`: of a table without times; `rates`: of channels of cycles, {name: Hz}; `cycle_time`: how long a
    cycle takes, which tells the rates too. `start`: when the first began. `channel_units`: {name: unit} where the file
    does not say. `time`, `time_format`: the column of times and how it is written; `timezone` of times that do not say.
    `follow`: the table grows; the run ends when no row has come for `idle` s, or a file named `sentinel` is beside it.
    """

    labels = ("file", "channels", "warning")

    def __init__(
        self,
        path: str,
        *,
        pattern: str = "",
        channels: list[str] | None = None,
        channel_units: dict[str, str] | None = None,
        rows: int | None = None,
        window: Annotated[float, "s"] | None = None,
        rate: Annotated[float, "Hz"] | None = None,
        rates: dict[str, Annotated[float, "Hz"]] | None = None,
        cycle_time: Annotated[float, "s"] | None = None,
        start: str = "",
        time: str = "",
        time_format: str = "",
        timezone: str = "",
        follow: bool = False,
        idle: Annotated[float, "s"] = 30.0,
        sentinel: str = "",
        count: int | None = None,
        detector: Detector | None = None,
    ) -> None:
        if rows is not None and window is not None:
            raise ConfigError("a frame has so many rows, or is so long", where="rows", expected="rows or window")
        told = {"rows": rows, "window": window, "rate": rate, "cycle_time": cycle_time, "idle": idle, "count": count}
        for key, value in (told | {f"rates.{k}": v for k, v in (rates or {}).items()}).items():
            if value is not None and not 0 < value < 1e9:
                raise ConfigError(f"{key} is {value:g}", where=key, expected="more than 0")
        if window is not None and window < 1e-6:
            raise ConfigError(f"a window of {window:g} s", where="window", expected="1e-6 s or more")
        if follow and Path(path).expanduser().is_dir():
            raise ConfigError(
                "a folder cannot be followed", where="follow", expected="the one table that grows", remedy="Name it"
            )
        self.path, self.pattern, self.follow, self.idle, self.sentinel = str(path), pattern, follow, idle, sentinel
        self.channels, self.rows, self.window, self.rate = tuple(channels or ()), rows, window, rate
        self.rates = {slugged(k): float(v) for k, v in (rates or {}).items()}
        self.cycle_time, self.count = cycle_time, count
        self.units = {slugged(k): v for k, v in (channel_units or {}).items()}
        self.source = detector.source if detector else "line"
        self._zone = zone(timezone or (detector.timezone if detector else "UTC"))
        self._time, self._format, self._start = time, time_format, start
        if start and read_time(start, self._zone) is None:
            raise ConfigError(f"start = {start!r} is no time", where="start", expected="such as 2026-01-31T12:00:00")

    def __call__(self) -> Iterator[Arrival | Invalid | None]:
        seq = given = 0
        if self.follow:
            files = [Path(self.path).expanduser()]
        else:
            files = [p for p in find(self.path, self.pattern) if self.pattern or _ours(p) or str(p) == self.path]
        if not files:
            raise SourceError("there is no table and no file of cycles here", where=self.path, expected=FORMATS)
        for path in files:
            last = seq - 1
            for item in self._file(path, seq, alone=len(files) == 1):
                yield item
                if item is not None:
                    last, given = item.source_seq if item.source_seq is not None else last + 1, given + 1
                    if given == self.count:
                        return
            seq = last + 1
        if not given:
            raise SourceError("the table has no rows", where=self.path, expected=FORMATS)

    def _file(self, path: Path, seq: int, *, alone: bool) -> Iterator[Arrival | Invalid | None]:
        try:
            yield from self._cycles(path, seq) if not self.follow and is_cycles(path) else self._table(path, seq)
        except FormatError as error:
            if alone:
                raise
            found = read_whole(path)
            yield Invalid(
                source=self.source, reason=str(error), payload=found.data[: 1 << 20], name=found.name, source_seq=seq
            )

    # ---- tables ----------------------------------------------------------------------------------------------------

    def _table(self, path: Path, seq: int) -> Iterator[Arrival | Invalid | None]:
        began, since = clock.monotonic(), clock.monotonic()
        while self.follow and not path.exists():
            if clock.monotonic() - began > self.idle:
                raise SourceError(f"the table did not appear within {self.idle:g} s", where=str(path))
            yield None
            clock.sleep(TICK)
        mtime_ns = _mtime_ns(path)
        start_ns = self._start_ns(mtime_ns)
        table = LineTable(
            path, self._zone, time=self._time, start=self._start, time_format=self._format, rate=self.rate,
            start_ns=start_ns, channels=self.channels,
        )  # fmt: skip
        cut = Windows(self.rows, None if self.window is None else round(self.window * SECOND))
        written = self.rate is None
        broken: list[Row] = []
        while True:
            ending = not self.follow or clock.monotonic() - since >= self.idle or self._ended(path)
            came = table.read(whole=ending)
            for row in _drained(table):
                if row.problem:
                    broken.append(row)
                    continue
                for window in cut.add(row):
                    yield self._window(table, window, seq, path.name, written)
                    for bad in broken:  # each takes a number of its own, so that none is taken for a copy
                        seq += 1
                        yield self._refused(bad, seq + window.number, path.name)
                    broken.clear()
            if ending:
                break
            if came:
                since = clock.monotonic()
            yield None
            if not came:
                clock.sleep(TICK)
        number = seq + cut.given - 1
        if broken and not table.good and not self.follow:
            raise FormatError(f"none of the {len(broken):,} rows can be read; the first: {broken[0].problem}")
        for window in cut.finish():
            yield self._window(table, window, seq, path.name, written)
            number = seq + window.number
        for bad in broken:
            number += 1
            yield self._refused(bad, number, path.name)

    def _refused(self, row: Row, number: int, file: str) -> Invalid:
        return Invalid(source=self.source, reason=row.problem, payload=row.payload, name=file, source_seq=number)

    def _window(self, table: LineTable, window: Window, seq: int, file: str, written: bool) -> Arrival:
        data = empty((len(table.channels), len(window.rows)), np.dtype(np.float64))
        data[...] = np.array([row.values for row in window.rows], np.float64).T
        data.flags.writeable = False
        names = [column.name for column in table.channels]
        context: dict[str, Feature] = {}
        if window.interval_ns:
            context["missing_rows"] = Feature(window.missing, "")
            if window.even:
                context["sample_rate"] = Feature(SECOND / window.interval_ns, "Hz")
        labels = {"file": file, "channels": " ".join(names)}
        warnings = [f"the column {title} holds text, it is not read" for title in table.texts]
        if window.back:
            warnings.append(f"the time runs backwards at line {window.rows[0].line}")
        if len(window.rows) > 1 and window.interval_ns and not window.even:
            warnings.append("the rows do not follow each other evenly")
        if warnings:
            labels["warning"] = "; ".join(warnings)[:400]
        times = [row.time_ns for row in window.rows]
        first, last = times[0], times[-1]
        return Arrival(
            source=self.source, data=data, dims=("channel", "sample"),
            unit=tuple(self.units.get(c.name, c.unit) for c in table.channels),
            time_ns=first, duration_ns=last - first + window.interval_ns if len(window.rows) > 1 else 0,
            clock="header" if written and not table.relative else "arrival", clock_sigma_ns=SECOND,
            source_seq=seq + window.number, mask=_mask(data), context=context, labels=labels,
        )  # fmt: skip

    def _ended(self, path: Path) -> bool:
        return bool(self.sentinel) and (path.parent / self.sentinel).exists()

    def _start_ns(self, otherwise: int) -> int:
        told = read_time(self._start, self._zone) if self._start else None
        return told[0] if told else otherwise

    # ---- cycles ----------------------------------------------------------------------------------------------------

    def _cycles(self, path: Path, seq: int) -> Iterator[Arrival | None]:
        found = read_whole(path)
        if found.problem:
            raise FormatError(found.problem, where=str(path), remedy="Check its permissions and its size")
        cycles = read_cycles(path, found.data, self.channels)
        units = tuple(self.units.get(name, cycles.units.get(name, "")) for name in cycles.channels)
        rates, begin, period = (
            self._rates(cycles),
            self._start_ns(found.mtime_ns),
            round((self.cycle_time or 0) * SECOND),
        )
        numbers = cycles.numbers if cycles.numbers is not None else np.arange(len(cycles)) + seq
        labels = {"file": found.name, "channels": " ".join(cycles.channels)}
        if len(cycles) > 1 and not (np.diff(numbers) > 0).all():  # frames of one number would be taken for copies
            labels["warning"] = "the machine's numbers of the cycles do not rise: frames are counted, see `cycle`"
            cycles.context["cycle"], numbers = numbers, np.arange(len(cycles)) + seq
        longest = max(int(a.shape[1]) for a in cycles.channels.values())
        for i in range(len(cycles)):
            data = empty((len(cycles.channels), longest), next(iter(cycles.channels.values())).dtype)
            ends = np.zeros(data.shape, bool)
            for row, values in enumerate(cycles.channels.values()):
                data[row, : values.shape[1]], data[row, values.shape[1] :] = values[i], 0
                ends[row, values.shape[1] :] = True
            data.flags.writeable = False
            mask = _mask(data)
            masked = (ends if mask is None else ends | mask) if ends.any() or mask is not None else None
            elapsed = int(numbers[i] - numbers[0]) * period
            timed = cycles.times_ns is not None
            yield Arrival(
                source=self.source, data=data, dims=("channel", "sample"), unit=units,
                time_ns=int(cycles.times_ns[i]) if cycles.times_ns is not None else begin + elapsed,
                duration_ns=period, clock="header" if timed or self._start else "arrival", clock_sigma_ns=SECOND,
                source_seq=int(numbers[i]), mask=masked,
                context=rates | {k: Feature(v[i].item(), "") for k, v in cycles.context.items() if np.isfinite(v[i])},
                labels=labels,
            )  # fmt: skip

    def _rates(self, cycles: Cycles) -> dict[str, Feature]:
        """`sample_rate` of the fastest channel and `rate_NAME` of the others, Hz, where they are known."""
        known: dict[str, float] = {}
        for name, values in cycles.channels.items():
            rate = self.rates.get(name, cycles.rates.get(name))
            if rate is None and self.cycle_time is not None:
                rate = values.shape[1] / self.cycle_time
            if rate is not None:
                known[name] = rate
        unknown = [name for name in self.rates if name not in cycles.channels]
        if unknown:
            raise ConfigError(
                f"there is no channel {unknown[0]!r}", where="rates", expected=f"some of {', '.join(cycles.channels)}"
            )
        if not known:
            return {}
        fastest = max(known.values())
        if len(known) < len(cycles.channels):
            return {f"rate_{name}": Feature(rate, "Hz") for name, rate in known.items()}
        rates = {"sample_rate": Feature(fastest, "Hz")}
        return rates | {f"rate_{name}": Feature(rate, "Hz") for name, rate in known.items() if rate != fastest}


def _drained(table: LineTable) -> Iterator[Row]:
    while table.rows:
        yield table.rows.popleft()


def _mask(data: np.ndarray) -> np.ndarray | None:
    """True where there is no number; None where there is one everywhere."""
    if data.dtype.kind != "f":
        return None
    gone = ~np.isfinite(data)
    return gone if gone.any() else None


def _ours(path: Path) -> bool:
    return path.suffix.lower() in (*TABLES, *SUFFIXES)


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise SourceError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
