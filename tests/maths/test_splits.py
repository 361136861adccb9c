"""The best split in two levels or two lines, against plain numpy, and the series that remembers."""

import numpy as np
import pytest
from scipy.stats import f, norm
from scipy.stats import t as student

from insitu.maths.series import CEILING, Series, allowed_score
from insitu.maths.splits import split_levels, split_lines

RNG = np.random.default_rng(11)


def plain_levels(y, min_size):
    n, best = len(y), (0.0, 0)
    for k in range(min_size, n - min_size + 1):
        a, b = y[:k], y[k:]
        noise = (((a - a.mean()) ** 2).sum() + ((b - b.mean()) ** 2).sum()) / (n - 2)
        best = max(best, (abs(a.mean() - b.mean()) / np.sqrt(noise * (1 / k + 1 / (n - k))), k))
    return best


def squares(x, y):
    return ((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2).sum()


def plain_lines(x, y, min_size):
    n, best = len(y), (0.0, 0)
    for k in range(min_size, n - min_size + 1):
        parts = squares(x[:k], y[:k]) + squares(x[k:], y[k:])
        best = max(best, ((squares(x, y) - parts) / 2 / (parts / (n - 4)), k))
    return best


@pytest.mark.parametrize("n", [8, 17, 60])
def test_the_best_levels_and_lines_are_those_of_plain_numpy(n):
    x = np.sort(RNG.uniform(7.0, 289.0, n))
    y = RNG.normal(1e3, 1.0, n) + 0.05 * x
    found, lines = split_levels(y, 0, n, 3, 0.0), split_lines(x, y, 0, n, 3, 0.0)
    assert (found.t, found.at) == pytest.approx(plain_levels(y, 3), rel=1e-9)
    assert (lines.f, lines.at) == pytest.approx(plain_lines(x, y, 3), rel=1e-6)
    slope, value = np.polyfit(x[: lines.at], y[: lines.at], 1)
    assert lines.slope_before == pytest.approx(slope, rel=1e-6)
    assert lines.before == pytest.approx(value + slope * x[-1], rel=1e-9)


def test_only_the_part_asked_for_counts():
    y = RNG.normal(0.0, 1.0, 40)
    assert split_levels(y, 10, 30, 3, 0.0) == split_levels(y[10:30].copy(), 0, 20, 3, 0.0)


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("values", [np.full(60, 0.1), 0.1 * np.arange(60.0), np.full(60, 1e99), np.zeros(60)])
def test_values_without_noise_give_finite_scores(values, lines):
    series = Series(window=50, lines=lines, min_size=3)
    for i, y in enumerate(values):
        series.append(i, 5.0, float(y))  # x does not vary either
        split = series.best_split()
        assert split is None or all(np.isfinite(split))
        assert split is None or np.ptp(values) > 0.0 or split.score < 3.0


def test_the_score_is_the_normal_equivalent_of_the_test():
    y, x = RNG.normal(0.0, 1.0, 30), np.arange(30.0)
    for lines in (False, True):
        series = Series(window=50, lines=lines, min_size=3)
        for i in range(30):
            series.append(i, x[i], y[i])
        split = series.best_split()
        assert split is not None
        chance = f.sf(plain_lines(x, y, 3)[0], 2, 26) / 2 if lines else student.sf(plain_levels(y, 3)[0], 28)
        assert split.score == pytest.approx(norm.isf(chance), rel=1e-6)
        assert split.score < CEILING


def test_the_window_moves_and_forgets_without_changing_what_is_in_it():
    long, short = Series(window=30, lines=False, min_size=3), Series(window=30, lines=False, min_size=3)
    # a grid, so that the smallest difference does not depend on the past
    values = np.round(RNG.normal(0.0, 30.0, 500))
    for i, y in enumerate(values):
        long.append(i, float(i), float(y))
    for i in range(470, 500):
        short.append(i, float(i), float(values[i]))
    assert len(long) == 30
    assert long.best_split() == short.best_split()
    long.forget_before(490)
    assert len(long) == 10


def test_short_series_are_allowed_a_larger_chance_of_a_false_alarm_once():
    assert allowed_score(6.0, 500) == pytest.approx(6.0) == allowed_score(6.0, 5000)
    chances = norm.sf([allowed_score(6.0, n) for n in range(6, 500)])
    assert chances.sum() == pytest.approx(40_000 * norm.sf(6.0), rel=0.15)


def test_one_wild_value_counts_little_and_a_trusted_level_in_full():
    series, values = Series(window=200, lines=False, min_size=3), np.random.default_rng(12).normal(0.0, 1.0, 120)
    values[100:] += 50.0
    splits = []
    for i, y in enumerate(values):
        series.append(i, float(i), y)
        splits.append(series.best_split())
        if i == 102:
            series.trust_from(100)
    assert splits[100].score < 4.0
    assert splits[-1].n_after == 100
    assert splits[-1].after == pytest.approx(values[100:].mean())
    assert splits[-1].before == pytest.approx(values[:100].mean(), abs=0.05)
