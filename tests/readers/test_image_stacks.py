"""HDF5 stacks: which dataset, what the file says, what is lost, and chunks that lie."""

import sys
import zlib
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from insitu.errors import FormatError, MissingExtraError
from insitu.readers.image_files import Image
from insitu.readers.image_stacks import check_structure, stack
from insitu.readers.pattern import Truncated
from insitu.types import Feature
from tests.detector_files import picture, write_eiger, write_nexus

STACK = np.stack([picture(i, dtype=np.uint16) for i in range(5)])


def read(path: Path, **keys: Any) -> list[Image]:
    return list(stack(path, path.name, **keys))


@pytest.mark.parametrize(
    "codec",
    [
        {},
        hdf5plugin.Bitshuffle(cname="lz4"),
        hdf5plugin.Bitshuffle(cname="zstd"),
        hdf5plugin.LZ4(),
        hdf5plugin.Zstd(),
        hdf5plugin.Blosc(),
        {"compression": "gzip", "shuffle": True},
    ],
)
def test_an_eiger_master_gives_the_frames_of_its_files(tmp_path: Path, codec: Any) -> None:
    found = read(write_eiger(tmp_path, 2, 3, **codec))
    assert [image.number for image in found] == list(range(6))
    for i, image in enumerate(found):
        np.testing.assert_array_equal(image.data, picture(i, dtype=np.uint32))
    head = found[2].head
    assert head.context["distance"] == Feature(0.25, "m")
    assert head.context["pixel_size"] == Feature(75.0, "um")
    assert head.context["exposure_s"] == Feature(0.0099, "s")
    assert head.context["wavelength"] == Feature(0.7, "angstrom")
    assert head.duration_ns == 9_900_000
    assert head.time_ns == 1709287200_000000000 + 2 * 10_000_000  # start plus two periods


@pytest.mark.parametrize(("missing", "lost"), [(1, range(3)), (2, range(3, 6)), (3, range(6, 9))])
def test_a_missing_data_file_is_named_and_its_frames_are_lost(tmp_path: Path, missing: int, lost: range) -> None:
    found = read(write_eiger(tmp_path, 3, 3, missing=missing))
    (told,) = [image for image in found if image.invalid]
    assert f"run_data_00000{missing}.h5" in told.invalid
    assert told.number == lost[-1]  # the gap before it is counted as lost
    assert [image.number for image in found if not image.invalid] == [i for i in range(9) if i not in lost]


def test_marked_pixels_are_masked(tmp_path: Path) -> None:
    frames = np.stack([picture(i, dtype=np.uint32) for i in range(2)])
    frames[:, 5, 6] = 2**32 - 1
    one, _ = read(write_nexus(tmp_path / "a.h5", frames))
    assert one.mask is not None
    assert np.argwhere(one.mask).tolist() == [[5, 6]]
    (plain,) = read(write_nexus(tmp_path / "b.h5", frames[:1] % 1000))
    assert plain.mask is None


def test_sixteen_bits_are_masked_only_where_the_detector_does_so(tmp_path: Path) -> None:
    frames = STACK.copy()
    frames[:, 5, 6] = 65535
    path = write_nexus(tmp_path / "a.h5", frames, place="entry/instrument/detector/data")
    assert all(image.mask is None for image in read(path))  # a saturated pixel of a camera
    with h5py.File(path, "r+") as file:
        file["entry/instrument/detector/description"] = "Lambda"
    assert all(image.mask is not None and image.mask.sum() == 1 for image in read(path))


def test_the_pixel_mask_of_the_file_is_used(tmp_path: Path) -> None:
    path = write_nexus(tmp_path / "a.h5", STACK, place="entry/instrument/detector/data")
    with h5py.File(path, "r+") as file:
        file["entry/instrument/detector/pixel_mask"] = np.eye(20, 30, dtype=np.uint32)
    assert all(image.mask is not None and image.mask.sum() == 20 for image in read(path))


