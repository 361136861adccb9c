"""Structures of EPICS to frames: shapes, codecs, numbers, times, attributes, alarms."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from insitu.readers.epics_codec import unpacked
from insitu.readers.epics_decode import Decoder, WrongTypeError
from insitu.types import Arrival, Feature, Invalid

NOW = 1_700_000_000_000_000_000
A = np.arange(12, dtype=np.uint16)


def image(data: Any = A, sizes: tuple[int, ...] = (4, 3), **more: Any) -> dict[str, Any]:
    """An NTNDArray of 3 rows with 4 pixels as a plain dict; the fastest dimension comes first."""
    return {
        "value": data, "codec": {"name": "", "parameters": None}, "compressedSize": np.asarray(data).nbytes,
        "dimension": [{"size": n, "offset": 0, "fullSize": n, "binning": 1, "reverse": False} for n in sizes],
        "uniqueId": 5, "dataTimeStamp": stamp(NOW - 1_000_000), "timeStamp": stamp(NOW - 900_000),
        "alarm": {"severity": 0, "status": 0, "message": ""}, "attribute": [], **more,
    }  # fmt: skip


def stamp(ns: int) -> dict[str, int]:
    return {"secondsPastEpoch": ns // 10**9, "nanoseconds": ns % 10**9}


def decoder(**more: Any) -> Decoder:
    return Decoder(source="cam", pv="X:Image", **more)


def frame(value: Any, **more: Any) -> Arrival:
    found = decoder(**more)(value, NOW)
    assert isinstance(found, Arrival), found
    return found


def refused(value: Any, **more: Any) -> str:
    found = decoder(**more)(value, NOW)
    assert isinstance(found, Invalid)
    return found.reason


def test_the_fastest_dimension_comes_last_and_the_exposure_time_is_the_datas():
    a = frame(image())
    assert np.array_equal(a.data, A.reshape(3, 4))
    assert (a.dims, a.data.dtype, a.source_seq, a.unit) == (("y", "x"), np.uint16, 5, "counts")
    assert (a.time_ns, a.clock, a.clock_sigma_ns) == (NOW - 1_000_000, "ioc", 0)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "uint64", "float32", "float64"])
def test_every_type_of_the_union_is_kept(dtype):
    assert frame(image(A.astype(dtype))).data.dtype == np.dtype(dtype)


def test_a_structure_of_p4p_is_read_as_a_dict_is():
    from p4p.nt import NTNDArray

    value = NTNDArray().wrap(A.reshape(3, 4), attrib={"Temp": 4.5, "File": "a.tif"}, timestamp=NOW / 1e9)
    value["uniqueId"] = -1
    a = frame(value)
    assert np.array_equal(a.data, A.reshape(3, 4))
    assert a.source_seq == 2**32 - 1
    assert (a.context["temp"], a.labels["file"]) == (Feature(4.5), "a.tif")


@pytest.mark.parametrize(
    ("mode", "sizes", "dims"),
    [(2, (3, 2, 2), ("y", "x", "channel")),
     (3, (2, 3, 2), ("y", "channel", "x")), (4, (2, 2, 3), ("channel", "y", "x")),
     (None, (2, 3, 2), ("z", "y", "x"))],
)  # fmt: skip
def test_colours_have_their_dimension_by_the_colour_mode(mode, sizes, dims):
    attributes = [] if mode is None else [{"name": "ColorMode", "value": mode}]
    a = frame(image(sizes=sizes, attribute=attributes))
    assert (a.dims, a.data.shape) == (dims, tuple(reversed(sizes)))


def packed(codec: str, a: np.ndarray) -> bytes:
    import numcodecs.blosc
    import numcodecs.lz4

    if codec == "lz4":
        return numcodecs.lz4.compress(a.tobytes())[4:]
    if codec == "zlib":
        return zlib.compress(a.tobytes())
    if codec == "blosc":
        return numcodecs.blosc.compress(a, b"zstd", 5)
    return bitshuffled(a)


def bitshuffled(a: np.ndarray) -> bytes:
    """By the HDF5 filter, which writes the same blocks behind twelve bytes of its own."""
    h5py, hdf5plugin = pytest.importorskip("h5py"), pytest.importorskip("hdf5plugin")
    with h5py.File(io.BytesIO(), "w") as file:
        item = file.create_dataset("a", data=a, chunks=a.shape, **hdf5plugin.Bitshuffle(cname="lz4"))
        return item.id.read_direct_chunk((0,))[1][12:]


@pytest.mark.parametrize("codec", ["lz4", "bslz4", "blosc", "zlib"])
@pytest.mark.parametrize(("dtype", "number"), [("uint8", 5), ("uint16", 6), ("int32", 3), ("float64", 10)])
@pytest.mark.parametrize("n", [5, 96, 20_011])
def test_what_was_packed_is_unpacked(codec, dtype, number, n):
    a = np.random.default_rng(0).poisson(20, n).astype(dtype)
    data = np.frombuffer(packed(codec, a), np.uint8)
    value = image(data, (n,), codec={"name": codec, "parameters": number}, compressedSize=data.size)
    assert np.array_equal(frame(value).data, a)
    assert frame(value).data.dtype == a.dtype


def test_a_jpeg_is_a_picture():
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 16), 77, np.uint8)).save(buffer, "JPEG")
    data = np.frombuffer(buffer.getvalue(), np.uint8)
    a = frame(image(data, (16, 8), codec={"name": "jpeg", "parameters": 5}, compressedSize=data.size))
    assert (a.data.shape, int(a.data[3, 3])) == ((8, 16), 77)
    assert "128 values" in refused(image(data, (17, 8), codec={"name": "jpeg"}, compressedSize=data.size))


@pytest.mark.parametrize("codec", ["lz4", "bslz4", "blosc", "zlib", "jpeg"])
def test_damaged_and_cut_off_data_are_refused_and_never_raise(codec):
    rng = np.random.default_rng(1)
    a = rng.poisson(20, 4096).astype(np.uint16)
    whole = np.frombuffer(packed(codec, a) if codec != "jpeg" else b"\xff\xd8\xff\xe0" + bytes(60), np.uint8)
    for k in range(60):
        data = whole[: rng.integers(0, whole.size)].copy() if k % 2 else whole.copy()
        if data.size:
            data[rng.integers(0, data.size, 3)] = rng.integers(0, 256, 3)
        value = image(data, (4096,), codec={"name": codec, "parameters": 6}, compressedSize=data.size)
        found = decoder()(value, NOW)
        assert isinstance(found, Invalid) or (isinstance(found, Arrival) and found.data.size == 4096)


def test_a_codec_that_is_not_known_is_named():
    assert "'szip'" in refused(image(codec={"name": "szip", "parameters": 6}))


def test_a_packed_array_without_the_type_of_its_elements_is_refused():
    assert "codec.parameters" in refused(image(codec={"name": "lz4", "parameters": None}))


def test_what_declares_terabytes_is_not_believed():
    with pytest.raises(ValueError, match="at most 1 GiB"):
        unpacked(b"1234", "lz4", np.dtype("uint16"), 2**40)
    head = struct.pack("<BBBBIII", 2, 1, 1, 2, 2**31, 2**18, 20) + bytes(4)
    with pytest.raises(ValueError, match="blosc declares"):
        unpacked(head, "blosc", np.dtype("uint16"), 12)


def test_values_that_do_not_fill_the_dimensions_are_refused_with_their_number():
    found = decoder()(image(sizes=(5, 3)), NOW)
    assert isinstance(found, Invalid)
    assert "12 values" in found.reason
    assert (found.source_seq, found.payload) == (5, A.tobytes())
    assert "dimensions are [0, 4]" in refused(image(sizes=(4, 0)))


def test_no_picture_yet_is_no_frame():
    assert decoder()(image(None, ()) | {"value": None}, NOW) is None


@pytest.mark.parametrize("value", [1.0, "text", None, np.array(["a"])])
def test_a_pv_of_something_else_is_of_the_wrong_type(value):
    with pytest.raises(WrongTypeError, match="X:Image"):
        decoder()({"value": value}, NOW)


# ---- numbers ----


def numbers(*updates: tuple[int, int], **more: Any) -> list[int | None]:
    """`source_seq` of updates (uniqueId, second); None also for what is no new frame."""
    d = decoder(**more)
    found = [d(image(uniqueId=k, dataTimeStamp=stamp(NOW + s * 10**9)), NOW) for k, s in updates]
    return [a.source_seq if isinstance(a, Arrival) else None for a in found]


def test_gaps_are_kept_for_the_core_to_count():
    assert numbers((3, 0), (4, 1), (9, 2)) == [3, 4, 9]


def test_the_frame_that_a_pv_gives_again_is_no_new_frame():
    d = decoder()
    assert [d(image(), NOW) is None for _ in range(3)] == [False, True, True]
    assert d.given_again == 2


def test_a_counter_that_was_set_back_begins_anew():
    assert numbers((5, 0), (1, 1), (2, 2), (1, 3)) == [5, 2**32 + 1, 2**32 + 2, 2**33 + 1]


def test_a_frame_that_was_overtaken_keeps_its_number():
    assert numbers((5, 5), (7, 7), (6, 6)) == [5, 7, 6]


def test_a_counter_that_wraps_by_the_detector_file_is_left_alone():
    assert numbers((65535, 0), (0, 1), wraps=True) == [65535, 0]


def test_a_number_that_never_changes_is_not_believed():
    found = numbers(*[(0, k) for k in range(8)])
    assert found[0] == 0
    assert found[3:] == [None] * 5


def test_an_unsigned_counter_goes_on_beyond_what_an_int_holds():
    assert numbers((2**31 - 1, 0), (-(2**31), 1)) == [2**31 - 1, 2**31]


# ---- times, attributes, alarms ----


@pytest.mark.parametrize(("off_s", "side"), [(-3600, "in the past"), (86400, "in the future")])
def test_a_time_that_cannot_be_is_told_and_its_uncertainty_says_how_far(off_s, side):
    a = frame(image(dataTimeStamp=stamp(NOW + off_s * 10**9)))
    assert a.labels["clock_warning"].endswith(side)
    assert (a.time_ns, a.clock_sigma_ns) == (NOW + off_s * 10**9, abs(off_s) * 10**9)


@pytest.mark.parametrize("seconds", [0, 631152000])
def test_a_clock_that_was_never_set_gives_way_to_ours(seconds):
    never = {"secondsPastEpoch": seconds, "nanoseconds": 0}
    a = frame(image(dataTimeStamp=never, timeStamp=never))
    assert (a.time_ns, a.clock) == (NOW, "arrival")
    assert "ours" in a.labels["clock_warning"]
    assert frame(image(dataTimeStamp=never)).time_ns == NOW - 900_000


def test_attributes_are_context_and_labels():
    told = [
        {"name": "AcquireTime", "value": 0.05},
        {"name": "Shutter Open", "value": True},
        {"name": "bad", "value": np.nan},
        {"name": "Sample", "value": "NiTi"},
        {"name": "list", "value": np.arange(3)},
        {"name": "", "value": 1},
        {"name": "nested", "value": {"value": 3, "alarm": {}}},
    ]
    a = frame(image(attribute=told))
    assert a.context["acquiretime"] == Feature(0.05)
    assert a.context["shutter_open"] == Feature(1)
    assert a.context["bad"].value is None
    assert a.context["nested"] == Feature(3)
    assert a.labels == {"sample": "NiTi"}
    assert "list" not in a.context


def test_a_region_of_the_chip_is_told():
    value = image()
    value["dimension"][0] |= {"offset": 100, "binning": 2, "reverse": True}
    context = frame(value).context
    assert (context["x_offset"].value, context["x_binning"].value, context["x_reversed"].value) == (100, 2, 1)
    assert "y_offset" not in context


def test_an_alarm_is_a_number_and_a_text():
    a = frame(image(alarm={"severity": 3, "status": 2, "message": ""}))
    assert (a.context["alarm_severity"].value, a.labels["alarm"]) == (3, "INVALID: driver")
    assert "alarm" not in frame(image()).labels


# ---- waveforms ----


def test_a_waveform_has_its_unit_and_no_number():
    a = frame({"value": np.arange(5.0), "display": {"units": "V"}, "timeStamp": stamp(NOW), "alarm": {"severity": 0}})
    assert (a.dims, a.unit, a.source_seq, a.time_ns) == (("sample",), "V", None, NOW)


def test_a_waveform_record_longer_than_the_picture_gives_the_picture():
    a = frame({"value": np.arange(20), "timeStamp": stamp(NOW)}, shape=(3, 4), dims=("y", "x"), dtype="uint16")
    assert (a.data.shape, a.data.dtype, a.data[2, 3]) == ((3, 4), np.uint16, 11)
    assert "has 8 values" in refused({"value": np.arange(8), "timeStamp": stamp(NOW)}, shape=(3, 4))


def test_numbers_that_the_declared_type_cannot_hold_stay_as_they_came():
    a = frame({"value": np.array([1.5, -1.0]), "timeStamp": stamp(NOW)}, shape=(2,), dtype="float32")
    assert a.data.dtype == np.float32
    b = frame({"value": np.array([-1, 70000]), "timeStamp": stamp(NOW)}, shape=(2,), dtype="uint16")
    assert b.data.tolist() == [-1, 70000]
