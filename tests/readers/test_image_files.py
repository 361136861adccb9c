"""Image files, format by format: the pixels that fabio reads, headers in our units, damaged ones refused in words."""

import gzip
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import FormatError, MissingExtraError
from insitu.readers.image_files import Image, images
from insitu.readers.pattern import Truncated
from insitu.types import Feature
from tests.detector_files import (
    PILATUS_HEADER,
    picture,
    write_cbf,
    write_edf,
    write_ge,
    write_img,
    write_mar345,
    write_marccd,
    write_tiff,
)


def read(path: Path) -> list[Image]:
    return list(images(path, path.name))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_tiff_pages_come_out_as_they_were_written(tmp_path: Path, dtype: str, order: str, big: bool) -> None:
    pages = [picture(i, dtype=dtype) for i in range(3)]
    found = read(write_tiff(tmp_path / "a.tif", pages, order=order, big=big))
    assert len(found) == 3
    for image, page in zip(found, pages, strict=True):
        assert image.data.dtype == np.dtype(dtype)
        assert image.data.dtype.isnative
        assert image.data.flags.c_contiguous
        np.testing.assert_array_equal(image.data, page)


def test_a_pilatus_description_is_understood(tmp_path: Path) -> None:
    (image,) = read(write_tiff(tmp_path / "a.tif", [picture()], description=PILATUS_HEADER, date="2020:05:01 12:00:00"))
    context = image.head.context
    assert context["wavelength"] == Feature(1.0332, "angstrom")
    assert context["distance"] == Feature(0.3, "m")
    assert context["exposure_s"] == Feature(0.5, "s")
    assert context["pixel_size"] == Feature(172.0, "um")
    assert context["start_angle"] == Feature(12.5, "deg")
    assert image.head.time_ns == 1588334400_000000000
    assert image.head.duration_ns == 500_000_000


def test_packed_tiff_is_unpacked_by_fabio(tmp_path: Path) -> None:
    page = picture(dtype=np.uint16)
    path = write_tiff(tmp_path / "a.tif", [page], compression=8, packed=[zlib.compress(page.tobytes())])
    np.testing.assert_array_equal(read(path)[0].data, page)


def test_colour_pictures_are_refused(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", [picture(dtype=np.uint8)], extra={277: (3, 3)})
    with pytest.raises(FormatError, match="3 samples"):
        read(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_edf_blocks_agree_with_fabio(tmp_path: Path, order: str) -> None:
    import fabio

    keys = {
        "WaveLength": "7.0e-11",
        "SampleDistance": "0.35",
        "PSize_1": "5.5e-05",
        "PSize_2": "5.5e-05",
        "acq_expo_time": "0.25",
        "time_of_day": "1403703445.25",
        "motor_mne": "mono samx",
        "motor_pos": "12.5 -3",
    }
    path = write_edf(tmp_path / "a.edf", [picture(i) for i in range(3)], keys, order)
    found = read(path)
    with fabio.open(str(path)) as judge:
        assert judge.nframes == len(found) == 3
        for i, image in enumerate(found):
            np.testing.assert_array_equal(image.data, judge.getframe(i).data)
    head = found[1].head
    assert head.context["wavelength"] == Feature(0.7, "angstrom")
    assert head.context["distance"] == Feature(0.35, "m")
    assert head.context["pixel_size"] == Feature(55.0, "um")
    assert head.context["mono"] == Feature(12.5, "")
    assert head.context["samx"] == Feature(-3.0, "")
    assert (head.time_ns, head.duration_ns) == (1403703445_250000000, 250_000_000)


def test_cbf_agrees_with_fabio_and_its_header_is_read(tmp_path: Path) -> None:
    path = write_cbf(tmp_path / "a.cbf", picture() - 30, PILATUS_HEADER, "2014-10-24T16:33:09.123")
    (image,) = read(path)
    np.testing.assert_array_equal(image.data, picture() - 30)
    assert image.data.dtype == np.int32
    assert image.head.context["wavelength"] == Feature(1.0332, "angstrom")
    assert image.head.time_ns == 1414168389_123000000


def test_a_flipped_bit_in_cbf_pixels_is_seen_by_the_digest(tmp_path: Path) -> None:
    path = write_cbf(tmp_path / "a.cbf", picture())
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"\x0c\x1a\x04\xd5") + 100] ^= 1
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="digest"):
        read(path)


def test_adsc_images_agree_with_fabio(tmp_path: Path) -> None:
    import fabio

    keys = {"TIME": "1.5", "DISTANCE": "250.0", "WAVELENGTH": "0.9791", "PIXEL_SIZE": "0.0512"}
    path = write_img(tmp_path / "a.img", picture(), {**keys, "DATE": "Fri Mar  1 10:20:30 2002"})
    (image,) = read(path)
    with fabio.open(str(path)) as judge:
        np.testing.assert_array_equal(image.data, judge.data)
    assert image.head.context["distance"] == Feature(0.25, "m")
    assert image.head.context["wavelength"] == Feature(0.9791, "angstrom")
    assert image.head.context["pixel_size"] == Feature(51.2, "um")
    assert image.head.context["exposure_s"] == Feature(1.5, "s")
    assert image.head.time_ns == 1014978030_000000000


@pytest.mark.parametrize("adept", [True, False])
def test_ge_frames_agree_with_fabio(tmp_path: Path, adept: bool) -> None:
    import fabio

    shape = (20, 30) if adept else (2048, 2048)
    frames = [picture(i, shape, np.uint16) for i in range(2)]
    path = write_ge(tmp_path / "a.ge3", frames, adept=adept)
    found = read(path)
    assert len(found) == 2
    with fabio.open(str(path)) as judge:
        for i, image in enumerate(found):
            np.testing.assert_array_equal(image.data, judge.getframe(i).data)


