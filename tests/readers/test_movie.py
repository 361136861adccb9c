"""The reader of microscope video: every container, times, colours, numbers in names, following, damage."""

import shutil
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers.movie import Movie
from insitu.readers.movie_numbers import numbers_in
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Invalid
from tests.movies import scene, write_movie

FRAMES = [scene(i) for i in range(6)]
COLOUR = [np.stack([f, f // 2, 255 - f], axis=-1) for f in FRAMES]


def frames(path: Path, **keys) -> list[Arrival]:
    found = items(Movie(str(path), **keys))
    assert all(isinstance(item, Arrival) for item in found), found
    return [item for item in found if isinstance(item, Arrival)]


def pngs(folder: Path, numbers=range(6)) -> Path:
    for i in numbers:
        cv2.imwrite(str(folder / f"f_{i:03}.png"), FRAMES[i % 6])
    return folder


class TestPictures(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path):
        pngs(tmp_path)
        (tmp_path / "f_003.png").write_bytes((tmp_path / "f_002.png").read_bytes()[:-20])
        return lambda: Movie(str(tmp_path), rate=24.0)

    @pytest.fixture
    def idle(self, tmp_path):
        return lambda: Movie(str(tmp_path), follow=True, idle=2.0, pattern="*.none")


class TestStack(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.stack(FRAMES), imagej=True, metadata={"finterval": 0.5})
        return lambda: Movie(str(tmp_path / "a.tif"))

    @pytest.fixture
    def bad(self, tmp_path):
        (tmp_path / "bad.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
        return lambda: Movie(str(tmp_path / "bad.tif"))


class TestContainer(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path):
        path = write_movie(tmp_path / "a.avi", FRAMES, codec="mjpeg", pixels="yuvj420p")
        return lambda: Movie(str(path))


def test_the_real_stack_is_read_pixel_by_pixel(data):
    path = data / "video" / "meltpool_lpbf_xray_dev.tif"
    found = frames(path)
    np.testing.assert_array_equal(np.stack([a.data for a in found]), tifffile.imread(path))
    assert {a.clock for a in found} == {"arrival"}  # it does not say when its frames were taken
    assert {a.labels["timing"] for a in found} == {"file"}


def test_the_real_folder_is_read_in_order_and_timed_by_the_rate_given(data):
    found = frames(data / "video" / "bulk_water_dev", rate=24.0)
    assert len(found) == 120
    assert [a.source_seq for a in found] == list(range(120))
    assert (found[24].time_ns - found[0].time_ns) / 1e9 == pytest.approx(1.0, abs=1e-6)
    assert found[7].data.dtype == np.uint8
    np.testing.assert_array_equal(found[7].data, cv2.imread(str(data / "video/bulk_water_dev/frame_007.png"), -1))


KINDS: list[dict] = [
    {},
    {"bigtiff": True},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"tile": (16, 16)},
    {"byteorder": ">"},
    {"rowsperstrip": 7},
]


@pytest.mark.parametrize(
    ("dtype", "keys"),
    [(d, k) for d in ("uint8", "uint16", "float32") for k in KINDS if d != "float32" or "predictor" not in k],
    ids=str,
)
def test_tiff_stacks_give_what_was_written(tmp_path, keys, dtype):
    pixels = (np.stack(FRAMES).astype(float) * (200 if dtype == "uint16" else 1)).astype(dtype)
    pixels = pixels.astype(pixels.dtype.newbyteorder(keys.get("byteorder", "=")))
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", **keys)
    found = frames(tmp_path / "a.tif")
    assert len(found) == 6
    assert found[0].data.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(np.stack([a.data for a in found]), pixels)


def test_lzw_is_read_without_more_packages(tmp_path):
    cv2.imwritemulti(str(tmp_path / "a.tif"), FRAMES, [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    np.testing.assert_array_equal(np.stack([a.data for a in frames(tmp_path / "a.tif")]), np.stack(FRAMES))


def test_an_imagej_stack_with_one_directory_gives_all_its_frames(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, FRAMES[0], description="ImageJ=1.53\nimages=6\nframes=6\nfinterval=2\n", metadata=None)
    # as ImageJ writes stacks beyond 4 GB: the frames lie one after the other, the directory tells of all of them
    from insitu.readers import movie_tiff

    with open(path, "rb") as file:
        (page,) = movie_tiff.pages(file, "a")
    head = path.read_bytes()
    assert page.strips[0][0] + FRAMES[0].size <= len(head)
    body = bytearray(head[: page.strips[0][0]]) + b"".join(f.tobytes() for f in FRAMES)
    at = head.index(np.uint32(page.strips[0][1]).tobytes(), 8)
    body[at : at + 4] = np.uint32(6 * FRAMES[0].size).tobytes()
    path.write_bytes(body)
    found = frames(path)
    np.testing.assert_array_equal(np.stack([a.data for a in found]), np.stack(FRAMES))
    assert (found[5].time_ns - found[0].time_ns) / 1e9 == pytest.approx(10.0)


def test_imagej_tells_interval_and_pixel_size(tmp_path):
    extra = {"finterval": 0.25, "unit": "um", "axes": "TYX"}
    tifffile.imwrite(tmp_path / "a.tif", np.stack(FRAMES), imagej=True, resolution=(2.85, 2.85), metadata=extra)
    found = frames(tmp_path / "a.tif")
    assert found[0].labels["timing"] == "ImageJ"
    assert np.diff([a.time_ns for a in found]) == pytest.approx(0.25e9)
    assert found[0].context["pixel_size"].value == pytest.approx(1 / 2.85, rel=1e-5)


def test_ome_tells_the_time_of_each_frame_its_exposure_and_names(tmp_path):
    delta = [0.0, 0.11, 0.19, 0.5, 0.61, 0.7]
    extra = {
        "axes": "TYX",
        "Name": "cell 7",
        "PhysicalSizeX": 350.0,
        "PhysicalSizeXUnit": "nm",
        "Plane": {"DeltaT": delta, "DeltaTUnit": ["s"] * 6, "ExposureTime": [50.0] * 6, "ExposureTimeUnit": ["ms"] * 6},
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack(FRAMES), ome=True, metadata=extra)
    found = frames(tmp_path / "a.ome.tif")
    assert [(a.time_ns - found[0].time_ns) / 1e9 for a in found] == pytest.approx(delta)
    assert {a.clock for a in found} == {"header"}
    assert found[0].duration_ns == 50_000_000
    assert found[0].labels["ome_name"] == "cell 7"
    assert found[0].context["pixel_size"].value == pytest.approx(0.35)


def test_channels_of_a_stack_are_named_and_one_can_be_chosen(tmp_path):
    pixels = np.stack([np.stack([f, 255 - f]) for f in FRAMES])
    extra = {"axes": "TCYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, ome=True, photometric="minisblack", metadata=extra)
    assert [a.labels["channel"] for a in frames(tmp_path / "a.ome.tif")[:3]] == ["DAPI", "GFP", "DAPI"]
    chosen = frames(tmp_path / "a.ome.tif", plane="GFP")
    np.testing.assert_array_equal(np.stack([a.data for a in chosen]), pixels[:, 1])
    assert [a.source_seq for a in chosen] == list(range(6))
    with pytest.raises(SourceError, match="'RFP'"):
        items(Movie(str(tmp_path / "a.ome.tif"), plane="RFP"))


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "off"),
    [
        ("a.mkv", "ffv1", "gray", 0.0),
        ("a.mkv", "ffv1", "gray16le", 0.0),
        ("a.mp4", "libx264", "yuv420p", 3.0),
        ("a.avi", "mjpeg", "yuvj420p", 3.0),
        ("a.mov", "png", "gray", 0.0),
    ],
)
def test_grey_movies_give_grey_frames_over_the_full_range(tmp_path, name, codec, pixels, off):
    found = frames(write_movie(tmp_path / name, FRAMES, codec=codec, pixels=pixels))
    assert len(found) == 6
    factor = 257 if pixels == "gray16le" else 1
    assert found[0].data.dtype == (np.uint16 if factor > 1 else np.uint8)
    for arrival, frame in zip(found, FRAMES, strict=True):
        assert arrival.dims == ("y", "x")
        assert np.abs(arrival.data.astype(float) / factor - frame).max() <= max(off * 6, 0.5 if factor > 1 else 0)
        assert np.abs(arrival.data.astype(float) / factor - frame).mean() <= max(off, 0.5 if factor > 1 else 0)


def test_frames_of_a_movie_come_at_their_own_times(tmp_path):
    times = [0, 40, 80, 200, 215, 600]
    found = frames(write_movie(tmp_path / "a.mp4", FRAMES, codec="libx264", pixels="yuv420p", times_ms=times))
    assert [(a.time_ns - found[0].time_ns) / 1e6 for a in found] == pytest.approx(times, abs=1.0)
    assert {a.labels["timing"] for a in found} == {"pts"}


def test_colours_are_kept_unless_all_channels_say_the_same(tmp_path):
    for i, frame in enumerate(COLOUR):
        cv2.imwrite(str(tmp_path / f"{i}.png"), frame[..., ::-1])
    found = frames(tmp_path)
    assert found[0].dims == ("y", "x", "channel")
    np.testing.assert_array_equal(found[2].data, COLOUR[2])
    np.testing.assert_array_equal(frames(tmp_path, channel="green")[2].data, COLOUR[2][..., 1])
    luminance = np.rint(COLOUR[2] @ [0.299, 0.587, 0.114])
    np.testing.assert_array_equal(frames(tmp_path, channel="luminance")[2].data, luminance)
    grey = tmp_path / "grey"
    grey.mkdir()
    for i, frame in enumerate(FRAMES):
        cv2.imwrite(str(grey / f"{i}.png"), np.dstack([frame] * 3 + [np.full_like(frame, 255)]))
    assert frames(grey)[0].dims == ("y", "x")
    np.testing.assert_array_equal(frames(grey)[4].data, FRAMES[4])


def test_a_grey_frame_of_a_coloured_video_keeps_its_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), COLOUR[0][..., ::-1])
    cv2.imwrite(str(tmp_path / "1.png"), FRAMES[1])
    assert [a.data.shape for a in frames(tmp_path)] == [(48, 64, 3)] * 2


def test_a_missing_picture_leaves_a_gap_in_number_and_time(tmp_path):
    found = frames(pngs(tmp_path, [0, 1, 2, 5, 6, 7, 8]), rate=10.0)
    assert [a.source_seq for a in found] == [0, 1, 2, 5, 6, 7, 8]
    assert (found[3].time_ns - found[2].time_ns) / 1e9 == pytest.approx(0.3)
    assert [a.source_seq for a in frames(tmp_path, numbers="count")] == list(range(7))


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["a_0.png", "a_10.png", "a_20.png", "a_40.png"], [0, 1, 2, 4]),
        (["a_300K.png", "a_310K.png", "a_335K.png", "a_342K.png"], None),
        (["s1_f1.png", "s2_f2.png", "s3_f3.png"], None),
        (["120001.png", "120003.png", "120010.png"], None),
        (["one.png"], None),
    ],
)
def test_names_number_frames_only_where_they_do(names, numbers):
    assert numbers_in([Path(n) for n in names]) == (numbers or [None] * len(names))


