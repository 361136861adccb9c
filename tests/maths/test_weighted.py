"""The mean of repeated measurements and its uncertainty."""

import numpy as np
import pytest

from insitu.maths.weighted import WeightedMean


def fed(values, sigmas):
    mean = WeightedMean()
    for x, s in zip(values, sigmas, strict=True):
        mean.add(float(x), s)
    return mean


def test_the_uncertainty_is_what_the_values_claim_or_what_they_show_whichever_is_larger():
    values = np.random.default_rng(2).normal(10.0, 1.0, 1000)
    assert fed(values, [2.0] * 1000).sigma == pytest.approx(2.0 / np.sqrt(1000))
    assert fed(values, [0.1] * 1000).sigma == pytest.approx(values.std(ddof=1) / np.sqrt(1000))
    assert fed(values, [None] * 1000).sigma == pytest.approx(values.std(ddof=1) / np.sqrt(1000))


def test_weights_are_those_of_the_uncertainties():
    assert fed([1.0, 4.0], [1.0, 2.0]).value == pytest.approx((1.0 + 4.0 / 4.0) / 1.25)


def test_a_long_stream_far_from_zero_loses_no_digits():
    values = 1e8 + np.random.default_rng(4).normal(0.0, 1e-2, 50_000)
    mean = fed(values, [None] * len(values))
    assert mean.value == pytest.approx(values.mean(), abs=1e-6)
    assert mean.sigma == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)), rel=1e-4)


def test_a_value_that_cannot_be_weighed_is_left_out():
    assert fed([1.0, 50.0, 1.2], [0.1, None, 0.1]).count == 2


def test_an_uncertainty_below_rounding_is_not_believed():
    assert fed([-1.0, 1.0], [1e-200, 1e-200]).value == pytest.approx(0.0)


def test_one_value_has_no_known_uncertainty():
    assert fed([1.0], [0.1]).sigma == float("inf")
