"""Rows of a machine's table, one by one as they come: a time and the values of the channels, every row kept.

Names, units, separators, decimal commas and the many ways to write a time are those of `insitu.readers.timelog`. Unlike
a log that is joined to frames, no row is passed over because its time runs backwards (summer time ends): it is given
as it is written. A row that is no row is given with its bytes and the reason.
"""

from __future__ import annotations

import math
from collections import deque
from datetime import UTC, tzinfo
from pathlib import Path
from typing import NamedTuple

from insitu.errors import FormatError, SourceError
from insitu.readers.header import SECOND
from insitu.readers.timelog import Column, TimeLog
from insitu.readers.waveform_track import SECONDS

LEAST_EPOCH = 1e8
"""Seconds; less cannot be a time since 1970 in any unit."""
LONGEST = 1 << 20
"""No row is longer (bytes)."""


class Row(NamedTuple):
    """One row: its time in ns since 1970 UTC, the values of the channels (NaN where there is no number); or `problem`
    and the bytes of what is no row. `line`: where it stands in the file."""

    time_ns: int
    values: tuple[float, ...]
    line: int
    problem: str = ""
    payload: bytes = b""


class LineTable(TimeLog):
    """A table that may grow. `read` takes what has come; the rows wait in `rows` until they are taken.

    `rate` in Hz: the table has no times, rows follow each other evenly from `start_ns` on. `channels`: which columns
    count, by title or name, and in which order; all that hold numbers without it. `texts` names columns that hold none.
    """

    def __init__(
        self, path: Path, where: tzinfo = UTC, *, time: str = "", start: str = "", time_format: str = "",
        rate: float | None = None, start_ns: int = 0, channels: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(path, where, time=time, start=start, time_format=time_format)
        self.rows: deque[Row] = deque()
        self.texts: tuple[str, ...] = ()
        self._rate, self._start_ns, self._wanted = rate, start_ns, channels
        self._taken: list[int] | None = None
        self._given_rows = 0
        self.relative = False
        """Whether the times count from a start that the table does not tell."""

    @property
    def good(self) -> int:
        """How many rows were rows."""
        return self._given_rows

    @property
    def channels(self) -> tuple[Column, ...]:
        """The columns that are channels; empty before the first row."""
        return tuple(self.columns[i] for i in self._taken or ())

    def read(self, *, whole: bool = False) -> bool:
        """Take what has been written since; whether rows came. `whole`: nothing more will be written.

        Raises `SourceError` where the file is gone or became shorter, `FormatError` where it is no table."""
        before = len(self.rows)
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}", where=str(self.path), expected="a table") from error
        if size < self._read:
            raise SourceError(
                f"the file became shorter ({size} bytes, {self._read} were read): it was written anew",
                where=str(self.path),
                remedy="Start a new run for a new file; let the machine append to this one",
            )
        self.refresh()
        if whole:
            self.finish()
            if self._at < -1 or (not self.columns and not self.rows):
                self._empty()
        return len(self.rows) > before

    def _empty(self) -> None:
        raise FormatError(
            "there is no line with the names of columns",
            where=str(self.path),
            expected="a line of names, such as 'timestamp,temperature', then rows",
        )

    def _names(self, line: str, number: int, ec_lab: bool) -> None:
        try:
            super()._names(line, number, ec_lab)
        except FormatError:
            if self._rate is None:
                raise FormatError(
                    f"no column tells the time: they are {line.strip()[:200]!r}",
                    where=f"{self.path}:{number}",
                    expected="a column named time, timestamp or date",
                    remedy='Name it with time = "...", or say rate = "10 Hz" of a table without times',
                ) from None
            titled = f"time{self._separator}{line}"
            self._time, told = "", self._rate
            super()._names(titled, number, ec_lab)
            self.columns, self._at, self._rate = self.columns[1:], len(self.columns), told
        else:
            self._rate = None

    def _row(self, line: bytes) -> None:
        text = line.decode(self._encoding, "replace").strip("\r\n")
        if not text.strip() or text.lstrip().startswith("#"):
            return
        cells = text.split() if self._separator == " " else text.split(self._separator)
        try:
            if len(line) > LONGEST or b"\0" in line:
                raise self._wrong("this is no row of a table", f"{len(self.columns)} columns of text", self._line)
            if len(cells) != len(self.columns):
                raise self._wrong(
                    f"row {text[:40]!r} has {len(cells)} columns", f"{len(self.columns)} columns", self._line
                )
            if self._rate is None:
                time_ns = self._moment(cells[self._at].strip().strip('"'))
            else:
                time_ns = self._start_ns + round(self._given_rows / self._rate * SECOND)
            if not abs(time_ns) < 1 << 62:
                raise self._wrong(f"{cells[self._at][:40]!r} is no time", "a date between 1824 and 2116", self._line)
        except (FormatError, OverflowError) as error:
            self.rows.append(Row(0, (), self._line, str(error), line[:LONGEST]))
            return
        if self._taken is None:
            self._choose(cells)
        self._given_rows += 1
        self.rows.append(Row(time_ns, tuple(self._number(cells[i]) for i in self._taken or ()), self._line))

    def _moment(self, cell: str) -> int:
        """As a log has it; but times that count from nowhere begin at `start_ns`."""
        value = self._number(cell) if not self._format else math.nan
        if self._start is None and abs(value) < LEAST_EPOCH:
            self.relative = True
            return self._start_ns + round(value * SECONDS.get(self.columns[self._at].unit, 1.0) * SECOND)
        return super()._moment(cell)

    def _choose(self, cells: list[str]) -> None:
        """Which columns are channels: those asked for, or all that hold a number (or nothing yet) in the first row."""
        usable = [i for i, column in enumerate(self.columns) if i != self._at and column.name]
        if self._wanted:
            known = {c.title: i for i, c in enumerate(self.columns)} | {c.name: i for i, c in enumerate(self.columns)}
            missing = [name for name in self._wanted if known.get(name) not in usable]
            if missing:
                raise self._wrong(
                    f"there is no column {missing[0]!r}",
                    f"some of {', '.join(self.columns[i].title for i in usable)[:200]}",
                    max(self._line - 1, 1),
                )
            self._taken = [known[name] for name in self._wanted]
            return
        empty = ("", "nan", "na", "n/a", "none", "null", "-", "inf", "-inf")
        held = [
            i for i in usable if not math.isnan(self._number(cells[i])) or cells[i].strip().strip('"').lower() in empty
        ]
        self.texts = tuple(self.columns[i].title for i in usable if i not in held)
        if not held:
            raise self._wrong("no column holds numbers", 'a time and values, or channels = ["..."] by name', self._line)
        self._taken = held
