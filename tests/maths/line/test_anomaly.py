"""Departures from a number's own history: the rate of false alarms, and what is found."""

import math

import numpy as np
import pytest

from benchmarks.line_rates import alarms, series
from insitu.maths.line.anomaly import Jump, Span, allowed, worth


@pytest.mark.parametrize("r", [0.0, 0.9, 0.995])
def test_correlated_series_without_anomaly_keep_the_promised_rate(r: float) -> None:
    """Promised: 1 in 500 frames. 20 are promised in 10,000; 35 or more come by chance 1 in 1,000 times."""
    assert alarms(series(r, 10_000, 11), once_in=500) < 35


def test_independent_values_are_counted_by_the_crossings_of_the_median() -> None:
    n, r = 200_000, 0.9
    x = series(r, n, 5)
    crossed = float(np.mean(np.diff(np.sign(x - np.median(x))) != 0))
    assert worth(crossed, n) == pytest.approx(n * (1 - r) / (1 + r), rel=0.1)


def test_what_departs_is_not_learnt_until_it_has_lasted() -> None:
    rng = np.random.default_rng(0)
    for relearn, ends in ((0, False), (100, True)):
        span = Span(1, memory=1000, once_in=1e5, learn=0, relearn_after=relearn)
        for x in rng.normal(0.0, 1.0, 500):
            span.judge(float(x))
        found = [span.judge(float(x)) for x in rng.normal(20.0, 1.0, 800)]
        assert all(d is not None and d.ratio > 1.0 for d in found[:99])
        last = found[-1]
        assert (last is not None and last.ratio < 1.0) is ends


def test_a_slow_drift_is_not_learnt_as_fast_as_it_comes() -> None:
    """0.02 sigma a frame: it is 4 sigma after 200 frames, and found before it is 8."""
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(0.0, 1.0, 1600)
        values = noise + np.clip(np.arange(1600) - 800, 0, None) * 0.02
        span = Span(8, memory=4000, once_in=1e8, learn=0, relearn_after=0)
        found = [i for i, x in enumerate(values) if (d := span.judge(float(x))) and d.ratio > 1.0]
        assert found
        assert 800 < found[0] < 1200


def test_a_jump_is_one_that_never_was() -> None:
    rng = np.random.default_rng(2)
    wandering = np.cumsum(rng.normal(0.0, 1.0, 1000))
    jump = Jump(3.0, memory=500, learn=50)
    assert not any(jump.judge(float(x)) for x in wandering)
    found = jump.judge(float(wandering[-1]) + 60.0)
    assert found is not None
    assert found.size == pytest.approx(60.0, abs=15.0)


def test_constant_numbers_give_no_alarm_of_their_own() -> None:
    span, jump = Span(1, memory=100, once_in=1e3, learn=0, relearn_after=0), Jump(3.0, memory=100, learn=10)
    for x in [5.0] * 200:
        assert span.judge(x) is None
        assert jump.judge(x) is None
    assert span.judge(6.0) is None


def test_what_stood_still_for_long_jumps_when_it_leaves_its_place() -> None:
    short, long = Jump(3.0, memory=1000, learn=50), Jump(3.0, memory=1000, learn=50)
    assert not any(short.judge(20.0) for _ in range(150))
    assert short.judge(25.0) is None  # not known long enough
    assert not any(long.judge(20.0) for _ in range(500))
    found = long.judge(25.0)
    assert found is not None
    assert (found.size, found.before, found.ratio) == (5.0, 20.0, math.inf)
    assert long.judge(25.0) is None  # once; then it is known to move
    assert long.judge(20.0) is None


@pytest.mark.parametrize("kind", ["heavy", "mostly zero"])
def test_long_tails_are_no_alarms_one_by_one(kind: str) -> None:
    rng = np.random.default_rng(4)
    values = np.exp(rng.normal(0.0, 0.7, 6000)) if kind == "heavy" else np.maximum(rng.normal(-1.5, 1.0, 6000), 0.0)
    span = Span(1, memory=4000, once_in=2000.0, learn=300, relearn_after=0)
    found = [bool((d := span.judge(float(x))) and d.ratio > 1.0) for x in values]
    assert sum(found[2000:]) <= 20  # by the 95 % quantile alone about 40 and 130
    last = span.judge(40.0)
    assert last is not None
    assert last.ratio > 1.0


def test_fewer_degrees_of_freedom_allow_more() -> None:
    assert allowed(8, 40) > allowed(20, 40) > allowed(4000, 40) > allowed(4000, 30)
