"""Which grain is which, and where the picture has moved."""

import numpy as np
import pytest

from insitu.maths.video.grains_links import common_shift, link, moved


def cells(size: int = 20) -> np.ndarray:
    y, x = np.mgrid[:80, :80]
    row = y // size
    return (row * 10 + (x + row * 7) // size + 1).astype(np.int32)


def ordered(labels: np.ndarray) -> np.ndarray:
    return (np.unique(labels, return_inverse=True)[1].reshape(labels.shape) + 1).astype(np.int32)


def test_a_grain_that_grows_at_another_ones_cost_stays_itself():
    before = np.repeat([[1] * 10 + [2] * 10], 10, 0)
    after = np.repeat([[2] * 13 + [1] * 7], 10, 0)
    assert link(before, after).follower.tolist() == [2, 1]


def test_a_wall_that_breaks_is_a_merger_and_a_new_one_a_split():
    two, one = np.repeat([[1] * 12 + [2] * 8], 10, 0), np.ones((10, 20), int)
    merged = link(two, one)
    assert (merged.follower.tolist(), merged.merged.tolist()) == ([1, 0], [0, 1])
    split = link(one, two)
    assert (split.follower.tolist(), split.split.tolist()) == ([1], [0, 1])


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-11, 12)])
def test_a_movement_of_all_is_found(shift):
    labels = ordered(cells())
    assert common_shift(labels, moved(labels, shift)) == shift


def test_pictures_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="cannot be laid over"):
        link(np.ones((3, 3), int), np.ones((3, 4), int))
