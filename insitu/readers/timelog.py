"""A log beside the instrument: rows of numbers with a time, from EC-Lab text (`.mpt`) or delimited columns (`.csv`).

EC-Lab: latin-1, decimal commas, a counted header that tells the start; the column `time/s` counts from there.
Columns: one line of names, then rows; separated by tabs, semicolons, commas or blanks; `#` lines before it are notes.
The time is a date (ISO, or as `time_format` says), seconds (ms, us, ns) since 1970, or seconds since `start`.

A log may grow while it is read: `refresh` takes the rows that have come, whole lines only.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import NamedTuple

from insitu import units
from insitu.errors import FormatError, SourceError
from insitu.readers.header import SECOND, read_time

_COUNTED = re.compile(r"Nb header lines\s*:\s*(\d+)")
_STARTED = re.compile(r"Acquisition started on\s*:\s*(\d\d)/(\d\d)/(\d{4}) +(\d\d:\d\d:\d\d(?:[.,]\d+)?)")
_UNIT = re.compile(r"(?P<name>.+?)\s*(?:/(?P<slash>[^/()\[\]]+)|\((?P<round>[^()]*)\)|\[(?P<square>[^\[\]]*)\])\s*")
_TIME_NAMES = ("time", "timestamp", "datetime", "date", "date_time", "t", "epoch", "time_stamp")
_EPOCHS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
_NOT_HERE = ("", "nan", "na", "n/a", "none", "null", "-", "inf", "-inf")
MOST_HEADER = 1 << 20


class Column(NamedTuple):
    """One column: the name in the file, the name that it has here, and its unit ("" where none is known)."""

    title: str
    name: str
    unit: str


class TimeLog:
    """The rows of a log: `times_ns` ascending, and `values[name]`, NaN where a row holds no number. `skipped` says
    which rows were passed over, and why: one broken row is no reason to lose the others."""

    def __init__(
        self, path: Path, where: tzinfo = UTC, *, time: str = "", start: str = "", time_format: str = ""
    ) -> None:
        self.path, self._where, self._time, self._format = path, where, time, time_format
        self._start = self._given(start)
        self.columns: tuple[Column, ...] = ()
        self.times_ns: list[int] = []
        self.values: dict[str, list[float]] = {}
        self.skipped: list[str] = []
        self._read, self._rest, self._line = 0, b"", 0
        self._comma, self._separator, self._at = False, "\t", -1
        self._encoding = "utf-8"

    def refresh(self) -> bool:
        """Take what has been written since; whether rows came. SourceError where the log is not there."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError as e:
            raise SourceError(f"cannot be read: {e.strerror}", where=str(self.path), expected="a log") from e
        self._read += len(data)
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if self._at < 0:
            lines = self._begin(lines)
        before = len(self.times_ns)
        for line in lines:
            self._line += 1
            self._row(line)
        return len(self.times_ns) > before

    def finish(self) -> None:
        """Take the last line, though no line end follows."""
        if self._rest.strip():
            rest, self._rest = self._rest, b""
            for line in self._begin([rest]) if self._at < 0 else [rest]:
                self._row(line)

    def index(self, time_ns: int) -> int:
        """The last row at or before a time; -1 where there is none."""
        return bisect_right(self.times_ns, time_ns) - 1

    def _begin(self, lines: list[bytes]) -> list[bytes]:
        """Read the header, if all of it is there; the lines after it."""
        head = b"\n".join(lines[:400])
        try:
            head.decode("utf-8")
        except UnicodeDecodeError:
            self._encoding = "latin-1"
        text = [line.decode(self._encoding, "replace").rstrip("\r").lstrip("\ufeff") for line in lines]
        counted = next((m for line in text[:5] if (m := _COUNTED.search(line))), None)
        last = int(counted[1]) - 1 if counted else next((i for i, t in enumerate(text) if _is_names(t)), -1)
        if counted and not 0 < last < 10_000:
            raise self._wrong(f"says that it has {counted[1]} header lines", "a number of lines", 2)
        if last < 0 or last >= len(lines):
            self._rest = b"\n".join([*lines, self._rest])
            if len(self._rest) > MOST_HEADER or (not counted and len(lines) > 400):
                raise self._wrong("has no line with the names of its columns", "names, then rows of numbers", 1)
            return []
        if counted:
            self._started(text[:last])
        self._names(text[last].lstrip("# "), last + 1, counted is not None)
        self._line = last + 1
        return lines[last + 1 :]

    def _started(self, head: list[str]) -> None:
        found = next((m for line in head if (m := _STARTED.search(line))), None)
        if found and self._start is None:
            month, day, year, clock = found.groups()
            told = read_time(f"{year}-{month}-{day} {clock}", self._where)
            self._start = told[0] if told else None

    def _names(self, line: str, number: int, ec_lab: bool) -> None:
        self._separator = "\t" if ec_lab else max("\t;,", key=line.count) if any(c in line for c in "\t;,") else " "
        self._comma = ec_lab or self._separator not in (",",)
        titles = [
            t.strip().strip('"') for t in (line.split() if self._separator == " " else line.split(self._separator))
        ]
        found: list[Column] = []
        for title in titles:
            found.append(_column(title, {c.name for c in found}))
        wanted = self._time.strip()
        at = [i for i, c in enumerate(found) if wanted in (c.title, c.name)] if wanted else _time_columns(found)
        if not at:
            expected = f"the column {wanted!r}" if wanted else "a column named time, timestamp or date"
            raise self._wrong(f"tells no time: its columns are {', '.join(titles)[:200]}", expected, number)
        self._at, self.columns = at[0], tuple(found)
        self.values = {c.name: [] for i, c in enumerate(found) if i != self._at and c.name}

    def _row(self, line: bytes) -> None:
        text = line.decode(self._encoding, "replace").strip("\r\n")
        if not text.strip() or text.lstrip().startswith("#"):
            return
        cells = text.split() if self._separator == " " else text.split(self._separator)
        try:
            if len(cells) <= self._at:
                raise self._wrong(f"row {text[:40]!r} has no time", f"{len(self.columns)} columns", self._line)
            time_ns = self._moment(cells[self._at].strip().strip('"'))
            if self.times_ns and time_ns < self.times_ns[-1]:
                raise self._wrong("the time runs backwards", "rows in order of time", self._line)
        except FormatError as e:
            self.skipped.append(str(e))
            return
        self.times_ns.append(time_ns)
        for i, column in enumerate(self.columns):
            if i != self._at and column.name:
                self.values[column.name].append(self._number(cells[i]) if i < len(cells) else math.nan)

    def _number(self, cell: str) -> float:
        """A number; NaN where the cell holds none (a text, an overflow)."""
        cell = cell.strip().strip('"')
        if cell.lower() in _NOT_HERE:
            return math.nan
        try:
            value = float(cell.replace(",", ".") if self._comma else cell)
        except ValueError:
            return math.nan
        return value if math.isfinite(value) else math.nan

    def _moment(self, cell: str) -> int:
        value = self._number(cell) if not self._format else math.nan
        if math.isfinite(value):
            scale = next((s for least, s in _EPOCHS if value >= least), None)
            if scale is not None and self._start is None:
                return _whole_ns(cell, scale, value)
            if self._start is None:
                raise self._wrong(f"{cell!r} counts from a start that is not told", "start, in ISO form", self._line)
            return self._start + round(value * SECOND)
        return self._date(cell)

    def _date(self, cell: str) -> int:
        try:
            if self._format:
                told = datetime.strptime(cell, self._format)
            else:
                told = datetime.fromisoformat(cell.replace("Z", "+00:00"))
        except ValueError:
            found = None if self._format else read_time(cell, self._where)
            if found is None:
                expected = f"{self._format!r}" if self._format else "an ISO date, seconds since 1970, or time_format"
                raise self._wrong(f"{cell[:40]!r} is no time", expected, self._line) from None
            return found[0]
        since = (told if told.tzinfo else told.replace(tzinfo=self._where)) - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86400 + since.seconds) * SECOND + since.microseconds * 1000

    def _given(self, start: str) -> int | None:
        if not start:
            return None
        found = read_time(start, self._where)
        if found is None:
            raise FormatError(f"{start!r} is no time", where="start", expected='such as "2022-07-26T22:38:30"')
        return found[0]

    def _wrong(self, what: str, expected: str, line: int) -> FormatError:
        return FormatError(what, where=f"{self.path}:{line}", expected=expected)