def test_areadetector_times_and_motors_are_read_for_each_frame(tmp_path: Path) -> None:
    path = write_nexus(tmp_path / "a.h5", STACK)
    with h5py.File(path, "r+") as file:
        group = file.create_group("entry/instrument/NDAttributes")
        group["NDArrayTimeStamp"] = 1.0e9 + np.arange(5) * 0.5  # seconds since 1990
        group["theta"] = np.arange(5) * 0.25
        group["theta"].attrs["units"] = "deg"
        group["unitless"] = np.arange(5.0)
        sample = file.create_group("entry/sample")
        sample["temperature"] = np.arange(5) * 10.0 + 20.0
        sample["temperature"].attrs["units"] = "degC"
    found = read(path)
    assert found[2].head.time_ns == (1_000_000_000 + 631_152_000 + 1) * 10**9
    assert found[3].head.context["theta"] == Feature(0.75, "deg")
    assert found[3].head.context["temperature"] == Feature(323.15, "K")
    assert "unitless" not in found[3].head.context


@pytest.mark.parametrize("place", ["entry/data/data", "entry_0000/measurement/data", "1.1/instrument/eiger4m/image"])
@pytest.mark.parametrize("signal", [True, False])
def test_the_images_are_found_where_writers_put_them(tmp_path: Path, place: str, signal: bool) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file[place] = STACK
        file["other/spectrum"] = np.arange(100.0)
        file["other/mask"] = np.zeros((20, 30), np.uint8)
        if signal:
            group = place.rpartition("/")[0]
            file.attrs["default"] = group
            file[group].attrs["NX_class"], file[group].attrs["signal"] = "NXdata", place.rpartition("/")[2]
    assert len(read(path)) == 5


