"""The reader of waveforms: every format, windows over seams, recordings of several files, folders that are followed."""

import shutil
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers.waveforms import Waveforms
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Feature, Invalid
from tests.readers.waves import RATE, WRITERS, as_csv, as_npy, as_wav, noise, stored

X = noise()


def frames(path, **keys) -> list[Arrival]:
    found = items(Waveforms(str(path), **keys), 10_000)
    assert all(isinstance(a, Arrival) for a in found), found
    return [a for a in found if isinstance(a, Arrival)]


def samples(n: float) -> Feature:
    return Feature(n)


def joined(found: list[Arrival], overlap: int = 0) -> np.ndarray:
    parts = [a.data if i == 0 else a.data[..., overlap:] for i, a in enumerate(found)]
    return np.concatenate(parts, axis=-1)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("waves")
    for name, write in WRITERS.items():
        write(folder / name, X)
    return folder


class EachFormat(ReaderContract):
    name = ""

    @pytest.fixture
    def make(self, written):
        return lambda: Waveforms(str(written / self.name), window=samples(400), overlap=samples(50))

    @pytest.fixture
    def bad(self, written, tmp_path):
        data = (written / self.name).read_bytes()
        (tmp_path / self.name).write_bytes(data[: len(data) // 2])
        return lambda: Waveforms(str(tmp_path / self.name))


for _name in WRITERS:
    _title = f"Test{_name.title().replace('.', '')}"
    globals()[_title] = type(_title, (EachFormat,), {"name": _name, "__module__": __name__})
del EachFormat


class TestFollowed(ReaderContract):
    @pytest.fixture
    def make(self, written, tmp_path):
        shutil.copy(written / "a.npy", tmp_path / "a.npy")
        shutil.copy(written / "a.wav", tmp_path / "b.wav")
        return lambda: Waveforms(str(tmp_path), follow=True, settle=0.05, idle=0.6)

    @pytest.fixture
    def idle(self, tmp_path):
        return lambda: Waveforms(str(tmp_path), follow=True)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_one_frame_with_its_own_numbers(written, name):
    (frame,) = frames(written / name)
    expected = stored(name, X)
    assert frame.dims == ("channel", "sample")
    assert frame.data.dtype == expected.dtype
    np.testing.assert_array_equal(frame.data, expected)
    assert frame.labels["channels"] == "c1 c2 c3"
    if name != "a.npy":  # which has no rate
        assert frame.context["sample_rate"] == Feature(float(RATE), "Hz")
        assert frame.duration_ns == 1_500_000_000
    assert frame.unit == ("V" if name in ("a.csv", "a.h5", "a.tdms") else "arb")


@pytest.mark.parametrize("name", WRITERS)
def test_windows_give_the_recording_back(written, name):
    found = frames(written / name, window=samples(700), overlap=samples(100))
    np.testing.assert_array_equal(joined(found, 100), stored(name, X))
    assert [a.context["first_sample"].value for a in found] == [0, 600, 1200, 1800, 2400]
    assert [a.data.shape[1] for a in found] == [700, 700, 700, 700, 600]
    assert [a.labels.get("window") for a in found] == [None] * 4 + ["short"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    window=st.integers(1, 300),
    share=st.floats(0, 0.99),
    channels=st.integers(1, 3),
    form=st.sampled_from(["npy", "wav", "csv"]),
)
def test_no_sample_is_lost_or_doubled_at_any_seam(tmp_path, lengths, window, share, channels, form):
    overlap = min(int(window * share), window - 1)
    x = noise(sum(lengths), channels, seed=window)
    for old in tmp_path.iterdir():
        old.unlink()
    write = {"npy": as_npy, "wav": as_wav, "csv": as_csv}[form]
    for i, part in enumerate(np.split(x, np.cumsum(lengths)[:-1])):
        write(tmp_path / f"part_{i}.{form}", part)
    keys = {"continuous": True, "sample_rate": float(RATE), "layout": "sample_channel"}
    found = frames(tmp_path, window=samples(window), overlap=samples(overlap), **keys)
    expected = x.T.astype(np.float32 if form == "wav" else np.float64)
    np.testing.assert_array_equal(np.atleast_2d(joined(found, overlap)), expected)
    start = found[0].time_ns
    for k, frame in enumerate(found):
        first = k * (window - overlap)
        assert frame.context["first_sample"].value == first
        assert frame.time_ns == start + round(first * 1e9 / RATE)
        assert frame.duration_ns == round((first + frame.data.shape[-1]) * 1e9 / RATE) - round(first * 1e9 / RATE)
        assert frame.source_seq == k
        assert frame.labels.get("window") == ("short" if frame.data.shape[-1] < window else None)


def test_a_window_may_be_a_time(written):
    found = frames(written / "a.wav", window=Feature(100, "ms"), overlap=Feature(0.025, "s"))
    assert found[0].data.shape == (3, 200)
    assert found[1].context["first_sample"].value == 150


def test_a_window_in_seconds_needs_a_rate(written):
    with pytest.raises(FormatError, match="sample rate is not known") as error:
        items(Waveforms(str(written / "a.npy"), window=Feature(0.1, "s")))
    assert "sample_rate" in error.value.remedy
    found = frames(written / "a.npy", window=Feature(0.1, "s"), sample_rate=5000.0)
    assert found[0].data.shape == (3, 500)
    assert found[0].labels["rate"] == "declared"


def test_files_are_recordings_of_their_own_unless_they_go_on(written, tmp_path):
    for i in range(3):
        as_wav(tmp_path / f"part_{i}.wav", X[i * 1000 : (i + 1) * 1000])
    apart = frames(tmp_path, window=samples(600))
    assert [a.data.shape[1] for a in apart] == [600, 400] * 3
    assert [a.labels["recording"] for a in apart] == ["1", "1", "2", "2", "3", "3"]
    whole = frames(tmp_path, window=samples(600), continuous=True)
    assert [a.data.shape[1] for a in whole] == [600] * 5
    assert [a.labels["file"] for a in whole] == ["part_0.wav", "part_0.wav", "part_1.wav", "part_1.wav", "part_2.wav"]


def test_files_whose_times_follow_each_other_are_one_recording(tmp_path):
    def row(i: int) -> str:
        return f"2024-05-01 10:00:{i / 100:06.3f},{i}\n"

    for k, numbers in enumerate((range(100), range(100, 250), range(300, 400))):
        (tmp_path / f"{k}.csv").write_text("time,a\n" + "".join(map(row, numbers)))
    found = frames(tmp_path, window=samples(200))
    assert [a.labels["recording"] for a in found] == ["1", "1", "2"]
    np.testing.assert_array_equal(joined(found[:2]), np.arange(250))
    assert found[2].time_ns - found[0].time_ns == 3_000_000_000
    assert found[0].clock == "header"
    apart = frames(tmp_path, window=samples(200), continuous=False)
    assert [a.data.shape[0] for a in apart] == [100, 150, 100]


def test_another_kind_of_file_begins_another_recording(written, tmp_path):
    as_wav(tmp_path / "1.wav", X[:500])
    as_wav(tmp_path / "2.wav", X[:500, :2])
    reader = Waveforms(str(tmp_path), window=samples(400), continuous=True)
    assert [a.data.shape for a in items(reader) if isinstance(a, Arrival)] == [(3, 400), (3, 100), (2, 400), (2, 100)]
    assert "a new recording begins" in reader.warnings[0]


def test_channels_are_picked_named_and_given_units(written):
    (a,) = frames(written / "a.csv", channels={"field": "c3", "emf": 2}, channel_units={"field": "A/m"})
    assert (a.labels["channels"], a.unit) == ("field emf", ("A/m", "V"))
    np.testing.assert_array_equal(a.data, X.T[[2, 0]])
    (b,) = frames(written / "a.npy", channels=["x", "y", "z"])
    assert b.labels["channels"] == "x y z"
    (c,) = frames(written / "a.wav", channels=["c2"])
    np.testing.assert_array_equal(c.data, X[:, 1].astype(np.float32))
    assert (c.dims, c.labels["channels"]) == (("sample",), "c2")
    with pytest.raises(FormatError, match="no channel 'c4'") as error:
        items(Waveforms(str(written / "a.wav"), channels=["c4"]))
    assert "c1, c2, c3" in error.value.expected


def test_the_gearbox_s_channels_come_as_they_are(data):
    found = frames(data / "line" / "gearbox", window=samples(8192), overlap=samples(4096))
    assert {a.data.dtype for a in found} == {np.dtype(np.float32)}
    assert all("sample_rate" not in a.context and a.duration_ns == 0 for a in found)
    broken = joined([a for a in found if a.labels["file"] == "b30hz0.npy"], 4096)
    np.testing.assert_array_equal(broken, np.load(data / "line" / "gearbox" / "b30hz0.npy").T)
    rms = float(np.sqrt(np.mean(broken[0].astype(np.float64) ** 2)))
    assert 3.5 < rms < 5.2  # the data's README: a1 of a broken tooth


def test_a_sample_that_is_no_number_costs_its_window_alone(tmp_path):
    x = X.copy()
    x[1234, 1] = np.nan
    np.save(tmp_path / "a.npy", x)
    found = items(Waveforms(str(tmp_path / "a.npy"), window=samples(500)))
    assert [type(a) for a in found] == [Arrival, Arrival, Invalid, Arrival, Arrival, Arrival]
    assert isinstance(found[2], Invalid)
    assert "sample 1234 of channel c2 is nan" in found[2].reason
    with pytest.raises(FormatError, match="sample 1234"):
        items(Waveforms(str(tmp_path / "a.npy")))


def test_files_that_appear_are_read_and_cut_over_their_seams(tmp_path):
    def write() -> None:
        for i in range(3):
            time.sleep(0.2)
            as_wav(tmp_path / f"part_{i}.tmp", X[i * 1000 : (i + 1) * 1000])
            (tmp_path / f"part_{i}.tmp").rename(tmp_path / f"part_{i}.wav")
        (tmp_path / "END").touch()

    thread = threading.Thread(target=write)
    thread.start()
    keys = {"follow": True, "settle": 0.05, "idle": 60.0, "sentinel": "END", "continuous": True}
    found = frames(tmp_path, window=samples(800), **keys)
    thread.join()
    assert [a.data.shape[1] for a in found] == [800, 800, 800, 600]
    np.testing.assert_array_equal(joined(found), X.T.astype(np.float32))


def test_a_file_that_is_still_written_is_waited_for(tmp_path):
    as_wav(tmp_path / "whole", X)
    data = (tmp_path / "whole").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[:5000])

    def rest() -> None:
        time.sleep(0.6)
        with open(tmp_path / "a.wav", "ab") as file:
            file.write(data[5000:])
        (tmp_path / "END").touch()

    thread = threading.Thread(target=rest)
    thread.start()
    (frame,) = frames(tmp_path, pattern="*.wav", follow=True, settle=0.1, idle=60, sentinel="END")
    thread.join()
    np.testing.assert_array_equal(frame.data, X.T.astype(np.float32))


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"window": Feature(0)}, "window"),
        ({"window": Feature(2.5)}, "window"),
        ({"window": Feature(-1, "s")}, "window"),
        ({"window": Feature(1, "mm")}, "window"),
        ({"overlap": Feature(10)}, "overlap"),
        ({"window": Feature(10), "overlap": Feature(10)}, "overlap"),
        ({"continuous": True}, "continuous"),
        ({"sample_rate": -1.0}, "sample_rate"),
        ({"channels": {"Coil B": 1}}, "channels"),
        ({"channels": ["a", "a"]}, "channels"),
        ({"channel_units": {"a": "Volt per root hertz"}}, "channel_units.a"),
        ({"count": 0}, "count"),
    ],
)
def test_settings_that_cannot_be_are_refused_with_their_key(keys, where):
    with pytest.raises(ConfigError) as error:
        Waveforms("a.npy", **keys)
    assert error.value.where == where


