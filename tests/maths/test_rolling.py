"""The rolling baseline: honest thresholds, no drift, outliers kept out."""

import numpy as np
import pytest
from scipy.stats import norm, t

from insitu.maths.rolling import CEILING, Baseline, allowed_departure


def fed(values, **settings):
    baseline = Baseline(**({"window": 50, "warm_up": 20, "deviation": 6.0} | settings))
    for x in values:
        baseline.accept(float(x))
    return baseline


def test_the_allowed_departure_is_as_rare_as_asked_for_every_size_of_the_baseline():
    for m in (5, 20, 50, 500):
        assert t.sf(allowed_departure(4.0, m), m - 1) == pytest.approx(norm.sf(4.0), rel=1e-6)


def test_the_rate_of_departures_of_clean_noise_is_the_one_promised():
    # 3 sigma on purpose: 2 * Q(3) = 0.0027, so some 81 of 30,000; Poisson sigma 9
    values = np.random.default_rng(7).normal(5.0, 0.1, 30_000)
    baseline, departures = Baseline(window=50, warm_up=20, deviation=3.0), 0
    for x in values:
        found = baseline.departure(x)
        departures += found is not None and abs(found.t) > found.allowed
        baseline.accept(x)
    assert 45 <= departures <= 120


def test_the_baseline_is_exactly_that_of_its_window_after_a_long_stream():
    values = 1e6 + np.random.default_rng(3).normal(0.0, 1e-3, 20_000)
    found = fed(values).departure(1e6)
    assert found is not None
    assert found.mean == pytest.approx(values[-50:].mean(), abs=1e-9)
    assert found.sigma == pytest.approx(values[-50:].std(ddof=1), rel=1e-6)


def test_outliers_of_the_learning_phase_are_left_out():
    values = np.random.default_rng(1).normal(0.0, 1.0, 40)
    values[[3, 11]] = 1000.0
    found = fed(values).departure(0.0)
    assert found is not None
    assert found.sigma < 2.0
    assert found.values == 38


def test_a_value_that_never_varied_departs_by_a_finite_number():
    baseline = fed([3.0] * 50)
    same, other = baseline.departure(3.0), baseline.departure(4.0)
    assert same is not None
    assert other is not None
    assert (same.t, other.t) == (0.0, CEILING)


def test_the_resolution_is_the_smallest_spread():
    found = fed([3.0] * 50, resolution=1.0).departure(4.0)
    assert found is not None
    assert abs(found.t) < 1.0


def test_rejected_values_become_the_baseline_only_where_asked():
    stubborn, learning = fed(range(20)), fed(range(20), relearn_after=30)
    assert not any(stubborn.reject(100.0 + i % 3) for i in range(200))
    assert [learning.reject(100.0 + i % 3) for i in range(30)] == [False] * 29 + [True]
    found = learning.departure(101.0)
    assert found is not None
    assert abs(found.t) < 1.0
