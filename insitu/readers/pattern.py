"""A 1-D diffraction pattern as a decoder gives it, and the checks that every format shares.

What is refused, and why: an axis that repeats a value or turns back (two scans glued together, a damaged row); an
axis that cannot be 2-theta in degrees; a negative esd; and negative intensities where the unit is counts and the file
gives no esd, because raw counts are never negative: that is a pixel mark (-1, -2) or an overflow. Data from which a
background was taken are no counts: say `unit = "arb"` in the detector file. With an esd the values have been processed
already, and scatter about zero is honest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from insitu.errors import FormatError
from insitu.maths.numbers import MORE_ROWS, NOT_A_NUMBER, TOO_FEW, TOO_MANY, TableError
from insitu.types import Feature

HEAD = 65536
"""How many bytes at the beginning of a file are searched for a header."""

_CUT = re.compile(r"[+-]?[\d.]*([eEdD][+-]?)?")


class Truncated(FormatError):
    """The file ends too early: cut off, or still being written."""


class NoPattern(FormatError):
    """Something else than intensities over 2-theta: it is passed over and told, and no frame is missing."""


class BadScan(NamedTuple):
    """One scan of a file that holds several, which cannot be read: why, and its bytes."""

    error: FormatError
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """One pattern: `two_theta` (n,) deg, float64, increasing; `intensity` (n,) in `unit`, whole numbers kept whole;
    `sigma` (n,) standard uncertainty of intensity where the file gives one. `time_ns`: start, ns since 1970 UTC,
    known to `clock_sigma_ns`, None where the header has no time; `duration_ns`: time counted, 0 where not known.
    `whole`: the format itself says where it ends, so that nothing can be missing."""

    two_theta: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray | None = None
    unit: str = "counts"
    context: Mapping[str, Feature] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    time_ns: int | None = None
    clock_sigma_ns: int = 0
    duration_ns: int = 0
    whole: bool = False


def numbered(pattern: Pattern, i: int, scans: int) -> Pattern:
    """The pattern with its place in the file, where that holds more than one: `scan` is "2 of 5"."""
    return replace(pattern, labels={**pattern.labels, "scan": f"{i} of {scans}"}) if scans > 1 else pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to read a file: `name` for messages, `timezone` of header times, `unit` of the intensities, `x_unit` of the
    axis where the file must not be believed; `calibrated` is a wavelength (angstrom) that is known better than from any
    header, `wavelength` one for files that have none."""

    name: str = "pattern"
    timezone: str = "UTC"
    unit: str = "counts"
    x_unit: str = ""
    calibrated: float | None = None
    wavelength: float | None = None


def line_of(data: bytes, position: int) -> int:
    """The line number, from 1, of a byte."""
    return data.count(b"\n", 0, position) + 1


def plain_lines(data: bytes, name: str) -> bytes:
    """`data` as text with newlines: byte-order mark and DOS end mark off; empty, UTF-16 and binary refused."""
    if not data or data.isspace():
        raise Truncated("the file is empty", where=name, remedy="Measure again, or remove the file")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise FormatError("the text is UTF-16", where=f"{name}:1", expected="ASCII or UTF-8", remedy="Save it as UTF-8")
    zero = data.find(b"\0")
    if zero >= 0:
        raise FormatError(
            f"byte {zero} is zero: this is a binary file, or a damaged one",
            where=f"{name}:{line_of(data, zero)}",
            expected="a text file of numbers",
            remedy="Export the pattern as .xy, .xye or .fxye, or copy the file again",
        )
    data = data.removeprefix(b"\xef\xbb\xbf").rstrip(b"\x1a")
    return data.replace(b"\r", b"\n") if b"\r" in data and b"\n" not in data else data


