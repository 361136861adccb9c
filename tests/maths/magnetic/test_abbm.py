"""The ABBM model against its known answers: stationary law, memory, jumps, whatever the step."""

import math

import numpy as np
import pytest
from scipy import stats

from insitu.maths.magnetic.abbm import duration_exponent, jumps, size_exponent, stops, velocity
from insitu.maths.magnetic.power_law import fit_power_law

RATES = (0.2, 0.6, 1.0, 2.5)


def with_error(parts: np.ndarray) -> tuple[float, float]:
    """Mean of independent parts and its standard uncertainty."""
    return float(parts.mean()), float(parts.std(ddof=1) / math.sqrt(parts.size))


@pytest.mark.parametrize("c", RATES)
@pytest.mark.parametrize("step", [0.02, 1.5])
def test_mean_variance_and_law_are_those_of_a_gamma_distribution_for_any_step(c: float, step: float) -> None:
    v = velocity(c, step, np.random.default_rng((1, int(10 * c))), n=1_000_000)
    parts = v.reshape(200, -1)
    mean, mean_sigma = with_error(parts.mean(axis=1))
    assert abs(mean - c) < 4.0 * mean_sigma < 0.12 * c
    square, square_sigma = with_error(((parts - c) ** 2).mean(axis=1))
    assert abs(square - c) < 4.0 * square_sigma < 0.6 * c
    apart = v[:: math.ceil(8.0 / step)]
    assert stats.kstest(apart, stats.gamma(c).cdf).pvalue > 1e-3
    assert (v >= 0.0).all()


@pytest.mark.parametrize("c", RATES)
def test_the_autocorrelation_falls_exponentially_with_one_correlation_time(c: float) -> None:
    step = 0.05
    v = velocity(c, step, np.random.default_rng((2, int(10 * c))), n=1_000_000).reshape(100, -1) - c
    for lag in (4, 20, 40):
        found, sigma = with_error((v[:, lag:] * v[:, :-lag]).mean(axis=1) / c)
        assert abs(found - math.exp(-lag * step)) < 4.0 * sigma < 0.15


@pytest.mark.parametrize("c", [0.1, 0.3, 0.5, 0.7])
def test_sizes_and_durations_of_jumps_have_the_known_exponents(c: float) -> None:
    random, step = np.random.default_rng((3, int(10 * c))), 2e-4
    found = jumps(velocity(c, step, random, n=5_000_000), c, step, random)
    durations = fit_power_law(found.durations, low=20, high=400, discrete=True)
    sizes = fit_power_law(found.sizes, low=2e-5, high=4e-3)
    assert durations is not None
    assert sizes is not None
    assert abs(durations.exponent - duration_exponent(c)) < 3.0 * durations.sigma < 0.25
    assert abs(sizes.exponent - size_exponent(c)) < 3.0 * sizes.sigma < 0.15


def test_one_long_step_is_as_many_short_ones() -> None:
    random = np.random.default_rng(4)
    long = np.array([velocity(0.7, 0.8, random, n=1, start=2.0)[-1] for _ in range(4000)])
    short = np.array([velocity(0.7, 0.1, random, n=8, start=2.0)[-1] for _ in range(4000)])
    mean = 2.0 * math.exp(-0.8) + 0.7 * (1.0 - math.exp(-0.8))
    variance = 2.0 * 2.0 * (math.exp(-0.8) - math.exp(-1.6)) + 0.7 * (1.0 - math.exp(-0.8)) ** 2
    for v in (long, short):
        assert v.mean() == pytest.approx(mean, abs=4.0 * math.sqrt(variance / v.size))
        assert v.var() == pytest.approx(variance, rel=0.15)
    assert stats.ks_2samp(long, short).pvalue > 1e-3


def test_a_driving_rate_that_changes_is_followed() -> None:
    c = np.repeat([0.5, 5.0], 100_000)
    v = velocity(c, 0.1, np.random.default_rng(5))
    assert v[:100_000].mean() == pytest.approx(0.5, rel=0.05)
    assert v[100_100:].mean() == pytest.approx(5.0, rel=0.05)


def test_the_chance_of_a_stop_does_not_depend_on_how_a_step_is_cut() -> None:
    random, c = np.random.default_rng(6), 0.4
    fine = velocity(c, 0.01, random, n=800_000)
    stopped = stops(fine, c, 0.01, random)
    within = stopped[: stopped.size // 10 * 10].reshape(-1, 10).any(axis=1)
    once = stops(fine[::10].copy(), c, 0.1, random)
    assert once.mean() == pytest.approx(within.mean(), rel=0.02)


def test_a_fast_wall_never_stops_and_the_same_seed_gives_the_same_path() -> None:
    first, again = (velocity(0.5, 0.01, np.random.default_rng(7), n=1000) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert not stops(np.full(1000, 3.0), 0.5, 0.01, np.random.default_rng(8)).any()


@pytest.mark.parametrize(("c", "step", "n"), [(0.0, 0.1, 10), (0.5, 0.0, 10), (0.5, 0.1, 0), (-1.0, 0.1, 10)])
def test_what_is_not_above_zero_is_refused(c: float, step: float, n: int) -> None:
    with pytest.raises(ValueError, match="above 0"):
        velocity(c, step, np.random.default_rng(0), n=n)
