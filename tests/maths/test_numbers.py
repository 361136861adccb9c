"""Tables of numbers: equal to Python's own float, and what is wrong is found at its byte."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from insitu.maths.numbers import (
    MORE_ROWS,
    NOT_A_NUMBER,
    TOO_FEW,
    TOO_MANY,
    TableError,
    read_table,
    row_position,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
forms = st.sampled_from(["%r", "%.6f", "%.18e", "%g", "%.3E", "%.15g", "%.25f", "%+.9f"])


@settings(max_examples=300, deadline=None)
@given(finite | st.floats(-1e6, 1e6), forms)
def test_a_number_is_read_as_python_reads_it(value: float, form: str) -> None:
    text = (form % value).encode()
    assume(math.isfinite(float(text)))
    got = read_table(b"1 " + text + b"\n", 0, 2).values[0, 1]
    assert got == float(text)
    assert math.copysign(1, got) == math.copysign(1, float(text))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**19 - 1), st.integers(0, 22))
def test_nineteen_digits_are_rounded_once(mantissa: int, places: int) -> None:
    digits = str(mantissa).rjust(places + 1, "0")
    text = f"{digits[: len(digits) - places]}.{digits[len(digits) - places :]}"
    assert read_table(f"{text} 0\n".encode(), 0, 2).values[0, 0] == float(text)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.decimals(-(10**14), 10**14, places=7) | st.decimals(-1000, 1000, places=7), st.integers(0, 7)),
        min_size=4,
        max_size=40,
    ),
    st.sampled_from([(" ", "\n", ""), ("\t", "\r\n", ""), (" ", "\n", "x"), ("  ", " \n", ""), (", ", "\n", ",")]),
)
def test_rows_with_as_many_digits_as_the_row_before_are_read_as_python_reads_them(rows: list, form: tuple) -> None:
    """The way of eight bytes at once, and falling out of it where the number of digits changes."""
    between, end, mark = form
    same_places = rows[0][1] if mark == "x" else None  # every row alike, or each its own number of digits
    texts = [f"{value:.{places if same_places is None else same_places}f}" for value, places in rows]
    table = "".join(f"{a}{between}{b}{end}" for a, b in zip(texts, reversed(texts), strict=True))
    for text in (table, table.rstrip()):
        got = read_table(text.encode(), 0, 2, separator=b"," if mark == "," else b"").values
        assert got[:, 0].tobytes() == np.array([float(t) for t in texts]).tobytes()
        assert got[:, 1].tobytes() == np.array([float(t) for t in reversed(texts)]).tobytes()


@settings(max_examples=400, deadline=None)
@given(st.binary(min_size=1, max_size=9), st.integers(0, 7), st.integers(0, 8))
def test_damage_behind_a_point_is_found_at_its_byte_or_is_a_number_to_python(cut: bytes, places: int, at: int) -> None:
    """Whatever stands where eight bytes are taken at once: what is accepted is what Python accepts."""
    good = b"12." + b"0123456789"[:places] + b" 5\n"
    word = b"12." + b"0123456789"[:at] + cut
    text = good * 3 + word + b" 5\n" + good * 2
    try:
        values = read_table(text, 0, 2).values
    except TableError:
        return
    read = [line.split(b"#")[0].replace(b"d", b"e").replace(b"D", b"e").split() for line in text.split(b"\n")]
    expected = [[float(token) for token in row] for row in read if row and row[0][:1] not in b"!%';"]
    assert values.tolist() == expected


def test_a_hard_tie_is_rounded_to_even_like_python() -> None:
    for text in (
        "9007199254740993.0",
        "9007199254740992.5",
        "0.500000000000000166533453693773481063544750213623046875",
    ):
        assert read_table(f"{text} 0".encode(), 0, 2).values[0, 0] == float(text)


@pytest.mark.parametrize(
    ("text", "problem", "position"),
    [
        (b"1 2\n3 x\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 nan\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 inf\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 1e999\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 4e\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 1_0\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 0x1\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 4.5.6\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 .\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 \xff\n", NOT_A_NUMBER, 6),
        (b"1 2\n3 4\0\n", NOT_A_NUMBER, 6),
        (b"1 2\n3\0 4\n", NOT_A_NUMBER, 4),
        (b"1 2\n3\n", TOO_FEW, 5),
        (b"1 2\n3", TOO_FEW, 5),
        (b"1 2\n3 # no more\n", TOO_FEW, 6),
        (b"1 2\n3 4 5\n", TOO_MANY, 8),
    ],
)
def test_what_is_wrong_is_found_at_its_byte(text: bytes, problem: int, position: int) -> None:
    with pytest.raises(TableError) as caught:
        read_table(text, 0, 2)
    assert (caught.value.problem, caught.value.position) == (problem, position)


def test_more_rows_than_allowed_are_found_at_the_first_one() -> None:
    with pytest.raises(TableError) as caught:
        read_table(b"1 2\n3 4\n5 6\n", 0, 2, rows=2)
    assert (caught.value.problem, caught.value.position) == (MORE_ROWS, 8)


def test_a_declared_size_reserves_no_memory() -> None:
    assert read_table(b"1 2\n", 0, 2, rows=10**15).values.shape == (1, 2)


def test_comments_blank_lines_and_carriage_returns_are_passed_over() -> None:
    table = read_table(b"head\r\n! c\r\n1 2\r\n\r\n  # c\r\n3\t4 # c\r\n' last", 6, 2)
    assert table.values.tolist() == [[1, 2], [3, 4]]
    assert table.whole.tolist() == [True, True]


def test_separators_stand_once_between_columns() -> None:
    assert read_table(b"1.5,2\n3.5 , 4\n", 0, 2, separator=b",").values.tolist() == [[1.5, 2], [3.5, 4]]
    for text in (b"1,,2\n", b",1,2\n", b"1 2\n", b"1;2\n"):
        with pytest.raises(TableError):
            read_table(text, 0, 2, separator=b",")


def test_whole_is_told_by_column() -> None:
    assert read_table(b"1.0 2 3e1\n4 5 6\n", 0, 3).whole.tolist() == [False, True, False]


def test_fortran_exponents_are_read() -> None:
    assert read_table(b"1D2 1d-30\n", 0, 2).values.tolist() == [[100.0, 1e-30]]


def test_a_row_is_found_again() -> None:
    text = b"# head\n1 2\n\n# between\n3 4\n5 6\n"
    assert [row_position(text, 0, 2, i) for i in range(3)] == [7, 22, 26]
    with pytest.raises(IndexError):
        row_position(text, 0, 2, 3)


def test_a_large_table_equals_numpys(data) -> None:
    text = (data / "xrd/series_cucr2o4_7-289K/OH_00.fxye").read_bytes()
    start = text.index(b"FXYE\n") + 5
    expected = np.loadtxt(text[start:].decode().splitlines())
    assert np.array_equal(read_table(text, start, 3).values, expected)
