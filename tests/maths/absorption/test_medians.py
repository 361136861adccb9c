import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.maths.absorption.medians import median

NUMBERS = st.lists(st.floats(allow_nan=False, width=64, min_value=-1e300, max_value=1e300), min_size=1, max_size=60)


@settings(deadline=None)  # the first call may compile
@given(NUMBERS)
def test_it_is_the_median_of_numpy_to_the_last_bit(values: list[float]) -> None:
    assert median(np.array(values)) == np.median(values)


@pytest.mark.parametrize("size", [1599, 1600])
def test_many_and_equal_and_ordered_numbers_make_no_difference(size: int) -> None:
    rng = np.random.default_rng(size)
    for values in (rng.normal(size=size), rng.integers(0, 3, size), np.arange(size), -np.arange(size), np.ones(size)):
        before = values.copy()
        assert median(values) == np.median(values)
        assert np.array_equal(values, before)


def test_of_nothing_and_of_nan_there_is_none() -> None:
    assert np.isnan(median(np.empty(0)))
    assert np.isnan(median(np.array([1.0, np.nan, 2.0])))
