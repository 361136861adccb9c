"""Mean squared displacement: known walks, drift taken out exactly, short tracks left out, bounded memory."""

import numpy as np
import pytest

from insitu.maths.video.msd import Displacements, fit_power_law


def walk(seed: int, *, frames=120, tracks=200, diffusion=0.5, drift=(0.0, 0.0), error=0.0) -> Displacements:
    random = np.random.default_rng(seed)
    sums = Displacements(max_lag=20, min_length=10, memory=1)
    places = random.uniform(0, 100, (tracks, 2))
    for tick in range(frames):
        seen = places + random.normal(0, error, places.shape)
        sums.add(tick, np.arange(tracks), seen, np.ones(tracks, bool))
        places = places + random.normal(0, np.sqrt(2 * diffusion), places.shape) + drift
    return sums


def test_a_random_walk_has_the_power_law_of_diffusion():
    law = walk(0).power_law(10)
    assert law is not None
    assert law.exponent == pytest.approx(1.0, abs=0.03)
    assert law.coefficient == pytest.approx(4 * 0.5, rel=0.03)


def test_diffusion_is_right_within_its_uncertainty_whatever_the_error_of_places():
    for error in (0.0, 0.7):
        found = [walk(seed, error=error, drift=(0.3, -0.2)).diffusion() for seed in range(20)]
        pulls = [(d.value - 0.5) / d.sigma for d in found if d is not None]
        assert len(pulls) == 20
        assert abs(np.mean(pulls)) < 3.0 / np.sqrt(20) + 0.3
        assert 0.6 < np.std(pulls) < 1.5
        assert np.mean([d.position_error for d in found if d is not None]) == pytest.approx(error, abs=0.12)


def test_drift_is_taken_out_of_the_displacements_and_told():
    still, moving = walk(3), walk(3, drift=(2.0, -5.0))
    np.testing.assert_allclose(still.msd()[0], moving.msd()[0], rtol=1e-6)
    y, x, sigma = moving.moved()
    assert (y, x) == (pytest.approx(119 * 2.0, abs=4 * sigma), pytest.approx(-119 * 5.0, abs=4 * sigma))
    assert sigma == pytest.approx(np.sqrt(119 * 2 * 0.5 / 200), rel=0.1)


def test_few_tracks_do_not_lower_the_displacement_when_drift_is_taken_out():
    found = [walk(seed, tracks=3, frames=200).msd()[0][0] for seed in range(20)]
    assert np.mean(found) == pytest.approx(4 * 0.5, rel=0.06)  # dividing by n and not n - 1 would give a third less


def test_short_tracks_do_not_count_until_they_are_long_and_then_from_their_start():
    sums = Displacements(max_lag=5, min_length=4, memory=0, drift=False)
    for tick in range(3):
        sums.add(tick, np.array([7]), np.array([[0.0, tick]]), np.ones(1, bool))
    assert not sums.msd()[1].any()
    sums.add(3, np.array([7]), np.array([[0.0, 3.0]]), np.ones(1, bool))
    msd, count = sums.msd()
    assert count.tolist() == [3, 2, 1, 0, 0]
    assert msd[:3].tolist() == [1.0, 4.0, 9.0]


def test_points_that_are_not_good_make_a_track_longer_but_are_not_used():
    sums = Displacements(max_lag=5, min_length=3, memory=0, drift=False)
    for tick, place in enumerate([0.0, 50.0, 2.0, 3.0]):
        sums.add(tick, np.array([0]), np.array([[0.0, place]]), np.array([tick != 1]))
    msd, count = sums.msd()
    assert count.tolist() == [1, 1, 1, 0, 0]
    assert msd[:3].tolist() == [1.0, 4.0, 9.0]


def test_the_result_does_not_depend_on_how_long_frames_are_kept_open():
    random = np.random.default_rng(5)
    short, long = (Displacements(max_lag=6, min_length=5, memory=m) for m in (0, 9))
    places = random.uniform(0, 50, (30, 2))
    for tick in range(80):
        for sums in (short, long):
            sums.add(tick, np.arange(30), places, np.ones(30, bool))
        places = places + random.normal(0, 1, places.shape)
    np.testing.assert_allclose(short.msd()[0], long.msd()[0])
    np.testing.assert_allclose(short.moved(), long.moved())


def test_many_tracks_that_come_and_go_take_no_more_memory():
    sums = Displacements(max_lag=10, min_length=5, memory=0)
    for tick in range(300):
        sums.add(tick, np.arange(20 * tick, 20 * tick + 20), np.zeros((20, 2)), np.ones(20, bool))
        sums.forget(np.arange(20 * tick, 20 * tick + 20))
    assert len(sums._length) == 64


def test_a_power_law_needs_five_lags():
    assert fit_power_law(np.arange(1.0, 5.0), np.arange(1.0, 5.0)) is None
