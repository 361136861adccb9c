"""Units: what recipes may write, and what is refused."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.errors import UnitError
from insitu.types import Feature
from insitu.units import check_unit, compatible, convert, nearest, parse


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("0.5 deg", 0.5, "deg"),
        ("25 degC", 25.0, "degC"),
        ("-3e-2 1/angstrom", -0.03, "1/angstrom"),
        ("512MB", 512.0, "MB"),
        ("10 Hz", 10.0, "Hz"),
        ("50 ms", 50.0, "ms"),
        ("7", 7.0, ""),
        (".5 %", 0.5, "%"),
        ("1_000 counts deg", 1000.0, "counts deg"),
        ("2 arb", 2.0, "arb"),
        ("1 µm", 1.0, "µm"),
        ("3 m^2", 3.0, "m^2"),
        ("1e3 counts/s", 1000.0, "counts/s"),
    ],
)
def test_a_number_with_its_unit_is_read(text: str, value: float, unit: str) -> None:
    assert parse(text) == Feature(value, unit)


@pytest.mark.parametrize("text", ["", "deg", "0.5 0.5 deg", "1,5 deg", "nan deg", "1e999 deg", "inf K", "0.5; deg"])
def test_what_is_no_number_with_a_unit_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match=r"is not a"):
        parse(text)


@pytest.mark.parametrize(
    ("value", "source", "target", "wanted"),
    [
        (25.0, "degC", "K", 298.15),
        (32.0, "degF", "degC", 0.0),
        (180.0, "deg", "rad", math.pi),
        (512.0, "MB", "byte", 512e6),
        (1.0, "MiB", "byte", 1048576.0),
        (50.0, "ms", "s", 0.05),
        (600.0, "1/min", "Hz", 10.0),
        (1.0, "1/angstrom", "1/nm", 10.0),
        (1.0, "kcounts", "counts", 1000.0),
        (5.0, "%", "", 0.05),
        (6.0, "degC/min", "K/s", 0.1),
        (2.0, "counts rad", "counts deg", math.degrees(2.0)),
        (1.0, "m**2", "mm^2", 1e6),
    ],
)
def test_values_convert(value: float, source: str, target: str, wanted: float) -> None:
    assert convert(value, source, target) == pytest.approx(wanted, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(
    ("a", "b"),
    [("deg", "K"), ("deg", "degC"), ("deg", ""), ("counts", ""), ("counts", "arb"), ("rpm", "Hz"), ("byte", "")],
)
def test_an_angle_a_count_and_a_byte_are_not_plain_numbers(a: str, b: str) -> None:
    assert not compatible(a, b)
    with pytest.raises(UnitError) as e:
        convert(1.0, a, b)
    assert f'"{a}"' in str(e.value)
    assert f'"{b}"' in str(e.value) or b == ""


@pytest.mark.parametrize(
    ("unit", "meant"),
    [("Angstrom", "angstrom"), ("degre", "degree"), ("a.u.", "arb"), ("deg C", "degC"), ("cuonts", "counts")],
)
def test_an_unknown_unit_is_refused_with_the_nearest(unit: str, meant: str) -> None:
    with pytest.raises(UnitError, match=f'Did you mean "{meant}"'):
        check_unit(unit)


def test_a_temperature_in_coulomb_is_told_to_be_degC() -> None:
    with pytest.raises(UnitError, match="degC"):
        convert(25.0, "C", "K")


@pytest.mark.parametrize("unit", ["10**10**10", "m**99", "().__class__", "mm/", "2 deg", "m m m m(", "a;b", "\x00"])
def test_text_that_is_no_unit_is_refused_without_being_evaluated(unit: str) -> None:
    with pytest.raises(UnitError):
        check_unit(unit)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_number_written_with_a_unit_reads_back_the_same(x: float) -> None:
    assert parse(f"{x!r} deg") == Feature(x, "deg")


def test_the_unit_wanted_is_given_back_without_pint() -> None:
    code = "import sys, insitu.units as u; assert u.convert(1, 'deg', 'deg') == 1.0; assert 'pint' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nearest_ignores_case_and_refuses_what_is_far() -> None:
    assert nearest("LIMITS", ["limits"]) == "limits"
    assert nearest("xyzzy", ["limits"]) is None