def test_two_stacks_are_not_guessed_between(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["1.1/eiger/image"], file["2.1/eiger/image"] = STACK, STACK[:2]
    with pytest.raises(FormatError, match=r"1\.1/eiger/image, 2\.1/eiger/image"):
        read(path)
    assert len(read(path, dataset="/2.1/eiger/image")) == 2
    with pytest.raises(FormatError, match=r"no dataset '/3\.1'"):
        read(path, dataset="/3.1")


def test_single_frames_and_grids_of_frames(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["entry/data/data"] = STACK[0]
    (only,) = read(tmp_path / "one.h5")
    np.testing.assert_array_equal(only.data, STACK[0])
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        file["entry/data/data"] = STACK[:4].reshape(2, 2, 20, 30)
    for image, expected in zip(read(tmp_path / "grid.h5"), STACK[:4], strict=True):
        np.testing.assert_array_equal(image.data, expected)


def test_big_endian_and_chunks_of_several_frames_come_out_alike(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("entry/data/data", data=STACK.astype(">u2"), chunks=(2, 20, 15), compression="gzip")
    for image, expected in zip(read(tmp_path / "a.h5"), STACK, strict=True):
        assert image.data.dtype == np.uint16
        assert image.data.dtype.isnative
        np.testing.assert_array_equal(image.data, expected)


def test_frames_that_were_never_written_are_lost_and_not_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("entry/data/data", (6, 20, 30), "u2", chunks=(1, 20, 30))
        data[0], data[1], data[4] = STACK[0], STACK[1], STACK[4]
    assert [(image.number, bool(image.invalid)) for image in read(path)] == [
        (0, False),
        (1, False),
        (3, True),
        (4, False),
        (5, True),
    ]


def test_a_virtual_stack_whose_source_is_missing_is_told(tmp_path: Path) -> None:
    write_nexus(tmp_path / "part.h5", STACK)
    layout = h5py.VirtualLayout((5, 20, 30), "u2")
    layout[:] = h5py.VirtualSource("part.h5", "entry/data/data", shape=(5, 20, 30))
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    np.testing.assert_array_equal(np.stack([image.data for image in read(tmp_path / "all.h5")]), STACK)
    (tmp_path / "part.h5").unlink()
    found = read(tmp_path / "all.h5")
    assert all("part.h5" in image.invalid for image in found)
    assert found


def test_reading_can_begin_later(tmp_path: Path) -> None:
    assert [image.number for image in read(write_eiger(tmp_path, 3, 3), start=4)] == [4, 5, 6, 7, 8]


def _bomb(path: Path, codec: dict[str, Any], raw: bytes) -> Path:
    with h5py.File(path, "w") as file:
        data = file.create_dataset("entry/data/data", (1, 1000, 1000), "u2", chunks=(1, 1000, 1000), **codec)
        data.id.write_direct_chunk((0, 0, 0), raw)
    return path


@pytest.mark.parametrize(
    ("codec", "raw"),
    [
        (hdf5plugin.LZ4(), (2**40).to_bytes(8, "big") + bytes(100)),
        (hdf5plugin.Bitshuffle(), (2**40).to_bytes(8, "big") + bytes(100)),
        (hdf5plugin.Blosc(), b"\2\1\1\2" + (2**32 - 1).to_bytes(4, "little") + bytes(100)),
        (hdf5plugin.Zstd(), b"\x28\xb5\x2f\xfd\xe0" + (2**40).to_bytes(8, "little") + bytes(100)),
    ],
)
def test_a_chunk_that_declares_too_much_is_refused_before_it_is_unpacked(
    tmp_path: Path, codec: Any, raw: bytes
) -> None:
    (only,) = read(_bomb(tmp_path / "a.h5", dict(codec), raw))
    assert "a chunk declares" in only.invalid
    assert only.data.size == 0


def test_a_deflate_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    packer = zlib.compressobj(1)
    raw = b"".join(packer.compress(bytes(1 << 24)) for _ in range(20)) + packer.flush()  # 320 MiB of zeros
    assert len(raw) < 2 << 20
    (only,) = read(_bomb(tmp_path / "a.h5", {"compression": "gzip"}, raw))
    assert "a chunk declares" in only.invalid


def test_a_frame_that_no_detector_has_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("entry/data/data", (3, 2**20, 2**20), "u4", chunks=(1, 16, 16))
    with pytest.raises(FormatError, match="1048576 x 1048576"):
        read(tmp_path / "a.h5")


def test_a_damaged_chunk_is_one_lost_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "entry/data/data", data=STACK, chunks=(1, 20, 30), compression="gzip", fletcher32=True
        )
        at = data.id.get_chunk_info(2).byte_offset
    raw = bytearray(path.read_bytes())
    raw[at + 50] ^= 255
    path.write_bytes(raw)
    assert [(image.number, bool(image.invalid)) for image in read(path)] == [(i, i == 2) for i in range(5)]


def test_without_h5py_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_nexus(tmp_path / "a.h5", STACK)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(MissingExtraError, match=r"insitu\[xrd\]"):
        read(path)


def test_a_file_that_is_not_finished_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("entry/data/data", (6, 20, 30), "u2", chunks=(1, 20, 30))
        data[0] = STACK[0]
    with pytest.raises(Truncated, match="last frame"):
        check_structure(path, "a.h5", "")
    with h5py.File(path, "r+") as file:
        file["entry/data/data"][5] = STACK[0]
    check_structure(path, "a.h5", "")
    (tmp_path / "e").mkdir()
    master = write_eiger(tmp_path / "e", 2, 3)
    check_structure(master, "m", "")
    with h5py.File(master, "r+") as file:
        file["entry/instrument/detector/detectorSpecific/nimages"][()] = 9
    with pytest.raises(Truncated, match="6 of 9"):
        check_structure(master, "m", "")
    (tmp_path / "e/run_data_000002.h5").unlink()
    with pytest.raises(Truncated, match="run_data_000002"):
        check_structure(master, "m", "")
