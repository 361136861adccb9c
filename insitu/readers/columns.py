"""Columns of text (xy, xye, chi, dat, csv): bytes to a pattern. 2-theta and intensity, or these and an esd.

Comment lines begin with # ! % ' or ;, and whatever stands before the first row is header. The first column is 2-theta
in degrees unless the header names it otherwise (`2th_rad`, `q_nm^-1`, `q_A^-1`) or `x_unit` does; q becomes 2-theta
with the wavelength. A first column that no header names and that stays below pi is refused: degrees, radians and q
cannot be told apart there. So are decimal commas, never read as separators. Files with a declared number of rows
(fit2d .chi) must have them. A scan measured downwards is turned round and labelled.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from insitu.errors import FormatError
from insitu.maths.numbers import TableError, read_table, row_position
from insitu.readers.header import Header, read_header, title_line
from insitu.readers.pattern import (
    HEAD,
    How,
    Pattern,
    Truncated,
    check_axis,
    check_values,
    cut_number,
    decode_line,
    degrees_from_q,
    line_of,
    plain_lines,
    table_error,
    whole_numbers,
)

SUFFIXES = (".xy", ".xye", ".chi", ".dat")
_SPLIT = re.compile(rb"[\s,;]+")
_WORD = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(rb"\d,\d")
_COMMENT = (b"#", b"!", b"%", b"'", b";")
_REMEDY = "Correct the line, or export the file again"
_PREFIX = " \t#!%';\"\ufeff->"


class Layout(NamedTuple):
    """Where the rows begin (byte), how many columns, the separator, header lines, rows declared, axis title."""

    start: int
    columns: int
    separator: bytes
    header: list[str]
    declared: int | None
    axis: str


def looks_like(data: bytes) -> bool:
    """Whether three rows of two or three numbers follow each other near the beginning."""
    run = 0
    lines = data[:HEAD].splitlines()
    for line in lines[:-1] if len(data) > HEAD else lines:
        if line.strip() and not line.lstrip().startswith(_COMMENT):
            words = _words(line)
            run = run + 1 if words in (2, 3) else 0
        if run == 3:
            return True
    return False


def decode(data: bytes, how: How = How()) -> Pattern:  # noqa: B008 (frozen)
    """The pattern. Raises `FormatError` naming the line; `Truncated` where the end is missing.

    >>> decode(b"# Temp (K) = 300\\n10.0 5\\n10.1 7\\n").intensity
    array([5, 7], dtype=uint32)
    """
    data = plain_lines(data, how.name)
    layout = _layout(data, how.name)
    head = read_header(layout.header, how.timezone)
    try:
        table = read_table(data, layout.start, layout.columns, separator=layout.separator)
    except TableError as error:
        raise table_error(data, error, how.name, layout.columns) from error
    rows, columns = table.values.shape
    last = line_of(data, len(data.rstrip()))
    if layout.declared is not None and rows != layout.declared:
        raise (Truncated if rows < layout.declared else FormatError)(
            f"the file has {rows} rows, its header declares {layout.declared}",
            where=f"{how.name}:{last}",
            expected=f"{layout.declared} rows",
            remedy="The file was cut off or put together: copy or measure it again",
        )
    if cut_number(data, layout.start):
        raise Truncated("the last number is cut", where=f"{how.name}:{last}", remedy="Copy or measure the file again")
    if layout.separator == b"," and columns == 3 and table.whole.all():
        raise FormatError(
            "three columns of whole numbers between commas may be two with decimal commas",
            where=f"{how.name}:{line_of(data, layout.start)}",
            expected="decimal points",
            remedy="Write 2-theta with a decimal point, or put blanks between the columns",
        )

    values = table.values
    if columns == 3 and table.whole[0] and _counts_rows(values):
        raise FormatError(
            "the first column numbers the rows, and the second one looks like the axis",
            where=f"{how.name}:{line_of(data, layout.start)}",
            expected="2-theta, intensity and perhaps an esd",
            remedy="Export without the row numbers",
        )
    down = rows > 1 and bool((np.diff(values[:, 0]) < 0).all())
    if down:
        values = values[::-1]
        head.labels["scan_direction"] = "down"

    def line(i: int) -> int:
        row = rows - 1 - i if down else i
        return line_of(data, row_position(data, layout.start, columns, row, separator=layout.separator))

    two_theta = _degrees(values[:, 0], layout.axis, head, how, line)
    check_axis(two_theta, how.name, line)
    intensity = whole_numbers(values[:, 1], bool(table.whole[1]))
    sigma = np.ascontiguousarray(values[:, 2]) if columns == 3 else None
    check_values(intensity, sigma, how.unit, how.name, line)
    return Pattern(
        two_theta=two_theta,
        intensity=intensity,
        sigma=sigma,
        unit=how.unit,
        context=head.context,
        labels=head.labels,
        time_ns=head.time_ns,
        clock_sigma_ns=head.clock_sigma_ns,
        duration_ns=head.duration_ns,
        whole=layout.declared is not None and data.endswith((b"\n", b"\r")),
    )


def _counts_rows(values: np.ndarray) -> bool:
    """Whether the first column is 0, 1, 2, ... or 1, 2, 3, ... beside a second one that only rises or only falls."""
    steps = np.diff(values[:, 1])
    numbers = np.arange(len(values)) + values[0, 0]
    monotonic = bool((steps > 0).all() or (steps < 0).all())
    return len(values) > 4 and values[0, 0] in (0, 1) and np.array_equal(values[:, 0], numbers) and monotonic


def _words(line: bytes) -> int:
    """How many numbers a line holds; 0 where anything else is in it."""
    words = [word for word in _SPLIT.split(line.partition(b"#")[0].strip()) if word]
    return len(words) if all(_WORD.fullmatch(word) for word in words) else 0


def _layout(data: bytes, name: str) -> Layout:
    """Find the first row, and what stands before it."""
    header: list[str] = []
    position, number = 0, 0
    chi = _chi_rows(data)
    while position < min(len(data), HEAD):
        end = data.find(b"\n", position)
        end = len(data) if end < 0 else end
        line = data[position:end]
        number += 1
        in_chi_head = chi is not None and number <= 4
        if in_chi_head or not line.strip() or line.lstrip().startswith(_COMMENT) or _words(line) < 2:
            if not in_chi_head:
                _refuse_damaged_row(data, line, end, f"{name}:{number}")
            header.append(decode_line(line))
            position = end + 1
            continue
        where = f"{name}:{number}"
        separator = _separator(line, where)
        columns = _words(line)
        if columns > 3:
            raise FormatError(
                f"the first row has {columns} columns",
                where=where,
                expected="2-theta and intensity, and perhaps an esd",
                remedy="Export as .xy or .xye; put # in front of the line if it is a title",
            )
        axis = header[1] if chi is not None else next((h for h in reversed(header) if h.strip(_PREFIX)), "")
        if chi is not None and (title := title_line(header[0])):
            header[0] = f"title: {title}"
        return Layout(position, columns, separator, header, chi, axis)
    problem = Truncated if len(data) < HEAD else FormatError
    raise problem(
        "there is no row of numbers",
        where=f"{name}:{number}",
        expected="rows of 2-theta and intensity, and perhaps an esd",
        remedy="Check that this is a pattern and that the file is complete",
    )


def _refuse_damaged_row(data: bytes, line: bytes, end: int, where: str) -> None:
    """A line without comment mark that holds numbers, directly above rows of as many, is a damaged row, no title."""
    words = [word for word in _SPLIT.split(line.strip()) if word]
    if line.lstrip().startswith(_COMMENT) or len(words) < 2 or not any(_WORD.fullmatch(word) for word in words):
        return
    following = data[end + 1 : end + 501].split(b"\n")[0]
    if _words(following) == len(words):
        raise FormatError(
            f"{decode_line(line)[:60].strip()!r} stands above the rows and is not one",
            where=where,
            expected="numbers, or a title that begins with #",
            remedy=_REMEDY,
        )


def _chi_rows(data: bytes) -> int | None:
    """The declared number of rows of a fit2d .chi file: title, axis name, intensity name, number of rows."""
    lines = data[:HEAD].split(b"\n", 4)
    if len(lines) < 4 or data.lstrip().startswith(b"#") or any(_words(line) > 1 for line in lines[1:3]):
        return None
    words = lines[3].split()
    return int(words[0]) if len(words) == 1 and words[0].isdigit() and len(words[0]) < 10 else None


def _separator(line: bytes, where: str) -> bytes:
    """What stands between columns: blanks (nothing), a comma or a semicolon. Decimal commas are refused."""
    line = line.partition(b"#")[0].strip()
    blanks = _DECIMAL_COMMA.search(line) and (b";" in line or b"\t" in line or b" " in line)
    if blanks:
        raise FormatError(
            f"{decode_line(line)[:60]!r} has decimal commas",
            where=where,
            expected="decimal points",
            remedy="Export with decimal points",
        )
    return b";" if b";" in line else b"," if b"," in line else b""


def _axis_unit(title: str, where: str) -> str:
    """The unit of the first column from its title: deg, rad, 1/angstrom, 1/nm, or nothing where it is not named."""
    text = title.strip(_PREFIX).lower()
    if re.match(r"(2|two)[\s_-]*(th|θ)|tth|two_theta|ttheta|2\s*θ", text):
        first = re.split(r"[\t,;]|\s{2,}", text)[0]
        return "rad" if re.search(r"rad(ian)?s?\b", first) else "deg"
    if re.match(r"q\b|q_|scattering vector", text):
        if re.search(r"nm", text):
            return "1/nm"
        if re.search(r"a\^?-1|å|angstrom|1/a|\ba\b", text):
            return "1/angstrom"
        what = "q without a unit"
    elif re.match(r"(theta|th|d|d[-_ ]?spacing|r|r_mm|energy|tof|chi|time|channel)([\s_(,;]|$)", text):
        what = f"{text[:30]!r}"
    else:
        return ""
    raise FormatError(
        f"the first column is {what}",
        where=where,
        expected="2-theta, or q in 1/angstrom or 1/nm",
        remedy='Set x_unit in the detector\'s [reader], for example x_unit = "1/angstrom"',
    )


def _degrees(x: np.ndarray, title: str, head: Header, how: How, line: Callable[[int], int]) -> np.ndarray:
    """2-theta (n,) in deg from the first column."""
    unit = how.x_unit or _axis_unit(title, how.name)
    if not unit and len(x) > 1 and float(x.min()) >= 0 and float(x.max()) <= math.pi:
        raise FormatError(
            f"the first column ends at {x.max():.6g} and has no name: degrees, radians and q cannot be told apart",
            where=f"{how.name}:{line(0)}",
            expected="a title such as 2th_deg or q_A^-1 above the rows",
            remedy='Set x_unit in the detector\'s [reader], for example x_unit = "deg"',
        )
    if unit in ("", "deg"):
        return np.ascontiguousarray(x)
    if unit in ("centideg", "rad"):
        return x / 100 if unit == "centideg" else np.degrees(x)
    own = head.context.get("wavelength")
    known = (how.calibrated, None if own is None else own.value, how.wavelength)
    wavelength = next((value for value in known if value is not None), None)
    if wavelength is None:
        raise FormatError(
            "the first column is q, and the wavelength is not known",
            where=f"{how.name}:{line(0)}",
            expected="a header line such as: Wavelength: 0.4133 angstrom",
            remedy='Set wavelength = "0.4133 angstrom" in [calibration] of the detector file',
        )
    head.labels["axis_in_file"] = f"q {unit}"
    return degrees_from_q(np.ascontiguousarray(x if unit == "1/angstrom" else x / 10), wavelength, how.name, line)
