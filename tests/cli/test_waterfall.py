"""The map of a picture: of frames, of images, and of the curves that were made of images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insitu.cli.waterfall import waterfall
from insitu.config import load
from insitu.errors import UsageError
from insitu.run import run
from insitu.store.runs import StoredRun
from insitu.types import Arrival, Axis

HERE = f"{__name__}:"


class Images:
    """Three images of 4 x 6 pixels; row k of the sum over y is 40 k + 4 x."""

    def __call__(self):
        for seq in range(3):
            data = np.tile(np.arange(6, dtype="u2") + 10 * seq, (4, 1))
            yield Arrival(source="x", data=data, dims=("y", "x"), unit="counts", time_ns=seq * 10**9, source_seq=seq)


class Summed:
    """Sum over y, on an axis; the second image cannot be summed."""

    def __call__(self, frame, refs):
        if frame.seq == 1:
            raise ValueError("not this one")
        axis = Axis(np.linspace(1.0, 2.0, 6), "deg")
        return replace(frame, data=frame.data.sum(axis=0, dtype="f8"), dims=("two_theta",), axes={"two_theta": axis})


@pytest.fixture
def images(tmp_path) -> Path:
    recipe = {
        "format": 1,
        "detectors": ["d"],
        "prepare": [{"use": f"{HERE}Summed"}],
        "features": [{"use": "prepared", "name": "pattern"}],
    }
    detector = {"format": 1, "source": "det", "dims": ["y", "x"], "reader": {"use": f"{HERE}Images"}}
    return Path(run(load(recipe, detectors={"d": detector}), data_root=tmp_path).path)


def test_images_are_drawn_as_the_curves_that_were_made_of_them(images):
    with StoredRun(images) as stored:
        drawn = waterfall(stored, stored, "det", [0, 1, 2])
    np.testing.assert_allclose(drawn.axis, np.linspace(1.0, 2.0, 6))
    np.testing.assert_array_equal(drawn.values[:, 0], 4 * np.arange(6))
    assert np.isnan(drawn.values[:, 1]).all(), "no curve was made of this image"
    np.testing.assert_array_equal(drawn.values[:, 2], 80 + 4 * np.arange(6))
    assert (drawn.label, drawn.unit) == ("two_theta (deg)", "counts")


def test_an_array_feature_that_is_not_there_is_refused_with_those_that_are(images):
    with StoredRun(images) as stored, pytest.raises(UsageError, match="pattern"):
        waterfall(stored, stored, "det", [0], key="patern")
