"""Exponents of power laws: right on average, with uncertainties that say how far off, with and without cut-offs."""

import math

import numpy as np
import pytest

from insitu.maths.magnetic.power_law import fit_power_law


def continuous(alpha: float, n: int, high: float, random: np.random.Generator) -> np.ndarray:
    """n values with p(x) ~ x^-alpha from 1 to high."""
    whole = 1.0 - high ** (1.0 - alpha)
    return (1.0 - random.random(n) * whole) ** (1.0 / (1.0 - alpha))


def discrete(alpha: float, n: int, low: int, high: int, random: np.random.Generator) -> np.ndarray:
    k = np.arange(low, high + 1)
    p = k**-alpha
    return random.choice(k, n, p=p / p.sum())


@pytest.mark.parametrize("alpha", [1.3, 1.9, 2.8])
@pytest.mark.parametrize("high", [math.inf, 30.0])
def test_exponents_are_right_on_average_and_as_uncertain_as_they_say(alpha: float, high: float) -> None:
    random, pulls, errors = np.random.default_rng((1, int(10 * alpha))), [], []
    for _ in range(300):
        x = continuous(alpha, 400, high, random)
        found = fit_power_law(x, low=1.0, high=None if math.isinf(high) else high)
        assert found is not None
        pulls.append((found.exponent - alpha) / found.sigma)
        errors.append(found.sigma)
    assert abs(np.mean(pulls)) < 4.0 / math.sqrt(300)
    assert 0.88 < np.std(pulls) < 1.13
    assert found.n == 400


def test_few_values_are_not_biased_without_an_upper_cut_off() -> None:
    random = np.random.default_rng(2)
    found = [fit_power_law(continuous(2.5, 50, math.inf, random), low=1.0) for _ in range(2000)]
    exponents = np.array([f.exponent for f in found if f is not None])
    # the maximum of the likelihood itself would be off by 1.5 / 50 = 0.03, 6 times the uncertainty of this mean
    assert abs(exponents.mean() - 2.5) < 3.0 * exponents.std() / math.sqrt(2000)


@pytest.mark.parametrize(("alpha", "low", "high"), [(1.2, 1, 500), (1.7, 3, 2000), (2.6, 1, 100_000), (0.6, 5, 80)])
def test_whole_numbers_have_a_law_of_their_own(alpha: float, low: int, high: int) -> None:
    random, pulls = np.random.default_rng((3, low)), []
    for _ in range(60):
        found = fit_power_law(discrete(alpha, 500, low, high, random), low=low, high=high, discrete=True)
        assert found is not None
        pulls.append((found.exponent - alpha) / found.sigma)
    assert abs(np.mean(pulls)) < 4.0 / math.sqrt(60)
    assert 0.7 < np.std(pulls) < 1.3


def test_whole_numbers_without_end_follow_the_zeta_distribution() -> None:
    k = np.random.default_rng(4).zipf(2.3, 20_000)
    found = fit_power_law(k, low=1, discrete=True)
    assert found is not None
    assert abs(found.exponent - 2.3) < 3.0 * found.sigma < 0.06
    as_if_continuous = fit_power_law(k, low=1.0)
    assert as_if_continuous is not None
    assert abs(as_if_continuous.exponent - 2.3) > 0.2


@pytest.mark.parametrize("whole", [False, True])
def test_the_lower_cut_off_is_found_where_the_law_begins(whole: bool) -> None:
    random = np.random.default_rng(5)
    tail = 40.0 * continuous(2.2, 4000, math.inf, random)
    body = random.uniform(1.0, 40.0, 2000)
    x = np.concatenate([tail, body])
    found = fit_power_law(np.floor(x) if whole else x, discrete=whole)
    assert found is not None
    assert 30.0 < found.low < 120.0
    assert abs(found.exponent - 2.2) < 4.0 * found.sigma


def test_what_is_no_power_law_lies_far_from_one() -> None:
    random = np.random.default_rng(6)
    law, other = continuous(2.0, 3000, math.inf, random), 1.0 + random.exponential(2.0, 3000)
    near, far = fit_power_law(law, low=1.0), fit_power_law(other, low=1.0)
    assert near is not None
    assert far is not None
    assert near.distance < 0.035 < 0.1 < far.distance


@pytest.mark.parametrize("values", [[], [1.0] * 49, [2.0] * 500, [-1.0] * 500, [0.0] * 500])
def test_too_few_values_or_all_the_same_give_none(values: list[float]) -> None:
    assert fit_power_law(np.array(values)) is None
    assert fit_power_law(np.array(values), low=0.5, high=10.0) is None
    assert fit_power_law(np.array(values), low=1, discrete=True) is None
