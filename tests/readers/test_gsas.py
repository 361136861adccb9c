"""GSAS powder data: the real files, and every way a file can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import FormatError
from insitu.readers.gsas import decode, looks_like
from insitu.readers.pattern import How, Truncated

SMALL = b"""made up
# Temp (K) = 300
# 2theta step (deg) = 0.1
BANK 1 5 5 CONS 1000.0 10.0 0 0 FXYE
 1000.0 12.5 3.5
 1010.0 13.5 3.6
 1020.0 99.5 9.9
 1030.0 14.5 3.8
 1040.0 12.5 3.5
"""
HOW = How(name="small.fxye")


def std(rows: bytes, points: int = 12, kind: bytes = b"STD") -> bytes:
    return b"title\nBANK 1 %d 2 CONST 1500 2 0 0 %s\n" % (points, kind) + rows


FULL = std(b"".join(b"%8d" % (100 + i) for i in range(10)) + b"\n" + b"    5712      13".ljust(80) + b"\n")


def test_the_first_pattern_of_the_series_is_as_its_file_says(data: Path) -> None:
    pattern = decode((data / "xrd/series_cucr2o4_7-289K/OH_00.fxye").read_bytes(), HOW)
    assert pattern.two_theta.shape == (12799,)
    assert (pattern.two_theta[0], pattern.two_theta[1], pattern.two_theta[-1]) == (0.5, 0.502, 26.096)
    assert (pattern.intensity[0], pattern.intensity[-1]) == (65.247734, 13.730849)
    assert pattern.sigma is not None
    assert (pattern.sigma[0], pattern.sigma[-1]) == (11.584726, 5.076930)
    assert pattern.context["temperature"].value == 6.778
    assert pattern.context["wavelength"].value == 0.413263
    assert pattern.context["exposure_s"].value == 0.1
    assert pattern.labels["composition"] == "CuCr2O4"
    assert pattern.labels["run_number"] == "4148"
    assert pattern.duration_ns == 205_000_000_000  # 2050 steps of 0.1 s
    assert pattern.time_ns == 1303734945325926000  # 2011-04-25 12:35:45.325926 UTC


def test_no_address_proposal_or_path_gets_into_the_labels(data: Path) -> None:
    for name in ("series_cucr2o4_7-289K/OH_00.fxye", "ref_jadarite_11bm/11bmb_6231.fxye"):
        labels = decode((data / "xrd" / name).read_bytes(), HOW).labels
        assert not any("@" in text or "/" in text or "24443" in text for text in labels.values())


def test_header_time_is_read_in_the_zone_of_the_detector(data: Path) -> None:
    text = (data / "xrd/series_cucr2o4_7-289K/OH_00.fxye").read_bytes()
    utc, chicago = (decode(text, How(timezone=zone)).time_ns for zone in ("UTC", "America/Chicago"))
    assert chicago is not None
    assert utc is not None
    assert chicago - utc == 5 * 3600 * 10**9  # daylight time in April


def test_jadarite_has_its_strongest_point_where_the_readme_says(data: Path) -> None:
    pattern = decode((data / "xrd/ref_jadarite_11bm/11bmb_6231.fxye").read_bytes(), HOW)
    assert len(pattern.two_theta) == 49497
    assert pattern.two_theta[pattern.intensity.argmax()] == 7.514


def test_fluorapatite_counts_stay_whole_and_its_maxima_are_right(data: Path) -> None:
    pattern = decode((data / "xrd/ref_fluorapatite_lab/FAP.XRA").read_bytes(), HOW)
    assert len(pattern.two_theta) == 5753
    assert (pattern.two_theta[0], pattern.two_theta[1], pattern.two_theta[-1]) == (15.0, 15.02, 130.04)
    assert pattern.intensity.dtype == np.uint32
    assert pattern.sigma is None
    assert pattern.intensity[:3].tolist() == [609, 612, 673]
    assert pattern.intensity[-3:].tolist() == [84, 0, 0]
    for low, high, expected in ((25.6, 26.1, 25.80), (31.7, 32.0, 31.86), (32.05, 32.4, 32.20), (32.9, 33.3, 33.04)):
        part = (pattern.two_theta > low) & (pattern.two_theta < high)
        assert pattern.two_theta[part][pattern.intensity[part].argmax()] == pytest.approx(expected, abs=0.021)
    assert pattern.labels["title"].startswith("15.000 .020 90.000")


def test_esd_pairs_are_read() -> None:
    rows = b"".join(b"%8.1f%8.2f" % (100 + i, 10 + i / 10) for i in range(5)) + b"\n" + b"%8.1f%8.2f\n" % (3.5, 1.25)
    pattern = decode(std(rows, points=6, kind=b"ESD"), HOW)
    assert pattern.intensity.tolist() == [100, 101, 102, 103, 104, 3.5]
    assert pattern.sigma is not None
    assert pattern.sigma.tolist() == [10.0, 10.1, 10.2, 10.3, 10.4, 1.25]


def test_several_counters_give_the_esd_of_their_mean() -> None:
    row = b"".join(b" 4%6d" % 100 for _ in range(10)) + b"\n"
    pattern = decode(std(row + row[:16] + b"\n"), HOW)
    assert pattern.intensity.tolist() == [100] * 12
    assert pattern.sigma is not None
    assert pattern.sigma.tolist() == [5.0] * 12


def test_a_type_that_is_not_written_is_std() -> None:
    assert decode(FULL.replace(b" STD", b""), HOW).intensity[1] == 101


def test_fixed_width_fields_may_touch() -> None:
    pattern = decode(FULL, HOW)
    assert pattern.intensity[-2:].tolist() == [5712, 13]
    touching = FULL.replace(b"     100     101", b" 1123456 1654321")
    assert decode(touching, HOW).intensity[:2].tolist() == [123456, 654321]


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        (b"", "small.fxye", "empty"),
        (b" \n\n", "small.fxye", "empty"),
        (SMALL[:-17], "small.fxye:8", "4 of 5"),
        (SMALL[:-6], "small.fxye:9", "middle of a row"),
        (SMALL.replace(b"13.5 ", b"nan "), "small.fxye:6", "'nan' is not a finite number"),
        (SMALL.replace(b"13.5 ", b"1e999 "), "small.fxye:6", "not a finite number"),
        (SMALL.replace(b"13.5 ", b"13,5 "), "small.fxye:6", "'13,5' is not a finite number"),
        (SMALL.replace(b"13.5 ", b""), "small.fxye:6", "too few"),
        (SMALL.replace(b"13.5 ", b"13.5 1 "), "small.fxye:6", "too many"),
        (SMALL.replace(b" 3.6", b" -3.6"), "small.fxye:6", "esd -3.6 is negative"),
        (SMALL.replace(b"1020.0", b"1010.0"), "small.fxye:7", "repeats"),
        (SMALL.replace(b"1020.0", b"1005.0"), "small.fxye:7", "smaller"),
        (SMALL.replace(b"1040.0", b"91040.0"), "small.fxye:9", "cannot be a 2-theta"),
        (SMALL + b" 1050.0 1 1\n", "small.fxye:10", "after the last one"),
        (SMALL + SMALL[SMALL.index(b"BANK") :], "small.fxye:10", "second BANK"),
        (SMALL + SMALL, "small.fxye:10", "after the last one"),
        (FULL + FULL[6:], "small.fxye:5", "second BANK"),
        (SMALL.replace(b" 5 5 ", b" 5000000000000 5 "), "small.fxye:9", "5 of 5000000000000"),
        (SMALL.replace(b" 5 5 ", b" five 5 "), "small.fxye:4", "cannot be read"),
        (SMALL.replace(b" 5 5 ", b" -5 5 "), "small.fxye:4", "-5 points"),
        (SMALL.replace(b"CONS", b"RALF"), "small.fxye:4", "RALF"),
        (SMALL.replace(b"FXYE", b"ALT"), "small.fxye:4", "the type ALT is not read"),
        (SMALL.replace(b"BANK", b"BLANK"), "small.fxye", "no BANK line"),
        (SMALL.replace(b"13.5 ", b"13\0 5"), "small.fxye:6", "binary"),
        (SMALL.decode().encode("utf-16"), "small.fxye:1", "UTF-16"),
        (SMALL.replace(b"13.5 ", b"13.5\xb5 "), "small.fxye:6", "not a finite number"),
        (FULL.replace(b"     105", b"     1x5"), "small.fxye:3", "field 6 is '   1x5'"),
        (FULL.replace(b"     105", b"     1_5"), "small.fxye:3", "field 6"),
        (FULL.replace(b"     105", b"     nan"), "small.fxye:3", "field 6"),
        (FULL.replace(b"     105", b"     -15"), "small.fxye:3", "negative"),
        (FULL[:-81], "small.fxye:3", "10 of 12"),
        (FULL[: FULL.index(b"13   ") + 1], "small.fxye:4", "of 12"),
        (FULL + b"%8d\n" % 7, "small.fxye:5", "after the last one"),
        (FULL.replace(b"1500 2", b"1500 0"), "small.fxye:2", "no pattern"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: bytes, where: str, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        decode(text, HOW)
    assert caught.value.where == where
    assert words in caught.value.what


def scaled(factor: float, header: bool = False) -> bytes:
    """SMALL with rows in another unit; with `header`, BANK is in that unit too."""
    head, rows = SMALL.split(b"FXYE\n")
    if header:
        head = head.replace(b"1000.0 10.0", b"%g %g" % (1000 * factor, 10 * factor))
    else:
        head = head.replace(b"# 2theta step (deg) = 0.1\n", b"")
    lines = [line.split() for line in rows.splitlines()]
    return head + b"FXYE\n" + b"".join(b"%.9f %b %b\n" % (float(x) * factor, y, e) for x, y, e in lines)


@pytest.mark.parametrize(("factor", "unit"), [(0.01, "degrees"), (0.01 * np.pi / 180, "radians")])
def test_rows_in_another_unit_than_the_bank_line_are_refused(factor: float, unit: str) -> None:
    with pytest.raises(FormatError, match=f"they look like {unit}") as caught:
        decode(scaled(factor), HOW)
    assert 'x_unit = "deg"' in caught.value.remedy


def test_degrees_in_rows_and_bank_line_are_refused_by_the_header_or_by_their_range() -> None:
    with pytest.raises(FormatError, match="header calls degrees"):
        decode(scaled(0.01, header=True), HOW)
    with pytest.raises(FormatError, match="the rows look like degrees"):
        decode(scaled(0.01, header=True).replace(b"# 2theta step", b"# step"), HOW)


def test_x_unit_overrules_what_the_file_seems_to_say() -> None:
    text = scaled(0.01)
    assert decode(text, How(x_unit="deg")).two_theta == pytest.approx([10, 10.1, 10.2, 10.3, 10.4])
    assert decode(text, How(x_unit="centideg")).two_theta[0] == pytest.approx(0.1)
    with pytest.raises(FormatError):
        decode(text, How(x_unit="rad"))


def test_negative_counts_are_refused_without_esd_unless_the_unit_says_that_they_are_none() -> None:
    text = SMALL.replace(b"FXYE", b"FXY").replace(b" 3.5\n", b"\n").replace(b" 3.6\n", b"\n")
    text = text.replace(b" 9.9\n", b"\n").replace(b" 3.8\n", b"\n").replace(b"99.5", b"-99.5")
    with pytest.raises(FormatError, match="negative in 1 of 5") as caught:
        decode(text, HOW)
    assert 'unit = "arb"' in caught.value.remedy
    assert decode(text, How(unit="arb")).intensity[2] == -99.5
    assert decode(SMALL.replace(b"99.5", b"-99.5"), HOW).intensity[2] == -99.5  # with an esd it is processed data


def test_a_file_cut_inside_its_last_number_is_not_taken_for_whole() -> None:
    head = b"BANK 1 30 30 CONS 1000.0 10.0 0 0 FXYE\n"
    rows = b"".join(b" %.1f 12.125000 3.500000\n" % (1000 + 10 * i) for i in range(30))
    assert len(decode((head + rows)[:-1], HOW).two_theta) == 30
    with pytest.raises(Truncated):
        decode((head + rows)[:-3], HOW)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends_are_read(line_end: bytes) -> None:
    for text in (SMALL, FULL):
        assert np.array_equal(decode(text.replace(b"\n", line_end), HOW).intensity, decode(text, HOW).intensity)


def test_content_is_recognised() -> None:
    assert looks_like(SMALL)
    assert not looks_like(b"the BANK is closed\n1 2\n")


@settings(max_examples=250, deadline=None)
@given(st.sampled_from([SMALL, FULL]), st.data())
def test_no_damage_raises_anything_but_a_format_error(text: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(text[: draw.draw(st.integers(0, len(text)))])
    for _ in range(draw.draw(st.integers(0, 4))):
        if damaged:
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    try:
        pattern = decode(bytes(damaged), HOW)
    except FormatError as error:
        assert error.where.startswith("small.fxye")  # noqa: PT017 (both outcomes are right)
    else:
        assert np.isfinite(pattern.two_theta).all()
        assert (np.diff(pattern.two_theta) > 0).all()
        assert np.isfinite(pattern.intensity).all()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(SMALL) - 2))
def test_no_cut_file_is_taken_for_whole(length: int) -> None:
    with pytest.raises(Truncated):
        decode(SMALL[:length], HOW)
