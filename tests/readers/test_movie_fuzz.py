"""Damaged video of every format: frames or errors in words, never a crash, and memory near what the file holds."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from insitu.errors import InsituError
from insitu.readers.movie import Movie
from insitu.testing import check_arrival, items
from insitu.types import Arrival
from tests.movies import scene, write_movie

FRAMES = [scene(i) for i in range(3)]
MOST = 64 * 1024 * 1024
WRITERS = {
    "a.png": lambda p: cv2.imwrite(str(p), FRAMES[0]),
    "a.jpg": lambda p: cv2.imwrite(str(p), FRAMES[0]),
    "a.bmp": lambda p: cv2.imwrite(str(p), FRAMES[0]),
    "plain.tif": lambda p: tifffile.imwrite(p, np.stack(FRAMES), photometric="minisblack"),
    "zlib.tif": lambda p: tifffile.imwrite(p, np.stack(FRAMES), photometric="minisblack", compression="zlib"),
    "lzw.tif": lambda p: cv2.imwritemulti(str(p), FRAMES, [cv2.IMWRITE_TIFF_COMPRESSION, 5]),
    "a.ome.tif": lambda p: tifffile.imwrite(p, np.stack(FRAMES), ome=True),
    "ij.tif": lambda p: tifffile.imwrite(p, np.stack(FRAMES), imagej=True, metadata={"finterval": 1.0}),
    "a.avi": lambda p: write_movie(p, FRAMES, codec="mjpeg", pixels="yuvj420p"),
    "a.mkv": lambda p: write_movie(p, FRAMES),
    "a.mp4": lambda p: write_movie(p, FRAMES, codec="libx264", pixels="yuv420p"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for name, write in WRITERS.items():
        write(folder / name)
    return {name: (folder / name).read_bytes() for name in WRITERS}


def read(path: Path) -> int:
    """Frames that come out; every one keeps what the types promise."""
    try:
        found = items(Movie(str(path)), 50)
    except InsituError:
        return 0
    for item in found:
        if isinstance(item, Arrival):
            check_arrival(item)
    return sum(isinstance(item, Arrival) for item in found)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_no_damage_makes_it_crash_or_take_memory(good, tmp_path, name, choice):
    data = bytearray(good[name])
    kind = choice.draw(st.sampled_from(["cut", "flip", "extreme"]))
    at = choice.draw(st.integers(0, len(data) - 1))
    if kind == "cut":
        data = data[:at]
    elif kind == "flip":
        data[at] ^= choice.draw(st.integers(1, 255))
    else:
        data[at : at + 4] = choice.draw(st.sampled_from([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0"]))
    path = tmp_path / name
    path.write_bytes(data)
    tracemalloc.start()
    try:
        read(path)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()


def _png(width: int, height: int, body: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_picture_that_declares_more_than_its_data_can_hold_is_refused(tmp_path):
    (tmp_path / "bomb.png").write_bytes(_png(30000, 15000, zlib.compress(b"\0" * 1000)))
    with pytest.raises(InsituError, match="declares"):
        items(Movie(str(tmp_path / "bomb.png")))
    (tmp_path / "huge.png").write_bytes(_png(2**31 - 1, 2**31 - 1, zlib.compress(b"\0" * 1000)))
    with pytest.raises(InsituError, match="declares"):
        items(Movie(str(tmp_path / "huge.png")))


def test_a_stack_that_lies_about_its_size_is_refused(good, tmp_path):
    for name in ("plain.tif", "zlib.tif"):
        data = bytearray(good[name])
        (first,) = struct.unpack_from("<I", data, 4)
        entries = range(first + 2, first + 2 + 12 * struct.unpack_from("<H", data, first)[0], 12)
        (rows,) = (at for at in entries if struct.unpack_from("<H", data, at) == (257,))
        data[rows + 2 : rows + 12] = struct.pack("<HII", 4, 1, 4_000_000)
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InsituError, match="declares"):
            items(Movie(str(tmp_path / name)))


def test_pages_that_run_in_a_circle_end_in_words(good, tmp_path):
    data = bytearray(good["plain.tif"])
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    (tmp_path / "a.tif").write_bytes(data)
    found = items(Movie(str(tmp_path / "a.tif")))
    assert len(found) == 2
    assert "circle" in getattr(found[1], "reason", "")
