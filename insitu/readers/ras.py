"""Rigaku RAS text: bytes to patterns, one for every section of rows, in order.

    *RAS_DATA_START
    *RAS_HEADER_START
    *MEAS_SCAN_AXIS_X "TwoThetaTheta"
    *RAS_HEADER_END
    *RAS_INT_START
    10.0000 170.5 1.0000
    *RAS_INT_END
    *RAS_DATA_END

Rows are 2-theta, intensity, attenuator factor. Times are month/day/year.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from insitu.errors import FormatError
from insitu.readers.pattern import (
    BadScan,
    How,
    NoPattern,
    Pattern,
    Truncated,
    decode_line,
    line_of,
    numbered,
    plain_lines,
)
from insitu.readers.rigaku import Section, rows

SUFFIXES = (".ras",)
_START, _END = re.compile(rb"^\*RAS_INT_START[ \t\r]*\n", re.MULTILINE), b"*RAS_INT_END"
_FACT = re.compile(r'\*(\w+)(?:-\d+)?\s+"?(.*?)"?\s*')
_FACTS = {
    "axis": ("MEAS_SCAN_AXIS_X_INTERNAL", "MEAS_SCAN_AXIS_X"),
    "axis_unit": ("MEAS_SCAN_UNIT_X",),
    "unit": ("MEAS_SCAN_UNIT_Y",),
    "points": ("MEAS_DATA_COUNT",),
    "start": ("MEAS_SCAN_START",),
    "step": ("MEAS_SCAN_STEP",),
    "speed": ("MEAS_SCAN_SPEED",),
    "speed_unit": ("MEAS_SCAN_SPEED_UNIT",),
    "began": ("MEAS_SCAN_START_TIME",),
    "ended": ("MEAS_SCAN_END_TIME",),
    "wavelength": ("HW_XG_WAVE_LENGTH_ALPHA1",),
    "wavelength2": ("HW_XG_WAVE_LENGTH_ALPHA2",),
    "intended": ("MEAS_COND_XG_WAVE_TYPE",),
    "sample": ("FILE_SAMPLE",),
}


def looks_like(data: bytes) -> bool:
    """Whether the text begins like a RAS file."""
    return re.match(rb"(\xef\xbb\xbf)?\s*\*RAS_(DATA|HEADER|INT)_START", data[:100]) is not None


def decode(data: bytes, how: How = How()) -> Iterator[Pattern | BadScan | NoPattern]:  # noqa: B008 (frozen)
    """The scans, in order: a pattern, what is wrong with a scan, or that it is none over 2-theta.

    Raises `FormatError` where the file as a whole cannot be read, `Truncated` where its end is missing.
    """
    data = plain_lines(data, how.name)
    sections = _sections(data, how.name)
    ended = b"*RAS_DATA_END" in data[sections[-1][2] :]
    for i, (header, start, end) in enumerate(sections, 1):
        try:
            facts = _facts(data[header:start])
            pattern = rows(Section(data[:end], start, how.name), facts, how)
        except NoPattern as error:
            yield error
        except FormatError as error:
            yield BadScan(error, data[header:end])
        else:
            yield replace(numbered(pattern, i, len(sections)), whole=ended)


def _sections(data: bytes, name: str) -> list[tuple[int, int, int]]:
    """Bytes at which header, rows and end of every section are."""
    found: list[tuple[int, int, int]] = []
    position = 0
    while (begin := _START.search(data, position)) is not None:
        end = data.find(_END, begin.end())
        if end < 0 or _START.search(data, begin.end(), end) is not None:
            raise Truncated(
                "a section of rows does not end",
                where=f"{name}:{line_of(data, begin.start())}",
                expected="*RAS_INT_END after its rows",
                remedy="The file was cut off: copy or measure it again",
            )
        found.append((position, begin.end(), end))
        position = end
    if not found:
        raise Truncated(
            "there are no rows", where=name, expected="*RAS_INT_START", remedy="Check that the file is complete"
        )
    return found


def _facts(header: bytes) -> dict[str, str]:
    """What a header says, by the words of `insitu.readers.rigaku.rows`."""
    said: dict[str, str] = {}
    for line in header.splitlines()[:5000]:
        if line.startswith(b"*") and (match := _FACT.fullmatch(decode_line(line[:500]))) is not None:
            said.setdefault(match[1], match[2])
    return {key: text for key, names in _FACTS.items() if (text := next((said[n] for n in names if said.get(n)), ""))}
