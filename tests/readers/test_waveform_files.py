"""Binary files of waveforms: what each format can hold, and what each can get wrong."""

import io
import struct
import wave
import zipfile

import h5py
import nptdms
import numpy as np
import pytest
from scipy.io import wavfile

from insitu.errors import FormatError
from insitu.readers.pattern import Truncated
from insitu.readers.waveforms import Waveforms
from insitu.testing import items
from insitu.types import Arrival, Feature, Invalid
from tests.readers.waves import as_wav16, noise

X = noise(1000, 2)


def one(path, **keys) -> Arrival:
    (frame,) = items(Waveforms(str(path), **keys))
    assert isinstance(frame, Arrival), frame
    return frame


# ---- WAV ----


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32", "float64"])
def test_wav_samples_are_those_that_scipy_reads(tmp_path, kind):
    x = (X * 20 + 128).astype(kind) if kind == "uint8" else (X * 1000).astype(kind)
    wavfile.write(tmp_path / "a.wav", 48000, x)
    frame = one(tmp_path / "a.wav")
    np.testing.assert_array_equal(frame.data, x.T)
    assert (frame.data.dtype, frame.context["sample_rate"].value) == (x.dtype, 48000.0)


def test_24_bits_have_their_own_value_and_not_256_times_it(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(8000)
        file.writeframes(b"\x01\x00\x00\xff\xff\xff\xff\xff\x7f\x00\x00\x80")
    np.testing.assert_array_equal(one(tmp_path / "a.wav").data, [1, -1, 8388607, -8388608])


def test_other_chunks_and_the_extensible_format_are_read(tmp_path):
    as_wav16(tmp_path / "a.wav", X)
    data = (tmp_path / "a.wav").read_bytes()
    form, samples = data[20:36], data[44:]
    form = struct.pack("<H", 0xFFFE) + form[2:] + struct.pack("<HHIH14s", 22, 16, 3, 1, bytes(14))
    chunks = b"LIST\x05\0\0\0hello\0" + b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(samples)) + samples + b"id3 \x04\0\0\0abcd"
    (tmp_path / "b.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks)
    np.testing.assert_array_equal(one(tmp_path / "b.wav").data, one(tmp_path / "a.wav").data)


def test_a_wav_of_more_than_4_gib_says_its_size_in_ds64(tmp_path):
    as_wav16(tmp_path / "a.wav", X)
    data = (tmp_path / "a.wav").read_bytes()
    samples = data[44:]
    wide = b"ds64" + struct.pack("<IQQQI", 28, 0, len(samples), 1000, 0)
    head = b"RF64\xff\xff\xff\xffWAVE" + wide + data[12:36] + b"data\xff\xff\xff\xff"
    (tmp_path / "b.wav").write_bytes(head + samples + b"junk\0\0\0\0")
    np.testing.assert_array_equal(one(tmp_path / "b.wav").data, one(tmp_path / "a.wav").data)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_recorder_that_never_wrote_the_size_is_read_to_the_end(tmp_path, size):
    as_wav16(tmp_path / "a.wav", X)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    struct.pack_into("<I", data, 40, size)
    (tmp_path / "b.wav").write_bytes(data)
    np.testing.assert_array_equal(one(tmp_path / "b.wav").data, one(tmp_path / "a.wav").data)


def test_a_wav_that_was_cut_off_gives_its_samples_and_says_what_is_missing(tmp_path):
    as_wav16(tmp_path / "a.wav", X)
    (tmp_path / "b.wav").write_bytes((tmp_path / "a.wav").read_bytes()[: 44 + 4 * 700])
    with pytest.raises(Truncated, match="declares 4000 bytes of samples, the file holds 2800"):
        items(Waveforms(str(tmp_path / "b.wav")))
    found = items(Waveforms(str(tmp_path / "b.wav"), window=Feature(300)))
    assert [a.data.shape[1] for a in found if isinstance(a, Arrival)] == [300, 300, 100]
    assert isinstance(found[-1], Invalid)


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (20, b"\x55\0", "MP3"),
        (22, b"\0\0", "0 channels"),
        (24, b"\0\0\0\0", "0 Hz"),
        (32, b"\x03\0", "3 bytes for all"),
        (8, b"X", "is not that of a .wav file"),
    ],
)
def test_a_wav_head_that_cannot_be_is_refused(tmp_path, at, value, what):
    as_wav16(tmp_path / "a.wav", X)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[at : at + len(value)] = value
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(FormatError, match=what):
        items(Waveforms(str(tmp_path / "a.wav")))


