"""GSAS powder data: bytes to a pattern, for the constant-wavelength types FXYE, FXY, ESD and STD.

    BANK 1 12799 12799 CONS 50.000000 0.200000  0 0 FXYE
         bank points records  first and step, in centidegrees  type (STD where none is written)

FXYE: rows of 2-theta in centidegrees, intensity, esd; FXY: without esd. ESD: ten 8-character fields a line, pairs of
intensity and esd. STD: ten 8-character fields a line, 2 characters number of counters n (blank is 1), 6 characters
mean intensity I; where any n > 1, sigma = sqrt(I / n). Positions of ESD and STD are first + i * step.

Source: Larson, Von Dreele, General Structure Analysis System, LAUR 86-748 (2004), "powder data file".
Rows win over the BANK line where the two disagree about positions, except by a factor that means another unit.
"""

from __future__ import annotations

import math
import re
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
    line_of,
    plain_lines,
    table_error,
    whole_numbers,
)

SUFFIXES = (".fxye", ".fxy", ".gsas", ".gsa", ".gss", ".gda", ".esd", ".std", ".xra")
_BANK = re.compile(rb"^BANK[ \t].*$", re.MULTILINE)
_FORM = "BANK 1 points records CONS first step 0 0 FXYE"


class Bank(NamedTuple):
    """A BANK line: points, first and step as written, type, byte where the rows begin, and its line number."""

    points: int
    first: float
    step: float
    kind: str
    rows: int
    line: int


def looks_like(data: bytes) -> bool:
    """Whether a BANK line is near the beginning."""
    return _BANK.search(data, 0, HEAD) is not None


def decode(data: bytes, how: How = How()) -> Pattern:  # noqa: B008 (frozen)
    """One bank. Raises `FormatError` naming the line; `Truncated` where points are missing at the end.

    >>> decode(b"a title\\nBANK 1 3 1 CONST 1500 2 0 0 STD\\n     609     612     673\\n").two_theta.tolist()
    [15.0, 15.02, 15.04]
    """
    data = plain_lines(data, how.name)
    bank, head = _bank(data, how.name), Header()
    match = _BANK.search(data, 0, HEAD)
    assert match is not None  # _bank has refused a file without
    lines = [decode_line(line) for line in data[: match.start()].splitlines()]
    head = read_header(lines, how.timezone)
    if lines and not lines[0].lstrip().startswith("#") and (title := title_line(lines[0])):
        head.labels.setdefault("title", title)
    if how.x_unit not in ("", "centideg", "deg"):
        raise FormatError(
            f"x_unit = {how.x_unit!r} does not fit a GSAS file", where=how.name, expected="centideg or deg"
        )
    two_theta, intensity, sigma = (_rows if bank.kind in ("FXYE", "FXY") else _fields)(data, bank, head, how)
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
        whole=data.endswith((b"\n", b"\r")) or bank.kind in ("ESD", "STD"),
    )


def _bank(data: bytes, name: str) -> Bank:
    match = _BANK.search(data, 0, HEAD)
    if match is None:
        error = Truncated if len(data) < HEAD else FormatError
        raise error(
            "there is no BANK line", where=name, expected=_FORM, remedy="Check that this is a GSAS powder data file"
        )
    line = line_of(data, match.start())
    where, text = f"{name}:{line}", match[0]
    if match.end() == len(data):
        raise Truncated("the file ends with its BANK line", where=where, remedy="Copy or measure it again")
    words = text.split()
    kind = words.pop().decode("latin-1").upper() if words[-1][:1].isalpha() else "STD"
    try:
        points, binning, first, step = int(words[2]), words[4].upper(), float(words[5]), float(words[6])
    except (IndexError, ValueError) as error:
        raise FormatError(
            f"the line {decode_line(text)[:60].strip()!r} cannot be read", where=where, expected=_FORM
        ) from error
    if not binning.startswith(b"CONS"):
        raise FormatError(
            f"the binning {decode_line(binning)} is not read",
            where=where,
            expected="CONS or CONST: constant wavelength",
            remedy="Time-of-flight banks need another reader",
        )
    if kind not in ("FXYE", "FXY", "ESD", "STD"):
        raise FormatError(
            f"the type {kind} is not read", where=where, expected="FXYE, FXY, ESD or STD", remedy="Export as FXYE"
        )
    fixed = kind in ("ESD", "STD")
    if points < 2 or not (math.isfinite(first) and math.isfinite(step)) or (fixed and step <= 0):
        raise FormatError(
            f"{points} points from {first:g} in steps of {step:g} is no pattern", where=where, expected=_FORM
        )
    return Bank(points, first, step, kind, min(match.end() + 1, len(data)), line)


