"""What stands above the rows of a text file of waveforms: where they begin, how they are written, titles, units, rate.

A row is a line of numbers (or of a date and numbers) that is followed by others of as many; so the settings that
recorders write above, with one or two numbers in a line, are none. Titles are in the last line above the rows that has
as many cells, or in the last but one where the last holds units. Decimal commas are read where the separator is
another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from insitu.errors import FormatError
from insitu.readers.header import read_header, read_time, zone
from insitu.readers.pattern import HEAD, Truncated, decode_line, plain_lines
from insitu.readers.waveform_track import (
    MOST_CHANNELS,
    SECONDS,
    How,
    clean,
    key_of,
    rate_in,
    unit_of,
)

SUFFIXES = frozenset((".csv", ".txt", ".dat", ".asc", ".tsv", ".lvm", ".tab", ".prn"))
NO_ROWS = "there is no row of numbers"
MARKS = "#!%;'\"/ \t"
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d{1,3})?")
MISSING = frozenset(("", "nan", "-nan", "+nan", "na", "n/a", "null", "none", "inf", "+inf", "-inf", "infinity", "-"))
_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eEdD][+-]?\d{1,3})?")
_TIME_TITLES = """
time t times timestamp timestamps datetime date zeit temps xaxis xvalue timestep timeaxis elapsed elapsedtime reltime
relativetime timems timeus timens timesec timeseconds seconds sec
"""
_TIMES = frozenset(_TIME_TITLES.split())
_INDEX_TITLES = "index idx sample samples samplenumber n no nr number sequence point scan i"
_INDEX = frozenset(_INDEX_TITLES.split())
_PAIR = re.compile(r"\s*([^:=,;\t]{1,80}?)\s*[:=,;\t]\s*\"?([^\",;\t]{1,80})")
_TIME_UNITS = frozenset(("s", "sec", "second", "seconds", "ms", "us", "ns"))
"""Of a first column: that of times, whatever it is called."""
_UNITS_OF_Y = frozenset(("yunitlabel", "yunits", "yunit", "verticalunits", "verticalunit"))
_UNIT = re.compile(r"(.{1,200}?)\s*(?:\(([^()]*)\)|\[([^\[\]]*)\])\s*")
_SLASH = re.compile(r"(.{1,200}?)\s*/\s*([^/]{1,12})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Rows begin at byte `start`, line `line` (from 1), with `columns` cells; `separator` (" " for blanks), `comma`:
    decimal commas; `trailing`: separators end a row; `dated`: the first cell is a date. `titles` and `units` per
    column (titles are empty where there are none). `time`: number of the column of times, None where there is none,
    `scale` to seconds; `index`: number of a column that counts samples. `rate` in Hz and `start_ns`, where lines above
    say so."""

    start: int
    line: int
    columns: int
    separator: str
    comma: bool
    trailing: bool
    dated: bool
    titles: tuple[str, ...]
    units: tuple[str, ...]
    time: int | None
    scale: float
    index: int | None
    rate: float | None
    start_ns: int | None
    clock_sigma_ns: int


def cells(line: str, separator: str) -> list[str]:
    """The cells of a line, without blanks and quotes around them.

    >>> cells('"a b"; 2 ;', ";")
    ['a b', '2', '']
    """
    parts = line.split() if separator == " " else line.split(separator)
    return [p.strip().strip('"').strip() for p in parts]


