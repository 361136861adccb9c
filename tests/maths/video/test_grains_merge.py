"""Grains joined across weak walls: by the mean of a wall, in whatever order, with small ones taken in."""

import numpy as np

from insitu.maths.video.grains_merge import merged, walls


def stripes(*heights: float) -> tuple[np.ndarray, np.ndarray]:
    """Grains of 10 x 10 px side by side, and the strength of the walls between them."""
    labels = np.repeat(np.arange(1, len(heights) + 2), 10)[None].repeat(10, 0)
    strength = np.zeros(labels.shape)
    for k, height in enumerate(heights, 1):
        strength[:, 10 * k] = height
    return labels, strength


def test_walls_have_their_length_and_sum():
    pairs, sums, lengths = walls(stripes(3.0, 5.0)[0] - 1, stripes(3.0, 5.0)[1])
    assert pairs.tolist() == [[0, 1], [1, 2]]
    assert sums.tolist() == [30.0, 50.0]
    assert lengths.tolist() == [10.0, 10.0]


def test_walls_below_the_level_go_and_the_rest_is_numbered_in_order_of_reading():
    labels, count = merged(*stripes(9.0, 1.0, 9.0, 2.0, 3.0), level=4.0, least=1)
    assert count == 3
    assert labels[0].tolist() == [1] * 10 + [2] * 20 + [3] * 30


def test_a_wall_with_a_gap_stays_and_a_false_one_with_a_clear_spot_goes():
    labels, strength = stripes(8.0, 0.5)
    strength[4:6, 10], strength[4:6, 20] = 0.0, 9.0
    found, count = merged(labels, strength, level=4.0, least=1)
    assert count == 2
    assert (found[:, :10] == 1).all()
    assert (found[:, 10:] == 2).all()


def test_a_small_grain_is_joined_across_its_weakest_wall():
    labels, strength = stripes(9.0, 7.0)
    labels[:, 10:20][2:], strength[1:3, 10:20] = 1, 9.0
    found, count = merged(labels, strength, level=4.0, least=30)
    assert count == 2
    assert found[0, 15] == found[0, 25]


def test_the_weakest_wall_goes_first_whatever_the_names_are():
    rng = np.random.default_rng(0)
    labels = np.arange(1, 65).reshape(8, 8).repeat(6, 0).repeat(6, 1)
    strength = rng.uniform(0, 10, labels.shape)
    plain, count = merged(labels, strength, level=5.1, least=1)
    names = rng.permutation(64) + 1
    other, again = merged(names[labels - 1], strength, level=5.1, least=1)
    assert 1 < count == again < 64
    assert (plain == other).all()


def test_one_grain_stays_one():
    assert merged(np.ones((4, 4), int), np.zeros((4, 4)), 1.0, 100)[1] == 1
