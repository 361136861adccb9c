"""Walls, flooding, neighbours and grain size numbers."""

import numpy as np
import pytest

from insitu.maths.video import grains


def bricks(noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Bricks of 20 x 30 px, each row moved by half a brick, with dark joints; and which brick is where."""
    y, x = np.mgrid[:120, :120]
    row = y // 20
    truth = row * 10 + (x + 15 * (row % 2)) // 30
    joint = (y % 20 == 0) | ((x + 15 * (row % 2)) % 30 == 0)
    image = np.where(joint, 60.0, 150.0) + np.random.default_rng(0).normal(0, noise, y.shape)
    return image.astype(np.float32), truth


@pytest.mark.parametrize("noise", [0.0, 10.0])
def test_bricks_are_found_with_their_joints_faint_or_clear(noise):
    image, truth = bricks(noise)
    labels, count = grains.by_lines(image, width=1.0, length=3.0, strength=4.5, share=0.25, least=10)
    assert count == np.unique(truth).size
    best = [np.bincount(truth[labels == k]).max() / (labels == k).sum() for k in range(1, count + 1)]
    assert min(best) > 0.85


def test_an_image_without_contrast_is_refused():
    with pytest.raises(ValueError, match="shows nothing"):
        grains.by_lines(np.full((40, 40), 7, np.uint8), width=1, length=3, strength=4.5, share=0.25, least=10)


def test_basins_shallower_than_the_height_become_one():
    relief = np.array([[0.0, 5.0, 3.0, 9.0, 0.0]])
    assert grains.watershed(relief, 1.0, 1)[1] == 3
    assert grains.watershed(relief, 3.0, 1)[1] == 2
    assert grains.watershed(relief, 20.0, 1)[1] == 1


def test_the_noise_of_pixels_is_measured_beside_edges():
    image, _ = bricks(5.0)
    assert grains.pixel_noise(image) == pytest.approx(5.0, rel=0.2)
    assert grains.pixel_noise(np.full((30, 30), 9, np.uint8)) == pytest.approx(12**-0.5)


def test_bricks_have_six_neighbours():
    _, truth = bricks()
    names, labels = np.unique(truth, return_inverse=True)
    sides = grains.neighbour_counts((labels.reshape(truth.shape) + 1).astype(np.int32), names.size)
    assert sides[(names // 10 == 2) & (names % 10 == 1)] == [6]


def test_neighbours_are_seen_across_a_wall_without_label():
    labels = np.zeros((10, 12), np.int32)
    labels[:, :5], labels[:, 8:] = 1, 2
    assert grains.neighbour_counts(labels, 2).tolist() == [0, 0]
    assert grains.neighbour_counts(labels, 2, across=3).tolist() == [1, 1]


def test_the_mean_intercept_of_a_chessboard_is_its_square():
    y, x = np.mgrid[:80, :80]
    board = ((y // 8) * 10 + x // 8 + 1).astype(np.int32)
    assert grains.mean_intercept(board) == pytest.approx(80 * 8 / 72)  # 9 walls on 80 px
    assert grains.mean_intercept(np.ones((5, 5), np.int32)) is None


@pytest.mark.parametrize(("number", "area_mm2"), [(1.0, 0.0645), (8.0, 0.000504), (12.0, 3.15e-5)])
def test_grain_size_numbers_are_those_of_the_standard(number, area_mm2):
    """ASTM E112, table of average grain area by grain size number."""
    assert grains.astm_number(area_mm2) == pytest.approx(number, abs=0.01)


def test_cells_that_touch_at_walls_are_parted_and_grow_back():
    mask = np.zeros((40, 60), bool)
    mask[5:35, 5:28], mask[5:35, 32:55] = True, True
    labels, count = grains.by_level(mask, least=10, most=None, reach=2.0)
    assert count == 2
    assert (labels == 1).sum() > 30 * 23
    assert labels[20, 30] in (1, 2)
    assert labels[0, 0] == 0