def layout(head: bytes, how: How) -> Layout:
    """The layout of a file from its first bytes (`HEAD` of them or all)."""
    head = plain_lines(head, how.name)
    lines = [decode_line(line).rstrip("\r").lstrip("\ufeff") for line in head.split(b"\n")]
    if len(head) >= HEAD:
        lines.pop()  # cut
    found = _rows_begin(lines)
    if found is None:
        kind = Truncated if len(head) < HEAD else FormatError
        if lines and lines[0].startswith("Record Length,") and lines[0].count(",") > 2:
            raise FormatError(
                "the settings of the oscilloscope stand beside the rows, in the same lines", where=f"{how.name}:1",
                expected="columns of times and samples",
                remedy="Keep the columns 4 and 5: cut -d, -f4,5 FILE > NEW.csv",
            )  # fmt: skip
        raise kind(
            NO_ROWS,
            where=f"{how.name}:{max(1, len(lines))}",
            expected="rows of numbers, one for each sample",
            remedy="Check that this is a recording, and that the file is complete",
        )
    first, separator, row, comma, dated = found
    beside, above = _beside(lines[:first], separator)
    trailing = 0
    while len(row) - trailing > 1 and separator != " " and row[-1 - trailing] == "":
        trailing += 1
    columns = len(row) - trailing
    if columns > MOST_CHANNELS:
        raise FormatError(
            f"a row has {columns} cells", where=f"{how.name}:{first + 1}", expected=f"at most {MOST_CHANNELS}"
        )
    titles, units = _titles(above, separator, columns)
    time, scale, index = _roles(titles, units, columns, dated)
    units = units if any(units) else _units_above(above, separator, columns, time)
    above = [line.lstrip(MARKS) for line in above]
    pairs = [(m[1], m[2].strip()) for line in above[-500:] if (m := _PAIR.match(line))] + beside
    told = read_header(above[-500:], how.timezone)
    start = told.time_ns
    if start is None and dated:
        zone(how.timezone)
    return Layout(
        start=sum(len(line) + 1 for line in head.split(b"\n")[:first]),
        line=first + 1,
        columns=columns,
        separator=separator,
        comma=comma,
        trailing=trailing > 0,
        dated=dated,
        titles=titles,
        units=units,
        time=time,
        scale=scale,
        index=index,
        rate=rate_in(pairs),
        start_ns=start,
        clock_sigma_ns=told.clock_sigma_ns,
    )


def is_number(cell: str, comma: bool) -> bool:
    """Whether a cell is a number as this file writes them."""
    return bool(NUMBER.fullmatch(cell)) or (comma and bool(_COMMA.fullmatch(cell)))


def is_date(cell: str) -> bool:
    """Whether a cell is a date with a time."""
    return len(cell) >= 14 and read_time(cell, zone("UTC")) is not None


def _row(line: str, separator: str) -> tuple[list[str], bool, bool] | None:
    """The cells of a line that is a row, whether it has decimal commas, and whether it begins with a date."""
    parts = cells(line, separator)
    comma = separator != "," and any(_COMMA.fullmatch(p) for p in parts)
    dated = len(parts) > 1 and is_date(parts[0])
    rest = parts[1:] if dated else parts
    good = [p for p in rest if is_number(p, comma)]
    if not good or not all(is_number(p, comma) or p.lower() in MISSING for p in rest):
        return None
    return (parts, comma, dated) if dated or rest[0] or separator == " " else None


def _rows_begin(lines: list[str]) -> tuple[int, str, list[str], bool, bool] | None:
    """Number of the first row, the separator, its cells, decimal commas, dated."""
    following = [i for i, line in enumerate(lines) if line.strip()]
    for place, i in enumerate(following):
        line = lines[i]
        if line.lstrip()[:1] in ("#", "!", "%"):
            continue
        nearby = [lines[k] for k in following[place + 1 : place + 3]]
        for separator in [s for s in ("\t", ";", ",") if s in line] + [" "]:
            row = _row(line, separator)
            if row is None:
                continue
            others = [_row(other, separator) for other in nearby]
            if others and (others[0] is None or len(others[0][0]) != len(row[0])):
                if place + 2 >= len(following) and i > 0 and len(row[0]) > 1:
                    pass  # two rows, the last one cut
                else:
                    continue
            if len(others) > 1 and others[1] is not None and len(others[1][0]) != len(row[0]):
                continue
            comma = row[1] or any(o[1] for o in others if o is not None)
            return i, separator, row[0], comma, row[2]
    return None


