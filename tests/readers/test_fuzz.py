"""Damaged files of every format: an answer that is true, or an error in words; nothing else, and in bounded memory."""

import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.errors import FormatError
from insitu.readers.formats import format_of
from insitu.readers.pattern import BadScan, How, NoPattern, Pattern
from insitu.types import Feature
from tests.readers.written import PROFILE, RAS_ROWS, archive, conditions, ras, rasx, scan, xrdml

ROWS = [(10 + 0.5 * i, 100.25 + 7.5 * i, 10.25) for i in range(6)]
FACTORS = "<beamAttenuationFactors>1 1 10 1 1</beamAttenuationFactors>"
HEAD = "# Wavelength: 1.5406 A\n# Temp (K) = 300\n# Scan time = APR 25, 2011 12:35:45.325926\n"
XY = "".join(f"{x:.2f} {y:.2f}\n" for x, y, _ in ROWS)
XYE = "".join(f"{x:.2f} {y:.2f} {s:.2f}\n" for x, y, s in ROWS)
CENTI, CENTI_E = ("".join(f" {100 * x:.2f} {y:.2f}{s}\n" for (x, y, _), s in zip(ROWS, e, strict=True))
                  for e in ([""] * 6, [" 10.25"] * 6))  # fmt: skip
PAIRS = [f"{y:8.2f}{s:8.2f}" for _, y, s in ROWS]
COUNTERS = "".join(f" 2{int(y):6d}" for _, y, _ in ROWS)
FILES: dict[str, bytes] = {
    "a.xrdml": xrdml(scan(extra=FACTORS), scan("5 4 3 2 1", tag="intensities")),
    "a.rasx": rasx(PROFILE, PROFILE.replace("16\t1", "17\t10")),
    "a.ras": ras(RAS_ROWS, RAS_ROWS.replace("16 1", "17 10")),
    "a.fxye": f"{HEAD}BANK 1 6 6 CONS 1000.0 50.0 0 0 FXYE\n{CENTI_E}".encode(),
    "a.fxy": f"{HEAD}BANK 1 6 6 CONS 1000.0 50.0 0 0 FXY\n{CENTI}".encode(),
    "a.esd": f"t\nBANK 1 6 2 CONS 1000.0 50.0 0 0 ESD\n{''.join(PAIRS[:5])}\n{PAIRS[5]}\n".encode(),
    "a.std": f"t\nBANK 1 6 1 CONST 1500.0 2.0 0 0 STD\n{COUNTERS}\n".encode(),
    "a.xye": f"{HEAD}{XYE}".encode(),
    "a.xy": XY.encode(),
    "a.csv": f"two_theta,intensity\n{XY.replace(' ', ',')}".encode(),
    "a.chi": f"t\n2-Theta Angle (Degrees)\nIntensity\n 6\n{XY}".encode(),
}
DECLARED = [name for name in FILES if name not in ("a.xye", "a.xy", "a.csv")]
names = st.sampled_from(sorted(FILES))
few = settings(max_examples=300, deadline=None)


def decoded(name: str, data: bytes) -> list[Pattern | BadScan | NoPattern]:
    """What a file gives; nothing where it is refused in words."""
    decode = format_of(Path(name), data, picked=True)
    if decode is None:
        return []
    try:
        return list(decode(data, How(name=name)))
    except FormatError as error:
        if not (error.what and error.where):
            raise AssertionError("a refusal without words or place") from error
        return []


def patterns(name: str, data: bytes) -> Iterator[Pattern]:
    """The good ones, each checked for what a pattern must be."""
    for part in decoded(name, data):
        if isinstance(part, BadScan):
            assert part.error.what
        if not isinstance(part, Pattern):
            continue
        n = len(part.two_theta)
        assert n >= 2
        assert part.two_theta.dtype == np.float64
        assert np.isfinite(part.two_theta).all()
        assert (np.diff(part.two_theta) > 0).all()
        assert np.abs(part.two_theta).max() <= 180
        assert part.intensity.shape == (n,)
        assert np.isfinite(part.intensity).all()
        if part.sigma is None:
            assert (part.intensity >= 0).all()
        else:
            assert part.sigma.shape == (n,)
            assert (part.sigma >= 0).all()
        assert all(isinstance(value, Feature) for value in part.context.values())
        assert all(text.isprintable() for text in part.labels.values())
        assert part.duration_ns >= 0
        assert part.time_ns is None or abs(part.time_ns) < 2**63
        yield part


GOOD = {name: list(patterns(name, data)) for name, data in FILES.items()}


def same(a: Pattern, b: Pattern) -> bool:
    return np.array_equal(a.two_theta, b.two_theta) and np.array_equal(a.intensity, b.intensity)


def test_the_undamaged_files_are_read() -> None:
    assert {name: len(found) for name, found in GOOD.items()} == {
        name: 2 if name in ("a.xrdml", "a.rasx", "a.ras") else 1 for name in FILES
    }


@pytest.mark.parametrize("name", DECLARED)
def test_no_file_that_says_where_it_ends_is_believed_when_it_is_cut(name: str) -> None:
    data = FILES[name]
    for end in range(len(data)):
        for found, good in zip(patterns(name, data[:end]), GOOD[name], strict=False):
            assert same(found, good), end  # only what follows the last scan is missing