def _refuse_second_bank(data: bytes, position: int, name: str) -> None:
    """Say so where what stands at a byte is another BANK line."""
    if data.startswith(b"BANK", position):
        raise FormatError(
            "a second BANK begins here",
            where=f"{name}:{line_of(data, position)}",
            expected="one bank in a file",
            remedy="Split the file into one per bank",
        )


def _short(found: int, bank: Bank, name: str, line: int) -> Truncated:
    return Truncated(
        f"the file ends after {found} of {bank.points} points",
        where=f"{name}:{line}",
        expected=f"the {bank.points} that BANK on line {bank.line} declares",
        remedy="The file was cut off: copy or measure it again",
    )


def _rows(data: bytes, bank: Bank, head: Header, how: How) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """FXYE and FXY: one row per point."""
    columns = len(bank.kind) - 1
    try:
        table = read_table(data, bank.rows, columns, rows=bank.points)
    except TableError as error:
        _refuse_second_bank(data, error.position, how.name)
        raise table_error(data, error, how.name, columns) from error
    values = table.values
    if len(values) < bank.points:
        raise _short(len(values), bank, how.name, line_of(data, len(data.rstrip())))
    if cut_number(data, bank.rows):
        raise _short(bank.points - 1, bank, how.name, line_of(data, len(data)))

    def line(i: int) -> int:
        return line_of(data, row_position(data, bank.rows, columns, i))

    if not how.x_unit:
        _check_unit(values[:, 0], bank, head, how.name, line(0))
    two_theta = np.ascontiguousarray(values[:, 0]) if how.x_unit == "deg" else _degrees(values[:, 0])
    check_axis(two_theta, how.name, line)
    intensity = whole_numbers(values[:, 1], bool(table.whole[1]))
    sigma = np.ascontiguousarray(values[:, 2]) if columns == 3 else None
    check_values(intensity, sigma, how.unit, how.name, line)
    return two_theta, intensity, sigma


def _degrees(centidegrees: np.ndarray) -> np.ndarray:
    """Degrees as the decimal number that the text says: 751.4 centideg is 7.514 deg, not 7.513999999999999."""
    with np.errstate(over="ignore"):  # an infinite one is refused with its line
        return np.round(centidegrees / 100, 10)


def _check_unit(x: np.ndarray, bank: Bank, head: Header, name: str, line: int) -> None:
    """Refuse rows in another unit than the centidegrees of the format."""
    remedy = 'If the rows are in degrees, set x_unit = "deg" in the detector\'s [reader]; else correct the BANK line'
    step = float(x[-1] - x[0]) / max(len(x) - 1, 1)
    for factor, unit in ((0.01, "degrees"), (0.01 * math.pi / 180, "radians"), (100.0, "ten-thousandths of a degree")):
        if bank.step > 0 and math.isclose(step / bank.step, factor, rel_tol=0.02):
            raise FormatError(
                f"the rows advance by {step:.6g}, BANK on line {bank.line} says {bank.step:g}: they look like {unit}",
                where=f"{name}:{line}",
                expected="2-theta in centidegrees",
                remedy=remedy,
            )
    if head.step and math.isclose(step / head.step, 1.0, rel_tol=0.02):
        raise FormatError(
            f"the rows advance by {step:.6g}, which the header calls degrees",
            where=f"{name}:{line}",
            expected="2-theta in centidegrees",
            remedy=remedy,
        )
    if len(x) > 2 and 0 < float(x.max()) < 180:
        raise FormatError(
            f"the last 2-theta would be {x.max() / 100:.6g} deg: the rows look like degrees",
            where=f"{name}:{line}",
            expected="2-theta in centidegrees",
            remedy='If the rows are in degrees, set x_unit = "deg" in the detector\'s [reader]; '
            'if they really are centidegrees, x_unit = "centideg"',
        )