def test_a_folder_is_followed_and_a_picture_is_read_when_it_is_whole(tmp_path):
    whole = cv2.imencode(".png", FRAMES[0])[1].tobytes()

    def write():
        time.sleep(0.2)
        with (tmp_path / "1.png").open("wb") as file:
            file.write(whole[:400])
            file.flush()
            time.sleep(0.5)
            file.write(whole[400:])
        shutil.copy(tmp_path / "1.png", tmp_path / "2.png")
        (tmp_path / "END").touch()

    thread = threading.Thread(target=write)
    thread.start()
    found = items(Movie(str(tmp_path), follow=True, idle=60.0, settle=0.1, sentinel="END"))
    thread.join()
    assert [getattr(a, "data", np.empty(0)).shape for a in found] == [(48, 64)] * 2


def test_a_broken_picture_of_a_series_is_kept_and_counted_and_alone_an_error(tmp_path):
    pngs(tmp_path)
    path = tmp_path / "f_002.png"
    path.write_bytes(path.read_bytes()[:-30])
    found = items(Movie(str(tmp_path)))
    assert [type(item) for item in found] == [Arrival, Arrival, Invalid, Arrival, Arrival, Arrival]
    assert found[2].source_seq == 2
    with pytest.raises(FormatError, match="ends"):
        items(Movie(str(path)))


