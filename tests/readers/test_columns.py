"""Columns of numbers: what other programs write, and every way a file can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import FormatError
from insitu.readers.columns import decode, looks_like
from insitu.readers.pattern import How, Truncated

SMALL = b"""# Wavelength: 1.5406 A
# temperature = 300 K
# 2theta_deg  counts  esd
10.00 105.5 10.2
10.05 111.5 10.5
10.10 250.5 15.8
10.15 120.5 10.9
10.20 101.5 10.0
"""
CHI = b"sample 7: 300 K\n2-Theta Angle (Degrees)\nIntensity\n       4\n 1.0 10\n 1.5 11\n 2.0 12\n 2.5 13\n"
CSV = b"two_theta,intensity\n10.5,7\n10.6,8\n10.7,9\n"
HOW = How(name="small.xy")


def test_the_authors_integration_of_ceria_is_read(data: Path) -> None:
    pattern = decode((data / "xrd/frame2d_ceo2_pilatus1m/CeO2_Pilatus1M.xy").read_bytes(), HOW)
    assert pattern.two_theta.shape == (1512,)
    assert pattern.two_theta[0] == 1.019698551e-02
    assert pattern.intensity[-1] == 6.000909424e01
    assert pattern.sigma is None
    wavelength = pattern.context["wavelength"]
    assert (wavelength.value, wavelength.unit) == (pytest.approx(0.4066, rel=1e-12), "angstrom")
    for expected in (7.4624, 8.6198, 12.2031):  # shared data README: the authors' own line positions
        part = np.abs(pattern.two_theta - expected) < 0.1
        assert pattern.two_theta[part][pattern.intensity[part].argmax()] == pytest.approx(expected, abs=0.021)


def test_three_columns_are_position_intensity_and_esd() -> None:
    pattern = decode(SMALL, HOW)
    assert pattern.two_theta.tolist() == [10.0, 10.05, 10.1, 10.15, 10.2]
    assert pattern.sigma is not None
    assert pattern.sigma.tolist() == [10.2, 10.5, 15.8, 10.9, 10.0]
    assert pattern.context["temperature"].value == 300
    assert pattern.context["wavelength"].value == 1.5406


def test_whole_counts_stay_whole() -> None:
    assert decode(CSV, HOW).intensity.dtype == np.uint32
    assert decode(CSV.replace(b"9", b"5000000000"), HOW).intensity.dtype == np.int64
    assert decode(CSV.replace(b"9", b"9.5"), HOW).intensity.dtype == np.float64


@pytest.mark.parametrize(
    "text",
    [
        b"10.5 7\n10.6 8\n10.7 9\n",
        b"10.5 7\n10.6 8\n10.7 9",
        b"10.5\t7\r\n10.6\t8\r\n10.7\t9\r\n",
        b"10.5;7\n10.6;8\n10.7;9\n",
        b"10.5, 7\n10.6, 8\n10.7, 9\n",
        b"\xef\xbb\xbf10.5 7\n10.6 8\n10.7 9\n",
        b"3\n10.5 7\n10.6 8\n10.7 9\n",
        b"' TOPAS\n10.5 7\n10.6 8\n10.7 9\n\n# end\n",
        b"! GSAS\n10.5 7 # first\n10.6 8\n10.7 9\x1a",
        b"[Data]\nAngle, Intensity\n10.5,7\n10.6,8\n10.7,9\n",
        b"10.7 9\n10.6 8\n10.5 7\n",
        CSV,
    ],
)
def test_what_other_programs_write_is_read(text: bytes) -> None:
    pattern = decode(text, HOW)
    assert pattern.two_theta.tolist() == [10.5, 10.6, 10.7]
    assert pattern.intensity.tolist() == [7, 8, 9]


def test_a_fit2d_chi_file_is_read_and_its_row_count_believed() -> None:
    pattern = decode(CHI, HOW)
    assert pattern.two_theta.tolist() == [1.0, 1.5, 2.0, 2.5]
    assert pattern.labels["title"] == "sample 7: 300 K"
    with pytest.raises(Truncated, match="has 3 rows, its header declares 4"):
        decode(CHI[: CHI.index(b" 2.5")], HOW)
    with pytest.raises(FormatError, match="has 5 rows"):
        decode(CHI + b"3.0 14\n", HOW)


def test_q_becomes_two_theta_with_the_wavelength() -> None:
    q = 4 * np.pi / 1.5406 * np.sin(np.radians(np.array([10.0, 20.0, 40.0]) / 2))
    per_angstrom = b"".join(b"%.12f 5\n" % x for x in q)
    per_nm = b"".join(b"%.12f 5\n" % (10 * x) for x in q)
    wavelength = b"# Wavelength: 1.5406e-10 m\n"
    for text in (
        wavelength + b"# q_A^-1 I\n" + per_angstrom,
        wavelength + b"#       q_nm^-1             I\n" + per_nm,
        wavelength + b"# Q (1/A)  I\n" + per_angstrom,
    ):
        pattern = decode(text, HOW)
        assert pattern.two_theta == pytest.approx([10, 20, 40], abs=1e-9)
        assert pattern.labels["axis_in_file"].startswith("q 1/")
    assert decode(b"# q_A^-1 I\n" + per_angstrom, How(wavelength=1.5406)).two_theta[0] == pytest.approx(10)
    with pytest.raises(FormatError, match="wavelength is not known") as caught:
        decode(b"# q_A^-1 I\n" + per_angstrom, HOW)
    assert "[calibration]" in caught.value.remedy
    with pytest.raises(FormatError, match="cannot be reached"):
        decode(wavelength + b"# q_A^-1 I\n1 5\n9 5\n", HOW)


def test_named_radians_are_converted_and_unnamed_ones_refused() -> None:
    rows = b"0.1 5\n0.2 6\n0.3 7\n"
    assert decode(b"# 2th_rad I\n" + rows, HOW).two_theta == pytest.approx(np.degrees([0.1, 0.2, 0.3]))
    assert decode(b"# 2th_deg I\n" + rows, HOW).two_theta == pytest.approx([0.1, 0.2, 0.3])
    with pytest.raises(FormatError, match="cannot be told apart"):
        decode(rows, HOW)
    assert decode(rows, How(x_unit="rad")).two_theta == pytest.approx(np.degrees([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("title", [b"# d_spacing I", b"# r_mm I", b"# energy I", b"# theta I", b"# q I"])
def test_another_axis_is_refused_by_its_name(title: bytes) -> None:
    with pytest.raises(FormatError, match="the first column is") as caught:
        decode(title + b"\n10 1\n11 2\n", HOW)
    assert "x_unit" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        (b"", "small.xy", "empty"),
        (SMALL.replace(b"111.5", b"nan"), "small.xy:5", "'nan' is not a finite number"),
        (SMALL.replace(b"111.5", b"inf"), "small.xy:5", "not a finite number"),
        (SMALL.replace(b"105.5", b"nan"), "small.xy:4", "'nan' is not a finite number"),
        (SMALL.replace(b"105.5", b"1x5.5"), "small.xy:4", "stands above the rows"),
        (SMALL.replace(b"111.5 ", b""), "small.xy:5", "too few"),
        (SMALL.replace(b"111.5 ", b"1 1 1 "), "small.xy:5", "too many"),
        (SMALL.replace(b"10.10", b"10.05"), "small.xy:6", "repeats"),
        (SMALL.replace(b"10.10", b"10.01"), "small.xy:6", "smaller"),
        (SMALL.replace(b"10.20", b"1020.0"), "small.xy:8", "cannot be a 2-theta"),
        (SMALL.replace(b" 10.5\n", b" -10.5\n"), "small.xy:5", "esd -10.5 is negative"),
        (SMALL + b"thank you\n", "small.xy:9", "'thank' is not a finite number"),
        (SMALL[:-6], "small.xy:8", "middle of a row"),
        (SMALL[:-2], "small.xy:8", "cut"),
        (SMALL[: SMALL.index(b"10.05")], "small.xy", "fewer than 2 rows"),
        (SMALL[:50], "small.xy:3", "no row of numbers"),
        (b"10,5 7,0\n10,6 8,0\n", "small.xy:1", "decimal commas"),
        (b"10,5;7\n10,6;8\n", "small.xy:1", "decimal commas"),
        (b"10,5\t7\n10,6\t8\n", "small.xy:1", "decimal commas"),
        (b"20,5,532\n21,5,540\n22,0,600\n", "small.xy:1", "decimal commas"),
        (b"10,5,7,0\n10,6,8,0\n", "small.xy:1", "4 columns"),
        (b"5.0 0.02 120.0\n" + b"10 " * 9 + b"10\n", "small.xy:2", "too many"),
        (b"10 -1\n11 5\n12 -2\n", "small.xy:1", "negative in 2 of 3"),
        (b"1 2\n3\0004\n", "small.xy:2", "binary"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "small.xy:3", "binary"),
        (SMALL.decode().encode("utf-16"), "small.xy:1", "UTF-16"),
        (SMALL.decode().encode("utf-16-be"), "small.xy:1", "binary"),
        (SMALL.replace(b"111.5", "１１１.5".encode()), "small.xy:5", "not a finite number"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: bytes, where: str, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        decode(text, HOW)
    assert caught.value.where == where
    assert words in caught.value.what


def test_negative_intensities_pass_where_the_unit_is_no_counts() -> None:
    assert decode(b"10 -1\n11 5\n12 -2\n", How(unit="arb")).intensity.tolist() == [-1, 5, -2]


def test_a_headers_odd_letters_do_no_harm() -> None:
    assert decode("# Temperature (°C) = 25\n10 1\n11 2\n".encode("latin-1"), HOW).context["temperature"].value == 298.15


def test_only_tables_look_like_patterns() -> None:
    assert looks_like(SMALL)
    assert looks_like(CSV)
    assert not looks_like(b"Measured 7 samples, 3 broke.\nTemperature 300\n")
    assert not looks_like(b"a 1 2\nb 3 4\nc 5 6\n")
    assert not looks_like(b"")


@settings(max_examples=250, deadline=None)
@given(st.sampled_from([SMALL, CHI, CSV]), st.data())
def test_no_damage_raises_anything_but_a_format_error(text: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(text[: draw.draw(st.integers(0, len(text)))])
    for _ in range(draw.draw(st.integers(0, 4))):
        if damaged:
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    looks_like(bytes(damaged))
    try:
        pattern = decode(bytes(damaged), HOW)
    except FormatError as error:
        assert error.where.startswith("small.xy")  # noqa: PT017 (both outcomes are right)
    else:
        assert np.isfinite(pattern.two_theta).all()
        assert (np.diff(pattern.two_theta) > 0).all()
        assert np.isfinite(pattern.intensity).all()


def test_a_million_lines_without_a_number_are_refused_at_once() -> None:
    with pytest.raises(FormatError, match="no row of numbers"):
        decode(b"word\n" * 1_000_000, HOW)


def test_a_column_of_row_numbers_is_not_taken_for_the_axis() -> None:
    rows = [(i, 10 + 0.02 * i, 50 + i % 7) for i in range(40)]
    text = "".join(f"{i} {x:.2f} {y}\n" for i, x, y in rows).encode()
    with pytest.raises(FormatError, match="numbers the rows") as caught:
        decode(text)
    assert caught.value.where.endswith(":1")
    whole_degrees = "".join(f"{i} {y} {y**0.5:.3f}\n" for i, _, y in rows).encode()
    assert len(decode(whole_degrees).two_theta) == 40  # steps of 1 deg with an esd are a pattern
