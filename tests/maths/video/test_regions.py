"""Regions: those of scikit-image, number by number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure

from insitu.maths.video.regions import brightness, nearest_distances, regions_of

PROPERTIES = ("label", "area", "centroid", "eccentricity")


def same_as_theirs(mask: np.ndarray) -> None:
    ours = regions_of(mask)
    theirs = measure.label(mask, connectivity=2)
    assert (ours.labels == theirs).all()
    table = measure.regionprops_table(theirs, properties=PROPERTIES)
    assert ours.area.tolist() == table["area"].astype(int).tolist()
    assert ours.y == pytest.approx(table["centroid-0"], abs=1e-9)
    assert ours.x == pytest.approx(table["centroid-1"], abs=1e-9)
    assert ours.eccentricity == pytest.approx(table["eccentricity"], abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 1.0), shape=st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_regions_are_those_of_scikit_image(seed, share, shape):
    same_as_theirs(np.random.default_rng(seed).random(shape) < share)


def test_regions_of_real_precipitates_are_those_of_scikit_image(data):
    from skimage import io

    for path in sorted((data / "video" / "superalloy_dev").glob("*_mask.png")):
        same_as_theirs(io.imread(path) > 0)


def test_a_region_at_the_edge_is_told():
    mask = np.zeros((10, 10), bool)
    mask[0, 3], mask[5, 5], mask[7:9, 9] = True, True, True
    assert regions_of(mask).border.tolist() == [True, False, True]


def test_distances_to_the_nearest():
    assert nearest_distances(np.array([0.0, 0.0, 10.0]), np.array([0.0, 3.0, 0.0])).tolist() == [3.0, 3.0, 10.0]
    assert nearest_distances(np.array([1.0]), np.array([1.0])).size == 0


def test_brightness_does_not_depend_on_where_the_array_lies():
    values = np.random.default_rng(0).random((33, 35))
    mask = values > 0.3
    found = {brightness(np.frombuffer(b" " * k + values.tobytes(), np.float64, offset=k).reshape(33, 35).copy(), mask)
             for k in (0, 8)}  # fmt: skip
    assert len(found) == 1
    assert sum(found.pop()) == pytest.approx(values.sum())