def test_a_picture_with_a_wrong_checksum_is_refused(tmp_path):
    data = bytearray((pngs(tmp_path) / "f_002.png").read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "f_002.png").write_bytes(data)
    with pytest.raises(FormatError, match="checksum"):
        items(Movie(str(tmp_path / "f_002.png")))


def test_a_cut_movie_says_how_much_is_missing(tmp_path):
    path = write_movie(tmp_path / "a.avi", FRAMES * 10, codec="mjpeg", pixels="yuvj420p")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = items(Movie(str(path)))
    assert isinstance(found[-1], Invalid)
    assert 10 < len(found) < 40


def test_other_files_are_passed_over_and_nothing_at_all_is_an_error(tmp_path):
    (tmp_path / "notes.md").write_text("hello")
    (tmp_path / "odd").write_text("hello")
    with pytest.raises(SourceError, match="no picture"):
        items(Movie(str(tmp_path)))
    pngs(tmp_path)
    reader = Movie(str(tmp_path))
    assert len(items(reader)) == 6
    assert reader.skipped == ["odd"]


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"path": ""}, "path"),
        ({"pattern": "a/b"}, "pattern"),
        ({"rate": 0.0}, "rate"),
        ({"idle": -1.0}, "idle"),
        ({"settle": -1.0}, "settle"),
        ({"count": 0}, "count"),
    ],
)
def test_impossible_keys_are_refused_by_name(keys, where):
    with pytest.raises(ConfigError) as caught:
        Movie(**{"path": "x", **keys})
    assert caught.value.where == where
