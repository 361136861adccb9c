"""The reader of images: series, single files, what is being written, and headers that contradict the detector file."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from insitu.errors import ConfigError, FormatError, SourceError
from insitu.readers.images import Images
from insitu.testing import ReaderContract, items
from insitu.types import Arrival, Detector, Feature, Geometry, Invalid
from tests.detector_files import (
    PILATUS_HEADER,
    picture,
    write_cbf,
    write_edf,
    write_eiger,
    write_nexus,
    write_tiff,
)


def arrivals(reader: Images) -> list[Arrival]:
    found = items(reader)
    assert all(isinstance(item, Arrival) for item in found), found
    return [item for item in found if isinstance(item, Arrival)]


def fill(folder: Path, count: int = 3) -> Path:
    for i in range(count):
        write_tiff(folder / f"p_{i + 9}.tif", [picture(i)], description=PILATUS_HEADER)
    return folder


class TestImagesOfAFolder(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Images]:
        fill(tmp_path)
        (tmp_path / "p_20.tif").write_bytes(b"II*\0")
        return lambda: Images(str(tmp_path))

    @pytest.fixture
    def bad(self, tmp_path: Path) -> Callable[[], Images]:
        (tmp_path / "bad").mkdir()
        raw = write_tiff(tmp_path / "bad" / "a.tif", [picture()]).read_bytes()
        (tmp_path / "bad" / "a.tif").write_bytes(raw[:-1])
        return lambda: Images(str(tmp_path / "bad"))


class TestImagesOfAnEigerMaster(ReaderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[], Images]:
        master = write_eiger(tmp_path)
        return lambda: Images(str(master))

    @pytest.fixture
    def bad(self, tmp_path: Path) -> Callable[[], Images]:
        (tmp_path / "bad").mkdir()
        master = write_eiger(tmp_path / "bad", 2, 3, missing=1)
        return lambda: Images(str(master))


def test_the_real_pilatus_image_is_what_fabio_and_the_readme_say(data: Path) -> None:
    import fabio

    path = data / "xrd/frame2d_ceo2_pilatus1m/CeO2_Pilatus1M.tif"
    (image,) = arrivals(Images(str(path)))
    expected = fabio.open(str(path)).data
    assert (image.data.dtype, image.data.shape) == (np.int32, (1043, 981))  # shared data README
    assert (image.data.min(), image.data.max(), int((image.data < 0).sum())) == (-2, 621698, 73560)
    np.testing.assert_array_equal(image.data, expected)
    assert image.dims == ("y", "x")
    assert image.context["exposure_s"] == Feature(3.0, "s")
    assert image.context["distance"] == Feature(0.21143, "m")
    assert image.context["pixel_size"] == Feature(172.0, "um")
    assert (image.clock, image.duration_ns) == ("header", 3_000_000_000)
    assert image.time_ns == 1414168389_000000000  # TIFF's DateTime: 2014-10-24 16:33:09


def test_the_real_header_contradicts_the_poni_file_which_wins(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = data / "xrd/frame2d_ceo2_pilatus1m"
    detector = Detector(name="d", source="det", geometry=Geometry(poni=folder / "CeO2_Pilatus1M.poni"))
    reader = Images(str(folder / "CeO2_Pilatus1M.tif"), detector=detector)
    with caplog.at_level(logging.WARNING):
        (image,) = arrivals(reader)
    assert image.context["distance"].value == pytest.approx(0.208651380603)
    assert image.context["header_distance"] == Feature(0.21143, "m")
    assert image.context["wavelength"].value == pytest.approx(0.4066)
    assert len(reader.contradictions) == 1
    assert "0.21143 m" in reader.contradictions[0]
    assert "0.208651 m" in reader.contradictions[0]
    assert any("0.21143" in record.getMessage() for record in caplog.records)


def test_every_contradiction_is_told_once_for_a_series(tmp_path: Path) -> None:
    calibration = {
        "wavelength": Feature(0.9, "angstrom"),
        "distance": Feature(301, "mm"),
        "pixel_size": Feature(75, "um"),
    }
    reader = Images(str(fill(tmp_path)), detector=Detector(name="d", source="det", calibration=calibration))
    for image in arrivals(reader):
        assert image.context["wavelength"] == Feature(0.9, "angstrom")
        assert image.context["header_wavelength"] == Feature(1.0332, "angstrom")
        assert image.context["distance"] == Feature(0.301, "m")  # 0.3 m in the header: within half a per cent
        assert "header_distance" not in image.context
        assert image.context["pixel_size"] == Feature(75.0, "um")
        assert image.context["header_pixel_size"] == Feature(172.0, "um")
    assert sorted(text.split(" is ")[0] for text in reader.contradictions) == [
        "the header's pixel_size",
        "the header's wavelength",
    ]


def test_a_series_is_in_natural_order_and_numbered(tmp_path: Path) -> None:
    series = arrivals(Images(str(fill(tmp_path, 4))))
    assert [a.labels["file"] for a in series] == ["p_9.tif", "p_10.tif", "p_11.tif", "p_12.tif"]
    assert [a.source_seq for a in series] == [0, 1, 2, 3]
    for i, arrival in enumerate(series):
        np.testing.assert_array_equal(arrival.data, picture(i))


def test_frames_of_one_file_are_numbered_through_and_so_is_the_next_file(tmp_path: Path) -> None:
    write_edf(tmp_path / "a.edf", [picture(i) for i in range(3)])
    write_edf(tmp_path / "b.edf", [picture(i) for i in range(3, 5)])
    series = arrivals(Images(str(tmp_path)))
    assert [(a.source_seq, a.labels["file"], a.labels["frame"]) for a in series] == [
        (0, "a.edf", "0"),
        (1, "a.edf", "1"),
        (2, "a.edf", "2"),
        (3, "b.edf", "0"),
        (4, "b.edf", "1"),
    ]
    for i, arrival in enumerate(series):
        np.testing.assert_array_equal(arrival.data, picture(i))


def test_time_order_goes_by_the_headers(tmp_path: Path) -> None:
    for name, hour in (("a.cbf", 12), ("b.cbf", 10), ("c.cbf", 11)):
        write_cbf(tmp_path / name, picture(hour), PILATUS_HEADER, f"2020-01-01T{hour}:00:00.5")
    series = arrivals(Images(str(tmp_path), order="time"))
    assert [a.labels["file"] for a in series] == ["b.cbf", "c.cbf", "a.cbf"]
    assert series[0].time_ns == 1577872800_500000000


def test_a_broken_file_of_a_series_is_invalid_with_its_bytes_and_the_rest_goes_on(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "p_10.tif"
    path.write_bytes(path.read_bytes()[:-7])
    first, broken, last = items(Images(str(tmp_path)))
    assert isinstance(first, Arrival)
    assert isinstance(broken, Invalid)
    assert isinstance(last, Arrival)
    assert (broken.source_seq, broken.name, broken.payload) == (1, "p_10.tif", path.read_bytes())
    assert "p_10.tif" in broken.reason
    assert last.source_seq == 2


def test_a_broken_file_alone_is_an_error(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", [picture()])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FormatError, match=r"a\.tif"):
        items(Images(str(path)))


def test_other_files_and_masks_in_the_folder_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path)
    np.save(tmp_path / "mask.npy", np.zeros((20, 30), bool))
    (tmp_path / "a.poni").write_text("Distance: 1\n")
    (tmp_path / "notes.log").write_text("broke\n")
    (tmp_path / "odd.what").write_text("broke\n")
    reader = Images(str(tmp_path))
    assert len(arrivals(reader)) == 3
    assert reader.skipped == ["odd.what"]


def test_data_files_of_a_master_are_not_read_twice(tmp_path: Path) -> None:
    write_eiger(tmp_path, 2, 3)
    series = arrivals(Images(str(tmp_path)))
    assert [a.source_seq for a in series] == list(range(6))
    assert {a.labels["file"] for a in series} == {"run_master.h5"}


def test_files_that_other_stacks_link_to_are_not_read_twice(tmp_path: Path) -> None:
    import h5py

    write_nexus(tmp_path / "part.h5", np.stack([picture(i) for i in range(2)]))
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("part.h5", "/entry/data/data")
    assert {a.labels["file"] for a in arrivals(Images(str(tmp_path)))} == {"scan.nxs"}


def test_the_detectors_type_is_kept_where_it_holds_the_counts(tmp_path: Path) -> None:
    write_tiff(tmp_path / "a.tif", [picture(dtype=np.uint32)])
    detector = Detector(name="d", source="eiger", dtype="int32")
    (image,) = arrivals(Images(str(tmp_path / "a.tif"), detector=detector))
    assert (image.source, image.data.dtype) == ("eiger", np.int32)
    refused = items(Images(str(tmp_path / "a.tif"), detector=dataclasses.replace(detector, dtype="uint8")))
    assert isinstance(refused[0], Invalid)
    assert "do not fit uint8" in refused[0].reason


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no image here"):
        items(Images(str(tmp_path)))
    with pytest.raises(SourceError, match="no such file"):
        items(Images(str(tmp_path / "absent")))
    with pytest.raises(SourceError, match=r"no image came within 0\.2 s"):
        items(Images(str(tmp_path), follow=True, idle=0.2, settle=0.05))


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({"path": ""}, "path"),
        ({"pattern": "a/b"}, "pattern"),
        ({"idle": 0.0}, "idle"),
        ({"settle": -1.0}, "settle"),
        ({"count": 0}, "count"),
    ],
)
def test_impossible_keys_are_refused_by_name(keys: dict, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Images(**{"path": "x", **keys})
    assert caught.value.where == where


def test_a_plain_file_cannot_be_followed(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", [picture()])
    with pytest.raises(ConfigError, match="cannot be followed"):
        Images(str(path), follow=True)
