"""Fronts and lines: where a moving edge is, and a line through points of which many are wrong."""

import numpy as np
import pytest

from insitu.maths.video.front import find_front, robust_line


def melt(position: float, seed: int = 0, noise: float = 5.0) -> np.ndarray:
    """A picture that is brighter to the right of a front."""
    x = np.arange(200.0)
    edge = 100.0 + 80.0 / (1.0 + np.exp(-(x - position) / 1.5))
    return np.tile(edge, (60, 1)) + np.random.default_rng(seed).normal(0, noise, (60, 200))


def spot(y: float, x: float, seed: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[:80, :120]
    noise = np.random.default_rng(seed).normal(0, 5, (80, 120))
    return 100 + 200 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 40.0) + noise


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_front_across_the_picture_is_in_the_middle_of_its_two_places(axis):
    before, now = melt(90.0, 1), melt(84.0, 2)
    if axis == "y":
        before, now = before.T, now.T
    found = find_front(before, now, smoothing=2.0, along=axis)
    place, other = (found.x, found.y) if axis == "x" else (found.y, found.x)
    assert place == pytest.approx(87.0, abs=0.5)
    assert other is None
    assert found.contrast > 20


def test_a_point_that_appears_is_found_within_its_uncertainty():
    off = []
    for seed in range(20):
        found = find_front(spot(-50, -50, seed), spot(33.4, 71.8, seed + 100), smoothing=2.0)
        off.append([(found.y - 33.4) / found.sigma, (found.x - 71.8) / found.sigma])
    assert np.sqrt(np.mean(np.square(off))) < 2.0


def test_a_flicker_of_the_whole_picture_is_no_front():
    before, now = melt(90.0, 1), melt(90.0, 2) + 40.0
    assert find_front(before, now, smoothing=2.0).contrast < 8.0


def test_no_change_at_all_is_refused():
    with pytest.raises(ValueError, match="nothing changed"):
        find_front(melt(90.0), melt(90.0), smoothing=2.0)
    with pytest.raises(ValueError, match="shapes"):
        find_front(melt(90.0), melt(90.0)[:-1], smoothing=2.0)


def test_a_line_is_found_through_forty_percent_of_nonsense_within_its_uncertainty():
    pulls = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        t = np.arange(100.0)
        x = 300.0 - 1.5 * t + random.normal(0, 2.0, 100)
        wrong = random.permutation(100)[:40]
        x[wrong] = random.uniform(0, 400, 40)
        line = robust_line(t, x)
        assert line.speed == pytest.approx(-1.5, abs=0.1)
        assert line.inside.sum() < 75
        pulls.append((line.speed + 1.5) / line.speed_sigma)
    assert 0.5 < np.sqrt(np.mean(np.square(pulls))) < 1.6


def test_neighbours_that_err_alike_widen_the_uncertainty():
    random, t = np.random.default_rng(0), np.arange(200.0)
    white = random.normal(0, 1, 220)
    alike = np.convolve(white, np.ones(15) / np.sqrt(15), "valid")[:200]
    assert robust_line(t, alike).speed_sigma > 2.0 * robust_line(t, white[:200]).speed_sigma


def test_too_few_points_are_refused():
    with pytest.raises(ValueError, match="five"):
        robust_line(np.arange(4.0), np.arange(4.0))
