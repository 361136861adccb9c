"""Rigaku RASX: the real file, several scans, and archives that lie."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import FormatError
from insitu.readers import rasx as module
from insitu.readers.pattern import BadScan, How, NoPattern, Pattern, Truncated
from insitu.readers.rasx import decode, looks_like
from insitu.types import Feature
from tests.readers.written import PROFILE, archive, conditions, rasx

HOW = How(name="a.rasx")


def one(data: bytes, how: How = HOW) -> Pattern:
    (pattern,) = decode(data, how)
    assert isinstance(pattern, Pattern), pattern
    return pattern


def test_a_powder_scan_has_the_rows_and_angles_of_the_data_readme(data: Path) -> None:
    content = (data / "xrd/formats_lab/TwoTheta_scan_powder.rasx").read_bytes()
    assert looks_like(content)
    pattern = one(content)
    assert pattern.two_theta.shape == pattern.intensity.shape == (2726,)
    assert pattern.two_theta[[0, 1, -1]].tolist() == [10.0, 10.04, 119.0]
    assert pattern.intensity[0] == 170.55354309082
    assert pattern.sigma is None
    assert pattern.context["wavelength"] == Feature(1.540593, "angstrom")
    assert pattern.context["wavelength2"] == Feature(1.544414, "angstrom")
    assert pattern.context["exposure_s"] == Feature(2.4, "s")  # 0.04 deg at 1 deg/min
    assert pattern.context["omega"] == Feature(10.0, "deg")
    assert pattern.labels["wavelength_intended"] == "Ka1"
    assert pattern.labels["counts_in_file"].startswith("no whole numbers")
    assert pattern.time_ns == 1620210931 * 10**9  # 2021-05-05T10:35:31Z
    assert pattern.duration_ns == 6559 * 10**9  # to 12:24:50


def test_the_attenuator_is_multiplied_in() -> None:
    pattern = one(rasx(PROFILE.replace("16\t1", "16\t10")))
    assert pattern.intensity.tolist() == [4, 9, 160, 25, 36]
    assert pattern.sigma is not None
    assert pattern.sigma.tolist() == [2, 3, 40, 5, 6]
    assert pattern.labels["attenuator"] == "factors 1 to 10, corrected"


def test_sample_and_temperature_are_read() -> None:
    pattern = one(rasx())
    assert pattern.labels["sample"] == "ceria"
    assert pattern.context["temperature"].value == pytest.approx(623.15)
    assert pattern.intensity.dtype == np.uint32


def test_several_folders_are_several_patterns_by_their_number() -> None:
    profiles = [PROFILE.replace("\t36", f"\t{i}") for i in range(12)]
    patterns = [part for part in decode(rasx(*profiles), HOW) if isinstance(part, Pattern)]
    assert [p.intensity[-1] for p in patterns] == list(range(12))
    assert patterns[10].labels["scan"] == "11 of 12"


def test_rates_are_made_counts_with_speed_and_step() -> None:
    pattern = one(rasx(about=conditions(unit="cps")))  # 0.5 deg at 15 deg/min: 2 s
    assert pattern.intensity.tolist() == [8, 18, 32, 50, 72]


def test_a_scan_over_another_axis_is_no_pattern() -> None:
    for axis in ("Omega", "Phi", "OmegaTwoTheta"):
        (part,) = decode(rasx(about=conditions(axis=axis)), HOW)
        assert isinstance(part, NoPattern)
        assert f"over {axis}" in part.what
    for axis in ("TwoTheta", "TwoThetaOmega", "2theta/theta", "Theta/2-Theta"):
        one(rasx(about=conditions(axis=axis)))


def test_an_archive_without_profiles_is_no_pattern() -> None:
    with pytest.raises(NoPattern, match="no scan with a profile"):
        list(decode(archive({"Data0/Image0.bin": bytes(100)}), HOW))


@pytest.mark.parametrize(
    ("profile", "about", "says"),
    [
        (PROFILE.replace("16", "x"), None, "'x' is not a finite number"),
        (PROFILE.replace("16", "-16"), None, "the intensity -16 is negative"),
        (PROFILE.replace("11.0", "10.5"), None, "repeats that of the row before"),
        (PROFILE.replace("16\t1", "16\t0"), None, "an attenuator factor is not between 0 and"),
        (PROFILE.replace("16\t1", "16"), None, "has too few numbers"),
        (PROFILE.replace(".", ","), None, "is not a finite number"),
        (PROFILE, conditions(points="7"), "has 5 rows, its header declares 7"),
        (PROFILE, conditions(points="3"), "has 5 rows, its header declares 3"),
        (PROFILE, conditions(unit="lux"), "the unit 'lux' is not read"),
        (PROFILE, "<a", "ends before its last closing tag"),
        (PROFILE, "<!DOCTYPE a><a/>", "declares a document type"),
        ("", None, "the file is empty"),
    ],
)
def test_a_scan_that_is_wrong_is_named_and_the_next_one_is_read(profile: str, about: str | None, says: str) -> None:
    members = {
        "Data0/Profile0.txt": profile,
        "Data0/MesurementConditions0.xml": about or conditions(),
        "Data1/Profile1.txt": PROFILE,
    }
    first, second = decode(archive(members), HOW)
    assert isinstance(first, BadScan)
    assert says in first.error.what
    assert first.error.where.startswith("a.rasx/Data0/")
    assert isinstance(second, Pattern)


def test_an_archive_is_whole_only_with_its_directory() -> None:
    whole = rasx()
    for end in (0, 1, 4, 50, len(whole) // 2, len(whole) - 100, len(whole) - 22, len(whole) - 1):
        with pytest.raises(FormatError) as caught:
            list(decode(whole[:end], HOW))
        assert isinstance(caught.value, Truncated) or end == 1


def test_names_in_the_archive_are_no_paths() -> None:
    members = {"../../Data0/Profile0.txt": PROFILE, "/Data0/Profile0.txt": PROFILE, "Data0/../Profile0.txt": PROFILE}
    with pytest.raises(NoPattern):
        list(decode(archive(members), HOW))


def test_a_bomb_is_refused_by_what_it_declares_and_bounded_where_it_lies(monkeypatch) -> None:
    monkeypatch.setattr(module, "LARGEST_MEMBER", 1000)
    bomb = archive({"Data0/Profile0.txt": PROFILE + " " * 100_000})
    (part,) = decode(bomb, HOW)
    assert isinstance(part, BadScan)
    assert "bytes are no profile" in part.error.what
    size = struct.pack("<L", 100_000 + len(PROFILE.encode()))
    lying = bomb.replace(size, struct.pack("<L", 90))  # local header and directory now say 90 bytes
    (part,) = decode(lying, HOW)
    assert isinstance(part, BadScan)
    assert "the archive is damaged" in part.error.what


def test_all_scans_together_are_bounded(monkeypatch) -> None:
    monkeypatch.setattr(module, "LARGEST_IN_ALL", 4000)
    parts = list(decode(rasx(*[PROFILE] * 9), HOW))
    assert [isinstance(part, Pattern) for part in parts[:2]] == [True, True]
    assert isinstance(parts[-1], BadScan)


def test_members_that_are_twice_there_and_too_many_are_refused(monkeypatch) -> None:
    twice = rasx(PROFILE, PROFILE).replace(b"Data1/Profile1", b"Data0/Profile0")
    with pytest.raises(FormatError, match="is in the archive twice"):
        list(decode(twice, HOW))
    monkeypatch.setattr(module, "MOST_MEMBERS", 2)
    with pytest.raises(FormatError, match="more than 2 members"):
        list(decode(rasx(), HOW))


def test_a_flipped_byte_in_a_profile_is_found_by_its_checksum() -> None:
    whole = rasx()
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        info = file.getinfo("Data0/Profile0.txt")
    begin = info.header_offset + 30 + len(info.filename)
    for at in range(begin, begin + info.compress_size, 7):
        (part,) = decode(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :], HOW)
        assert isinstance(part, BadScan)