def test_a_folder_without_waveforms_is_an_error_and_other_files_are_passed_over(written, tmp_path):
    (tmp_path / "notes.txt").write_text("The sample broke.\n")
    (tmp_path / "core.bin").write_bytes(bytes(range(256)))
    reader = Waveforms(str(tmp_path))
    with pytest.raises(SourceError, match="no waveform here"):
        items(reader)
    shutil.copy(written / "a.wav", tmp_path)
    assert len(items(reader)) == 1
    assert sorted(reader.skipped) == ["core.bin", "notes.txt"]


def test_the_series_ends_after_count_frames_and_goes_by_time_where_asked(tmp_path):
    for name, second in (("a", 30), ("b", 10), ("c", 20)):
        rows = "".join(f"2024-05-01 10:00:{second}.{i},{i}\n" for i in range(10))
        (tmp_path / f"{name}.csv").write_text(f"time,v\n{rows}")
    found = frames(tmp_path, order="time", count=2)
    assert [a.labels["file"] for a in found] == ["b.csv", "c.csv"]


def test_a_frame_that_would_fill_the_memory_is_refused(tmp_path):
    with open(tmp_path / "a.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (2**28, 1)})
        file.truncate(file.tell() + 2**31)  # zeros that take no disk
    with pytest.raises(FormatError, match="would hold") as error:
        items(Waveforms(str(tmp_path / "a.npy")))
    assert "window" in error.value.remedy
    assert len(frames(tmp_path / "a.npy", window=samples(1000), count=3)) == 3
