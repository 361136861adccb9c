import math

import numpy as np
import pytest

from insitu.maths.peaks.fit_kernel import curve, normal, second_line
from insitu.maths.peaks.profiles import pseudo_voigt

X = np.linspace(28.2, 28.7, 101)
ALPHA = 1.5443 / 1.5405
MODELS = {
    "one": ([[0, 1, 1, 2, 3]], [28.45, 0.09, 0.3, 90.0, 48.0, 3.0], -1),
    "lopsided": ([[0, 1, 2, 3, 4]], [28.45, 0.06, 0.12, 0.3, 90.0, 48.0, 3.0], -1),
    "doublet": ([[0, 1, 1, 2, 3]], [28.45, 0.09, 0.3, 90.0, 48.0, 3.0, 0.4], 6),
    "pair": ([[0, 2, 2, 3, 4], [1, 2, 2, 3, 5]], [28.4, 28.47, 0.05, 0.6, 60.0, 30.0, 48.0, 3.0], -1),
    "two doublets": (
        [[0, 1, 1, 2, 3], [4, 5, 5, 6, 7]],
        [28.35, 0.06, 0.6, 60.0, 28.5, 0.09, 0.1, 30.0, 48.0, 3.0, 0.5],
        10,
    ),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("angular", [True, False])
def test_the_compiled_gradient_is_that_of_chi_squared(name: str, angular: bool) -> None:
    places, numbers, ratio_at = MODELS[name]
    layout, p = np.array(places), np.array(numbers)
    y = pseudo_voigt(X, 28.44, 0.08, 0.4, 100.0) + 50.0
    weight = 1.0 / y
    hess, gradient = np.zeros((p.size, p.size)), np.zeros(p.size)
    how = (layout, ratio_at, ALPHA, angular)
    normal(X, y, weight, p, *how, hess, gradient)

    def chi2(at: np.ndarray) -> float:
        return normal(X, y, weight, at, *how, np.zeros_like(hess), np.zeros_like(gradient))

    for i in range(p.size):
        step = np.zeros(p.size)
        step[i] = 1e-6 * max(abs(p[i]), 0.1)
        rise = (chi2(p + step) - chi2(p - step)) / (2.0 * step[i])
        assert gradient[i] == pytest.approx(-0.5 * rise, rel=1e-4, abs=1e-5 * np.abs(gradient).max())
    np.testing.assert_array_equal(hess, hess.T)
    assert chi2(p) == pytest.approx(float(np.sum(weight * (y - curve(X, p, *how)) ** 2)), rel=1e-12)


def test_the_curve_of_a_doublet_is_the_sum_of_two_pseudo_voigts() -> None:
    p = np.array([28.4, 0.07, 0.4, 90.0, 50.0, 2.0, 0.5])
    other = 2.0 * math.degrees(math.asin(ALPHA * math.sin(math.radians(14.2))))
    wanted = pseudo_voigt(X, 28.4, 0.07, 0.4, 90.0) + pseudo_voigt(X, other, 0.07, 0.4, 45.0)
    wanted += 50.0 + 2.0 * (X - 28.45) / 0.25
    np.testing.assert_allclose(curve(X, p, np.array([[0, 1, 1, 2, 3]]), 6, ALPHA, True), wanted, rtol=1e-12)


def test_a_lopsided_peak_has_the_area_it_says() -> None:
    wide = np.linspace(-60.0, 60.0, 240_001)
    p = np.array([0.3, 0.5, 1.1, 0.0, 7.0, 0.0, 0.0])
    y = curve(wide, p, np.array([[0, 1, 2, 3, 4]]), -1, 1.0, True)
    assert float(np.sum(y)) * (wide[1] - wide[0]) == pytest.approx(7.0, rel=1e-6)


def test_a_second_line_beyond_backscattering_does_not_exist() -> None:
    assert math.isnan(second_line(179.9, ALPHA, True)[0])
    p = np.array([179.9, 0.09, 0.3, 90.0, 48.0, 3.0, 0.5])
    x = np.linspace(179.5, 180.0, 51)
    y = curve(x, p, np.array([[0, 1, 1, 2, 3]]), 6, ALPHA, True)
    np.testing.assert_allclose(y, pseudo_voigt(x, 179.9, 0.09, 0.3, 90.0) + 48.0 + 3.0 * (x - 179.75) / 0.25)