def _fields(data: bytes, bank: Bank, _head: Header, how: How) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """ESD and STD: ten fields of 8 characters a line."""
    per_line = 5 if bank.kind == "ESD" else 10
    lines = data[bank.rows :].split(b"\n")
    ended = bool(lines) and lines[-1] == b""  # else the last line may be cut inside a field
    while lines and not lines[-1].strip():
        lines.pop()
    needed = -(-bank.points // per_line)
    if len(lines) > needed:
        _refuse_second_bank(data, data.find(b"\nBANK", bank.rows) + 1, how.name)
        raise FormatError(
            "this line comes after the last one that the header declares",
            where=f"{how.name}:{bank.line + 1 + needed}",
            expected=f"{bank.points} points in {needed} lines",
            remedy="Correct the BANK line, or export the file again",
        )
    complete = len(lines) == needed and (ended or _full(lines[-1], bank, per_line))
    if not complete:
        raise _short(min(len(lines) * per_line, bank.points - 1), bank, how.name, bank.line + len(lines))
    text = b"".join(line.rstrip(b"\r")[:80].ljust(80) for line in lines)
    fields = np.frombuffer(text, dtype="S8" if bank.kind == "ESD" else [("n", "S2"), ("i", "S6")])

    def line(i: int) -> int:
        return bank.line + 1 + i // per_line

    if bank.kind == "ESD":
        pairs = fields[: 2 * bank.points]
        intensity, whole = _parsed(pairs[0::2], bank, how.name, per_line)
        sigma, _ = _parsed(pairs[1::2], bank, how.name, per_line)
    else:
        intensity, whole = _parsed(fields["i"][: bank.points], bank, how.name, per_line)
        blank = np.char.strip(fields["n"][: bank.points])
        counters, _ = _parsed(np.where(blank == b"", b"1", blank), bank, how.name, per_line)
        counters = np.maximum(counters, 1)
        sigma = np.sqrt(np.maximum(intensity, 0) / counters) if counters.max() > 1 else None
    positions = bank.first + bank.step * np.arange(bank.points)
    two_theta = positions if how.x_unit == "deg" else _degrees(positions)
    check_axis(two_theta, how.name, line)
    intensity = whole_numbers(intensity, whole)
    check_values(intensity, sigma if bank.kind == "ESD" else None, how.unit, how.name, line)
    return two_theta, intensity, sigma


def _full(line: bytes, bank: Bank, per_line: int) -> bool:
    """Whether a last line without newline has all characters of its last field."""
    left = bank.points % per_line or per_line
    return len(line) >= left * (16 if bank.kind == "ESD" else 8)


def _parsed(fields: np.ndarray, bank: Bank, name: str, per_line: int) -> tuple[np.ndarray, bool]:
    """Fixed-width fields as float64, and whether all were written as whole numbers."""
    try:
        values = fields.astype(np.float64)
        good = np.isfinite(values) & (np.char.find(fields, b"_") < 0)  # Python reads 1_0 as 10
    except ValueError:
        good = np.array([_is_number(field) for field in fields])
        values = np.zeros(len(fields))
    if not good.all():
        i = int(np.flatnonzero(~good)[0])
        raise FormatError(
            f"field {i % per_line + 1} is {decode_line(bytes(fields[i]))!r}, which is not a finite number",
            where=f"{name}:{bank.line + 1 + i // per_line}",
            expected="fields of 8 characters",
            remedy="Correct the field, or export the file again",
        )
    return values, b"." not in fields.tobytes() and not (values % 1).any()


def _is_number(field: bytes) -> bool:
    try:
        return math.isfinite(float(field))
    except ValueError:
        return False