def _titles(above: list[str], separator: str, columns: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Titles and units of the columns, from the lines above the rows."""
    near = [line.lstrip(MARKS) for line in above if line.strip(MARKS + "\r")][-2:]
    rows = [_fitting(line, separator, columns) for line in near]
    if len(near) == 2 and rows[0] is None and rows[1] is not None and _are_units(rows[1]):
        rows[0] = _fitting(near[0], separator, columns, numbered=True)  # channels may be called 1, 2
    said = ("",) * columns
    if not rows or rows[-1] is None:
        return (), said
    last, before = rows[-1], rows[0] if len(rows) > 1 else None
    if before is not None and _are_units(last) and not _are_units(before):
        first = last[0] if last[0].lower() == "sequence" else before[0]
        return (first, *before[1:]), tuple(unit_of(u) or _time_unit(u) for u in last)
    split = [_split(title) for title in last]
    return tuple(t for t, _ in split), tuple(u for _, u in split)


def _fitting(line: str, separator: str, columns: int, *, numbered: bool = False) -> list[str] | None:
    """The cells of a line that may be titles: as many as there are columns, and none of them a number (`numbered`: but
    the first one may be). LabVIEW has a title more than columns, or two: of comments, and of times it did not write."""
    for mark in dict.fromkeys((separator, ",", "\t", ";", " ")):
        parts = cells(line, mark)
        while len(parts) > columns and parts[-1].lower() in ("", "comment"):
            parts.pop()
        if len(parts) == columns + 1 and parts[0] == "X_Value":
            parts = parts[1:]
        if (
            len(parts) == columns
            and any(parts)
            and not any(NUMBER.fullmatch(p) for p in parts[: 1 if numbered else None])
        ):
            return parts
    return None


def _beside(lines: list[str], separator: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Settings that a recorder writes to the right of titles and units (`X,CH1,Start,Increment` above
    `Sequence,Volt,-0.01,1e-6`), and the lines without them."""
    for i, (one, two) in enumerate(pairwise(lines)):
        pairs = list(zip(cells(one, separator), cells(two, separator), strict=False))
        told = [k for k, (a, b) in enumerate(pairs) if k and NUMBER.fullmatch(b) and a and not NUMBER.fullmatch(a)]
        if told and rate_in([pairs[k] for k in told]) is not None:
            cut = [separator.join(cells(line, separator)[: told[0]]) for line in (one, two)]
            return [pairs[k] for k in told], [*lines[:i], *cut, *lines[i + 2 :]]
    return [], lines


def _units_above(lines: list[str], separator: str, columns: int, time: int | None) -> tuple[str, ...]:
    """Units in a line of settings, one for each column but that of times; all "" where there is none."""
    for line in lines:
        parts = cells(line, separator)
        while len(parts) > 1 and not parts[-1]:
            parts.pop()
        if not parts or key_of(parts[0])[0] not in _UNITS_OF_Y or len(parts) - 1 != columns - (time is not None):
            continue
        told = [unit_of(p) for p in parts[1:]]
        return tuple(told if time is None else [*told[:time], "", *told[time:]])
    return ("",) * columns


def _are_units(parts: list[str]) -> bool:
    told = [p for p in parts if p and p.lower() != "sequence"]  # a column that counts samples has none
    return bool(told) and all(unit_of(p) or p.strip("()[] ").lower() in SECONDS or p[0] in "([" for p in told)


def _time_unit(text: str) -> str:
    plain = text.strip("()[] ").lower()
    return plain if plain in SECONDS else ""


def _split(title: str) -> tuple[str, str]:
    """A title and the unit in or behind it."""
    match = _UNIT.fullmatch(title)
    if match:
        said = match[2] if match[2] is not None else match[3]
        return match[1], unit_of(said) or _time_unit(said)
    slash = _SLASH.fullmatch(title)
    if slash and unit_of(slash[2]):
        return slash[1], unit_of(slash[2])
    return title, ""


def _roles(
    titles: tuple[str, ...], units: tuple[str, ...], columns: int, dated: bool
) -> tuple[int | None, float, int | None]:
    """The column of times and its scale to seconds, and the column that counts, by their titles."""
    if dated:
        return 0, 1.0, None
    if columns < 2:
        return None, 1.0, None
    keys = [key_of(t)[0] or clean(t, 0) for t in titles]
    index = next((i for i, key in enumerate(keys[:2]) if key in _INDEX or titles[i].strip() == "#"), None)
    time = next((i for i, key in enumerate(keys) if key in _TIMES and units[i] in ("", *SECONDS)), None)
    if time is None and units[0] in _TIME_UNITS and not any(u in SECONDS and u for u in units[1:]):
        time = 0
    if time is None:
        return None, 1.0, index
    said = units[time] or next((u for u in ("ms", "us", "ns") if keys[time] == f"time{u}"), "")
    return time, SECONDS.get(said, 1.0), index
