"""Waveforms as text: rows of numbers, one for each sample, read block by block.

A column of times is recognised by its title (`time`, `t`, `timestamp`, ... with its unit), as dates, or, where nothing
has a title, by rising evenly; it is left out, and becomes the sample rate. Where it is not even, the file is refused
at that line, unless `sample_rate` is given. A cell that is empty or `nan` is a sample that is not there. Numbers are
float64.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from insitu.errors import FormatError
from insitu.maths.numbers import TableError, read_table
from insitu.readers.header import SECOND, read_time, zone
from insitu.readers.pattern import HEAD, Truncated, cut_number, decode_line
from insitu.readers.waveform_csv_head import MISSING, NO_ROWS, Layout, cells, is_number, layout
from insitu.readers.waveform_rows import size_of
from insitu.readers.waveform_time import Clock, Uneven
from insitu.readers.waveform_track import How, Recording, Track, clean, plausible

_PIECE = 1 << 20
_LONGEST = 1 << 20
"""Bytes of the longest line that is believed."""
_EPOCHS = ((1e17, 1e-9), (1e14, 1e-6), (1e11, 1e-3), (1e8, 1.0))
_EVEN = 'Set sample_rate = "..." in the detector\'s [reader] if the samples are evenly spaced all the same'
_CUT = "The file was cut off: copy or record it again"
_TRAILING = re.compile(rb"[,;\t ]+(?=\r?(?:\n|\Z))")


@dataclass(slots=True)
class _Rows:
    """Reads rows in order. `line`: number of the next line; `places`: (row, line) where each block began."""

    path: Path
    how: How
    form: Layout
    line: int = 0
    row: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)
    problem: FormatError | None = None
    zero_ns: int | None = None

    def tables(self) -> Iterator[np.ndarray]:
        """Blocks `(k, columns)`; a row that is none ends them with `problem`, after what stands before it."""
        self.line, rest, last = self.form.line, b"", b""
        with open(self.path, "rb") as file:
            head = file.read(HEAD)
            bare = b"\n" not in head
            file.seek(self.form.start + (3 if head.startswith(b"\xef\xbb\xbf") else 0))
            while piece := file.read(_PIECE):
                piece = piece.replace(b"\r", b"\n") if bare else piece
                cut = piece.rfind(b"\n") + 1
                if cut == 0:
                    rest += piece
                    if len(rest) > _LONGEST:
                        raise FormatError(
                            f"the line has more than {_LONGEST} bytes", where=f"{self.how.name}:{self.line}",
                            expected="rows of numbers", remedy="Check that this is a text file of numbers",
                        )  # fmt: skip
                    continue
                data, rest = rest + piece[:cut], piece[cut:]
                yield from self._block(data)
                last = data[-2000:]
                if self.problem is not None:
                    raise self.problem
            if rest.strip():
                if cut_number(last + rest, 0) and b"," not in rest.split(b".")[-1]:
                    raise Truncated(
                        "the last number is cut", where=f"{self.how.name}:{self.line}",
                        remedy=_CUT,
                    )  # fmt: skip
                yield from self._block(rest)
                if self.problem is not None:
                    raise self.problem

    def _block(self, data: bytes) -> Iterator[np.ndarray]:
        if b"\0" in data:
            self.problem = FormatError(
                "a byte is zero: this is a binary file, or a damaged one",
                where=f"{self.how.name}:{self.line + data.count(bytes((10,)), 0, data.find(bytes(1)))}",
                expected="a text file of numbers", remedy="Copy or record the file again",
            )  # fmt: skip
            data = data[: data.rfind(b"\n", 0, data.find(b"\0")) + 1]
        self.places.append((self.row, self.line))
        del self.places[:-64]
        table = self._fast(data)
        if table is None:
            table = self._slow(data)
        self.line += data.count(b"\n")
        self.row += len(table)
        if len(table):
            yield table

    def _fast(self, data: bytes) -> np.ndarray | None:
        """All rows in one pass; None where one of them is not plain."""
        form = self.form
        if form.dated:
            return None
        if form.comma:
            data = data.replace(b",", b".")
        if form.trailing:
            data = _TRAILING.sub(b"", data)
        mark = form.separator.encode() if form.separator in ",;" else b""
        try:
            return read_table(data, 0, form.columns, separator=mark).values
        except TableError:
            return None

    def _slow(self, data: bytes) -> np.ndarray:
        """Row by row: dates, cells without a number; stops before a line that is no row."""
        form, out = self.form, []
        where = zone(self.how.timezone)
        for number, raw in enumerate(data.split(b"\n"), self.line):
            line = decode_line(raw).strip("\r\x1a")
            if not line.strip() or line.lstrip()[:1] in ("#", "!", "%"):
                continue
            parts = cells(line.partition("#")[0], form.separator)
            while len(parts) > form.columns and parts[-1] == "":
                parts.pop()
            values: list[float] | None = None
            if len(parts) == form.columns:
                first = read_time(parts[0], where) if form.dated else None
                rest = parts[1:] if form.dated else parts
                if (first or not form.dated) and all(is_number(p, form.comma) or p.lower() in MISSING for p in rest):
                    values = [_float(p) for p in rest]
                    if first:
                        values.insert(0, self._since(first[0]))
            if values is None:
                self.problem = self._no_row(line, number, len(parts), number == self.line + data.count(b"\n"))
                break
            out.append(values)
        return np.array(out, np.float64).reshape(-1, form.columns)

    def _since(self, time_ns: int) -> float:
        if self.zero_ns is None:
            self.zero_ns = time_ns
        return (time_ns - self.zero_ns) / SECOND

    def _no_row(self, line: str, number: int, count: int, last: bool) -> FormatError:
        what = f"the row {line[:60]!r} has {count} cells" if count != self.form.columns else ""
        kind = Truncated if last and count <= self.form.columns else FormatError
        return kind(
            what or f"{line[:60].strip()!r} is no row of numbers",
            where=f"{self.how.name}:{number}",
            expected=f"rows of {self.form.columns} numbers",
            remedy=_CUT if kind is Truncated else "Correct the line, or export the file again",
        )

    def line_of(self, row: int) -> int:
        """The line of a row that was read lately, where no blank lines lie between."""
        known = [p for p in self.places if p[0] <= row] or [(0, self.form.line)]
        return known[-1][1] + row - known[-1][0]


@contextlib.contextmanager
def opened(path: Path, how: How) -> Iterator[Recording]:
    """The recording in a text file."""
    size_of(path, how.name)
    with open(path, "rb") as file:
        form = layout(file.read(HEAD), how)
    rows = _Rows(path, how, form)
    tables = rows.tables()
    with contextlib.closing(tables):  # type: ignore[type-var]
        first = next(tables, None)
        if first is None:
            raise rows.problem or Truncated(NO_ROWS, where=how.name, remedy="Record again")
        time, counting = _time_column(form, first), _counting(form, first)
        left_out = [i for i in (time, counting) if i is not None and not _wanted(form, i, how)]
        time = time if time in left_out else None
        kept = [i for i in range(form.columns) if i not in left_out]
        clock, scale, start_ns = _Timed(rows, how), form.scale, form.start_ns
        sigma = form.clock_sigma_ns
        if time is not None:
            begin = float(first[0, time])
            scale = next((s for least, s in _EPOCHS if abs(begin) >= least and not form.dated), scale)
            if rows.zero_ns is not None:
                start_ns, sigma = rows.zero_ns, SECOND
            elif scale != form.scale or abs(begin * scale) >= 1e8:
                start_ns, sigma = round(begin * scale * SECOND), SECOND
            clock.column, clock.scale = time, scale
            clock.take(first)
        rate, rate_from, warnings = clock.settled(form.rate)
        titled = len(form.titles) == form.columns and any(form.titles[i] for i in kept)

        def blocks() -> Iterator[np.ndarray]:
            yield first[:, kept].T
            for table in tables:
                clock.take(table)
                yield table[:, kept].T

        track = Track(
            titles=tuple(form.titles[i] if titled else f"c{k + 1}" for k, i in enumerate(kept)),
            units=tuple(form.units[i] for i in kept),
            dtype=np.dtype(np.float64),
            blocks=blocks(),
            rate=rate,
            numbers=tuple(i + 1 for i in kept),
        )
        yield Recording(
            tracks=(track,),
            start_ns=start_ns,
            clock_sigma_ns=sigma if start_ns is not None else 0,
            rate_from=rate_from,
            nameless=not titled,
            line_of=rows.line_of,
            warnings=warnings,
        )


class _Timed:
    """The column of times of a file, checked as it comes; not looked at where `sample_rate` is given."""

    def __init__(self, rows: _Rows, how: How) -> None:
        self.rows, self.how, self.clock = rows, how, Clock()
        self.column: int | None = None
        self.scale = 1.0
        self._seen = 0

    def take(self, table: np.ndarray) -> None:
        if self.column is None or self.how.sample_rate is not None:
            return
        try:
            self.clock.add(table[:, self.column] * self.scale)
        except Uneven as error:
            raise FormatError(
                error.what,
                where=f"{self.how.name}:{self.rows.line_of(error.sample)}",
                expected="evenly spaced times",
                remedy=_EVEN,
            ) from error

    def settled(self, header: float | None) -> tuple[float | None, str, tuple[str, ...]]:
        """The rate, what told it, and warnings: the head's where the times agree with it."""
        found, warnings = self.clock.rate, []
        if self.clock.jitter > 0.1:
            warnings.append(f"the times scatter by {self.clock.jitter:.0%} of a step about even spacing")
        if found is None:
            return (header, "header", tuple(warnings)) if header else (None, "", tuple(warnings))
        if header and abs(header / found - 1) > 1e-3:
            warnings.append(f"the head says {header:.6g} Hz, the times {found:.6g} Hz: the times are taken")
        elif header:
            return header, "header", tuple(warnings)
        return found, "time", tuple(warnings)


