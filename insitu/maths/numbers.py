"""Tables of numbers from text, in one pass over the bytes, each value correctly rounded (equal to `float(token)`).

A decimal is m * 10**k with m the digits as a whole number. For m <= 2**53 and |k| <= 22 both factors are exact
doubles, so one multiplication or division rounds once and is right (Clinger, PLDI 1990). For up to 19 digits and
-22 <= k < 0 the remainder of the division is carried along (Dekker 1971) and the result is taken only where the
remainder's own rounding error cannot change it. Everything else (rare) is left to Python's `float`.

The digits after the point are as many in one row as in the next, most often: where they are (1 to 7 of them), they are
taken at once, as one word of eight bytes, with three multiplications instead of one per digit (Lemire, Software:
Practice and Experience 51, 1700 (2021)). Else they are taken one by one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

DONE, HARD, NOT_A_NUMBER, TOO_FEW, TOO_MANY, MORE_ROWS = range(6)
_POWERS = np.array([float(10**k) for k in range(23)])
_SPLITTER = 134217729.0  # 2**27 + 1: cuts a double into two halves whose products are exact
_TEN = np.uint64(10)
_EXACT = np.uint64(2**53)
_WHOLE_POWERS = np.array([10**k for k in range(8)], dtype=np.uint64)
_EIGHT = np.uint64(8)
_ZEROS = np.uint64(0x3030303030303030)
_ABOVE_NINE = np.uint64(0x7676767676767676)  # sets the top bit of a byte that is 10 or more
_TOP_BITS = np.uint64(0x8080808080808080)
_FOURTH_BYTES = np.uint64(0x000000FF000000FF)
_ODD_PAIRS = np.uint64(100 + (1000000 << 32))
_EVEN_PAIRS = np.uint64(1 + (10000 << 32))


class Table(NamedTuple):
    """`values` (rows, columns) float64; `whole` (columns,): True where no number had a point or an exponent."""

    values: np.ndarray
    whole: np.ndarray


class TableError(ValueError):
    """What is wrong (`problem`: NOT_A_NUMBER, TOO_FEW or TOO_MANY columns, MORE_ROWS) and at which byte."""

    def __init__(self, problem: int, position: int) -> None:
        super().__init__(f"problem {problem} at byte {position}")
        self.problem, self.position = problem, position


@njit(cache=True, forceinline=True)
def _divided(mantissa: Any, power: Any) -> tuple[Any, bool]:
    """m / 10**k rounded once, and whether that is certain; m < 10**19, `power` = 10**k exact."""
    high = np.float64(mantissa)
    low = np.float64(np.int64(mantissa - np.uint64(high)))
    quotient = high / power
    product = quotient * power
    a = quotient * _SPLITTER
    a_high = a - (a - quotient)
    a_low = quotient - a_high
    b = power * _SPLITTER
    b_high = b - (b - power)
    b_low = power - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    rest = (((high - product) - error) + low) / power
    down, up = quotient + rest * (1 - 2.0**-48), quotient + rest * (1 + 2.0**-48)
    return up, down == up


@njit(cache=True, forceinline=True)
def _value(mantissa: Any, kept: int, exponent: Any) -> tuple[Any, bool]:
    """m * 10**exponent, and whether it is certain; `kept` digits count in m."""
    if kept == 0:
        return 0.0, True
    if kept > 19 or exponent < -22 or exponent > 22:
        return 0.0, False
    if mantissa <= _EXACT:
        if exponent < 0:
            return np.float64(mantissa) / _POWERS[-exponent], True
        return np.float64(mantissa) * _POWERS[exponent], True
    if exponent < 0:
        return _divided(mantissa, _POWERS[-exponent])
    return np.float64(mantissa), exponent == 0


@njit(cache=True, inline="always")
def _word(text: Any, position: Any) -> Any:
    """Eight bytes minus "0" each, the first one lowest (the compiler makes one load of it)."""
    p = np.uint64(position)
    word = np.uint64(text[p]) | (np.uint64(text[p + np.uint64(1)]) << np.uint64(8))
    word |= np.uint64(text[p + np.uint64(2)]) << np.uint64(16)
    word |= np.uint64(text[p + np.uint64(3)]) << np.uint64(24)
    word |= np.uint64(text[p + np.uint64(4)]) << np.uint64(32)
    word |= np.uint64(text[p + np.uint64(5)]) << np.uint64(40)
    word |= np.uint64(text[p + np.uint64(6)]) << np.uint64(48)
    word |= np.uint64(text[p + np.uint64(7)]) << np.uint64(56)
    return word ^ _ZEROS


@njit(cache=True, inline="always")
def _as_many(word: Any, places: Any) -> Any:
    """Whether the first `places` (at most 7) bytes are digits and the next one is none."""
    stop = np.uint64(0x80) << (_EIGHT * places)
    return (((word + _ABOVE_NINE) | word) & _TOP_BITS & (stop + stop - np.uint64(1))) == stop


@njit(cache=True, inline="always")
def _digits(word: Any, places: Any) -> Any:
    """The number that the first `places` (at most 7) bytes make: digits to pairs, to fours, to all eight."""
    word = (word << (np.uint64(56) - _EIGHT * places)) << _EIGHT  # zeros in front, the others out
    word = word * _TEN + (word >> _EIGHT)
    odd, even = word & _FOURTH_BYTES, (word >> np.uint64(16)) & _FOURTH_BYTES
    return (odd * _ODD_PAIRS + even * _EVEN_PAIRS) >> np.uint64(32)


@njit(cache=True)
def _scan(
    text: Any, position: Any, separator: int, out: Any, row: int, column: int, whole: Any, places: Any
) -> tuple[int, int, int, int, int]:
    """Fill `out` (rows, columns) from `text` (uint8) from a byte on; gives (problem, row, column, begin, end).

    `separator`: a byte, -1 for none. `places` (columns,): how many digits came after the point in the row before.

    One long function, because handing `text` to another costs an atomic count per call; `text[np.uint64(...)]`,
    because a position that cannot be negative saves a third of the time.
    """
    n, columns = text.size, out.shape[1]
    separated = False
    while position < n:
        c = text[np.uint64(position)]
        if c == 32 or c == 9 or c == 13:
            position += 1
            continue
        if c == 10:
            if column == columns:
                row += 1
            elif column > 0:
                return TOO_FEW, row, column, position, position
            column, separated = 0, False
            position += 1
            continue
        if c == 35 or (column == 0 and (c == 33 or c == 37 or c == 39 or c == 59)):  # comment: # anywhere, ! % ' ;
            if 0 < column < columns:
                return TOO_FEW, row, column, position, position
            while position < n and text[np.uint64(position)] != 10:
                position += 1
            continue
        if c == separator:
            if column == 0 or separated:
                return NOT_A_NUMBER, row, column, position, position + 1
            separated = True
            position += 1
            continue
        if column == columns:
            return TOO_MANY, row, column, position, position
        if column == 0 and row == out.shape[0]:
            return MORE_ROWS, row, column, position, position

        # the number: sign, digits, point, digits, exponent; zeros in front do not count
        begin = position
        if c == 45 or c == 43:
            position += 1
        first = position
        while position < n and text[np.uint64(position)] == 48:
            position += 1
        counted = position
        mantissa = np.uint64(0)
        while position < n:
            digit = np.uint8(text[np.uint64(position)] - 48)
            if digit > 9:
                break
            mantissa = mantissa * _TEN + np.uint64(digit)
            position += 1
        seen, kept, exponent = position - first, position - counted, 0
        if position < n and text[np.uint64(position)] == 46:
            whole[column] = False
            position += 1
            if position + 8 < n and seen > 0 and kept < 9 and (separator < 0 or column == 0 or separated):
                word, many = _word(text, position), places[column]
                end = text[np.uint64(position) + many]
                if _as_many(word, many) and (end == 32 or end == 10 or end == 9):
                    mantissa = mantissa * _WHOLE_POWERS[many] + _digits(word, many)  # at most 15 digits: exact
                    value = np.float64(np.int64(mantissa)) / _POWERS[many]
                    out[row, column] = -value if c == 45 else value
                    position += np.int64(many)
                    column += 1
                    separated = False
                    continue
            first = position
            while kept == 0 and position < n and text[np.uint64(position)] == 48:
                position += 1
            counted = position
            while position < n:
                digit = np.uint8(text[np.uint64(position)] - 48)
                if digit > 9:
                    break
                mantissa = mantissa * _TEN + np.uint64(digit)
                position += 1
            exponent = first - position
            places[column] = min(position - first, 7)
            seen -= exponent
            kept += position - counted
        if seen > 0 and position < n and (text[np.uint64(position)] | 32) in (100, 101):  # e, and Fortran's d
            whole[column] = False
            position += 1
            down = position < n and text[np.uint64(position)] == 45
            if down or (position < n and text[np.uint64(position)] == 43):
                position += 1
            power, seen = 0, 0
            while position < n and 48 <= text[np.uint64(position)] <= 57:
                power = min(power * 10 + np.int64(text[np.uint64(position)]) - 48, 100000)
                seen += 1
                position += 1
            exponent += -power if down else power
        ended = position == n
        if not ended:
            end = text[np.uint64(position)]
            ended = end == 32 or end == 10 or end == 9 or end == 13 or end == 35 or end == separator
        if seen == 0 or not ended or (separator >= 0 and column > 0 and not separated):
            return NOT_A_NUMBER, row, column, begin, position
        value, sure = _value(mantissa, kept, exponent)
        if not sure:
            return HARD, row, column, begin, position
        out[row, column] = -value if c == 45 else value
        column += 1
        separated = False
    if column == columns:
        row += 1
    elif column > 0:
        return TOO_FEW, row, column, n, n
    return DONE, row, 0, n, n


def read_table(text: bytes, start: int, columns: int, *, separator: bytes = b"", rows: int | None = None) -> Table:
    """The table in `text` from byte `start` on; comment and blank lines are passed over.

    `separator`: one byte that stands once between columns; nothing means blanks. `rows`: how many rows are allowed.
    What `rows` says reserves no memory: that is bounded by the length of the text. Raises `TableError`.

    >>> read_table(b"0.5 12\\n0.502 -1e1 # last", 0, 2).values.tolist()
    [[0.5, 12.0], [0.502, -10.0]]
    """
    most = (len(text) - start) // (2 * columns) + 1  # a number takes a digit and a blank
    out = np.empty((most if rows is None else min(most, rows), columns))
    whole = np.ones(columns, dtype=np.bool_)
    places = np.zeros(columns, dtype=np.uint64)
    raw, mark = np.frombuffer(text, dtype=np.uint8), separator[0] if separator else -1
    state, row, column, begin, end = _scan(raw, start, mark, out, 0, 0, whole, places)
    while state == HARD:
        value = float(text[begin:end].lower().replace(b"d", b"e"))
        if not math.isfinite(value):
            raise TableError(NOT_A_NUMBER, begin)
        out[row, column] = value
        state, row, column, begin, end = _scan(raw, end, mark, out, row, column + 1, whole, places)
    if state != DONE:
        raise TableError(state, begin)
    return Table(out[:row], whole)


def row_position(text: bytes, start: int, columns: int, row: int, *, separator: bytes = b"") -> int:
    """The byte at which row number `row` (from 0) of a table that was read begins."""
    try:
        read_table(text, start, columns, separator=separator, rows=row)
    except TableError as error:
        return error.position
    raise IndexError(f"there is no row {row}")