# ---- numpy ----


@pytest.mark.parametrize("array", [X, X.T.copy(), np.asfortranarray(X), np.asfortranarray(X.T), X.astype(">f4")])
def test_a_table_is_turned_so_that_channels_are_rows(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    frame = one(tmp_path / "a.npy")
    np.testing.assert_array_equal(frame.data, array.T if array.shape[0] == 1000 else array)
    assert frame.data.dtype.isnative


def test_a_square_table_must_be_told_which_side_is_the_channel(tmp_path):
    np.save(tmp_path / "a.npy", X[:2])
    with pytest.raises(FormatError, match="cannot be told") as error:
        items(Waveforms(str(tmp_path / "a.npy")))
    assert "layout" in error.value.remedy
    np.testing.assert_array_equal(one(tmp_path / "a.npy", layout="channel_sample").data, X[:2])
    np.testing.assert_array_equal(one(tmp_path / "a.npy", layout="sample_channel").data, X[:2].T)


def test_records_have_a_channel_in_each_field(tmp_path):
    records = np.zeros(100, [("h", "<i2"), ("b", "<f4")])
    records["h"], records["b"] = np.arange(100), np.arange(100) / 4
    np.save(tmp_path / "a.npy", records)
    frame = one(tmp_path / "a.npy")
    np.testing.assert_array_equal(frame.data, [np.arange(100), np.arange(100) / 4])
    assert frame.labels["channels"] == "h b"


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.zeros((2, 3, 4)), "3 dimensions"),
        (np.zeros(9, complex), "complex"),
        (np.zeros(0), "empty"),
        (np.array(["a", "b"]), "the samples are"),
        (np.array([{}, []], dtype=object), "Python objects"),
        (np.zeros((5000, 6000), bool), "the samples are bool"),
    ],
)
def test_arrays_that_are_no_waveform_are_refused(tmp_path, array, what):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(FormatError, match=what):
        items(Waveforms(str(tmp_path / "a.npy")))


def test_a_header_that_declares_more_than_the_file_holds_is_told(tmp_path):
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 2)})
    (tmp_path / "a.npy").write_bytes(raw.getvalue() + X[:10].tobytes())
    with pytest.raises(Truncated, match="declares 2000000000000000 numbers, the file holds 20"):
        items(Waveforms(str(tmp_path / "a.npy")))
    found = items(Waveforms(str(tmp_path / "a.npy"), window=Feature(4)))
    assert [type(a) for a in found] == [Arrival] * 3 + [Invalid]


def test_arrays_by_name_have_their_own_rates_and_units(tmp_path):
    np.savez(tmp_path / "a.npz", b=X[:, 0], t_oil=X[:100, 0], sample_rate=1000.0, fs_t_oil=100.0, units=["T", "degC"])
    frame = one(tmp_path / "a.npz")
    assert (frame.labels["channels"], frame.unit) == ("b t_oil", ("T", "degC"))
    assert frame.context["sample_rate"].value == 1000.0
    assert frame.context["rate_t_oil"].value == 100.0
    assert frame.mask is not None
    assert (~frame.mask).sum(axis=1).tolist() == [1000, 100]
    np.testing.assert_array_equal(frame.data[1, :100], X[:100, 0])