@pytest.mark.parametrize("name", ["a.xye", "a.xy", "a.csv"])
def test_columns_that_are_cut_give_the_rows_that_are_there(name: str) -> None:
    data, (good,) = FILES[name], GOOD[name]
    for end in range(len(data)):
        for found in patterns(name, data[:end]):
            n = len(found.two_theta)
            assert np.array_equal(found.two_theta, good.two_theta[:n])
            assert np.array_equal(found.intensity[: n - 1], good.intensity[: n - 1])


@few
@given(names, st.data())
def test_flipped_bits_give_a_pattern_or_an_error(name: str, draw: st.DataObject) -> None:
    data = bytearray(FILES[name])
    for at in draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=6)):
        data[at] ^= 1 << draw.draw(st.integers(0, 7))
    for found in patterns(name, bytes(data)):
        if name == "a.rasx":  # checksums: no flipped bit changes a number unseen
            assert any(same(found, good) for good in GOOD[name])


TOKENS = [b"nan", b"inf", b"-1", b"1e999", b"9" * 400, b"1_0", b"0x1F", b"", b",", b"\0", b"\xff", b"\r", b"#", b"BANK",
          b"99999999999999999999", b"-5", b"0", b"1e-400", b"4,5", "\u0665".encode(), b"<a>", b"&x;", b'"']  # fmt: skip


@few
@given(names, st.data())
def test_foreign_words_give_a_pattern_or_an_error(name: str, draw: st.DataObject) -> None:
    data = FILES[name]
    for _ in range(draw.draw(st.integers(1, 3))):
        begin = draw.draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw.draw(st.integers(0, 12)))
        data = data[:begin] + draw.draw(st.sampled_from(TOKENS)) + data[end:]
    list(patterns(name, data))


@few
@given(names, st.binary(max_size=300))
def test_noise_gives_a_pattern_or_an_error(name: str, noise: bytes) -> None:
    list(patterns(name, noise))
    list(patterns(name, FILES[name][:40] + noise))


@few
@given(st.binary(max_size=200), st.binary(max_size=200), st.text(max_size=80))
def test_members_of_any_content_give_a_pattern_or_an_error(profile: bytes, about: bytes, words: str) -> None:
    list(patterns("a.rasx", archive({"Data0/Profile0.txt": profile, "Data0/MesurementConditions0.xml": about})))
    wild = conditions(axis="TwoTheta", points="5").replace("counts", words.replace("<", "").replace("&", ""))
    list(patterns("a.rasx", archive({"Data0/Profile0.txt": PROFILE, "Data0/MesurementConditions0.xml": wild})))


@pytest.mark.parametrize("name", sorted(set(FILES) - {"a.rasx"}))
def test_line_ends_of_other_systems_change_nothing(name: str) -> None:
    for ends in (b"\r\n", b"\r"):
        found = list(patterns(name, FILES[name].replace(b"\n", ends)))
        assert len(found) == len(GOOD[name])
        assert all(same(a, b) for a, b in zip(found, GOOD[name], strict=True))


@pytest.mark.parametrize("name", ["a.xye", "a.xy", "a.fxye", "a.fxy", "a.ras", "a.chi"])
def test_decimal_commas_are_refused(name: str) -> None:
    lines = FILES[name].split(b"\n")
    changed = [line if line.startswith((b"#", b"*", b"BANK")) else line.replace(b".", b",") for line in lines]
    assert list(patterns(name, b"\n".join(changed))) == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_text_in_another_encoding_is_the_same_or_refused(name: str) -> None:
    if name == "a.rasx":
        return
    for code in ("utf-16", "utf-16-le", "utf-32", "cp037"):
        for found, good in zip(patterns(name, FILES[name].decode().encode(code)), GOOD[name], strict=False):
            assert same(found, good)


LYING = {
    "points of a bank": ("a.fxye", b"BANK 1 6 6", b"BANK 1 999999999999 6"),
    "points of fixed fields": ("a.std", b"BANK 1 6 1", b"BANK 1 999999999999 1"),
    "points of many digits": ("a.esd", b"BANK 1 6 2", b"BANK 1 " + b"9" * 4000 + b" 2"),
    "rows of a chi file": ("a.chi", b"\n 6\n", b"\n 999999999\n"),
    "points of a ras file": ("a.ras", b'COUNT "5"', b'COUNT "99999999999"'),
    "step of a ras file": ("a.ras", b'STEP "0.5000"', b'STEP "1e300"'),
    "end of an xrdml scan": ("a.xrdml", b"<endPosition>12.0", b"<endPosition>1e308"),
    "time of an xrdml scan": ("a.xrdml", b">2.0</commonCountingTime>", b">1e300</commonCountingTime>"),
}


@pytest.mark.parametrize(("name", "true", "lie"), LYING.values(), ids=LYING)
def test_a_size_that_lies_reserves_no_memory(name: str, true: bytes, lie: bytes) -> None:
    assert true in FILES[name]
    data = FILES[name].replace(true, lie)
    tracemalloc.start()
    try:
        found = list(patterns(name, data))
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    for pattern in found:
        assert len(pattern.two_theta) <= 6
        assert math.isfinite(pattern.duration_ns)
