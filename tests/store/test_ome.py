"""A stored video names its axes and its pixels as OME-NGFF does, so that viewers of microscopy open it."""

from pathlib import Path

import numpy as np
import zarr

from insitu.run import run
from insitu.types import Arrival
from tests.run import hostile
from tests.settings import setup


def attributes(tmp_path: Path, calibration: dict[str, str], dims: tuple[str, ...], shape: tuple[int, ...]) -> dict:
    def reader():
        for k in range(2):
            yield Arrival(source="cam", data=np.full(shape, k, "u1"), dims=dims, unit="counts", time_ns=k, source_seq=k)

    hostile.told.clear()
    hostile.told.update(reader=reader)
    bench = {"format": 1, "source": "cam", "reader": {"use": "tests.run.hostile:Reader"}, "calibration": calibration}
    summary = run(setup({"features": [], "models": [], "rules": []}, detectors={"bench": bench}), data_root=tmp_path)
    return dict(zarr.open_group(Path(summary.path) / "raw.zarr/cam/0", mode="r").attrs)


def test_pictures_have_axes_and_the_size_of_a_pixel(tmp_path):
    (image,) = attributes(tmp_path, {"pixel_size": "0.25 um"}, ("y", "x"), (4, 5))["ome"]["multiscales"]
    assert [a["name"] for a in image["axes"]] == ["frame", "y", "x"]
    assert [a.get("unit") for a in image["axes"]] == [None, "micrometer", "micrometer"]
    (dataset,) = image["datasets"]
    assert (dataset["path"], dataset["coordinateTransformations"][0]["scale"]) == ("frames", [1.0, 0.25, 0.25])


def test_without_a_calibration_a_pixel_is_one_and_colours_are_channels(tmp_path):
    (image,) = attributes(tmp_path, {}, ("channel", "y", "x"), (3, 4, 5))["ome"]["multiscales"]
    assert [a["type"] for a in image["axes"]] == ["time", "channel", "space", "space"]
    assert image["datasets"][0]["coordinateTransformations"][0]["scale"] == [1.0, 1.0, 1.0, 1.0]


def test_what_is_no_picture_has_no_such_names(tmp_path):
    assert "ome" not in attributes(tmp_path, {}, ("channel", "sample"), (2, 9))
