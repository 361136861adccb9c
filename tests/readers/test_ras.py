"""Rigaku RAS text."""

import pytest

from insitu.errors import FormatError
from insitu.readers.pattern import BadScan, How, NoPattern, Pattern, Truncated
from insitu.readers.ras import decode, looks_like
from insitu.types import Feature
from tests.readers.written import RAS_HEADER, RAS_ROWS, ras

HOW = How(name="a.ras")


def one(data: bytes, how: How = HOW) -> Pattern:
    (pattern,) = decode(data, how)
    assert isinstance(pattern, Pattern), pattern
    return pattern


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_rows_and_header_are_read(ends: bytes) -> None:
    data = ras().replace(b"\n", ends)
    assert looks_like(data)
    pattern = one(data)
    assert pattern.two_theta.tolist() == [10, 10.5, 11, 11.5, 12]
    assert pattern.intensity.tolist() == [4, 9, 16, 25, 36]
    assert pattern.sigma is None
    assert pattern.context["wavelength"] == Feature(1.540593, "angstrom")
    assert pattern.context["wavelength2"] == Feature(1.544414, "angstrom")
    assert pattern.context["exposure_s"] == Feature(2.0, "s")
    assert pattern.labels["sample"] == "ceria"
    assert pattern.time_ns == 1511253151 * 10**9  # month/day/year
    assert pattern.whole


def test_the_attenuator_is_multiplied_in() -> None:
    pattern = one(ras(RAS_ROWS.replace("16 1.0", "16 10.0")))
    assert pattern.intensity.tolist() == [4, 9, 160, 25, 36]
    assert pattern.sigma is not None
    assert pattern.sigma[2] == 40


def test_rows_of_counts_alone_go_by_start_and_step() -> None:
    assert one(ras("4\n9\n16\n25\n36\n")).two_theta.tolist() == [10, 10.5, 11, 11.5, 12]
    header = RAS_HEADER.replace("*MEAS_SCAN_STEP", "*OTHER")
    (part,) = decode(ras("4\n9\n16\n25\n36\n", header=header), HOW)
    assert isinstance(part, BadScan)


def test_several_sections_are_several_patterns_and_a_bad_one_stops_none() -> None:
    parts = list(decode(ras(RAS_ROWS, RAS_ROWS.replace("16", "x"), RAS_ROWS.replace("36", "1")), HOW))
    assert [type(part) for part in parts] == [Pattern, BadScan, Pattern]
    bad = parts[1]
    assert isinstance(bad, BadScan)
    assert bad.error.where == "a.ras:40"
    assert b"11.0 x 1.0" in bad.payload


def test_another_axis_is_no_pattern() -> None:
    (part,) = decode(ras(header=RAS_HEADER.replace("TwoThetaTheta", "Omega")), HOW)
    assert isinstance(part, NoPattern)


def test_without_its_end_it_is_truncated_or_not_surely_whole() -> None:
    whole = ras()
    for end in range(len(whole) - len("*RAS_INT_END\n*RAS_DATA_END\n"), len(whole) - len("\n*RAS_DATA_END\n")):
        with pytest.raises(Truncated):
            list(decode(whole[:end], HOW))
    assert not one(whole[: -len("*RAS_DATA_END\n")]).whole
    with pytest.raises(Truncated):
        list(decode(b"*RAS_DATA_START\n", HOW))
    with pytest.raises(FormatError, match="binary"):
        list(decode(b"*RAS_DATA_START\n\0", HOW))
