"""The reader of 1-D patterns: real series, single files, bad files in a series."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers.diffraction import Patterns
from insitu.testing import ReaderContract, items, same
from insitu.types import Arrival, Detector, Feature, Invalid

TEMPERATURES = [
    *(6.778, 16.702, 46.97, 75.42, 98.89, 111.43, 122.73, 134.02, 145.47, 156.9, 168.43),
    *(185.67, 203.0, 220.3, 243.4, 266.9, 288.7),
]
"""Shared data README, K."""
XY = b"10.0 5\n10.1 9\n10.2 4\n"


def arrivals(reader: Patterns) -> list[Arrival]:
    found = items(reader)
    assert all(isinstance(item, Arrival) for item in found)
    return [item for item in found if isinstance(item, Arrival)]


def fill(folder: Path, count: int = 3) -> Path:
    for i in range(count):
        (folder / f"p{i}.xy").write_bytes(XY)
    return folder


class TestPatternsOfAFolder(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Patterns]:
        fill(tmp_path)
        (tmp_path / "p3.xy").write_bytes(b"")
        return lambda: Patterns(str(tmp_path))

    @pytest.fixture
    def bad(self, tmp_path: Path) -> Callable[[], Patterns]:
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "a.xy").write_bytes(b"10 nan\n11 1\n")
        return lambda: Patterns(str(tmp_path / "bad"))


class TestPatternsThatAreFollowed(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Patterns]:
        fill(tmp_path)
        return lambda: Patterns(str(tmp_path), follow=True, count=3, settle=0.05, idle=5.0)

    @pytest.fixture
    def idle(self, tmp_path: Path) -> Callable[[], Patterns]:
        return lambda: Patterns(str(tmp_path), follow=True, settle=0.05, idle=30.0)


def test_the_temperature_series_has_its_temperatures_and_times(data: Path) -> None:
    series = arrivals(Patterns(str(data / "xrd/series_cucr2o4_7-289K")))
    assert [a.context["temperature"] for a in series] == [Feature(t, "K") for t in TEMPERATURES]
    assert [a.source_seq for a in series] == list(range(17))
    assert series[0].labels["file"] == "OH_00.fxye"
    assert series[-1].labels["file"] == "OH_53.fxye"
    times = [a.time_ns for a in series]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (1303734945325926000, 1303753353209634000)  # 12:35:45.325926, 17:42:33.209634 UTC
    for arrival in series:
        assert (arrival.clock, arrival.unit, arrival.dims) == ("header", "counts", ("two_theta",))
        assert arrival.data.shape == (12799,)
        assert arrival.sigma is not None
        assert arrival.axes["two_theta"].unit == "deg"
        assert arrival.axes["two_theta"] is not None
        assert arrival.axes["two_theta"].values is series[0].axes["two_theta"].values  # one axis for all
        assert arrival.context["wavelength"] == Feature(0.413263, "angstrom")


def test_the_split_pair_of_the_series_merges_on_heating(data: Path) -> None:
    """Width of the (040)/(004) group at half height (shared data README: 0.0180 deg at 7 K, 0.004-0.006 from 134 K)."""
    widths = []
    for arrival in arrivals(Patterns(str(data / "xrd/series_cucr2o4_7-289K"))):
        x = arrival.axes["two_theta"].values
        part = (x > 11.07) & (x < 11.15)
        y = arrival.data[part] - np.percentile(arrival.data[part], 20)
        above = x[part][y > y.max() / 2]
        widths.append(above[-1] - above[0])
    assert widths[0] == pytest.approx(0.018, abs=0.004)
    assert max(widths[7:]) < 0.010


def test_header_times_are_in_the_zone_of_the_detector_file(data: Path) -> None:
    path = str(data / "xrd/series_cucr2o4_7-289K/OH_00.fxye")
    aps = Detector(name="11bm", source="bm11", timezone="America/Chicago", unit="arb")
    (utc,), (local,) = arrivals(Patterns(path)), arrivals(Patterns(path, detector=aps))
    assert local.time_ns - utc.time_ns == 5 * 3600 * 10**9
    assert (local.source, local.unit) == ("bm11", "arb")
    (override,) = arrivals(Patterns(path, timezone="UTC", detector=aps))
    assert override.time_ns == utc.time_ns


def test_other_files_of_the_folder_are_passed_over(data: Path) -> None:
    reader = Patterns(str(data / "xrd/ref_fluorapatite_lab"))
    (apatite,) = arrivals(reader)
    assert apatite.labels["file"] == "FAP.XRA"
    assert apatite.labels["instrument_file"] == "INST_XRY.PRM"
    assert apatite.context["wavelength"] == Feature(1.5405, "angstrom")
    assert apatite.context["wavelength2"] == Feature(1.5443, "angstrom")
    assert apatite.context["wavelength_ratio"] == Feature(0.5)
    assert apatite.axes["two_theta"].values[apatite.data.argmax()] == 31.86
    assert apatite.clock == "arrival"
    assert reader.skipped == []


def test_a_folder_that_is_shuffled_on_disk_gives_the_same(data: Path, tmp_path: Path) -> None:
    names = sorted(os.listdir(data / "xrd/series_cucr2o4_7-289K"))
    series = []
    for turn, order in enumerate((names, names[::-1], names[1::2] + names[::2])):
        (tmp_path / str(turn)).mkdir()
        for name in order:
            shutil.copy(data / "xrd/series_cucr2o4_7-289K" / name, tmp_path / str(turn) / name)
        series.append(items(Patterns(str(tmp_path / str(turn)))))
    for other in series[1:]:
        assert len(other) == 17
        assert all(same(a, b) for a, b in zip(series[0], other, strict=True))


def test_header_time_can_order_a_series(data: Path, tmp_path: Path) -> None:
    for turned, name in enumerate(("OH_53", "OH_24", "OH_00")):
        shutil.copy(data / f"xrd/series_cucr2o4_7-289K/{name}.fxye", tmp_path / f"{turned}.fxye")
    files = [a.labels["file"] for a in arrivals(Patterns(str(tmp_path), order="time"))]
    assert files == ["2.fxye", "1.fxye", "0.fxye"]
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError, match="no header has a time"):
        items(Patterns(str(fill(tmp_path / "plain")), order="time"))


BAD = {
    "empty": b"",
    "binary": b"\0\1\2" * 50,
    "duplicate axis": b"10 1\n10 2\n",
    "not a number": b"10 1\n11 nan\n",
    "negative": b"10 1\n11 -2\n",
    "non-monotonic": b"10 1\n12 2\n11 3\n",
    "wrong unit": b"1100 1\n1110 2\n",
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD)
def test_a_bad_file_in_a_series_is_invalid_with_its_bytes_and_the_rest_is_read(tmp_path: Path, payload: bytes) -> None:
    (fill(tmp_path) / "p1.xy").write_bytes(payload)
    first, bad, last = items(Patterns(str(tmp_path)))
    assert isinstance(first, Arrival)
    assert isinstance(last, Arrival)
    assert isinstance(bad, Invalid)
    assert (bad.payload, bad.name, bad.source_seq) == (payload, "p1.xy", 1)
    assert bad.reason.startswith("p1.xy")
    assert str(tmp_path) not in bad.reason  # records must not know where the run was made


def test_a_bad_file_given_alone_is_an_error_that_names_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.xy").write_bytes(b"10 1\n11 nan\n")
    with pytest.raises(FormatError) as caught:
        items(Patterns(str(tmp_path / "a.xy")))
    assert caught.value.where == f"{tmp_path / 'a.xy'}:2"


def test_a_vendors_format_that_is_not_read_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.brml").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(FormatError, match="Bruker BRML is not read yet") as caught:
        items(Patterns(str(tmp_path / "a.brml")))
    assert "Export it as .xy" in caught.value.remedy


def test_unknown_files_are_skipped_and_told_unless_pattern_picks_them(tmp_path: Path, caplog) -> None:
    (fill(tmp_path) / "notes.txt").write_text("the beam was lost at 14:20")
    (tmp_path / "more.txt").write_bytes(XY)
    (tmp_path / "sample.cif").write_text("data_x")
    reader = Patterns(str(tmp_path))
    assert [a.labels["file"] for a in arrivals(reader)] == ["more.txt", "p0.xy", "p1.xy", "p2.xy"]
    assert reader.skipped == ["notes.txt"]
    assert "notes.txt" in caplog.text
    assert "sample.cif" not in caplog.text
    picked = items(Patterns(str(tmp_path), pattern="*.txt"))
    assert [type(item) for item in picked] == [Arrival, Invalid]


def test_a_folder_without_patterns_and_a_missing_one_are_errors(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(SourceError, match="no pattern here") as caught:
        items(Patterns(str(tmp_path)))
    assert caught.value.where == str(tmp_path)
    assert "1 files were skipped" in caught.value.what
    with pytest.raises(SourceError, match="no such file or folder"):
        items(Patterns(str(tmp_path / "nowhere")))


def test_count_ends_a_series(tmp_path: Path) -> None:
    assert len(items(Patterns(str(fill(tmp_path)), count=2))) == 2


def test_the_wavelength_comes_from_the_header_or_else_from_the_only_instrument_file(tmp_path: Path) -> None:
    (tmp_path / "a.xy").write_bytes(XY)
    (tmp_path / "b.xy").write_bytes(b"# Wavelength = 0.5 A\n" + XY)
    (tmp_path / "lab.prm").write_bytes(b"INS  1 ICONS  0.6 0.0 0.0\n")
    a, b = arrivals(Patterns(str(tmp_path)))
    assert (a.context["wavelength"].value, b.context["wavelength"].value) == (0.6, 0.5)
    assert a.labels["instrument_file"] == "lab.prm"
    (tmp_path / "other.prm").write_bytes(b"INS  1 ICONS  0.9 0.0 0.0\n")  # now nobody can tell which
    a, _ = arrivals(Patterns(str(tmp_path)))
    assert "wavelength" not in a.context


def test_the_detector_files_wavelength_wins_over_header_and_instrument_file(tmp_path: Path) -> None:
    detector = Detector(name="d", source="d", calibration={"wavelength": Feature(0.7, "angstrom")})
    (tmp_path / "a.xy").write_bytes(XY)
    (tmp_path / "b.xy").write_bytes(b"# Wavelength = 0.5 A\n" + XY)
    (tmp_path / "lab.prm").write_bytes(b"INS  1 ICONS  0.6 0.65 0.0\n")
    a, b = arrivals(Patterns(str(tmp_path), detector=detector))
    assert (a.context["wavelength"].value, b.context["wavelength"].value) == (0.7, 0.7)
    assert "wavelength2" not in a.context  # a doublet of which the first half is wrong
    assert "instrument_file" not in a.labels


@pytest.mark.parametrize("known", [Feature(1.0, "angstrom"), Feature(0.1, "nm"), Feature(1e-10, "m")])
@pytest.mark.parametrize("header", [b"", b"# Wavelength = 0.5 A\n"])
def test_q_is_converted_with_the_detectors_wavelength(known: Feature, header: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.xy").write_bytes(header + b"# q_A^-1 I\n1.0 5\n2.0 6\n")
    detector = Detector(name="d", source="d", calibration={"wavelength": known})
    (arrival,) = arrivals(Patterns(str(tmp_path), detector=detector))
    assert arrival.axes["two_theta"].values == pytest.approx(np.degrees(2 * np.arcsin(np.array([1, 2]) / (4 * np.pi))))
    assert arrival.context["wavelength"].value == pytest.approx(1.0)
    assert arrival.context["wavelength"].unit == "angstrom"


def test_a_declared_type_is_kept_or_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xy").write_bytes(XY)
    (tmp_path / "b.xy").write_bytes(XY.replace(b"9", b"9.5"))
    wide, counts = (Detector(name="d", source="d", dtype=dtype) for dtype in ("float64", "uint16"))
    assert {a.data.dtype.name for a in arrivals(Patterns(str(tmp_path), detector=wide))} == {"float64"}
    good, bad = items(Patterns(str(tmp_path), detector=counts))
    assert isinstance(good, Arrival)
    assert good.data.dtype == np.uint16
    assert isinstance(bad, Invalid)
    assert "do not fit uint16" in bad.reason


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"path": ""}, "path"),
        ({"idle": 0.0}, "idle"),
        ({"settle": -1.0}, "settle"),
        ({"count": 0}, "count"),
        ({"pattern": "a/*.xy"}, "pattern"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"path": __file__, "follow": True}, "follow"),
    ],
)
def test_impossible_settings_are_refused_by_key(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Patterns(**({"path": "."} | keys))
    assert caught.value.where == where


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lab.prm", "GSAS instrument parameters by its name"),
        ("frame.tif", "Integrate images first"),
        ("CuO.cif", "a crystal structure"),
        ("scan.uxd", "Bruker UXD is not read yet"),
        ("notes.md", "ends in .xy instead of .md"),
    ],
)
def test_a_file_that_is_no_pattern_is_refused_for_what_it_is_with_its_path(
    name: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"a text\n")
    with pytest.raises(FormatError, match=says) as caught:
        items(Patterns(str(tmp_path / name)))
    assert caught.value.where == str(tmp_path / name)