def test_marccd_pixels_and_header(tmp_path: Path) -> None:
    (image,) = read(write_marccd(tmp_path / "a.mccd", picture(dtype=np.uint16)))
    np.testing.assert_array_equal(image.data, picture(dtype=np.uint16))
    assert image.head.context["distance"] == Feature(0.25, "m")
    assert image.head.context["wavelength"] == Feature(0.979, "angstrom")
    assert image.head.context["pixel_size"] == Feature(80.0, "um")
    assert image.head.duration_ns == 2_000_000_000
    assert image.head.time_ns == 1396355430_000000000  # 2014-04-01 12:30:30


def test_mar345_pixels_and_header(tmp_path: Path) -> None:
    frame = picture(0, (1200, 1200), np.uint32)
    path = write_mar345(tmp_path / "a.mar1200", frame)
    (image,) = read(path)
    np.testing.assert_array_equal(image.data, frame)
    assert image.head.context["wavelength"] == Feature(0.7, "angstrom")
    assert image.head.context["distance"] == Feature(0.2, "m")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(Truncated, match="ends before the image"):
        read(path)


def test_arrays_of_numpy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([picture(0), picture(1)]))
    assert [image.data.tolist() for image in read(tmp_path / "a.npy")] == [picture(0).tolist(), picture(1).tolist()]
    np.save(tmp_path / "f.npy", np.asfortranarray(picture(2)))
    np.testing.assert_array_equal(read(tmp_path / "f.npy")[0].data, picture(2))


def test_compressed_files_are_unpacked_and_damaged_ones_refused(tmp_path: Path) -> None:
    raw = write_edf(tmp_path / "a.edf", [picture()]).read_bytes()
    path = tmp_path / "b.edf.gz"
    path.write_bytes(gzip.compress(raw))
    np.testing.assert_array_equal(read(path)[0].data, picture())
    path.write_bytes(gzip.compress(raw)[:-20])
    with pytest.raises(FormatError, match=r"b\.edf\.gz"):
        read(path)


def until_refused(path: Path) -> tuple[list[bytes], bool]:
    """The pixels of each frame up to an error, and whether there was one."""
    given = []
    try:
        for image in images(path, path.name):
            given.append(image.data.tobytes())
    except FormatError:
        return given, True
    return given, False


WRITERS = {
    "a.tif": lambda p: write_tiff(p, [picture(0), picture(1)]),
    "a.edf": lambda p: write_edf(p, [picture(0), picture(1)]),
    "a.img": lambda p: write_img(p, picture()),
    "a.ge1": lambda p: write_ge(p, [picture(0), picture(1)]),
    "a.cbf": lambda p: write_cbf(p, picture()),
    "a.mccd": lambda p: write_marccd(p, picture()),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_ends_too_early_never_gives_other_pixels(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name)
    whole = [image.data.tobytes() for image in read(path)]
    raw = path.read_bytes()
    pixels = len(raw)
    if name == "a.cbf":  # the text behind the pixels says nothing
        size = int(raw.split(b"X-Binary-Size: ")[1].split()[0])
        pixels = raw.index(b"\x0c\x1a\x04\xd5") + 4 + size
    for cut in sorted({0, 1, 8, 100, 511, 513, 600, 5000, pixels // 2 - 3, pixels - 700, pixels - 1}):
        if 0 <= cut < pixels:
            path.write_bytes(raw[:cut])
            given, refused = until_refused(path)
            assert refused
            assert given == whole[: len(given)]
            assert len(given) < len(whole)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.edf", b"Dim_1 = 30 ;", b"Dim_1 = 20 ;"),
        ("a.edf", b"Dim_1 = 30 ;", b"Dim_1 =9e9 ;"),
        ("a.edf", b"DataType = SignedInteger", b"DataType = SignedBanana "),
        ("a.img", b"SIZE1=30", b"SIZE1=10"),
        ("a.img", b"SIZE1=30", b"SIZE1=99"),
        ("a.cbf", b"X-Binary-Size-Fastest-Dimension: 30", b"X-Binary-Size-Fastest-Dimension: 20"),
        ("a.tif", struct.pack("<HHII", 256, 4, 1, 30), struct.pack("<HHII", 256, 4, 1, 29)),
        ("a.tif", struct.pack("<HHII", 257, 4, 1, 20), struct.pack("<HHII", 257, 4, 1, 2**31)),
        ("a.ge1", struct.pack("<HHH", 2, 20, 30), struct.pack("<HHH", 1, 20, 30)),
    ],
)
def test_a_header_that_lies_about_its_size_is_refused(tmp_path: Path, name: str, old: bytes, new: bytes) -> None:
    path = WRITERS[name](tmp_path / name)
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    with pytest.raises(FormatError) as caught:
        read(path)
    assert name in caught.value.where


def test_pages_in_a_circle_end(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", [picture()])
    raw = bytearray(path.read_bytes())
    entries = struct.unpack_from("<H", raw, 8)[0]
    raw[10 + 12 * entries : 14 + 12 * entries] = struct.pack("<I", 8)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="circle"):
        read(path)


def test_what_is_no_image_says_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_text("not an image at all, only words")
    with pytest.raises(FormatError, match="no image that can be read"):
        read(path)


def test_without_fabio_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_cbf(tmp_path / "a.cbf", picture())
    monkeypatch.setitem(sys.modules, "fabio", None)
    with pytest.raises(MissingExtraError, match=r"insitu\[xrd\]"):
        read(path)
    plain = write_tiff(tmp_path / "a.tif", [picture()])
    assert len(read(plain)) == 1  # what lies there plainly needs nobody