def decode_line(line: bytes) -> str:
    """A header line as text: UTF-8, else Latin-1 (angstrom and degree signs of laboratory software)."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def table_error(data: bytes, error: TableError, name: str, columns: int) -> FormatError:
    """The message for a row that is no row: which line, what it says, what was expected."""
    begin = data.rfind(b"\n", 0, error.position) + 1
    end = data.find(b"\n", error.position)
    last = end < 0
    line = decode_line(data[begin : None if last else end])[:60].strip()
    where = f"{name}:{line_of(data, error.position)}"
    word = (decode_line(data[error.position :][:30]).split() or [line])[0]
    if last and (error.problem == TOO_FEW or (error.problem == NOT_A_NUMBER and _CUT.fullmatch(word))):
        return Truncated(
            f"the file ends in the middle of a row, {line!r}",
            where=where,
            expected=f"{columns} numbers",
            remedy="The file was cut off: copy or measure it again",
        )
    what = {
        NOT_A_NUMBER: f"{word!r} is not a finite number",
        TOO_FEW: f"the row {line!r} has too few numbers",
        TOO_MANY: f"the row {line!r} has too many numbers",
        MORE_ROWS: f"the row {line!r} comes after the last one that the header declares",
    }[error.problem]
    return FormatError(
        what, where=where, expected=f"rows of {columns} numbers", remedy="Correct the line, or export the file again"
    )


def cut_number(data: bytes, start: int) -> bool:
    """Whether the last number of a file without a final newline was cut: it has fewer decimals than all those above.

    The rows begin at byte `start`; at most 20 are looked at. A cut whole number cannot be told.
    """
    if data.endswith((b"\n", b"\r")):
        return False
    rows = [line.split()[-1] for line in data[max(start, len(data) - 4096) :].split(b"\n")[-21:] if line.strip()]
    decimals = [len(word.partition(b".")[2]) for word in rows]
    return len(decimals) > 4 and len(set(decimals[:-1])) == 1 and decimals[-1] < decimals[0]


def whole_numbers(values: np.ndarray, whole: bool) -> np.ndarray:
    """Counts as whole numbers, uint32 where they fit, else int64; anything else stays float64."""
    if not whole or float(np.abs(values).max(initial=0.0)) > 2.0**53:
        return np.ascontiguousarray(values)
    fits = values.min(initial=0.0) >= 0 and values.max(initial=0.0) < 2**32
    return values.astype(np.uint32 if fits else np.int64)


def check_axis(two_theta: np.ndarray, name: str, line: Callable[[int], int]) -> None:
    """Refuse an axis that repeats, turns back, or cannot be degrees. `line(i)` is the line of row i."""
    if len(two_theta) < 2:
        raise Truncated("there are fewer than 2 rows", where=name, expected="a pattern", remedy="Measure again")
    steps = np.diff(two_theta)
    bad = np.flatnonzero(steps <= 0)
    if len(bad):
        i = int(bad[0])
        what = "repeats that of" if steps[i] == 0 else "is smaller than that of"
        raise FormatError(
            f"the 2-theta {two_theta[i + 1]:.6g} deg {what} the row before, {two_theta[i]:.6g} deg",
            where=f"{name}:{line(i + 1)}",
            expected="an axis that increases in every row",
            remedy="Split scans that were joined, or correct the row",
        )
    if two_theta[-1] > 180 or two_theta[0] < -180:
        i = int(np.flatnonzero(np.abs(two_theta) > 180)[0])
        raise FormatError(
            f"{two_theta[i]:.6g} cannot be a 2-theta in degrees",
            where=f"{name}:{line(i)}",
            expected="-180 to 180 deg",
            remedy='Set x_unit in the detector\'s [reader], for example x_unit = "centideg"',
        )


def check_values(
    intensity: np.ndarray, sigma: np.ndarray | None, unit: str, name: str, line: Callable[[int], int]
) -> None:
    """Refuse negative esds, and negative counts without esd."""
    if sigma is not None and len(bad := np.flatnonzero(sigma < 0)):
        raise FormatError(
            f"the esd {sigma[bad[0]]:.6g} is negative",
            where=f"{name}:{line(int(bad[0]))}",
            expected="a standard deviation, 0 or more",
            remedy="Correct the row, or check that the third column is an esd",
        )
    if sigma is None and unit == "counts" and len(bad := np.flatnonzero(intensity < 0)):
        raise FormatError(
            f"the intensity {intensity[bad[0]]:.6g} is negative in {len(bad)} of {len(intensity)} rows",
            where=f"{name}:{line(int(bad[0]))}",
            expected="counts, 0 or more",
            remedy='If a background was subtracted, set unit = "arb" in the detector file; '
            "if -1 or -2 marks dead pixels, mask them before integration",
        )


def degrees_from_q(q: np.ndarray, wavelength: float, name: str, line: Callable[[int], int]) -> np.ndarray:
    """2-theta (n,) in deg from q (n,) in 1/angstrom: 2 asin(q lambda / 4 pi), wavelength in angstrom."""
    sine = q * (wavelength / (4 * math.pi))
    if len(bad := np.flatnonzero(np.abs(sine) > 1)):
        raise FormatError(
            f"q = {q[bad[0]]:.6g} 1/angstrom cannot be reached with a wavelength of {wavelength:.6g} angstrom",
            where=f"{name}:{line(int(bad[0]))}",
            expected=f"at most {4 * math.pi / wavelength:.6g} 1/angstrom",
            remedy="Check the wavelength and the unit of q",
        )
    return np.degrees(2 * np.arcsin(sine))