def test_times_beside_arrays_tell_the_rate_and_uneven_ones_are_refused(tmp_path):
    times = np.arange(1000) / 48000
    np.savez(tmp_path / "a.npz", time=times, b=X[:, 0])
    assert one(tmp_path / "a.npz").context["sample_rate"].value == 48000.0
    times[500:] += 0.1
    np.savez(tmp_path / "b.npz", time=times, b=X[:, 0])
    with pytest.raises(FormatError, match="sample 500: the time steps by"):
        items(Waveforms(str(tmp_path / "b.npz")))
    assert one(tmp_path / "b.npz", sample_rate=10.0).context["sample_rate"].value == 10.0


def test_several_tables_need_a_choice(tmp_path):
    np.savez(tmp_path / "a.npz", run1=X, run2=X)
    with pytest.raises(FormatError, match="2 arrays, tables among them") as error:
        items(Waveforms(str(tmp_path / "a.npz")))
    assert 'dataset = "run1"' in error.value.remedy
    np.testing.assert_array_equal(one(tmp_path / "a.npz", dataset="run2").data, X.T)


def test_an_archive_that_unpacks_into_more_than_it_may_is_refused(tmp_path):
    raw = io.BytesIO()
    np.lib.format.write_array_header_1_0(raw, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", raw.getvalue() + bytes(10**6))
    with pytest.raises(FormatError, match="the arrays declare 8000000000000 bytes"):
        items(Waveforms(str(tmp_path / "a.npz")))


# ---- HDF5 ----


def test_datasets_of_a_group_are_channels_and_the_time_tells_the_rate(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["start_time"] = "2024-05-01T10:00:00.5Z"
        group = file.create_group("rig")
        group["time"], group["emf"], group["field"] = np.arange(1000) / 500, X[:, 0], X[:, 1].astype("f4")
        group["emf"].attrs["units"], group["field"].attrs["units"] = "mV", "A/m"
        file["note"] = np.arange(5)
    frame = one(tmp_path / "a.h5")
    assert (frame.labels["channels"], frame.unit) == ("emf field", ("mV", "A/m"))
    assert (frame.context["sample_rate"].value, frame.clock) == (500.0, "header")
    assert frame.time_ns == 1714557600_500000000
    np.testing.assert_array_equal(frame.data, [X[:, 0], X[:, 1].astype("f4")])
    only = one(tmp_path / "a.h5", dataset="rig/field")
    assert (only.data.dtype, only.labels["channels"]) == (np.dtype("f4"), "field")


def test_matlab_s_files_behind_a_block_of_the_user_are_read_channel_by_channel(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        for name, values in {"emf": X[:, 0], "field": X[:, 1], "t": np.arange(1000) / 500}.items():
            file[name] = values.reshape(1, -1)
    frame = one(tmp_path / "a.mat")
    assert (frame.labels["channels"], frame.context["sample_rate"].value) == ("emf field", 500.0)
    np.testing.assert_array_equal(frame.data, X[:, :2].T)
    (tmp_path / "b.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(2000, b"\0"))
    with pytest.raises(FormatError, match=r"b\.mat: this is a MATLAB file of an older version.*-v7\.3"):
        one(tmp_path / "b.mat")


def test_names_units_and_interval_of_a_table_are_attributes(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", data=X.T)
        data.attrs["wf_increment"], data.attrs["units"] = 1e-5, ["V", "A"]
        data.attrs["channel_names"] = ["Emf", "Current"]
    frame = one(tmp_path / "a.h5")
    assert (frame.labels["channels"], frame.unit) == ("emf current", ("V", "A"))
    assert frame.context["sample_rate"].value == 100000.0
    np.testing.assert_array_equal(frame.data, X.T)


def test_two_recordings_in_a_file_need_a_choice(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a/data"], file["b/data"] = X, X
    with pytest.raises(FormatError, match="several recordings: /a/data, /b/data"):
        items(Waveforms(str(tmp_path / "a.h5")))
    np.testing.assert_array_equal(one(tmp_path / "a.h5", dataset="b").data, X.T)
    with pytest.raises(FormatError, match="no dataset 'c'") as error:
        items(Waveforms(str(tmp_path / "a.h5"), dataset="c"))
    assert "/a/data" in error.value.remedy


def test_samples_that_were_never_written_are_no_zeros(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (10**12, 2), chunks=(100, 2), dtype="f8")
        data[:250] = X[:250]
    found = items(Waveforms(str(tmp_path / "a.h5"), window=Feature(150)))
    assert [a.data.shape[1] for a in found if isinstance(a, Arrival)] == [150, 150]
    assert isinstance(found[-1], Invalid)
    assert "only the first 300 were written" in found[-1].reason
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("data", (1000,), dtype="f8")
    with pytest.raises(Truncated, match="only the first 0 were written"):
        items(Waveforms(str(tmp_path / "b.h5")))


# ---- TDMS ----


def tdms(path, *channels, properties=None) -> None:
    with nptdms.TdmsWriter(path) as file:
        file.write_segment([nptdms.ChannelObject(*c) for c in channels])


def test_channels_of_different_rates_are_cut_at_the_same_times(tmp_path):
    slow = X[:101, 1]
    tdms(
        tmp_path / "a.tdms",
        ("g", "vib", X[:, 0], {"wf_increment": 0.001, "unit_string": "V"}),
        ("g", "temp", slow, {"wf_increment": 0.01, "unit_string": "°C"}),
        ("notes", "gain", np.array([1.0, 2.0]), {}),
    )
    reader = Waveforms(str(tmp_path / "a.tdms"), window=Feature(0.33, "s"), overlap=Feature(0.03, "s"))
    found = [a for a in items(reader) if isinstance(a, Arrival)]
    assert "gain" in reader.warnings[0]
    assert found[0].unit == ("V", "degC")
    assert found[0].context["rate_temp"] == Feature(100.0, "Hz")
    firsts = [int(a.context["first_sample"].value or 0) for a in found]
    for frame, first in zip(found, firsts, strict=True):
        n = frame.data.shape[1]
        assert frame.mask is not None
        kept = frame.data[1][~frame.mask[1]]
        np.testing.assert_array_equal(kept, slow[-(-first // 10) : -(-(first + n) // 10)])
        fast = frame.data[0][~frame.mask[0]]
        np.testing.assert_array_equal(fast, X[first : first + n, 0])
    assert firsts[-1] + found[-1].data.shape[1] == 1001  # the last sample of the slow channel is at 1.000 s


def test_times_and_numbers_are_those_that_were_written(tmp_path):
    start = np.datetime64("2024-05-01T10:00:00.123456")
    tdms(
        tmp_path / "a.tdms", ("g", "emf", (X[:, 0] * 100).astype("i2"), {"wf_increment": 1e-4, "wf_start_time": start})
    )
    frame = one(tmp_path / "a.tdms")
    assert frame.data.dtype == np.int16
    assert abs(frame.time_ns - 1714557600_123456000) < 1000
    assert (frame.clock, frame.context["sample_rate"].value) == ("header", 10000.0)


def test_a_group_or_a_channel_can_be_picked(tmp_path):
    tdms(tmp_path / "a.tdms", ("g", "a", X[:, 0], {}), ("h", "a", X[:, 1], {}))
    assert one(tmp_path / "a.tdms").labels["channels"] == "g_a h_a"
    np.testing.assert_array_equal(one(tmp_path / "a.tdms", dataset="h").data, X[:, 1])
    np.testing.assert_array_equal(one(tmp_path / "a.tdms", dataset="g/a").data, X[:, 0])
    with pytest.raises(FormatError, match="no channel of numbers in 'k'") as error:
        items(Waveforms(str(tmp_path / "a.tdms"), dataset="k"))
    assert "g/a" in error.value.remedy