def _wanted(form: Layout, column: int, how: How) -> bool:
    """Whether a column was asked for as a channel, by its number or its title."""
    title = form.titles[column] if form.titles else ""
    return any(w == column + 1 or (title and w in (title, clean(title, 0))) for w in how.wanted)


def _time_column(form: Layout, first: np.ndarray) -> int | None:
    """The column of times: as the titles say, or the first one of a file without titles that rises evenly."""
    if form.time is not None or form.columns < 2:
        return form.time
    if form.titles or len(first) < 3 or _counting(form, first) == 0:
        return None
    clock = Clock()
    try:
        clock.add(first[:, 0])
    except Uneven:
        return None
    return 0 if clock.rate is not None and plausible(clock.rate) and clock.jitter < 0.1 else None


def _counting(form: Layout, first: np.ndarray) -> int | None:
    """The column that only counts samples: by its title, or the first one of a file without titles."""
    if form.index is not None:
        return form.index
    column = first[:, 0]
    counts = len(first) > 2 and form.columns > 1 and column[0] in (0, 1) and bool((np.diff(column) == 1).all())
    return 0 if counts and not form.titles else None


def _float(cell: str) -> float:
    text = cell.lower().replace(",", ".").replace("d", "e")
    return float(text) if text not in MISSING else float("nan")
