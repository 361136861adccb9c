from dataclasses import replace

import numpy as np
import pytest

from insitu.maths.noise import background_level, noise_level, point_sigma, saturated, search_sigma, with_sigma
from insitu.types import Axis, Frame


def frame(data: np.ndarray, **keys) -> Frame:
    axis = Axis(np.linspace(10.0, 20.0, data.size), "deg")
    given = {"source": "det", "dims": ("two_theta",), "unit": "counts", "time_ns": 0, "seq": 0, "n": 0}
    return Frame(data=data, axes={"two_theta": axis}, **{**given, **keys})


def test_counts_have_poisson_uncertainty_and_never_zero() -> None:
    np.testing.assert_array_equal(point_sigma(frame(np.array([0, 1, 9], dtype=np.uint32))), [1.0, 1.0, 3.0])


def test_the_uncertainty_of_the_file_wins() -> None:
    np.testing.assert_array_equal(point_sigma(frame(np.array([4.0, 9.0]), sigma=np.array([0.5, 0.6]))), [0.5, 0.6])


def test_other_units_without_uncertainty_have_none() -> None:
    assert point_sigma(frame(np.array([4.0, 9.0]), unit="arb")) is None
    same = frame(np.array([4.0, 9.0]), unit="arb")
    assert with_sigma(same) is same


def test_the_largest_number_of_an_integer_type_is_saturated() -> None:
    assert saturated(frame(np.array([1, 65535], dtype=np.uint16))).tolist() == [False, True]
    assert saturated(frame(np.array([1.0, 65535.0]))) is None
    assert saturated(frame(np.array([1.0, 65535.0])), 60000.0).tolist() == [False, True]


def test_marks_outlive_scaling_and_a_second_preparation() -> None:
    marked = with_sigma(frame(np.array([100, 4], dtype=np.uint16)), 100.0)
    assert marked.sigma.tolist() == [np.inf, 2.0]
    scaled = replace(marked, data=marked.data * 1e6, sigma=marked.sigma * 1e6)
    assert saturated(with_sigma(scaled, 100.0), 100.0).tolist() == [True, False]


def test_the_noise_is_read_off_beside_peaks_and_slopes() -> None:
    x = np.linspace(0.0, 1.0, 4096)
    y = np.random.default_rng(0).normal(1000.0 * x, 3.0) + 500.0 * np.exp(-(((x - 0.5) / 0.01) ** 2))
    assert noise_level(y) == pytest.approx(3.0, rel=0.1)
    assert noise_level(np.ones(2)) == 0.0


@pytest.mark.parametrize("level", [2.0, 20.0, 2000.0])
def test_the_background_of_a_third_covered_by_peaks_is_right(level: float) -> None:
    rng = np.random.default_rng(1)
    clean = np.full(3000, level)
    clean[500:1500] += 30.0 * level * rng.random(1000)
    found = background_level(rng.poisson(clean))
    assert found.value == pytest.approx(level, abs=0.5 + 0.25 * np.sqrt(level))
    assert 0.0 < found.sigma < 0.1 * max(found.scatter, 1.0)


def test_search_uncertainties_are_usable_everywhere() -> None:
    given = np.array([0.0, 2.0, np.inf, np.nan, 3.0])
    np.testing.assert_array_equal(search_sigma(np.ones(5), given, False), [2.0, 2.0, 3.0, 2.0, 3.0])
    assert (search_sigma(np.zeros(5), None, False) > 0.0).all()
    assert (search_sigma(np.zeros(5), np.zeros(5), True) == 1.0).all()
