"""Statistics for drift: independent blocks, the gap of two samples, the threshold of a cumulative sum."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from insitu.maths.line.drift import allowed_gap, independent_blocks, largest_gap, sum_threshold


@pytest.mark.parametrize(("follows", "shortest", "longest"), [(0.0, 1, 2), (0.8, 3, 25), (0.95, 20, 120)])
def test_blocks_are_as_long_as_values_follow_each_other(follows: float, shortest: int, longest: int) -> None:
    lengths = []
    for seed in range(9):
        noise = np.random.default_rng(seed).normal(size=4000)
        values = np.empty(4000)
        values[0] = noise[0]
        for i in range(1, 4000):
            values[i] = follows * values[i - 1] + noise[i]
        found = independent_blocks(values)
        assert found is not None
        lengths.append(found.length)
        assert len(found.means) == 4000 // found.length
    assert shortest <= np.median(lengths) <= longest


def test_a_number_that_goes_one_way_has_no_independent_blocks() -> None:
    x = np.random.default_rng(0).normal(size=400)
    assert independent_blocks(x + 0.05 * np.arange(400)) is None
    assert independent_blocks(np.cumsum(x)) is None


def test_a_number_that_never_moves_has_blocks_of_one() -> None:
    found = independent_blocks(np.full(50, 3.0))
    assert found is not None
    assert (found.length, found.means.tolist()) == (1, [3.0] * 50)


@pytest.mark.parametrize("ties", [False, True])
def test_the_gap_is_that_of_scipy(ties: bool) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=60), rng.normal(0.3, 1.2, size=25)
        if ties:
            a, b = a.round(), b.round()
        assert largest_gap(np.sort(a), b) == pytest.approx(ks_2samp(a, b).statistic, abs=1e-12)


def test_the_allowed_gap_is_exceeded_as_often_as_it_says_or_less() -> None:
    rng = np.random.default_rng(0)
    allowed = allowed_gap(200, 80, 0.05)
    times = sum(largest_gap(np.sort(rng.normal(size=200)), rng.normal(size=80)) > allowed for _ in range(2000))
    assert 40 <= times <= 120  # 100 are expected of the limit distribution, fewer of finite samples


def test_the_cumulative_sum_gives_a_false_alarm_once_in_the_time_that_was_asked_for() -> None:
    slack, mean_time = 0.25, 500.0
    threshold = sum_threshold(slack, mean_time)
    rng = np.random.default_rng(1)
    times = []
    for _ in range(300):
        up = down = 0.0
        for t in range(1, 20_000):
            x = float(rng.standard_normal())
            up, down = max(0.0, up + x - slack), max(0.0, down - x - slack)
            if max(up, down) > threshold:
                times.append(t)
                break
    assert np.mean(times) == pytest.approx(mean_time, rel=0.2)
