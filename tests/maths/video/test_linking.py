"""Linking: the cheapest pairing of all, tracks that come back, and the reference's tracks on real positions."""

import itertools

import numpy as np
import pytest

from insitu.maths.video.linking import Linker, assign


def cheapest(points: np.ndarray, places: np.ndarray, reach: float) -> float:
    """The least cost of pairing, by trying everything; a place that stays alone costs reach^2."""
    best = len(places) * reach**2
    for k in range(1, min(len(points), len(places)) + 1):
        for rows in itertools.combinations(range(len(points)), k):
            for columns in itertools.permutations(range(len(places)), k):
                square = np.sum((points[list(rows)] - places[list(columns)]) ** 2, axis=1)
                if (square <= reach**2).all():
                    best = min(best, float(square.sum()) + (len(places) - k) * reach**2)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_no_pairing_is_cheaper_than_the_one_chosen(seed):
    random = np.random.default_rng(seed)
    points, places = random.uniform(0, 8, (random.integers(1, 6), 2)), random.uniform(0, 8, (random.integers(1, 6), 2))
    partner = assign(points, places, 4.0)
    linked = partner >= 0
    assert len(set(partner[linked])) == linked.sum()
    cost = np.sum((points[linked] - places[partner[linked]]) ** 2)
    cost += (len(places) - linked.sum()) * 16.0
    assert cost == pytest.approx(cheapest(points, places, 4.0))


def test_one_near_pair_is_better_than_two_far_ones():
    points, places = np.array([[0.0, 0.0], [0.0, 3.9]]), np.array([[0.0, 3.8], [0.0, 7.8]])
    assert assign(points, places, 4.0).tolist() == [-1, 0]


def test_the_tracks_of_real_positions_are_those_of_the_reference(data):
    table = np.genfromtxt(
        data / "video" / "bulk_water_dev_trackpy07_tracks.csv.gz", delimiter=",", names=True, encoding="utf-8"
    )
    linker, pairs = Linker(reach=5.0, memory=3), set()
    for frame in range(30):
        part = table[table["frame"] == frame]
        tracks = linker.link(frame, np.column_stack([part["y"], part["x"]])).track
        pairs |= set(zip(part["particle"].astype(int), tracks.tolist(), strict=True))
    theirs, ours = zip(*pairs, strict=True)
    assert len(pairs) == len(set(theirs)) == len(set(ours))  # one to one: every track is the same track


def test_a_track_that_is_missing_comes_back_within_its_memory_and_not_later():
    linker = Linker(reach=3.0, memory=2)
    there = np.array([[5.0, 5.0]])
    nothing = np.empty((0, 2))
    assert linker.link(0, there).track[0] == 0
    linker.link(1, nothing)
    linker.link(2, nothing)
    back = linker.link(3, there + 1.0)
    assert (back.track[0], back.gap[0]) == (0, 3)
    assert back.step[0].tolist() == [1.0, 1.0]
    for tick in (4, 5, 6):
        linker.link(tick, nothing)
    late = linker.link(7, there)
    assert late.born[0]
    assert late.lost.tolist() == [0]


def test_a_jump_of_the_whole_picture_is_followed_when_it_is_told():
    random = np.random.default_rng(0)
    points = random.uniform(0, 100, (40, 2))
    linker = Linker(reach=2.0, memory=0)
    first = linker.link(0, points).track
    after = linker.link(1, points + np.array([7.0, -30.0]), (7.0, -30.0))
    np.testing.assert_array_equal(after.track, first)
    np.testing.assert_allclose(after.step, np.tile([7.0, -30.0], (40, 1)))


def test_a_reach_far_too_long_still_ends():
    random = np.random.default_rng(0)
    points = random.uniform(0, 50, (600, 2))
    partner = assign(points + 0.01, points, 20.0)
    assert (partner == np.arange(600)).mean() > 0.99