def _whole_ns(cell: str, scale: float, value: float) -> int:
    """Nanoseconds of a time since 1970, exact where whole numbers are written."""
    digits = cell.strip().strip('"')
    return int(digits) * round(scale * SECOND) if digits.isdigit() else round(value * scale * SECOND)


def _is_names(line: str) -> bool:
    """Whether a line names columns: not a note, and most of its cells are no numbers."""
    bare = line.strip()
    if not bare or (bare.startswith("#") and not re.search(r"[,;\t]", bare)):
        return False
    cells = [c for c in re.split(r"[\t;,]|\s{1,}", bare.lstrip("# ")) if c]
    return len(cells) > 1 and sum(bool(re.fullmatch(r"[-+0-9.eE:TZ/]+", c)) for c in cells) <= len(cells) // 2


def _column(title: str, taken: set[str]) -> Column:
    """Name and unit of a title such as `Ewe/V`, `T (K)` or `pressure [mbar]`. Two units, as in `control/V/mA`, are
    none: the column changes its meaning."""
    match = _UNIT.fullmatch(title)
    unit = (match["slash"] or match["round"] or match["square"] or "").strip() if match else ""
    name = match["name"] if match else title
    known = _known(unit)
    if match and match["slash"] and (not known or ("/" in name and _known(name.rpartition("/")[2]))):
        name, known = title, ""
    slug = slugged(name)
    if slug in taken:
        slug = slugged(title)
    while slug in taken:
        slug += "_"
    return Column(title, slug, known)


def slugged(text: str) -> str:
    """A name of small letters, digits and _: `(Q-Qo)` to `q_qo`."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return name if not name or name[0].isalpha() else f"x_{name}"


def _known(unit: str) -> str:
    """A unit as it is written here; "" for one that is not known."""
    text = unit.replace("°C", "degC").replace("µ", "u").replace("μ", "u").replace("²", "**2").replace("³", "**3")
    text = {"C": "degC", "F": "degF", "%": "percent"}.get(text, text).replace(".", "*")
    try:
        units.check_unit(text)
    except units.UnitError:
        return ""
    return text


def _time_columns(columns: list[Column]) -> list[int]:
    """Where the time may be: the first column that has a name of it."""
    exact = [i for i, c in enumerate(columns) if c.name in _TIME_NAMES]
    return exact or [i for i, c in enumerate(columns) if c.name.startswith(("time", "date"))]
